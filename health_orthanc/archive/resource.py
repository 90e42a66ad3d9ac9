# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Common base of the records of Orthanc resources"""

from sql import Null
from sql.functions import CharLength

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pyson import Bool, Eval, If
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.access import GuardedMixin
from ..common.exceptions import ResourceAccessError
from ..common.indexes import text_clause
from ..common.registration import LayeredMixin, inherited_names
from ..common.transaction import now

__all__ = ['ResourceMixin', 'order_as_numbers', 'person_name_domain']


def person_name_domain(field, operator, value):
    """Return a domain that finds the words of a name in any order.

    Parameters
    ----------
    field : str
        The field with the name.
    operator : str
    value : str
        The searched words, separated by spaces or commas.

    Returns
    -------
    tuple or list
    """
    if operator not in {'ilike', 'like'} or not isinstance(value, str):
        return (field, operator, value)
    words = value.replace('%', ' ').replace(',', ' ').split()
    clauses = [(field, operator, f'%{word}%') for word in words]
    if value == f"%{value.strip('%')}%" and '%' not in value[1:-1]:
        # Without wildcards of the user
        clauses = [text_clause(*clause) for clause in clauses]
    return clauses or [(field, operator, value)]


def order_as_numbers(name):
    """Return the method that orders a column of texts as numbers.

    It orders 2 before 10.

    Parameters
    ----------
    name : str
        The column.

    Returns
    -------
    staticmethod
    """
    def order(tables):
        table, _ = tables[None]
        column = getattr(table, name)
        return [CharLength(column), column]
    return staticmethod(order)


class ResourceMixin(LayeredMixin, GuardedMixin):
    """A record of a resource (patient, study, series, instance) of Orthanc

    Users may edit the fields in `_editable_fields`; only the synchronization
    writes the others.
    """
    __slots__ = ()
    _editable_fields = frozenset()
    _visual_depends = frozenset({'missing_since'})

    missing_since = fields.DateTime(
        "Missing Since", readonly=True,
        states={'invisible': ~Bool(Eval('missing_since'))},
        help="The time when the record was first found missing on the "
        "server.")

    @classmethod
    def create(cls, vlist):
        if Transaction().check_access:
            for values in vlist:
                cls._check_editable(values.keys())
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        if Transaction().check_access:
            for values in args[1::2]:
                cls._check_editable(values.keys())
        super().write(*args)

    @classmethod
    def _check_editable(cls, names):
        refused = set(names) - inherited_names(cls, '_editable_fields')
        if refused:
            field = cls.__names__(min(refused))
            raise ResourceAccessError(gettext(
                    'health_orthanc.msg_mirror_readonly', **field))

    @classmethod
    def copy(cls, records, default=None):
        raise ResourceAccessError(
            gettext('health_orthanc.msg_mirror_copy', **cls.__names__()))

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', cls._visual(),
                sorted(inherited_names(cls, '_visual_depends'))),
            ]

    @classmethod
    def _visual(cls):
        return If(Bool(Eval('missing_since')), 'muted', '')

    @classmethod
    def mark_missing(cls, ids, at=None):
        """Mark records as missing on their server.

        Parameters
        ----------
        ids : iterable of int
        at : datetime, optional
            The time in UTC, by default now.

        Returns
        -------
        int
            The number of records that were not marked before.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        marked = 0
        for sub_ids in grouped_slice(list(ids)):
            cursor.execute(*table.update(
                    [table.missing_since], [at or now()],
                    where=reduce_ids(table.id, sub_ids)
                    & (table.missing_since == Null)))
            marked += cursor.rowcount
        return marked
