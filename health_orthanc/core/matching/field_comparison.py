# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each field of a study compares with that of a patient or an order."""

import datetime as dt
from collections.abc import Collection, Sequence

from rapidfuzz.distance import OSA

from .attributes import (
    OrderAttributes, PatientAttributes, StepAttributes, StudyAttributes)
from .normalization import normalize_words
from .verdicts import Finding, Reason

__all__ = [
    'compare_accession_numbers', 'compare_dates', 'compare_descriptions',
    'compare_merge_id', 'compare_modalities', 'compare_patient_ids',
    'compare_sex', 'compare_stations', 'compare_step_ids',
    'compare_study_uids', 'received_values']

# Of objects that are made from images, or of anything (PS3.3 C.7.3.1.1.1)
_NOT_ACQUIRED = frozenset("""
    SR KO PR OT SEG REG DOC FID RTSTRUCT RTPLAN RTDOSE RTRECORD PLAN RWV STAIN
    ASMT M3D TEXTUREMAP AU HC""".split())
_PROJECTION = frozenset({'CR', 'DX', 'RG'})


def compare_patient_ids(
        study: StudyAttributes, patient: PatientAttributes,
        puids: Collection[str],
        issuers: Collection[str] = ()) -> Finding:
    """Compare the PatientID with the PUID.

    Nobody's PUID is missing, as is what another hospital has issued.

    Parameters
    ----------
    puids : collection of str
        Those of other patients too.
    issuers : collection of str
        What the IssuerOfPatientID may be; if there are none, any may.
    """
    ours, theirs = patient.puid, study.patient_id
    if not ours:
        return Finding.missing()
    is_foreign = bool(
        issuers and study.issuer and study.issuer not in issuers)
    if theirs == ours and not is_foreign:
        return Finding.equal()
    if ours in study.other_patient_ids or (
            theirs and theirs in patient.other_ids):
        return Finding.equal(Reason.OTHER_ID)
    if not theirs:
        return Finding.missing()
    if is_foreign:
        return Finding.missing(Reason.FOREIGN_ID)
    if theirs in puids:
        return Finding.differs(Reason.OTHER_PATIENT)
    if _is_mistyped(ours, theirs):
        return Finding.differs(Reason.SIMILAR, 0.5)
    # Also a merge ID that a workstation has put there
    return Finding.missing(Reason.FOREIGN_ID)


def _is_mistyped(one: str, other: str) -> bool:
    "Return whether one letter or digit was mistyped, or case and spaces"
    if min(len(one), len(other)) < 4:
        return False
    return OSA.distance(_compact(one), _compact(other)) <= 1


def _compact(text: str) -> str:
    return ''.join(filter(str.isalnum, text.casefold()))


def compare_sex(patient: PatientAttributes, theirs: str) -> Finding:
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
        ours: str, theirs: str, known: Collection[str]) -> Finding:
    """Compare StudyInstanceUIDs.

    Many modalities give their own, which is missing unless it is `known`,
    for it is another order's then.
    """
    if not ours or not theirs:
        return Finding.missing()
    if ours == theirs:
        return Finding.equal()
    if theirs in known:
        return Finding.differs(Reason.OTHER_ORDER)
    return Finding.missing(Reason.OWN_UID)


def compare_merge_id(
        study: StudyAttributes, order: OrderAttributes) -> Finding:
    "Look for it as the whole of any value, but where it counts already"
    merge_id = order.merge_id
    if not merge_id or study.study_uid == order.study_uid:
        return Finding.missing()
    return (
        Finding.equal() if merge_id in received_values(study)
        else Finding.missing())


def received_values(study: StudyAttributes) -> set[str]:
    "Return what may be a merge ID: all values, and their components"
    values = {
        study.study_uid, study.patient_id, study.accession_number,
        study.description, *study.other_patient_ids, *study.texts}
    return values | {
        part for value in [*values, study.patient_name]
        for part in value.replace('^', '\\').split('\\')}


def compare_accession_numbers(order: OrderAttributes, theirs: str) -> Finding:
    ours = order.accession_number
    if not theirs or not (ours or order.aliases):
        return Finding.missing()
    if theirs == ours:
        return Finding.equal()
    if theirs in order.aliases:
        return Finding.equal(Reason.ALIAS)
    if _is_mistyped(ours, theirs):
        return Finding.differs(Reason.SIMILAR, 0.5)
    return Finding.differs()


def compare_step_ids(
        ours: Collection[str], theirs: Collection[str], identified: bool
        ) -> Finding:
    """Compare IDs that are unique in one hospital only.

    Those of another hospital may be the same.
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
    ours = {s.modality for s in steps} - {'', 'OT'}
    theirs = set(theirs) - _NOT_ACQUIRED - {''}
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
    ours = [s.date for s in steps if s.date]
    if not ours or not theirs:
        return Finding.missing()
    if any(abs(date - theirs) <= window for date in ours):
        return Finding.equal()
    return Finding.differs()


def compare_descriptions(ours: str, theirs: str) -> Finding:
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
    pairs = [
        ({s.station_aetitle for s in steps} - {''}, study.station_aetitles),
        ({s.station_name for s in steps} - {''}, study.station_names)]
    known = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    if not known:
        return Finding.missing()
    if any(ours & theirs for ours, theirs in known):
        return Finding.equal()
    return Finding.differs()
