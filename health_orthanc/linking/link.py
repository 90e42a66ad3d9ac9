# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which patient of GNU Health a study belongs to.

Machines only decide where no person has, and never against a contradiction.
"""

import hashlib
import logging
from collections import defaultdict

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import without_check_access

from ..common.rows import write_rows
from ..common.transaction import in_transaction
from ..core.dicom.values import parse_person_name
from ..core.matching.attributes import (
    Candidate, OrderAttributes, PatientAttributes)
from ..core.matching.decisions import Status
from ..core.matching.identities import Identity, compare_identities
from ..core.matching.verdicts import Verdict
from .attributes import order_attributes, patient_attributes
from .candidates import study_attributes
from .explanations import serialize_comparisons
from .fulfilment import fulfil_orders
from .queue import due_studies, set_matched
from .search_keys import digest_keys, study_keys

__all__ = [
    'assess_choice', 'is_claimed', 'match_due', 'match_orders', 'evaluate',
    'studies_to_carry']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

# Studies that are read to be matched, at once
DUE_LIMIT = 1000
_LINKED_BY_MACHINE = {'auto_certain', 'auto_unsure', 'unlinked'}


def studies_to_carry(orthanc_patient):
    "Return the studies to which the choice of its patient is carried"
    return [
        s for s in orthanc_patient.studies if _is_carried(orthanc_patient, s)]


def _is_carried(orthanc_patient, study):
    """Return whether the choice of its patient holds for a study.

    Another person's images may have the same PatientID.  Whoever chose the
    patient has seen what contradicts in the Orthanc patient; what others of
    its studies say is new.
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
    """Return what a machine would do with a study, and the candidates.

    Returns
    -------
    Decision
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Configuration = pool.get('gnuhealth.orthanc.matching.configuration')
    decision, = Configuration.decisions([study_attributes(Study(study.id))])
    return decision


def assess_choice(facts, patient=None, request=None):
    """Return what speaks for and against what a person chooses.

    All fields are compared; those of what is not chosen are missing.

    Returns
    -------
    Assessment
    """
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    patients = patient_attributes([patient.id] if patient else [])
    orders = order_attributes([request.id] if request else [])
    chosen = Candidate(
        patients[patient.id] if patient else PatientAttributes(None),
        orders[request.id][1] if request else OrderAttributes(None))
    assessments, = Configuration.assessments([facts], [chosen])
    return next(a for a in assessments if a.candidate is chosen)


def is_claimed(study):
    "Return whether a number in the images, or all else, leads to somebody"
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    assessments, = Configuration.assessments([study_attributes(study)])
    return any(a.key for a in assessments) or bool(evaluate(study).best)


# How many studies are matched at once
BATCH = 100


def match_orders(ids):
    """Match studies to orders, but for those that a person has decided on.

    What is linked already is settled, for images may have come late.

    Parameters
    ----------
    ids : list of int
        Of studies.
    """
    pool = Pool()
    pool.get('gnuhealth.imaging_orthanc.dismissal_rule').dismiss(ids)
    for sub_ids in grouped_slice(ids, BATCH):
        _match_batch(list(sub_ids))


def _match_batch(ids):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    studies = Study.browse(ids)
    facts = {s.id: study_attributes(s) for s in studies}
    _link([s for s in studies if _is_machines(s)], facts)
    fulfil_orders(_concerned(ids))
    _remember(Study.browse(ids), facts)


def _is_machines(study):
    return not study.decided_by and study.link_status in _LINKED_BY_MACHINE


def _link(studies, facts):
    "Link studies as is decided, and keep the history"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    History = pool.get('gnuhealth.imaging_orthanc.study.decision')
    Configuration = pool.get('gnuhealth.orthanc.matching.configuration')
    known = pool.get('gnuhealth.imaging_orthanc.study_key').digests(
        [s.id for s in studies if s.link_status == 'auto_certain'])
    found = _found_before(studies)
    updated, moved = [], []
    for study, decision in zip(studies, Configuration.decisions(
                [facts[s.id] for s in studies])):
        if _has_chosen_result(study, decision) or (
                known.get(study.id) == _digest(facts[study.id])
                and _stands(study, decision)):
            continue
        values = _link_values(study, decision, study in found)
        values.update(_suggestion(
                decision, values.get('link_status', study.link_status)))
        changed = {
            n for n, value in values.items() if getattr(study, n) != value}
        if changed:
            updated.append((study, {
                        n: getattr(v, 'id', v) for n, v in values.items()}))
        if changed & {'patient', 'request', 'link_status'}:
            moved.append((study, decision))
    before = History.snapshot([study for study, _ in moved])
    write_rows(Study, updated)
    _link_orthanc_patients(updated)
    for study, decision in moved:
        _record(before, study, decision)


def _found_before(studies):
    """Return the studies whose link the history tells of.

    It does not of what 5.0 has linked.
    """
    History = Pool().get('gnuhealth.imaging_orthanc.study.decision')
    return {
        line.study for line in History.search([
                ('study', 'in', [s.id for s in studies if s.patient])])}


def _link_orthanc_patients(updated):
    "Let Orthanc patients have the patient that their certain studies have"
    OrthancPatient = Pool().get('gnuhealth.orthanc.patient')
    found = defaultdict(set)
    for study, values in updated:
        known = study.orthanc_patient
        if (values.get('link_status') == 'auto_certain' and known
                and not known.decided_by and not known.patient):
            found[known].add(values['patient'])
    write_rows(OrthancPatient, [
            (known, {'patient': patients.pop(), 'decided_by': None})
            for known, patients in found.items() if len(patients) == 1])


def _record(before, study, decision):
    History = Pool().get('gnuhealth.imaging_orthanc.study.decision')
    best = decision.best
    History.record(
        {study.id: before[study.id]}, [study],
        score=best.score if best else None,
        doubt=decision.doubt.value if decision.doubt else None,
        comparisons=serialize_comparisons(best) if best else None)


def _has_chosen_result(study, decision):
    "Return whether the study is in another result, as 5.0 let people choose"
    result = study.imaging_test
    if not result or result == study.settled_result:
        return False
    order = decision.best.candidate.order if decision.best else None
    return not (
        order and result.request and result.request.id == order.key)


def _stands(study, decision):
    """Return whether a certain link is kept against a less certain decision.

    That a patient is renamed afterwards, or an order closed, is no reason to
    doubt it as long as the images say the same.
    """
    best = decision.best
    return decision.status is not Status.CERTAIN and not (
        # Where only the patient is certain, an order may be proposed
        not study.request and best and best.candidate.order
        and best.candidate.patient.key == study.patient.id)


def _digest(facts):
    "Return a text that changes with whom the images say to be of"
    texts = [
        facts.study_uid, facts.accession_number, facts.patient_name,
        facts.patient_id, facts.issuer, *sorted(facts.other_patient_ids),
        str(facts.birth_date), facts.sex]
    return hashlib.sha256('\0'.join(texts).encode()).hexdigest()[:32]


def _concerned(ids):
    "Return the studies that an order has to do with, or had"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Step = pool.get('gnuhealth.imaging.procedure.step')
    with_steps = {s.study for s in Step.search([('study', 'in', ids)])}
    return [
        s for s in Study.browse(ids)
        if s.request or s.settled_result or s in with_steps]


def _remember(studies, facts):
    "Note by what certain links were made, and what finds studies that wait"
    StudyKey = Pool().get('gnuhealth.imaging_orthanc.study_key')
    StudyKey.keep({s.id: _keys(s, facts[s.id]) for s in studies})
    set_matched([s.id for s in studies])


def _keys(study, facts):
    if not _is_machines(study):
        return set()
    if study.link_status == 'auto_certain':
        return digest_keys(_digest(facts))
    return study_keys(facts)


def _link_values(study, decision, found_before):
    "Return the values of a study's link, with records for relations"
    pool = Pool()
    best, known = decision.best, study.orthanc_patient
    patient = pool.get('gnuhealth.patient')(
        best.candidate.patient.key) if best else None
    if known and known.decided_by and known.patient != patient:
        # A person has chosen somebody else for the Orthanc patient
        if known.patient and _is_carried(known, study):
            return _values(study, 'auto_unsure', known.patient)
        if study.patient and study.patient == patient:
            return {}
        return _values(study, 'unlinked')
    if study.patient and study.patient != patient and not found_before:
        # What 5.0 has linked is for a person to change
        return {}
    if not best:
        return _values(study, decision.status.value)
    order = best.candidate.order
    return _values(
        study, decision.status.value, patient,
        pool.get('gnuhealth.imaging.test.request')(order.key)
        if order else None, best.score)


def _values(study, status, patient=None, request=None, score=None):
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


def _suggestion(decision, status):
    "Return what lists tell of a study that somebody should look at"
    Patient = Pool().get('gnuhealth.patient')
    if status == 'auto_certain':
        return {'candidate': None, 'doubt': None}
    first = decision.candidates[0] if decision.candidates else None
    return {
        'candidate': Patient(first.candidate.patient.key) if first else None,
        'score': first.score if first else None,
        'doubt': decision.doubt.value if decision.doubt else None,
        }


def match_due(server=None, ids=None):
    "Match studies that have to be, in turn; see `waiting.due_studies`"
    due = in_transaction(due_studies, server, ids, DUE_LIMIT)
    while due:
        for start in range(0, len(due), BATCH):
            _match_apart(due[start:start + BATCH])
        due = in_transaction(due_studies, server, ids, DUE_LIMIT, due[-1])


def _match_apart(ids):
    "Match studies, but for those with which that is not possible"
    try:
        in_transaction(match_orders, ids)
    except backend.DatabaseOperationalError:
        raise
    except Exception as error:
        # Whatever is wrong with one study never blocks the others
        if len(ids) > 1:
            middle = len(ids) // 2
            _match_apart(ids[:middle])
            _match_apart(ids[middle:])
            return
        logger.error(
            "Study %s not matched: %s", ids[0], type(error).__name__,
            exc_info=logger.isEnabledFor(logging.DEBUG))
        in_transaction(set_matched, ids)
