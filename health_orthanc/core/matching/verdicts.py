# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How two values of one field compare, and why."""

import enum
from dataclasses import dataclass

__all__ = ['Comparison', 'Finding', 'Reason', 'Verdict']


class Verdict(enum.Enum):
    "What is unknown on either side is missing and never a difference."
    EQUAL = 'equal'
    DIFFERS = 'differs'
    MISSING = 'missing'


class Reason(enum.Enum):
    "What a person should know beside the verdict"
    # Of any field
    SIMILAR = 'similar'  # alike but for a slip of the pen
    # Of names
    SWAPPED = 'swapped'  # family and given name, all else equal
    OTHER_NAME = 'other_name'  # a maiden name, a nickname: not the official
    UNKNOWN_LETTERS = 'unknown_letters'  # ? where letters were lost
    PART = 'part'  # one side has only some of the words, or initials
    SCRIPT = 'script'  # other letters, that read alike
    UNREADABLE_SCRIPT = 'unreadable_script'  # letters that tell no sound
    # Of birth dates
    DAY_MONTH = 'day_month'  # swapped
    DIGIT = 'digit'  # one is another
    TRANSPOSED = 'transposed'  # two digits that stand side by side
    CENTURY = 'century'
    NEXT_DAY = 'next_day'
    FIRST_OF_YEAR = 'first_of_year'  # stands for an unknown day
    CALENDAR = 'calendar'  # years of the Buddhist Era
    ESTIMATED = 'estimated'  # in GNU Health, from an age
    PLACEHOLDER = 'placeholder'  # a date that stands for none
    UNREADABLE_DATE = 'unreadable_date'  # no form that is known
    # Of patient IDs
    OTHER_ID = 'other_id'  # not the first identifier of a side
    FOREIGN_ID = 'foreign_id'  # that nobody has here
    OTHER_PATIENT = 'other_patient'  # somebody else has it
    # Of orders
    OWN_UID = 'own_uid'  # the modality gave one
    OTHER_ORDER = 'other_order'  # it belongs to another one
    ALIAS = 'alias'  # an accession number of before
    BARE_STEP = 'bare_step'  # says nothing without the patient
    KIND = 'kind'  # CR and DX: both are projection radiography
    # Of sex
    GENDER = 'gender'  # no biological sex is known


@dataclass(frozen=True, slots=True)
class Finding:
    """How two values compare

    Attributes
    ----------
    verdict : Verdict
    agreement : float or None
        From 0 to 1, which only what is equal has; None where nothing could
        be compared.
    reason : Reason or None
    """
    verdict: Verdict
    agreement: float | None
    reason: Reason | None = None

    @classmethod
    def equal(cls, reason: Reason | None = None) -> 'Finding':
        return cls(Verdict.EQUAL, 1.0, reason)

    @classmethod
    def differs(
            cls, reason: Reason | None = None, agreement: float = 0.0
            ) -> 'Finding':
        return cls(Verdict.DIFFERS, agreement, reason)

    @classmethod
    def missing(cls, reason: Reason | None = None) -> 'Finding':
        return cls(Verdict.MISSING, None, reason)

    @classmethod
    def partial(cls, reason: Reason, agreement: float) -> 'Finding':
        "Of what one side has only a part of"
        return cls(Verdict.MISSING, agreement, reason)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field of a study beside that of a candidate

    Attributes
    ----------
    field : str
        A key of `matching.WEIGHTS`.
    ours, theirs : str
        The value of GNU Health and that of DICOM for people to read, dates
        as in ISO 8601.
    finding : Finding
    """
    field: str
    ours: str
    theirs: str
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        return self.finding.verdict

    @property
    def reason(self) -> Reason | None:
        return self.finding.reason

    @property
    def agreement(self) -> float | None:
        return self.finding.agreement
