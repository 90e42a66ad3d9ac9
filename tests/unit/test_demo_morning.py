# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The morning of the demo is of today, at any hour and in any time zone."""
import datetime as dt
import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools import hospital
from devtools.demo_morning import DAY, ORDERS, PEOPLE, Day

UTC = dt.timezone.utc
ZONES = [
    'Europe/Madrid', 'UTC', 'America/Los_Angeles', 'Asia/Kolkata',
    'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Australia/Lord_Howe']
# With the days on which clocks are changed
MOMENTS = st.datetimes(
    dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 31)).map(
        lambda moment: moment.replace(tzinfo=UTC))


def times(day: Day) -> dict[int, dt.datetime]:
    """Return when the orders are, by their minutes from now, with a zone."""
    return {
        minutes: day.at(minutes).replace(tzinfo=UTC)
        for minutes in sorted({order.minutes for order in ORDERS})}


@given(now=MOMENTS, zone=st.sampled_from(ZONES))
def test_orders_are_of_today_wherever_one_looks(now, zone):
    zones = [ZoneInfo(zone), ZoneInfo(hospital.TIMEZONE)]
    day = Day(now, zones)
    for minutes, when in times(day).items():
        if abs(minutes) < DAY:
            assert all(
                when.astimezone(zone).date() == now.astimezone(zone).date()
                for zone in zones)


@given(now=MOMENTS, zone=st.sampled_from(ZONES))
def test_what_has_happened_is_not_to_come(now, zone):
    found = times(Day(now, [ZoneInfo(zone), ZoneInfo(hospital.TIMEZONE)]))
    for minutes, when in found.items():
        assert when <= now if minutes < 0 else when >= now
    assert list(found.values()) == sorted(found.values())


def test_by_day_appointments_are_at_round_times():
    day = Day(dt.datetime(2026, 6, 9, 8, 2, 33, tzinfo=UTC), [UTC])
    assert [day.at(minutes).time() for minutes in [-20, 5, 30]] == [
        dt.time(7, 40), dt.time(8, 10), dt.time(8, 35)]
    assert day.at(-9 * DAY) == dt.datetime(2026, 5, 31, 8, 0)


def test_times_are_those_of_the_machine_and_of_the_institution(monkeypatch):
    monkeypatch.setenv('TZ', 'America/Mexico_City')
    try:
        time.tzset()
        # Two in the morning in Madrid
        day = Day(dt.datetime(2026, 6, 9, 0, 0, tzinfo=UTC))
        assert day.start == dt.datetime(2026, 6, 8, 22, tzinfo=UTC)
        assert day.end == dt.datetime(2026, 6, 9, 6, tzinfo=UTC)
        assert day.local(0) == dt.datetime(2026, 6, 9, 2)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize('hour', [0, 3, 8, 12, 23])
def test_no_sample_is_of_later(hour):
    now = dt.datetime(2026, 6, 9, hour, 30)
    studies = list(hospital.sample_studies(now))
    dates = [
        study.datasets[0].StudyDate + study.datasets[0].StudyTime
        for study in studies]
    assert all(date <= f'{now:%Y%m%d%H%M%S}' for date in dates)
    assert sum(date.startswith('20260609') for date in dates) == 7


def test_nobody_is_registered_twice():
    puids = [person.puid for person in [*hospital.PATIENTS, *PEOPLE]]
    assert len(set(puids)) == len(puids)
