# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of queries by the plugin, and by Orthanc after it."""
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_plugin.src.matching import (
    START_DATE, START_TIME, STEPS, QueryError, compile_query,
    compile_wildcards)
from orthanc_plugin.src.orthanc_matching import compile_orthanc_filter

HELD = {
    '0008,0050': 'A1',
    '0010,0010': 'Müller^Änne',
    '0010,0020': 'GNU777ORG',
    '0010,0030': '19700102',
    '0010,2110': 'Penicillin\\Latex',
    '0020,000d': '1.2.3',
    '0032,1060': 'CT head',
    '0032,1064': [{'0008,0100': '70450', '0008,0102': 'C4'}],
    '0038,0500': '',
    STEPS: [{
            '0008,0060': 'CT',
            '0032,1060': 'CT head',
            '0040,0001': 'CT1\\CT2',
            '0040,0002': '20261122',
            '0040,0003': '103000',
            '0040,0006': 'Roentgen^Wilhelm',
            }],
    }


def step(**keys: str) -> dict:
    """Return a query for the step's item, given group 0040's elements."""
    return {STEPS: [{
                f'0040,{name[1:]}': value for name, value in keys.items()}]}


@pytest.mark.parametrize(('asked', 'expected'), [
        ({}, True),
        # Universal
        ({'0010,0010': '', '0008,0050': '*', STEPS: []}, True),
        ({STEPS: [{}]}, True),
        ({'0038,0500': ''}, True),
        ({'0038,0500': '*'}, True),
        # A value that is empty or absent
        ({'0038,0500': 'x'}, False),
        ({'0038,0300': 'x'}, False),
        ({'0038,0300': 'x*'}, False),
        ({STEPS: [{'0040,0009': 'S1'}]}, False),
        # Single values
        ({'0008,0050': 'A1'}, True),
        ({'0008,0050': ' A1 '}, True),
        ({'0008,0050': 'a1'}, False),
        ({'0008,0050': 'A'}, False),
        ({'0020,000d': '1.2.3'}, True),
        ({'0020,000d': '1.2'}, False),
        ({STEPS: [{'0008,0060': 'CT'}]}, True),
        ({STEPS: [{'0008,0060': 'MR'}]}, False),
        # Lists
        ({'0020,000d': '1.2\\1.2.3'}, True),
        ({'0020,000d': '1.2\\1.2.4'}, False),
        ({STEPS: [{'0008,0060': 'MR\\CT'}]}, True),
        ({'0010,0020': 'X\\GNU*'}, True),
        # No wildcards in UIDs
        ({'0020,000d': '1.2.*'}, False),
        # One of several values
        ({'0010,2110': 'Latex'}, True),
        ({'0010,2110': 'Penicillin\\Gluten'}, True),
        ({'0010,2110': 'Gluten'}, False),
        ({STEPS: [{'0040,0001': 'CT2'}]}, True),
        ({STEPS: [{'0040,0001': ' CT1'}]}, True),
        ({STEPS: [{'0040,0001': 'ct1'}]}, False),
        # Wildcards
        ({'0032,1060': 'CT*'}, True),
        ({'0032,1060': 'CT?head'}, True),
        ({'0032,1060': 'CT?'}, False),
        ({'0032,1060': 'ct*'}, False),
        ({'0032,1060': '*h?ad'}, True),
        ({'0032,1060': 'C*T*T*'}, False),
        # Names: in any case, accents count
        ({'0010,0010': 'MÜLLER*'}, True),
        ({'0010,0010': 'müller^änne'}, True),
        ({'0010,0010': 'mu\u0308ller^*'}, True),
        ({'0010,0010': 'Müller^Änne^^^'}, True),
        ({'0010,0010': 'Müller'}, False),
        ({'0010,0010': 'Muller*'}, False),
        ({'0010,0010': '='}, True),
        ({STEPS: [{'0040,0006': 'roentgen*'}]}, True),
        ({STEPS: [{'0040,0006': 'curie*'}]}, False),
        # Sequences
        ({STEPS: [{'0032,1060': 'CT h*'}]}, True),
        ({STEPS: [{'0032,1060': 'MR h*'}]}, False),
        ({'0032,1064': [{'0008,0100': '70450'}]}, True),
        ({'0032,1064': [{'0008,0100': '70450', '0008,0102': 'X'}]}, False),
        ({STEPS: [{'0040,0008': [{'0008,0100': '1'}]}]}, False),
        ({STEPS: [{'0040,0008': [{'0008,0100': ''}]}]}, True),
        # Not supported
        ({'0009,1001': 'x', '0008,1110': [{'0008,1150': 'x'}]}, True),
        ({'0008,0005': 'ISO_IR 100', '0008,0201': '+0500'}, True),
        # Two keys
        ({'0008,0050': 'A1', '0010,0020': 'X'}, False),
        ])
def test_matching(asked, expected):
    assert compile_query(asked)(HELD) is expected


@pytest.mark.parametrize(('asked', 'expected'), [
        ({'_0002': '20261122'}, True),
        ({'_0002': '2026.11.22'}, True),
        ({'_0002': '20261123'}, False),
        ({'_0002': '20261101-20261130'}, True),
        ({'_0002': '20261101 - 20261130'}, True),
        ({'_0002': '20261122-20261122'}, True),
        ({'_0002': '20261123-'}, False),
        ({'_0002': '20261122-'}, True),
        ({'_0002': '-20261121'}, False),
        ({'_0002': '-20261122'}, True),
        ({'_0002': '-'}, True),
        ({'_0002': '20261130-20261101'}, False),
        ({'_0002': '20261121\\20261122'}, True),
        ({'_0003': '103000'}, True),
        ({'_0003': '1030'}, True),
        ({'_0003': '10'}, True),
        ({'_0003': '10:30:00'}, True),
        ({'_0003': '103000.000000'}, True),
        ({'_0003': '1031'}, False),
        ({'_0003': '103000.5'}, False),
        ({'_0003': '0900-1030'}, True),
        ({'_0003': '0900-1029'}, False),
        ({'_0003': '103000-'}, True),
        ({'_0003': '103001-'}, False),
        ({'_0003': '-1030'}, True),
        # Date and range of times: each for itself
        ({'_0002': '20261122', '_0003': '0900-1200'}, True),
        ({'_0002': '20261121', '_0003': '0900-1200'}, False),
        ({'_0002': '20261121-20261123', '_0003': '1100'}, False),
        # Two ranges: one span
        ({'_0002': '20261121-20261123', '_0003': '1200-0900'}, True),
        ({'_0002': '20261121-20261122', '_0003': '2200-0600'}, False),
        ({'_0002': '20261121-20261122', '_0003': '2200-1030'}, True),
        ({'_0002': '20261122-20261123', '_0003': '1100-1200'}, False),
        ({'_0002': '20261122-20261122', '_0003': '1000-1100'}, True),
        ({'_0002': '20261122-', '_0003': '1000-1100'}, True),
        ({'_0002': '20261122-', '_0003': '1100-1200'}, False),
        ({'_0002': '-20261122', '_0003': '0800-1000'}, False),
        ({'_0002': '20261122-20261123', '_0003': '-0900'}, True),
        ({'_0002': '20261121-20261122', '_0003': '1100-'}, True),
        ])
def test_matching_dates_and_times(asked, expected):
    assert compile_query(step(**asked))(HELD) is expected


@pytest.mark.parametrize('held', ['', 'soon', '9'])
def test_what_is_no_date_is_in_no_range(held):
    entry = step(_0002=held, _0003='1030')
    for asked in [{'_0002': '-'}, {'_0002': '2026-', '_0003': ''}]:
        asked = step(**{**asked, '_0002': '20260101-'})
        assert not compile_query(asked)(entry)
    assert not compile_query(
        step(_0002='20260101-', _0003='00-'))(entry)


@pytest.mark.parametrize(('tag', 'value'), [
        ('0040,0002', '202611*'), ('0040,0002', 'today'),
        ('0040,0002', '20261122-tomorrow'), ('0040,0003', '9'),
        ('0040,0003', '0900-1200-1500'), ('0010,0030', '70'),
        ('0040,0002', '２０２６1122')])
def test_what_cannot_be_understood_is_an_error(tag, value):
    """An empty list would look as if nobody were to come."""
    with pytest.raises(QueryError) as error:
        compile_query({tag: value})
    assert tag in str(error.value) and value not in str(error.value)


@pytest.mark.parametrize(('asked', 'expected'), [
        ('yamada*', True), ('山田*', True), ('やまだ^たろう', True),
        ('*太郎', True), ('Yamada^Tarou=山田^太郎', True),
        ('=山田*', True), ('=Yamada*', False), ('==やまだ*', True),
        ('Yamada^Tarou=山田^太郎=やまだ^たろう', True), ('山田', False)])
def test_groups_of_a_name(asked, expected):
    held = {'0010,0010': 'Yamada^Tarou=山田^太郎=やまだ^たろう'}
    assert compile_query({'0010,0010': asked})(held) is expected


@pytest.mark.parametrize(('asked', 'held'), [
        ('ИВАНОВ*', 'Иванов^Пётр'), ('παπαδόπουλος*', 'ΠΑΠΑΔΌΠΟΥΛΟΣ^Νίκος'),
        ('STRASSE*', 'Straße^Anna'), ('العلي*', 'العلي^أحمد'),
        ('王^*', '王^小東')])
def test_names_of_other_scripts(asked, held):
    assert compile_query({'0010,0010': asked})({'0010,0010': held})


def test_names_can_be_case_sensitive():
    test = compile_query({'0010,0010': 'müller*'}, case_sensitive=True)
    assert not test(HELD)
    assert compile_query({'0010,0010': 'Müller*'}, True)(HELD)


def test_ignored_keys_are_reported():
    ignored = []
    compile_query(
        {'0009,1001': 'x', '0008,1111': [{'0008,1155': 'y'}],
            '0010,4000': '', STEPS: [{'0018,0015': 'HEAD'}]},
        ignored=ignored.append)
    assert ignored == ['0009,1001', '0008,1111', '0018,0015']


@given(
    pattern=st.text(alphabet='ab*?.\n', max_size=8),
    text=st.text(alphabet='ab.\n', max_size=10))
def test_wildcards_are_as_in_the_standard(pattern, text):
    expected = re.fullmatch(
        ''.join({'*': '.*', '?': '.'}.get(c) or re.escape(c)
            for c in pattern), text, re.S)
    assert compile_wildcards(pattern)(text) is bool(expected)


def test_many_wildcards_end():
    """A usual regular expression would take years."""
    assert not compile_wildcards('*a' * 30 + '*b')('a' * 64)


@pytest.mark.parametrize(('asked', 'expected'), [
        # As seen in Orthanc 1.10.1
        ({'0040,0003': '1030'}, False),
        ({'0040,0003': '103000'}, True),
        ({'0040,0003': '0900-1030'}, False),
        ({'0040,0003': '09-11'}, True),
        ({'0040,0003': '220000-060000'}, False),
        ({'0040,0002': '20261101-20261130'}, True),
        ({'0040,0002': '20261101 - 20261130'}, False),
        ({'0040,0002': '-'}, True),
        ({'0040,0002': '2026.11.22'}, False),
        ({'0008,0060': 'MR\\CT'}, True),
        ({'0008,0060': 'MR'}, False),
        ({'0008,0060': ''}, True),
        ({'0040,0001': 'CT1'}, False),
        ({'0040,0006': 'ROENTGEN*'}, True),
        ({'0040,0006': 'roentgen^wilhelm'}, True),
        ({'0040,0007': '*'}, False),
        ({'0032,1060': 'ct*'}, False),
        ])
def test_what_orthanc_keeps(asked, expected):
    assert compile_orthanc_filter(asked)(HELD[STEPS][0]) is expected


# --- Time zones and what is no key


def zoned(start, offset='+0100'):
    date, time = start.split()
    return {
        '0008,0201': offset,
        STEPS: [{START_DATE: date, START_TIME: time}]}


@pytest.mark.parametrize(('offset', 'date', 'time', 'found'), [
        ('+0100', '20260304', '1500', True),
        ('-1000', '20260304', '0400', True),
        ('-1000', '20260304', '1500', False),
        ('+0530', '20260304', '1930', True),
        ('+1200', '20260305', '0200', True),
        ('+1200', '20260304', '0200', False),
        ('', '20260304', '1500', True),
        ('*', '20260304', '1500', True),
        ])
def test_dates_and_times_are_in_the_zone_of_the_query(
        offset, date, time, found):
    query = {'0008,0201': offset, STEPS: [
            {START_DATE: date, START_TIME: f'{time}-{time}'}]}
    assert compile_query(query)(zoned('20260304 150000')) is found


@pytest.mark.parametrize('offset', ['junk', '0100', '+01', '+0160', '+25:00'])
def test_a_zone_that_is_none_is_refused(offset):
    with pytest.raises(QueryError):
        compile_query({'0008,0201': offset, STEPS: [
                    {START_DATE: '20260304'}]})


def test_an_item_without_a_zone_is_taken_as_it_is():
    query = {'0008,0201': '-1000', STEPS: [{START_DATE: '20260304'}]}
    item = zoned('20260304 150000')
    del item['0008,0201']
    assert compile_query(query)(item)


def test_group_lengths_are_no_keys():
    item = {START_DATE: '20260304', '0008,0060': 'CT'}
    asked = {'0008,0000': '28', '0040,0000': '100', '0008,0060': 'CT'}
    assert compile_query(asked)(item)
    # Without the Lua file Orthanc cuts the item
    assert not compile_orthanc_filter(asked)(item)
