# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies have to be matched, because something was told since.

A study is *due* as long as it has no time at which it was matched: a new one,
one that has changed, and one whose patient or order came after it.  Nothing
else is matched again.
"""

import datetime as dt

from sql import Literal, Null, Union

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..common.transaction import now
from ..core.matching.birth_dates import find_slip
from .search_keys import MARK

__all__ = [
    'queue_for_orders', 'queue_for_patients', 'queue_overdue', 'due_studies',
    'mark_changed', 'set_matched']

# How many studies are called at once
LIMIT = 1000
# After how long studies are matched again for no reason that we know
OVERDUE = dt.timedelta(hours=20)


def mark_changed(known, values):
    """Have studies matched again that have changed.

    Parameters
    ----------
    known : dict
        Rows of studies by Orthanc id.
    values : dict
        What is going to be stored, by Orthanc id.
    """
    for id_, found in values.items():
        study = known.get(id_)
        if study and _is_met(study) and any(
                getattr(study, name) != value
                for name, value in found.items()):
            found['matched_at'] = None


def _is_met(study):
    "Return whether new values are a change: all are of what 5.0 has linked"
    return study.last_update or study.link_status == 'unlinked'


def queue_for_patients(ids):
    "Have studies matched that may be of patients who are known better now"
    _call(_named_alike(ids) | _ids(_queries_of_people(ids)))


def queue_for_orders(orders):
    "Have studies matched that may have been made for orders"
    if not orders:
        return
    patients = {order.patient.id for order in orders}
    _call(
        _named_alike(patients) | _ids(_queries_of_people(patients))
        | _ids(_queries_of_orders(orders)))


def _tables():
    pool = Pool()
    return [
        pool.get(name).__table__() for name in [
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_key',
            'gnuhealth.imaging_orthanc.patient_key',
            'gnuhealth.patient', 'party.party',
            'gnuhealth.person_alternative_identification']]


def _waits(study, statuses=('unlinked', 'auto_unsure')):
    "Return when machines may say something new of a study"
    return (
        study.link_status.in_(list(statuses)) & (study.decided_by == Null)
        & (study.missing_since == Null))


def _named_alike(patients):
    "Return the studies that have a name key of patients"
    study, study_key, patient_key, *_ = _tables()
    found = set()
    for ids in grouped_slice(sorted(patients)):
        found |= {
            id_ for id_, theirs, ours in _rows(
                patient_key.join(
                    study_key, condition=study_key.key == patient_key.key
                    ).join(study, condition=study_key.study == study.id
                    ).select(
                    study.id, study_key.birth_date, patient_key.birth_date,
                    where=patient_key.patient.in_(list(ids))
                    & (patient_key.key != MARK) & _waits(study),
                    order_by=study.id.desc, limit=LIMIT))
            if not theirs or not ours or theirs == ours
            or find_slip(theirs, ours)}
    return found


def _queries_of_people(patients):
    "Yield what finds studies by identifiers, birth date and link"
    study, study_key, patient_key, patient, party, code = _tables()
    for some in grouped_slice(sorted(patients)):
        ids = list(some)
        yield patient_key.join(study_key, condition=(
                (study_key.key == patient_key.key)
                & (study_key.birth_date == patient_key.birth_date))).join(
            study, condition=study_key.study == study.id).select(
            study.id, where=patient_key.patient.in_(ids)
            & (patient_key.key == MARK) & _waits(study))
        for column in [party.id, party.replaced_by]:
            yield patient.join(
                party, condition=column == patient.party).join(
                study, condition=study.patient_id == party.ref).select(
                study.id, where=patient.id.in_(ids) & _waits(study))
        yield patient.join(code, condition=code.party == patient.party).join(
            study, condition=study.patient_id == code.code).select(
            study.id, where=patient.id.in_(ids) & _waits(study))
        yield study.select(
            study.id, where=study.patient.in_(ids) & _waits(study))


def _queries_of_orders(orders):
    "Yield what finds studies by keys of orders, and their patient's studies"
    study, *_ = _tables()
    waits = _waits(study, ['unlinked', 'auto_unsure', 'auto_certain']) & (
        study.request == Null)
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
                    study.id, where=column.in_(values) & waits)


def _rows(query):
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall()


def _ids(queries):
    queries = list(queries)
    for query in queries:
        query.limit = LIMIT
    queries = [query.select(query.id) for query in queries]
    return {id_ for id_, in _rows(Union(*queries, all_=True))}


def _call(ids):
    "Have studies matched, now if there is somebody to do it"
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    ids = sorted(ids, reverse=True)[:LIMIT]
    if ids:
        _set(ids, Null)
        # Whoever registers patients may not see studies
        with Transaction().set_user(0), without_check_access():
            Study.__queue__.match_again(Study.browse(ids))


def set_matched(ids):
    "Note that studies are matched with all that is known now"
    _set(ids, now())


def _set(ids, at):
    study, *_ = _tables()
    cursor = Transaction().connection.cursor()
    for some in grouped_slice(ids):
        cursor.execute(*study.update(
                [study.matched_at], [at], where=study.id.in_(list(some))))


def due_studies(server=None, ids=None, limit=None, before=None):
    """Return ids of studies that have to be matched, the newest first.

    Parameters
    ----------
    server : Server, optional
        Whose studies are meant.
    ids : list of int, optional
        Which of these.
    limit : int, optional
    before : int, optional
        The last one of those that were returned before.
    """
    study, *_ = _tables()
    where = (
        (study.matched_at == Null) & (study.missing_since == Null)
        & (study.link_status != 'dismissed'))
    if server:
        where &= study.server == server.id
    if ids is not None:
        where &= study.id.in_(ids) if ids else Literal(False)
    if before is not None:
        where &= study.id < before
    return [id_ for id_, in _rows(study.select(
                study.id, where=where, order_by=study.id.desc, limit=limit))]


def queue_overdue(server):
    """Have studies matched that were not for the longest time.

    What two transactions did at once, neither may have seen; and patients may
    come from elsewhere than from GNU Health.
    """
    study, *_ = _tables()
    ids = [id_ for id_, in _rows(study.select(
                study.id, where=_waits(study) & (study.server == server.id)
                & (study.matched_at < now() - OVERDUE),
                order_by=study.matched_at, limit=LIMIT))]
    _set(ids, Null)
