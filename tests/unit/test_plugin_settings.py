# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's section of Orthanc's configuration."""
from collections.abc import Mapping
from pathlib import Path

import pytest

from devtools.tryton import ROOT
from orthanc_plugin.src.settings import (
    KEYS, Settings, index_folder, read_key, read_settings)

SECRET = 'secret-key'
GOOD = {
    'Url': 'https://gnuhealth.example/', 'Database': 'hospital',
    'Key': SECRET, 'Server': 'main'}


def read(section: object, **options: object):
    return read_settings(
        {'HealthOrthanc': section, 'DefaultEncoding': 'Utf8', **options},
        '/var/lib/orthanc/db')


def test_settings_have_defaults():
    values, errors, doubts = read(GOOD)
    assert not errors and not doubts
    assert values == Settings(
        url='https://gnuhealth.example', database='hospital', key=SECRET,
        refresh_interval=2, timeout=10, maximum_age=86400,
        filter_calling_aet=False, ca_file='', server='main',
        notify=True, stable_age=60, notification_file=(
            '/var/lib/orthanc/db/health_orthanc-notifications.db'),
        cache_file='/var/lib/orthanc/db/health_orthanc-worklist.json')
    assert SECRET not in repr(values)


def test_all_settings_are_read(tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text('from-file\n')
    key_file.chmod(0o600)
    values, errors, doubts = read({
            'Url': 'http://127.0.0.1:8000/his', 'Database': 'hospital',
            'KeyFile': str(key_file), 'Server': 'main', 'Timeout': 3,
            'RefreshInterval': 0.5, 'MaximumAge': 60,
            'FilterCallingAet': True, 'CacheFile': '/srv/cache.json',
            }, CaseSensitivePN=True)
    assert not errors and not doubts
    assert read_key(values) == 'from-file'
    assert values.source == 'http://127.0.0.1:8000/his/hospital'
    assert (values.timeout, values.refresh_interval) == (3, 0.5)
    assert values.maximum_age == 60
    assert values.filter_calling_aet and values.case_sensitive_names
    assert values.cache_file == '/srv/cache.json'
    assert values.server == 'main'


def test_no_cache_file():
    assert read({**GOOD, 'CacheFile': ''})[0].cache_file == ''


@pytest.mark.parametrize(('change', 'named'), [
        ({'Url': None}, 'Url'), ({'Url': 1}, 'Url'),
        ({'Url': ''}, 'Url'),
        ({'Url': 'gnuhealth.example'}, 'Url'),
        ({'Url': 'ftp://gnuhealth.example'}, 'Url'),
        ({'Url': 'http://gnuhealth.example:port'}, 'Url'),
        ({'Url': 'http://gnuhealth example'}, 'Url'),
        ({'Url': 'http://gnuhealth.example/?a=b'}, 'Url'),
        ({'Url': f'http://me:{SECRET}@gnuhealth.example'}, 'Url'),
        ({'Database': None}, 'Database'), ({'Database': ''}, 'Database'),
        ({'Key': None}, 'Key'), ({'Key': [SECRET]}, 'Key'),
        ({'Key': 'two words'}, 'Key'),
        ({'KeyFile': '/nowhere/key'}, 'KeyFile'),
        ({'Key': None, 'KeyFile': '/nowhere/key'}, 'KeyFile'),
        ({'Key': None, 'KeyFile': '/dev/null'}, 'KeyFile'),
        ({'CaFile': '/nowhere/ca.pem'}, 'CaFile'),
        ({'CaFile': '/dev/null'}, 'CaFile'),
        ({'Timeout': '10'}, 'Timeout'), ({'Timeout': 0}, 'Timeout'),
        ({'RefreshInterval': -1}, 'RefreshInterval'),
        ({'RefreshInterval': True}, 'RefreshInterval'),
        ({'MaximumAge': None, 'MaximumAge ': 1}, ''),
        ({'MaximumAge': 1e400}, 'MaximumAge'),
        ({'FilterCallingAet': 'yes'}, 'FilterCallingAet'),
        ({'CacheFile': 7}, 'CacheFile'), ({'Server': 7}, 'Server'),
        ])
def test_what_is_wrong_is_named(change, named):
    section = {
        key: value for key, value in (GOOD | change).items()
        if value is not None}
    _, errors, doubts = read(section)
    if named:
        assert [error for error in errors if f'"{named}"' in error]
    else:
        assert not errors
        assert doubts == [
            '"MaximumAge " is unknown; did you mean "MaximumAge"?']
    assert SECRET not in str(errors + doubts)


@pytest.mark.parametrize('section', [None, [], 'x'])
def test_a_missing_section_is_named(section):
    assert read(section)[1] == [
        'the section "HealthOrthanc" is missing']


@pytest.mark.parametrize(('section', 'options', 'words'), [
        ({'Urll': 'x'}, {}, '"Urll" is unknown; did you mean "Url"?'),
        ({'Xyz': SECRET}, {}, '"Xyz" is unknown'),
        ({'Url': 'http://gnuhealth.example'}, {}, 'https'),
        ({}, {'Worklists': {'Enable': True}}, 'worklists plugin'),
        ({}, {'DefaultEncoding': 'Latin1'}, 'Utf8'),
        ])
def test_what_is_doubtful_is_named(section, options, words):
    _, errors, doubts = read({**GOOD, **section}, **options)
    assert not errors
    doubt, = doubts
    assert words in doubt and SECRET not in doubt


def test_a_key_that_all_can_read_is_named(tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text(SECRET)
    key_file.chmod(0o644)
    section = {**GOOD, 'KeyFile': str(key_file)}
    del section['Key']
    assert 'KeyFile' in str(read(section)[2])
    key_file.chmod(0o640)
    assert not read(section)[2]


@pytest.mark.parametrize(('options', 'expected'), [
        ({}, '/etc/orthanc/OrthancStorage'),
        ({'StorageDirectory': 'storage'}, '/etc/orthanc/storage'),
        ({'StorageDirectory': '/srv', 'IndexDirectory': '/srv/index'},
            '/srv/index'),
        ])
def test_the_folder_of_the_index(options, expected):
    assert index_folder(options, '/etc/orthanc/a.json') == expected


@pytest.mark.parametrize(('change', 'notify', 'words'), [
        ({}, True, None),
        ({'Notify': True}, True, None),
        ({'Notify': False}, False, None),
        ({'Server': ''}, False, '"Server" is missing'),
        ({'Server': '', 'Notify': True}, False, '"Server" is missing'),
        ({'Server': '', 'Notify': False}, False, None),
        ])
def test_notifications_need_a_server(
        change: Mapping, notify: bool, words: str | None):
    values, errors, doubts = read({**GOOD, **change})
    assert not errors
    assert values.notify is notify
    assert [words in doubt for doubt in doubts] == [True] * bool(words)


def test_the_notification_file_can_be_elsewhere():
    assert read(GOOD)[0].notification_file \
        == '/var/lib/orthanc/db/health_orthanc-notifications.db'
    values, errors, _ = read(
        {**GOOD, 'NotificationFile': '/srv/q.db'}, StableAge=5)
    assert not errors
    assert values.notification_file == '/srv/q.db'
    assert values.stable_age == 5


@pytest.mark.parametrize('change', [
        {'Notify': 'yes'}, {'NotificationFile': 7}, {'NotificationFile': ''}])
def test_wrong_options_of_notifications_are_named(change):
    _, errors, _ = read({**GOOD, **change})
    name, = change
    assert len(errors) == 1 and f'"{name}"' in errors[0]


def test_every_key_is_documented():
    text = Path(ROOT / 'doc' / 'orthanc_plugin.md').read_text()
    for key in KEYS:
        assert f'`{key}`' in text
