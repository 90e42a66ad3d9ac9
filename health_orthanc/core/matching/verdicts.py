# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of the comparison of one field."""

import enum
from dataclasses import dataclass

__all__ = ['Comparison', 'Finding', 'Reason', 'Verdict']


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
    UNKNOWN_LETTERS = 'unknown_letters'  # letters were lost
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
    agreement : float or None
        From 0 to 1; 1 only for equal values. None if nothing could be
        compared.
    reason : Reason or None
    """
    verdict: Verdict
    agreement: float | None
    reason: Reason | None = None

    @classmethod
    def equal(cls, reason: Reason | None = None) -> 'Finding':
        """Return the finding for equal values, whose agreement is 1."""
        return cls(Verdict.EQUAL, 1.0, reason)

    @classmethod
    def differs(
            cls, reason: Reason | None = None, agreement: float = 0.0
            ) -> 'Finding':
        """Return the finding for different values.

        Parameters
        ----------
        reason : Reason, optional
            None if no known error explains the difference.
        agreement : float
            From 0, less than 1.
        """
        return cls(Verdict.DIFFERS, agreement, reason)

    @classmethod
    def missing(cls, reason: Reason | None = None) -> 'Finding':
        """Return the finding for values that cannot be compared."""
        return cls(Verdict.MISSING, None, reason)

    @classmethod
    def partial(cls, reason: Reason, agreement: float) -> 'Finding':
        """Return the finding for a value of which one side has only a part.

        Parameters
        ----------
        reason : Reason
        agreement : float
            From 0, less than 1.
        """
        return cls(Verdict.MISSING, agreement, reason)


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
    finding : Finding
    """
    field: str
    ours: str
    theirs: str
    finding: Finding

    @property
    def verdict(self) -> Verdict:
        """Verdict : whether the values are equal"""
        return self.finding.verdict

    @property
    def reason(self) -> Reason | None:
        """Reason or None : what explains the verdict"""
        return self.finding.reason

    @property
    def agreement(self) -> float | None:
        """float or None : from 0 to 1, None if nothing was compared"""
        return self.finding.agreement
