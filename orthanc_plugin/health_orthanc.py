# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
# gnuhealth-orthanc 5.0.50
# Built from orthanc_plugin/src by ./dev build; do not edit
"""Worklists and notifications of GNU Health, as a plugin of Orthanc.

Orthanc's Python plugin loads this file.  One thread keeps a copy of the open
steps in GNU Health; queries of modalities are answered from this copy, so
that they do not depend on GNU Health.  Another thread follows Orthanc's
changes and notifies GNU Health of each study that has arrived, has grown or
was deleted; notifications that are pending are stored in a file.

It needs Python 3.9 and its standard library.
"""
from __future__ import annotations

import base64
import binascii
import datetime as dt
import difflib
import functools
import http.client
import json
import logging
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
import traceback
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
from typing import Any, Protocol, TypeVar

import orthanc

# --- errors -----------------------------------------------------------
# Errors described without values that may hold patient data.

# The innermost frames of an error that are named
MAXIMUM_FRAMES = 12


def describe_error(error: Exception) -> str:
    """Return the text of an error of the operating system."""
    return getattr(error, 'strerror', None) or str(error)


def locate_error(error: Exception) -> str:
    """Return the type of an error and the frames that it passed.

    Neither its text nor values are in it.
    """
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), limit=-MAXIMUM_FRAMES,
        lookup_lines=False)
    found = ' > '.join(
        f'{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}'
        for frame in frames)
    return f'{type(error).__name__} in {found or "?"}'


# --- host -------------------------------------------------------------
# The functions of Orthanc that the plugin calls.


class Host(Protocol):
    """An Orthanc that has loaded the plugin.

    Each method may raise any exception: what Orthanc raises depends on its
    version.
    """

    def get(self, path: str) -> bytes:
        """Return the answer of Orthanc's REST API to a GET request."""

    def post(self, path: str, body: str) -> bytes:
        """Return the answer of Orthanc's REST API to a POST request."""

    def dicom_to_json(self, dicom: bytes) -> str:
        """Return a DICOM file as JSON: tag → text, or list of items."""


class WorklistQuery(Protocol):
    """A query, as Orthanc passes it to the plugin."""

    def WorklistGetDicomQuery(self) -> bytes:
        """Return its DICOM file."""


class WorklistConnection(Protocol):
    """Where a query comes from (Orthanc 1.12.10)."""

    def GetConnectionRemoteAet(self) -> str:
        """Return the AE title of the modality."""

    def GetConnectionCalledAet(self) -> str:
        """Return the AE title that it has called."""

    def GetConnectionRemoteIp(self) -> str:
        """Return its IP address."""


class WorklistAnswers(Protocol):
    """The answers to a query, as Orthanc passes them to the plugin."""

    def WorklistAddAnswer(self, query: WorklistQuery, dicom: bytes) -> None:
        """Add a worklist file."""

    def WorklistMarkIncomplete(self) -> None:
        """End with the DICOM status Cancel."""


# --- settings ---------------------------------------------------------
# The plugin's section of Orthanc's configuration.

SECTION = 'HealthOrthanc'
CACHE_NAME = 'health_orthanc-worklist.json'
QUEUE_NAME = 'health_orthanc-notifications.db'


@dataclass(frozen=True)
class Settings:
    """The configuration of the plugin.

    Attributes
    ----------
    url, database
        URL and database of GNU Health.
    key, key_file
        The application key of the plugin's user, or the file that holds it.
    server
        The identifier of this Orthanc in GNU Health.
    notify
        Whether notifications of studies are sent to GNU Health.
    notification_file
        Where the notifications are stored that GNU Health has not received.
    stable_age
        Orthanc's own option StableAge, in seconds.
    refresh_interval, timeout, maximum_age
        In seconds.
    ca_file
        The authorities that GNU Health's certificate is verified with; those
        of the system if empty.
    filter_calling_aet
        Serve a modality only the steps of its own AE title.
    cache_file
        Where the worklist is stored while Orthanc is stopped; it is not
        stored if empty.
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
        """Identifies the database that a worklist comes from."""
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
    """Return the settings with their errors and warnings.

    Parameters
    ----------
    configuration
        The whole configuration of Orthanc.
    folder
        The folder of Orthanc's index, which relative paths start from.
    """
    section = configuration.get(SECTION)
    if not isinstance(section, Mapping):
        return Settings(), [f'the section "{SECTION}" is missing'], []
    values, errors = _read_values(section)
    errors += _find_missing(section)
    values['url'] = values.get('url', '').rstrip('/')
    errors += _check_url(values['url'])
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
        errors += _check_files(settings)
    warnings = [_describe_unknown(key) for key in section if key not in KEYS]
    return settings, errors, warnings + _find_risks(settings, configuration)


def _read_values(section: Mapping) -> tuple[dict[str, Any], list[str]]:
    """Return values by the attributes of `Settings`, and errors of type."""
    values: dict[str, Any] = {}
    errors = []
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


def _find_missing(section: Mapping) -> Iterator[str]:
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


def _check_url(url: str) -> Iterator[str]:
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
        yield '"Url" must not contain a user or a password'


def _check_files(settings: Settings) -> Iterator[str]:
    try:
        read_key(settings)
    except (OSError, ValueError) as error:
        yield describe_key_error(settings, error)
    try:
        create_tls_context(settings)
    except (OSError, ValueError) as error:
        yield f'"CaFile" cannot be used: {describe_error(error)}'


def _describe_unknown(key: str) -> str:
    similar = difflib.get_close_matches(key, KEYS, 1)
    hint = f'; did you mean "{similar[0]}"?' if similar else ''
    return f'"{key}" is unknown{hint}'


def _find_risks(settings: Settings, configuration: Mapping) -> list[str]:
    risks = []
    if configuration[SECTION].get('Notify', True) and not settings.server:
        risks.append(
            '"Server" is missing: no notifications are sent to GNU Health')
    if settings.key_file and _readable_by_all(settings.key_file):
        risks.append(
            '"KeyFile" can be read by every user of this machine')
    parts = urllib.parse.urlsplit(settings.url) if settings.url else None
    if parts and parts.scheme == 'http' and parts.hostname not in {
            'localhost', '127.0.0.1', '::1'}:
        risks.append(
            '"Url" is not https: key and patient data are sent unencrypted')
    worklists = configuration.get('Worklists')
    if isinstance(worklists, Mapping) and worklists.get('Enable') is True:
        risks.append(
            "Orthanc's own worklists plugin is enabled, and only one plugin"
            ' answers queries: set "Worklists": {"Enable": false}')
    if configuration.get('DefaultEncoding') != 'Utf8':
        risks.append(
            '"DefaultEncoding" of Orthanc is not "Utf8": names in other'
            " scripts are lost")
    return risks


def _readable_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


def read_key(settings: Settings) -> str:
    """Return the application key.

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
        raise ValueError("it holds no key")
    return key


def describe_key_error(settings: Settings, error: Exception) -> str:
    name = 'KeyFile' if settings.key_file else 'Key'
    return f'"{name}" cannot be used: {describe_error(error)}'


def create_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what certificates are verified with, None without TLS.

    Raises
    ------
    OSError, ValueError
        If the file of the authorities cannot be used.
    """
    if not settings.url.startswith('https:'):
        return None
    return ssl.create_default_context(cafile=settings.ca_file or None)


def index_folder(configuration: Mapping, path: str) -> str:
    """Return the folder of Orthanc's index.

    Parameters
    ----------
    configuration
        The whole configuration of Orthanc.
    path
        Of the file or folder that the configuration was read from.
    """
    base = path if os.path.isdir(path) else os.path.dirname(path)
    folder = (configuration.get('IndexDirectory')
        or configuration.get('StorageDirectory') or 'OrthancStorage')
    return os.path.abspath(os.path.join(base, folder))


# --- log --------------------------------------------------------------
# The log of the plugin.
#
# Lines name steps by their number in GNU Health and studies by their id in
# Orthanc, and never hold patient data.

log = logging.getLogger(SECTION)


# --- matching ---------------------------------------------------------
# Matching of worklist queries (PS3.4 C.2.2.2).

STEPS = '0040,0100'
START_DATE = '0040,0002'
START_TIME = '0040,0003'
STATION = '0040,0001'
ZONE = '0008,0201'
# The key in which health_orthanc.lua passes those of the step's item.
HANDED_OVER = '0040,0270'

# The keys that can be matched, with their value representations.
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
    '0032,1070': 'LO',  # RequestedContrastAgent
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
    '0040,0012': 'LO',  # PreMedication
    '0040,0020': 'CS',  # ScheduledProcedureStepStatus
    '0040,0100': 'SQ',  # ScheduledProcedureStepSequence
    '0040,1001': 'SH',  # RequestedProcedureID
    '0040,1002': 'LO',  # ReasonForTheRequestedProcedure
    '0040,1003': 'SH',  # RequestedProcedurePriority
    '0040,1004': 'LO',  # PatientTransportArrangements
    '0040,1400': 'LT',  # RequestedProcedureComments
    '0040,3001': 'LO',  # ConfidentialityConstraintOnPatientDataDescription
    }
# Keys that may have a value in a query, but are not for matching.
KEYS_IGNORED = {
    '0008,0005',  # SpecificCharacterSet
    ZONE,
    }
WITHOUT_WILDCARDS = {'DS', 'UI', 'US'}

Dataset = Mapping[str, Any]
Test = Callable[[str], bool]
DatasetTest = Callable[[Dataset], bool]


class QueryError(Exception):
    """A query is not valid; the text names the key, not its value."""


def compile_query(
        asked: Dataset, case_sensitive: bool = False,
        ignored: Callable[[str], None] = lambda tag: None) -> DatasetTest:
    """Return a function that tests whether a dataset matches a query.

    Parameters
    ----------
    asked
        The keys: tag → value, for sequences a list of items.
    case_sensitive
        Whether names of people (PN) are compared case-sensitively, as all
        other texts are.
    ignored
        Called with each key that has a value but is not supported.

    Raises
    ------
    QueryError
        If a date, a time or a time zone is not valid.
    """
    zone = asked.get(ZONE)
    if isinstance(zone, str) and not _is_universal(zone):
        return _compile_zone(zone.strip(' \0'), compile_query(
                {tag: value for tag, value in asked.items() if tag != ZONE},
                case_sensitive, ignored))
    asked = {
        tag: value for tag, value in asked.items()
        if tag not in KEYS_IGNORED and not _is_universal(value)}
    tests: list[DatasetTest] = []
    start = _compile_span(
        asked.get(START_DATE, ''), asked.get(START_TIME, ''))
    if start:
        tests.append(start)
        del asked[START_DATE], asked[START_TIME]
    for tag, value in asked.items():
        if tag not in KEYS_MATCHED:
            ignored(tag)
        elif KEYS_MATCHED[tag] == 'SQ':
            tests.append(_compile_sequence(
                    tag, [compile_query(item, case_sensitive, ignored)
                        for item in value]))
        else:
            tests.append(_compile_element(tag, value, case_sensitive))
    return all_of(tests)


def _compile_zone(zone: str, matches: DatasetTest) -> DatasetTest:
    """Return the test of a query whose dates and times are in a time zone.

    TimezoneOffsetFromUTC of the query holds for its dates and times, that of
    an item for the item's own (PS3.4 K.4.1.1.3).
    """
    asked = _parse_offset(zone)
    if asked is None:
        raise QueryError(f"the value of key {ZONE} is not a time zone")

    def test(item: Dataset) -> bool:
        own = _parse_offset(item.get(ZONE))
        if own is None or own == asked:
            return matches(item)
        return matches({**item, STEPS: [
                    _shift(step, asked - own)
                    for step in item.get(STEPS) or []]})
    return test


def _parse_offset(text: object) -> dt.timedelta | None:
    """Return an offset such as ``+0530``, None if it is not valid."""
    found = isinstance(text, str) and OFFSET.fullmatch(text.strip(' \0'))
    if not found:
        return None
    sign, hours, minutes = found.groups()
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
    return -offset if sign == '-' else offset


def _shift(step: Dataset, by: dt.timedelta) -> Dataset:
    """Return the item of a step with its start in another time zone."""
    try:
        date, _ = _parse_moment(START_DATE, str(step.get(START_DATE)))
        time, _ = _parse_moment(START_TIME, str(step.get(START_TIME)))
        start = dt.datetime.strptime(date + time, '%Y%m%d%H%M%S%f') + by
    except (QueryError, ValueError, OverflowError):
        # What has no valid start has none elsewhere.
        return step
    return {
        **step, START_DATE: f'{start:%Y%m%d}', START_TIME: f'{start:%H%M%S}'}


def _is_universal(value: object) -> bool:
    if isinstance(value, list):
        return all(
            _is_universal(part) for item in value for part in item.values())
    return not isinstance(value, str) or value.strip(' \0') in {'', '*'}


def all_of(tests: Sequence[DatasetTest]) -> DatasetTest:
    if len(tests) == 1:
        return tests[0]
    return lambda item: all(test(item) for test in tests)


def _compile_sequence(tag: str, items: Sequence[DatasetTest]) -> DatasetTest:
    def test(item: Dataset) -> bool:
        held = item.get(tag) or []
        return all(any(map(one, held)) for one in items)
    return test


def _compile_element(
        tag: str, value: str, case_sensitive: bool) -> DatasetTest:
    tests = _compile_values(tag, value, case_sensitive)

    def test(item: Dataset) -> bool:
        # One value of a multi-valued element is enough.
        for held in split_values(KEYS_MATCHED[tag], item.get(tag)):
            for one in tests:
                if one(held):
                    return True
        return False
    return test


def split_values(vr: str, value: object) -> list[str]:
    if not isinstance(value, str):
        return []
    values = [value] if vr == 'LT' else value.split('\\')
    return [part for part in (part.strip(' \0') for part in values) if part]


def _compile_values(tag: str, value: str, case_sensitive: bool) -> list[Test]:
    """Return a test for each value of a key; one of them must pass."""
    vr = KEYS_MATCHED[tag]
    values = split_values(vr, value)
    if vr == 'PN':
        return [_compile_name(one, case_sensitive) for one in values]
    if vr in {'DA', 'TM'}:
        return [_compile_range(tag, one) for one in values]
    if vr in WITHOUT_WILDCARDS:
        return [frozenset(values).__contains__]
    return [_compile_text(one) for one in values]


def _compile_text(pattern: str) -> Test:
    pattern = unicodedata.normalize('NFC', pattern)
    matches = compile_wildcards(pattern)
    return lambda text: matches(unicodedata.normalize('NFC', text))


def compile_wildcards(pattern: str) -> Test:
    """Return a function that compares texts with ``*`` and ``?`` (C.2.2.2.4).

    It needs time in proportion to the lengths of text and pattern: a regular
    expression could need exponential time.
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


def _compile_name(pattern: str, case_sensitive: bool) -> Test:
    """Return the test of a name (PN, PS3.5 6.2.1.1).

    A pattern of one component group may match any group of the name; of
    several groups, each is compared with its own.
    """
    patterns = [
        compile_wildcards(group) if group else None
        for group in _split_name(pattern, case_sensitive)]
    only = patterns[0] if len(patterns) == 1 else None

    def test(name: str) -> bool:
        groups = _split_name(name, case_sensitive)
        if only:
            return any(map(only, filter(None, groups)))
        return len(groups) >= len(patterns) and all(
            matches is None or matches(group)
            for matches, group in zip(patterns, groups))
    return test


@functools.lru_cache(maxsize=65536)
def _split_name(name: str, case_sensitive: bool) -> list[str]:
    name = unicodedata.normalize('NFC', name).rstrip('=')
    if not case_sensitive:
        name = unicodedata.normalize('NFC', name.casefold())
    return [group.strip(' ').rstrip('^') for group in name.split('=')]


OFFSET = re.compile(r'([+-])(\d\d)([0-5]\d)', re.A)
DATE = re.compile(r'(\d{4})\.?(\d\d)\.?(\d\d)', re.A)
TIME = re.compile(
    r'(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?', re.A)
FIRST_TIME, LAST_TIME = '000000000000', '235960999999'


def _parse_moment(tag: str, text: str) -> tuple[str, str]:
    """Return the first and the last moment of a date or time.

    A time without minutes or seconds covers all of them.

    Raises
    ------
    QueryError
        If the text is not valid.
    """
    pattern = DATE if KEYS_MATCHED[tag] == 'DA' else TIME
    found = pattern.fullmatch(text.strip(' \0'))
    if not found:
        raise QueryError(f"the value of key {tag} is not a date or time")
    digits = ''.join(group or '' for group in found.groups())
    if pattern is DATE:
        return digits, digits
    length = len(digits)
    return digits + FIRST_TIME[length:], digits + LAST_TIME[length:]


def _split_range(tag: str, text: str) -> tuple[str, str]:
    """Return the first and last moment of a range, ``''`` if it is open."""
    first, dash, last = text.partition('-')
    if not dash:
        return _parse_moment(tag, text)
    return (_parse_moment(tag, first)[0] if first.strip(' \0') else '',
        _parse_moment(tag, last)[1] if last.strip(' \0') else '')


def _compile_range(tag: str, text: str) -> Test:
    first, last = _split_range(tag, text)

    def test(held: str) -> bool:
        try:
            earliest, _ = _parse_moment(tag, held)
        except QueryError:
            return False
        return first <= earliest and (not last or earliest <= last)
    return test


def _compile_span(date: str, time: str) -> DatasetTest | None:
    """Return the test of a range of dates with a range of times.

    Together they are one span, from the first time on the first date to the
    last time on the last date (PS3.4 K.6.1.2.2).  None is returned if one of
    them is not a range.
    """
    if '-' not in date or '-' not in time:
        return None
    first_date, last_date = _split_range(START_DATE, date)
    first_time, last_time = _split_range(START_TIME, time)
    first = (first_date or '00000000') + (first_date and first_time)
    last = (last_date or '99999999') + (
        last_date and last_time or LAST_TIME)

    def test(item: Dataset) -> bool:
        try:
            moment = (
                _parse_moment(START_DATE, str(item.get(START_DATE)))[0]
                + _parse_moment(START_TIME, str(item.get(START_TIME)))[0])
        except QueryError:
            return False
        return first <= moment <= last
    return test


# --- times ------------------------------------------------------------
# Times as texts.


def format_orthanc_time(seconds: float) -> str:
    """Return a time as Orthanc writes it, in UTC."""
    return time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))


def format_iso_time(seconds: float) -> str:
    """Return a time as of ISO 8601, in UTC."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


# --- notification_queue -----------------------------------------------
# The file of the notifications that GNU Health has not received yet.

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
# Seconds before a notification is sent again
FIRST_PAUSE, LAST_PAUSE = 2, 5 * 60
# Beyond the number of any change in Orthanc
NO_CURSOR = 2**62

Execute = Callable[..., sqlite3.Cursor]


@dataclass(frozen=True)
class PendingEvent:
    """An event that GNU Health has to be notified of; one for each study.

    Attributes
    ----------
    event
        Its identifier, which is the same each time it is sent.
    study
        The id of the study in Orthanc.
    changed
        When it happened, in seconds since 1970.
    attempts
        How often sending it has failed.
    refused
        Whether GNU Health has refused this event.
    """
    event: str
    study: str
    changed: float
    attempts: int
    refused: bool


@dataclass(frozen=True)
class Scan:
    """A search through all studies for those updated since a time.

    Attributes
    ----------
    since
        That time, as Orthanc writes it, in UTC.
    position
        How many studies have been looked at.
    """
    since: str
    position: int


class NotificationQueue:
    """The queue of the events that GNU Health has to be notified of.

    It is an SQLite database that survives a crash of Orthanc and of the
    machine: each method is one transaction that is on disk when it returns.
    It holds ids and times only.  Threads may share it.

    Parameters
    ----------
    path
        Of the file.
    clock
        Returns the time in seconds since 1970.

    Raises
    ------
    OSError, sqlite3.Error
        By every method; the next call opens the file again.
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

    # -- the position in Orthanc's log of changes

    @property
    def cursor(self) -> int | None:
        """The number of the last change that was read, None at first."""
        with self._transaction() as execute:
            return _get_state(execute, 'cursor')

    def add_changes(
            self, cursor: int, contact: str, stable: Iterable[str] = (),
            growing: Iterable[str] = (), quiet: float = 0) -> None:
        """Add the studies of some changes, and advance to `cursor`.

        Parameters
        ----------
        contact
            Orthanc's time of the last of these changes.
        stable
            Studies that are due now.
        growing
            Studies that are due when nothing has been added to them for
            `quiet` seconds.
        """
        with self._transaction() as execute:
            self._add(execute, growing, 'growing', quiet)
            self._add(execute, stable, 'stable')
            _set_state(execute, cursor=cursor, contact=contact)

    def add(self, studies: Iterable[str], reason: str) -> None:
        """Add studies that are due now."""
        with self._transaction() as execute:
            self._add(execute, studies, reason)

    def make_due(self, quiet: float) -> None:
        """Make all events due; those of growing studies after `quiet` seconds.

        For the start of Orthanc, which does not report studies as stable that
        it held before.
        """
        with self._transaction() as execute:
            execute("""
                UPDATE pending SET attempts = 0, refused = 0,
                    due = CASE reason WHEN 'growing' THEN ? ELSE ? END""",
                [self._clock() + quiet, self._clock()])

    # -- the search through all studies

    @property
    def scan(self) -> Scan | None:
        """The search that is not finished."""
        with self._transaction() as execute:
            since = _get_state(execute, 'scan')
            return Scan(since, _get_state(execute, 'position')) \
                if since else None

    def start_scan(self, cursor: int | None = None) -> None:
        """Start a search for studies updated since the last change read.

        Parameters
        ----------
        cursor
            The new position in the log of changes, if it is another one.
        """
        with self._transaction() as execute:
            contact = _get_state(execute, 'contact')
            _set_state(
                execute, position=0,
                scan=min(_get_state(execute, 'scan') or contact, contact))
            if cursor is not None:
                _set_state(execute, cursor=cursor)

    def add_scanned(
            self, position: int | None, stable: Iterable[str],
            growing: Iterable[str], quiet: float) -> None:
        """Add the studies of a page of the search.

        Parameters
        ----------
        position
            Where the next page begins; None after the last page.
        stable, growing, quiet
            As of `add_changes`.
        """
        with self._transaction() as execute:
            self._add(execute, growing, 'growing', quiet)
            self._add(execute, stable, 'found')
            if position is None:
                _set_state(execute, scan=None)
            _set_state(execute, position=position)

    # -- sending

    def due(self, limit: int) -> list[PendingEvent]:
        """Return the events that are due, the oldest first.

        Events that were refused come after all others, one at a time.
        """
        now = self._clock()
        with self._transaction() as execute:
            name = _get_state(execute, 'name')
            # An event is far in the future if the clock was set back.
            rows = execute("""
                SELECT number, study, changed, attempts, refused FROM pending
                    WHERE due <= ? OR due > ?
                    ORDER BY refused, number LIMIT ?""",
                [now, now + 2 * DAY, limit]).fetchall()
        found = [
            PendingEvent(
                f'{name}-{number}', study, changed, attempts, bool(refused))
            for number, study, changed, attempts, refused in rows]
        return [event for event in found if not event.refused] or found[:1]

    def seconds_until_due(self) -> float:
        """Return the seconds until an event is due, infinity without any."""
        with self._transaction() as execute:
            (due,), = execute("SELECT min(due) FROM pending").fetchall()
        return math.inf if due is None else max(due - self._clock(), 0)

    def count(self) -> tuple[int, float | None]:
        """Return the number of events, and when the oldest was added."""
        with self._transaction() as execute:
            row, = execute(
                "SELECT count(*), min(first_seen) FROM pending").fetchall()
        return row

    def remove(self, received: Iterable[PendingEvent]) -> None:
        """Remove events, unless a newer one has replaced them."""
        with self._transaction() as execute:
            for event in received:
                execute("DELETE FROM pending WHERE study = ? AND number = ?",
                    _key_of(event))

    def postpone(self, failed: Iterable[PendingEvent]) -> None:
        """Make events due later, after a pause that doubles each time."""
        self._postpone(failed, 0, FIRST_PAUSE, LAST_PAUSE)

    def mark_refused(self, refused: PendingEvent) -> None:
        """Postpone an event that GNU Health refuses, for a day at most."""
        self._postpone([refused], 1, LAST_PAUSE, DAY)

    def _postpone(
            self, failed: Iterable[PendingEvent], refused: int, first: float,
            last: float) -> None:
        with self._transaction() as execute:
            for event in failed:
                pause = first * 2 ** min(event.attempts, 20)
                execute("""
                    UPDATE pending
                        SET attempts = attempts + 1, refused = ?, due = ?
                        WHERE study = ? AND number = ?""",
                    [refused, self._clock() + min(pause, last),
                        *_key_of(event)])

    # -- the file

    def _add(
            self, execute: Execute, studies: Iterable[str], reason: str,
            quiet: float = 0) -> None:
        number = _get_state(execute, 'number')
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
        # Before SQLite opens the file: it may write to it.
        used = (
            os.stat(self._path).st_mtime if os.path.exists(self._path)
            else time.time())
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # The file is damaged, or no database.
            self._set_aside()
        connection = self._connect()
        with connection:
            _set_state(connection.execute, cursor=NO_CURSOR,
                contact=format_orthanc_time(used - DAY))
        return connection

    def _connect(self) -> sqlite3.Connection:
        # SQLite gives the files beside it the same mode.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False)
        try:
            _prepare_database(connection)
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
        log.error(
            "the notification file is damaged and kept as %s; GNU Health is"
            " notified again of the studies updated since one day before the"
            " file was last used", os.path.basename(damaged))


def _prepare_database(connection: sqlite3.Connection) -> None:
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


def _get_state(execute: Execute, name: str) -> Any:
    row = execute("SELECT value FROM state WHERE name = ?", [name]).fetchone()
    return row and row[0]


def _set_state(execute: Execute, **values: object) -> None:
    for row in values.items():
        execute("INSERT OR REPLACE INTO state VALUES (?, ?)", row)


def _key_of(event: PendingEvent) -> tuple[str, int]:
    return event.study, int(event.event.rpartition('-')[2])


# --- archive ----------------------------------------------------------
# The content of Orthanc, read through its REST API.


class ArchiveError(Exception):
    """Orthanc does not answer; the text holds no patient data."""


@dataclass(frozen=True)
class Changes:
    """Some of Orthanc's changes, in order.

    Attributes
    ----------
    entries
        As Orthanc lists them.
    last
        The number of the last one; without any, the highest ever given.
    done
        Whether there are no more.
    complete
        Whether none is missing.  Orthanc removes the changes of what was
        deleted, and anybody may clear the log.
    """
    entries: Sequence[Mapping[str, Any]]
    last: int
    done: bool
    complete: bool

    def ids(self, *kinds: str) -> list[str]:
        """Return the resources of changes of these kinds, each once."""
        return list(dict.fromkeys(
                entry['ID'] for entry in self.entries
                if entry['ChangeType'] in kinds))


class Archive:
    """Requests to the REST API of the Orthanc that has loaded the plugin.

    Raises
    ------
    ArchiveError
        By every method if Orthanc fails, and always after `close`.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    def changes(self, since: int, limit: int) -> Changes:
        """Return the changes after the one with the number `since`."""
        data = self._get(f'/changes?since={since}&limit={limit}')
        entries, last = data['Changes'], data['Last']
        return Changes(
            entries, last, data['Done'], last - since == len(entries))

    def last_change(self) -> int:
        """Return the highest number that was ever given to a change."""
        last = self.changes(NO_CURSOR, 1).last
        if last >= NO_CURSOR:
            last = self._get('/changes?last')['Last']
        return last

    def page(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return some of all studies, in the order of their creation."""
        return self._get(f'/studies?expand&since={since}&limit={limit}')

    def studies(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """Return the studies of these resources, each once.

        Resources that were deleted have none.
        """
        return self._get_many({
                'Resources': list(ids), 'Level': 'Study', 'Metadata': False})

    def series(self, ids: Collection[str]) -> list[dict[str, Any]]:
        return self._get_many({'Resources': list(ids), 'Metadata': False})

    def tags(self, instance: str) -> dict[str, Any]:
        """Return the elements of an instance: tag → text, or list of items.

        There are none if it was deleted or cannot be read.
        """
        try:
            return self._get(f'/instances/{instance}/tags?short')
        except ArchiveError:
            return {}

    def _get_many(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        if not question['Resources']:
            return []
        return self._request(
            self._host.post, '/tools/bulk-content', json.dumps(question))

    def _get(self, path: str) -> Any:
        return self._request(self._host.get, path)

    def _request(self, function: Callable[..., bytes], *arguments: str) -> Any:
        if self.closed:
            raise ArchiveError("Orthanc is stopping")
        try:
            return json.loads(
                function(*arguments).decode('utf-8', 'replace'), strict=False)
        # What Orthanc raises depends on its version.
        except Exception as error:
            raise ArchiveError(
                f"Orthanc does not answer ({type(error).__name__})"
                ) from None


# --- back_off ---------------------------------------------------------
# Pauses between requests that fail.


class BackOff:
    """A pause that doubles with each failure.

    Parameters
    ----------
    clock
        Returns seconds; only their differences matter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """End the pause; the next one is the shortest."""
        self._pause, self._until = FIRST_PAUSE, -math.inf

    def start(self) -> None:
        """Start the next pause."""
        self._until = self._clock() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)

    @property
    def rest(self) -> float:
        """The seconds that are left of the pause."""
        return max(self._until - self._clock(), 0)


# --- change_follower --------------------------------------------------
# The search for studies in Orthanc that GNU Health has to be notified of.

CHANGES_PAGE = 500
SCAN_PAGE = 100
# How many studies of a page are read again: where some were deleted in the
# meantime, those that follow them have moved.
SCAN_OVERLAP = 10
PAGES_AT_ONCE = 20
MAXIMUM_UNSAVED = 100_000
# Seconds
QUIET = 30
QUIET_AT_START = 2


class ChangeFollower:
    """Follow Orthanc's log of changes, and add studies to the queue.

    Parameters
    ----------
    clock
        Returns the time in seconds since 1970.
    """

    def __init__(
            self, settings: Settings, queue: NotificationQueue,
            archive: Archive, clock: Callable[[], float] = time.time):
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
        """Remember a stable study in case the log of changes is cleared."""
        with self._lock:
            self._stable.add(study)

    def add_deleted(self, study: str) -> None:
        """Add a deleted study at once: Orthanc's log does not hold it."""
        with self._lock:
            self._deleted.append(study)
        self._save_deleted()

    def _save_deleted(self) -> None:
        with self._lock:
            if self._deleted:
                self._queue.add(self._deleted, 'deleted')
                self._deleted.clear()

    # -- called by the thread of the plugin

    def follow(self) -> bool:
        """Add what has changed; return whether there is more to be read."""
        self._save_deleted()
        if self._starting:
            self._queue.make_due(self._quiet)
        with self._lock:
            stable = set(self._stable)
        more = self._read_changes(stable) or self._scan()
        with self._lock:
            self._stable -= stable
        return more

    @property
    def _quiet(self) -> float:
        """The seconds after which a growing study is due.

        Orthanc reports a study as stable after StableAge, but never one that
        it held when it was killed.
        """
        return self._stable_age + (
            QUIET_AT_START if self._starting else QUIET)

    def _read_changes(self, stable: set[str]) -> bool:
        cursor = self._get_cursor()
        for _ in range(PAGES_AT_ONCE):
            changes = self._archive.changes(cursor, CHANGES_PAGE)
            if changes.last < cursor:
                # Another database, or an older state of it
                self._queue.start_scan(changes.last)
                break
            if not changes.complete:
                self._replace_missing(stable)
            if changes.last > cursor:
                self._add(changes)
            cursor = changes.last
            if changes.done:
                break
        else:
            return True
        self._starting = False
        return False

    def _get_cursor(self) -> int:
        """Return the position in the log; its end the very first time."""
        cursor = self._queue.cursor
        if cursor is None:
            cursor = self._archive.last_change()
            self._queue.add_changes(
                cursor, format_orthanc_time(self._clock()))
        return cursor

    def _replace_missing(self, stable: set[str]) -> None:
        """Find the studies of changes that are missing in the log."""
        if self._starting:
            self._queue.start_scan()
        elif stable:
            self._queue.add(stable, 'stable')

    def _add(self, changes: Changes) -> None:
        stable = changes.ids('StableStudy')
        grown = self._archive.studies(
            changes.ids('NewInstance', 'NewSeries', 'NewStudy'))
        growing = [
            study['ID'] for study in grown
            if not (study['IsStable'] and study['ID'] in stable)]
        self._queue.add_changes(
            changes.last,
            changes.entries[-1]['Date'] if changes.entries
            else format_orthanc_time(self._clock()),
            [study for study in stable if study not in growing],
            growing, self._quiet)

    def _scan(self) -> bool:
        """Read one page of all studies, if a search is under way."""
        scan = self._queue.scan
        if not scan:
            return False
        start = max(scan.position - SCAN_OVERLAP, 0)
        page = self._archive.page(start, SCAN_PAGE)
        updated = [
            study for study in page
            if study.get('LastUpdate', '') >= scan.since]
        more = len(page) == SCAN_PAGE
        self._queue.add_scanned(
            start + len(page) if more else None,
            [study['ID'] for study in updated if study['IsStable']],
            [study['ID'] for study in updated if not study['IsStable']],
            self._quiet)
        return more


# --- gnuhealth --------------------------------------------------------
# HTTP requests to GNU Health.

MAXIMUM_ANSWER = 64 * 1024 * 1024
CHUNK = 64 * 1024


class HttpError(Exception):
    """A request to GNU Health failed; the text says why.

    Attributes
    ----------
    status : int or None
        HTTP status of the answer, if there was one.
    """

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An answer of GNU Health, decoded from JSON."""
    data: Any
    etag: str | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: the key must not be sent to another server."""

    def redirect_request(self, *_: object) -> None:
        return None


class GnuHealth:
    """A client of the routes that GNU Health has for this plugin."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect,
            urllib.request.HTTPSHandler(context=create_tls_context(settings)))

    def get(
            self, path: str, query: Mapping[str, object],
            etag: str | None = None) -> Answer | None:
        """Return the answer to a GET request.

        Parameters
        ----------
        etag
            Of an earlier answer: None is returned if nothing has changed
            since then.

        Raises
        ------
        HttpError
            As `post` does.
        """
        request = self._request(f'{path}?{urllib.parse.urlencode(query)}')
        if etag is not None:
            request.add_header('If-None-Match', etag)
        try:
            return self._open(request)
        except HttpError as error:
            if error.status == 304 and etag is not None:
                return None
            raise

    def post(self, path: str, content: bytes) -> Answer:
        """Return the answer to a POST request.

        Raises
        ------
        HttpError
            If GNU Health does not send a complete answer in JSON, of at
            most `MAXIMUM_ANSWER` bytes, within the time limit.
        """
        request = self._request(path)
        request.data = content
        # Tryton would take JSON for a call of its own protocol.
        request.add_header('Content-Type', 'text/plain; charset=utf-8')
        return self._open(request)

    def _request(self, path: str) -> urllib.request.Request:
        database = urllib.parse.quote(self._settings.database, safe='')
        return urllib.request.Request(
            f'{self._settings.url}/{database}/{path}',
            headers={
                'Authorization': f'bearer {self._key()}',
                'Accept': 'application/json',
                'Accept-Encoding': 'gzip',
                })

    def _open(self, request: urllib.request.Request) -> Answer:
        deadline = time.monotonic() + self._settings.timeout
        try:
            with self._opener.open(
                    request, timeout=self._settings.timeout) as response:
                body = _read_body(response, deadline)
                return Answer(_parse_json(body), response.headers.get('ETag'))
        except urllib.error.HTTPError as error:
            error.close()
            raise HttpError(_describe_status(error.code), error.code) from None
        except (OSError, ValueError, http.client.HTTPException,
                zlib.error) as error:
            raise HttpError(_describe_network_error(error)) from None

    def _key(self) -> str:
        # It is read each time, for it can be changed while Orthanc runs.
        try:
            return read_key(self._settings)
        except (OSError, ValueError) as error:
            raise HttpError(
                describe_key_error(self._settings, error)) from None


def _read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the whole body, decompressed.

    The time limit of a socket applies to each read; the deadline applies to
    the body, also if it comes byte by byte.
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
            raise HttpError("the answer is too large")
        parts.append(chunk)
    if (expected is not None and received != int(expected)
            or inflate and not inflate.eof):
        raise HttpError("the answer is incomplete")
    return b''.join(parts)


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError("the answer is not JSON") from None


def _describe_status(code: int) -> str:
    texts = {
        400: "GNU Health rejects the request",
        401: "GNU Health rejects the key",
        403: "GNU Health rejects the key or its user",
        404: "GNU Health has no such database or route",
        }
    text = texts.get(code, "GNU Health reports an error")
    return f'{text} (status {code})'


def _describe_network_error(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        error = getattr(error, 'reason', error)
    if isinstance(error, socket.timeout):
        return "GNU Health does not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer is incomplete"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return str(getattr(error, 'strerror', None) or type(error).__name__)


# --- study_summary ----------------------------------------------------
# What GNU Health needs to find the patient and the order of a study.

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


def summarize_study(
        archive: Archive, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by which GNU Health finds patient and order.

    Parameters
    ----------
    study
        As Orthanc describes it.  What Orthanc does not index is read from
        the first image of each series.
    """
    first: Dataset = {}
    series: list[dict[str, Any]] = []
    texts: dict[str, None] = {}
    for one in archive.series(study['Series'][:MAXIMUM_SERIES]):
        instances = one['Instances']
        tags = archive.tags(instances[0]) if instances else {}
        first = first or tags
        series.append(_summarize_series(one, tags))
        texts.update(dict.fromkeys(_collect_texts(tags)))
    main = {**study['PatientMainDicomTags'], **study['MainDicomTags']}
    return {
        **_collect_values(STUDY_TAGS, main, first),
        'IsStable': study['IsStable'],
        'LastUpdate': study.get('LastUpdate', ''),
        'Series': series,
        'Texts': list(texts)[:MAXIMUM_TEXTS],
        }


def _summarize_series(
        series: Mapping[str, Any], tags: Dataset) -> dict[str, Any]:
    items = tags.get(REQUEST_ATTRIBUTES)
    return {
        'ID': series['ID'],
        **_collect_values(SERIES_TAGS, series['MainDicomTags'], tags),
        'Instances': len(series['Instances']),
        'RequestAttributes': [
            _collect_values(REQUEST_TAGS, {}, item)
            for item in (items if isinstance(items, list) else [])[:20]],
        }


def _collect_values(
        names: Mapping[str, str], main: Mapping[str, Any], tags: Dataset
        ) -> dict[str, str]:
    """Return keyword → value, without empty values.

    Parameters
    ----------
    names
        Keyword → tag.
    main, tags
        What Orthanc indexes, by keyword; what is in the image, by tag.
    """
    values = {
        name: main.get(name) or tags.get(tag) for name, tag in names.items()}
    return {
        name: value[:MAXIMUM_VALUE] for name, value in values.items()
        if isinstance(value, str) and value}


def _collect_texts(tags: Dataset) -> list[str]:
    """Return the texts of an image, any of which may identify its order."""
    return [
        value for tag, value in tags.items()
        if isinstance(value, str) and 0 < len(value) <= MAXIMUM_TEXT
        # The format of the pixels
        and not tag.startswith('0028,')]


# --- notification_sender ----------------------------------------------
# Requests that notify GNU Health of studies.

NOTIFY_ROUTE = 'orthanc/notify'
NOTIFY_VERSION = 1
MAXIMUM_EVENTS = 20
MAXIMUM_BODY = 1_000_000  # bytes
MAXIMUM_EVENT = 900_000
MAXIMUM_LOGGED = 1000  # studies
SIGN_OF_LIFE = 300  # seconds


class NotificationSender:
    """Send the events of the queue to GNU Health."""

    def __init__(
            self, settings: Settings, queue: NotificationQueue,
            archive: Archive,
            clock: Callable[[], float] = time.monotonic):
        self._server = settings.server
        self._queue = queue
        self._archive = archive
        self._gnuhealth = GnuHealth(settings)
        self._logged: set[str] = set()
        self._clock = clock
        # When something was last posted
        self._posted = clock()

    def send(self) -> bool:
        """Send some of the events that are due; return whether any are.

        Raises
        ------
        HttpError
            If GNU Health does not receive them.
        """
        due = self._queue.due(MAXIMUM_EVENTS)
        if due:
            self._send(self._serialize_all(due))
        elif self._clock() - self._posted >= SIGN_OF_LIFE:
            # GNU Health warns if it does not hear of the plugin.
            self._post([])
        return bool(due)

    def _serialize_all(
            self, due: Sequence[PendingEvent]) -> dict[PendingEvent, bytes]:
        """Return as many events as fit into one request."""
        studies = {
            study['ID']: study
            for study in self._archive.studies(
                [pending.study for pending in due])}
        events: dict[PendingEvent, bytes] = {}
        size = MAXIMUM_BODY - MAXIMUM_EVENT
        for pending in due:
            event = self._serialize(pending, studies.get(pending.study))
            if event is None:
                continue
            size += len(event) + 1
            if events and size > MAXIMUM_BODY:
                break
            events[pending] = event
        return events

    def _serialize(
            self, pending: PendingEvent, study: Mapping[str, Any] | None
            ) -> bytes | None:
        """Return an event in JSON; None if its study cannot be read.

        It describes the study as it is now.
        """
        event: dict[str, Any] = {
            'event': pending.event,
            'kind': 'study' if study else 'deleted',
            'study': pending.study,
            'at': format_iso_time(pending.changed),
            }
        try:
            if study:
                event['facts'] = summarize_study(self._archive, study)
            return _encode_event(event)
        # An unreadable study must not delay the others.
        except Exception as error:
            if self._archive.closed:
                raise
            self._queue.postpone([pending])
            self._log_once(
                pending, f"cannot be made ({locate_error(error)})")
            return None

    def _send(self, events: Mapping[PendingEvent, bytes]) -> None:
        if not events:
            return
        try:
            received = self._post(events.values())
        except HttpError as error:
            if error.status not in {400, 413}:
                raise
            self._send_each(events, error)
            return
        self._queue.remove(
            pending for pending in events if pending.event in received)
        self._queue.postpone(
            pending for pending in events if pending.event not in received)

    def _send_each(
            self, events: Mapping[PendingEvent, bytes], error: HttpError
            ) -> None:
        """Send events one by one to find those that GNU Health refuses."""
        if len(events) > 1:
            for pending, event in events.items():
                self._send({pending: event})
            return
        pending, = events
        self._queue.mark_refused(pending)
        self._log_once(pending, f"is refused: {error}")

    def _post(self, events: Iterable[bytes]) -> list[str]:
        """Return the identifiers of the events that GNU Health received."""
        head = json.dumps(
            {'server': self._server, 'plugin': NOTIFY_VERSION, 'events': 0})
        data = self._gnuhealth.post(
            NOTIFY_ROUTE, b'%s[%s]}' % (
                head[:-2].encode(), b','.join(events))).data
        received = data.get('received') if isinstance(data, dict) else None
        if not isinstance(received, list):
            raise HttpError('the answer has no "received"')
        self._posted = self._clock()
        return received

    def _log_once(self, pending: PendingEvent, text: str) -> None:
        """Log the first failure of each study."""
        if (pending.study not in self._logged
                and len(self._logged) < MAXIMUM_LOGGED):
            self._logged.add(pending.study)
            log.error(
                "the notification of study %s %s; it is sent again later",
                pending.study, text)


def _encode_event(event: dict[str, Any]) -> bytes:
    """Return an event in JSON, with fewer series if it is too large."""
    content = json.dumps(event).encode()
    while len(content) > MAXIMUM_EVENT:
        facts = event['facts']
        facts['Series'] = facts['Series'][:len(facts['Series']) // 2]
        content = json.dumps(event).encode()
    return content


# --- notifier ---------------------------------------------------------
# The thread that notifies GNU Health of studies.

# Seconds
LOOK = 5
GATHER = 0.2

Result = TypeVar('Result')


class Notifier:
    """The thread that follows Orthanc's changes and notifies GNU Health.

    It logs when notifications fail and when they are sent again.
    """

    def __init__(self, settings: Settings, host: Host):
        self._queue = NotificationQueue(settings.notification_file)
        self._archive = Archive(host)
        self._follower = ChangeFollower(settings, self._queue, self._archive)
        self._sender = NotificationSender(settings, self._queue, self._archive)
        self._back_off = BackOff()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # Problems of Orthanc or the queue, and of GNU Health
        self._local_problem: str | None = None
        self._remote_problem: str | None = None
        self._logged: str | None = ''
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._archive.close()
        self._wake.set()
        if self._thread.is_alive():
            # Orthanc must not wait for an answer of GNU Health.
            self._thread.join(1)

    def retry_now(self) -> None:
        """End the pause after a failure: GNU Health answers again."""
        self._back_off.reset()
        self._wake.set()

    def add_stable(self, study: str) -> None:
        """Take note of a study that Orthanc reports as stable."""
        self._follower.add_stable(study)
        self._wake.set()

    def add_deleted(self, study: str) -> None:
        """Take note of a study that was deleted in Orthanc."""
        try:
            self._follower.add_deleted(study)
        except (OSError, sqlite3.Error):
            # The thread tries again, and logs why it fails.
            pass
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._work()
            if self._stopping.is_set():
                break
            self._log_change()
            if self._wake.wait(pause):
                # Send events together that happen together.
                self._stopping.wait(GATHER)
                self._wake.clear()
        self._queue.close()

    def _work(self) -> float:
        """Read changes and send events; return the seconds until the next.
        """
        self._local_problem = None
        more = self._call(self._follower.follow)
        if not self._back_off.rest:
            # Also if Orthanc's changes cannot be read.
            more = self._call(self._send) or more
        if more:
            return 0
        pause = self._call(self._queue.seconds_until_due)
        if pause is None or self._local_problem:
            return LOOK
        return min(LOOK, max(pause, self._back_off.rest))

    def _call(self, function: Callable[[], Result]) -> Result | None:
        """Return the result of a function, None if it fails."""
        try:
            return function()
        except ArchiveError as error:
            self._local_problem = str(error)
        except (OSError, sqlite3.Error) as error:
            self._local_problem = (
                f"the notification file cannot be used:"
                f" {describe_error(error)}")
        # The thread must go on; the text of the error may hold patient data.
        except Exception as error:
            self._local_problem = locate_error(error)
        return None

    def _send(self) -> bool:
        """Send some events; return whether there may be more."""
        try:
            if not self._sender.send():
                return False
        except HttpError as error:
            self._back_off.start()
            self._remote_problem = str(error)
            return False
        self._back_off.reset()
        self._remote_problem = None
        return True

    def _log_change(self) -> None:
        """Log when a problem begins, changes or ends."""
        problem = self._local_problem or self._remote_problem
        if problem == self._logged:
            return
        self._logged = problem
        if problem:
            log.error(
                "GNU Health cannot be notified of studies: %s%s", problem,
                self._describe_queue())
        else:
            log.warning(
                "GNU Health is notified of studies%s", self._describe_queue())

    def _describe_queue(self) -> str:
        try:
            count, since = self._queue.count()
        except (OSError, sqlite3.Error):
            return ''
        return f"; {count} pending" + (
            f", the oldest since {format_iso_time(since)}"
            if since is not None else '')


# --- orthanc_matching -------------------------------------------------
# Matching as Orthanc repeats it on the answers of the plugin.


def compile_orthanc_filter(
        asked: Dataset, case_sensitive: bool = False) -> DatasetTest:
    """Return a function that tests whether Orthanc keeps the item of a step.

    Orthanc compares the keys within ScheduledProcedureStepSequence again, in
    its own way: dates and times as text and each on its own, and all values
    of an element as one.  It removes an item that differs from the answer.

    Parameters
    ----------
    asked, case_sensitive
        As of `compile_query`, with the keys of the item.
    """
    tests = []
    for tag, value in asked.items():
        if isinstance(value, str) and value:
            tests.append(_compile_key(tag, value, case_sensitive))
    return all_of(tests)


def _compile_key(tag: str, value: str, case_sensitive: bool) -> DatasetTest:
    vr = KEYS_MATCHED.get(tag)

    def normal(text: str) -> str:
        text = text.strip(' \0')
        return text if vr != 'PN' or case_sensitive else text.upper()

    if vr in {'DA', 'TM'} and '-' in value:
        # Spaces around the dash are part of the values.
        first, last = normal(value).split('-', 1)
        matches = _compile_bounds(first, last)
    elif '\\' in value:
        matches = frozenset(map(normal, value.split('\\'))).__contains__
    else:
        matches = compile_wildcards(normal(value))

    def test(item: Dataset) -> bool:
        held = item.get(tag)
        return isinstance(held, str) and matches(normal(held))
    return test


def _compile_bounds(first: str, last: str) -> Test:
    return lambda text: first <= text and (not last or text <= last)


# --- worklist_item ----------------------------------------------------
# Items of the worklist, one for each open step of GNU Health.

Decoder = Callable[[bytes], str]


class ListError(Exception):
    """An answer is not a worklist; the text says why, without its values."""


@dataclass(frozen=True)
class WorklistItem:
    """A step that is open in GNU Health.

    Attributes
    ----------
    id
        Of the step in GNU Health.
    index
        Of its last change, in GNU Health's numbering of all changes.
    dicom
        The worklist file, which is sent to modalities as it is.
    keys
        Its elements, which queries are matched with; None if Orthanc cannot
        read the file.
    """
    id: str
    index: int
    dicom: bytes
    keys: Mapping[str, Any] | None

    @property
    def steps(self) -> Sequence[Dataset]:
        steps = (self.keys or {}).get(STEPS)
        return steps if isinstance(steps, list) else []

    @property
    def order(self) -> tuple[str, str, int, str]:
        """Sorts by date and time, as some consoles do not sort."""
        step = self.steps[0] if self.steps else {}
        return (str(step.get(START_DATE, '')), str(step.get(START_TIME, '')),
            len(self.id), self.id)


def read_item(data: object, decoder: Decoder) -> WorklistItem:
    """Return the item of a decoded JSON object.

    Parameters
    ----------
    decoder
        Orthanc's conversion of a DICOM file to JSON.

    Raises
    ------
    ListError
        If the object is not a worklist item.
    """
    identifier, index, dicom = _read_parts(data)
    return WorklistItem(identifier, index, dicom, _read_keys(dicom, decoder))


def restore_item(data: object) -> WorklistItem:
    """Return the item that `store_item` has made an object of.

    Raises
    ------
    ListError
        If the object is not such an item.
    """
    identifier, index, dicom = _read_parts(data)
    keys = data.get('keys', '') if isinstance(data, dict) else ''
    if keys is not None and not isinstance(keys, dict):
        raise ListError("an item has no keys")
    return WorklistItem(identifier, index, dicom, keys)


def store_item(item: WorklistItem) -> dict[str, object]:
    """Return an item as an object for JSON.

    It includes the keys, as Orthanc takes long to read them from thousands of
    files.
    """
    return {
        'id': item.id,
        'index': item.index,
        'dicom': base64.b64encode(item.dicom).decode(),
        'keys': item.keys,
        }


def _read_parts(data: object) -> tuple[str, int, bytes]:
    """Return id, index and file of an item."""
    if not isinstance(data, dict):
        raise ListError("an item is not an object")
    identifier, index = data.get('id'), data.get('index')
    if not isinstance(identifier, str) or not re.fullmatch(
            r'[0-9]{1,20}(?:\.[0-9]{1,20})?', identifier):
        raise ListError("an item has no id")
    if index is None or not is_index(index):
        raise ListError("an item has no index")
    try:
        dicom = base64.b64decode(data['dicom'], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ListError("an item has no file") from None
    return identifier, index, dicom


def _read_keys(dicom: bytes, decoder: Decoder) -> dict[str, Any] | None:
    try:
        return read_dataset(dicom, decoder)
    # What Orthanc raises depends on its version.
    except Exception:
        return None


def read_dataset(dicom: bytes, decoder: Decoder) -> dict[str, Any]:
    """Return the elements of a DICOM file: tag → text, or list of items."""
    return json.loads(decoder(dicom), object_pairs_hook=_intern_tags)


def _intern_tags(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return a dictionary that shares its tags with those of all items."""
    return {sys.intern(tag): value for tag, value in pairs}


def is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) \
        and value >= 0


# --- worklist_cache ---------------------------------------------------
# The file that stores the worklist while Orthanc is stopped.

CACHE_VERSION = 2
# Of files without the keys of the items
VERSION_WITHOUT_KEYS = 1
CACHE_PAUSE = 5  # seconds between two writings of the file


@dataclass(frozen=True)
class Snapshot:
    """A complete worklist; it is replaced, never changed.

    Attributes
    ----------
    index
        Of the last change in GNU Health that it includes.
    confirmed
        When GNU Health last confirmed it, on the clock of `time.monotonic`.
    """
    items: Sequence[WorklistItem]
    index: int
    confirmed: float

    @property
    def age(self) -> float:
        """Seconds since GNU Health last confirmed it."""
        return time.monotonic() - self.confirmed


class Cache:
    """The file of the worklist.

    Only the account of Orthanc may read it: it holds patient data.
    """

    def __init__(self, settings: Settings, decoder: Decoder):
        self._path = settings.cache_file
        self._source = settings.source
        self._decoder = decoder
        # An unchanged worklist may seem older by this after a restart.
        self._pause = settings.maximum_age / 50
        self._written = -math.inf
        self._changed = False
        self._failed = False
        self._lock = threading.Lock()

    def load(self) -> Snapshot | None:
        """Return the worklist of the file, None if it cannot be used."""
        try:
            with open(self._path, encoding='ascii') as file:
                data = json.load(file)
            read = self._reader(data['version'])
            if not read or data['source'] != self._source:
                return None
            age = time.time() - data['confirmed']
            if not age >= 0 or not is_index(data['index']):
                raise ListError("the file is of the future")
            return Snapshot(
                list(map(read, data['entries'])), data['index'],
                time.monotonic() - age)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ListError,
                RecursionError) as error:
            log.warning(
                "the cache file cannot be used (%s)", type(error).__name__)
            return None

    def _reader(
            self, version: object) -> Callable[[object], WorklistItem] | None:
        """Return what reads an item of a version of the file."""
        if version == CACHE_VERSION:
            return restore_item
        if version == VERSION_WITHOUT_KEYS:
            return lambda entry: read_item(entry, self._decoder)
        return None

    def save_if_due(self, snapshot: Snapshot, changed: bool) -> None:
        """Write the file if it differs too much from the worklist."""
        self._changed = self._changed or changed
        if time.monotonic() - self._written > (
                CACHE_PAUSE if self._changed else self._pause):
            self.save(snapshot)

    def save(self, snapshot: Snapshot) -> None:
        """Write the file; a failure is logged once."""
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
                        'entries': list(map(store_item, snapshot.items)),
                        }))
        except OSError as error:
            if not self._failed:
                log.error(
                    "the cache file cannot be written: %s",
                    describe_error(error))
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


# --- worklist_page ----------------------------------------------------
# The pages of the worklist that GNU Health sends.


@dataclass(frozen=True)
class Page:
    """An answer of GNU Health.

    Attributes
    ----------
    since
        The index after which it has all changes; 0 for a complete worklist.
    index
        Of the last change that is in it.
    more
        Whether another page follows.
    items
        The steps that have changed and are open.
    open
        The ids of all open steps, on the last page.
    """
    since: int
    index: int
    more: bool
    items: Sequence[WorklistItem]
    open: frozenset[str]


def read_page(data: object, since: int, decoder: Decoder) -> Page:
    """Return the answer to a request for the changes after `since`.

    Parameters
    ----------
    data
        The answer, decoded from JSON.
    decoder
        Orthanc's conversion of a DICOM file to JSON.

    Raises
    ------
    ListError
        If it has not the agreed form.
    """
    if not isinstance(data, dict):
        raise ListError("the answer is not an object")
    for name in ['since', 'index']:
        if not is_index(data.get(name)):
            raise ListError(f'the answer has no "{name}"')
    more, entries, opened = (
        data.get('more'), data.get('entries'), data.get('open'))
    if not isinstance(more, bool) or not isinstance(entries, list):
        raise ListError('the answer has no "entries"')
    if not more and not (isinstance(opened, list)
            and all(isinstance(id_, str) for id_ in opened)):
        raise ListError('the answer has no "open"')
    if data['since'] not in {0, since}:
        raise ListError("the answer begins after another index")
    if more and data['index'] <= data['since']:
        raise ListError("the index of the answer does not advance")
    return Page(
        data['since'], data['index'], more,
        [read_item(entry, decoder) for entry in entries],
        frozenset(() if more else opened or ()))


# --- worklist ---------------------------------------------------------
# The copy of GNU Health's worklist that queries are answered from.

LIST_ROUTE = 'orthanc/worklist'
MAXIMUM_PAGES = 1000


class Unavailable(Exception):
    """A query cannot be answered; Orthanc logs the text, and the modality
    receives a failure.
    """


class Worklist:
    """The worklist of GNU Health: fetched, stored in a file and searched.

    Parameters
    ----------
    decoder
        Orthanc's conversion of a DICOM file to JSON.
    """

    def __init__(self, settings: Settings, decoder: Decoder):
        self._settings = settings
        self._decoder = decoder
        self._gnuhealth = GnuHealth(settings)
        self._snapshot: Snapshot | None = None
        self._etag: str | None = None
        self._unreadable: frozenset[tuple[str, int]] = frozenset()
        self._cache = (
            Cache(settings, decoder) if settings.cache_file else None)

    # -- called by the thread that updates it

    def load(self) -> None:
        """Take the worklist of the file, if there is one."""
        self._snapshot = self._cache.load() if self._cache else None
        if self._snapshot:
            log.warning(
                "%d worklist items loaded from the cache file, %.0f s old",
                len(self._snapshot.items), self._snapshot.age)

    def save(self) -> None:
        if self._cache and self._snapshot:
            self._cache.save(self._snapshot)

    def refresh(self) -> None:
        """Fetch what has changed in GNU Health.

        Raises
        ------
        HttpError, ListError
            If GNU Health does not answer as it should; the worklist is not
            changed.
        """
        asked = time.monotonic()
        served = self._snapshot
        items, index = (served.items, served.index) if served else ([], 0)
        fetched = self._fetch({item.id: item for item in items}, index)
        if fetched is not None:
            changed, index = fetched
            self._log_unreadable(changed)
            items = sorted(changed, key=lambda item: item.order)
        self._snapshot = Snapshot(items, index, asked)
        if self._cache:
            self._cache.save_if_due(self._snapshot, fetched is not None)

    @property
    def state(self) -> str:
        """How queries are answered, for the log."""
        try:
            count = len(self._usable().items)
        except Unavailable as error:
            return f"queries fail: {error}"
        return ("1 worklist item is served" if count == 1
            else f"{count} worklist items are served")

    def _fetch(
            self, known: dict[str, WorklistItem], since: int
            ) -> tuple[list[WorklistItem], int] | None:
        """Return all open items with the index, None if nothing changed."""
        etag = self._etag if self._snapshot is not None else None
        complete = since == 0
        for _ in range(MAXIMUM_PAGES):
            answer = self._gnuhealth.get(LIST_ROUTE, {'since': since}, etag)
            if answer is None:
                return None
            page = read_page(answer.data, since, self._decoder)
            if page.since == 0:
                # Also if GNU Health was restored, with its numbering.
                known, complete = {}, True
            known.update({item.id: item for item in page.items})
            if page.more:
                since, etag = page.index, None
                continue
            if page.open - set(known):
                if complete:
                    raise ListError("items of open steps are missing")
                # A change was missed: fetch the complete worklist.
                since, etag = 0, None
                continue
            self._etag = answer.etag
            return [
                item for item in known.values()
                if item.id in page.open], page.index
        raise ListError("the answer has too many pages")

    def _log_unreadable(self, items: Sequence[WorklistItem]) -> None:
        """Log once which steps no modality can see."""
        unreadable = frozenset(
            (item.id, item.index) for item in items if item.keys is None)
        for identifier, _ in sorted(unreadable - self._unreadable):
            log.error(
                "the worklist item of step %s is not a DICOM file; it is not"
                " served", identifier)
        self._unreadable = unreadable

    # -- called for queries of modalities

    def find(
            self, query: Dataset, calling: str
            ) -> tuple[list[WorklistItem], int]:
        """Return the items that match, and how many Orthanc would remove.

        Parameters
        ----------
        query
            Tag → value, for sequences a list of items.
        calling
            The AE title of the modality.

        Raises
        ------
        Unavailable
            If there is no worklist, or it is too old.
        QueryError
            If the query is not valid.
        """
        snapshot = self._usable()
        asked, step = _add_handed_over(query)
        names = self._settings.case_sensitive_names
        matches = compile_query(asked, names, _log_ignored)
        kept = compile_orthanc_filter(step, names)
        found = [
            item for item in snapshot.items
            if item.keys is not None and matches(item.keys)]
        if self._settings.filter_calling_aet:
            found = [
                item for item in found
                if any(_is_for(step, calling) for step in item.steps)]
        whole = [
            item for item in found
            if not item.steps or any(map(kept, item.steps))]
        return whole, len(found) - len(whole)

    def has_steps_for(self, calling: str) -> bool:
        """Return whether a modality is the station of any step."""
        return any(
            _is_for(step, calling)
            for item in self._usable().items for step in item.steps)

    def _usable(self) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable("there is no worklist from GNU Health yet")
        if snapshot.age > self._settings.maximum_age:
            raise Unavailable("the worklist is older than MaximumAge")
        return snapshot


def _add_handed_over(query: Dataset) -> tuple[Dataset, Dataset]:
    """Return the whole query, and the item of the step as Orthanc sees it."""
    items = query.get(STEPS)
    step = items[0] if isinstance(items, list) and items else {}
    query = dict(query)
    handed_over = query.pop(HANDED_OVER, None)
    if isinstance(handed_over, list) and handed_over:
        query[STEPS] = [{**step, **handed_over[0]}]
    return query, step


def _is_for(step: Dataset, calling: str) -> bool:
    return calling.strip() in split_values('AE', step.get(STATION))


def _log_ignored(tag: str) -> None:
    log.info("query key %s is not supported and is ignored", tag)


# --- refresher --------------------------------------------------------
# The thread that keeps the worklist up to date.


class Refresher:
    """The thread that fetches changes of the worklist from GNU Health.

    It logs when GNU Health stops to answer and when it answers again.

    Parameters
    ----------
    recovered
        Called when GNU Health answers again.
    """

    def __init__(
            self, worklist: Worklist, settings: Settings,
            recovered: Callable[[], None] = lambda: None):
        self._recovered = recovered
        self._worklist = worklist
        self._interval = settings.refresh_interval
        self._stopping = threading.Event()
        self._logged: tuple[str | None, str] | None = None
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            # Orthanc must not wait for an answer of GNU Health.
            self._thread.join(1)
        self._worklist.save()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            problem = self._refresh()
            if not self._stopping.is_set():
                self._log_change(problem)
            # Ask less often while GNU Health does not answer.
            pause = min(2 * pause, 10 * self._interval) if problem \
                else self._interval
            self._stopping.wait(pause)

    def _refresh(self) -> str | None:
        """Return why the update failed, None if it did not."""
        try:
            self._worklist.refresh()
        except (HttpError, ListError) as error:
            return str(error)
        # The thread must go on; the text of the error may hold patient data.
        except Exception as error:
            return locate_error(error)
        return None

    def _log_change(self, problem: str | None) -> None:
        """Log when a problem begins, changes or ends."""
        state = self._worklist.state
        if problem and self._logged != (problem, state):
            log.error("the worklist cannot be updated: %s; %s", problem, state)
        elif not problem and (self._logged is None or self._logged[0]):
            log.warning("connected to GNU Health; %s", state)
            self._recovered()
        self._logged = problem, state


# --- plugin -----------------------------------------------------------
# The plugin, without Orthanc's own types and constants.

MAXIMUM_CALLERS = 100


class Plugin:
    """The worklist and the notifications of an Orthanc.

    Parameters
    ----------
    errors
        Of the configuration: with any, all queries fail and no notifications
        are sent.
    """

    def __init__(
            self, settings: Settings, host: Host,
            errors: Sequence[str] = ()):
        self._host = host
        self._callers: set[tuple[str, str]] = set()
        self._filters_calling_aet = settings.filter_calling_aet
        self._worklist: Worklist | None = None
        self._refresher: Refresher | None = None
        self._notifier: Notifier | None = None
        if errors:
            return
        if settings.notify:
            self._notifier = Notifier(settings, host)
        self._worklist = Worklist(settings, host.dicom_to_json)
        self._refresher = Refresher(
            self._worklist, settings,
            self._notifier.retry_now if self._notifier else lambda: None)

    def load(self) -> None:
        """Take the worklist of the file, if there is one."""
        if self._worklist:
            self._worklist.load()

    def start(self) -> None:
        for thread in [self._refresher, self._notifier]:
            if thread:
                thread.start()

    def stop(self) -> None:
        for thread in [self._refresher, self._notifier]:
            if thread:
                thread.stop()

    def on_worklist(
            self, answers: WorklistAnswers, query: WorklistQuery,
            calling: str, called: str, address: str = '') -> None:
        """Answer the query of a modality, as Orthanc's callback.

        Parameters
        ----------
        calling, called
            The AE titles of the modality and of Orthanc.
        address
            The IP address of the modality, if Orthanc tells it.

        Raises
        ------
        Unavailable
            If the query fails.  Orthanc logs the text of an exception, so
            that no other exception may be raised: it may hold patient data.
        """
        try:
            self._answer(answers, query, calling, address)
        except (Unavailable, QueryError) as error:
            raise Unavailable(f"{SECTION}: {error}") from None
        except Exception as error:
            raise Unavailable(f"{SECTION}: {locate_error(error)}") from None

    def _answer(
            self, answers: WorklistAnswers, query: WorklistQuery,
            calling: str, address: str) -> None:
        if not self._worklist:
            raise Unavailable("the configuration has errors")
        keys = read_dataset(
            query.WorklistGetDicomQuery(), self._host.dicom_to_json)
        found, removed = self._worklist.find(keys, calling)
        for item in found:
            answers.WorklistAddAnswer(query, item.dicom)
        caller = _describe_caller(calling, address)
        if removed:
            self._log_once(
                "answers to %s are missing because Orthanc compares keys of"
                " the query in its own way; load health_orthanc.lua as well",
                caller)
            answers.WorklistMarkIncomplete()
        if self._filters_calling_aet and not self._worklist.has_steps_for(
                calling):
            self._log_once(
                "no step is for %s, which has queried the worklist: its AE"
                " title is not the station AE title of any open step", caller)

    def _log_once(self, text: str, caller: str) -> None:
        """Log what is wrong with a modality once."""
        if ((text, caller) not in self._callers
                and len(self._callers) < MAXIMUM_CALLERS):
            self._callers.add((text, caller))
            log.error(text, caller)

    def add_stable(self, study: str) -> None:
        """Take note of a study that Orthanc reports as stable."""
        if self._notifier:
            self._notifier.add_stable(study)

    def add_deleted(self, study: str) -> None:
        """Take note of a study that was deleted in Orthanc."""
        if self._notifier:
            self._notifier.add_deleted(study)


def _describe_caller(calling: str, address: str) -> str:
    """Return an AE title, and the address that has stated it."""
    title = re.sub(r'[^!-~]', '?', calling[:16])
    address = re.sub(r'[^0-9A-Fa-f.:]', '?', address[:45])
    return f'{title} ({address})' if address else title


# --- health_orthanc ---------------------------------------------------


class OrthancHost:
    """The Orthanc that has loaded this file."""

    def get(self, path: str) -> bytes:
        return orthanc.RestApiGet(path)

    def post(self, path: str, body: str) -> bytes:
        return orthanc.RestApiPost(path, body)

    def dicom_to_json(self, dicom: bytes) -> str:
        return orthanc.DicomBufferToJson(
            dicom, orthanc.DicomToJsonFormat.SHORT,
            orthanc.DicomToJsonFlags.NONE, 0)


class OrthancLogHandler(logging.Handler):
    """Write to the log of Orthanc."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            write = orthanc.LogError
        elif record.levelno >= logging.WARNING:
            write = orthanc.LogWarning
        else:
            write = orthanc.LogInfo
        write(f'{SECTION}: {self.format(record)}')


class ChangeListener:
    """The receiver of Orthanc's changes."""

    def __init__(self, plugin: Plugin):
        self._plugin = plugin

    def on_change(self, change: int, level: int, resource: str) -> None:
        try:
            self._handle(change, level, resource)
        except Exception as error:
            log.error(locate_error(error))

    def _handle(self, change: int, level: int, resource: str) -> None:
        """Start or stop, or take note of a change; Orthanc waits for it."""
        if change == orthanc.ChangeType.ORTHANC_STARTED:
            self._plugin.start()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED:
            self._plugin.stop()
        elif level != orthanc.ResourceType.STUDY:
            return
        elif change == orthanc.ChangeType.STABLE_STUDY:
            self._plugin.add_stable(resource)
        elif change == orthanc.ChangeType.DELETED:
            self._plugin.add_deleted(resource)


def register_worklist(plugin: Plugin) -> None:
    """Register the callback for worklist queries.

    Orthanc 1.12.10 and later also tells where a query comes from.
    """
    if not (hasattr(orthanc, 'RegisterWorklistCallback2')
            and orthanc.CheckVersionAdvanced(1, 12, 10)):
        orthanc.RegisterWorklistCallback(plugin.on_worklist)
        return

    def on_worklist(
            answers: WorklistAnswers, query: WorklistQuery,
            connection: WorklistConnection) -> None:
        plugin.on_worklist(
            answers, query, connection.GetConnectionRemoteAet(),
            connection.GetConnectionCalledAet(),
            connection.GetConnectionRemoteIp())
    orthanc.RegisterWorklistCallback2(on_worklist)


def register() -> Plugin:
    """Read the configuration and register the callbacks."""
    log.handlers = [OrthancLogHandler()]
    log.setLevel(logging.INFO)
    configuration = json.loads(orthanc.GetConfiguration())
    settings, errors, warnings = read_settings(
        configuration,
        index_folder(configuration, orthanc.GetConfigurationPath()))
    for text in warnings:
        log.warning(text)
    for text in errors:
        log.error(text)
    if errors:
        log.error(
            "no worklist is served and no notifications are sent until the"
            " configuration is corrected")
    plugin = Plugin(settings, OrthancHost(), errors)
    plugin.load()
    register_worklist(plugin)
    orthanc.RegisterOnChangeCallback(ChangeListener(plugin).on_change)
    return plugin


register()
