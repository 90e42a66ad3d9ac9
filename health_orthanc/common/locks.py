# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks over all processes: one run of a kind at a time.

The lock outlives transactions and ends with the process that holds it, however
that ends.
"""

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager

from trytond import backend
from trytond.transaction import Transaction

__all__ = ['named_lock']


@contextmanager
def named_lock(name, server_id=0):
    """Take a lock for the time of the context, without waiting for it.

    Parameters
    ----------
    name : str
        What is done while it is held.
    server_id : int, optional
        The server that it is done with, if it may be done with several at
        once.

    Yields
    ------
    bool
        Whether it was free.
    """
    lock = (
        _postgresql_lock if backend.name == 'postgresql' else _file_lock)
    with lock(name, server_id) as taken:
        yield taken


def _class_id(name):
    "Return the first of the two numbers that an advisory lock is known by"
    return int.from_bytes(
        hashlib.sha256(f'health_orthanc{name}'.encode()).digest()[:4], 'big',
        signed=True)


@contextmanager
def _postgresql_lock(name, server_id):
    # A connection of its own without a transaction: the lock belongs to the
    # session and nothing idles in a transaction meanwhile.
    database = Transaction().database
    connection = database.get_connection(autocommit=True)
    try:
        cursor = connection.cursor()
        cursor.execute(
            'SELECT pg_try_advisory_lock(%s, %s)',
            (_class_id(name), server_id))
        taken, = cursor.fetchone()
        try:
            yield taken
        finally:
            if taken:
                cursor.execute(
                    'SELECT pg_advisory_unlock(%s, %s)',
                    (_class_id(name), server_id))
    finally:
        database.put_connection(connection, close=True)


@contextmanager
def _file_lock(name, server_id):
    # SQLite: all processes are on this machine, the file lies beside the
    # database
    descriptor = os.open(
        f'{_database_path()}-orthanc-{name}-{server_id}.lock',
        os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _database_path():
    cursor = Transaction().connection.cursor()
    cursor.execute('PRAGMA database_list')
    paths = {name: path for _, name, path in cursor.fetchall()}
    in_memory = os.path.join(
        tempfile.gettempdir(), f'health_orthanc-{os.getpid()}')
    return paths.get('main') or in_memory
