# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of the patient in the images with the patient of the record."""

import datetime as dt
from dataclasses import dataclass

from ..dicom.values import NameGroup
from .names import compare_groups
from .verdicts import Verdict

__all__ = ['Identity', 'IdentityComparison', 'compare_identities']


@dataclass(frozen=True, slots=True)
class Identity:
    """The data that identify a person

    Attributes
    ----------
    patient_id : str or None
        The PUID; in DICOM, PatientID (0010,0020).
    names : tuple of str
        The same name in several spellings.
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
    """The verdicts on the four fields of two identities

    Attributes
    ----------
    patient_id, name, birth_date, sex : Verdict
    """
    patient_id: Verdict
    name: Verdict
    birth_date: Verdict
    sex: Verdict

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """tuple of Verdict : those on all four fields"""
        return (self.patient_id, self.name, self.birth_date, self.sex)

    @property
    def contradicts(self) -> bool:
        """bool : whether any field differs"""
        return Verdict.DIFFERS in self.verdicts

    @property
    def certain(self) -> bool:
        """bool : whether all fields are known on both sides and equal"""
        return set(self.verdicts) == {Verdict.EQUAL}


def compare_identities(
        record: Identity, images: Identity) -> IdentityComparison:
    """Return the verdicts on each field of two identities.

    Parameters
    ----------
    record : Identity
        The patient in GNU Health.
    images : Identity
        The patient that the images name.
    """
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
