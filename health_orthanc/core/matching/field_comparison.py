# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of single fields of a study with a patient or an order."""

import datetime as dt
import re
from collections.abc import Collection, Sequence

from rapidfuzz.distance import OSA

from .attributes import (
    OrderAttributes, PatientAttributes, StepAttributes, StudyAttributes)
from .normalization import normalize_words
from .verdicts import Finding, Reason

__all__ = [
    'NOT_ACQUIRED', 'compare_accession_numbers', 'compare_dates',
    'compare_descriptions', 'compare_merge_id', 'compare_modalities',
    'compare_patient_ids', 'compare_sex', 'compare_stations',
    'compare_step_ids', 'compare_study_uids', 'is_mistyped',
    'received_values']

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
        return Finding.missing()
    is_foreign = bool(
        issuers and study.issuer and study.issuer not in issuers)
    if theirs == ours and not is_foreign:
        return Finding.equal()
    # Whoever owns the PUID comes before whoever has it as another identifier
    if theirs in puids and not is_foreign:
        return Finding.differs(Reason.OTHER_PATIENT)
    if ours in study.other_patient_ids or (
            theirs and theirs in patient.other_ids):
        return Finding.equal(Reason.OTHER_ID)
    if not theirs:
        return Finding.missing()
    if is_foreign:
        return Finding.missing(Reason.FOREIGN_ID)
    if is_mistyped(ours, theirs):
        return Finding.differs(Reason.SIMILAR, 0.5)
    # It may also be a merge ID that a workstation has written
    return Finding.missing(Reason.FOREIGN_ID)


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
        return Finding.missing()
    reason = None if biological else Reason.GENDER
    return (Finding.equal if ours == sex else Finding.differs)(reason)


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
        return Finding.missing()
    if ours in theirs:
        return Finding.equal()
    if not set(theirs).isdisjoint(known):
        return Finding.differs(Reason.OTHER_ORDER)
    return Finding.missing(Reason.OWN_UID)


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
        return Finding.missing()
    return (
        Finding.equal() if merge_id in received_values(study)
        else Finding.missing())


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
        return Finding.missing()
    if ours in theirs:
        return Finding.equal()
    if not order.aliases.isdisjoint(theirs):
        return Finding.equal(Reason.ALIAS)
    if any(
            is_mistyped(number, their) or _has_lost_parts(number, their)
            for number in {ours, *order.aliases} - {''} for their in theirs):
        return Finding.differs(Reason.SIMILAR, 0.5)
    return Finding.differs()


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
        return Finding.missing()
    if ours.isdisjoint(theirs):
        return Finding.differs()
    if not identified:
        return Finding.missing(Reason.BARE_STEP)
    return Finding.equal()


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
        return Finding.missing()
    if ours & theirs:
        return Finding.equal()
    if ours & _PROJECTION and theirs & _PROJECTION:
        return Finding.equal(Reason.KIND)
    return Finding.differs()


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
        return Finding.missing()
    if any(abs(date - theirs) <= window for date in ours):
        return Finding.equal()
    return Finding.differs()


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
        return Finding.missing()
    if one == other:
        return Finding.equal()
    common = len(set(one) & set(other))
    return Finding.differs(
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
        ({s.station_aetitle for s in steps} - {''}, study.station_aetitles),
        ({s.station_name for s in steps} - {''}, study.station_names)]
    known = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    if not known:
        return Finding.missing()
    if any(ours & theirs for ours, theirs in known):
        return Finding.equal()
    return Finding.differs()
