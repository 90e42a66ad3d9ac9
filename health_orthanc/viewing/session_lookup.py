# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup of one row, for each of many requests

A viewer asks for hundreds of images, each by a request.  A transaction of
trytond takes four statements where one is enough.
"""

import os
import threading

from psycopg2 import InterfaceError, OperationalError
from psycopg2.pool import PoolError

from trytond import backend
from trytond.transaction import Transaction

__all__ = ['fetch_one']

_lock = threading.Lock()
# The connection of each process and database
_connections = {}


def fetch_one(database_name, statement, parameters):
    """Return the first row that a statement finds.

    On PostgreSQL it is executed outside of a transaction, by a connection that
    is kept.  If that was lost, by a new one.

    Parameters
    ----------
    database_name : str
    statement : str
        Must only read.
    parameters : tuple

    Returns
    -------
    tuple or None
    """
    if backend.name != 'postgresql':
        with Transaction().start(
                database_name, 0, readonly=True) as transaction:
            return _execute(transaction.connection, statement, parameters)
    connection = _get_connection(database_name)
    try:
        return _execute(connection, statement, parameters)
    except (OperationalError, InterfaceError):
        _drop(database_name, connection)
    return _execute(_get_connection(database_name), statement, parameters)


def _execute(connection, statement, parameters):
    # Of several threads, one waits for the other
    cursor = connection.cursor()
    cursor.execute(statement, parameters)
    return cursor.fetchone()


def _get_connection(name):
    key = os.getpid(), name
    with _lock:
        database, connection = _connections.get(key, (None, None))
        if connection is None or connection.closed:
            database = backend.Database(name).connect()
            connection = database.get_connection(
                readonly=True, autocommit=True)
            _connections[key] = database, connection
        return connection


def _drop(name, connection):
    key = os.getpid(), name
    with _lock:
        database, current = _connections.get(key, (None, None))
        if current is not connection:
            return
        del _connections[key]
        try:
            database.put_connection(connection, close=True)
        except PoolError:
            # The database was closed meanwhile, and all its connections
            pass
