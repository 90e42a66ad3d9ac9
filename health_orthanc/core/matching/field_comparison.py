# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of single fields of a study with a patient or an order."""

import datetime as dt
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from rapidfuzz.distance import OSA

from ..dicom.values import split_ae_titles
from .attributes import (
    OrderAttributes, PatientAttributes, StepAttributes, StudyAttributes)
from .names import normalize_words
from .verdicts import (
    Differs, Equal, Finding, Missing, Partial, Reason, Verdict)

__all__ = [
    'NOT_ACQUIRED', 'SLIP', 'compare_accession_numbers',
    'compare_birth_date_texts', 'compare_birth_dates', 'compare_dates',
    'compare_descriptions', 'compare_merge_id', 'compare_modalities',
    'compare_patient_ids', 'compare_sex', 'compare_stations',
    'compare_step_ids', 'compare_study_uids', 'find_slip', 'is_mistyped',
    'read_birth_dates', 'received_values']

# Modalities of derived objects, and of any objects (PS3.3 C.7.3.1.1.1)
NOT_ACQUIRED = frozenset("""
    SR KO PR OT SEG REG DOC FID RTSTRUCT RTPLAN RTDOSE RTRECORD PLAN RWV STAIN
    ASMT M3D TEXTUREMAP AU HC""".split())
_PROJECTION = frozenset({'CR', 'DX', 'RG'})


def compare_patient_ids(
        study: StudyAttributes, patient: PatientAttributes,
        puids: Collection[str],
        issuers: Collection[str] = ()) -> Finding:
    """Compare the PatientID with the PUID.

    A PatientID that is nobody's PUID is missing, as is one that another
    hospital has issued. Another identifier is equal with `Reason.OTHER_ID`:
    it supports a match and never decides.

    Parameters
    ----------
    study : StudyAttributes
    patient : PatientAttributes
    puids : collection of str
        Of all patients, so that another patient's PUID is recognized.
    issuers : collection of str
        Allowed values of IssuerOfPatientID; empty for any.

    Returns
    -------
    Finding
    """
    ours, theirs = patient.puid, study.patient_id
    if not ours:
        return Missing()
    is_foreign = bool(
        issuers and study.issuer and study.issuer not in issuers)
    if theirs == ours and not is_foreign:
        return Equal()
    # Whoever owns the PUID comes before whoever has it as another identifier
    if theirs in puids and not is_foreign:
        return Differs(Reason.OTHER_PATIENT)
    if ours in study.other_patient_ids or (
            theirs and theirs in patient.other_ids):
        return Equal(Reason.OTHER_ID)
    if not theirs:
        return Missing()
    if is_foreign:
        return Missing(Reason.FOREIGN_ID)
    if is_mistyped(ours, theirs):
        return Differs(Reason.SIMILAR, 0.5)
    # It may also be a merge ID that a workstation has written
    return Missing(Reason.FOREIGN_ID)


def is_mistyped(one: str, other: str) -> bool:
    """Return whether one character, or case and spaces, make the difference.
    """
    if min(len(one), len(other)) < 4:
        return False
    return OSA.distance(_compact(one), _compact(other)) <= 1


def _compact(text: str) -> str:
    return ''.join(filter(str.isalnum, text.casefold()))


def compare_sex(patient: PatientAttributes, theirs: str) -> Finding:
    """Compare the biological sex with PatientSex (0010,0040).

    Parameters
    ----------
    patient : PatientAttributes
        The gender is compared if the biological sex is unknown.
    theirs : str

    Returns
    -------
    Finding
        With `Reason.GENDER` if the gender was compared.
    """
    sex = _known_sex(theirs)
    biological, gender = map(
        _known_sex, [patient.biological_sex, patient.gender])
    ours = biological or gender
    if not ours or not sex:
        return Missing()
    reason = None if biological else Reason.GENDER
    return (Equal if ours == sex else Differs)(reason)


def _known_sex(sex: str | None) -> str | None:
    sex = (sex or '').strip().upper()
    return sex if sex in {'M', 'F'} else None


def compare_study_uids(
        ours: str, theirs: Collection[str], known: Collection[str]) -> Finding:
    """Compare StudyInstanceUIDs.

    Many modalities create their own, which counts as missing.

    Parameters
    ----------
    ours : str
    theirs : collection of str
        That of the study and those of its RequestAttributesSequence.
    known : collection of str
        Of all orders: one of these belongs to another order, and differs.

    Returns
    -------
    Finding
    """
    if not ours or not theirs:
        return Missing()
    if ours in theirs:
        return Equal()
    if not set(theirs).isdisjoint(known):
        return Differs(Reason.OTHER_ORDER)
    return Missing(Reason.OWN_UID)


def compare_merge_id(
        study: StudyAttributes, order: OrderAttributes) -> Finding:
    """Search the merge ID of an order among the values of a study.

    It must be the whole of a value, or of a component of it. It is not
    compared where it is the study UID, which is compared by itself.

    Returns
    -------
    Finding
        Equal or missing, never different.
    """
    merge_id = order.merge_id
    if not merge_id or order.study_uid in study.study_uids:
        return Missing()
    return (
        Equal() if merge_id in received_values(study)
        else Missing())


def received_values(study: StudyAttributes) -> set[str]:
    r"""Return all values of a study that may be a merge ID.

    Returns
    -------
    set of str
        Values, and their components between ``\`` and ``^``.
    """
    values = {
        study.study_uid, study.patient_id, study.accession_number,
        study.description, *study.other_patient_ids, *study.texts,
        *study.requested_accession_numbers, *study.requested_study_uids}
    return values | {
        part for value in [*values, study.patient_name]
        for part in value.replace('^', '\\').split('\\')}


def compare_accession_numbers(
        order: OrderAttributes, theirs: Collection[str]) -> Finding:
    """Compare AccessionNumbers (0008,0050).

    One of several values is enough. A number with a prefix or suffix of the
    site, or without its letters or leading zeros, is similar.

    Parameters
    ----------
    order : OrderAttributes
        Its former numbers are equal, too, with `Reason.ALIAS`.
    theirs : collection of str
        Each value that was received.

    Returns
    -------
    Finding
        With `Reason.SIMILAR` if a typing error or lost parts explain the
        difference.
    """
    ours = order.accession_number
    if not theirs or not (ours or order.aliases):
        return Missing()
    if ours in theirs:
        return Equal()
    if not order.aliases.isdisjoint(theirs):
        return Equal(Reason.ALIAS)
    if any(
            is_mistyped(number, their) or _has_lost_parts(number, their)
            for number in {ours, *order.aliases} - {''} for their in theirs):
        return Differs(Reason.SIMILAR, 0.5)
    return Differs()


# Of a number that is a part of another one
_LEAST_CHARACTERS = 4


def _has_lost_parts(one: str, other: str) -> bool:
    "Return whether letters, zeros, a prefix or suffix make the difference"
    short, long = sorted(map(_compact, [one, other]), key=len)
    if len(short) >= _LEAST_CHARACTERS and (
            long.startswith(short) or long.endswith(short)):
        return True
    digits = [re.sub(r'\D', '', text).lstrip('0') for text in [one, other]]
    return bool(digits[0]) and digits[0] == digits[1]


def compare_step_ids(
        ours: Collection[str], theirs: Collection[str], identified: bool
        ) -> Finding:
    """Compare identifiers that are unique within one hospital only.

    Parameters
    ----------
    ours, theirs : collection of str
        ScheduledProcedureStepIDs or RequestedProcedureIDs.
    identified : bool
        Whether the patient matches: another hospital may use the same
        identifiers, so equal ones are missing otherwise
        (`Reason.BARE_STEP`).

    Returns
    -------
    Finding
    """
    ours, theirs = set(ours) - {''}, set(theirs) - {''}
    if not ours or not theirs:
        return Missing()
    if ours.isdisjoint(theirs):
        return Differs()
    if not identified:
        return Missing(Reason.BARE_STEP)
    return Equal()


def compare_modalities(
        steps: Sequence[StepAttributes], theirs: Collection[str]) -> Finding:
    """Compare the ordered with the acquired modalities (PS3.3 C.7.3.1.1.1).

    Documents and derived objects are left out. CR, DX and RG are equal, with
    `Reason.KIND`.

    Parameters
    ----------
    steps : sequence of StepAttributes
    theirs : collection of str
        Of all series.

    Returns
    -------
    Finding
    """
    ours = {s.modality for s in steps} - {'', 'OT'}
    theirs = set(theirs) - NOT_ACQUIRED - {''}
    if not ours or not theirs:
        return Missing()
    if ours & theirs:
        return Equal()
    if ours & _PROJECTION and theirs & _PROJECTION:
        return Equal(Reason.KIND)
    return Differs()


def compare_dates(
        steps: Sequence[StepAttributes], theirs: dt.date | None,
        window: dt.timedelta) -> Finding:
    """Compare the date of a study with those of the scheduled steps.

    Parameters
    ----------
    steps : sequence of StepAttributes
    theirs : date or None
    window : timedelta
        The largest difference that counts as equal.

    Returns
    -------
    Finding
    """
    ours = [s.date for s in steps if s.date]
    if not ours or not theirs:
        return Missing()
    if any(abs(date - theirs) <= window for date in ours):
        return Equal()
    return Differs()


def compare_descriptions(ours: str, theirs: str) -> Finding:
    """Compare descriptions by their words, in any order.

    Returns
    -------
    Finding
        Its agreement is the part of the words that both have, at most 0.9 if
        not all.
    """
    one, other = sorted(normalize_words(ours)), sorted(normalize_words(theirs))
    if not one or not other:
        return Missing()
    if one == other:
        return Equal()
    common = len(set(one) & set(other))
    return Differs(
        Reason.SIMILAR if common else None,
        min(0.9, common / len({*one, *other})))


def compare_stations(
        steps: Sequence[StepAttributes], study: StudyAttributes) -> Finding:
    """Compare the scheduled with the acquiring stations.

    AE titles are compared with AE titles, names with names; one that is equal
    is enough.

    Parameters
    ----------
    steps : sequence of StepAttributes
    study : StudyAttributes

    Returns
    -------
    Finding
    """
    pairs = [
        ({title for step in steps
          for title in split_ae_titles(step.station_aetitle)},
         study.station_aetitles),
        ({s.station_name for s in steps} - {''}, study.station_names)]
    known = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    if not known:
        return Missing()
    if any(ours & theirs for ours, theirs in known):
        return Equal()
    return Differs()


# --- Birth dates ----------------------------------------------------------


# Agreement of two dates that differ by a typing error
SLIP = 0.5
# Tolerance of an estimated date, in years
_ESTIMATE = 5
_OLDEST_YEAR = 1880
_BUDDHIST_ERA = 543


def compare_birth_dates(
        ours: dt.date | None, theirs: dt.date | None,
        estimated: bool = False) -> Finding:
    """Compare a birth date of GNU Health with a PatientBirthDate.

    A difference without a reason cannot be explained by a typing error.

    Parameters
    ----------
    ours, theirs : date or None
        1 January 1900, and years in which nobody alive was born, count as
        unknown.
    estimated : bool
        Whether `ours` was calculated from an age.

    Returns
    -------
    Finding
    """
    if not ours or not theirs:
        return Missing()
    if ours == theirs:
        return Equal()
    if _is_placeholder(ours) or _is_placeholder(theirs):
        return Missing(Reason.PLACEHOLDER)
    if estimated:
        if abs(ours.year - theirs.year) <= _ESTIMATE:
            return Missing(Reason.ESTIMATED)
        return Differs(Reason.ESTIMATED)
    slip = find_slip(ours, theirs)
    return Differs(slip, SLIP if slip else 0)


def compare_birth_date_texts(
        ours: dt.date | None, theirs: str, estimated: bool = False
        ) -> Finding:
    """Compare a birth date with a text that is no date of DICOM.

    It is read as people write dates. What cannot be read is a difference that
    a person has to look at, never a contradiction.
    """
    dates = read_birth_dates(theirs)
    if not dates:
        return Differs(Reason.UNREADABLE_DATE, SLIP)
    findings = [compare_birth_dates(ours, d, estimated) for d in dates]
    best = max(findings, key=lambda f: (f.agreement or 0, f.verdict.value))
    if len(dates) > 1 and best.verdict is Verdict.EQUAL:
        # Day and month may be meant the other way round
        return Partial(Reason.DAY_MONTH, 1)
    return best


_DATE_ORDERS = [
    # Year first is never ambiguous; points are written in German and Slavic
    # countries, day first
    (re.compile(r'(?P<y>\d{4})[-./ ](?P<m>\d{1,2})[-./ ](?P<d>\d{1,2})'),),
    (re.compile(r'(?P<d>\d{1,2})[. ] ?(?P<m>\d{1,2})[. ] ?(?P<y>\d{4})'),),
    (
        re.compile(r'(?P<d>\d{1,2})[-/](?P<m>\d{1,2})[-/](?P<y>\d{4})'),
        re.compile(r'(?P<m>\d{1,2})[-/](?P<d>\d{1,2})[-/](?P<y>\d{4})')),
    ]


def read_birth_dates(text: str) -> list[dt.date]:
    """Return the dates that a text may mean, the likeliest first.

    Parameters
    ----------
    text : str
        Such as ``1988-09-09``, ``09.09.1988`` or ``9/9/1988``.
    """
    for patterns in _DATE_ORDERS:
        found = []
        for pattern in patterns:
            match = pattern.fullmatch(text.strip())
            if match:
                with suppress(ValueError):
                    found.append(dt.date(*(int(match[k]) for k in 'ymd')))
        if found:
            return list(dict.fromkeys(found))
    return []


def _is_placeholder(date: dt.date) -> bool:
    return date == dt.date(1900, 1, 1) or date.year < _OLDEST_YEAR


def find_slip(one: dt.date, other: dt.date) -> Reason | None:
    """Return the single typing error that makes one date of another.

    Returns
    -------
    Reason or None
        None if it takes more than one error.
    """
    for reason, is_slip in _SLIPS.items():
        if is_slip(one, other):
            return reason
    return None


def _digits(date: dt.date) -> str:
    return f'{date.year:04}{date.month:02}{date.day:02}'


def _day_month(one: dt.date, other: dt.date) -> bool:
    return (one.year, one.month, one.day) == (
        other.year, other.day, other.month)


def _digit(one: dt.date, other: dt.date) -> bool:
    return sum(a != b for a, b in zip(_digits(one), _digits(other))) == 1


def _transposed(one: dt.date, other: dt.date) -> bool:
    first, second = _digits(one), _digits(other)
    places = [i for i, (a, b) in enumerate(zip(first, second)) if a != b]
    if len(places) != 2 or places[1] - places[0] != 1:
        return False
    start, end = places[0], places[1] + 1
    return first[start:end] == second[start:end][::-1]


def _years_apart(one: dt.date, other: dt.date, years: int) -> bool:
    return abs(one.year - other.year) == years and (
        (one.month, one.day) == (other.month, other.day))


def _century(one: dt.date, other: dt.date) -> bool:
    return _years_apart(one, other, 100)


def _calendar(one: dt.date, other: dt.date) -> bool:
    return _years_apart(one, other, _BUDDHIST_ERA)


def _next_day(one: dt.date, other: dt.date) -> bool:
    return abs((one - other).days) == 1


def _first_of_year(one: dt.date, other: dt.date) -> bool:
    return one.year == other.year and (1, 1) in {
        (one.month, one.day), (other.month, other.day)}


_SLIPS: dict[Reason, Callable[[dt.date, dt.date], bool]] = {
    Reason.DAY_MONTH: _day_month,
    Reason.CENTURY: _century,
    Reason.TRANSPOSED: _transposed,
    Reason.DIGIT: _digit,
    Reason.NEXT_DAY: _next_day,
    Reason.FIRST_OF_YEAR: _first_of_year,
    Reason.CALENDAR: _calendar,
    }
