# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the variables of a procedure step to its entry (PS3.4 K.6.1.2).

One dataset is the source of everything that is served: of files, of live
answers and of the text of the preview.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from .charsets import UNICODE, Charset, find_charset
from .default_template import DEFAULT_TEMPLATE
from .dicomfile import encode_text, to_file
from .dump import STEP, parse_dump, parse_json, texts_of, to_dump, to_json
from .safety import (
    WorklistError, patient_age, person_name, representation, safe_text,
    safe_value)
from .samples import FULL, SPARSE, Sample
from .templates import (
    UNKNOWN, Template, TemplateError, compile_template, render_text)

__all__ = [
    'DEFAULT_TEMPLATE', 'KINDS', 'LocalStart', 'Rendered', 'TemplateError',
    'VARIABLES', 'WorklistError', 'check_template', 'compile_template',
    'differences', 'dump_bytes', 'local_start', 'patient_age', 'person_name',
    'render', 'safe_text', 'safe_value', 'to_file']

KINDS = ('dump2dcm', 'json')

# Return key types (PS3.4 Table K.6-1).  The sequences of type 2 are left
# out: a query with an item would not match an empty one.
_ROOT_KEYS = {
    'SpecificCharacterSet': '1C',
    'AccessionNumber': '2',
    'InstitutionName': '3',
    'ReferringPhysicianName': '2',
    'TimezoneOffsetFromUTC': '3',
    'PatientName': '1',
    'PatientID': '1',
    'PatientBirthDate': '2',
    'PatientSex': '2',
    'PatientWeight': '2',
    'MedicalAlerts': '2',
    'Allergies': '2',
    'PregnancyStatus': '2',
    'StudyInstanceUID': '1',
    'RequestingPhysician': '2',
    'RequestingService': '3',
    'RequestedProcedureDescription': '1C',
    'AdmissionID': '2',
    'SpecialNeeds': '2',
    'CurrentPatientLocation': '2',
    'PatientState': '2',
    'RequestedProcedureID': '1',
    'RequestedProcedurePriority': '2',
    'PatientTransportArrangements': '2',
    'ConfidentialityConstraintOnPatientDataDescription': '2',
    }
_STEP_KEYS = {
    'Modality': '1',
    'ScheduledStationAETitle': '1',
    'ScheduledProcedureStepStartDate': '1',
    'ScheduledProcedureStepStartTime': '1',
    'ScheduledPerformingPhysicianName': '2',
    'ScheduledProcedureStepDescription': '1C',
    'ScheduledProcedureStepID': '1',
    'ScheduledStationName': '2',
    'ScheduledProcedureStepLocation': '2',
    'ScheduledProcedureStepStatus': '3',
    }
# What of type 1C is there instead
_CODES = {
    'RequestedProcedureDescription': 'RequestedProcedureCodeSequence',
    'ScheduledProcedureStepDescription': 'ScheduledProtocolCodeSequence'}
# By these the images find back: no template says otherwise
_IDENTITY = (
    'PatientID', 'StudyInstanceUID', 'AccessionNumber',
    'ScheduledProcedureStepID')

VARIABLES = frozenset({
        *_ROOT_KEYS, *_STEP_KEYS, 'Laterality', 'MergeID', 'PatientAge',
        'ReasonForTheRequestedProcedure', 'RequestedProcedureComments',
        'template_type', 'my'})

Value = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class LocalStart:
    """When a step starts where it takes place

    Attributes
    ----------
    date : str
        A DA.
    time : str
        A TM of six digits.
    offset : str
        For TimezoneOffsetFromUTC (0008,0201), as in ``'+0100'``.
    """
    date: str
    time: str
    offset: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """An entry of a worklist

    Attributes
    ----------
    dataset : Dataset
    text : str
        All of the dataset, in the kind of its template.
    completed : tuple of str
        Keywords that the template has left out.
    warnings : tuple of str
        ``'charset'``: the set of the template cannot hold a value, and
        Unicode is used in its place.
    """
    dataset: Dataset
    text: str
    completed: tuple[str, ...]
    warnings: tuple[str, ...]


def local_start(start: dt.datetime, zone: str | None) -> LocalStart:
    """Return the local time of a step.

    Parameters
    ----------
    start : datetime
        In UTC where it has no zone.
    zone : str or None
        Of the IANA database; None for UTC.

    Raises
    ------
    WorklistError
        There is no such zone.
    """
    try:
        place = ZoneInfo(zone) if zone else dt.timezone.utc
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WorklistError(('zone', 'TimezoneOffsetFromUTC')) from None
    if start.tzinfo is None:
        start = start.replace(tzinfo=dt.timezone.utc)
    local = start.astimezone(place)
    return LocalStart(
        local.strftime('%Y%m%d'), local.strftime('%H%M%S'),
        local.strftime('%z')[:5])


def render(
        template: Template | str, kind: str, variables: Mapping[str, Value],
        my: object = None) -> Rendered:
    """Return the entry of a step.

    Parameters
    ----------
    template : Template or str
    kind : str
        One of `KINDS`.
    variables : mapping
        Values as they are stored, by the names of `VARIABLES`; others are
        those of other modules.
    my : object, optional
        A view of the request for templates that read it.

    Raises
    ------
    TemplateError
        The template or its text cannot be used.
    WorklistError
        A value cannot be used, is missing or not that of the order.
    """
    if isinstance(template, str):
        template = compile_template(template)
    return _render(template, kind, _safe_variables(variables), my)


def _safe_variables(variables: Mapping[str, Value]) -> dict[str, str]:
    problems = []
    safe = {**dict.fromkeys(VARIABLES, ''), 'SpecificCharacterSet': UNICODE}
    for name, value in variables.items():
        try:
            safe[name] = _safe_variable(name, value)
        except WorklistError as error:
            problems.extend(error.problems)
    if problems:
        raise WorklistError(*problems)
    return safe


def _safe_variable(name: str, value: Value) -> str:
    if name == 'SpecificCharacterSet':
        return _charset_term(value or UNICODE)
    if isinstance(value, int | float | Decimal):
        value = f'{value:f}'.rstrip('0').rstrip('.')
    elif not isinstance(value, str | Sequence | None):
        raise WorklistError(('invalid', name))
    try:
        return safe_value(name, value)
    except KeyError:
        # No keyword of DICOM
        texts = [value] if value is None or isinstance(value, str) else value
        return '\\'.join(map(safe_text, texts))


def _charset_term(text: str) -> str:
    try:
        return find_charset(text).term
    except ValueError:
        raise WorklistError(('charset', 'SpecificCharacterSet')) from None


def _render(
        template: Template, kind: str, variables: dict[str, str],
        my: object) -> Rendered:
    variables = {**variables, 'template_type': kind}
    masked = render_text(template, variables, my)
    if kind == 'json':
        dataset = parse_json(masked)
    else:
        dataset = parse_dump(masked, masked=True)
    completed = _complete_entry(dataset, variables)
    warnings = _settle_charset(dataset, variables)
    text = to_json(dataset) if kind == 'json' else to_dump(dataset)
    return Rendered(dataset, text, completed, warnings)


def _complete_entry(
        dataset: Dataset, variables: Mapping[str, str]) -> tuple[str, ...]:
    step = _step_item(dataset)
    completed, problems = [], []
    for part, keys in [(dataset, _ROOT_KEYS), (step, _STEP_KEYS)]:
        for keyword, type_ in keys.items():
            if keyword not in part:
                completed.append(keyword)
            if _complete(part, keyword, type_, variables):
                problems.append(('missing', keyword))
    if 'RequestedProcedureDescription' in dataset:
        # Some consoles ask for it there
        _set(step, 'RequestedProcedureDescription', _text(
                dataset, 'RequestedProcedureDescription'))
    for keyword in _IDENTITY:
        part = step if keyword in _STEP_KEYS else dataset
        if _text(part, keyword) != variables[keyword]:
            problems.append(('differs', keyword))
    if problems:
        raise WorklistError(*problems)
    return tuple(completed)


def _complete(
        part: Dataset, keyword: str, type_: str,
        variables: Mapping[str, str]) -> bool:
    "Add a key, and tell whether its value is missing"
    present = keyword in part
    if present and (type_ in {'2', '3'} or _text(part, keyword)):
        return False
    value = variables[keyword]
    if keyword == 'ScheduledProcedureStepDescription':
        value = value or variables['RequestedProcedureDescription']
    if value or type_ == '2':
        _set(part, keyword, value)
    return not value and (
        type_ == '1' or type_ == '1C' and not _is_coded(part, keyword))


def _is_coded(part: Dataset, keyword: str) -> bool:
    codes = _CODES.get(keyword)
    return codes is not None and codes in part


def _step_item(dataset: Dataset) -> Dataset:
    "Return the one item of the step, made if there is none"
    items = dataset.get(STEP) or []
    if len(items) > 1:
        raise WorklistError(('many', STEP))
    if not items:
        items = [Dataset()]
        _set(dataset, STEP, items)
    return items[0]


def _text(part: Dataset, keyword: str) -> str:
    element = part.get(tag_for_keyword(keyword))
    return '\\'.join(texts_of(element)) if element is not None else ''


def _set(part: Dataset, keyword: str, value: object) -> None:
    vr, _ = representation(keyword)
    if vr == 'US':
        value = int(value) if value else None
    tag = tag_for_keyword(keyword)
    part[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)


def _settle_charset(
        dataset: Dataset, variables: Mapping[str, str]) -> tuple[str, ...]:
    "Set a character set that can hold all values"
    term = _charset_term(
        _text(dataset, 'SpecificCharacterSet')
        or variables['SpecificCharacterSet'])
    _set(dataset, 'SpecificCharacterSet', term)
    if term == UNICODE:
        return ()
    try:
        to_file(dataset)
    except UnicodeEncodeError:
        _set(dataset, 'SpecificCharacterSet', UNICODE)
        return ('charset',)
    return ()


def check_template(
        source: str, kind: str, charset: str | None,
        names: Iterable[str] = ()) -> tuple[str, ...]:
    """Check a template with sample orders.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    charset : str or None
    names : iterable of str
        Variables of other modules.

    Returns
    -------
    tuple of str
        Keywords that are added to each entry.

    Raises
    ------
    TemplateError, WorklistError
    """
    template = compile_template(source)
    names = set(names)
    for name in sorted(template.names - VARIABLES - names):
        raise TemplateError('template_name', template.line_of(name), name)
    completed: dict[str, None] = {}
    for values, is_full in [(FULL, True), (SPARSE, False)]:
        variables = _safe_variables(
            {**values, 'SpecificCharacterSet': charset})
        variables.update(dict.fromkeys(names, UNKNOWN if is_full else ''))
        completed.update(dict.fromkeys(
            _check_sample(template, kind, variables, Sample(is_full))))
    return tuple(completed)


def _check_sample(
        template: Template, kind: str, variables: dict[str, str],
        my: Sample) -> tuple[str, ...]:
    try:
        return _render(template, kind, variables, my).completed
    except TemplateError as error:
        # What a record holds shows only when there is one
        if error.kind == 'template_value' and (
                re.search(r'\bmy\b', error.detail)):
            return ()
        raise


def dump_bytes(text: str, charset: str) -> bytes:
    """Return the text for dump2dcm as a file in a character set.

    Raises
    ------
    UnicodeEncodeError
        The set cannot hold the text.
    """
    found = find_charset(charset)
    return b''.join(
        _encode_line(line, found) for line in text.splitlines(keepends=True))


_VALUE = re.compile(r'(\s*\(....,....\) (..) \[)(.*)(\]\s*)', re.DOTALL)


def _encode_line(line: str, charset: Charset) -> bytes:
    match = _VALUE.fullmatch(line)
    if line.isascii() or not match:
        return line.encode('ascii')
    head, vr, value, tail = match.groups()
    return head.encode() + encode_text(value, vr, charset) + tail.encode()


def differences(expected: Dataset, found: Dataset) -> tuple[str, ...]:
    """Return the keywords of elements that are not equal.

    Padding, group lengths and what stands in the header of a file make no
    difference.
    """
    names = []
    for tag in sorted({*expected.keys(), *found.keys()}):
        if tag.element and tag.group > 0x0002 and (
                _content(expected.get(tag)) != _content(found.get(tag))):
            element = expected.get(tag) or found.get(tag)
            names.append(element.keyword or str(tag))
    return tuple(names)


def _content(element: DataElement | None) -> object:
    if element is None:
        return None
    if element.VR != 'SQ':
        return [text for text in texts_of(element) if text]
    return [
        [(one.tag, _content(one)) for one in item if one.tag.element]
        for item in element.value]
