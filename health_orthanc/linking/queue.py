# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue of the studies to be matched

A study is in the queue while its field `matched_at` is empty: it is new, it
has changed, or a patient or an order that may match was changed.
"""

import datetime as dt
from collections import Counter

from sql import For, Literal, Null, Union, Window
from sql.aggregate import Count, Max
from sql.conditionals import Coalesce
from sql.functions import RowNumber

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..archive.study_modalities import update_modalities
from ..common.rows import fetch_rows, is_one_of
from ..common.tasks import bulk_tasks
from ..common.transaction import now
from ..core.matching.field_comparison import find_slip
from .search_keys import MARK

__all__ = [
    'count_historical', 'due_in_order', 'due_in_range', 'due_ranges',
    'due_studies', 'mark_arrived', 'mark_matched',
    'queue_for_orders', 'queue_for_patients', 'queue_historical',
    'queue_overdue', 'requeue_changed', 'without_due']

# Studies that are queued at once
LIMIT = 1000
# Time after which studies are matched again without a known reason
OVERDUE = dt.timedelta(hours=20)
# The time of studies that Orthanc gives none
_NEVER = dt.datetime(1900, 1, 1)


# Values that change while the images stay the same: labels, and those that an
# Orthanc begins to list.  When images change, the time of the study does, too.
_NO_CHANGES = {'labels', 'issuer_of_patient_id', 'other_patient_ids'}


def requeue_changed(known, values):
    """Queue the studies whose values change.

    Parameters
    ----------
    known : dict
        Rows of studies by Orthanc id, from `load_rows`.
    values : dict of dict
        The values to be stored, by Orthanc id; `matched_at` is added.
    """
    for id_, found in values.items():
        study = known.get(id_)
        if study and _is_comparable(study) and any(
                getattr(study, name) != value
                for name, value in found.items() if name not in _NO_CHANGES):
            found['matched_at'] = None


def _is_comparable(study):
    """Return whether a study can be compared with new values.

    A study that version 5.0 has linked lacks most values: they would all
    count as changes.
    """
    return study.last_update or study.link_status == 'unlinked'


def queue_for_patients(ids):
    """Queue studies that may belong to new or changed patients.

    Parameters
    ----------
    ids : iterable of int
        Of patients.
    """
    _queue_studies(_with_similar_names(ids) | _ids(_patient_queries(ids)))


def queue_for_orders(orders):
    """Queue studies that may have been acquired for orders.

    Parameters
    ----------
    orders : list of Request
    """
    if not orders:
        return
    patients = {order.patient.id for order in orders}
    _queue_studies(
        _with_similar_names(patients) | _ids(_patient_queries(patients))
        | _ids(_order_queries(orders)))


def _tables():
    pool = Pool()
    return [
        pool.get(name).__table__() for name in [
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_key',
            'gnuhealth.imaging_orthanc.patient_key',
            'gnuhealth.patient', 'party.party',
            'gnuhealth.person_alternative_identification']]


def _may_be_matched(study, statuses=('unlinked', 'auto_unsure')):
    "Return the condition: a study may get another automatic link"
    return (
        study.link_status.in_(list(statuses)) & (study.decided_by == Null)
        & (study.missing_since == Null))


def _with_similar_names(patients):
    "Return the ids of studies that share a name key with patients"
    study, study_key, patient_key, *_ = _tables()
    found = set()
    for ids in grouped_slice(sorted(patients)):
        found |= {
            id_ for id_, theirs, ours in fetch_rows(
                patient_key.join(
                    study_key, condition=study_key.key == patient_key.key
                    ).join(study, condition=study_key.study == study.id
                    ).select(
                    study.id, study_key.birth_date, patient_key.birth_date,
                    where=patient_key.patient.in_(list(ids))
                    & (patient_key.key != MARK) & _may_be_matched(study),
                    order_by=study.id.desc, limit=LIMIT))
            if not theirs or not ours or theirs == ours
            or find_slip(theirs, ours)}
    return found


def _patient_queries(patients):
    "Yield queries for studies by identifiers, birth date and link"
    study, study_key, patient_key, patient, party, code = _tables()
    for some in grouped_slice(sorted(patients)):
        ids = list(some)
        yield patient_key.join(study_key, condition=(
                (study_key.key == patient_key.key)
                & (study_key.birth_date == patient_key.birth_date))).join(
            study, condition=study_key.study == study.id).select(
            study.id, where=patient_key.patient.in_(ids)
            & (patient_key.key == MARK) & _may_be_matched(study))
        for column in [party.id, party.replaced_by]:
            yield patient.join(
                party, condition=column == patient.party).join(
                study, condition=study.patient_id == party.ref).select(
                study.id, where=patient.id.in_(ids) & _may_be_matched(study))
        yield patient.join(code, condition=code.party == patient.party).join(
            study, condition=study.patient_id == code.code).select(
            study.id, where=patient.id.in_(ids) & _may_be_matched(study))
        yield study.select(
            study.id, where=study.patient.in_(ids) & _may_be_matched(study))


def _order_queries(orders):
    "Yield queries for studies by the numbers and patients of orders"
    study, *_ = _tables()
    may_be_matched = _may_be_matched(
        study, ['unlinked', 'auto_unsure', 'auto_certain'])
    may_be_matched &= study.request == Null
    for some in grouped_slice(orders):
        some = list(some)
        numbers = [
            n for o in some for n in [o.accession_number, o.accession_alias]
            if n]
        uids = [
            u for o in some for u in [o.study_instance_uid, o.merge_id] if u]
        for column, values in [
                (study.study_instance_UID, uids),
                (study.patient_id, uids),
                (study.accession_number, numbers),
                (study.patient, [o.patient.id for o in some])]:
            if values:
                yield study.select(
                    study.id, where=column.in_(values) & may_be_matched)


def _ids(queries):
    queries = list(queries)
    for query in queries:
        query.limit = LIMIT
    queries = [query.select(query.id) for query in queries]
    return {id_ for id_, in fetch_rows(Union(*queries, all_=True))}


def _queue_studies(ids):
    "Queue studies, and a task that matches them"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    ids = sorted(ids, reverse=True)[:LIMIT]
    if ids:
        _write_matched_at(ids, Null)
        # A user who registers patients may have no access to studies
        with Transaction().set_user(0), without_check_access(), bulk_tasks():
            Study.__queue__.match_again(Study.browse(ids))


def mark_matched(ids):
    "Remove studies from the queue"
    update_modalities(ids)
    _write_matched_at(ids, now())


def without_due(ids):
    """Return which studies are not in the queue.

    Nobody takes the others from it before the transaction has ended.

    Parameters
    ----------
    ids : iterable of int

    Returns
    -------
    set of int
    """
    study, *_ = _tables()
    rest = set(ids)
    lock = [For('SHARE')] if backend.name == 'postgresql' else None
    for some in grouped_slice(sorted(rest)):
        where = _is_due(study) & reduce_ids(study.id, some)
        rest -= {id_ for id_, in fetch_rows(study.select(
                    study.id, where=where, for_=lock))}
    return rest


def _write_matched_at(ids, at):
    study, *_ = _tables()
    cursor = Transaction().connection.cursor()
    for some in grouped_slice(ids):
        cursor.execute(*study.update(
                [study.matched_at], [at], where=is_one_of(study.id, some)))


def due_studies(server=None, ids=None, limit=None, before=None):
    """Return the ids of the studies in the queue, the newest first.

    Parameters
    ----------
    server : Server, optional
        Only return studies of this server.
    ids : list of int, optional
        Only return some of these.
    limit : int, optional
    before : int, optional
        The last id of the previous call.

    Returns
    -------
    list of int
    """
    return [id_ for id_, in fetch_rows(
            _due_query(server, ids, limit, before))]


def _due_query(server, ids, limit, before):
    study, *_ = _tables()
    where = _is_due(study, server, ids)
    if before is not None:
        where &= study.id < before
    return study.select(
        study.id, where=where, order_by=study.id.desc, limit=limit)


def due_in_order(server=None, ids=None, limit=None, after=None):
    """Return studies in the queue, those first that were last updated.

    The order does not depend on which of them was stored first.

    Parameters
    ----------
    server : Server, optional
        Only return studies of this server.
    ids : list of int, optional
        Only return some of these.
    limit : int, optional
    after : tuple, optional
        The last one of the previous call.

    Returns
    -------
    list of tuple
        The id of each, and its place.
    """
    study, *_ = _tables()
    updated = Coalesce(study.last_update, Literal(_NEVER))
    where = _is_due(study, server, ids)
    if after:
        _, time, uid, number = after
        where &= (updated < time) | (updated == time) & (
            (study.orthanc_UID > uid)
            | (study.orthanc_UID == uid) & (study.server > number))
    return fetch_rows(study.select(
            study.id, updated, study.orthanc_UID, study.server, where=where,
            order_by=[updated.desc, study.orthanc_UID, study.server],
            limit=limit))


def due_ranges(server, size):
    """Divide the studies in the queue by their Orthanc patients.

    Parameters
    ----------
    server : Server
    size : int
        About how many studies a range has.

    Returns
    -------
    list of tuple
        The last Orthanc patient before each range and its last one, or None.
        The first range has the studies without an Orthanc patient as well.
    """
    study, *_ = _tables()
    patient = study.orthanc_patient
    numbered = study.select(
        patient.as_('patient'),
        (RowNumber(window=Window([], order_by=[patient])) - Literal(1)).as_(
            'place'),
        where=_is_due(study, server) & (patient != Null))
    part = numbered.place / Literal(size)
    ends = sorted({end for end, in fetch_rows(numbered.select(
                    Max(numbered.patient), group_by=part))})
    return list(zip([None, *ends[:-1]], [*ends[:-1], None]))


def due_in_range(server, after, last):
    """Return the ids of the studies in the queue of some Orthanc patients.

    Parameters
    ----------
    server : Server
    after, last : int or None
        As `due_ranges` returns them.

    Returns
    -------
    list of int
    """
    study, *_ = _tables()
    where = _is_due(study, server)
    if after is None and last is not None:
        where &= (study.orthanc_patient <= last) | (
            study.orthanc_patient == Null)
    elif after is not None:
        where &= study.orthanc_patient > after
        if last is not None:
            where &= study.orthanc_patient <= last
    return [id_ for id_, in fetch_rows(study.select(
                study.id, where=where,
                order_by=[study.orthanc_patient, study.id]))]


def _is_due(study, server=None, ids=None):
    where = (
        (study.matched_at == Null) & (study.missing_since == Null)
        & (study.quarantined_at == Null)
        & (study.link_status != 'dismissed'))
    if server:
        where &= study.server == server.id
    if ids is not None:
        where &= study.id.in_(ids) if ids else Literal(False)
    return where


def count_historical(server=None):
    """Return how many historical studies wait for nobody, by their year.

    Parameters
    ----------
    server : Server, optional
        By default of all servers.

    Returns
    -------
    Counter
        By year; None for studies without a date.
    """
    study, *_ = _tables()
    counts = Counter()
    for date, count in fetch_rows(study.select(
                study.date, Count(study.id),
                where=_is_historical(study, server), group_by=study.date)):
        if isinstance(date, str):
            # SQLite returns a grouped date as text
            date = dt.date.fromisoformat(date)
        counts[date.year if date else None] += count
    return counts


def queue_historical(year, server=None):
    """Put historical studies of a year up for review.

    Parameters
    ----------
    year : int or None
        None for studies without a date.
    server : Server, optional
        By default of all servers.

    Returns
    -------
    int
        The number of studies.
    """
    study, *_ = _tables()
    where = _is_historical(study, server)
    if year is None:
        where &= study.date == Null
    else:
        where &= study.date >= dt.date(year, 1, 1)
        where &= study.date <= dt.date(year, 12, 31)
    cursor = Transaction().connection.cursor()
    cursor.execute(*study.update(
            [study.historical], [Literal(False)], where=where))
    return cursor.rowcount


def _is_historical(study, server):
    where = _may_be_matched(study) & (study.historical == Literal(True))
    return where & (study.server == server.id) if server else where


def mark_arrived(server_id, study_ids, series_ids=()):
    """Mark that studies, or series of them, have arrived.

    They are no longer historical.

    Parameters
    ----------
    server_id : int
    study_ids, series_ids : collection of str
        Orthanc ids.
    """
    pool = Pool()
    table = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    cursor = Transaction().connection.cursor()
    conditions = [
        table.orthanc_UID.in_(list(ids)) for ids in grouped_slice(
            list(study_ids))]
    conditions += [
        table.id.in_(series.select(
                series.study, where=series.orthanc_UID.in_(list(ids))))
        for ids in grouped_slice(list(series_ids))]
    for condition in conditions:
        cursor.execute(*table.update(
                [table.historical], [Literal(False)],
                where=condition & (table.server == server_id)
                & (table.historical == Literal(True))))


def queue_overdue(server):
    """Queue the studies that were not matched for the longest time.

    Of two concurrent transactions, neither sees the changes of the other; and
    patients may be imported without GNU Health's models.

    Parameters
    ----------
    server : Server
    """
    study, *_ = _tables()
    ids = [id_ for id_, in fetch_rows(study.select(
                study.id,
                where=_may_be_matched(study) & (study.server == server.id)
                & (study.matched_at < now() - OVERDUE),
                order_by=study.matched_at, limit=LIMIT))]
    _write_matched_at(ids, Null)
