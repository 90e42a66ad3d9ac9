# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the authorization plugin asks, and what somebody has shown to it."""
import base64
import datetime as dt

import pytest

from trytond.modules.health_orthanc.core.orthanc.access_request import (
    AccessRequest, Credentials, RequestError, TokenRequest, parse_body,
    parse_credentials)

NOW = dt.datetime(2026, 3, 4, 12)
STUDY = {'level': 'study', 'dicom-uid': '1.2'}


def basic(text):
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_body_is_read():
    assert parse_body(b'{"method": "get"}') == {'method': 'get'}


@pytest.mark.parametrize('content', [
        b'', b'x', b'[]', b'1', b'null', b'[' * 50000, b'{"a":' * 50000,
        b'\xff\xfe', b'{"a": 1} x', b'9' * 5000])
def test_a_body_that_is_none(content):
    with pytest.raises(RequestError):
        parse_body(content)


def test_what_is_asked():
    assert AccessRequest.from_body({
            'method': 'get', 'level': 'series', 'orthanc-id': 'a',
            'dicom-uid': '', 'labels': [], 'uri': None}) == AccessRequest(
                'get', 'series', 'a', None)


@pytest.mark.parametrize('values', [
        {'method': None}, {'method': 'GET'}, {'method': 1}, {'level': ''},
        {'level': 'studies'}, {'level': ['study']}, {'dicom-uid': 1},
        {'orthanc-id': {}}, {'orthanc-id': 'x' * 4097}])
def test_what_the_plugin_does_not_ask(values):
    with pytest.raises(RequestError):
        AccessRequest.from_body({
                'method': 'get', 'level': 'study', **values})


@pytest.mark.parametrize('key, value, expected', [
        ('Authorization', 'Bearer abc', Credentials('abc')),
        ('authorization', 'BEARER  abc ', Credentials('abc')),
        ('Authorization', 'abc', Credentials('abc')),
        ('token', 'abc', Credentials('abc')),
        ('token', 'Bearer abc', Credentials('Bearer abc')),
        ('token', basic('a:b'), Credentials(basic('a:b'))),
        ('Authorization', basic('a:b'), Credentials(basic=b'a:b')),
        ('Authorization', 'Basic %', Credentials()),
        ('Authorization', 'Basic é', Credentials()),
        ('Authorization', '', None),
        ('', 'abc', None),
        (None, None, None),
        ])
def test_what_was_shown(key, value, expected):
    assert parse_credentials({
            'token-key': key, 'token-value': value}) == expected


def test_whose_login_it_is():
    shown = Credentials(basic="lector:con:ñ".encode())
    assert shown.are_of("lector", "con:ñ")
    for user, password in [
            ("lector", "con"), ("lector", ""), ("lector", None),
            (None, None), ("", ""), ("lector:con", None)]:
        assert not shown.are_of(user, password)
    # Without a login nobody is recognized
    assert not Credentials(basic=b':').are_of('', '')
    assert not Credentials(basic=b'None:None').are_of(None, None)
    assert not Credentials('lector:x').are_of('lector', 'x')


@pytest.mark.parametrize('values, expected', [
        ({}, None),
        ({'validity-duration': 60}, NOW + dt.timedelta(seconds=60)),
        ({'expiration-date': '2026-03-04T14:00:00+01:00'},
            dt.datetime(2026, 3, 4, 13)),
        ({'expiration-date': '2026-03-04T13:00:00Z'},
            dt.datetime(2026, 3, 4, 13)),
        ({'validity-duration': 60, 'expiration-date': '2026-03-04T13:00:00Z'},
            NOW + dt.timedelta(seconds=60)),
        ])
def test_when_a_token_is_to_end(values, expected):
    wanted = TokenRequest.from_body({
            'id': 'x', 'resources': [STUDY], **values})
    assert wanted.ends_before(NOW) == expected


@pytest.mark.parametrize('values', [
        {'resources': None}, {'resources': []}, {'resources': 'x'},
        {'resources': ['x']}, {'resources': [{'level': 'x'}]}, {'id': 5},
        {'validity-duration': 0}, {'validity-duration': -1},
        {'validity-duration': 1.5}, {'validity-duration': True},
        {'validity-duration': '60'}, {'validity-duration': 10**10},
        {'expiration-date': 'soon'}, {'expiration-date': 5},
        {'expiration-date': '0001-01-01T00:00:00+14:00'}])
def test_tokens_that_are_not_understood(values):
    with pytest.raises(RequestError):
        TokenRequest.from_body({'id': 'x', 'resources': [STUDY], **values})
