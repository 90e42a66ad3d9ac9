# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Serve the worklist of GNU Health from Orthanc.

Orthanc's Python plugin loads this file.  A thread keeps a copy of GNU
Health's open steps; queries of modalities are answered from that copy, so
that they neither wait for GNU Health nor depend on it.

It needs Python 3.9 and its standard library.  What it logs names steps by
their number in GNU Health and never holds data of patients.
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
import socket
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orthanc

# --- Configuration ------------------------------------------------------

SECTION = 'HealthOrthanc'
CACHE_NAME = 'health_orthanc-worklist.json'


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
    }
NUMBER_KEYS = {
    'RefreshInterval': 'refresh_interval',
    'Timeout': 'timeout',
    'MaximumAge': 'maximum_age',
    }
FLAG_KEYS = {'FilterCallingAet': 'filter_calling_aet'}
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
    """GNU Health has not answered as it should; the text says how."""


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
            If there is no complete answer of at most `MAXIMUM_ANSWER` bytes
            within the time limit, or it is not JSON.
        """
        deadline = time.monotonic() + self._settings.timeout
        try:
            with self._opener.open(
                    self._request(path, query, etag),
                    timeout=self._settings.timeout) as response:
                body = _read(response, deadline)
                return Answer(_from_json(body), response.headers.get('ETag'))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 304 and etag is not None:
                return None
            raise HttpError(_status_text(error.code)) from None
        except (OSError, ValueError, http.client.HTTPException,
                zlib.error) as error:
            raise HttpError(_network_text(error)) from None

    def _request(
            self, path: str, query: Mapping[str, object],
            etag: str | None) -> urllib.request.Request:
        database = urllib.parse.quote(self._settings.database, safe='')
        request = urllib.request.Request(
            f'{self._settings.url}/{database}/{path}'
            f'?{urllib.parse.urlencode(query)}',
            headers={
                'Authorization': f'bearer {self._key()}',
                'Accept': 'application/json',
                'Accept-Encoding': 'gzip',
                })
        if etag is not None:
            request.add_header('If-None-Match', etag)
        return request

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
        401: "it refuses the key",
        403: "it refuses the key's user",
        404: "it knows no such database or route",
        }
    return f'{texts.get(code, "it cannot serve the list")} (status {code})'


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
    """The thread that keeps the list fresh; it says once what is wrong."""

    def __init__(self, worklist: Worklist, settings: Settings):
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
        self._told = trouble, state


def _place(error: Exception) -> str:
    """Return the kind of an error and where it arose, without its text."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return (f'{type(error).__name__} in line '
        f'{trace.tb_lineno if trace else "?"}')


# --- Orthanc ------------------------------------------------------------

class Plugin:
    """What Orthanc calls."""

    def __init__(
            self, settings: Settings, errors: Sequence[str] = ()):
        self._errors = errors
        self._told_cut: set[str] = set()
        self._worklist = self._refresher = None
        if not errors:
            self._worklist = Worklist(settings)
            self._refresher = Refresher(self._worklist, settings)

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
        if change == orthanc.ChangeType.ORTHANC_STARTED and self._refresher:
            self._refresher.start()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED \
                and self._refresher:
            self._refresher.stop()


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
            f"{SECTION}: no worklist is served until this is mended")
    plugin = Plugin(settings, errors)
    plugin.load()
    orthanc.RegisterWorklistCallback(plugin.on_worklist)
    orthanc.RegisterOnChangeCallback(plugin.on_change)
    return plugin


register()
