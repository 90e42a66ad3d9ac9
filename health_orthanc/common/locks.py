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
import threading
from contextlib import contextmanager

from trytond import backend
from trytond.transaction import Transaction

__all__ = ['named_lock']


class _Sessions(threading.local):
    "The database sessions of the outermost locks that a thread holds"

    def __init__(self):
        self.by_database = {}


_sessions = _Sessions()


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
    key = _class_id(name), server_id
    with _session() as (cursor, held):
        # The session would get a lock that it has once more
        acquired = key not in held and _try(cursor, key)
        if not acquired:
            yield False
            return
        held.add(key)
        try:
            yield True
        finally:
            held.remove(key)
            _execute(cursor, 'pg_advisory_unlock', key)


def _try(cursor, key):
    _execute(cursor, 'pg_try_advisory_lock', key)
    acquired, = cursor.fetchone()
    return acquired


def _execute(cursor, function, key):
    # What psycopg2 raises for a connection that an inner lock has found
    # closed is no reason for trytond to repeat a task
    if cursor.connection.closed:
        raise backend.DatabaseOperationalError(
            "the database session of the locks was lost")
    cursor.execute(f'SELECT {function}(%s, %s)', key)


@contextmanager
def _session():
    """Open a database session for locks, or use the one of an outer lock.

    Locks belong to a session.  A separate connection with autocommit does not
    leave a transaction open meanwhile.

    Yields
    ------
    tuple
        A cursor, and the set of the keys of the locks that are held.
    """
    database = Transaction().database
    if session := _sessions.by_database.get(database.name):
        yield session
        return
    connection = database.get_connection(autocommit=True)
    try:
        session = connection.cursor(), set()
        _sessions.by_database[database.name] = session
        try:
            yield session
        finally:
            del _sessions.by_database[database.name]
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
