# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that move to the replacement of a patient, and back

They are moved by SQL in batches, as Tryton's *Replace Party* does: links of
studies must not pass for decisions of the user.
"""

import json
from collections import defaultdict

from sql.functions import CurrentTimestamp

from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.rows import fetch_rows, insert_rows
from .explanations import REPLACED
from .history import CONFIRMED
from .patient_fields import (
    PARTY, PATIENT, REQUEST, RESULT, STUDY, followed_links, patient_fields)

__all__ = [
    'ReplacementMove', 'hold_studies', 'joined', 'move_records', 'undo_moves']

_ATTACHMENT = 'ir.attachment'
# What has to be as it was left, for a record to be moved back
_CHECKED = {
    (STUDY, 'patient'): ['request', 'imaging_test', 'link_status'],
    ('gnuhealth.orthanc.patient', 'patient'): ['decided_by'],
    }


class ReplacementMove(ModelSQL):
    "Moved Record of a Replaced Patient"
    __name__ = 'gnuhealth.imaging_orthanc.replacement.move'

    replacement = fields.Many2One(
        'gnuhealth.imaging_orthanc.replacement', "Replacement", required=True,
        ondelete='CASCADE')
    model = fields.Char("Model", required=True)
    record = fields.Integer("Record", required=True)
    before = fields.Text("Values Before", required=True, strip=False)
    after = fields.Text("Values After", required=True, strip=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(table, (table.replacement, Index.Equality())))
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    def store(cls, replacement, moves):
        """Store moves.

        Parameters
        ----------
        replacement : Replacement
        moves : list of tuple
            Model, id, and the values before and after.
        """
        insert_rows(cls, [{
                    'replacement': replacement.id,
                    'model': model,
                    'record': id_,
                    'before': json.dumps(before),
                    'after': json.dumps(after),
                    } for model, id_, before, after in moves])

    @classmethod
    def forget(cls, replacement):
        "Delete the moves of a replacement"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.delete(
                where=table.replacement == replacement.id))

    @classmethod
    def load(cls, replacement):
        """Return the moves of a replacement, as `store` takes them.

        Parameters
        ----------
        replacement : Replacement

        Returns
        -------
        list of tuple
        """
        table = cls.__table__()
        return [
            (model, id_, json.loads(before), json.loads(after))
            for model, id_, before, after in fetch_rows(table.select(
                    table.model, table.record, table.before, table.after,
                    where=table.replacement == replacement.id,
                    order_by=table.id))]


def _read(model, ids, names):
    "Return the values of records by their ids, as they are stored"
    table = Pool().get(model).__table__()
    columns = [getattr(table, name) for name in names]
    found = {}
    for some in grouped_slice(sorted(ids)):
        for id_, *values in fetch_rows(table.select(
                    table.id, *columns, where=reduce_ids(table.id, some))):
            found[id_] = dict(zip(names, values))
    return found


def _write(model, by_id):
    "Write values of records, equal ones in one statement"
    Model = Pool().get(model)
    table = Model.__table__()
    cursor = Transaction().connection.cursor()
    alike = defaultdict(list)
    for id_, values in by_id.items():
        alike[tuple(sorted(values.items()))].append(id_)
    for values, ids in alike.items():
        columns = [getattr(table, name) for name, _ in values]
        for some in grouped_slice(ids):
            cursor.execute(*table.update(
                    [*columns, table.write_date, table.write_uid],
                    [*(value for _, value in values), CurrentTimestamp(),
                        Transaction().user],
                    where=reduce_ids(table.id, some)))
    if by_id:
        Model._insert_history(list(by_id))


def _write_all(records):
    "Write pairs of a record, as its model and id, and of values"
    by_model = defaultdict(dict)
    for (model, id_), values in records:
        by_model[model].setdefault(id_, {}).update(values)
    for model, by_id in by_model.items():
        _write(model, by_id)
    for cache in Transaction().cache.values():
        cache.clear()


# --- Moving


def hold_studies(ids):
    """Let the links of studies wait for a review, and return the moves.

    Steps and results stay as they are.

    Parameters
    ----------
    ids : iterable of int

    Returns
    -------
    list of tuple
        See `ReplacementMove.store`.
    """
    moves = []
    names = [
        'patient', 'request', 'imaging_test', 'link_status', 'doubt',
        'decided_by', 'historical']
    for id_, row in _read(STUDY, ids, names).items():
        if row['link_status'] in CONFIRMED:
            moves.append((STUDY, id_, row, {**row, **_held_values()}))
    _write_all([((STUDY, id_), _held_values()) for _, id_, _, _ in moves])
    return moves


def _held_values():
    return {
        'link_status': 'auto_unsure', 'doubt': REPLACED, 'decided_by': None,
        # Studies that were there on the first day wait, too
        'historical': False}


def move_records(patients, parties):
    """Move the imaging records of a patient, and return the moves.

    Parameters
    ----------
    patients, parties : tuple of int
        The ids of the former and of the new one.

    Returns
    -------
    list of tuple
        See `ReplacementMove.store`.
    """
    moves = _key_image_moves(*patients)
    for model, name, target in patient_fields():
        if target is None:
            pairs = [
                tuple(f'{kind},{id_}' for id_ in ids)
                for kind, ids in [(PATIENT, patients), (PARTY, parties)]]
        else:
            pairs = [patients if target == PATIENT else parties]
        for former, new in pairs:
            moves += _field_moves(model, name, former, new)
    _write_all([
            ((model, id_), {
                    name: value for name, value in after.items()
                    if value != before[name]})
            for model, id_, before, after in moves])
    return moves


def _field_moves(model, name, former, new):
    table = Pool().get(model).__table__()
    ids = [id_ for id_, in fetch_rows(table.select(
                table.id, where=getattr(table, name) == former))]
    names = [name, *_CHECKED.get((model, name), [])]
    return [
        (model, id_, row, {**row, name: new})
        for id_, row in _read(model, ids, names).items()] if ids else []


def joined(moves):
    """Return the moves with one for each record.

    What was suggested for a study is a move of its own: it may change without
    its link.

    Parameters
    ----------
    moves : list of tuple
        See `ReplacementMove.store`.

    Returns
    -------
    list of tuple
    """
    found = {}
    for model, id_, before, after in moves:
        first, last = found.setdefault(
            (model, id_, 'candidate' in after), ({}, {}))
        for name, value in before.items():
            first.setdefault(name, value)
        last.update(after)
    return [
        (model, id_, before, after)
        for (model, id_, _), (before, after) in found.items()]


def _key_image_moves(former, new):
    "Return the moves of the key images that are attached to a patient"
    pool = Pool()
    attachment = pool.get(_ATTACHMENT).__table__()
    study = pool.get(STUDY).__table__()
    return [
        (_ATTACHMENT, id_, {'resource': f'{PATIENT},{former}'},
            {'resource': f'{PATIENT},{new}'})
        for id_, in fetch_rows(attachment.join(
                study, condition=study.key_image == attachment.id).select(
                attachment.id, where=(study.patient == former)
                & (attachment.resource == f'{PATIENT},{former}')))]


# --- Moving back


def undo_moves(moves, patients=None):
    """Move records back that nobody has changed since.

    Orders, results and studies that belong together are moved together.

    Parameters
    ----------
    moves : list of tuple
        See `ReplacementMove.store`.
    patients : tuple of int, optional
        The ids of the former and of the new patient.

    Returns
    -------
    moved, left : set of tuple
        Models and ids of the records; those that are gone are in neither.
    """
    present = _present(moves)
    back, left = {}, set()
    for model, id_, before, after in moves:
        row = present.get((model, id_))
        if row and all(row[name] == value for name, value in after.items()):
            back.setdefault((model, id_), {}).update(before)
        elif row and 'candidate' not in after:
            left.add((model, id_))
    for record in left:
        back.pop(record, None)
    if patients:
        followers, fixed = _with_neighbors(set(back), left, *patients)
        left |= fixed
        for record in fixed:
            back.pop(record, None)
        back.update({
                record: {'patient': patients[0]} for record in followers})
    _write_all(back.items())
    return set(back), left


def _present(moves):
    names, ids = defaultdict(set), defaultdict(set)
    for model, id_, _, after in moves:
        names[model] |= after.keys()
        ids[model].add(id_)
    return {
        (model, id_): row for model in ids
        for id_, row in _read(model, ids[model], sorted(names[model])).items()}


def _with_neighbors(back, left, former, new):
    """Return the records that follow others back, and those that cannot go.

    Returns
    -------
    tuple of set
    """
    back = {record for record in back if record[0] in _NODES}
    groups = _groups(back)
    others = set().union(*groups) - back - left
    free = _free(others, new)
    followers, fixed = set(), set()
    for group in groups:
        if group <= back | free:
            followers |= group & free
        else:
            fixed |= group & back
    return followers, fixed


_NODES = {REQUEST, RESULT, STUDY}


def _free(records, patient):
    """Return the records that nobody has given to the patient.

    They are the results of moved orders, and studies that were linked
    automatically.
    """
    free = set()
    for model in [RESULT, STUDY]:
        names = ['patient'] if model == RESULT else [
            'patient', 'decided_by', 'link_status']
        ids = {id_ for name, id_ in records if name == model}
        for id_, row in _read(model, ids, names).items():
            if row['patient'] == patient and (model == RESULT or (
                        not row['decided_by']
                        and row['link_status'] != 'manual')):
                free.add((model, id_))
    return free


def _groups(records):
    "Return sets of records that are linked with each other now"
    by_model = defaultdict(set)
    for model, id_ in records:
        by_model[model].add(id_)
    group_of = {record: {record} for record in records}
    for model, links in followed_links():
        for linked in _linked(model, links, by_model):
            joined = set().union(*(
                    group_of.get(record, {record}) for record in linked))
            group_of.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in group_of.values()}.values())


def _linked(model, links, by_model):
    "Yield the records that each row of a model links with each other"
    table = Pool().get(model).__table__()
    columns = [getattr(table, name) for name, _ in links]
    conditions = [
        (column, by_model[target])
        for column, (_, target) in zip(columns, links)]
    conditions.append((table.id, by_model.get(model, set())))
    rows = set()
    for column, ids in conditions:
        for some in grouped_slice(sorted(ids)):
            rows.update(map(tuple, fetch_rows(table.select(
                            table.id, *columns,
                            where=reduce_ids(column, some)))))
    for id_, *values in rows:
        linked = {
            (target, value) for (_, target), value in zip(links, values)
            if value}
        if model in _NODES:
            linked.add((model, id_))
        yield linked
