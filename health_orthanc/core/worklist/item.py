# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist items, from the variables of a procedure step (PS3.4 K.6.1.2).

Files, answers of the plugin and the preview are all made from one dataset.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from pydicom import dcmread
from pydicom.dataset import Dataset

from ..dicom.charsets import UNICODE, Charset, find_charset
from .completion import ROOT_KEYS, STEP_KEYS, complete, set_value, text_of
from .default_template import DEFAULT_TEMPLATE
from .dicom_file import differences, encode_text, to_file
from .dump import STEP, parse_dump, parse_json, to_dump, to_json
from .element_values import (
    Problem, WorklistError, person_name, safe_text, safe_value)
from .layout import Filled, find_layout
from .reach import Reach, check_reach
from .samples import FULL, SPARSE, Sample
from .template import (
    UNKNOWN, Template, TemplateError, compile_template, render_text)
from .template_error import Unreachable
from .times import LocalStart, local_start, patient_age

__all__ = [
    'DEFAULT_TEMPLATE', 'KINDS', 'Item', 'LocalStart', 'Reach', 'Rendered',
    'TemplateError', 'Unreachable', 'VARIABLES', 'WorklistError',
    'check_template', 'compile_template', 'count_stations', 'differences',
    'dump_bytes', 'local_start', 'make_item', 'patient_age', 'person_name',
    'render', 'render_sample', 'safe_text', 'safe_value', 'split_stations',
    'to_file']

_TITLE = 'ScheduledStationAETitle'

KINDS = ('dump2dcm', 'json')
# Longer values are not remembered
_LONGEST = 500

VARIABLES = frozenset({
        *ROOT_KEYS, *STEP_KEYS, 'Laterality', 'MergeID', 'PatientAge',
        'ReasonForTheRequestedProcedure', 'RequestedProcedureComments',
        'template_type', 'my'})

Value = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered worklist item

    Attributes
    ----------
    dataset : Dataset
    text : str
        The whole dataset, in the kind of its template.
    completed : tuple of str
        Keywords that were missing in the template.
    warnings : tuple of str
        ``'charset'`` if the character set of the template lacks a character,
        and Unicode was used instead.
    """
    dataset: Dataset
    text: str
    completed: tuple[str, ...]
    warnings: tuple[str, ...]


def render(
        template: Template | str, kind: str, variables: Mapping[str, Value],
        my: object = None) -> Rendered:
    """Return the worklist item of a step.

    Parameters
    ----------
    template : Template or str
    kind : str
        One of `KINDS`.
    variables : mapping
        Values as they are stored, by the names in `VARIABLES`; other names are
        those of other modules.
    my : object, optional
        A view of the request, for templates that read it.

    Returns
    -------
    Rendered

    Raises
    ------
    TemplateError
        The template, or the text rendered from it, is wrong.
    WorklistError
        A value is invalid, missing, or not that of the order.
    """
    if isinstance(template, str):
        template = compile_template(template)
    return _render(template, kind, _safe_variables(variables), my)


@dataclass(frozen=True, slots=True)
class Item:
    """A worklist item as it is stored

    Attributes
    ----------
    file : bytes
    text : str
        As of `Rendered`.
    charset : str
        Several terms are separated by backslashes.
    stations : int
        The number of AE titles, at least 1.
    """
    file: bytes
    text: str
    charset: str
    stations: int


def make_item(
        template: Template | str, kind: str, variables: Mapping[str, Value],
        my: object = None) -> Item:
    """Return the worklist item of a step, ready to be stored.

    It is the same as from `render`, but made in a shorter time if the
    template has a layout (see `layout`).

    Parameters
    ----------
    template, kind, variables, my
        As of `render`.

    Returns
    -------
    Item

    Raises
    ------
    TemplateError, WorklistError
        As of `render`.
    """
    if isinstance(template, str):
        template = compile_template(template)
    safe = {**_safe_variables(variables), 'template_type': kind}
    filled = _fill(template, kind, safe)
    if filled:
        return Item(
            filled.file, filled.text, filled.charset,
            len(_split_titles(filled.titles)) or 1)
    rendered = _render(template, kind, safe, my)
    dataset = rendered.dataset
    return Item(
        to_file(dataset), rendered.text,
        text_of(dataset, 'SpecificCharacterSet'), count_stations(dataset))


def _fill(
        template: Template, kind: str,
        variables: dict[str, str]) -> Filled | None:
    layout = find_layout(template) if kind == 'dump2dcm' else None
    return layout.fill(variables) if layout else None


def _safe_variables(variables: Mapping[str, Value]) -> dict[str, str]:
    problems: list[Problem] = []
    safe = {**dict.fromkeys(VARIABLES, ''), 'SpecificCharacterSet': UNICODE}
    for name, value in variables.items():
        try:
            # Most values are those of other items, too
            if isinstance(value, str) and len(value) <= _LONGEST:
                safe[name] = _remembered_variable(name, value)
            else:
                safe[name] = _safe_variable(name, value)
        except WorklistError as error:
            problems.extend(error.problems)
    if problems:
        raise WorklistError(*problems)
    return safe


@lru_cache(maxsize=4096)
def _remembered_variable(name: str, value: str) -> str:
    return _safe_variable(name, value)


def _safe_variable(name: str, value: Value) -> str:
    if name == 'SpecificCharacterSet':
        return _charset_term(value)
    if value is not None and not isinstance(value, str):
        value = _text_or_list(name, value)
    try:
        return safe_value(name, value)
    except KeyError:
        # Not a DICOM keyword
        texts = [value] if value is None or isinstance(value, str) else value
        return '\\'.join(map(safe_text, texts))


def _text_or_list(name: str, value: object) -> str | Sequence[str]:
    if isinstance(value, (int, float, Decimal)):
        text = f'{value:f}'
        return text.rstrip('0').rstrip('.') if '.' in text else text
    if isinstance(value, Sequence) and all(
            one is None or isinstance(one, str) for one in value):
        return value
    raise WorklistError(('invalid', name))


def _charset_term(value: Value) -> str:
    text = value if isinstance(value, str) or not value else '\\'.join(value)
    try:
        return find_charset(text or UNICODE).term
    except ValueError:
        raise WorklistError(('charset', 'SpecificCharacterSet')) from None


def _render(
        template: Template, kind: str, variables: dict[str, str],
        my: object) -> Rendered:
    if kind not in KINDS:
        raise ValueError(kind)
    variables = {**variables, 'template_type': kind}
    masked = render_text(template, variables, my)
    try:
        dataset = _parse(template, kind, masked)
        completed = complete(dataset, variables)
        warnings = _settle_charset(dataset, variables)
        text = to_json(dataset) if kind == 'json' else to_dump(dataset)
    except (MemoryError, RecursionError):
        raise TemplateError('template_length') from None
    return Rendered(dataset, text, completed, warnings)


def _parse(template: Template, kind: str, masked: str) -> Dataset:
    if kind != 'json':
        return parse_dump(masked, masked=True)
    try:
        return parse_json(masked)
    except TemplateError as error:
        # The name may contain data of the patient
        if error.detail in template.source:
            raise
        raise TemplateError(error.kind, error.line) from None


def _settle_charset(
        dataset: Dataset, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Set a character set that has all characters."""
    term = _charset_term(
        text_of(dataset, 'SpecificCharacterSet')
        or variables['SpecificCharacterSet'])
    set_value(dataset, 'SpecificCharacterSet', term)
    if term == UNICODE:
        return ()
    try:
        to_file(dataset)
    except UnicodeEncodeError:
        set_value(dataset, 'SpecificCharacterSet', UNICODE)
        return ('charset',)
    return ()


def check_template(
        source: str, kind: str, charset: str | None,
        names: Iterable[str] = (),
        reach: Reach | None = None) -> tuple[str, ...]:
    """Check a template: what it reads, and its text for sample orders.

    Parameters
    ----------
    source : str
    kind : str
        One of `KINDS`.
    charset : str or None
    names : iterable of str
        Variables of other modules.
    reach : Reach, optional
        What it may read of records.

    Returns
    -------
    tuple of str
        Keywords that the template lacks, and that are added to each item.

    Raises
    ------
    TemplateError, WorklistError
    """
    template = compile_template(source)
    names = set(names)
    for name in sorted(template.names - VARIABLES - names):
        raise TemplateError(
            'template_name', template.find_line(name), name)
    if reach:
        check_reach(template, reach)
    completed: dict[str, None] = {}
    samples: list[tuple[Mapping[str, Value], bool]] = [
        (FULL, True), (SPARSE, False)]
    for values, is_full in samples:
        variables = _safe_variables(
            {**values, 'SpecificCharacterSet': charset})
        variables.update(dict.fromkeys(names, UNKNOWN if is_full else ''))
        completed.update(dict.fromkeys(
            _check_sample(template, kind, variables, Sample(is_full))))
    return tuple(completed)


def render_sample(
        source: str, kind: str, charset: str | None,
        names: Iterable[str] = ()) -> str:
    """Return what a template makes of a sample order that has all data.

    Parameters
    ----------
    source : str
    kind : str
        One of `KINDS`.
    charset : str or None
    names : iterable of str
        Variables of other modules.

    Returns
    -------
    str
        Of the same format as the items for modalities.

    Raises
    ------
    TemplateError, WorklistError
    """
    variables = _safe_variables({**FULL, 'SpecificCharacterSet': charset})
    variables.update(dict.fromkeys(names, UNKNOWN))
    return _render(
        compile_template(source), kind, variables, Sample(True)).text


def _check_sample(
        template: Template, kind: str, variables: dict[str, str],
        my: Sample) -> tuple[str, ...]:
    try:
        return _render(template, kind, variables, my).completed
    except TemplateError as error:
        # It can only be checked with a record
        if error.kind == 'template_value' and (
                re.search(r'\bmy\b', error.detail)):
            return ()
        raise


def dump_bytes(text: str, charset: str) -> bytes:
    """Return the text for dump2dcm in a character set.

    Parameters
    ----------
    text : str
    charset : str

    Raises
    ------
    UnicodeEncodeError
        A character is not in the set.
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


# --- Steps that several stations may perform ------------------------------


def count_stations(dataset: Dataset) -> int:
    """Return the number of AE titles of the step, at least 1."""
    return len(_titles(dataset)) or 1


def split_stations(file: bytes, kind: str) -> list[tuple[bytes, str]]:
    """Return an item for each station of a step.

    Orthanc's worklists plugin and wlmscpfs compare the whole text of the
    element with the AE title of a query.

    Parameters
    ----------
    file : bytes
        Of `to_file`.
    kind : str
        ``'dump2dcm'`` or ``'json'``.

    Returns
    -------
    list of tuple
        The file and the text of each.
    """
    dataset = dcmread(io.BytesIO(file))
    found = []
    for title in _titles(dataset):
        single = Dataset({
                element.tag: deepcopy(element) for element in dataset})
        set_value(single[STEP].value[0], _TITLE, title)
        text = to_json(single) if kind == 'json' else to_dump(single)
        found.append((to_file(single), text))
    return found


def _titles(dataset: Dataset) -> list[str]:
    return _split_titles(text_of(dataset[STEP].value[0], _TITLE))


def _split_titles(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, text.split('\\'))))
