# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks across processes

A lock is independent of transactions.  It is released when the process that
holds it ends, for whatever reason.
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
    """Try to hold a lock during the context, without waiting for it.

    Parameters
    ----------
    name : str
        The task that the lock protects.
    server_id : int, optional
        The server of the task, if the task may run for several servers at
        once.

    Yields
    ------
    bool
        Whether the lock was acquired.
    """
    lock = (
        _postgresql_lock if backend.name == 'postgresql' else _file_lock)
    with lock(name, server_id) as acquired:
        yield acquired


def _class_id(name):
    "Return the first of the two keys of an advisory lock"
    return int.from_bytes(
        hashlib.sha256(f'health_orthanc{name}'.encode()).digest()[:4], 'big',
        signed=True)


@contextmanager
def _postgresql_lock(name, server_id):
    # The lock belongs to the database session. A separate connection with
    # autocommit does not leave a transaction open meanwhile.
    database = Transaction().database
    connection = database.get_connection(autocommit=True)
    try:
        cursor = connection.cursor()
        cursor.execute(
            'SELECT pg_try_advisory_lock(%s, %s)',
            (_class_id(name), server_id))
        acquired, = cursor.fetchone()
        try:
            yield acquired
        finally:
            if acquired:
                cursor.execute(
                    'SELECT pg_advisory_unlock(%s, %s)',
                    (_class_id(name), server_id))
    finally:
        database.put_connection(connection, close=True)


@contextmanager
def _file_lock(name, server_id):
    # SQLite: all processes are on one machine; the file is next to the
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
