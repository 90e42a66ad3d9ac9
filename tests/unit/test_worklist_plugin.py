# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that Orthanc loads, without Orthanc: matching, list, settings."""
import ast
import gzip
import importlib.util
import io
import json
import re
import stat
import sys
import types
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.certificates import Authority
from devtools.proxy import Proxy
from devtools.tryton import ROOT
from tests.integration.fake_his import FakeHis, entry_file
from tests.unit import fake_orthanc as wire

SOURCE = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
SECRET = 'secret-key'
STEP = '0040,0100'


class Stub(types.ModuleType):
    """What of Orthanc's module the plugin calls; `log` keeps its words."""

    def __init__(self, configuration: dict):
        super().__init__('orthanc')
        self.configuration = configuration
        self.log: list[str] = []
        self.callbacks: dict[str, object] = {}
        self.DicomToJsonFormat = types.SimpleNamespace(SHORT=3)
        self.DicomToJsonFlags = types.SimpleNamespace(NONE=0)
        self.ChangeType = types.SimpleNamespace(
            ORTHANC_STARTED=10, ORTHANC_STOPPED=11, DELETED=1,
            STABLE_STUDY=9)
        self.ResourceType = types.SimpleNamespace(STUDY=1, SERIES=2)
        self.LogError = self.LogWarning = self.LogInfo = self.log.append

    def GetConfiguration(self) -> str:
        return json.dumps(self.configuration)

    def GetConfigurationPath(self) -> str:
        return '/etc/orthanc/'

    def RegisterWorklistCallback(self, callback: object) -> None:
        self.callbacks['worklist'] = callback

    def RegisterOnChangeCallback(self, callback: object) -> None:
        self.callbacks['change'] = callback

    def DicomBufferToJson(
            self, buffer: bytes, format_: int, flags: int, length: int
            ) -> str:
        return json.dumps(_tags(pydicom.dcmread(io.BytesIO(buffer))))


def _tags(dataset: pydicom.Dataset) -> dict[str, object]:
    tags = {}
    for element in dataset:
        tag = f'{element.tag.group:04x},{element.tag.element:04x}'
        if element.VR == 'SQ':
            tags[tag] = list(map(_tags, element.value))
        elif isinstance(element.value, pydicom.multival.MultiValue):
            tags[tag] = '\\'.join(map(str, element.value))
        else:
            tags[tag] = '' if element.value is None else str(element.value)
    return tags


def load(monkeypatch, configuration: dict) -> types.ModuleType:
    """Return the plugin as if Orthanc had this configuration."""
    stub = Stub(configuration)
    monkeypatch.setitem(sys.modules, 'orthanc', stub)
    spec = importlib.util.spec_from_file_location('plugin_of_test', SOURCE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'plugin_of_test', module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def loaded():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield load(monkeypatch, {})


@pytest.fixture
def plugin(loaded):
    loaded.orthanc.log.clear()
    return loaded


@pytest.fixture
def his():
    with FakeHis(key=SECRET) as his:
        yield his


@pytest.fixture
def make_worklist(plugin, his, tmp_path):
    """A function that returns a list of `his`, given other settings."""
    def make(**settings: object):
        return plugin.Worklist(plugin.Settings(**{
                    'url': his.url, 'database': his.database, 'key': SECRET,
                    'timeout': 2,
                    'cache_file': str(tmp_path / 'cache.json'), **settings}))
    yield make
    for line in plugin.orthanc.log:
        assert SECRET not in line
        assert not re.search('Doe|Jane|GNU777', line)


# --- Matching -----------------------------------------------------------

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
    STEP: [{
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
    return {STEP: [{
                f'0040,{name[1:]}': value for name, value in keys.items()}]}


@pytest.mark.parametrize(('asked', 'expected'), [
        ({}, True),
        # Universal
        ({'0010,0010': '', '0008,0050': '*', STEP: []}, True),
        ({STEP: [{}]}, True),
        ({'0038,0500': ''}, True),
        ({'0038,0500': '*'}, True),
        # A value that is empty or absent
        ({'0038,0500': 'x'}, False),
        ({'0038,0300': 'x'}, False),
        ({'0038,0300': 'x*'}, False),
        ({STEP: [{'0040,0009': 'S1'}]}, False),
        # Single values
        ({'0008,0050': 'A1'}, True),
        ({'0008,0050': ' A1 '}, True),
        ({'0008,0050': 'a1'}, False),
        ({'0008,0050': 'A'}, False),
        ({'0020,000d': '1.2.3'}, True),
        ({'0020,000d': '1.2'}, False),
        ({STEP: [{'0008,0060': 'CT'}]}, True),
        ({STEP: [{'0008,0060': 'MR'}]}, False),
        # Lists
        ({'0020,000d': '1.2\\1.2.3'}, True),
        ({'0020,000d': '1.2\\1.2.4'}, False),
        ({STEP: [{'0008,0060': 'MR\\CT'}]}, True),
        ({'0010,0020': 'X\\GNU*'}, True),
        # No wildcards in UIDs
        ({'0020,000d': '1.2.*'}, False),
        # One of several values
        ({'0010,2110': 'Latex'}, True),
        ({'0010,2110': 'Penicillin\\Gluten'}, True),
        ({'0010,2110': 'Gluten'}, False),
        ({STEP: [{'0040,0001': 'CT2'}]}, True),
        ({STEP: [{'0040,0001': ' CT1'}]}, True),
        ({STEP: [{'0040,0001': 'ct1'}]}, False),
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
        ({STEP: [{'0040,0006': 'roentgen*'}]}, True),
        ({STEP: [{'0040,0006': 'curie*'}]}, False),
        # Sequences
        ({STEP: [{'0032,1060': 'CT h*'}]}, True),
        ({STEP: [{'0032,1060': 'MR h*'}]}, False),
        ({'0032,1064': [{'0008,0100': '70450'}]}, True),
        ({'0032,1064': [{'0008,0100': '70450', '0008,0102': 'X'}]}, False),
        ({STEP: [{'0040,0008': [{'0008,0100': '1'}]}]}, False),
        ({STEP: [{'0040,0008': [{'0008,0100': ''}]}]}, True),
        # Not supported
        ({'0009,1001': 'x', '0008,1110': [{'0008,1150': 'x'}]}, True),
        ({'0008,0005': 'ISO_IR 100', '0008,0201': '+0500'}, True),
        # Two keys
        ({'0008,0050': 'A1', '0010,0020': 'X'}, False),
        ])
def test_matching(plugin, asked, expected):
    assert plugin.compile_item(asked)(HELD) is expected


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
def test_matching_dates_and_times(plugin, asked, expected):
    assert plugin.compile_item(step(**asked))(HELD) is expected


@pytest.mark.parametrize('held', ['', 'soon', '9'])
def test_what_is_no_date_is_in_no_range(plugin, held):
    entry = step(_0002=held, _0003='1030')
    for asked in [{'_0002': '-'}, {'_0002': '2026-', '_0003': ''}]:
        asked = step(**{**asked, '_0002': '20260101-'})
        assert not plugin.compile_item(asked)(entry)
    assert not plugin.compile_item(
        step(_0002='20260101-', _0003='00-'))(entry)


@pytest.mark.parametrize(('tag', 'value'), [
        ('0040,0002', '202611*'), ('0040,0002', 'today'),
        ('0040,0002', '20261122-tomorrow'), ('0040,0003', '9'),
        ('0040,0003', '0900-1200-1500'), ('0010,0030', '70'),
        ('0040,0002', '２０２６1122')])
def test_what_cannot_be_understood_is_an_error(plugin, tag, value):
    """An empty list would look as if nobody were to come."""
    with pytest.raises(plugin.QueryError) as error:
        plugin.compile_item({tag: value})
    assert tag in str(error.value) and value not in str(error.value)


@pytest.mark.parametrize(('asked', 'expected'), [
        ('yamada*', True), ('山田*', True), ('やまだ^たろう', True),
        ('*太郎', True), ('Yamada^Tarou=山田^太郎', True),
        ('=山田*', True), ('=Yamada*', False), ('==やまだ*', True),
        ('Yamada^Tarou=山田^太郎=やまだ^たろう', True), ('山田', False)])
def test_groups_of_a_name(plugin, asked, expected):
    held = {'0010,0010': 'Yamada^Tarou=山田^太郎=やまだ^たろう'}
    assert plugin.compile_item({'0010,0010': asked})(held) is expected


@pytest.mark.parametrize(('asked', 'held'), [
        ('ИВАНОВ*', 'Иванов^Пётр'), ('παπαδόπουλος*', 'ΠΑΠΑΔΌΠΟΥΛΟΣ^Νίκος'),
        ('STRASSE*', 'Straße^Anna'), ('العلي*', 'العلي^أحمد'),
        ('王^*', '王^小東')])
def test_names_of_other_scripts(plugin, asked, held):
    assert plugin.compile_item({'0010,0010': asked})({'0010,0010': held})


def test_names_can_be_case_sensitive(plugin):
    test = plugin.compile_item({'0010,0010': 'müller*'}, case_sensitive=True)
    assert not test(HELD)
    assert plugin.compile_item({'0010,0010': 'Müller*'}, True)(HELD)


def test_ignored_keys_are_told(plugin):
    ignored = []
    plugin.compile_item(
        {'0009,1001': 'x', '0008,1111': [{'0008,1155': 'y'}],
            '0010,4000': '', STEP: [{'0018,0015': 'HEAD'}]},
        ignored=ignored.append)
    assert ignored == ['0009,1001', '0008,1111', '0018,0015']


@settings(deadline=None)
@given(
    pattern=st.text(alphabet='ab*?.\n', max_size=8),
    text=st.text(alphabet='ab.\n', max_size=10))
def test_wildcards_are_as_in_the_standard(loaded, pattern, text):
    expected = re.fullmatch(
        ''.join({'*': '.*', '?': '.'}.get(c) or re.escape(c)
            for c in pattern), text, re.S)
    assert loaded.wildcard(pattern)(text) is bool(expected)


def test_many_wildcards_end(plugin):
    """A usual regular expression would take years."""
    assert not plugin.wildcard('*a' * 30 + '*b')('a' * 64)


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
def test_what_orthanc_keeps(plugin, asked, expected):
    assert plugin.compile_orthanc(asked)(HELD[STEP][0]) is expected


# --- Settings -----------------------------------------------------------

GOOD = {
    'Url': 'https://gnuhealth.example/', 'Database': 'hospital',
    'Key': SECRET, 'Server': 'main'}


def read(plugin, section: object, **options: object):
    return plugin.read_settings(
        {'HealthOrthanc': section, 'DefaultEncoding': 'Utf8', **options},
        '/var/lib/orthanc/db')


def test_settings_have_defaults(plugin):
    values, errors, doubts = read(plugin, GOOD)
    assert not errors and not doubts
    assert values == plugin.Settings(
        url='https://gnuhealth.example', database='hospital', key=SECRET,
        refresh_interval=2, timeout=10, maximum_age=86400,
        filter_calling_aet=False, ca_file='', server='main',
        notify=True, stable_age=60, notification_file=(
            '/var/lib/orthanc/db/health_orthanc-notifications.db'),
        cache_file='/var/lib/orthanc/db/health_orthanc-worklist.json')
    assert SECRET not in repr(values)


def test_all_settings_are_read(plugin, tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text('from-file\n')
    key_file.chmod(0o600)
    values, errors, doubts = read(plugin, {
            'Url': 'http://127.0.0.1:8000/his', 'Database': 'hospital',
            'KeyFile': str(key_file), 'Server': 'main', 'Timeout': 3,
            'RefreshInterval': 0.5, 'MaximumAge': 60,
            'FilterCallingAet': True, 'CacheFile': '/srv/cache.json',
            }, CaseSensitivePN=True)
    assert not errors and not doubts
    assert plugin.read_key(values) == 'from-file'
    assert values.source == 'http://127.0.0.1:8000/his/hospital'
    assert (values.timeout, values.refresh_interval) == (3, 0.5)
    assert values.maximum_age == 60
    assert values.filter_calling_aet and values.case_sensitive_names
    assert values.cache_file == '/srv/cache.json'
    assert values.server == 'main'


def test_no_cache_file(plugin):
    assert read(plugin, {**GOOD, 'CacheFile': ''})[0].cache_file == ''


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
def test_what_is_wrong_is_named(plugin, change, named):
    section = {
        key: value for key, value in (GOOD | change).items()
        if value is not None}
    _, errors, doubts = read(plugin, section)
    if named:
        assert [error for error in errors if f'"{named}"' in error]
    else:
        assert not errors
        assert doubts == ['"MaximumAge " is not known, is "MaximumAge" meant?']
    assert SECRET not in str(errors + doubts)


@pytest.mark.parametrize('section', [None, [], 'x'])
def test_a_missing_section_is_named(plugin, section):
    assert read(plugin, section)[1] == [
        'the section "HealthOrthanc" is missing']


@pytest.mark.parametrize(('section', 'options', 'words'), [
        ({'Urll': 'x'}, {}, '"Urll" is not known, is "Url" meant?'),
        ({'Xyz': SECRET}, {}, '"Xyz" is not known'),
        ({'Url': 'http://gnuhealth.example'}, {}, 'https'),
        ({}, {'Worklists': {'Enable': True}}, 'worklists plugin'),
        ({}, {'DefaultEncoding': 'Latin1'}, 'Utf8'),
        ])
def test_what_is_doubtful_is_named(plugin, section, options, words):
    _, errors, doubts = read(plugin, {**GOOD, **section}, **options)
    assert not errors
    doubt, = doubts
    assert words in doubt and SECRET not in doubt


def test_a_key_that_all_can_read_is_named(plugin, tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text(SECRET)
    key_file.chmod(0o644)
    section = {**GOOD, 'KeyFile': str(key_file)}
    del section['Key']
    assert 'KeyFile' in str(read(plugin, section)[2])
    key_file.chmod(0o640)
    assert not read(plugin, section)[2]


@pytest.mark.parametrize(('options', 'expected'), [
        ({}, '/etc/orthanc/OrthancStorage'),
        ({'StorageDirectory': 'storage'}, '/etc/orthanc/storage'),
        ({'StorageDirectory': '/srv', 'IndexDirectory': '/srv/index'},
            '/srv/index'),
        ])
def test_the_folder_of_the_index(plugin, options, expected):
    assert plugin.index_folder(options, '/etc/orthanc/a.json') == expected


def test_a_broken_configuration_fails_queries(monkeypatch):
    plugin = load(monkeypatch, {})
    assert any('the section "HealthOrthanc" is missing' in line
        for line in plugin.orthanc.log)
    callback = plugin.orthanc.callbacks['worklist']
    with pytest.raises(plugin.Unavailable, match='configuration'):
        callback(None, None, 'CT1', 'ORTHANC')


# --- The list -----------------------------------------------------------

def found(worklist, query: dict | None = None, calling: str = 'CT1'):
    entries, _ = worklist.find(query or {}, calling)
    return [entry.id for entry in entries]


def test_a_list_is_fetched_and_followed(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    his.put(2, entry_file({'ScheduledProcedureStepStartTime': '080000'}))
    worklist.refresh()
    # By time
    assert found(worklist) == ['2', '1']
    his.close(1)
    his.put(3, entry_file())
    worklist.refresh()
    assert found(worklist) == ['2', '3']
    his.put(2, entry_file(
            {'ScheduledProcedureStepStartTime': '150000'}))
    worklist.refresh()
    assert found(worklist) == ['3', '2']
    assert [asked.since for asked in his.asked] == [0, 2, 4]


def test_an_unchanged_list_costs_nothing(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    for _ in range(3):
        worklist.refresh()
    assert [asked.status for asked in his.asked] == [200, 304, 304]
    assert found(worklist) == ['1']


def test_pages_are_put_together(make_worklist, his):
    his.page_size = 2
    for number in range(1, 8):
        his.put(number, entry_file())
    worklist = make_worklist()
    worklist.refresh()
    assert found(worklist) == list('1234567')
    assert [asked.since for asked in his.asked] == [0, 2, 4, 6]
    assert not any(
        'If-None-Match' in asked.headers for asked in his.asked)


def test_half_a_list_is_never_served(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.page_size = 1
    for number in [2, 3]:
        his.put(number, entry_file())
    his.close(1)
    answer = his.answer

    def fail_later(since, etag):
        if since == 2:
            return 500, None, None
        return answer(since, etag)
    his.answer = fail_later
    with pytest.raises(Exception, match='status 500'):
        worklist.refresh()
    assert found(worklist) == ['1']
    his.answer = answer
    worklist.refresh()
    assert found(worklist) == ['2', '3']


def test_a_restored_database_is_taken_anew(make_worklist, his):
    worklist = make_worklist()
    for number in range(1, 6):
        his.put(number, entry_file())
    worklist.refresh()
    his.restore(2)
    his.put(9, entry_file())
    worklist.refresh()
    assert found(worklist) == ['9']
    assert [asked.since for asked in his.asked] == [0, 5]


def test_what_was_missed_is_asked_for_again(make_worklist, his):
    """A restored database whose numbering has grown past ours."""
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.restore(0)
    for number in [7, 8, 9]:
        his.put(number, entry_file())
    worklist.refresh()
    assert found(worklist) == ['7', '8', '9']
    assert [asked.since for asked in his.asked] == [0, 1, 0]


def test_a_list_that_lacks_entries_is_refused(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    answer = his.answer

    def lacking(since, etag):
        status, body, etag = answer(since, None)
        return status, {**body, 'open': ['1', '2']}, etag
    his.answer = lacking
    with pytest.raises(Exception, match='lacks'):
        worklist.refresh()
    assert [asked.since for asked in his.asked] == [0, 1, 0]
    assert found(worklist) == ['1']


def page(**change: object) -> dict:
    return {'since': 0, 'index': 1, 'more': False, 'entries': [],
        'open': [], **change}


def entry(**change: object) -> dict:
    return {'id': '1', 'index': 1, 'dicom': 'AAAA', **change}


WRONG_PAGES = [
    None, [], 'x', {}, page(since=None), page(since='0'), page(since=7),
    page(index=None), page(index=-1), page(index=True), page(more=1),
    page(more=None), page(entries=None), page(entries={}),
    page(open=None), page(open=[1]), page(more=True, index=0),
    *(page(entries=[item]) for item in [
            None, 'x', {}, entry(id=1), entry(id=''), entry(id='Doe^Jane'),
            entry(index='1'), entry(index=None), entry(dicom=None),
            entry(dicom='ÄÖ'), entry(dicom='A'), entry(dicom=[])]),
    ]


@pytest.mark.parametrize('data', WRONG_PAGES, ids=range(len(WRONG_PAGES)))
def test_what_is_no_list_is_refused(make_worklist, his, plugin, data):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.trouble = wire.reply_json(data)
    with pytest.raises(plugin.ListError) as error:
        worklist.refresh()
    assert 'Doe' not in str(error.value)
    assert found(worklist) == ['1']


def test_an_endless_list_is_refused(
        make_worklist, his, plugin, monkeypatch):
    monkeypatch.setattr(plugin, 'MAXIMUM_PAGES', 5)
    his.answer = lambda since, etag: (
        200, page(since=since, index=since + 1, more=True), None)
    with pytest.raises(plugin.ListError, match='no end'):
        make_worklist().refresh()
    assert len(his.asked) == 5


def zipped(body: bytes, length: int | None = None):
    return wire.reply(
        gzip.compress(body)[:length],
        headers={'Content-Encoding': 'gzip'})


TROUBLES = {
    'status 401': wire.status(401),
    'status 403': wire.status(403),
    'status 404': wire.status(404),
    'status 500': wire.status(500),
    'status 302': wire.redirect('http://127.0.0.1:9/'),
    'status 304': wire.status(304),
    'status 204': wire.status(204),
    'garbage': wire.reply(b'<html>Doe^Jane'),
    'not UTF-8': wire.reply(b'"\xff\xfe'),
    'nested': wire.reply(b'[' * 100000),
    'no HTTP': wire.raw(b'Doe^Jane\r\n\r\n'),
    'hung up': wire.hang_up,
    'cut': wire.cut,
    'cut chunk': wire.raw(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"'),
    'cut gzip': zipped(json.dumps(page()).encode(), -9),
    'no gzip': wire.reply(
        b'Doe^Jane', headers={'Content-Encoding': 'gzip'}),
    'bomb': zipped(b' ' * 5_000_000),
    'huge': wire.reply(b' ' * 5_000_000),
    'silence': wire.silence,
    'drip': wire.drip(b'HTTP/1.1 200 OK\r\n\r\n' + b' ' * 100, 0.02),
    }


@pytest.mark.parametrize('name', TROUBLES)
def test_trouble_keeps_the_last_good_list(
        make_worklist, his, plugin, monkeypatch, name):
    monkeypatch.setattr(plugin, 'MAXIMUM_ANSWER', 2_000_000)
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    worklist = make_worklist(
        timeout=0.5 if name in {'silence', 'drip'} else 2)
    worklist.load()
    his.trouble = TROUBLES[name]
    with pytest.raises(plugin.HttpError) as error:
        worklist.refresh()
    assert not re.search(f'Doe|{SECRET}', str(error.value))
    if name.startswith('status') and name != 'status 204':
        assert name in str(error.value)
    assert found(worklist) == ['1']
    his.trouble = None
    his.put(2, entry_file())
    worklist.refresh()
    assert found(worklist) == ['1', '2']


def test_a_stopped_server_keeps_the_last_good_list(
        make_worklist, his, plugin):
    worklist = make_worklist()
    his.put(1, entry_file())
    worklist.refresh()
    his.stop()
    with pytest.raises(plugin.HttpError, match='refused'):
        worklist.refresh()
    assert found(worklist) == ['1']
    his.start()
    his.close(1)
    worklist.refresh()
    assert found(worklist) == []


def test_nobody_is_followed_with_the_key(make_worklist, his, plugin):
    with FakeHis() as other:
        his.trouble = wire.redirect(other.url)
        with pytest.raises(plugin.HttpError):
            make_worklist().refresh()
        assert not other.asked


def test_the_key_is_read_anew(make_worklist, his, plugin, tmp_path):
    key_file = tmp_path / 'key'
    key_file.write_text('old')
    worklist = make_worklist(key='', key_file=str(key_file))
    with pytest.raises(plugin.HttpError, match='refuses the key'):
        worklist.refresh()
    key_file.write_text(SECRET + '\n')
    worklist.refresh()
    key_file.unlink()
    with pytest.raises(plugin.HttpError, match='"KeyFile"'):
        worklist.refresh()


def test_the_certificate_is_checked(make_worklist, his, plugin, tmp_path):
    authority = Authority()
    (tmp_path / 'ca.pem').write_text(authority.certificate)
    his.put(1, entry_file())
    with Proxy(his.url, authority=authority) as proxy:
        with pytest.raises(plugin.HttpError, match='certificate'):
            make_worklist(url=proxy.url).refresh()
        worklist = make_worklist(
            url=proxy.url, ca_file=str(tmp_path / 'ca.pem'))
        worklist.refresh()
    assert found(worklist) == ['1']


def test_no_list_is_a_failure(make_worklist, plugin):
    with pytest.raises(plugin.Unavailable, match='no list'):
        found(make_worklist())


def test_a_list_that_is_too_old_is_a_failure(
        make_worklist, his, plugin, monkeypatch):
    worklist = make_worklist(maximum_age=100)
    his.put(1, entry_file())
    worklist.refresh()
    now = plugin.time.monotonic()
    monkeypatch.setattr(plugin.time, 'monotonic', lambda: now + 99)
    assert found(worklist) == ['1']
    monkeypatch.setattr(plugin.time, 'monotonic', lambda: now + 101)
    with pytest.raises(plugin.Unavailable, match='MaximumAge'):
        found(worklist)
    assert 'MaximumAge' in worklist.state
    # That nothing has changed is news, too.
    worklist.refresh()
    assert his.asked[-1].status == 304
    assert found(worklist) == ['1']


def test_an_unreadable_entry_does_not_stop_the_others(
        make_worklist, his, plugin):
    worklist = make_worklist()
    log = plugin.orthanc.log
    his.put(1, entry_file())
    his.put(2, b'Doe^Jane')
    worklist.refresh()
    his.put(3, entry_file())
    worklist.refresh()
    assert found(worklist) == ['1', '3']
    assert len([line for line in log if 'step 2 ' in line]) == 1


def test_a_modality_is_served_its_own_steps(make_worklist, his):
    worklist = make_worklist(filter_calling_aet=True)
    his.put(1, entry_file({'ScheduledStationAETitle': 'CT1'}))
    his.put(2, entry_file({'ScheduledStationAETitle': 'CT2'}))
    his.put(3, entry_file({'ScheduledStationAETitle': ['CT1', 'CT2']}))
    his.put(4, entry_file({'ScheduledStationAETitle': ''}))
    worklist.refresh()
    assert found(worklist, calling='CT1 ') == ['1', '3']
    assert found(worklist, calling='CT2') == ['2', '3']
    assert found(worklist, calling='') == []
    assert found(worklist, step(_0001='CT2'), 'CT1') == []


def test_what_orthanc_would_cut_is_counted(make_worklist, his):
    worklist = make_worklist()
    his.put(1, entry_file())
    his.put(2, entry_file({'ScheduledProcedureStepStartTime': '090000'}))
    worklist.refresh()
    entries, cut = worklist.find(step(_0003='0900-1030'), 'CT1')
    assert [entry.id for entry in entries] == ['2'] and cut == 1
    query = {STEP: [{'0040,0003': ''}],
        '0040,0270': [{'0040,0003': '0900-1030'}]}
    entries, cut = worklist.find(query, 'CT1')
    assert len(entries) == 2 and cut == 0


def test_the_file_keeps_the_list(make_worklist, his, tmp_path):
    first = make_worklist()
    his.put(1, entry_file(PatientName='Иванов^Пётр'))
    his.put(2, entry_file())
    first.refresh()
    file = tmp_path / 'cache.json'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ['cache.json']
    second = make_worklist()
    second.load()
    assert found(second, {'0010,0010': 'ИВАНОВ*'}) == ['1']
    his.close(1)
    second.refresh()
    assert his.asked[-1].since == 2
    assert found(second) == ['2']


def test_the_file_keeps_the_age(make_worklist, his, plugin, monkeypatch):
    first = make_worklist(maximum_age=100)
    his.put(1, entry_file())
    first.refresh()
    now = plugin.time.time()
    monkeypatch.setattr(plugin.time, 'time', lambda: now + 90)
    second = make_worklist(maximum_age=100)
    second.load()
    # To write it again makes it no younger.
    second.save()
    monkeypatch.setattr(plugin.time, 'time', lambda: now + 110)
    third = make_worklist(maximum_age=100)
    third.load()
    with pytest.raises(plugin.Unavailable, match='MaximumAge'):
        found(third)


def test_a_file_that_others_could_read_is_made_private(
        make_worklist, his, tmp_path):
    for name in ['cache.json', 'cache.json.new']:
        (tmp_path / name).write_text('{}')
        (tmp_path / name).chmod(0o666)
    worklist = make_worklist()
    worklist.refresh()
    file = tmp_path / 'cache.json'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize('change', [
        {'version': 2}, {'source': 'http://other/hospital'},
        {'confirmed': 1e12}, {'confirmed': 'x'}, {'confirmed': float('nan')},
        {'index': None}, {'entries': None}, {'entries': [{'id': '1'}]},
        ], ids=repr)
def test_a_file_of_other_kind_is_not_used(
        make_worklist, his, plugin, tmp_path, change):
    his.put(1, entry_file())
    make_worklist().refresh()
    file = tmp_path / 'cache.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    worklist = make_worklist()
    worklist.load()
    with pytest.raises(plugin.Unavailable):
        found(worklist)
    worklist.refresh()
    assert found(worklist) == ['1']


@pytest.mark.parametrize(
    'content', [b'', b'{', b'\xff', b'[]', b'[' * 100000])
def test_a_damaged_file_is_not_used(
        make_worklist, plugin, tmp_path, content):
    (tmp_path / 'cache.json').write_bytes(content)
    worklist = make_worklist()
    worklist.load()
    with pytest.raises(plugin.Unavailable):
        found(worklist)
    assert 'cache file cannot be used' in plugin.orthanc.log[-1]


def test_a_folder_that_is_not_there_is_said_once(
        make_worklist, his, plugin, tmp_path):
    worklist = make_worklist(cache_file=str(tmp_path / 'no' / 'cache.json'))
    his.put(1, entry_file())
    worklist.refresh()
    worklist.save()
    assert found(worklist) == ['1']
    assert len([line for line in plugin.orthanc.log
            if 'cannot be written' in line]) == 1


# --- What Orthanc calls -------------------------------------------------

class Query:
    def __init__(self, file: bytes):
        self.file = file

    def WorklistGetDicomQuery(self) -> bytes:
        return self.file


class Answers(list):
    incomplete = False

    def WorklistAddAnswer(self, query: Query, file: bytes) -> None:
        self.append(file)

    def WorklistMarkIncomplete(self) -> None:
        self.incomplete = True


def test_answers_are_the_files_themselves(plugin, his, make_worklist):
    file = entry_file()
    his.put(1, file)
    served = plugin.Plugin(make_worklist()._settings)
    served._worklist.refresh()
    answers = Answers()
    served.on_worklist(answers, Query(file), 'CT1', 'ORTHANC')
    assert answers == [file] and not answers.incomplete


def test_what_is_cut_is_told_once_for_each_modality(
        plugin, his, make_worklist):
    file = entry_file()
    his.put(1, file)
    served = plugin.Plugin(make_worklist()._settings)
    served._worklist.refresh()
    dataset = pydicom.dcmread(io.BytesIO(file))
    item = dataset.ScheduledProcedureStepSequence[0]
    item.ScheduledProcedureStepStartTime = '1030'
    stream = io.BytesIO()
    dataset.save_as(stream)
    for calling in ['CT1', 'CT1', 'MR1', 'Döe\n']:
        answers = Answers()
        served.on_worklist(
            answers, Query(stream.getvalue()), calling, 'ORTHANC')
        assert answers == [] and answers.incomplete
    assert [line.partition(' asks')[0].rpartition(' ')[2]
        for line in plugin.orthanc.log] == ['CT1', 'MR1', 'D?e?']


def test_errors_hold_no_patients(plugin, make_worklist, his):
    """Orthanc logs what a callback raises."""
    file = entry_file()
    his.put(1, file)
    served = plugin.Plugin(make_worklist()._settings)
    served._worklist.refresh()

    class Broken(Answers):
        def WorklistAddAnswer(self, query: Query, file: bytes) -> None:
            raise KeyError('Doe^Jane')
    with pytest.raises(plugin.Unavailable) as error:
        served.on_worklist(Broken(), Query(file), 'CT1', 'ORTHANC')
    assert 'KeyError in line' in str(error.value)
    assert 'Doe' not in str(error.value)
    assert error.value.__suppress_context__


def test_trouble_is_said_when_it_begins_and_ends(plugin, make_worklist, his):
    log = plugin.orthanc.log
    worklist = make_worklist()
    refresher = plugin.Refresher(worklist, worklist._settings)
    log.clear()

    def rounds(trouble):
        his.trouble = trouble
        for _ in range(3):
            refresher._tell(refresher._refresh())
    his.put(1, entry_file())
    rounds(wire.status(500))
    assert len(log) == 1 and 'status 500' in log[0]
    assert 'queries fail' in log[0]
    rounds(None)
    assert len(log) == 2
    assert 'GNU Health answers, 1 entries are served' in log[1]
    rounds(wire.status(401))
    assert len(log) == 3 and 'refuses the key' in log[2]
    assert '1 entries are served' in log[2]
    rounds(None)
    assert len(log) == 4 and 'answers' in log[3]


def test_a_fault_of_ours_does_not_end_the_thread(
        plugin, make_worklist, monkeypatch):
    worklist = make_worklist()
    refresher = plugin.Refresher(worklist, worklist._settings)

    def fail():
        raise KeyError('Doe^Jane')
    monkeypatch.setattr(worklist, 'refresh', fail)
    assert re.fullmatch(r'KeyError in line \d+', refresher._refresh())


# --- The file itself ----------------------------------------------------

def test_it_needs_nothing_but_python_and_orthanc():
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    names = {name.partition('.')[0] for name in names}
    assert names - set(sys.stdlib_module_names) == {'orthanc'}


def test_every_key_is_documented(plugin):
    text = Path(ROOT / 'doc' / 'orthanc_plugin.md').read_text()
    for key in plugin.KEYS:
        assert f'`{key}`' in text
