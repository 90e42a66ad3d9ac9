# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of birth dates, with the usual typing errors."""

import datetime as dt
import re
from collections.abc import Callable
from contextlib import suppress

from .verdicts import Finding, Reason, Verdict

__all__ = [
    'SLIP', 'compare_birth_date_texts', 'compare_birth_dates', 'find_slip',
    'read_birth_dates']

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
        return Finding.missing()
    if ours == theirs:
        return Finding.equal()
    if _is_placeholder(ours) or _is_placeholder(theirs):
        return Finding.missing(Reason.PLACEHOLDER)
    if estimated:
        if abs(ours.year - theirs.year) <= _ESTIMATE:
            return Finding.missing(Reason.ESTIMATED)
        return Finding.differs(Reason.ESTIMATED)
    slip = find_slip(ours, theirs)
    return Finding.differs(slip, SLIP if slip else 0)


def compare_birth_date_texts(
        ours: dt.date | None, theirs: str, estimated: bool = False
        ) -> Finding:
    """Compare a birth date with a text that is no date of DICOM.

    It is read as people write dates. What cannot be read is a difference that
    a person has to look at, never a contradiction.
    """
    dates = read_birth_dates(theirs)
    if not dates:
        return Finding.differs(Reason.UNREADABLE_DATE, SLIP)
    findings = [compare_birth_dates(ours, d, estimated) for d in dates]
    best = max(findings, key=lambda f: (f.agreement or 0, f.verdict.value))
    if len(dates) > 1 and best.verdict is Verdict.EQUAL:
        # Day and month may be meant the other way round
        return Finding.partial(Reason.DAY_MONTH, 1)
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
