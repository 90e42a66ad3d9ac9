# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Matching of worklist queries (PS3.4 C.2.2.2)."""
from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
