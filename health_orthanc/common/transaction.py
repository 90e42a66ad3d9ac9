# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Separate transactions, the end of reading, and the current time"""

import datetime as dt
import logging
import random
import time

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from trytond import backend
from trytond.config import config
from trytond.model.modelsql import SQLConstraintError
from trytond.transaction import Transaction, TransactionError

__all__ = ['end_reading', 'has_written', 'in_transaction', 'now']

logger = logging.getLogger('trytond.modules.health_orthanc.transaction')


def now():
    """Return the current time as Tryton stores it.

    Returns
    -------
    datetime
        UTC, naive, in whole seconds.
    """
    return dt.datetime.now().replace(microsecond=0)


def in_transaction(func, *args):
    """Call a function in a new transaction as root, and commit.

    After a conflict with another transaction the function is called again.

    Parameters
    ----------
    func : callable
    args : tuple
        The arguments of the function.

    Returns
    -------
    object
        The result of the function.

    Raises
    ------
    DatabaseOperationalError, DatabaseIntegrityError, SQLConstraintError
        If the conflict persists.
    """
    retries = config.getint('database', 'retry')
    extras = {}
    count = 0
    while True:
        if count:
            # Those that have met shall not meet again
            time.sleep(random.uniform(0.5, 1.5) * 0.01 * 2 ** count)
        with Transaction().new_transaction(**extras) as transaction:
            try:
                with transaction.set_user(0), transaction.set_context(
                        _check_access=False, active_test=False):
                    result = func(*args)
                transaction.commit()
                return result
            except TransactionError as error:
                transaction.rollback()
                error.fix(extras)
            except backend.DatabaseOperationalError:
                transaction.rollback()
                if count >= retries:
                    raise
                count += 1
            except (backend.DatabaseIntegrityError, SQLConstraintError):
                # Another transaction may have stored the same meanwhile
                transaction.rollback()
                if count:
                    raise
                count += 1


def end_reading():
    """End the transactions of this thread in the database, before a wait.

    A button, a task or a getter works in a transaction of trytond.  It must
    not stay open while the network is waited for: PostgreSQL could not clean
    its tables, and may end such a session.  What is read afterwards is read
    in a new one.  A transaction that has written stays open.
    """
    # Only PostgreSQL begins one for reading
    if backend.name != 'postgresql':
        return
    # Those below the current one, too: it may be a nested one
    for transaction in Transaction._local.transactions:
        connection = transaction.connection
        if connection and _is_open(connection):
            if _has_written(connection):
                logger.warning(
                    "The network is used by a transaction that has written")
            else:
                connection.rollback()


def has_written():
    """Return whether the current transaction has something to commit.

    Returns
    -------
    bool
    """
    connection = Transaction().connection
    if backend.name == 'sqlite':
        return connection.in_transaction
    return _is_open(connection) and _has_written(connection)


def _is_open(connection):
    return connection.info.transaction_status == TRANSACTION_STATUS_INTRANS


def _has_written(connection):
    with connection.cursor() as cursor:
        # Locking of records counts, too
        cursor.execute('SELECT pg_current_xact_id_if_assigned() IS NOT NULL')
        written, = cursor.fetchone()
    return written
