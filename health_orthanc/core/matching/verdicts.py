# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of the comparison of one field."""

import enum
from dataclasses import dataclass, field

__all__ = [
    'Comparison', 'Differs', 'Equal', 'Finding', 'Missing', 'Partial',
    'Reason', 'Verdict']


class Verdict(enum.Enum):
    """Whether two values are equal

    A value that is unknown on one side is missing, and never a difference.
    """
    EQUAL = 'equal'
    DIFFERS = 'differs'
    MISSING = 'missing'


class Reason(enum.Enum):
    """Explanation of a verdict, for the person who reviews it"""
    # Of any field
    SIMILAR = 'similar'  # a typing error explains it
    # Of names
    SWAPPED = 'swapped'  # family and given name are exchanged
    OTHER_NAME = 'other_name'  # a maiden name or nickname
    UNKNOWN_LETTERS = 'unknown_letters'  # letters were replaced
    LETTERS_LOST = 'letters_lost'  # letters were dropped without a trace
    PART = 'part'  # one side lacks words, or has initials
    SCRIPT = 'script'  # another script, pronounced alike
    UNREADABLE_SCRIPT = 'unreadable_script'  # cannot be compared by sound
    # Of birth dates
    DAY_MONTH = 'day_month'  # day and month are exchanged
    DIGIT = 'digit'  # one digit differs
    TRANSPOSED = 'transposed'  # two adjacent digits
    CENTURY = 'century'  # 100 years
    NEXT_DAY = 'next_day'  # the day before or after
    FIRST_OF_YEAR = 'first_of_year'  # 1 January for an unknown day
    CALENDAR = 'calendar'  # years of the Buddhist Era
    ESTIMATED = 'estimated'  # calculated from an age
    PLACEHOLDER = 'placeholder'  # a date that means unknown
    UNREADABLE_DATE = 'unreadable_date'  # in no known form
    # Of patient IDs
    OTHER_ID = 'other_id'  # not the main identifier
    FOREIGN_ID = 'foreign_id'  # unknown here
    OTHER_PATIENT = 'other_patient'  # another patient's
    # Of orders
    OWN_UID = 'own_uid'  # created by the modality
    OTHER_ORDER = 'other_order'  # another order's
    ALIAS = 'alias'  # a former accession number
    BARE_STEP = 'bare_step'  # not unique without the patient
    KIND = 'kind'  # both are projection radiography
    # Of sex
    GENDER = 'gender'  # compared instead of the biological sex


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of the comparison of two values

    Attributes
    ----------
    verdict : Verdict
    reason : Reason or None
    agreement : float or None
        From 0 to 1; 1 only for equal values. None if nothing could be
        compared.
    """
    verdict: Verdict
    reason: Reason | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Equal(Finding):
    """The values are equal; their agreement is 1"""
    verdict: Verdict = field(default=Verdict.EQUAL, init=False)
    reason: Reason | None = None
    agreement: float | None = field(default=1.0, init=False)


@dataclass(frozen=True, slots=True)
class Differs(Finding):
    """The values differ

    Without a reason no known error explains the difference. The agreement is
    less than 1.
    """
    verdict: Verdict = field(default=Verdict.DIFFERS, init=False)
    reason: Reason | None = None
    agreement: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Missing(Finding):
    """The values cannot be compared"""
    verdict: Verdict = field(default=Verdict.MISSING, init=False)
    reason: Reason | None = None
    agreement: float | None = field(default=None, init=False)


@dataclass(frozen=True, slots=True)
class Partial(Finding):
    """One side has only a part of the value; the agreement is less than 1"""
    verdict: Verdict = field(default=Verdict.MISSING, init=False)
    reason: Reason | None = None
    agreement: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field of a study beside the same field of a candidate

    Attributes
    ----------
    field : str
        A key of `score.WEIGHTS`.
    ours, theirs : str
        The value in GNU Health and that in DICOM, for people to read; dates as
        in ISO 8601.
    verdict : Verdict
    reason : Reason or None
    agreement : float or None
        As in the `Finding`.
    """
    field: str
    ours: str
    theirs: str
    verdict: Verdict
    reason: Reason | None
    agreement: float | None
