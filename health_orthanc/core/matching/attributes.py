# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a study, and of whom and what it may belong to.

Text is as `values.clean_text` leaves it; what is unknown is empty or None.
"""

import datetime as dt
from collections.abc import Hashable
from dataclasses import dataclass

from ..dicom.values import NameGroup

__all__ = [
    'Candidate', 'OrderAttributes', 'PatientAttributes', 'StepAttributes',
    'StudyAttributes']


@dataclass(frozen=True, slots=True)
class StudyAttributes:
    """What the images say

    Attributes
    ----------
    study_uid : str
        StudyInstanceUID (0020,000D)
    accession_number : str
        (0008,0050), several values as they were received
    requested_accession_numbers, requested_study_uids : frozenset of str
        Those of the RequestAttributesSequence of every series (PS3.3
        Table 10-9), which count like those of the study.
    step_ids, procedure_ids : frozenset of str
        ScheduledProcedureStepID (0040,0009) and RequestedProcedureID
        (0040,1001) of the RequestAttributesSequence of every series
        (PS3.3 C.7.3.1), and those of the study itself.
    patient_name : str
        The PN (0010,0010) with all its groups, as received.
    patient_id, issuer : str
        PatientID (0010,0020) and IssuerOfPatientID (0010,0021)
    other_patient_ids : frozenset of str
        OtherPatientIDs (0010,1000) and those of OtherPatientIDsSequence
    birth_date : date or None
    birth_date_text : str
        What was received in place of a date of DICOM.
    sex : str
        ``'M'`` or ``'F'``; anything else is unknown.
    modalities : frozenset of str
        Of all series.
    date : date or None
        Of the study, by the modality's clock.
    station_aetitles, station_names : frozenset of str
        Of all series.
    texts : frozenset of str
        Every other value that was received, for a merge ID may be in any.
    """
    study_uid: str = ''
    accession_number: str = ''
    step_ids: frozenset[str] = frozenset()
    procedure_ids: frozenset[str] = frozenset()
    patient_name: str = ''
    patient_id: str = ''
    issuer: str = ''
    other_patient_ids: frozenset[str] = frozenset()
    birth_date: dt.date | None = None
    sex: str = ''
    modalities: frozenset[str] = frozenset()
    description: str = ''
    date: dt.date | None = None
    station_aetitles: frozenset[str] = frozenset()
    station_names: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    requested_accession_numbers: frozenset[str] = frozenset()
    requested_study_uids: frozenset[str] = frozenset()
    birth_date_text: str = ''

    @property
    def accession_numbers(self) -> frozenset[str]:
        "Each accession number that was received"
        own = (part.strip() for part in self.accession_number.split('\\'))
        return frozenset(filter(None, own)) | self.requested_accession_numbers

    @property
    def study_uids(self) -> frozenset[str]:
        "Each study UID that was received"
        return frozenset(filter(None, [self.study_uid])
            ) | self.requested_study_uids


@dataclass(frozen=True, slots=True)
class PatientAttributes:
    """What GNU Health says of a patient

    Attributes
    ----------
    key : hashable
        What the record is found by, its id.
    puid : str
    names : tuple of NameGroup
        The official name first, then maiden, usual, old names, nicknames;
        neither anonymous nor temporary ones.
    birth_date : date or None
    birth_date_estimated : bool
        Whether it was made from an age that somebody told.
    biological_sex, gender : str
        ``'M'`` or ``'F'``; anything else is unknown. The gender is compared
        where no biological sex is known, and never contradicts.
    other_ids : frozenset of str
        Other identifiers that the patient has, of whomever.
    active : bool
        Whether the record may be used.
    deceased : bool
    died_on : date or None
        The day of death, if it is known.
    """
    key: Hashable
    puid: str = ''
    names: tuple[NameGroup, ...] = ()
    birth_date: dt.date | None = None
    birth_date_estimated: bool = False
    biological_sex: str = ''
    gender: str = ''
    other_ids: frozenset[str] = frozenset()
    active: bool = True
    deceased: bool = False
    died_on: dt.date | None = None


@dataclass(frozen=True, slots=True)
class StepAttributes:
    """A scheduled procedure step (PS3.3 C.4.10)

    `date` is the local one of the institution.
    """
    step_id: str = ''
    modality: str = ''
    date: dt.date | None = None
    station_aetitle: str = ''
    station_name: str = ''


@dataclass(frozen=True, slots=True)
class OrderAttributes:
    """A requested procedure (PS3.3 C.4.11)

    Attributes
    ----------
    key : hashable
        What the record is found by, its id.
    study_uid, accession_number, merge_id, procedure_id : str
    aliases : frozenset of str
        Accession numbers under which it was published before.
    steps : tuple of StepAttributes
    description : str
    open : bool
        Whether images are still awaited. Others are found by a key only.
    """
    key: Hashable
    study_uid: str = ''
    accession_number: str = ''
    aliases: frozenset[str] = frozenset()
    merge_id: str = ''
    procedure_id: str = ''
    steps: tuple[StepAttributes, ...] = ()
    description: str = ''
    open: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    "A patient, and an order of that patient's if the study may be its"
    patient: PatientAttributes
    order: OrderAttributes | None = None
