# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing of table rows in batches

The synchronization compares rows instead of records: mostly nothing has
changed, and loading records takes time.
"""

from operator import itemgetter
from types import SimpleNamespace

from sql import Cast, Select
from sql.functions import CurrentTimestamp, Function
from sql.operators import Any

from trytond import backend
from trytond.model import fields
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

__all__ = [
    'fetch_rows',
    'in_slices',
    'insert_rows',
    'is_one_of',
    'is_one_of_texts',
    'load_rows',
    'partition_changes',
    'read_columns',
    'write_rows',
    'write_column',
    ]


def fetch_rows(query):
    "Execute a query and return all of its rows"
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall()


def read_columns(Model, id_, *names):
    """Return values of one row, as they are in the database.

    Parameters
    ----------
    Model : ModelSQL
    id_ : int
    *names : str
        The columns.

    Returns
    -------
    SimpleNamespace
    """
    table = Model.__table__()
    values, = fetch_rows(table.select(
            *(getattr(table, name) for name in names), where=table.id == id_))
    return SimpleNamespace(**dict(zip(names, values)))


def is_one_of(column, values):
    """Return the condition that a column has one of many values.

    PostgreSQL gets an array: a thousand parameters take longer to be written
    and parsed than to be found.

    Parameters
    ----------
    column : Column
    values : iterable

    Returns
    -------
    Expression
    """
    values = list(values)
    if backend.name == 'postgresql':
        return column == Any(values)
    return column.in_(values)


def in_slices(values):
    """Divide values into slices that `is_one_of` takes in one query each.

    The arrays of PostgreSQL take all that a caller has in its memory.

    Parameters
    ----------
    values : iterable

    Returns
    -------
    iterable of iterable
    """
    values = list(values)
    if backend.name == 'postgresql':
        return [values] if values else []
    return grouped_slice(values)


def is_one_of_texts(column, values):
    """Return the condition that a text is one of many.

    As `is_one_of`, for a column that is also searched by a part of its text:
    PostgreSQL would find an array by the index for this, which takes
    milliseconds for each text.  The rows of a query are looked up one by one,
    in the B-tree.

    Parameters
    ----------
    column : Column
    values : iterable of str

    Returns
    -------
    Expression
    """
    values = list(values)
    if backend.name == 'postgresql':
        return column.in_(Select([_Unnest(Cast(values, 'VARCHAR[]'))]))
    return column.in_(values)


class _Unnest(Function):
    "The rows of an array"
    __slots__ = ()
    _function = 'UNNEST'


def load_rows(Model, key, orthanc_ids, **parents):
    """Return the rows with the given Orthanc ids.

    Parameters
    ----------
    Model : ModelSQL
    key : str
        The field with the Orthanc id.
    orthanc_ids : collection of str
    parents : collection of int
        One keyword argument: the Many2One field to the parent and the ids of
        the parents to search in.  Other servers may hold the same Orthanc
        ids.

    Returns
    -------
    dict of SimpleNamespace
        The columns of each row, by Orthanc id.
    """
    (parent, allowed), = parents.items()
    table = Model.__table__()
    names = [
        name for name, field in Model._fields.items()
        if not isinstance(field, fields.Function) and field.sql_type()]
    columns = [getattr(table, name) for name in names]
    cursor = Transaction().connection.cursor()
    known = {}
    for sub_ids in in_slices(orthanc_ids):
        cursor.execute(*table.select(
                *columns, where=is_one_of(getattr(table, key), sub_ids)))
        for values in cursor:
            row = SimpleNamespace(**dict(zip(names, values)))
            if getattr(row, parent) in allowed:
                known[getattr(row, key)] = row
    return known


def partition_changes(known, resources, get_values):
    """Return which resources to create and which rows to update.

    Parameters
    ----------
    known : dict
        The stored rows, from `load_rows`.
    resources : iterable
        Resources of Orthanc, with `orthanc_id`.
    get_values : callable
        Returns the field values of a resource.

    Returns
    -------
    created : list of tuple
        New resources and all of their values.
    updated : list of tuple
        Rows and their changed values.
    """
    created, updated = [], []
    for resource in {r.orthanc_id: r for r in resources}.values():
        row = known.get(resource.orthanc_id)
        values = get_values(resource)
        if row is None:
            created.append((resource, values))
            continue
        changed = {
            name: value for name, value in values.items()
            if getattr(row, name) != value}
        if changed:
            updated.append((row, changed))
    return created, updated


def write_rows(Model, updated):
    """Write values to the records of rows, equal values in one action.

    Parameters
    ----------
    Model : ModelSQL
    updated : list of tuple
        Rows or records, and the values for each.
    """
    alike = {}
    for row, values in updated:
        key = tuple(sorted(values.items(), key=itemgetter(0)))
        _, ids = alike.setdefault(key, (values, []))
        ids.append(row.id)
    actions = []
    for values, ids in alike.values():
        actions.extend((Model.browse(ids), values))
    if actions:
        Model.write(*actions)


def write_column(Model, name, by_value):
    """Write each value to its records in one statement, bypassing the ORM.

    Parameters
    ----------
    Model : ModelSQL
    name : str
        The field.
    by_value : dict
        Lists of record ids by value.
    """
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    for value, ids in by_value.items():
        for sub_ids in grouped_slice(ids):
            cursor.execute(*table.update(
                    [getattr(table, name)], [value],
                    where=reduce_ids(table.id, sub_ids)))


def insert_rows(Model, vlist):
    """Create records by SQL, bypassing the ORM.

    Parameters
    ----------
    Model : ModelSQL
    vlist : list of dict
        The values; all for the same columns.
    """
    if not vlist:
        return
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    columns = [getattr(table, name) for name in vlist[0]]
    stamp = [0, CurrentTimestamp()]
    for sub_vlist in grouped_slice(vlist):
        cursor.execute(*table.insert(
                [table.create_uid, table.create_date, *columns],
                [[*stamp, *values.values()] for values in sub_vlist]))
