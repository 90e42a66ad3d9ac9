# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Common functions of the migrations

The ``prepare_`` functions run before trytond adapts a table, the ``convert_``
functions after it.  The models register in the order server, patient, study,
series, instance: when studies are converted, their series are still those of
5.0.  The whole update is one transaction.  Upgrade notes record what was done.
"""

from collections import defaultdict

from sql import Cast, Literal, Null, Table, Values
from sql.aggregate import Count, Min
from sql.conditionals import NullIf
from sql.operators import Concat

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.application import MODULE
from ..core.dicom.values import display_names

__all__ = [
    'Duplicates', 'count_rows', 'empty_to_null', 'execute',
    'fill_display_names', 'is_older', 'move_resources', 'add_note',
    'update_each']


def is_older(Model, module_name, column):
    "Return whether the model's table exists without the column"
    # A table handler creates the table: check whether it exists before
    return (backend.TableHandler.table_exist(Model._table)
        and not Model.__table_handler__(module_name).column_exist(column))


def execute(query):
    "Execute a query, and return the cursor"
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor


def add_note(kind, count=1, record=None, **values):
    "Add an upgrade note, see `UpgradeNote.add`"
    Pool().get('gnuhealth.orthanc.upgrade.note').add(
        kind, count, record, **values)


def count_rows(table, where=None):
    "Return the number of rows of a table or query"
    (count,), = execute(table.select(Count(Literal('*')), where=where))
    return count


def empty_to_null(table, names):
    "Replace empty texts with NULL in columns"
    columns = [getattr(table, name) for name in names]
    execute(table.update(columns, [NullIf(c, '') for c in columns]))


def fill_display_names(table, name, display_name):
    "Fill a column of display names from one of DICOM names (PN)"
    rows = execute(table.select(table.id, name, where=name != Null))
    update_each(table, table.id, display_name, [
            (id_, display) for id_, text in rows
            if (display := display_names(text))])


def update_each(table, key, column, pairs):
    """Write a value for each key.

    Parameters
    ----------
    table : Table
    key, column : Column
        The column to compare, and the one to write.
    pairs : list of tuple
        Keys and values.
    """
    for sub_pairs in grouped_slice(pairs):
        values = Values(list(map(list, sub_pairs)))
        execute(table.update(
                [column], [values.column2], from_=[values],
                where=key == values.column1))


# Columns that no duplicate gives to the record that is kept: others decide
# about links
_OWN_COLUMNS = {
    'id', 'create_uid', 'create_date', 'write_uid', 'write_date',
    'orthanc_UID', 'patient', 'imaging_test'}


class Duplicates:
    """Records with the same parent and Orthanc id; the first one is kept

    Parameters
    ----------
    Model : ModelSQL
    parent : str
        The column of the parent.
    """

    def __init__(self, Model, parent):
        self._model = Model.__name__
        self._handler = Model.__table_handler__(MODULE)
        self._table = Table(Model._table)
        self._parent = parent

    def _groups(self):
        table = Table(self._table._name)
        parent = getattr(table, self._parent)
        return table.select(
            parent.as_('parent'), table.orthanc_UID.as_('orthanc_id'),
            Min(table.id).as_('kept'),
            group_by=[parent, table.orthanc_UID],
            having=Count(Literal('*')) > 1)

    def _select(self, *names, first=False):
        "Return a query for the kept id and columns of the other records"
        table, groups = Table(self._table._name), self._groups()
        return table.join(groups, condition=(
                (getattr(table, self._parent) == groups.parent)
                & (table.orthanc_UID == groups.orthanc_id))).select(
            groups.kept.as_('kept'),
            *(getattr(table, name).as_(name) for name in names),
            where=Literal(True) if first else table.id != groups.kept,
            order_by=table.id)

    def count(self):
        "Return the number of records that are not kept"
        duplicates = self._select('id')
        return count_rows(duplicates)

    def links(self):
        "Return a query for the first link among the duplicates of each"
        table, duplicates = Table(self._table._name), self._select('id')
        linked = table.join(
            duplicates, condition=table.id == duplicates.id).select(
            duplicates.kept, Min(table.id).as_('id'),
            where=(table.patient != Null) | (table.imaging_test != Null),
            group_by=duplicates.kept)
        other = Table(self._table._name)
        return other.join(linked, condition=other.id == linked.id).select(
            linked.kept, other.patient, other.imaging_test)

    def merge_texts(self, name, separator='\n'):
        "Join the distinct texts of the duplicates in the kept record"
        texts = defaultdict(dict)
        for kept, text in execute(self._select(name, first=True)):
            if text:
                texts[kept][text] = None
        for kept, found in texts.items():
            execute(self._table.update(
                    [getattr(self._table, name)], [separator.join(found)],
                    where=self._table.id == kept))

    def fill_values(self):
        """Give the kept records the values that only their duplicates have.

        The duplicates are asked in the order in which they were created.
        """
        names = sorted(
            self._handler._columns.keys() - _OWN_COLUMNS - {self._parent})
        lacking = defaultdict(dict)
        held = defaultdict(dict)
        for kept, id_, *values in execute(
                self._select('id', *names, first=True)):
            for name, value in zip(names, values):
                if id_ == kept:
                    held[name][kept] = value
                elif not _is_empty(value):
                    lacking[name].setdefault(kept, value)
        for name, values in lacking.items():
            update_each(
                self._table, self._table.id, getattr(self._table, name), [
                    (kept, value) for kept, value in values.items()
                    if _is_empty(held[name].get(kept))])

    def move_children(self, name, parent):
        "Give the rows of a child table the kept record as parent"
        child, duplicates = Table(name), self._select('id')
        column = getattr(child, parent)
        execute(child.update(
                [column], [duplicates.kept], from_=[duplicates],
                where=column == duplicates.id))

    def delete(self):
        "Delete the duplicates after moving their attachments and notes"
        duplicates = self._select('id')
        move_resources(
            duplicates, self._model, duplicates.id, self._model,
            duplicates.kept)
        execute(self._table.delete(
                where=self._table.id.in_(duplicates.select(duplicates.id))))


def _is_empty(value):
    return value is None or value == ''


def move_resources(source, from_model, from_id, to_model, to_id):
    """Move attachments, notes and e-mails to other records.

    Parameters
    ----------
    source : FromItem
        The table or query of the columns `from_id` and `to_id`.
    from_model, to_model : str
    from_id, to_id : Column
    """
    for name in ['ir_attachment', 'ir_note', 'ir_email']:
        table = Table(name)
        execute(table.update(
                [table.resource], [_reference(to_model, to_id)],
                from_=[source],
                where=table.resource == _reference(from_model, from_id)))


def _reference(model, id_):
    return Concat(f'{model},', Cast(id_, 'VARCHAR'))
