# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the tables behind records, by the batch.

What is compared and stored by synchronisation is rows rather than records:
mostly nothing has changed, and records cost time to be loaded.
"""

from operator import itemgetter
from types import SimpleNamespace

from sql.functions import CurrentTimestamp

from trytond.model import fields
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

__all__ = [
    'insert_rows',
    'known_rows',
    'split_rows',
    'write_rows',
    'write_same',
    ]


def known_rows(Model, key, orthanc_ids, **parents):
    """Return what is stored of records, by their Orthanc id.

    It is what the columns hold, since nothing else is compared: records that
    did not change, mostly all, are not worth to be loaded.

    Parameters
    ----------
    key : str
        The field with the Orthanc id.
    parents : set of int
        The values of a Many2One field that are meant: another server may
        hold the same.
    """
    (parent, allowed), = parents.items()
    table = Model.__table__()
    names = [
        name for name, field in Model._fields.items()
        if not isinstance(field, fields.Function) and field.sql_type()]
    columns = [getattr(table, name) for name in names]
    cursor = Transaction().connection.cursor()
    known = {}
    for sub_ids in grouped_slice(list(orthanc_ids)):
        cursor.execute(*table.select(
                *columns, where=getattr(table, key).in_(list(sub_ids))))
        for values in cursor:
            row = SimpleNamespace(**dict(zip(names, values)))
            if getattr(row, parent) in allowed:
                known[getattr(row, key)] = row
    return known


def split_rows(known, resources, get_values):
    "Return resources with all values to create, rows with the changed ones"
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
    "Write values to the records of rows, those that are equal at once"
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


def write_same(Model, name, by_value):
    "Write each value to its records in one statement, by-passing the ORM"
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    for value, ids in by_value.items():
        for sub_ids in grouped_slice(ids):
            cursor.execute(*table.update(
                    [getattr(table, name)], [value],
                    where=reduce_ids(table.id, sub_ids)))


def insert_rows(Model, vlist):
    """Create records by SQL, by-passing the ORM.

    All have values for the same columns, which are those of mirrored tags.
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
