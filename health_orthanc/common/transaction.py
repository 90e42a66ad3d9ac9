# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Separate transactions and the current time"""

import datetime as dt
import time

from trytond import backend
from trytond.config import config
from trytond.model.modelsql import SQLConstraintError
from trytond.transaction import Transaction, TransactionError

__all__ = ['in_transaction', 'now']


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
            time.sleep(0.02 * count)
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
