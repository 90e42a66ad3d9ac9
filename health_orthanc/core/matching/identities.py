# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the person in the images is the patient of the record."""

import datetime as dt
from dataclasses import dataclass

from ..dicom.values import NameGroup
from .names import compare_groups
from .verdicts import Verdict

__all__ = ['Identity', 'IdentityComparison', 'compare_identities']


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is

    Attributes
    ----------
    patient_id : str or None
        The PUID, PatientID (0010,0020) in DICOM.
    names : tuple of str
        The ways in which the same name is written.
    birth_date : date or None
    sex : str or None
        ``'M'`` or ``'F'``; anything else is unknown.
    """
    patient_id: str | None = None
    names: tuple[str, ...] = ()
    birth_date: dt.date | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityComparison:
    "The verdicts on each field"
    patient_id: Verdict
    name: Verdict
    birth_date: Verdict
    sex: Verdict

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return (self.patient_id, self.name, self.birth_date, self.sex)

    @property
    def contradicts(self) -> bool:
        "Whether some field says that these are two persons"
        return Verdict.DIFFERS in self.verdicts

    @property
    def certain(self) -> bool:
        "Whether every field is known on both sides and agrees"
        return set(self.verdicts) == {Verdict.EQUAL}


def compare_identities(
        record: Identity, images: Identity) -> IdentityComparison:
    "Return the verdicts on each field of two identities"
    return IdentityComparison(
        patient_id=_compare(record.patient_id, images.patient_id),
        name=compare_groups(_groups(record), _groups(images)).verdict,
        birth_date=_compare(record.birth_date, images.birth_date),
        sex=_compare(_known_sex(record.sex), _known_sex(images.sex)))


def _groups(identity: Identity) -> list[NameGroup]:
    return [NameGroup(family=name) for name in identity.names]


def _compare(one: object, other: object) -> Verdict:
    if not one or not other:
        return Verdict.MISSING
    return Verdict.EQUAL if one == other else Verdict.DIFFERS


def _known_sex(sex: str | None) -> str | None:
    sex = (sex or '').strip().upper()
    return sex if sex in {'M', 'F'} else None
