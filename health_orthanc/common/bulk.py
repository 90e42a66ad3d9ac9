# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing of many records by SQL, as the ORM would write them

The ORM needs milliseconds for a record.  What bypasses it must not bypass what
others have added: see `may_bypass`.
"""

import datetime as dt
import io
import re
from functools import reduce
from itertools import repeat
from operator import and_

from sql import Column
from sql.aggregate import Max
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp

from trytond import backend
from trytond.i18n import gettext
from trytond.model import Unique, fields
from trytond.model.modelsql import SQLConstraintError
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from .registration import is_ours

__all__ = [
    'create_rows', 'insert_values', 'is_extended', 'may_bypass', 'update_rows']

_TRYTOND = 'trytond.model.'
_WRITE_LIMIT = 1000
# Columns that the database access itself sets
_OWN = {'create_uid', 'create_date', 'write_uid', 'write_date', 'id'}


def may_bypass(Model, *actions):
    """Return whether records may be created or written by SQL.

    They may not if a trigger of the administrator wants to know of them, or
    if another module extends the method.

    Parameters
    ----------
    Model : ModelSQL
    *actions : str
        ``'create'`` or ``'write'``.

    Returns
    -------
    bool
    """
    Trigger = Pool().get('ir.trigger')
    return not any(
        Trigger.get_triggers(Model.__name__, action)
        or is_extended(Model, action, 'validate', 'validate_fields')
        for action in actions)


def is_extended(Model, *names, but=_TRYTOND):
    """Return whether a module other than ours extends methods.

    Parameters
    ----------
    Model : type
    *names : str
    but : str, optional
        What the names of modules begin with that do not count, either.

    Returns
    -------
    bool
    """
    return any(
        not (is_ours(base) or base.__module__.startswith((_TRYTOND, but)))
        for base in Model.__mro__ if not vars(base).keys().isdisjoint(names))


def create_rows(Model, vlist):
    """Create records with their default values, as `Model.create` does.

    Where that has to be called, it is.

    Parameters
    ----------
    Model : ModelSQL
    vlist : list of dict
        The values; all for the same fields.

    Raises
    ------
    DatabaseIntegrityError, SQLConstraintError
        Another transaction has created one of them meanwhile.
    """
    if not vlist:
        return
    if not may_bypass(Model, 'create'):
        Model.create(vlist)
        return
    columns = dict(zip(vlist[0], zip(*(v.values() for v in vlist))))
    for name, value in _defaults(Model, vlist[0]).items():
        columns[name] = [value] * len(vlist)
    last = _last_id(Model)
    _insert_columns(Model, columns, Transaction().user)
    _check_unique(Model, last)


def _last_id(Model):
    "Return the highest id, or None where it is not needed"
    if backend.name == 'sqlite':
        table = Model.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(Coalesce(Max(table.id), 0)))
        return cursor.fetchone()[0]


def _check_unique(Model, last):
    """Check that the rows after an id are unique where SQLite does not.

    Another process may have stored them since they were looked for: SQLite
    locks the database with the first row that is written.
    """
    if last is None:
        return
    table, other = Model.__table__(), Model.__table__()
    cursor = Transaction().connection.cursor()
    for _, constraint, error in Model._sql_constraints:
        if not isinstance(constraint, Unique):
            continue
        same = reduce(and_, [
                Column(table, column.name) == Column(other, column.name)
                for column in constraint.columns])
        cursor.execute(*table.join(
                other, condition=same & (table.id != other.id)
                ).select(table.id, where=table.id > last, limit=1))
        if cursor.fetchone():
            raise SQLConstraintError(gettext(error))


def _defaults(Model, values):
    "Return the default values of the columns that are not given"
    # Those without a default value as well: booleans are false
    names = [
        name for name, field in Model._fields.items()
        if name not in {*values, *_OWN}
        and not isinstance(field, fields.Function) and field.sql_type()]
    found = Model.default_get(names, with_rec_name=False)
    return {name: found[name] for name in names if name in found}


def insert_values(Model, names, rows, user=0):
    """Insert rows, in one statement where the database can.

    Parameters
    ----------
    Model : ModelSQL
    names : list of str
        The columns.
    rows : iterable of list
        The values of fields.
    user : int
        Who has created them.
    """
    _insert_columns(Model, dict(zip(names, zip(*rows))), user)


def _insert_columns(Model, columns, user):
    "Insert rows, given by the values of each column"
    if not columns:
        return
    cursor = Transaction().connection.cursor()
    if backend.name == 'postgresql':
        _copy(cursor, Model._table, list(columns), [
                _format_column(Model._fields[name], values)
                for name, values in columns.items()], user)
        return
    formats = [Model._fields[name].sql_format for name in columns]
    table = Model.__table__()
    names = [table.create_uid, table.create_date]
    names += [Column(table, name) for name in columns]
    rows = zip(*(
            _convert(format_, values)
            for format_, values in zip(formats, columns.values())))
    for some in grouped_slice(list(rows)):
        cursor.execute(*table.insert(names, [
                    [user, CurrentTimestamp(), *row] for row in some]))


def _convert(function, values):
    "Return what a function makes of values, equal ones once"
    known = {value: function(value) for value in set(values)}
    return [known[value] for value in values]


def _copy(cursor, table, names, columns, user):
    "Copy rows to a table of PostgreSQL; the server sets the time of creation"
    cursor.execute('SELECT CAST(CURRENT_TIMESTAMP AS TIMESTAMP(6))')
    at, = cursor.fetchone()
    start = [repeat(str(user)), repeat(at.isoformat())]
    lines = map('\t'.join, zip(*start, *columns))
    names = ', '.join(
        f'"{name}"' for name in ['create_uid', 'create_date', *names])
    cursor.copy_expert(
        f'COPY "{table}" ({names}) FROM STDIN',
        io.StringIO('\n'.join(lines) + '\n'))


def _format_column(field, values):
    """Return values of a field as the text format of COPY has them.

    Of most columns, all values are texts or numbers without anything special.
    """
    if isinstance(field, fields.Binary):
        return [
            _NULL if v is None else _BYTES + bytes(v).hex() for v in values]
    types = set(map(type, values))
    format_ = type(field).sql_format
    if types <= {str, _NONE} and (
            format_ is fields.Char.sql_format and field.strip is True):
        if not _SPECIAL.search(''.join(filter(None, values))):
            return [_NULL if v is None else v.strip() for v in values]
    elif types <= {int, _NONE} and format_ in {
            fields.Integer.sql_format, fields.Many2One.sql_format}:
        return [_NULL if v is None else str(v) for v in values]
    return _convert(lambda value: _text(field.sql_format(value)), values)


_NONE = type(None)
_NULL = r'\N'
# Before the digits of a binary value
_BYTES = r'\\x'
_SPECIAL = re.compile(r'[\\\t\n\r]')
# The backslash first
_ESCAPED = [('\\', r'\\'), ('\t', r'\t'), ('\n', r'\n'), ('\r', r'\r')]


def _text(value):
    "Return a value as the text format of COPY has it"
    if value is None:
        return _NULL
    if isinstance(value, str):
        if _SPECIAL.search(value):
            # Of a long text a fraction of the time of `translate`
            for character, escaped in _ESCAPED:
                value = value.replace(character, escaped)
        return value
    if value is True or value is False:
        return 't' if value else 'f'
    if isinstance(value, (int, dt.date, dt.time)):
        return str(value)
    raise TypeError(f"{type(value)} cannot be copied")


def update_rows(Model, names, rows, user=0):
    """Write values to records, in few statements.

    Parameters
    ----------
    Model : ModelSQL
    names : list of str
        The fields.
    rows : list of tuple
        The id of each record, and its values.
    user : int or None
        Who has written them.  With None, neither user nor time are noted:
        whoever has the form of a record open gets no conflict.
    """
    if not rows:
        return
    ids, *columns = zip(*rows)
    rows = list(zip(ids, *(
                _convert(Model._fields[name].sql_format, values)
                for name, values in zip(names, columns))))
    if backend.name == 'postgresql':
        for some in grouped_slice(rows, _WRITE_LIMIT):
            _update_from_values(Model, names, list(some), user)
    else:
        for some in grouped_slice(rows):
            _update_from_parameters(Model, names, list(some), user)


def _update_from_values(Model, names, rows, user):
    cursor = Transaction().connection.cursor()
    # Columns of nothing but NULL have no type of their own
    types = [Model._fields[name].sql_type().type for name in names]
    assigned = [
        f'"{name}" = CAST(v."{name}" AS {type_})'
        for name, type_ in zip(names, types)]
    if user is not None:
        assigned += [
            f'write_uid = {int(user)}', 'write_date = CURRENT_TIMESTAMP']
    columns = ', '.join(f'"{name}"' for name in ['id', *names])
    place = f"({', '.join(['%s'] * (len(names) + 1))})"
    values = b', '.join(cursor.mogrify(place, row) for row in rows).decode()
    # The values are literals by now, in which % is no placeholder
    cursor.execute(
        f'UPDATE "{Model._table}" SET {", ".join(assigned)} '
        f'FROM (VALUES {values}) AS v ({columns}) '
        f'WHERE "{Model._table}".id = v.id')


def _update_from_parameters(Model, names, rows, user):
    "Update in SQLite, which names the columns of VALUES itself"
    cursor = Transaction().connection.cursor()
    assigned = [
        f'"{name}" = v.column{number}'
        for number, name in enumerate(names, start=2)]
    if user is not None:
        assigned += [f'write_uid = {int(user)}', 'write_date = NOW()']
    place = f"({', '.join(['?'] * (len(names) + 1))})"
    cursor.execute(
        f'UPDATE "{Model._table}" SET {", ".join(assigned)} '
        f'FROM (VALUES {", ".join([place] * len(rows))}) AS v '
        f'WHERE "{Model._table}".id = v.column1',
        [value for row in rows for value in row])
