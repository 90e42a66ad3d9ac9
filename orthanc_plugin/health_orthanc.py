# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Serve the worklist of GNU Health from Orthanc, and tell it of studies.

Orthanc's Python plugin loads this file.  A thread keeps a copy of GNU
Health's open steps; queries of modalities are answered from that copy, so
that they neither wait for GNU Health nor depend on it.  Another thread
follows Orthanc's changes and tells GNU Health of each study that has
arrived, grown or gone; what is not told yet is kept in a file.

It needs Python 3.9 and its standard library.  What it logs names steps by
their number in GNU Health, studies by their id in Orthanc, and never holds
data of patients.
"""
from __future__ import annotations

import base64
import binascii
import difflib
import functools
import http.client
import json
import math
import os
import re
import secrets
import socket
import sqlite3
import ssl
import stat
import sys
import threading
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections import deque
from collections.abc import (
    Callable, Collection, Iterable, Iterator, Mapping, Sequence)
from contextlib import contextmanager
from dataclasses import dataclass, field

import orthanc

# --- Configuration ------------------------------------------------------

SECTION = 'HealthOrthanc'
CACHE_NAME = 'health_orthanc-worklist.json'
QUEUE_NAME = 'health_orthanc-notifications.db'


@dataclass(frozen=True)
class Settings:
    """What the section of Orthanc's configuration says.

    Attributes
    ----------
    url, database
        Where GNU Health is, and which of its databases.
    key, key_file
        The application key of the plugin's user, or the file that holds it.
    server
        Which of GNU Health's Orthanc servers this is.
    notify
        Whether GNU Health is told of studies.
    notification_file
        Where is kept what GNU Health has not been told yet.
    stable_age
        Orthanc's own option StableAge.
    refresh_interval, timeout, maximum_age
        In seconds.
    ca_file
        Who is trusted to sign GNU Health's certificate; the system's
        authorities if empty.
    filter_calling_aet
        Serve a modality only the steps of its own AE title.
    cache_file
        Where the list is kept over restarts; nowhere if empty.
    case_sensitive_names
        Orthanc's own option CaseSensitivePN.
    """
    url: str = ''
    database: str = ''
    key: str = field(default='', repr=False)
    key_file: str = ''
    server: str = ''
    notify: bool = False
    notification_file: str = ''
    stable_age: float = 60
    refresh_interval: float = 2
    timeout: float = 10
    ca_file: str = ''
    filter_calling_aet: bool = False
    maximum_age: float = 24 * 60 * 60
    cache_file: str = ''
    case_sensitive_names: bool = False

    @property
    def source(self) -> str:
        """What tells a list of this hospital from that of another."""
        return f'{self.url}/{self.database}'


TEXT_KEYS = {
    'Url': 'url',
    'Database': 'database',
    'Key': 'key',
    'KeyFile': 'key_file',
    'Server': 'server',
    'CaFile': 'ca_file',
    'CacheFile': 'cache_file',
    'NotificationFile': 'notification_file',
    }
NUMBER_KEYS = {
    'RefreshInterval': 'refresh_interval',
    'Timeout': 'timeout',
    'MaximumAge': 'maximum_age',
    }
FLAG_KEYS = {'FilterCallingAet': 'filter_calling_aet', 'Notify': 'notify'}
KEYS = {**TEXT_KEYS, **NUMBER_KEYS, **FLAG_KEYS}


def read_settings(
        configuration: Mapping, folder: str
        ) -> tuple[Settings, list[str], list[str]]:
    """Return the settings, what makes them unusable and what is doubtful.

    Parameters
    ----------
    configuration
        The whole configuration of Orthanc.
    folder
        That of Orthanc's index.
    """
    section = configuration.get(SECTION)
    if not isinstance(section, Mapping):
        return Settings(), [f'the section "{SECTION}" is missing'], []
    values, errors = _typed(section)
    errors += _missing(section)
    values['url'] = values.get('url', '').rstrip('/')
    errors += _wrong_url(values['url'])
    cache_file = values.get('cache_file', CACHE_NAME)
    values['cache_file'] = cache_file and os.path.join(folder, cache_file)
    values['case_sensitive_names'] = bool(
        configuration.get('CaseSensitivePN', False))
    values['notify'] = bool(
        values.get('notify', True) and values.get('server'))
    values['notification_file'] = os.path.join(
        folder, values.get('notification_file', QUEUE_NAME))
    if _is_duration(configuration.get('StableAge')):
        values['stable_age'] = configuration['StableAge']
    settings = Settings(**values)
    if not errors:
        errors += _unusable_files(settings)
    doubts = [_unknown(key) for key in section if key not in KEYS]
    return settings, errors, doubts + _doubts(settings, configuration)


def _typed(section: Mapping) -> tuple[dict[str, object], list[str]]:
    """Return the values by the names of `Settings`, and what is wrong."""
    values, errors = {}, []
    for key, value in section.items():
        if key in TEXT_KEYS and not isinstance(value, str):
            errors.append(f'"{key}" must be a text in quotes')
        elif key in FLAG_KEYS and not isinstance(value, bool):
            errors.append(f'"{key}" must be true or false')
        elif key in NUMBER_KEYS and not _is_duration(value):
            errors.append(f'"{key}" must be a number of seconds above 0')
        elif key in KEYS:
            values[KEYS[key]] = value
    return values, errors


def _is_duration(value: object) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
        and math.isfinite(value) and value > 0)


def _missing(section: Mapping) -> Iterator[str]:
    for key in ['Url', 'Database']:
        if section.get(key, '') == '':
            yield f'"{key}" is missing'
    if section.get('NotificationFile') == '':
        yield '"NotificationFile" must not be empty'
    given = [key for key in ['Key', 'KeyFile'] if section.get(key)]
    if not given:
        yield '"Key" or "KeyFile" is missing'
    elif len(given) == 2:
        yield '"Key" and "KeyFile" are both given'


def _wrong_url(url: str) -> Iterator[str]:
    if not url:
        return
    try:
        parts = urllib.parse.urlsplit(url)
        valid = (parts.scheme in {'http', 'https'} and parts.hostname
            and not (parts.query or parts.fragment) and parts.port != 0
            and not re.search(r'[^!-~]', url))
    except ValueError:
        valid = False
    if not valid:
        yield '"Url" must be like https://gnuhealth.example:8000'
    elif parts.username or parts.password:
        yield '"Url" must hold neither user nor password'


def _unusable_files(settings: Settings) -> Iterator[str]:
    try:
        read_key(settings)
    except (OSError, ValueError) as error:
        yield _key_trouble(settings, error)
    try:
        _tls_context(settings)
    except (OSError, ValueError) as error:
        yield f'"CaFile" cannot be used: {_reason(error)}'


def _unknown(key: str) -> str:
    similar = difflib.get_close_matches(key, KEYS, 1)
    hint = f', is "{similar[0]}" meant?' if similar else ''
    return f'"{key}" is not known{hint}'


def _doubts(settings: Settings, configuration: Mapping) -> list[str]:
    doubts = []
    if configuration[SECTION].get('Notify', True) and not settings.server:
        doubts.append('"Server" is missing: GNU Health is not told of studies')
    if settings.key_file and _readable_by_all(settings.key_file):
        doubts.append(
            '"KeyFile" can be read by every user of this machine')
    parts = urllib.parse.urlsplit(settings.url) if settings.url else None
    if parts and parts.scheme == 'http' and parts.hostname not in {
            'localhost', '127.0.0.1', '::1'}:
        doubts.append(
            '"Url" is not https: key and patients travel in the clear')
    worklists = configuration.get('Worklists')
    if isinstance(worklists, Mapping) and worklists.get('Enable') is True:
        doubts.append(
            "Orthanc's own worklists plugin is enabled: only one of both"
            ' answers, set "Worklists": {"Enable": false}')
    if configuration.get('DefaultEncoding') != 'Utf8':
        doubts.append(
            '"DefaultEncoding" of Orthanc is not "Utf8": names in other'
            " scripts will not arrive")
    return doubts


def _readable_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


def read_key(settings: Settings) -> str:
    """Return the key that GNU Health asks for.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or holds no key.
    """
    key = settings.key
    if settings.key_file:
        with open(settings.key_file, encoding='ascii') as file:
            key = file.read(4096)
    key = key.strip()
    if not re.fullmatch('[!-~]+', key):
        raise ValueError("it is no key")
    return key


def _key_trouble(settings: Settings, error: Exception) -> str:
    name = 'KeyFile' if settings.key_file else 'Key'
    return f'"{name}" cannot be used: {_reason(error)}'


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)


def index_folder(configuration: Mapping, path: str) -> str:
    """Return where Orthanc keeps its index, given its configuration's path.
    """
    base = path if os.path.isdir(path) else os.path.dirname(path)
    folder = (configuration.get('IndexDirectory')
        or configuration.get('StorageDirectory') or 'OrthancStorage')
    return os.path.abspath(os.path.join(base, folder))


# --- GNU Health ---------------------------------------------------------

MAXIMUM_ANSWER = 64 * 1024 * 1024
CHUNK = 64 * 1024


class HttpError(Exception):
    """GNU Health has not answered as it should; the text says how.

    Attributes
    ----------
    status : int or None
        Of the answer, if there was one.
    """

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What GNU Health said, from JSON."""
    data: object
    etag: str | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for one server: nobody is followed to another."""

    def redirect_request(self, *_: object) -> None:
        return None


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.url.startswith('https:'):
        return None
    return ssl.create_default_context(cafile=settings.ca_file or None)


class GnuHealth:
    """The routes of GNU Health that are made for this plugin."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect,
            urllib.request.HTTPSHandler(context=_tls_context(settings)))

    def get(
            self, path: str, query: Mapping[str, object],
            etag: str | None = None) -> Answer | None:
        """Ask for JSON; None if it is as it was when it had this `etag`.

        Raises
        ------
        HttpError
            As `post` does.
        """
        request = self._request(f'{path}?{urllib.parse.urlencode(query)}')
        if etag is not None:
            request.add_header('If-None-Match', etag)
        try:
            return self._answer(request)
        except HttpError as error:
            if error.status == 304 and etag is not None:
                return None
            raise

    def post(self, path: str, content: bytes) -> Answer:
        """Tell something, and return what is said to it in JSON.

        Raises
        ------
        HttpError
            If there is no complete answer of at most `MAXIMUM_ANSWER` bytes
            within the time limit, or it is not JSON.
        """
        request = self._request(path)
        request.data = content
        # As JSON it would be taken for a call of Tryton's own protocol.
        request.add_header('Content-Type', 'text/plain; charset=utf-8')
        return self._answer(request)

    def _request(self, path: str) -> urllib.request.Request:
        database = urllib.parse.quote(self._settings.database, safe='')
        return urllib.request.Request(
            f'{self._settings.url}/{database}/{path}',
            headers={
                'Authorization': f'bearer {self._key()}',
                'Accept': 'application/json',
                'Accept-Encoding': 'gzip',
                })

    def _answer(self, request: urllib.request.Request) -> Answer:
        deadline = time.monotonic() + self._settings.timeout
        try:
            with self._opener.open(
                    request, timeout=self._settings.timeout) as response:
                body = _read(response, deadline)
                return Answer(_from_json(body), response.headers.get('ETag'))
        except urllib.error.HTTPError as error:
            error.close()
            raise HttpError(_status_text(error.code), error.code) from None
        except (OSError, ValueError, http.client.HTTPException,
                zlib.error) as error:
            raise HttpError(_network_text(error)) from None

    def _key(self) -> str:
        """Read it anew each time: keys are changed while Orthanc runs."""
        try:
            return read_key(self._settings)
        except (OSError, ValueError) as error:
            raise HttpError(_key_trouble(self._settings, error)) from None


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the whole body, decompressed.

    The time limit of a socket is one for each read: a server that sends a
    byte now and then would hold us for ever.
    """
    expected = response.headers.get('Content-Length')
    zipped = response.headers.get('Content-Encoding', '') == 'gzip'
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if zipped else None
    received, parts, size = 0, [], 0
    while True:
        chunk = response.read1(CHUNK)
        if time.monotonic() > deadline:
            raise socket.timeout
        if not chunk:
            break
        received += len(chunk)
        if inflate:
            chunk = inflate.decompress(chunk, MAXIMUM_ANSWER + 1 - size)
        size += len(chunk)
        if size > MAXIMUM_ANSWER:
            raise HttpError("its answer is too large")
        parts.append(chunk)
    if (expected is not None and received != int(expected)
            or inflate and not inflate.eof):
        raise HttpError("its answer is cut")
    return b''.join(parts)


def _from_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError("its answer is not JSON") from None


def _status_text(code: int) -> str:
    texts = {
        400: "it cannot use the request",
        401: "it refuses the key",
        403: "it refuses the key or its user",
        404: "it knows no such database or route",
        }
    return f'{texts.get(code, "it cannot answer")} (status {code})'


def _network_text(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        error = getattr(error, 'reason', error)
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, http.client.IncompleteRead):
        return "its answer is cut"
    if isinstance(error, http.client.HTTPException):
        return f"its answer is not HTTP ({type(error).__name__})"
    return str(getattr(error, 'strerror', None) or type(error).__name__)


# --- Matching (PS3.4 C.2.2.2) -------------------------------------------

STEPS = '0040,0100'
START_DATE = '0040,0002'
START_TIME = '0040,0003'
STATION = '0040,0001'
# Where health_orthanc.lua hands over date and time of the step's item.
HANDED_OVER = '0040,0270'

# The keys that can be matched, and their value representation.
KEYS_MATCHED = {
    '0008,0050': 'SH',  # AccessionNumber
    '0008,0060': 'CS',  # Modality
    '0008,0080': 'LO',  # InstitutionName
    '0008,0090': 'PN',  # ReferringPhysicianName
    '0008,0100': 'SH',  # CodeValue
    '0008,0102': 'SH',  # CodingSchemeDesignator
    '0008,0104': 'LO',  # CodeMeaning
    '0010,0010': 'PN',  # PatientName
    '0010,0020': 'LO',  # PatientID
    '0010,0030': 'DA',  # PatientBirthDate
    '0010,0040': 'CS',  # PatientSex
    '0010,1030': 'DS',  # PatientWeight
    '0010,2000': 'LO',  # MedicalAlerts
    '0010,2110': 'LO',  # Allergies
    '0010,21c0': 'US',  # PregnancyStatus
    '0020,000d': 'UI',  # StudyInstanceUID
    '0020,0060': 'CS',  # Laterality
    '0032,1032': 'PN',  # RequestingPhysician
    '0032,1033': 'LO',  # RequestingService
    '0032,1060': 'LO',  # RequestedProcedureDescription
    '0032,1064': 'SQ',  # RequestedProcedureCodeSequence
    '0038,0010': 'LO',  # AdmissionID
    '0038,0050': 'LO',  # SpecialNeeds
    '0038,0300': 'LO',  # CurrentPatientLocation
    '0038,0500': 'LO',  # PatientState
    '0040,0001': 'AE',  # ScheduledStationAETitle
    '0040,0002': 'DA',  # ScheduledProcedureStepStartDate
    '0040,0003': 'TM',  # ScheduledProcedureStepStartTime
    '0040,0006': 'PN',  # ScheduledPerformingPhysicianName
    '0040,0007': 'LO',  # ScheduledProcedureStepDescription
    '0040,0008': 'SQ',  # ScheduledProtocolCodeSequence
    '0040,0009': 'SH',  # ScheduledProcedureStepID
    '0040,0010': 'SH',  # ScheduledStationName
    '0040,0011': 'SH',  # ScheduledProcedureStepLocation
    '0040,0020': 'CS',  # ScheduledProcedureStepStatus
    '0040,0100': 'SQ',  # ScheduledProcedureStepSequence
    '0040,1001': 'SH',  # RequestedProcedureID
    '0040,1002': 'LO',  # ReasonForTheRequestedProcedure
    '0040,1003': 'SH',  # RequestedProcedurePriority
    '0040,1004': 'LO',  # PatientTransportArrangements
    '0040,1400': 'LT',  # RequestedProcedureComments
    '0040,3001': 'LO',  # ConfidentialityConstraintOnPatientDataDescription
    }
# Those that no query is matched by although it may hold a value of them.
KEYS_PASSED_OVER = {
    '0008,0005',  # SpecificCharacterSet
    '0008,0201',  # TimezoneOffsetFromUTC
    }
WITHOUT_WILDCARDS = {'DS', 'UI', 'US'}

Item = Mapping[str, object]
Test = Callable[[str], bool]
ItemTest = Callable[[Item], bool]


class QueryError(Exception):
    """A query that cannot be understood; the text names the key only."""


def compile_item(
        asked: Item, case_sensitive: bool = False,
        ignored: Callable[[str], None] = lambda tag: None) -> ItemTest:
    """Return what tells whether a dataset matches the keys `asked`.

    Parameters
    ----------
    asked
        Tag → value, for sequences a list of items.
    case_sensitive
        Compare names of people so; other texts are always compared so.
    ignored
        Is told the keys with a value that are not supported.
    """
    asked = {
        tag: value for tag, value in asked.items()
        if tag not in KEYS_PASSED_OVER and not _is_universal(value)}
    tests = []
    start = _moment_test(
        asked.get(START_DATE, ''), asked.get(START_TIME, ''))
    if start:
        tests.append(start)
        del asked[START_DATE], asked[START_TIME]
    for tag, value in asked.items():
        if tag not in KEYS_MATCHED:
            ignored(tag)
        elif KEYS_MATCHED[tag] == 'SQ':
            tests.append(_sequence_test(
                    tag, [compile_item(item, case_sensitive, ignored)
                        for item in value]))
        else:
            tests.append(_element_test(tag, value, case_sensitive))
    return _all(tests)


def _is_universal(value: object) -> bool:
    if isinstance(value, list):
        return all(
            _is_universal(part) for item in value for part in item.values())
    return not isinstance(value, str) or value.strip(' \0') in {'', '*'}


def _all(tests: Sequence[ItemTest]) -> ItemTest:
    if len(tests) == 1:
        return tests[0]
    return lambda item: all(test(item) for test in tests)


def _sequence_test(tag: str, items: Sequence[ItemTest]) -> ItemTest:
    def test(item: Item) -> bool:
        held = item.get(tag) or []
        return all(any(map(one, held)) for one in items)
    return test


def _element_test(tag: str, value: str, case_sensitive: bool) -> ItemTest:
    tests = _value_tests(tag, value, case_sensitive)

    def test(item: Item) -> bool:
        # Of a multi-valued element one value is enough.
        for held in _values(KEYS_MATCHED[tag], item.get(tag)):
            for one in tests:
                if one(held):
                    return True
        return False
    return test


def _values(vr: str, value: object) -> list[str]:
    if not isinstance(value, str):
        return []
    values = [value] if vr == 'LT' else value.split('\\')
    return [part for part in (part.strip(' \0') for part in values) if part]


def _value_tests(tag: str, value: str, case_sensitive: bool) -> list[Test]:
    """Return one test for each value of a list."""
    vr = KEYS_MATCHED[tag]
    values = _values(vr, value)
    if vr == 'PN':
        return [_name_test(one, case_sensitive) for one in values]
    if vr in {'DA', 'TM'}:
        return [_range_test(tag, one) for one in values]
    if vr in WITHOUT_WILDCARDS:
        return [frozenset(values).__contains__]
    return [_text_test(one) for one in values]


def _text_test(pattern: str) -> Test:
    pattern = unicodedata.normalize('NFC', pattern)
    matches = wildcard(pattern)
    return lambda text: matches(unicodedata.normalize('NFC', text))


def wildcard(pattern: str) -> Test:
    """Return what tells whether a text is as `pattern`, with ``*`` and ``?``.

    It takes a time in proportion to the length of text and pattern.
    """
    if not re.search('[*?]', pattern):
        return pattern.__eq__
    chunks = [
        re.compile(
            ''.join('.' if c == '?' else re.escape(c) for c in chunk), re.S)
        for chunk in pattern.split('*')]
    if len(chunks) == 1:
        return lambda text: chunks[0].fullmatch(text) is not None
    first, *middle, last = chunks
    last_length = len(pattern.rpartition('*')[2])

    def test(text: str) -> bool:
        found = first.match(text)
        for chunk in middle:
            found = found and chunk.search(text, found.end())
        start = len(text) - last_length
        return bool(
            found and start >= found.end() and last.match(text, start))
    return test


def _name_test(pattern: str, case_sensitive: bool) -> Test:
    """Return the test of a name (PN), whose groups are several scripts.

    A pattern of one group may match any of them; of more, each its own.
    """
    patterns = [
        wildcard(group) if group else None
        for group in _groups(pattern, case_sensitive)]

    def test(name: str) -> bool:
        groups = _groups(name, case_sensitive)
        if len(patterns) == 1:
            return any(map(patterns[0], filter(None, groups)))
        return len(groups) >= len(patterns) and all(
            matches is None or matches(group)
            for matches, group in zip(patterns, groups))
    return test


@functools.lru_cache(maxsize=65536)
def _groups(name: str, case_sensitive: bool) -> list[str]:
    name = unicodedata.normalize('NFC', name).rstrip('=')
    if not case_sensitive:
        name = unicodedata.normalize('NFC', name.casefold())
    return [group.strip(' ').rstrip('^') for group in name.split('=')]


DATE = re.compile(r'(\d{4})\.?(\d\d)\.?(\d\d)', re.A)
TIME = re.compile(
    r'(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?', re.A)
FIRST_TIME, LAST_TIME = '000000000000', '235960999999'


def _bounds(tag: str, text: str) -> tuple[str, str]:
    """Return the first and the last moment that a date or time means.

    A time without minutes or seconds means all of them.

    Raises
    ------
    QueryError
        If it is neither a date nor a time.
    """
    pattern = DATE if KEYS_MATCHED[tag] == 'DA' else TIME
    found = pattern.fullmatch(text.strip(' \0'))
    if not found:
        raise QueryError(f"the value of key {tag} is no date or time")
    digits = ''.join(group or '' for group in found.groups())
    if pattern is DATE:
        return digits, digits
    length = len(digits)
    return digits + FIRST_TIME[length:], digits + LAST_TIME[length:]


def _split_range(tag: str, text: str) -> tuple[str, str]:
    """Return first and last moment of a value, ``''`` where it is open."""
    first, dash, last = text.partition('-')
    if not dash:
        return _bounds(tag, text)
    return (_bounds(tag, first)[0] if first.strip(' \0') else '',
        _bounds(tag, last)[1] if last.strip(' \0') else '')


def _range_test(tag: str, text: str) -> Test:
    first, last = _split_range(tag, text)

    def test(held: str) -> bool:
        try:
            earliest, _ = _bounds(tag, held)
        except QueryError:
            return False
        return first <= earliest and (not last or earliest <= last)
    return test


def _moment_test(date: str, time: str) -> ItemTest | None:
    """Return the test of a range of dates with a range of times, else None.

    Both together are one span, from the first time on the first date to the
    last time on the last date (PS3.4 K.6.1.2.2).
    """
    if '-' not in date or '-' not in time:
        return None
    first_date, last_date = _split_range(START_DATE, date)
    first_time, last_time = _split_range(START_TIME, time)
    first = (first_date or '00000000') + (first_date and first_time)
    last = (last_date or '99999999') + (
        last_date and last_time or LAST_TIME)

    def test(item: Item) -> bool:
        try:
            moment = (
                _bounds(START_DATE, str(item.get(START_DATE)))[0]
                + _bounds(START_TIME, str(item.get(START_TIME)))[0])
        except QueryError:
            return False
        return first <= moment <= last
    return test


def compile_orthanc(asked: Item, case_sensitive: bool = False) -> ItemTest:
    """Return what tells whether Orthanc keeps the step's item in an answer.

    It compares the keys of the item once more in its own way: as text, also
    dates and times, each for itself, and all values of an element at once.
    An item that differs is cut out of the answer.
    """
    tests = []
    for tag, value in asked.items():
        if isinstance(value, str) and value:
            tests.append(_orthanc_test(tag, value, case_sensitive))
    return _all(tests)


def _orthanc_test(tag: str, value: str, case_sensitive: bool) -> ItemTest:
    vr = KEYS_MATCHED.get(tag)

    def normal(text: str) -> str:
        text = text.strip(' \0')
        return text if vr != 'PN' or case_sensitive else text.upper()

    if vr in {'DA', 'TM'} and '-' in value:
        # Spaces around the dash count.
        first, last = normal(value).split('-', 1)
        matches = _between(first, last)
    elif '\\' in value:
        matches = frozenset(map(normal, value.split('\\'))).__contains__
    else:
        matches = wildcard(normal(value))

    def test(item: Item) -> bool:
        held = item.get(tag)
        return isinstance(held, str) and matches(normal(held))
    return test


def _between(first: str, last: str) -> Test:
    return lambda text: first <= text and (not last or text <= last)


# --- The list -----------------------------------------------------------

LIST_ROUTE = 'orthanc/worklist'
MAXIMUM_PAGES = 1000
CACHE_VERSION = 1
CACHE_PAUSE = 5  # seconds between two writings of the file


class ListError(Exception):
    """An answer is not a list; the text says what is wrong with it."""


class Unavailable(Exception):
    """Why a query is not answered: Orthanc logs it, the modality sees a
    failure.
    """


@dataclass(frozen=True)
class Entry:
    """A step that is open in GNU Health.

    Attributes
    ----------
    id
        Its number there.
    index
        Of its last change, in the numbering of all changes.
    dicom
        The worklist file; served as it is.
    keys
        What it is matched by; None if Orthanc cannot read the file.
    """
    id: str
    index: int
    dicom: bytes
    keys: Mapping[str, object] | None

    @property
    def steps(self) -> Sequence[Item]:
        steps = (self.keys or {}).get(STEPS)
        return steps if isinstance(steps, list) else []

    @property
    def order(self) -> tuple[str, str, int, str]:
        """By date and time, for consoles that do not sort."""
        step = self.steps[0] if self.steps else {}
        return (str(step.get(START_DATE, '')), str(step.get(START_TIME, '')),
            len(self.id), self.id)


@dataclass(frozen=True)
class Page:
    """One answer of GNU Health about its list."""
    since: int
    index: int
    more: bool
    entries: Sequence[Entry]
    open: frozenset[str]


def read_entry(data: object) -> Entry:
    """Return the entry that JSON holds.

    Raises
    ------
    ListError
        If it is no entry; what of it is wrong, not its values.
    """
    if not isinstance(data, dict):
        raise ListError("an entry is no object")
    identifier, index = data.get('id'), data.get('index')
    if not isinstance(identifier, str) or not re.fullmatch(
            r'[0-9]{1,20}(?:\.[0-9]{1,20})?', identifier):
        raise ListError("an entry has no id")
    if not _is_index(index):
        raise ListError("an entry has no index")
    try:
        dicom = base64.b64decode(data['dicom'], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ListError("an entry has no file") from None
    return Entry(identifier, index, dicom, _read_keys(dicom))


def _read_keys(dicom: bytes) -> dict[str, object] | None:
    try:
        return _to_json(dicom)
    # What Orthanc raises depends on its version.
    except Exception:
        return None


def _to_json(dicom: bytes) -> dict[str, object]:
    """Return tag → text in Unicode, or list of items."""
    return json.loads(
        orthanc.DicomBufferToJson(
            dicom, orthanc.DicomToJsonFormat.SHORT,
            orthanc.DicomToJsonFlags.NONE, 0),
        object_pairs_hook=_interned)


def _interned(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return a dictionary that shares its tags with those of all entries.
    """
    return {sys.intern(tag): value for tag, value in pairs}


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) \
        and value >= 0


def read_page(data: object, since: int) -> Page:
    """Return what GNU Health has answered to `since`.

    Raises
    ------
    ListError
        If it is not of the agreed form.
    """
    if not isinstance(data, dict):
        raise ListError("it is no object")
    for name in ['since', 'index']:
        if not _is_index(data.get(name)):
            raise ListError(f"it has no {name}")
    more, entries, opened = (
        data.get('more'), data.get('entries'), data.get('open'))
    if not isinstance(more, bool) or not isinstance(entries, list):
        raise ListError("it has no entries")
    if not more and not (isinstance(opened, list)
            and all(isinstance(item, str) for item in opened)):
        raise ListError("it does not tell what is open")
    if data['since'] not in {0, since}:
        raise ListError("it answers another question")
    if more and data['index'] <= data['since']:
        raise ListError("it does not go on")
    return Page(
        data['since'], data['index'], more, list(map(read_entry, entries)),
        frozenset(() if more else opened))


@dataclass(frozen=True)
class Snapshot:
    """A complete list; it is replaced, never changed.

    Attributes
    ----------
    index
        Where GNU Health's numbering of changes was.
    confirmed
        When GNU Health last said so, on the clock of `time.monotonic`.
    """
    entries: Sequence[Entry]
    index: int
    confirmed: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.confirmed


class Worklist:
    """The list of GNU Health: fetched, kept in a file and searched."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._gnuhealth = GnuHealth(settings)
        self._snapshot: Snapshot | None = None
        self._etag: str | None = None
        self._unreadable: frozenset[tuple[str, int]] = frozenset()
        self._cache = Cache(settings) if settings.cache_file else None

    # -- kept fresh by a thread

    def load(self) -> None:
        """Take the list of before the last stop, where there is one."""
        self._snapshot = self._cache and self._cache.load()
        if self._snapshot:
            orthanc.LogWarning(
                f"{SECTION}: {len(self._snapshot.entries)} worklist entries"
                f" from the cache file, {self._snapshot.age:.0f} s old")

    def save(self) -> None:
        if self._cache and self._snapshot:
            self._cache.save(self._snapshot)

    def refresh(self) -> None:
        """Bring the list up to date.

        Raises
        ------
        HttpError, ListError
            If GNU Health does not tell; the list stays as it was.
        """
        asked = time.monotonic()
        served = self._snapshot
        if served is None:
            fetched = self._fetch({}, 0)
        else:
            fetched = self._fetch(
                {entry.id: entry for entry in served.entries}, served.index)
        if fetched is None:
            self._snapshot = Snapshot(served.entries, served.index, asked)
        else:
            entries, index = fetched
            self._tell_unreadable(entries)
            self._snapshot = Snapshot(
                sorted(entries, key=lambda entry: entry.order), index, asked)
        if self._cache:
            self._cache.keep(self._snapshot, fetched is not None)

    @property
    def state(self) -> str:
        """What becomes of queries, in words."""
        try:
            return f"{len(self._usable().entries)} entries are served"
        except Unavailable as error:
            return f"queries fail, because {error}"

    def _fetch(
            self, known: dict[str, Entry], since: int
            ) -> tuple[list[Entry], int] | None:
        """Return all open entries with the index, None if nothing changed.
        """
        etag = self._etag if self._snapshot is not None else None
        anew = since == 0
        for _ in range(MAXIMUM_PAGES):
            answer = self._gnuhealth.get(LIST_ROUTE, {'since': since}, etag)
            if answer is None:
                return None
            page = read_page(answer.data, since)
            if page.since == 0:
                # All anew: also where GNU Health was restored, and its
                # numbering with it.
                known, anew = {}, True
            known.update({entry.id: entry for entry in page.entries})
            if page.more:
                since, etag = page.index, None
                continue
            if page.open - set(known):
                if anew:
                    raise ListError("it lacks entries that are open")
                # We have missed something: once more from the start.
                since, etag = 0, None
                continue
            self._etag = answer.etag
            return [
                entry for entry in known.values()
                if entry.id in page.open], page.index
        raise ListError("it has no end")

    def _tell_unreadable(self, entries: Sequence[Entry]) -> None:
        """Say once which steps no modality will see."""
        unreadable = frozenset(
            (entry.id, entry.index) for entry in entries
            if entry.keys is None)
        for identifier, _ in sorted(unreadable - self._unreadable):
            orthanc.LogError(
                f"{SECTION}: the worklist entry of step {identifier} is no"
                " DICOM file, it is left out")
        self._unreadable = unreadable

    # -- asked by modalities

    def find(self, query: Item, calling: str) -> tuple[list[Entry], int]:
        """Return the entries that match, and how many Orthanc would cut.

        Raises
        ------
        Unavailable
            If there is no list, or it is too old.
        QueryError
            If the query cannot be understood.
        """
        snapshot = self._usable()
        asked, step = _with_handed_over(query)
        names = self._settings.case_sensitive_names
        matches = compile_item(asked, names, _tell_ignored)
        kept = compile_orthanc(step, names)
        found = [
            entry for entry in snapshot.entries
            if entry.keys is not None and matches(entry.keys)]
        if self._settings.filter_calling_aet:
            found = [
                entry for entry in found
                if any(_is_for(step, calling) for step in entry.steps)]
        whole = [
            entry for entry in found
            if not entry.steps or any(map(kept, entry.steps))]
        return whole, len(found) - len(whole)

    def _usable(self) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable("there is no list from GNU Health yet")
        if snapshot.age > self._settings.maximum_age:
            raise Unavailable("the list is older than MaximumAge")
        return snapshot


def _with_handed_over(query: Item) -> tuple[Item, Item]:
    """Return all that is asked, and what Orthanc sees of the step's item."""
    items = query.get(STEPS)
    step = items[0] if isinstance(items, list) and items else {}
    query = dict(query)
    handed_over = query.pop(HANDED_OVER, None)
    if isinstance(handed_over, list) and handed_over:
        query[STEPS] = [{**step, **handed_over[0]}]
    return query, step


def _is_for(step: Item, calling: str) -> bool:
    return calling.strip() in _values('AE', step.get(STATION))


def _tell_ignored(tag: str) -> None:
    orthanc.LogInfo(
        f"{SECTION}: key {tag} of a query is not supported, it is ignored")


class Cache:
    """The file that keeps the list while Orthanc is stopped.

    Only the account of Orthanc may read it: it holds data of patients.
    """

    def __init__(self, settings: Settings):
        self._path = settings.cache_file
        self._source = settings.source
        # How much older than it is the list may seem after a restart.
        self._pause = settings.maximum_age / 50
        self._written = -math.inf
        self._changed = False
        self._failed = False
        self._lock = threading.Lock()

    def load(self) -> Snapshot | None:
        """Return the list of the file, None without one that can be used."""
        try:
            with open(self._path, encoding='ascii') as file:
                data = json.load(file)
            if (data['version'] != CACHE_VERSION
                    or data['source'] != self._source):
                return None
            age = time.time() - data['confirmed']
            if not age >= 0 or not _is_index(data['index']):
                raise ListError("it is of the future")
            return Snapshot(
                list(map(read_entry, data['entries'])), data['index'],
                time.monotonic() - age)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ListError,
                RecursionError) as error:
            orthanc.LogWarning(
                f"{SECTION}: the cache file cannot be used"
                f" ({type(error).__name__})")
            return None

    def keep(self, snapshot: Snapshot, changed: bool) -> None:
        """Write the file if there is reason to."""
        self._changed = self._changed or changed
        if time.monotonic() - self._written > (
                CACHE_PAUSE if self._changed else self._pause):
            self.save(snapshot)

    def save(self, snapshot: Snapshot) -> None:
        """Write the file; where it cannot be, say so once."""
        with self._lock:
            self._save(snapshot)

    def _save(self, snapshot: Snapshot) -> None:
        self._written = time.monotonic()
        try:
            self._write(json.dumps({
                        'version': CACHE_VERSION,
                        'source': self._source,
                        'confirmed': time.time() - snapshot.age,
                        'index': snapshot.index,
                        'entries': [{
                                'id': entry.id,
                                'index': entry.index,
                                'dicom': base64.b64encode(
                                    entry.dicom).decode(),
                                } for entry in snapshot.entries],
                        }))
        except OSError as error:
            if not self._failed:
                orthanc.LogError(
                    f"{SECTION}: the cache file cannot be written:"
                    f" {_reason(error)}")
            self._failed = True
        else:
            self._changed = self._failed = False

    def _write(self, text: str) -> None:
        temporary = f'{self._path}.new'
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, 'w', encoding='ascii') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)


class Refresher:
    """The thread that keeps the list fresh; it says once what is wrong.

    Parameters
    ----------
    recovered
        Is called when GNU Health answers again.
    """

    def __init__(
            self, worklist: Worklist, settings: Settings,
            recovered: Callable[[], None] = lambda: None):
        self._recovered = recovered
        self._worklist = worklist
        self._interval = settings.refresh_interval
        self._stopping = threading.Event()
        self._told: tuple[str | None, str] | None = None
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            # It may wait for GNU Health: Orthanc does not wait for it.
            self._thread.join(1)
        self._worklist.save()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            trouble = self._refresh()
            if not self._stopping.is_set():
                self._tell(trouble)
            # A GNU Health in trouble is asked less often.
            pause = min(2 * pause, 10 * self._interval) if trouble \
                else self._interval
            self._stopping.wait(pause)

    def _refresh(self) -> str | None:
        """Return what was wrong, None if nothing."""
        try:
            self._worklist.refresh()
        except (HttpError, ListError) as error:
            return str(error)
        # Whatever it is, the thread goes on; the text might hold data.
        except Exception as error:
            return _place(error)
        return None

    def _tell(self, trouble: str | None) -> None:
        """Log when something begins and when it ends."""
        state = self._worklist.state
        if trouble and self._told != (trouble, state):
            orthanc.LogError(
                f"{SECTION}: no list from GNU Health, {trouble}; {state}")
        elif not trouble and (self._told is None or self._told[0]):
            orthanc.LogWarning(f"{SECTION}: GNU Health answers, {state}")
            self._recovered()
        self._told = trouble, state


def _place(error: Exception) -> str:
    """Return the kind of an error and where it arose, without its text."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return (f'{type(error).__name__} in line '
        f'{trace.tb_lineno if trace else "?"}')


# --- What GNU Health has not been told yet ------------------------------

QUEUE_VERSION = 1
SCHEMA = [
    """CREATE TABLE state (name TEXT PRIMARY KEY, value)""",
    """CREATE TABLE pending (
        study TEXT NOT NULL PRIMARY KEY,
        number INTEGER NOT NULL,
        reason TEXT NOT NULL,
        first_seen REAL NOT NULL,
        changed REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0)""",
    """CREATE INDEX pending_number ON pending (refused, number)""",
    f"""PRAGMA user_version = {QUEUE_VERSION}""",
    ]
PUT = """
    INSERT INTO pending (number, study, reason, first_seen, changed, due)
        VALUES (:number, :study, :reason, :now, :now, :due)
        ON CONFLICT (study) DO UPDATE SET
            number = :number, reason = :reason, changed = :now, due = :due,
            attempts = 0, refused = 0"""
DAY = 24 * 60 * 60
FIRST_PAUSE, LAST_PAUSE = 2, 5 * 60
# Beyond the last number of any change
NO_CURSOR = 2**62


@dataclass(frozen=True)
class Waiting:
    """An event that GNU Health is to be told; one for each study.

    Attributes
    ----------
    event
        What it is called by, also when it is told again.
    study
        The id in Orthanc.
    changed
        When it happened, in seconds since 1970.
    attempts
        How often it was told, in vain.
    refused
        GNU Health has refused it by itself.
    """
    event: str
    study: str
    changed: float
    attempts: int
    refused: bool


@dataclass(frozen=True)
class Scan:
    """A look at all studies, for those updated `since` (Orthanc's UTC)."""
    since: str
    position: int


class Queue:
    """The file of what GNU Health has not been told yet.

    It outlives Orthanc and the machine: each method is one transaction that
    is on disk when it returns.  It holds ids and times only.  Threads may
    share it.

    Raises
    ------
    OSError, sqlite3.Error
        By every method; the next one tries with the file opened anew.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.time):
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    # -- where in Orthanc's changes we are

    @property
    def cursor(self) -> int | None:
        """The number of the last change that was read, None at first."""
        with self._transaction() as execute:
            return _state(execute, 'cursor')

    def follow(
            self, cursor: int, contact: str, stable: Iterable[str] = (),
            growing: Iterable[str] = (), quiet: float = 0) -> None:
        """Add what some changes tell, and go on to `cursor`.

        Parameters
        ----------
        contact
            Orthanc's time of the last of these changes.
        stable
            Studies that GNU Health shall be told of now.
        growing
            Those that it shall be told of when there was nothing new of them
            for `quiet` seconds.
        """
        with self._transaction() as execute:
            self._put(execute, growing, 'growing', quiet)
            self._put(execute, stable, 'stable')
            _set_state(execute, cursor=cursor, contact=contact)

    def put(self, studies: Iterable[str], reason: str) -> None:
        """Add studies that GNU Health shall be told of now."""
        with self._transaction() as execute:
            self._put(execute, studies, reason)

    def start(self, quiet: float) -> None:
        """Make everything due; what was growing after `quiet` seconds.

        Orthanc was started: it will not call what it held before stable.
        """
        with self._transaction() as execute:
            execute("""
                UPDATE pending SET attempts = 0, refused = 0,
                    due = CASE reason WHEN 'growing' THEN ? ELSE ? END""",
                [self._clock() + quiet, self._clock()])

    # -- looking at all studies

    @property
    def scan(self) -> Scan | None:
        """The look at all studies that is not finished."""
        with self._transaction() as execute:
            since = _state(execute, 'scan')
            return since and Scan(since, _state(execute, 'position'))

    def start_scan(self, cursor: int | None = None) -> None:
        """Look at all studies for those updated since the last change read.

        Parameters
        ----------
        cursor
            Where to go on with the changes, if not where we are.
        """
        with self._transaction() as execute:
            contact = _state(execute, 'contact')
            _set_state(
                execute, position=0,
                scan=min(_state(execute, 'scan') or contact, contact))
            if cursor is not None:
                _set_state(execute, cursor=cursor)

    def scanned(
            self, position: int | None, stable: Iterable[str],
            growing: Iterable[str], quiet: float) -> None:
        """Add what was found, and go on at `position`; end with None."""
        with self._transaction() as execute:
            self._put(execute, growing, 'growing', quiet)
            self._put(execute, stable, 'found')
            if position is None:
                _set_state(execute, scan=None)
            _set_state(execute, position=position)

    # -- telling

    def due(self, limit: int) -> list[Waiting]:
        """Return what is to be told now, the oldest first.

        What was refused comes last, and each by itself.
        """
        now = self._clock()
        with self._transaction() as execute:
            name = _state(execute, 'name')
            # What lies far ahead does so because the clock was set back.
            rows = execute("""
                SELECT number, study, changed, attempts, refused FROM pending
                    WHERE due <= ? OR due > ?
                    ORDER BY refused, number LIMIT ?""",
                [now, now + 2 * DAY, limit]).fetchall()
        found = [
            Waiting(f'{name}-{number}', *values, bool(refused))
            for number, *values, refused in rows]
        return [one for one in found if not one.refused] or found[:1]

    def pause(self) -> float:
        """Return the seconds until something is due."""
        with self._transaction() as execute:
            (due,), = execute("SELECT min(due) FROM pending").fetchall()
        return math.inf if due is None else max(due - self._clock(), 0)

    def count(self) -> tuple[int, float]:
        """Return how many studies wait, and since when the first does."""
        with self._transaction() as execute:
            row, = execute(
                "SELECT count(*), min(first_seen) FROM pending").fetchall()
        return row

    def remove(self, told: Iterable[Waiting]) -> None:
        """Forget what was told, unless there is something newer."""
        with self._transaction() as execute:
            for one in told:
                execute("DELETE FROM pending WHERE study = ? AND number = ?",
                    _key_of(one))

    def postpone(self, failed: Iterable[Waiting]) -> None:
        """Try these again later, the later the more often it failed."""
        self._postpone(failed, 0, FIRST_PAUSE, LAST_PAUSE)

    def refuse(self, refused: Waiting) -> None:
        """Put aside what GNU Health refuses; try it at least once a day."""
        self._postpone([refused], 1, LAST_PAUSE, DAY)

    def _postpone(
            self, failed: Iterable[Waiting], refused: int, first: float,
            last: float) -> None:
        with self._transaction() as execute:
            for one in failed:
                pause = first * 2 ** min(one.attempts, 20)
                execute("""
                    UPDATE pending
                        SET attempts = attempts + 1, refused = ?, due = ?
                        WHERE study = ? AND number = ?""",
                    [refused, self._clock() + min(pause, last),
                        *_key_of(one)])

    # -- the file

    def _put(
            self, execute: Execute, studies: Iterable[str], reason: str,
            quiet: float = 0) -> None:
        number = _state(execute, 'number')
        now = self._clock()
        for study in studies:
            number += 1
            execute(PUT, {
                    'number': number, 'study': study, 'reason': reason,
                    'now': now, 'due': now + quiet})
        _set_state(execute, number=number)

    @contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection.execute
            except sqlite3.Error:
                self.close()
                raise

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # It holds no database, or a damaged one.
            used = os.stat(self._path).st_mtime
            self._set_aside()
        connection = self._connect()
        with connection:
            _set_state(connection.execute, cursor=NO_CURSOR,
                contact=orthanc_time(used - DAY))
        return connection

    def _connect(self) -> sqlite3.Connection:
        # Those that SQLite makes beside it get its mode.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        damaged = f'{self._path}.damaged'
        os.replace(self._path, damaged)
        for suffix in ['-wal', '-shm']:
            if os.path.exists(self._path + suffix):
                os.unlink(self._path + suffix)
        orthanc.LogError(
            f"{SECTION}: the notification file is damaged, it is kept as"
            f" {os.path.basename(damaged)}; GNU Health is told anew of the"
            " studies since a day before its last use")


Execute = Callable[..., sqlite3.Cursor]


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (found,), = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != 'ok':
        raise sqlite3.DatabaseError("damaged")
    (version,), = connection.execute("PRAGMA user_version").fetchall()
    if version == 0:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA:
                connection.execute(statement)
            _set_state(
                connection.execute, name=secrets.token_hex(8), number=0)
    elif version != QUEUE_VERSION:
        raise sqlite3.DatabaseError("of another version")


def _state(execute: Execute, name: str) -> object:
    row = execute("SELECT value FROM state WHERE name = ?", [name]).fetchone()
    return row and row[0]


def _set_state(execute: Execute, **values: object) -> None:
    for item in values.items():
        execute("INSERT OR REPLACE INTO state VALUES (?, ?)", item)


def _key_of(one: Waiting) -> tuple[str, int]:
    return one.study, int(one.event.rpartition('-')[2])


def orthanc_time(seconds: float) -> str:
    """Return a time as Orthanc writes it, in UTC."""
    return time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))


# --- What Orthanc knows -------------------------------------------------

MAXIMUM_TEXTS = 300
MAXIMUM_TEXT = 128
MAXIMUM_VALUE = 1024
MAXIMUM_SERIES = 500
REQUEST_ATTRIBUTES = '0040,0275'
STUDY_TAGS = {
    'StudyInstanceUID': '0020,000d',
    'PatientID': '0010,0020',
    'IssuerOfPatientID': '0010,0021',
    'OtherPatientIDs': '0010,1000',
    'PatientName': '0010,0010',
    'PatientBirthDate': '0010,0030',
    'PatientSex': '0010,0040',
    'AccessionNumber': '0008,0050',
    'StudyID': '0020,0010',
    'StudyDate': '0008,0020',
    'StudyTime': '0008,0030',
    'StudyDescription': '0008,1030',
    'RequestedProcedureDescription': '0032,1060',
    'ReferringPhysicianName': '0008,0090',
    'InstitutionName': '0008,0080',
    }
SERIES_TAGS = {
    'SeriesInstanceUID': '0020,000e',
    'Modality': '0008,0060',
    'SeriesDescription': '0008,103e',
    'StationName': '0008,1010',
    'PerformedStationAETitle': '0040,0241',
    'PerformedProcedureStepID': '0040,0253',
    'PerformedProcedureStepStartDate': '0040,0244',
    'PerformedProcedureStepStartTime': '0040,0245',
    }
REQUEST_TAGS = {
    'RequestedProcedureID': '0040,1001',
    'ScheduledProcedureStepID': '0040,0009',
    'AccessionNumber': '0008,0050',
    'StudyInstanceUID': '0020,000d',
    }


class ArchiveError(Exception):
    """Orthanc does not tell; the text holds no data."""


@dataclass(frozen=True)
class Changes:
    """Some of Orthanc's changes, in order.

    Attributes
    ----------
    last
        The number of the last one; without any, the highest ever given.
    complete
        Whether none is missing since the one before: those of what was
        deleted vanish, and anybody may clear the log.
    """
    entries: Sequence[Mapping]
    last: int
    done: bool
    complete: bool

    def ids(self, *kinds: str) -> list[str]:
        """Return each resource that such a change is about once."""
        return list(dict.fromkeys(
                entry['ID'] for entry in self.entries
                if entry['ChangeType'] in kinds))


class Archive:
    """What Orthanc tells a plugin of its content; not after `close`."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    def changes(self, since: int, limit: int) -> Changes:
        data = self._get(f'/changes?since={since}&limit={limit}')
        entries, last = data['Changes'], data['Last']
        return Changes(
            entries, last, data['Done'], last - since == len(entries))

    def counter(self) -> int:
        """Return the highest number that was ever given to a change."""
        last = self.changes(NO_CURSOR, 1).last
        if last >= NO_CURSOR:
            last = self._get('/changes?last')['Last']
        return last

    def page(self, since: int, limit: int) -> list[dict]:
        """Return some studies; the order is that of their creation."""
        return self._get(f'/studies?expand&since={since}&limit={limit}')

    def studies(self, ids: Collection[str]) -> list[dict]:
        """Return the studies that resources belong to, each once.

        What is gone has none.
        """
        return self._many({
                'Resources': list(ids), 'Level': 'Study', 'Metadata': False})

    def series(self, ids: Collection[str]) -> list[dict]:
        return self._many({'Resources': list(ids), 'Metadata': False})

    def tags(self, instance: str) -> dict[str, object]:
        """Return tag → text, or list of items; nothing if there is none."""
        try:
            return self._get(f'/instances/{instance}/tags?short')
        except ArchiveError:
            # Deleted a moment ago, or its file cannot be read.
            return {}

    def _many(self, question: dict) -> list[dict]:
        if not question['Resources']:
            return []
        return self._ask(
            orthanc.RestApiPost, '/tools/bulk-content', json.dumps(question))

    def _get(self, path: str) -> object:
        return self._ask(orthanc.RestApiGet, path)

    def _ask(self, function: Callable[..., bytes], *arguments: str) -> object:
        if self.closed:
            raise ArchiveError("Orthanc stops")
        try:
            return json.loads(
                function(*arguments).decode('utf-8', 'replace'), strict=False)
        # What Orthanc raises depends on its version.
        except Exception as error:
            raise ArchiveError(
                f"Orthanc does not answer ({type(error).__name__})"
                ) from None


def study_facts(archive: Archive, study: Mapping) -> dict[str, object]:
    """Return what GNU Health needs to find patient and order of a study."""
    first, series, texts = {}, [], {}
    for one in archive.series(study['Series'][:MAXIMUM_SERIES]):
        instances = one['Instances']
        tags = archive.tags(instances[0]) if instances else {}
        first = first or tags
        series.append(_series_facts(one, tags))
        texts.update(dict.fromkeys(_texts(tags)))
    main = {**study['PatientMainDicomTags'], **study['MainDicomTags']}
    return {
        **_named(STUDY_TAGS, main, first),
        'IsStable': study['IsStable'],
        'LastUpdate': study.get('LastUpdate', ''),
        'Series': series,
        'Texts': list(texts)[:MAXIMUM_TEXTS],
        }


def _series_facts(series: Mapping, tags: Item) -> dict[str, object]:
    items = tags.get(REQUEST_ATTRIBUTES)
    return {
        'ID': series['ID'],
        **_named(SERIES_TAGS, series['MainDicomTags'], tags),
        'Instances': len(series['Instances']),
        'RequestAttributes': [
            _named(REQUEST_TAGS, {}, item)
            for item in (items if isinstance(items, list) else [])[:20]],
        }


def _named(
        names: Mapping[str, str], main: Mapping, tags: Item
        ) -> dict[str, str]:
    """Return keyword → value, of those that have one."""
    values = {
        name: main.get(name) or tags.get(tag) for name, tag in names.items()}
    return {
        name: value[:MAXIMUM_VALUE] for name, value in values.items()
        if isinstance(value, str) and value}


def _texts(tags: Item) -> list[str]:
    """Return the values of an image that may name its order."""
    return [
        value for tag, value in tags.items()
        if isinstance(value, str) and 0 < len(value) <= MAXIMUM_TEXT
        # How the pixels are stored
        and not tag.startswith('0028,')]


# --- Telling GNU Health -------------------------------------------------

NOTIFY_ROUTE = 'orthanc/notify'
NOTIFY_VERSION = 1
MAXIMUM_EVENTS = 20
MAXIMUM_BODY = 1_000_000  # bytes
MAXIMUM_EVENT = 900_000
CHANGES_PAGE = 500
SCAN_PAGE = 100
# How many studies of a page are read again, for where some were deleted
# meanwhile all others have moved.
SCAN_OVERLAP = 10
PAGES_AT_ONCE = 20
MAXIMUM_UNSAVED = 100_000
# Seconds
LOOK = 5
GATHER = 0.2
QUIET = 30
QUIET_AT_START = 2


class Follower:
    """Finds out what has happened in Orthanc since the last time."""

    def __init__(self, settings: Settings, queue: Queue, archive: Archive,
            clock: Callable[[], float] = time.time):
        self._stable_age = settings.stable_age
        self._queue = queue
        self._archive = archive
        self._clock = clock
        self._starting = True
        self._lock = threading.Lock()
        self._stable: set[str] = set()
        self._deleted: deque[str] = deque(maxlen=MAXIMUM_UNSAVED)

    # -- called by Orthanc

    def add_stable(self, study: str) -> None:
        """Remember it for the case that the log of changes is cleared."""
        with self._lock:
            self._stable.add(study)

    def add_deleted(self, study: str) -> None:
        """Write it down: Orthanc keeps no trace of what is deleted."""
        with self._lock:
            self._deleted.append(study)
        self._save_deleted()

    def _save_deleted(self) -> None:
        with self._lock:
            if self._deleted:
                self._queue.put(self._deleted, 'deleted')
                self._deleted.clear()

    # -- called by our thread

    def follow(self) -> bool:
        """Queue what has happened; return whether there is more of it."""
        self._save_deleted()
        if self._starting:
            self._queue.start(self._quiet)
        with self._lock:
            stable = set(self._stable)
        more = self._read_changes(stable) or self._scan()
        with self._lock:
            self._stable -= stable
        return more

    @property
    def _quiet(self) -> float:
        """How long nothing more must come of what is not called stable.

        Orthanc calls a study stable after StableAge, but never those that
        it held when it was killed.
        """
        return self._stable_age + (
            QUIET_AT_START if self._starting else QUIET)

    def _read_changes(self, stable: set[str]) -> bool:
        cursor = self._begin()
        for _ in range(PAGES_AT_ONCE):
            changes = self._archive.changes(cursor, CHANGES_PAGE)
            if changes.last < cursor:
                # Another database, or an older state of it.
                self._queue.start_scan(changes.last)
                break
            if not changes.complete:
                self._bridge(stable)
            if changes.last > cursor:
                self._add(changes)
            cursor = changes.last
            if changes.done:
                break
        else:
            return True
        self._starting = False
        return False

    def _begin(self) -> int:
        """Return where to go on; the very first time from now on."""
        cursor = self._queue.cursor
        if cursor is None:
            cursor = self._archive.counter()
            self._queue.follow(cursor, orthanc_time(self._clock()))
        return cursor

    def _bridge(self, stable: set[str]) -> None:
        """Make up for changes that are gone from the log."""
        if self._starting:
            self._queue.start_scan()
        elif stable:
            self._queue.put(stable, 'stable')

    def _add(self, changes: Changes) -> None:
        stable = changes.ids('StableStudy')
        grown = self._archive.studies(
            changes.ids('NewInstance', 'NewSeries', 'NewStudy'))
        growing = [
            study['ID'] for study in grown
            if not (study['IsStable'] and study['ID'] in stable)]
        self._queue.follow(
            changes.last,
            changes.entries[-1]['Date'] if changes.entries
            else orthanc_time(self._clock()),
            [study for study in stable if study not in growing],
            growing, self._quiet)

    def _scan(self) -> bool:
        """Look at one more page of all studies, where there is reason to."""
        scan = self._queue.scan
        if not scan:
            return False
        start = max(scan.position - SCAN_OVERLAP, 0)
        page = self._archive.page(start, SCAN_PAGE)
        updated = [
            study for study in page
            if study.get('LastUpdate', '') >= scan.since]
        more = len(page) == SCAN_PAGE
        self._queue.scanned(
            start + len(page) if more else None,
            [study['ID'] for study in updated if study['IsStable']],
            [study['ID'] for study in updated if not study['IsStable']],
            self._quiet)
        return more


class Messenger:
    """Tells GNU Health what the queue holds."""

    def __init__(self, settings: Settings, queue: Queue, archive: Archive):
        self._server = settings.server
        self._queue = queue
        self._archive = archive
        self._gnuhealth = GnuHealth(settings)
        self._told_of: set[str] = set()

    def tell(self) -> bool:
        """Tell some of what is due; return whether there was any.

        Raises
        ------
        HttpError
            If GNU Health cannot be told now.
        """
        waiting = self._queue.due(MAXIMUM_EVENTS)
        if waiting:
            self._send(self._events(waiting))
        return bool(waiting)

    def _events(self, waiting: Sequence[Waiting]) -> dict[Waiting, bytes]:
        """Return as many events as fit into one request."""
        studies = {
            study['ID']: study
            for study in self._archive.studies(
                [one.study for one in waiting])}
        events, size = {}, MAXIMUM_BODY - MAXIMUM_EVENT
        for one in waiting:
            event = self._event(one, studies.get(one.study))
            if event is None:
                continue
            size += len(event) + 1
            if events and size > MAXIMUM_BODY:
                break
            events[one] = event
        return events

    def _event(self, one: Waiting, study: Mapping | None) -> bytes | None:
        """Return how the study is now; None if that cannot be read."""
        event = {
            'event': one.event,
            'kind': 'study' if study else 'deleted',
            'study': one.study,
            'at': _iso(one.changed),
            }
        try:
            if study:
                event['facts'] = study_facts(self._archive, study)
            return _fitting(event)
        # One that cannot be read must not hold up the others.
        except Exception as error:
            if self._archive.closed:
                raise
            self._queue.postpone([one])
            self._say_once(one, f"cannot be read ({_place(error)})")
            return None

    def _send(self, events: Mapping[Waiting, bytes]) -> None:
        if not events:
            return
        try:
            received = self._post(events.values())
        except HttpError as error:
            if error.status not in {400, 413}:
                raise
            self._send_each(events, error)
            return
        self._queue.remove(one for one in events if one.event in received)
        self._queue.postpone(
            one for one in events if one.event not in received)

    def _send_each(
            self, events: Mapping[Waiting, bytes], error: HttpError) -> None:
        """Find out which of them GNU Health refuses."""
        if len(events) > 1:
            for one, event in events.items():
                self._send({one: event})
            return
        one, = events
        self._queue.refuse(one)
        self._say_once(one, f"is refused by GNU Health, {error}")

    def _post(self, events: Iterable[bytes]) -> list[str]:
        """Return which events need not be told again."""
        head = json.dumps(
            {'server': self._server, 'plugin': NOTIFY_VERSION, 'events': 0})
        data = self._gnuhealth.post(
            NOTIFY_ROUTE, b'%s[%s]}' % (
                head[:-2].encode(), b','.join(events))).data
        received = data.get('received') if isinstance(data, dict) else None
        if not isinstance(received, list):
            raise HttpError("its answer does not tell what it has received")
        return received

    def _say_once(self, one: Waiting, words: str) -> None:
        if one.study not in self._told_of and len(self._told_of) < 1000:
            self._told_of.add(one.study)
            orthanc.LogError(
                f"{SECTION}: the notification of study {one.study} {words};"
                " it is tried again later")


def _fitting(event: dict) -> bytes:
    """Return it as JSON, with less of a study that is too large."""
    content = json.dumps(event).encode()
    while len(content) > MAXIMUM_EVENT:
        facts = event['facts']
        facts['Series'] = facts['Series'][:len(facts['Series']) // 2]
        content = json.dumps(event).encode()
    return content


class BackOff:
    """When GNU Health may be told again after it could not be."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        self._pause, self._until = FIRST_PAUSE, -math.inf

    def longer(self) -> None:
        self._until = self._clock() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)

    @property
    def rest(self) -> float:
        """Seconds that are left."""
        return max(self._until - self._clock(), 0)


class Notifier:
    """The thread that tells GNU Health; it says once what is wrong."""

    def __init__(self, settings: Settings):
        self._queue = Queue(settings.notification_file)
        self._archive = Archive()
        self._follower = Follower(settings, self._queue, self._archive)
        self._messenger = Messenger(settings, self._queue, self._archive)
        self._back_off = BackOff()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # What is wrong here, and what there
        self._fault: str | None = None
        self._refusal: str | None = None
        self._told: str | None = ''
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._archive.close()
        self._wake.set()
        if self._thread.is_alive():
            # It may wait for GNU Health: Orthanc does not wait for it.
            self._thread.join(1)

    def hurry(self) -> None:
        """GNU Health answers again: do not wait for the next attempt."""
        self._back_off.reset()
        self._wake.set()

    def on_study(self, change: int, study: str) -> None:
        """Take note of what Orthanc calls."""
        if change == orthanc.ChangeType.STABLE_STUDY:
            self._follower.add_stable(study)
            self._wake.set()
        elif change == orthanc.ChangeType.DELETED:
            try:
                self._follower.add_deleted(study)
            except (OSError, sqlite3.Error):
                # The thread tries it again, and tells what is wrong.
                pass
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._round()
            if self._stopping.is_set():
                break
            self._tell()
            if self._wake.wait(pause):
                # What comes together is told together.
                self._stopping.wait(GATHER)
                self._wake.clear()
        self._queue.close()

    def _round(self) -> float:
        """Do what there is to do; return the seconds until the next time."""
        self._fault = None
        more = self._guarded(self._follower.follow)
        if not self._back_off.rest:
            # Also where Orthanc's changes cannot be read.
            more = self._guarded(self._deliver) or more
        if more:
            return 0
        pause = self._guarded(self._queue.pause)
        return LOOK if self._fault else min(
            LOOK, max(pause, self._back_off.rest))

    def _guarded(self, function: Callable[[], object]) -> object:
        """Return what it returns; None if it fails, and remember why."""
        try:
            return function()
        except ArchiveError as error:
            self._fault = str(error)
        except (OSError, sqlite3.Error) as error:
            self._fault = (
                f"the notification file cannot be used: {_reason(error)}")
        # Whatever it is, the thread goes on; the text might hold data.
        except Exception as error:
            self._fault = _place(error)
        return None

    def _deliver(self) -> bool:
        """Tell GNU Health something; return whether there may be more."""
        try:
            if not self._messenger.tell():
                return False
        except HttpError as error:
            self._back_off.longer()
            self._refusal = str(error)
            return False
        self._back_off.reset()
        self._refusal = None
        return True

    def _tell(self) -> None:
        """Log when something begins and when it ends."""
        trouble = self._fault or self._refusal
        if trouble == self._told:
            return
        self._told = trouble
        if trouble:
            orthanc.LogError(
                f"{SECTION}: GNU Health is not told of studies, {trouble}"
                f"{self._waiting()}")
        else:
            orthanc.LogWarning(
                f"{SECTION}: GNU Health is told of studies{self._waiting()}")

    def _waiting(self) -> str:
        try:
            count, since = self._queue.count()
        except (OSError, sqlite3.Error):
            return ''
        return f"; {count} wait" + (
            f", the first since {_iso(since)}" if count else '')


def _iso(seconds: float) -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


# --- Orthanc ------------------------------------------------------------

class Plugin:
    """What Orthanc calls."""

    def __init__(
            self, settings: Settings, errors: Sequence[str] = ()):
        self._errors = errors
        self._told_cut: set[str] = set()
        self._worklist = self._refresher = self._notifier = None
        if errors:
            return
        if settings.notify:
            self._notifier = Notifier(settings)
        self._worklist = Worklist(settings)
        self._refresher = Refresher(
            self._worklist, settings,
            self._notifier.hurry if self._notifier else lambda: None)

    def load(self) -> None:
        if self._worklist:
            self._worklist.load()

    def on_worklist(
            self, answers: orthanc.WorklistAnswers,
            query: orthanc.WorklistQuery, calling: str, called: str) -> None:
        """Answer a modality.

        An exception is a failure for the modality.  Orthanc logs its text,
        therefore no other than these may leave.
        """
        try:
            self._answer(answers, query, calling)
        except (Unavailable, QueryError) as error:
            raise Unavailable(f"{SECTION}: {error}") from None
        except Exception as error:
            raise Unavailable(f"{SECTION}: {_place(error)}") from None

    def _answer(
            self, answers: orthanc.WorklistAnswers,
            query: orthanc.WorklistQuery, calling: str) -> None:
        if self._errors or not self._worklist:
            raise Unavailable("the configuration has errors")
        found, cut = self._worklist.find(
            _to_json(query.WorklistGetDicomQuery()), calling)
        for entry in found:
            answers.WorklistAddAnswer(query, entry.dicom)
        if cut:
            self._tell_cut(_printable(calling))
            answers.WorklistMarkIncomplete()

    def _tell_cut(self, calling: str) -> None:
        """Say once for each modality that it does not get all."""
        if calling not in self._told_cut and len(self._told_cut) < 100:
            self._told_cut.add(calling)
            orthanc.LogError(
                f"{SECTION}: Orthanc cannot compare the steps as {calling}"
                " asks for: answers are left out, and it is told so; load"
                " health_orthanc.lua as well")

    def on_change(self, change: int, level: int, resource: str) -> None:
        """Take note of what has happened in Orthanc; nothing slow here."""
        try:
            if change == orthanc.ChangeType.ORTHANC_STARTED:
                self._start()
            elif change == orthanc.ChangeType.ORTHANC_STOPPED:
                self._stop()
            elif self._notifier and level == orthanc.ResourceType.STUDY:
                self._notifier.on_study(change, resource)
        except Exception as error:
            orthanc.LogError(f"{SECTION}: {_place(error)}")

    def _start(self) -> None:
        for thread in filter(None, [self._refresher, self._notifier]):
            thread.start()

    def _stop(self) -> None:
        for thread in filter(None, [self._refresher, self._notifier]):
            thread.stop()


def _printable(calling: str) -> str:
    return re.sub(r'[^!-~]', '?', calling[:16])


def register() -> Plugin:
    """Read the configuration and take the calls of Orthanc."""
    configuration = json.loads(orthanc.GetConfiguration())
    settings, errors, doubts = read_settings(
        configuration,
        index_folder(configuration, orthanc.GetConfigurationPath()))
    for doubt in doubts:
        orthanc.LogWarning(f"{SECTION}: {doubt}")
    for error in errors:
        orthanc.LogError(f"{SECTION}: {error}")
    if errors:
        orthanc.LogError(
            f"{SECTION}: no worklist is served, and GNU Health is not told of"
            " studies, until this is mended")
    plugin = Plugin(settings, errors)
    plugin.load()
    orthanc.RegisterWorklistCallback(plugin.on_worklist)
    orthanc.RegisterOnChangeCallback(plugin.on_change)
    return plugin


register()
