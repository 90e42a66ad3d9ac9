# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Score of a candidate: how well a study matches a patient and an order.

Each field that is known on both sides counts with its weight in `WEIGHTS`
times its agreement, from 0 to 1. The *score* is the part that is reached of
what could be reached, in percent: 100 if and only if all compared fields
agree, however many are missing. It does not depend on how much could be
compared. The *strength* does: it is what agrees less what differs, and ranks
the candidates.

A name of which one side has only a part counts with its agreement, which is
less than 1. Description and station only distinguish the orders of one
patient: they do not count if a key leads to the order.
"""

import datetime as dt
import enum
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..dicom.values import display_names
from .attributes import (
    Candidate, OrderAttributes, PatientAttributes, StudyAttributes)
from .field_comparison import (
    compare_accession_numbers, compare_birth_date_texts, compare_birth_dates,
    compare_dates, compare_descriptions, compare_merge_id, compare_modalities,
    compare_patient_ids, compare_sex, compare_stations, compare_step_ids,
    compare_study_uids, is_mistyped)
from .groups import find_groups, without_orders
from .names import compare_names
from .verdicts import Comparison, Finding, Reason, Verdict

__all__ = [
    'Assessment', 'DATE_WINDOW', 'Key', 'LastPerson', 'ORDER_KEYS', 'Obstacle',
    'VETO', 'Veto', 'WEIGHTS', 'WIDEST_DATE_WINDOW', 'assess']

WEIGHTS = {
    'study_uid': 40,
    'merge_id': 30,
    'accession_number': 25,
    'patient_id': 40,
    'name': 30,
    'birth_date': 25,
    'sex': 5,
    'step': 10,
    'procedure': 5,
    'modality': 5,
    'date': 5,
    'description': 2,
    'station': 2,
    }
_IDENTITY = ['patient_id', 'name', 'birth_date', 'sex']
# Penalty on the strength for each veto
VETO = 30
DATE_WINDOW = dt.timedelta(days=7)
# The largest value that a hospital may set
WIDEST_DATE_WINDOW = dt.timedelta(days=31)


class Veto(enum.Enum):
    """A contradiction that excludes automatic linking"""
    PATIENT_ID = 'patient_id'  # it is another patient's PUID
    SEX = 'sex'  # male against female of biological sex
    BIRTH_DATE = 'birth_date'  # differs by more than a typing error


class Obstacle(enum.Enum):
    "Why no machine may be certain of a patient, whatever agrees"
    INACTIVE = 'inactive'  # the record is deactivated
    UNBORN = 'unborn'  # the study was made before the birth
    DECEASED = 'deceased'  # it was made after the death
    OTHER_PUID = 'rival'  # another patient's PUID is among the other IDs


class Key(enum.Enum):
    """The identifier that leads to a candidate, the most reliable first"""
    STUDY_UID = 'study_uid'
    MERGE_ID = 'merge_id'
    ACCESSION_NUMBER = 'accession_number'
    STEP = 'step'
    PATIENT_ID = 'patient_id'


ORDER_KEYS = frozenset(Key) - {Key.PATIENT_ID}


@dataclass(frozen=True, slots=True)
class Assessment:
    """Score and comparisons of one candidate

    Attributes
    ----------
    candidate : Candidate
    score : int
        From 0 to 100.
    strength : float
        Weights of what agrees less those of what differs, and less a penalty
        for each veto.
    comparisons : tuple of Comparison
        In the order of `WEIGHTS`; fields of an order only if there is one.
    vetoes : tuple of Veto
    key : Key or None
        The most reliable identifier that is equal.
    obstacle : Obstacle or None
    is_among_other_ids : bool
        Whether the PUID is one of the other IDs that were received.
    group : frozenset of hashable
        The keys of the other orders that the study names together with this
        one.
    """
    candidate: Candidate
    score: int
    strength: float
    comparisons: tuple[Comparison, ...]
    vetoes: tuple[Veto, ...] = ()
    key: Key | None = None
    obstacle: Obstacle | None = None
    is_among_other_ids: bool = False
    group: frozenset[Hashable] = frozenset()

    def is_equal(self, *names: str) -> bool:
        """Return whether all of these fields are equal.

        Parameters
        ----------
        *names : str
            Keys of `WEIGHTS`.
        """
        equal = {
            c.field for c in self.comparisons if c.verdict is Verdict.EQUAL}
        return equal.issuperset(names)

    def differs(self, name: str) -> bool:
        "Return whether a field differs by more than slips explain"
        found = self._comparison(name)
        return bool(
            found and found.verdict is Verdict.DIFFERS
            and found.reason is None)

    def _comparison(self, name: str) -> Comparison | None:
        return next((c for c in self.comparisons if c.field == name), None)

    @property
    def owns_patient_id(self) -> bool:
        """Whether the PUID of the patient was received.

        Any other identifier supports a match, and never decides.
        """
        found = self._comparison('patient_id')
        return bool(
            found and found.verdict is Verdict.EQUAL and found.reason is None)

    @property
    def is_near_patient_id(self) -> bool:
        "Whether an identifier of the patient was received, or nearly so"
        found = self._comparison('patient_id')
        return self.is_among_other_ids or bool(found and (
                found.verdict is Verdict.EQUAL
                or found.reason is Reason.SIMILAR
                or found.reason is Reason.OTHER_PATIENT
                and is_mistyped(found.ours, found.theirs)))

    @property
    def names_person(self) -> bool:
        "Whether name and birth date are equal, and the sex does not differ"
        return self.is_equal('name', 'birth_date') and not self.differs('sex')

    @property
    def has_lost_letters(self) -> bool:
        "Whether letters of the name that was received are unknown"
        found = self._comparison('name')
        return bool(found and found.reason in {
                Reason.UNKNOWN_LETTERS, Reason.LETTERS_LOST})

    @property
    def may_be_ordered(self) -> bool:
        "Whether the order is open, and of such a study at that time"
        order = self.candidate.order
        return bool(
            order and order.open and not self.differs('modality')
            and not self.differs('date'))

    @property
    def identity(self) -> list[Verdict]:
        """list of Verdict : on patient ID, name, birth date and sex"""
        return [
            c.verdict for c in self.comparisons if c.field in _IDENTITY]

    @property
    def order_key(self) -> bool:
        """bool : whether a key leads to the order, not only to the patient"""
        return self.key in ORDER_KEYS


class LastPerson:
    """What the last study said of its patient, and the assessments from it

    The studies of a patient mostly follow each other, and say the same: each
    candidate without an order is compared once, not for each study.
    """
    __slots__ = ('_facts', '_assessments')

    def __init__(self) -> None:
        self._facts: tuple[Hashable, ...] = ()
        self._assessments: dict[int, Assessment] = {}

    def recall(self, *facts: Hashable) -> dict[int, Assessment]:
        """Return the assessments, which are none if the facts are others.

        They are by the identity of the attributes of the patient, which live
        as long as the assessment.
        """
        if facts != self._facts:
            self._facts, self._assessments = facts, {}
        return self._assessments


def assess(
        study: StudyAttributes, candidates: Iterable[Candidate],
        date_window: dt.timedelta = DATE_WINDOW,
        issuers: Collection[str] = (),
        last_person: LastPerson | None = None) -> list[Assessment]:
    """Return the assessments of all candidates, the best first.

    Parameters
    ----------
    study : StudyAttributes
    candidates : iterable of Candidate
        They must include the patient whose PUID is the PatientID, and the
        orders whose study UID or accession number the study has: for all other
        candidates, these are contradictions.
    date_window : timedelta
        The largest difference between the dates of a study and of a step that
        counts as equal.
    issuers : collection of str
        The values of IssuerOfPatientID with which a PatientID is a PUID; empty
        for any.
    last_person : LastPerson, optional
        The same for several studies, one after the other.

    Returns
    -------
    list of Assessment
    """
    candidates = list(candidates)
    known = _Known(
        frozenset(c.patient.puid for c in candidates) - {''},
        frozenset(c.order.study_uid for c in candidates if c.order) - {''},
        date_window, frozenset(issuers))
    # One order is no group
    several = sum(1 for c in candidates if c.order) > 1
    groups = find_groups(study, candidates) if several else {}
    persons = (last_person or LastPerson()).recall(
        study.patient_id, study.issuer, study.other_patient_ids,
        study.patient_name, study.letters_lost, study.birth_date,
        study.birth_date_text, study.sex, known.puids, known.issuers)
    assessments = [
        _assess_person(study, c, known, persons) if not c.order
        else _assess_grouped(study, c, known, groups[c.order.key])
        if c.order.key in groups else _assess(study, c, known)
        for c in candidates]
    # An ID is mistyped or picked wrongly more easily than all the rest
    doubtful = any(
        a.owns_patient_id and a.differs('name') for a in assessments)
    return sorted(
        assessments,
        key=lambda a: (not (doubtful and a.names_person), *_rank(a)))


def _rank(assessment: Assessment) -> tuple[float, int, bool]:
    return (
        -assessment.strength, -assessment.score,
        bool(assessment.candidate.order))


@dataclass(frozen=True, slots=True)
class _Known:
    """Identifiers of all candidates, and settings"""
    puids: frozenset[str]
    study_uids: frozenset[str]
    date_window: dt.timedelta
    issuers: frozenset[str]


def _assess_person(
        study: StudyAttributes, candidate: Candidate, known: _Known,
        persons: dict[int, Assessment]) -> Assessment:
    patient = candidate.patient
    found = persons.get(id(patient))
    if found is None:
        found = persons[id(patient)] = _assess(study, candidate, known)
        return found
    # It is the only thing that depends on more than the facts of the person
    obstacle = _find_obstacle(patient, study, known.puids)
    return found if found.obstacle is obstacle else replace(
        found, obstacle=obstacle)


def _assess_grouped(
        study: StudyAttributes, candidate: Candidate, known: _Known,
        others: Sequence[OrderAttributes]) -> Assessment:
    order = candidate.order
    assert order
    return replace(
        _assess(without_orders(study, order, others), candidate, known),
        group=frozenset(o.key for o in others))


def _assess(
        study: StudyAttributes, candidate: Candidate, known: _Known
        ) -> Assessment:
    comparisons = _Comparisons()
    patient, order = candidate.patient, candidate.order
    _compare_patient(comparisons, study, candidate, known)
    vetoes = _find_vetoes(comparisons, patient)
    if order:
        _compare_order(comparisons, study, order, known)
    key = next((k for k in Key if comparisons.is_equal(k.value)), None)
    found = [comparisons.found[n] for n in WEIGHTS if n in comparisons.found]
    counted = [
        (WEIGHTS[c.field], c.agreement) for c in found
        if c.agreement is not None and not (
            key in ORDER_KEYS and c.field in {'description', 'station'})]
    strength = sum(w * (2 * agreement - 1) for w, agreement in counted)
    return Assessment(
        candidate, _score(counted), strength - VETO * len(vetoes),
        tuple(found), vetoes, key,
        _find_obstacle(patient, study, known.puids),
        patient.puid in study.other_patient_ids - {''})


def _score(counted: Sequence[tuple[int, float]]) -> int:
    """Return 100 only if everything agrees, 0 if nothing could be compared."""
    possible = sum(weight for weight, _ in counted)
    if not possible:
        return 0
    if all(agreement == 1 for _, agreement in counted):
        return 100
    reached = sum(weight * agreement for weight, agreement in counted)
    return min(99, int(100 * reached / possible))


@dataclass(slots=True)
class _Comparisons:
    """The comparisons of one candidate so far"""
    found: dict[str, Comparison] = field(default_factory=dict)

    def add(
            self, name: str, ours: str, theirs: str, finding: Finding) -> None:
        self.found[name] = Comparison(
            name, ours, theirs, finding.verdict, finding.reason,
            finding.agreement)

    def is_equal(self, *names: str) -> bool:
        return all(
            n in self.found and self.found[n].verdict is Verdict.EQUAL
            for n in names)

    def reason(self, name: str) -> Reason | None:
        return self.found[name].reason

    def differs(self, name: str) -> bool:
        return self.found[name].verdict is Verdict.DIFFERS


# --- The patient ----------------------------------------------------------


def _compare_patient(
        comparisons: _Comparisons, study: StudyAttributes,
        candidate: Candidate,
        known: _Known) -> None:
    patient = candidate.patient
    comparisons.add(
        'patient_id', patient.puid, study.patient_id,
        compare_patient_ids(study, patient, known.puids, known.issuers))
    comparisons.add(
        'name', '; '.join(n.display for n in patient.names),
        display_names(study.patient_name),
        compare_names(
            patient.names, study.patient_name, study.letters_lost))
    comparisons.add(
        'birth_date', _iso(patient.birth_date),
        _iso(study.birth_date) or study.birth_date_text,
        _compare_birth_date(patient, study))
    comparisons.add(
        'sex', patient.biological_sex or patient.gender, study.sex,
        compare_sex(patient, study.sex))


def _compare_birth_date(
        patient: PatientAttributes, study: StudyAttributes) -> Finding:
    if study.birth_date or not study.birth_date_text:
        return compare_birth_dates(
            patient.birth_date, study.birth_date,
            patient.birth_date_estimated)
    return compare_birth_date_texts(
        patient.birth_date, study.birth_date_text,
        patient.birth_date_estimated)


def _find_vetoes(
        comparisons: _Comparisons, patient: PatientAttributes
        ) -> tuple[Veto, ...]:
    vetoes = []
    if comparisons.reason('patient_id') is Reason.OTHER_PATIENT:
        vetoes.append(Veto.PATIENT_ID)
    if comparisons.differs('sex') and comparisons.reason('sex') is None:
        vetoes.append(Veto.SEX)
    if comparisons.differs('birth_date') and (
            comparisons.reason('birth_date') is None):
        vetoes.append(Veto.BIRTH_DATE)
    return tuple(vetoes)


def _find_obstacle(
        patient: PatientAttributes, study: StudyAttributes,
        puids: frozenset[str]) -> Obstacle | None:
    if not patient.active:
        return Obstacle.INACTIVE
    if study.date and patient.birth_date and (
            not patient.birth_date_estimated
            and study.date < patient.birth_date):
        return Obstacle.UNBORN
    # Without a date of death any study may have been made after it
    if patient.deceased and not (
            study.date and patient.died_on and study.date <= patient.died_on):
        return Obstacle.DECEASED
    if study.other_patient_ids & (puids - {patient.puid}):
        return Obstacle.OTHER_PUID
    return None


# --- The order ------------------------------------------------------------


def _compare_order(
        comparisons: _Comparisons, study: StudyAttributes,
        order: OrderAttributes,
        known: _Known) -> None:
    comparisons.add(
        'study_uid', order.study_uid, study.study_uid,
        compare_study_uids(
            order.study_uid, study.study_uids, known.study_uids))
    comparisons.add(
        'merge_id', order.merge_id, '', compare_merge_id(study, order))
    comparisons.add(
        'accession_number', order.accession_number,
        _listed(study.accession_numbers),
        compare_accession_numbers(order, study.accession_numbers))
    identified = comparisons.is_equal('patient_id') or comparisons.is_equal(
        'name', 'birth_date')
    for name, ours, theirs in [
            ('step', {s.step_id for s in order.steps}, study.step_ids),
            ('procedure', {order.procedure_id}, study.procedure_ids)]:
        comparisons.add(
            name, _listed(ours), _listed(theirs),
            compare_step_ids(ours, theirs, identified))
    comparisons.add(
        'modality', _listed(s.modality for s in order.steps),
        _listed(study.modalities),
        compare_modalities(order.steps, study.modalities))
    comparisons.add(
        'date', _listed(_iso(s.date) for s in order.steps), _iso(study.date),
        compare_dates(order.steps, study.date, known.date_window))
    comparisons.add(
        'description', order.description, study.description,
        compare_descriptions(order.description, study.description))
    comparisons.add(
        'station',
        _listed(s.station_aetitle or s.station_name for s in order.steps),
        _listed(study.station_aetitles or study.station_names),
        compare_stations(order.steps, study))


def _iso(date: dt.date | None) -> str:
    return date.isoformat() if date else ''


def _listed(values: Iterable[str]) -> str:
    return ', '.join(sorted(set(filter(None, values))))
