# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a kind at a time for each server, over all processes.

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

__all__ = ['server_lock']


@contextmanager
def server_lock(server_id, name=''):
    """Take the lock of a server for the time of the context.

    Parameters
    ----------
    name : str
        What is done; nothing for synchronisation.

    Yields
    ------
    bool
        Whether it was free.
    """
    lock = (
        _postgresql_lock if backend.name == 'postgresql' else _file_lock)
    with lock(server_id, name) as taken:
        yield taken


def _class_id(name):
    "Return the first of the two numbers that an advisory lock is known by"
    return int.from_bytes(
        hashlib.sha256(f'health_orthanc{name}'.encode()).digest()[:4], 'big',
        signed=True)


@contextmanager
def _postgresql_lock(server_id, name):
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
def _file_lock(server_id, name):
    # SQLite: all processes are on this machine, the file lies beside the
    # database
    parts = ['orthanc', *filter(None, [name]), str(server_id)]
    descriptor = os.open(
        f"{_database_path()}-{'-'.join(parts)}.lock",
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
