# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which patient of GNU Health a study belongs to.

Machines only decide where no person has, and never against a contradiction.
"""

import hashlib
from collections import Counter, defaultdict

from sql import Null

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .candidates import study_facts
from .core.decisions import Status
from .core.facts import Candidate, OrderFacts, PatientFacts
from .core.identities import Identity, compare_identities
from .core.values import parse_person_name
from .core.verdicts import Verdict
from .facts import order_facts, patient_facts
from .rows import known_rows, write_rows
from .search_key import digest_keys, study_keys
from .settlement import settle
from .waiting import set_matched
from .words import told

__all__ = [
    'assess_choice', 'is_claimed', 'link_patients', 'link_studies',
    'link_waiting_studies', 'match_orders', 'propose', 'studies_to_carry']

_LINKED_BY_MACHINE = {'auto_certain', 'auto_unsure', 'unlinked'}


def link_studies(known, orthanc_patients, values):
    """Add the values of the link to those of studies, none to leave it.

    What has changed is matched again.

    Parameters
    ----------
    known : dict
        Rows of studies by Orthanc id.
    orthanc_patients : dict
        Rows of Orthanc patients.
    values : dict
        What is going to be stored, by Orthanc id.
    """
    for id_, found in values.items():
        if id_ in known and _has_changed(known[id_], found):
            found['matched_at'] = None
    waiting = {
        id_: found for id_, found in values.items()
        if id_ not in known or _is_open(known[id_], found)}
    linker = _Linker(orthanc_patients.values(), waiting.values())
    for id_, found in waiting.items():
        found.update(linker.values(known.get(id_), found))


_IDENTITY_FIELDS = [
    'patient_id', 'patient_name', 'patient_birth_date', 'patient_sex']


def _has_changed(study, values):
    # At the first meeting with what 5.0 has linked all is new
    met = study.last_update or study.link_status == 'unlinked'
    return bool(met) and any(
        getattr(study, name) != value for name, value in values.items())


def _is_open(study, values):
    "Return whether the machine may decide on a stored study anew"
    if study.decided_by or study.link_status not in _LINKED_BY_MACHINE:
        return False
    if study.link_status == 'unlinked':
        return True
    # Of what 5.0 has linked not all tags are known: at the first meeting
    # they are new, but nobody has changed them
    return bool(study.last_update) and any(
        getattr(study, name) != values[name] for name in _IDENTITY_FIELDS)


class _Linker:
    """Finds the patients of GNU Health whose PUID the images carry

    A patient is proposed only where no field contradicts it.

    Parameters
    ----------
    orthanc_patients : iterable of rows
    studies : iterable of dict
        Values of the studies to be linked.
    """

    def __init__(self, orthanc_patients, studies):
        studies = list(studies)
        wanted = {values['orthanc_patient'] for values in studies}
        decided = [
            row for row in orthanc_patients
            if row.id in wanted and row.decided_by]
        self._decided = self._decisions(decided)
        self._seen = {row.id: _seen_identity(row) for row in decided}
        self._patients = self._registered({
                values['patient_id'] for values in studies})

    @staticmethod
    def _decisions(rows):
        "Return the patients that people chose for Orthanc patients"
        Patient = Pool().get('gnuhealth.patient')
        patients = {
            patient.id: patient for patient in Patient.browse(list({
                        row.patient for row in rows if row.patient}))}
        return {row.id: patients.get(row.patient) for row in rows}

    @staticmethod
    def _registered(patient_ids):
        Patient = Pool().get('gnuhealth.patient')
        patients = defaultdict(list)
        for sub_ids in grouped_slice(sorted(filter(None, patient_ids))):
            for patient in Patient.search(
                    [('party.ref', 'in', list(sub_ids))], order=[]):
                patients[patient.party.ref].append(patient)
        return patients

    def values(self, study, values):
        "Return the values of the link of a study, whose row is given if any"
        patient, status = self._propose(values)
        patient = patient.id if patient else None
        if study and study.imaging_test and patient != study.patient:
            # A result hangs on it: a person shall look
            return {'link_status': 'auto_unsure'}
        return {'patient': patient, 'link_status': status}

    def _propose(self, values):
        decided = values['orthanc_patient'] in self._decided
        if decided:
            patient = self._decided[values['orthanc_patient']]
        else:
            candidates = self._patients.get(values['patient_id'], [])
            patient = candidates[0] if len(candidates) == 1 else None
        if not patient:
            return None, 'unlinked'
        images = _images_identity(values)
        comparison = compare_identities(_patient_identity(patient), images)
        if comparison.certain:
            return patient, 'auto_certain'
        seen = self._seen.get(values['orthanc_patient'])
        if _is_vetoed(comparison, images, seen):
            return None, 'unlinked'
        return patient, 'auto_unsure'


def _is_vetoed(comparison, images, seen):
    """Return whether a field says that these are two persons.

    Whoever chose the patient for an Orthanc patient has seen what contradicts
    in the latter, `seen`; what others of its studies say is new.
    """
    if not seen:
        return comparison.contradicts
    known = compare_identities(seen, images)
    return any(
        verdict is Verdict.DIFFERS and agreed is not Verdict.EQUAL
        for verdict, agreed in zip(comparison.verdicts, known.verdicts))


def studies_to_carry(orthanc_patient):
    """Return the studies to which the choice of its patient is carried.

    Another person's images may have the same PatientID.
    """
    if not orthanc_patient.patient:
        return list(orthanc_patient.studies)
    identity = _patient_identity(orthanc_patient.patient)
    seen = _seen_identity(orthanc_patient)
    found = []
    for study in orthanc_patient.studies:
        images = _images_identity({
                name: getattr(study, name) for name in _IDENTITY_FIELDS})
        if not _is_vetoed(compare_identities(identity, images), images, seen):
            found.append(study)
    return found


def _seen_identity(row):
    "Return the identity of an Orthanc patient, or of its row"
    return _images_identity({
            'patient_id': row.ident,
            'patient_name': row.name,
            'patient_birth_date': row.bd,
            'patient_sex': row.sex,
            })


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


def _images_identity(values):
    name = parse_person_name(values['patient_name'])
    groups = (
        [name.alphabetic, name.ideographic, name.phonetic] if name else [])
    return Identity(
        values['patient_id'],
        tuple(f'{g.family} {g.given} {g.middle}' for g in groups if g),
        values['patient_birth_date'], values['patient_sex'])


def link_patients(rows, linked):
    """Let Orthanc patients have the patient that their certain studies have.

    Parameters
    ----------
    rows : iterable
        Of the Orthanc patients.
    linked : iterable of tuple
        The id of the Orthanc patient and the values of a study's link.
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    found = defaultdict(set)
    for id_, values in linked:
        if values.get('link_status') == 'auto_certain':
            found[id_].add(values['patient'])
    write_rows(Patient, [
            (row, {'patient': found[row.id].pop(), 'decided_by': None})
            for row in rows
            if len(found[row.id]) == 1
            and not row.decided_by and not row.patient])


# How many studies that wait for their patient are looked at in a run
WAITING_LIMIT = 1000


def link_waiting_studies(server):
    """Link unlinked studies whose patient was registered since.

    Returns
    -------
    Counter
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    studies = _waiting_studies(server)
    if not studies:
        return Counter()
    patients = known_rows(
        pool.get('gnuhealth.orthanc.patient'), 'id',
        {s.orthanc_patient for s in studies} - {None}, server=[server.id])
    linker = _Linker(patients.values(), map(vars, studies))
    updated = [(study, linker.values(study, vars(study))) for study in studies]
    updated = [
        (study, values) for study, values in updated if values.get('patient')]
    write_rows(Study, updated)
    link_patients(
        patients.values(), [(s.orthanc_patient, v) for s, v in updated])
    return Counter(studies_updated=len(updated))


def _waiting_studies(server):
    "Return the rows of unlinked studies whose PatientID is somebody's PUID"
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Party = pool.get('party.party')
    table, party = Study.__table__(), Party.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.join(
            party, condition=party.ref == table.patient_id).select(
            table.id,
            where=(table.server == server.id)
            & (table.link_status == 'unlinked') & (table.matched_at == Null)
            & (table.decided_by == Null) & (table.missing_since == Null),
            order_by=[table.id.desc], limit=WAITING_LIMIT))
    return list(known_rows(
            Study, 'id', [id_ for id_, in cursor],
            server=[server.id]).values())


# Orders


@without_check_access
def propose(study):
    """Return what a machine would do with a study, and the candidates.

    Returns
    -------
    Decision
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Configuration = pool.get('gnuhealth.orthanc.matching.configuration')
    decision, = Configuration.decisions([study_facts(Study(study.id))])
    return decision


def assess_choice(facts, patient=None, request=None):
    """Return what speaks for and against what a person chooses.

    All fields are compared; those of what is not chosen are missing.

    Returns
    -------
    Assessment
    """
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    patients = patient_facts([patient.id] if patient else [])
    orders = order_facts([request.id] if request else [])
    chosen = Candidate(
        patients[patient.id] if patient else PatientFacts(None),
        orders[request.id][1] if request else OrderFacts(None))
    assessments, = Configuration.assessments([facts], [chosen])
    return next(a for a in assessments if a.candidate is chosen)


def is_claimed(study):
    "Return whether a number in the images, or all else, leads to somebody"
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    assessments, = Configuration.assessments([study_facts(study)])
    return any(a.key for a in assessments) or bool(propose(study).best)


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
    facts = {s.id: study_facts(s) for s in studies}
    _link([s for s in studies if _is_machines(s)], facts)
    settle(_concerned(ids))
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
    updated, moved = [], []
    for study, decision in zip(studies, Configuration.decisions(
                [facts[s.id] for s in studies])):
        if _is_decided_otherwise(study, decision) or (
                known.get(study.id) == _digest(facts[study.id])
                and _stands(study, decision)):
            continue
        values = _link_values(study, decision)
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
    linked = [(s.orthanc_patient, v) for s, v in updated if s.orthanc_patient]
    link_patients({p for p, _ in linked}, [(p.id, v) for p, v in linked])
    for study, decision in moved:
        _record(before, study, decision)


def _record(before, study, decision):
    History = Pool().get('gnuhealth.imaging_orthanc.study.decision')
    best = decision.best
    History.record(
        {study.id: before[study.id]}, [study],
        score=best.score if best else None,
        doubt=decision.doubt.value if decision.doubt else None,
        comparisons=told(best) if best else None)


def _is_decided_otherwise(study, decision):
    """Return whether a person chose something else before.

    That is another patient for the Orthanc patient, or another result, as 5.0
    has let people do.
    """
    best = decision.best
    chosen, result = study.orthanc_patient, study.imaging_test
    if result and result != study.settled_result:
        order = best.candidate.order if best else None
        return not (order and result.request and (
                result.request.id == order.key))
    return bool(chosen and chosen.decided_by and best) and not (
        chosen.patient and chosen.patient.id == best.candidate.patient.key)


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


def _link_values(study, decision):
    "Return the values of a study's link, with records for relations"
    pool = Pool()
    best = decision.best
    if not best:
        # What the PUID or a choice for the Orthanc patient has found stays
        if not study.request:
            return {}
        return {
            'request': None, 'patient': None, 'imaging_test': None,
            'link_status': decision.status.value, 'score': None}
    order = best.candidate.order
    values = {
        'patient': pool.get('gnuhealth.patient')(best.candidate.patient.key),
        'request': pool.get('gnuhealth.imaging.test.request')(order.key)
        if order else None,
        'link_status': decision.status.value,
        'score': best.score,
        }
    result = study.imaging_test
    if result and (result.patient != values['patient']
            or result.request != values['request']):
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
