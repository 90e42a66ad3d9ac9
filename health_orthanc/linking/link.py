# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic links between studies, patients and orders

Studies that a user has decided on are not changed, and no study is linked
against a contradiction.
"""

import logging

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import without_check_access

from ..common.diagnostics import log_unexpected
from ..common.rows import write_rows
from ..common.transaction import in_transaction
from ..core.dicom.values import parse_person_name
from ..core.matching.attributes import (
    Candidate, OrderAttributes, PatientAttributes)
from ..core.matching.decisions import Status
from ..core.matching.groups import without_orders
from ..core.matching.identities import Identity, compare_identities
from ..core.matching.verdicts import Verdict
from .attributes import order_attributes, patient_attributes
from .candidates import study_attributes
from .fulfilment import fulfil_orders
from .history import is_held, serialize_comparisons
from .plain import find_changed_links, match_plain
from .queue import (
    due_in_order, due_in_range, due_studies, mark_arrived, mark_matched)
from .search_keys import attributes_digest, digest_keys, study_keys

__all__ = [
    'assess_choice', 'assess_choices', 'evaluate', 'find_studies', 'has_match',
    'match_due', 'match_notified', 'match_orders', 'match_others',
    'match_range', 'match_received', 'studies_to_assign']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

# Studies that are read from the queue at once
DUE_LIMIT = 1000
_LINKED_BY_MACHINE = {'auto_certain', 'auto_unsure', 'unlinked'}


def studies_to_assign(orthanc_patient):
    """Return the studies that get the patient of an Orthanc patient.

    Parameters
    ----------
    orthanc_patient : OrthancPatient

    Returns
    -------
    list of Study
    """
    return [
        s for s in orthanc_patient.studies if _applies_to(orthanc_patient, s)]


def _applies_to(orthanc_patient, study):
    """Return whether the patient of an Orthanc patient applies to a study.

    Images of another person may have the same PatientID.  The user who chose
    the patient has seen the identity of the Orthanc patient.  The identity in
    a study may differ from that, and contradict the patient.
    """
    if not orthanc_patient.patient:
        return True
    images = _study_identity(study)
    comparison = compare_identities(
        _patient_identity(orthanc_patient.patient), images)
    seen = compare_identities(_seen_identity(orthanc_patient), images)
    return not any(
        verdict is Verdict.DIFFERS and agreed is not Verdict.EQUAL
        for verdict, agreed in zip(comparison.verdicts, seen.verdicts))


def _seen_identity(orthanc_patient):
    return _images_identity(
        orthanc_patient.ident, orthanc_patient.name, orthanc_patient.bd,
        orthanc_patient.sex)


def _study_identity(study):
    return _images_identity(
        study.patient_id, study.patient_name, study.patient_birth_date,
        study.patient_sex)


def _patient_identity(patient):
    party = patient.party
    names = [f"{party.lastname or ''} {party.name or ''}"]
    names += [
        f"{n.family or ''} {n.given or ''}" for n in party.person_names
        if n.use not in {'nickname', 'anonymous', 'temp'}]
    sex = patient.biological_sex or party.gender
    return Identity(
        party.ref, tuple(names), party.dob,
        {'m': 'M', 'f': 'F'}.get(sex))


def _images_identity(patient_id, name, birth_date, sex):
    name = parse_person_name(name)
    groups = (
        [name.alphabetic, name.ideographic, name.phonetic] if name else [])
    return Identity(
        patient_id,
        tuple(f'{g.family} {g.given} {g.middle}' for g in groups if g),
        birth_date, sex)


@without_check_access
def evaluate(study):
    """Return the automatic decision on a study, without linking it.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Decision
        Includes the candidates.
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Configuration = pool.get('gnuhealth.orthanc.matching.configuration')
    decision, = Configuration.decisions([study_attributes(Study(study.id))])
    return decision


def assess_choice(attributes, patient=None, request=None):
    """Assess a patient and an order that a user chooses.

    Parameters
    ----------
    attributes : StudyAttributes
    patient : Patient, optional
    request : Request, optional
        The fields of what is not chosen are compared as missing.

    Returns
    -------
    Assessment
    """
    assessment, = assess_choices(
        attributes, patient, [request] if request else [])
    return assessment


def assess_choices(attributes, patient=None, requests=()):
    """Assess a patient and each of the orders that a user chooses.

    What names one of the orders is no difference to the others.

    Parameters
    ----------
    attributes : StudyAttributes
    patient : Patient, optional
    requests : iterable of Request

    Returns
    -------
    list of Assessment
        One for each order, or one without an order.
    """
    patients = patient_attributes([patient.id] if patient else [])
    chosen = patients[patient.id] if patient else PatientAttributes(None)
    ids = [r.id for r in requests]
    known = order_attributes(ids)
    orders = [known[id_][1] for id_ in ids] or [OrderAttributes(None)]
    if len(orders) == 1:
        return [_assess_candidate(attributes, Candidate(chosen, orders[0]))]
    return [
        _assess_candidate(
            without_orders(attributes, order, [
                    o for o in orders if o is not order]),
            Candidate(chosen, order))
        for order in orders]


def _assess_candidate(attributes, chosen):
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    assessments, = Configuration.assessments([attributes], [chosen])
    return next(a for a in assessments if a.candidate is chosen)


def has_match(study):
    "Return whether a study matches a patient, or has the number of an order"
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    assessments, = Configuration.assessments([study_attributes(study)])
    return any(a.key for a in assessments) or bool(evaluate(study).best)


# How many studies are matched at once
BATCH = 100


def match_orders(ids):
    """Match studies to patients and orders, and fulfil the orders.

    The links of studies that a user has decided on stay.  Their orders are
    fulfilled again, because further images may have arrived.

    Parameters
    ----------
    ids : list of int
        Of studies.
    """
    pool = Pool()
    # Those in quarantine are only moved by people
    ids = [
        s.id for s in pool.get('gnuhealth.imaging_orthanc.study').browse(ids)
        if not s.quarantined]
    pool.get('gnuhealth.imaging_orthanc.dismissal_rule').dismiss(ids)
    for sub_ids in grouped_slice(ids, BATCH):
        _match_batch(list(sub_ids))


def _match_batch(ids):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    studies = Study.browse(ids)
    attributes = {s.id: study_attributes(s) for s in studies}
    _link_studies([s for s in studies if _is_automatic(s)], attributes)
    fulfil_orders(_with_orders(ids))
    _store_keys(Study.browse(ids), attributes)


def _is_automatic(study):
    return (
        not study.decided_by and study.link_status in _LINKED_BY_MACHINE
        and not is_held(study))


def _link_studies(studies, attributes):
    "Link studies by the automatic decisions, and record the history"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    History = pool.get('gnuhealth.imaging_orthanc.study.decision')
    StudyOrder = pool.get('gnuhealth.imaging_orthanc.study.order')
    Configuration = pool.get('gnuhealth.orthanc.matching.configuration')
    known = pool.get('gnuhealth.imaging_orthanc.study_key').digests(
        [s.id for s in studies if s.link_status == 'auto_certain'])
    found = _with_history(studies)
    updated, moved, orders = [], [], {}
    for study, decision in zip(studies, Configuration.decisions(
                [attributes[s.id] for s in studies])):
        if _has_chosen_result(study, decision) or (
                known.get(study.id) == attributes_digest(attributes[study.id])
                and _keeps_link(study, decision)):
            continue
        values = _link_values(study, decision, study in found)
        if 'request' in values:
            further = _further_orders(study, decision, values)
            if further != [f.request.id for f in study.further_orders]:
                orders[study.id] = further
        values.update(_suggestion_values(
                decision, values.get('link_status', study.link_status)))
        changed = {
            n for n, value in values.items() if getattr(study, n) != value}
        if changed:
            updated.append((study, {
                        n: getattr(v, 'id', v) for n, v in values.items()}))
        if changed & {'patient', 'request', 'link_status'} or (
                study.id in orders):
            moved.append((study, decision))
    before = History.snapshot([study for study, _ in moved])
    write_rows(Study, updated)
    if orders:
        StudyOrder.assign(orders)
    _link_orthanc_patients(updated)
    for study, decision in moved:
        _record(before, study, decision)


def _with_history(studies):
    """Return the studies that have a history.

    Studies that were linked by version 5.0 have none.
    """
    History = Pool().get('gnuhealth.imaging_orthanc.study.decision')
    return {
        line.study for line in History.search([
                ('study', 'in', [s.id for s in studies if s.patient])])}


def _link_orthanc_patients(updated):
    "Link Orthanc patients to the one patient of their certain studies"
    OrthancPatient = Pool().get('gnuhealth.orthanc.patient')
    changed = find_changed_links(
        s.orthanc_patient.id for s, values in updated
        if values.get('link_status') == 'auto_certain' and s.orthanc_patient)
    write_rows(OrthancPatient, [
            (OrthancPatient(id_), {'patient': patient, 'decided_by': None})
            for id_, patient in changed])


def _record(before, study, decision):
    History = Pool().get('gnuhealth.imaging_orthanc.study.decision')
    best = decision.best
    History.record(
        {study.id: before[study.id]}, [study],
        score=best.score if best else None,
        doubt=decision.doubt.value if decision.doubt else None,
        comparisons=serialize_comparisons(
            best, *decision.further) if best else None)


def _has_chosen_result(study, decision):
    "Return whether a user has chosen another result, as 5.0 allowed"
    result = study.imaging_test
    if not result or result == study.settled_result:
        return False
    return not (result.request and result.request.id in decision.orders)


def _keeps_link(study, decision):
    """Return whether a certain link is kept despite a less certain decision.

    If the images are unchanged, a later change of the patient's name or of
    the order does not make the link uncertain.
    """
    best = decision.best
    return decision.status is not Status.CERTAIN and not (
        # A study without an order may still get one suggested
        not study.request and best and best.candidate.order
        and best.candidate.patient.key == study.patient.id)


def _with_orders(ids):
    "Return the studies that have an order, or had one"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Step = pool.get('gnuhealth.imaging.procedure.step')
    with_steps = {s.study for s in Step.search([('study', 'in', ids)])}
    return [
        s for s in Study.browse(ids)
        if s.linked_orders or s.settled_result or s in with_steps]


def _store_keys(studies, attributes):
    "Store digests of certain links and search keys of other studies"
    StudyKey = Pool().get('gnuhealth.imaging_orthanc.study_key')
    StudyKey.replace_keys({s.id: _keys(s, attributes[s.id]) for s in studies})
    mark_matched([s.id for s in studies])


def _keys(study, attributes):
    if not _is_automatic(study):
        return set()
    if study.link_status == 'auto_certain':
        return digest_keys(attributes_digest(attributes))
    return study_keys(attributes)


def _link_values(study, decision, has_history):
    "Return the values of the link of a study; relations are records"
    pool = Pool()
    best, known = decision.best, study.orthanc_patient
    patient = pool.get('gnuhealth.patient')(
        best.candidate.patient.key) if best else None
    if known and known.decided_by and known.patient != patient:
        # A user has chosen another patient for the Orthanc patient
        if known.patient and _applies_to(known, study):
            return _values_of(study, 'auto_unsure', known.patient)
        if study.patient and study.patient == patient:
            return {}
        return _values_of(study, 'unlinked')
    if study.patient and study.patient != patient and not has_history:
        # Only a user may change what version 5.0 has linked
        return {}
    if not best:
        return _values_of(study, decision.status.value)
    order = _first_order(study, decision)
    return _values_of(
        study, decision.status.value, patient,
        pool.get('gnuhealth.imaging.test.request')(order)
        if order else None, best.score)


def _first_order(study, decision):
    "Return the id of the first order, which stays the first if it is linked"
    orders = decision.orders
    if study.request and study.request.id in orders:
        return study.request.id
    return orders[0] if orders else None


def _further_orders(study, decision, values):
    "Return the ids of the further orders, in the order that they have"
    best, patient = decision.best, values['patient']
    if not best or not patient or best.candidate.patient.key != patient.id:
        return []
    request = values['request']
    known = [f.request.id for f in study.further_orders]
    orders = [o for o in decision.orders if not request or o != request.id]
    return sorted(
        orders, key=lambda o: known.index(o) if o in known else len(known))


def _values_of(study, status, patient=None, request=None, score=None):
    values = {
        'patient': patient,
        'request': request,
        'link_status': status,
        'score': score,
        }
    result = study.imaging_test
    if result and (result.patient != patient or result.request != request):
        values['imaging_test'] = None
    return values


def _suggestion_values(decision, status):
    "Return candidate, score and doubt of a study for the review"
    Patient = Pool().get('gnuhealth.patient')
    if status == 'auto_certain':
        return {'candidate': None, 'doubt': None}
    first = decision.candidates[0] if decision.candidates else None
    return {
        'candidate': Patient(first.candidate.patient.key) if first else None,
        'score': first.score if first else None,
        'doubt': decision.doubt.value if decision.doubt else None,
        }


def find_studies(server_id, orthanc_ids):
    """Return the studies of a server with the given Orthanc ids.

    Parameters
    ----------
    server_id : int
    orthanc_ids : iterable of str

    Returns
    -------
    list of Study
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    return Study.search([
            ('server', '=', server_id),
            ('orthanc_UID', 'in', list(orthanc_ids)),
            ], order=[('id', 'ASC')])


def match_received(server_id, orthanc_ids):
    """Match studies that a user has uploaded.

    They wait for review if they are in doubt, however old they are.

    Parameters
    ----------
    server_id : int
    orthanc_ids : iterable of str
    """
    mark_arrived(server_id, orthanc_ids)
    match_orders([s.id for s in find_studies(server_id, orthanc_ids)])


def match_notified(server_id, orthanc_id, facts):
    """Store the attributes in a notification, and match the study.

    Parameters
    ----------
    server_id : int
    orthanc_id : str
    facts : str
        JSON; see `candidates.study_attributes`.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    studies = find_studies(server_id, [orthanc_id])
    Study.write(
        [s for s in studies if s.notified_facts != facts],
        {'notified_facts': facts})
    match_orders([s.id for s in studies])


def match_due(server=None, ids=None, in_sets=True, check=None):
    """Match the studies in the queue, in separate transactions.

    Parameters
    ----------
    server : Server, optional
        Only match studies of this server.
    ids : list of int, optional
        Only match these studies.
    in_sets : bool
        Whether those with a plain outcome are matched all at once.  The
        result is the same.
    check : callable, optional
        It is called after each batch of those whose outcome is not plain, and
        may raise an exception.
    """
    before = None
    while in_sets:
        due = in_transaction(due_studies, server, ids, DUE_LIMIT, before)
        if due:
            # Not interrupted: those that are not plain would come again
            _match_in_set(due)
            before = due[-1]
        in_sets = len(due) == DUE_LIMIT
    match_others(server, ids, check)


def match_range(server, patients):
    """Match the studies of some Orthanc patients that have a plain outcome.

    Parameters
    ----------
    server : Server
    patients : tuple
        From `due_ranges`.  All studies of an Orthanc patient are in one
        range, so that several workers do not write to the same one.
    """
    due = in_transaction(due_in_range, server, *patients)
    for start in range(0, len(due), DUE_LIMIT):
        _match_in_set(due[start:start + DUE_LIMIT])


def match_others(server=None, ids=None, check=None):
    """Match the studies in the queue whose outcome is not plain.

    They may depend on each other, as of two studies for one order.  Their
    order is that of `due_in_order`, and only one worker matches them.

    Parameters
    ----------
    server : Server, optional
    ids : list of int, optional
    check : callable, optional
        As for `match_due`.
    """
    last = None
    while found := in_transaction(due_in_order, server, ids, DUE_LIMIT, last):
        due = [id_ for id_, *_ in found]
        for start in range(0, len(due), BATCH):
            _match_separately(due[start:start + BATCH])
            if check:
                check()
        last = found[-1]


def _match_in_set(ids):
    "Match studies with a plain outcome; the others stay in the queue"
    try:
        in_transaction(match_plain, ids)
    except Exception as error:
        # Smaller batches meet fewer conflicts, and one study blocks no others
        log_unexpected(logger, error, "Studies not matched at once")


def _match_separately(ids):
    "Match studies; those that fail are logged and leave the queue"
    try:
        in_transaction(match_orders, ids)
    except Exception as error:
        # An error in one study must not block the others, and smaller batches
        # meet fewer conflicts: divide the batch
        if len(ids) > 1:
            middle = len(ids) // 2
            _match_separately(ids[:middle])
            _match_separately(ids[middle:])
            return
        if isinstance(error, backend.DatabaseOperationalError):
            raise
        log_unexpected(logger, error, "Study %s not matched", ids[0])
        in_transaction(mark_matched, ids)
