# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which birth dates may be one with a slip."""
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.matching.field_comparison import (
    SLIP, compare_birth_dates, find_slip)
from trytond.modules.health_orthanc.core.matching.search_keys import (
    birth_date_variants)
from trytond.modules.health_orthanc.core.matching.verdicts import (
    Reason, Verdict)

BORN = dt.date(1964, 8, 12)
DATES = st.dates(dt.date(1881, 1, 1), dt.date(2099, 12, 31))


@pytest.mark.parametrize('other, reason', [
        ('1964-12-08', Reason.DAY_MONTH),
        ('1964-08-17', Reason.DIGIT),
        ('1974-08-12', Reason.DIGIT),
        ('1964-08-21', Reason.TRANSPOSED),
        ('1946-08-12', Reason.TRANSPOSED),
        ('2064-08-12', Reason.CENTURY),
        ('1964-01-01', Reason.FIRST_OF_YEAR),
        ('2507-08-12', Reason.CALENDAR),
        ])
def test_slip(other, reason):
    finding = compare_birth_dates(BORN, dt.date.fromisoformat(other))
    assert (finding.verdict, finding.reason) == (Verdict.DIFFERS, reason)
    assert finding.agreement == SLIP


def test_next_day_is_a_slip():
    finding = compare_birth_dates(dt.date(1999, 12, 31), dt.date(2000, 1, 1))
    assert finding.reason is Reason.NEXT_DAY


@pytest.mark.parametrize('other', [
        '1964-09-13', '1975-08-12', '1964-12-09', '1966-03-12', '1946-12-08'])
def test_more_than_a_slip(other):
    finding = compare_birth_dates(BORN, dt.date.fromisoformat(other))
    assert (finding.verdict, finding.reason) == (Verdict.DIFFERS, None)
    assert finding.agreement == 0


@pytest.mark.parametrize('other', [
        None, dt.date(1900, 1, 1), dt.date(1, 1, 1), dt.date(1800, 8, 12)])
def test_unknown_is_missing(other):
    for pair in [(BORN, other), (other, BORN)]:
        finding = compare_birth_dates(*pair)
        assert finding.verdict is Verdict.MISSING
        assert finding.agreement is None


def test_estimated_date_is_near_or_differs():
    near = compare_birth_dates(BORN, dt.date(1967, 1, 30), estimated=True)
    assert (near.verdict, near.reason) == (Verdict.MISSING, Reason.ESTIMATED)
    far = compare_birth_dates(BORN, dt.date(1987, 1, 30), estimated=True)
    assert (far.verdict, far.reason) == (Verdict.DIFFERS, Reason.ESTIMATED)
    assert compare_birth_dates(
        BORN, BORN, estimated=True).verdict is Verdict.EQUAL


@given(DATES, DATES)
def test_slips_are_slips_both_ways(one, other):
    assert find_slip(one, other) == find_slip(other, one)
    found = bool(find_slip(one, other)) or one == other
    assert (other in birth_date_variants(one)) == found


@settings(max_examples=25)
@given(DATES)
def test_all_variants_are_found_from_each(date):
    variants = birth_date_variants(date)
    assert date in variants and len(variants) > 20
    assert all(date in birth_date_variants(v) for v in variants)


@pytest.mark.parametrize('date', [dt.date.min, dt.date.max])
def test_variants_end_with_the_calendar(date):
    assert date in birth_date_variants(date)
