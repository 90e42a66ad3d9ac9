# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics that count what the user may read, and nothing else"""

import datetime as dt

from sql import Literal, Null
from sql.functions import CurrentTimestamp

from trytond.model import ModelSQL, ModelView
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.access import GuardedMixin
from ..common.transaction import now

__all__ = ['DAYS', 'StatisticsMixin', 'days_ago', 'readable']

# How far most statistics look back
DAYS = 30


class StatisticsMixin(GuardedMixin, ModelSQL, ModelView):
    """A model whose records are computed by one statement

    Subclasses define ``table_query``, and the models whose records it counts.
    """
    __slots__ = ()
    _counted_models = ()

    @classmethod
    def table_query(cls):
        "Return the statement that computes the records"
        raise NotImplementedError

    @classmethod
    def _columns(cls, **expressions):
        "Return the columns of a record, by the names of the fields"
        return [
            Literal(0).as_('create_uid'),
            CurrentTimestamp().as_('create_date'),
            cls.write_uid.sql_cast(Literal(Null)).as_('write_uid'),
            cls.write_date.sql_cast(Literal(Null)).as_('write_date'),
            *(expression.as_(name)
                for name, expression in expressions.items()),
            ]


def readable(Model, domain, names=()):
    """Return a query of the records that the current user may read.

    The record rules are part of it.

    Parameters
    ----------
    Model : ModelSQL
    domain : list
    names : iterable of str, optional
        Fields of the records whose values are shown.

    Returns
    -------
    tuple of Select and Table
        The query has no columns of use and no order; its condition is on the
        table.

    Raises
    ------
    AccessError
        The user may not read the model or one of the fields.
    """
    transaction = Transaction()
    # Our own code counts for users, too
    with transaction.set_context(_check_access=bool(transaction.user)):
        Pool().get('ir.model.field.access').check(
            Model.__name__, list(names), 'read')
        query = Model.search(domain, order=[], query=True)
    table = query.columns[0].expression.table
    return query, table


def days_ago(days):
    """Return the time at so many days before now.

    Parameters
    ----------
    days : int

    Returns
    -------
    datetime
    """
    return now() - dt.timedelta(days=days)
