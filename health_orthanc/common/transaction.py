# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions of their own, and the time that is stored in them."""

import datetime as dt
import time

from trytond import backend
from trytond.config import config
from trytond.model.modelsql import SQLConstraintError
from trytond.transaction import Transaction, TransactionError

__all__ = ['in_transaction', 'now']


def now():
    "Return the current time as Tryton keeps it: UTC, without a zone"
    return dt.datetime.now().replace(microsecond=0)


def in_transaction(func, *args):
    """Call the function in a transaction of its own and commit.

    It runs as root, and again after a conflict with another transaction.
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
