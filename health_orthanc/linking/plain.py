# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of thousands of studies at once, where the outcome is plain

A study is plain if it gets no patient, or one for certain without an order,
and if nothing but this link follows from it.  The decision is the same as in
`link`; it is read and stored by SQL, without a record.  Every other study is
left to `link`.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace

from sql import Null
from sql.operators import Exists

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..archive.study_modalities import join_modalities
from ..common.bulk import create_rows, is_extended, may_bypass, update_rows
from ..common.rows import fetch_rows, is_one_of
from ..common.transaction import now
from ..core.matching.attributes import StudyAttributes
from ..core.matching.decisions import Decision, Status
from .candidates import make_attributes
from .history import serialize_comparisons
from .queue import mark_matched
from .search_keys import attributes_digest, digest_keys, study_keys

__all__ = ['find_changed_links', 'match_plain']

STUDY = 'gnuhealth.imaging_orthanc.study'
ORTHANC_PATIENT = 'gnuhealth.orthanc.patient'
HISTORY = 'gnuhealth.imaging_orthanc.study.decision'

_ATTRIBUTES = [
    'notified_facts', 'study_instance_UID', 'accession_number',
    'patient_name', 'letters_lost', 'patient_id', 'issuer_of_patient_id',
    'other_patient_ids', 'patient_birth_date', 'malformed_tags',
    'patient_sex', 'study_description', 'date', 'study_id']
_SUGGESTION = ['patient', 'link_status', 'score', 'candidate', 'doubt']
# Where one of these is set, more than a link is concerned
_EMPTY = [
    'request', 'imaging_test', 'settled_result', 'key_image', 'decided_by',
    'quarantined_at']
# Studies whose candidates are assessed at once
_ASSESSED = 100
# What `link` calls and this does not
_BYPASSED = {
    'gnuhealth.orthanc.matching.configuration': ['decisions', 'assessments'],
    'gnuhealth.imaging_orthanc.dismissal_rule': ['dismiss'],
    HISTORY: ['record', 'snapshot'],
    }


@dataclass(frozen=True, slots=True)
class _Outcome:
    "What is decided on a study, and its row before"
    row: SimpleNamespace
    attributes: StudyAttributes
    decision: Decision
    modalities: str | None

    @property
    def patient(self):
        best = self.decision.best
        return best.candidate.patient.key if best else None

    @property
    def values(self):
        "The values of `_SUGGESTION`"
        if self.decision.best:
            return (
                self.patient, 'auto_certain', self.decision.best.score,
                None, None)
        first = next(iter(self.decision.candidates), None)
        return (
            None, 'unlinked', first.score if first else None,
            first.candidate.patient.key if first else None,
            self.decision.doubt.value if self.decision.doubt else None)

    @property
    def is_changed(self):
        return self.values != tuple(
            getattr(self.row, name) for name in _SUGGESTION)

    @property
    def is_linked(self):
        "Whether the link itself changes"
        return self.values[:2] != (self.row.patient, self.row.link_status)

    @property
    def keys(self):
        if self.decision.best:
            return digest_keys(attributes_digest(self.attributes))
        return study_keys(self.attributes)


@without_check_access
def match_plain(ids):
    """Match the studies whose outcome is plain.

    Parameters
    ----------
    ids : list of int

    Returns
    -------
    list of int
        The other studies, in the same order.
    """
    if not _may_match_in_sets():
        return ids
    loaded = _load_studies(ids)
    concerned = _concerned(list(loaded))
    servers = _with_due_links({row.server for row in loaded.values()})
    rows = _without_decided(loaded)
    outcomes = list(filter(_is_plain, _decide([
                    row for id_, row in rows.items()
                    if id_ not in concerned and _may_be_plain(row)],
                servers)))
    _store(outcomes)
    plain = {outcome.row.id for outcome in outcomes}
    return [id_ for id_ in ids if id_ not in plain]


def _may_match_in_sets():
    "Return whether no other module has a part in what is bypassed"
    pool = Pool()
    return may_bypass(pool.get(STUDY), 'write') and may_bypass(
        pool.get(ORTHANC_PATIENT), 'write') and not any(
        is_extended(pool.get(name), *methods)
        for name, methods in _BYPASSED.items())


def _decide(rows, servers):
    """Return the outcomes of studies, without those that orders concern.

    Parameters
    ----------
    rows : list of SimpleNamespace
    servers : set of int
        Those with linked studies in the queue.
    """
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    series = _load_series([row.id for row in rows])
    attributes = [make_attributes(row, series[row.id]) for row in rows]
    modalities = [join_modalities(series[row.id]) for row in rows]
    decided = []

    def assessed():
        # Not all at once: a study may have hundreds of candidates
        rest = zip(
            rows, attributes, modalities,
            Configuration.iter_assessments(attributes))
        while some := list(islice(rest, _ASSESSED)):
            ordered = _with_due_orders(servers, {
                    a.candidate.patient.key for *_, found in some
                    for a in found})
            for *one, found in some:
                if not _has_orders(found, ordered):
                    decided.append(one)
                    yield found
    decisions = Configuration.decide(assessed())
    return [
        _Outcome(row, found, decision, text)
        for (row, found, text), decision in zip(decided, decisions)]


# Which studies are plain


def _may_be_plain(row):
    return not any(getattr(row, name) for name in _EMPTY) and (
        row.link_status == 'unlinked' and row.patient is None
        or row.link_status == 'auto_certain' and row.patient is not None)


def _is_plain(outcome):
    decision, row = outcome.decision, outcome.row
    if not decision.best:
        return row.patient is None
    return (
        decision.status is Status.CERTAIN and not decision.orders
        and row.patient in {None, outcome.patient})


def _has_orders(assessments, ordered):
    """Return whether orders of the candidates may be concerned.

    Another study may complete or reopen them before this one is matched.

    Parameters
    ----------
    assessments : list of Assessment
    ordered : set of int
        Patients of studies in the queue that have an order.
    """
    return any(
        a.candidate.order or a.candidate.patient.key in ordered
        for a in assessments)


def _without_decided(rows):
    "Leave out the studies of Orthanc patients that a user has linked"
    table = Pool().get(ORTHANC_PATIENT).__table__()
    decided = set()
    ids = {row.orthanc_patient for row in rows.values()} - {None}
    for sub_ids in grouped_slice(sorted(ids)):
        decided |= {id_ for id_, in fetch_rows(table.select(
                    table.id, where=reduce_ids(table.id, sub_ids)
                    & (table.decided_by != Null)))}
    return {
        id_: row for id_, row in rows.items()
        if row.orthanc_patient not in decided}


def _with_due_links(servers):
    "Return which servers have linked studies in the queue"
    return {
        server for server in servers
        if fetch_rows(_due_links_query(server))}


def _due_links_query(server):
    study = Pool().get(STUDY).__table__()
    # In the order of an index: PostgreSQL expects that many are linked and
    # many are due, and would go through all studies in vain for both
    return study.select(
        study.id,
        where=(study.matched_at == Null) & (study.patient != Null)
        & (study.server == server), order_by=study.patient, limit=1)


def _with_due_orders(servers, patients):
    """Return which patients have studies in the queue with an order.

    Those of users' patients may have one, too.

    Parameters
    ----------
    servers : set of int
        Of the studies.
    patients : collection of int
    """
    pool = Pool()
    study = pool.get(STUDY).__table__()
    order = pool.get('gnuhealth.imaging_orthanc.study.order').__table__()
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    found = set()
    for ids in grouped_slice(sorted(patients) if servers else []):
        found |= {patient for patient, in fetch_rows(study.select(
                    study.patient,
                    where=(study.matched_at == Null)
                    & (study.patient != Null)
                    & is_one_of(study.patient, ids)
                    & is_one_of(study.server, servers)
                    & ((study.request != Null)
                        | (study.settled_result != Null)
                        | Exists(order.select(
                                order.id, where=order.study == study.id))
                        | Exists(step.select(
                                step.id, where=step.study == study.id))),
                    group_by=study.patient))}
    return found


def _concerned(ids):
    "Return the studies with further orders, with steps, or to be dismissed"
    pool = Pool()
    found = set(pool.get(
            'gnuhealth.imaging_orthanc.dismissal_rule').find_matching(ids))
    for model in [
            'gnuhealth.imaging_orthanc.study.order',
            'gnuhealth.imaging.procedure.step']:
        table = pool.get(model).__table__()
        for sub_ids in grouped_slice(ids):
            found |= {id_ for id_, in fetch_rows(table.select(
                        table.study, where=reduce_ids(table.study, sub_ids)))}
    return found


# Reading


def _load_studies(ids):
    "Return the rows of studies by their ids, in the same order"
    table = Pool().get(STUDY).__table__()
    names = [
        'id', 'server', 'orthanc_patient', *_ATTRIBUTES, *_SUGGESTION, *_EMPTY]
    columns = [getattr(table, name) for name in names]
    found = {}
    for sub_ids in grouped_slice(ids):
        for values in fetch_rows(table.select(
                    *columns, where=reduce_ids(table.id, sub_ids))):
            found[values[0]] = SimpleNamespace(**dict(zip(names, values)))
    return {id_: found[id_] for id_ in ids if id_ in found}


def _load_series(study_ids):
    "Return the rows of series, by the ids of their studies"
    table = Pool().get(
        'gnuhealth.imaging_orthanc.study_series').__table__()
    names = ['study', 'modality', 'request_attributes', 'missing_since']
    columns = [getattr(table, name) for name in names]
    found = defaultdict(list)
    for sub_ids in grouped_slice(study_ids):
        for values in fetch_rows(table.select(
                    *columns, where=reduce_ids(table.study, sub_ids))):
            found[values[0]].append(
                SimpleNamespace(**dict(zip(names, values))))
    return found


# Writing


def _store(outcomes):
    pool = Pool()
    user = Transaction().user
    at = now()
    changed = [o for o in outcomes if o.is_changed]
    update_rows(
        pool.get(STUDY), [*_SUGGESTION, 'modalities', 'matched_at'],
        [(o.row.id, *o.values, o.modalities, at) for o in changed], user)
    mark_matched([o.row.id for o in outcomes if not o.is_changed])
    update_rows(
        pool.get(ORTHANC_PATIENT), ['patient', 'decided_by'], [
            (id_, patient, None) for id_, patient in find_changed_links(
                o.row.orthanc_patient for o in changed if o.decision.best)],
        user)
    create_rows(pool.get(HISTORY), [
            _history_values(o, at) for o in changed if o.is_linked])
    pool.get('gnuhealth.imaging_orthanc.study_key').replace_keys(
        {o.row.id: o.keys for o in outcomes})


def find_changed_links(ids):
    """Return which Orthanc patients are to be linked to another patient.

    An Orthanc patient is linked to the patient of its certain studies, and to
    none if they are of several.  What a user has decided stays, and another
    link stays, too.  The order in which the studies were matched does not
    matter.

    Parameters
    ----------
    ids : iterable of int
        Of Orthanc patients, or None.

    Returns
    -------
    list of tuple
        The id of each, and the patient or None.
    """
    pool = Pool()
    table = pool.get(ORTHANC_PATIENT).__table__()
    study = pool.get(STUDY).__table__()
    linked, certain = {}, defaultdict(set)
    for sub_ids in grouped_slice(sorted(set(ids) - {None})):
        some = list(sub_ids)
        linked.update(fetch_rows(table.select(
                    table.id, table.patient,
                    where=reduce_ids(table.id, some)
                    & (table.decided_by == Null))))
        for id_, patient in fetch_rows(study.select(
                    study.orthanc_patient, study.patient,
                    where=reduce_ids(study.orthanc_patient, some)
                    & (study.link_status == 'auto_certain')
                    & (study.patient != Null),
                    group_by=[study.orthanc_patient, study.patient])):
            certain[id_].add(patient)
    changed = []
    for id_, patient in linked.items():
        found = certain[id_]
        if len(found) == 1 and patient is None:
            changed.append((id_, *found))
        elif len(found) > 1 and patient in found:
            changed.append((id_, None))
    return changed


def _history_values(outcome, at):
    row, decision = outcome.row, outcome.decision
    best = decision.best
    patient, status, *_ = outcome.values
    return {
        'study': row.id,
        'at': at,
        'user': None,
        'status_from': row.link_status,
        'status_to': status,
        'patient_from': row.patient,
        'patient_to': patient,
        'request_from': None,
        'request_to': None,
        'further_from': None,
        'further_to': None,
        'score': best.score if best else None,
        'doubt': decision.doubt.value if decision.doubt else None,
        'comparisons': json.dumps(
            serialize_comparisons(best)) if best else None,
        }
