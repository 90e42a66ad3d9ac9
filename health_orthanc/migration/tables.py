# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the upgrade from 4.x and 5.0.x share.

The ``prepare_`` functions of the ``migration_`` modules run before Tryton
adapts a table, the ``convert_`` functions after it.  The models register in
the order server, patient, study, series, instance: when studies are converted,
their series are still as 5.0 left them.  All of it is one transaction, with
the rest of the update: either all is done or nothing.  What was done is told
as upgrade notes.
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

from ..core.dicom.values import display_names

__all__ = [
    'Doubles', 'count_rows', 'empty_to_null', 'execute',
    'fill_display_names', 'is_older', 'move_resources', 'add_note',
    'update_each']


def is_older(Model, module_name, column):
    "Whether the model's table was made before it had the column"
    # A table handler creates the table: its existence is asked for first
    return (backend.TableHandler.table_exist(Model._table)
        and not Model.__table_handler__(module_name).column_exist(column))


def execute(query):
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor


def add_note(kind, count=1, record=None, **values):
    "See `upgrade.UpgradeNote.add`"
    Pool().get('gnuhealth.orthanc.upgrade.note').add(
        kind, count, record, **values)


def count_rows(table, where=None):
    (count,), = execute(table.select(Count(Literal('*')), where=where))
    return count


def empty_to_null(table, names):
    columns = [getattr(table, name) for name in names]
    execute(table.update(columns, [NullIf(c, '') for c in columns]))


def fill_display_names(table, name, display_name):
    rows = execute(table.select(table.id, name, where=name != Null))
    update_each(table, table.id, display_name, [
            (id_, display) for id_, text in rows
            if (display := display_names(text))])


def update_each(table, key, column, pairs):
    "Write to the column, where the key is the first, the second of each pair"
    for sub_pairs in grouped_slice(pairs):
        values = Values(list(map(list, sub_pairs)))
        execute(table.update(
                [column], [values.column2], from_=[values],
                where=key == values.column1))


class Doubles:
    """Records of one Orthanc id below one parent, of which the first is kept

    Parameters
    ----------
    parent : str
        The column of the parent.
    """

    def __init__(self, Model, parent):
        self._model = Model.__name__
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
        "Return the query of who is kept and of columns of all the others"
        table, groups = Table(self._table._name), self._groups()
        return table.join(groups, condition=(
                (getattr(table, self._parent) == groups.parent)
                & (table.orthanc_UID == groups.orthanc_id))).select(
            groups.kept.as_('kept'),
            *(getattr(table, name).as_(name) for name in names),
            where=Literal(True) if first else table.id != groups.kept,
            order_by=table.id)

    def count(self):
        doubles = self._select('id')
        return count_rows(doubles)

    def links(self):
        "Return the query of the first link among the doubles of each"
        table, doubles = Table(self._table._name), self._select('id')
        linked = table.join(doubles, condition=table.id == doubles.id).select(
            doubles.kept, Min(table.id).as_('id'),
            where=(table.patient != Null) | (table.imaging_test != Null),
            group_by=doubles.kept)
        other = Table(self._table._name)
        return other.join(linked, condition=other.id == linked.id).select(
            linked.kept, other.patient, other.imaging_test)

    def merge_texts(self, name, separator='\n'):
        "Let the kept record have all the texts of its doubles"
        texts = defaultdict(dict)
        for kept, text in execute(self._select(name, first=True)):
            if text:
                texts[kept][text] = None
        for kept, found in texts.items():
            execute(self._table.update(
                    [getattr(self._table, name)], [separator.join(found)],
                    where=self._table.id == kept))

    def move_children(self, name, parent):
        child, doubles = Table(name), self._select('id')
        column = getattr(child, parent)
        execute(child.update(
                [column], [doubles.kept], from_=[doubles],
                where=column == doubles.id))

    def delete(self):
        "Delete the doubles, their attachments and notes go to the kept ones"
        doubles = self._select('id')
        move_resources(
            doubles, self._model, doubles.id, self._model, doubles.kept)
        execute(self._table.delete(
                where=self._table.id.in_(doubles.select(doubles.id))))


def move_resources(source, from_model, from_id, to_model, to_id):
    """Let attachments, notes and e-mails hang on other records.

    Parameters
    ----------
    source : FromItem
        What the columns `from_id` and `to_id` are of.
    """
    for name in ['ir_attachment', 'ir_note', 'ir_email']:
        table = Table(name)
        execute(table.update(
                [table.resource], [_reference(to_model, to_id)],
                from_=[source],
                where=table.resource == _reference(from_model, from_id)))


def _reference(model, id_):
    return Concat(f'{model},', Cast(id_, 'VARCHAR'))
