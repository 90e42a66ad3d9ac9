# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.worklist.element_values import (
    WorklistError)
from trytond.modules.health_orthanc.core.worklist.times import (
    LocalStart, local_start, patient_age)


@pytest.mark.parametrize('start, zone, expected', [
        (dt.datetime(2024, 1, 15, 23, 30), 'Europe/Madrid',
            LocalStart('20240116', '003000', '+0100')),
        (dt.datetime(2024, 7, 15, 23, 30), 'Europe/Madrid',
            LocalStart('20240716', '013000', '+0200')),
        # On both sides of a clock change
        (dt.datetime(2024, 3, 31, 0, 59, 59), 'Europe/Madrid',
            LocalStart('20240331', '015959', '+0100')),
        (dt.datetime(2024, 3, 31, 1, 0), 'Europe/Madrid',
            LocalStart('20240331', '030000', '+0200')),
        (dt.datetime(2024, 10, 27, 0, 30), 'Europe/Madrid',
            LocalStart('20241027', '023000', '+0200')),
        (dt.datetime(2024, 10, 27, 1, 30), 'Europe/Madrid',
            LocalStart('20241027', '023000', '+0100')),
        (dt.datetime(2024, 1, 15, 20, 0), 'Asia/Kathmandu',
            LocalStart('20240116', '014500', '+0545')),
        (dt.datetime(2024, 1, 15, 2, 0), 'America/St_Johns',
            LocalStart('20240114', '223000', '-0330')),
        (dt.datetime(2024, 1, 15, 12, 0), None,
            LocalStart('20240115', '120000', '+0000')),
        (dt.datetime(
                2024, 1, 15, 12, 0,
                tzinfo=dt.timezone(dt.timedelta(hours=2))), 'UTC',
            LocalStart('20240115', '100000', '+0000')),
        ])
def test_local_start(start, zone, expected):
    assert local_start(start, zone) == expected


@pytest.mark.parametrize('zone', ['Nowhere/City', '../etc/passwd', 'a\0b'])
def test_unknown_zone(zone):
    with pytest.raises(WorklistError) as raised:
        local_start(dt.datetime(2024, 1, 15), zone)
    assert raised.value.problems == (('zone', 'TimezoneOffsetFromUTC'),)


@pytest.mark.parametrize('birth_date, on, expected', [
        ((2024, 1, 15), (2024, 1, 15), '000D'),
        ((2024, 1, 15), (2024, 2, 14), '030D'),
        ((2024, 1, 15), (2024, 2, 15), '001M'),
        ((2022, 1, 16), (2024, 1, 15), '023M'),
        ((2022, 1, 15), (2024, 1, 15), '002Y'),
        ((1980, 2, 29), (2023, 2, 28), '042Y'),
        ((1980, 2, 29), (2023, 3, 1), '043Y'),
        ((1900, 1, 1), (2024, 1, 1), '124Y'),
        ((2024, 1, 16), (2024, 1, 15), ''),
        (None, (2024, 1, 15), ''),
        ])
def test_patient_age(birth_date, on, expected):
    birth_date = birth_date and dt.date(*birth_date)
    assert patient_age(birth_date, dt.date(*on)) == expected


@given(
    st.dates(dt.date(1024, 1, 1), dt.date(2024, 1, 1)),
    st.dates(dt.date(1024, 1, 1), dt.date(2024, 1, 1)))
def test_age_has_four_characters(birth_date, on):
    assert len(patient_age(birth_date, on)) in {0, 4}
