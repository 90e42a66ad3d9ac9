# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets as text: for DCMTK's dump2dcm, and as JSON.

Both forms are restricted to what a worklist needs: no private elements, no
binary data, no values from files, and no element twice.  dump2dcm reads the
texts that are written here without change; long values need its options
``+te +l 65536``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom import config
from pydicom.datadict import (
    dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_for_tag,
    tag_for_keyword)
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from .element_values import LENGTHS, WorklistError, safe_value
from .template import UNKNOWN, TemplateError, unmask

__all__ = [
    'DUMP_COMMENT', 'DUMP_LINE', 'EMPTY_SEQUENCES', 'ITEM', 'ITEM_END', 'Key',
    'SEQUENCE_END', 'STEP', 'dump_lines', 'find_key', 'parse_dump',
    'parse_json', 'read_element', 'texts_of', 'to_dump', 'to_json']

STEP = 'ScheduledProcedureStepSequence'
# Of return key type 2, and always empty: a server returns only attributes that
# the item has
EMPTY_SEQUENCES = ('ReferencedStudySequence', 'ReferencedPatientSequence')
# Attributes of the step that JSON templates may have at the root
_STEP_KEYS = frozenset({
        'Modality', 'ScheduledStationAETitle',
        'ScheduledProcedureStepStartDate', 'ScheduledProcedureStepStartTime',
        'ScheduledPerformingPhysicianName',
        'ScheduledProcedureStepDescription', 'ScheduledProcedureStepID',
        'ScheduledStationName', 'ScheduledProcedureStepLocation',
        'ScheduledProcedureStepStatus', 'ScheduledProtocolCodeSequence',
        'PreMedication', 'RequestedContrastAgent'})
_NUMBERS = {'US', 'SS', 'UL', 'SL'}
# VRs in which a backslash does not separate values
_PLAIN = {'LT', 'ST', 'UT'}
_CHARSET = 0x00080005
# VRs that pydicom stores as plain text
_STRINGS = {'AE', 'AS', 'CS', 'DA', 'LO', 'LT', 'SH', 'ST', 'TM', 'UT'}
_LISTS = (MultiValue, list)
_DEEPEST = 8
_MOST = 2000

# Of a line without white space at its ends
DUMP_LINE = re.compile(
    r'\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)\s*([A-Za-z?]{2})?(?=\W|$)\s*'
    r'(.*)')
# A second bracket would make it a part of the value
DUMP_COMMENT = re.compile(r'\]\s*#.*\]')
ITEM, ITEM_END, SEQUENCE_END = 0xfffee000, 0xfffee00d, 0xfffee0dd


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """An element as the standard defines it"""
    tag: BaseTag
    vr: str
    keyword: str
    many: bool


_Elements = MutableMapping[BaseTag, DataElement | RawDataElement]


@dataclass
class _Level:
    """A dataset that is being read, and the open sequence in it"""
    elements: _Elements = field(default_factory=dict)
    open: Key | None = None
    items: list[Dataset] = field(default_factory=list)


def parse_dump(text: str, masked: bool = False) -> Dataset:
    """Return the dataset of a text for dump2dcm.

    The VR is that of the standard.  As for dump2dcm, a value ends at the last
    bracket of its line.  Empty sequences are left out, but for
    `EMPTY_SEQUENCES`.

    Parameters
    ----------
    text : str
    masked : bool
        Whether the text comes from `template.render_text`: a bracket in a
        comment was then written in the template, and is an error.

    Raises
    ------
    TemplateError
        The text cannot be read by dump2dcm, or is not for a worklist.
    WorklistError
        A value is not valid for its VR.
    """
    levels = [_Level()]
    count = 0
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        count += 1
        if count > _MOST:
            raise TemplateError('result_length', number)
        if masked and DUMP_COMMENT.search(line):
            raise TemplateError('result_comment', number)
        _read_line(levels, line, number)
    if len(levels) > 1 or levels[0].open:
        raise TemplateError('result_sequence')
    return Dataset(levels[0].elements)


def _read_line(levels: list[_Level], line: str, number: int) -> None:
    match = DUMP_LINE.fullmatch(line.strip())
    if not match:
        raise TemplateError('result_syntax', number)
    group, element, vr, rest = match.groups()
    tag = int(group + element, 16)
    if tag in {ITEM, ITEM_END, SEQUENCE_END}:
        _read_delimiter(levels, tag, number)
        return
    level = levels[-1]
    if level.open:
        raise TemplateError('result_sequence', number)
    key = find_key(tag, vr or '', number)
    if key.tag in level.elements:
        raise TemplateError('result_twice', number, key.keyword)
    if key.vr == 'SQ':
        level.open = key
    else:
        level.elements[key.tag] = read_element(key, rest, number)


def _read_delimiter(levels: list[_Level], tag: int, number: int) -> None:
    level = levels[-1]
    if tag == ITEM and level.open and len(levels) < _DEEPEST:
        levels.append(_Level())
    elif tag == ITEM_END and not level.open and len(levels) > 1:
        levels.pop()
        if level.elements:
            levels[-1].items.append(Dataset(level.elements))
    elif tag == SEQUENCE_END and level.open:
        if level.items or level.open.keyword in EMPTY_SEQUENCES:
            level.elements[level.open.tag] = _new(level.open, level.items)
        level.open, level.items = None, []
    else:
        raise TemplateError('result_sequence', number)


def find_key(tag: int, vr: str, number: int | None) -> Key:
    """Return what is known of an element (DICOM PS3.6).

    Parameters
    ----------
    tag : int
    vr : str
        Of an element that is not in the data dictionary.
    number : int or None
        The line of the template, for an error.

    Raises
    ------
    TemplateError
        A worklist item cannot have the element.
    """
    try:
        return _key(tag, vr)
    except TemplateError as error:
        raise TemplateError(error.kind, number, error.detail) from None


@lru_cache(maxsize=4096)
def _key(tag: int, vr: str) -> Key:
    name = f'({tag >> 16:04x},{tag & 0xffff:04x})'
    if tag >> 16 & 1:
        raise TemplateError('result_private', None, name)
    if tag >> 16 < 0x0008 or not tag & 0xffff:
        raise TemplateError('result_tag', None, name)
    many = True
    if dictionary_has_tag(tag):
        vr = dictionary_VR(tag).split(' or ')[0]
        many = dictionary_VM(tag) != '1'
    if vr != 'SQ' and vr not in LENGTHS and vr not in _NUMBERS:
        raise TemplateError('result_vr', None, name)
    return Key(BaseTag(tag), vr, keyword_for_tag(tag), many)


def read_element(
        key: Key, rest: str, number: int | None = None) -> DataElement:
    """Return the element of a line, from what follows its VR."""
    return _element(key, _value_text(rest, number))


def _value_text(rest: str, number: int | None) -> str:
    if rest.startswith('['):
        inside, bracket, after = rest[1:].rpartition(']')
        if not bracket or after.strip() and not after.strip().startswith('#'):
            raise TemplateError('result_syntax', number)
        return inside if inside.isascii() else unmask(inside)
    if rest.startswith(('(', '#')):
        return ''
    if rest.startswith('='):
        raise TemplateError('result_path', number)
    return unmask(rest.partition('#')[0])


def _element(key: Key, text: str) -> DataElement:
    if UNKNOWN in text:
        text = ''
    if key.tag != _CHARSET:
        text = _safe(key, text)
    if key.vr in _NUMBERS:
        return _new(key, [int(part) for part in text.split('\\') if part])
    return _new(key, text)


def _safe(key: Key, text: str) -> str:
    name = key.keyword or key.vr
    if '\\' not in text or key.vr in _PLAIN:
        return safe_value(name, text)
    if not key.many:
        raise WorklistError(('many', name))
    return safe_value(name, text.split('\\'))


def _new(
        key: Key,
        value: str | Sequence[int] | Sequence[Dataset]) -> DataElement:
    return DataElement(
        key.tag, key.vr, value if value or key.vr not in _NUMBERS else None,
        validation_mode=config.IGNORE,
        # This saves a third of the time
        already_converted=key.vr in _STRINGS and '\\' not in value)


def parse_json(text: str) -> Dataset:
    """Return the dataset of a JSON object whose names are DICOM keywords.

    Attributes of the step may be at the root, as in the templates of GNU
    Health 5.0.  Empty sequences are left out, but for `EMPTY_SEQUENCES`.

    Parameters
    ----------
    text : str
        As `template.render_text` returns it.

    Raises
    ------
    TemplateError
    WorklistError
        A value is not valid for its VR.
    """
    try:
        content = json.loads(
            text, object_pairs_hook=_object, parse_int=str, parse_float=str,
            parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise TemplateError('result_syntax', error.lineno) from None
    except RecursionError:
        raise TemplateError('result_sequence') from None
    if not isinstance(content, dict):
        raise TemplateError('result_syntax', 1)
    _gather_step(content)
    return _read_object(content, 1)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(unmask(name) for name, _ in pairs)
        raise TemplateError('result_twice', None, max(
                counts, key=counts.__getitem__))
    return content


def _refuse_constant(text: str) -> None:
    raise TemplateError('result_number')


def _gather_step(content: dict[str, object]) -> None:
    found = [name for name in content if name in _STEP_KEYS]
    if not found:
        return
    items = content.setdefault(STEP, [{}])
    if (not isinstance(items, list) or len(items) != 1
            or not isinstance(items[0], dict)):
        raise TemplateError('result_sequence', None, STEP)
    for name in found:
        if name in items[0]:
            raise TemplateError('result_twice', None, name)
        items[0][name] = content.pop(name)


def _read_object(content: dict[str, object], depth: int) -> Dataset:
    if depth > _DEEPEST:
        raise TemplateError('result_sequence')
    elements: _Elements = {}
    for name, value in content.items():
        name = unmask(name)
        tag = tag_for_keyword(name)
        if tag is None:
            raise TemplateError('result_keyword', None, name)
        key = find_key(tag, '', None)
        if key.vr == 'SQ':
            value = _read_items(name, value, depth)
            if value or name in EMPTY_SEQUENCES:
                elements[key.tag] = _new(key, value)
        else:
            elements[key.tag] = _element(key, _json_text(name, value))
    return Dataset(elements)


def _read_items(name: str, value: object, depth: int) -> list[Dataset]:
    if not isinstance(value, list) or not all(
            isinstance(item, dict) for item in value):
        raise TemplateError('result_sequence', None, name)
    return [_read_object(item, depth + 1) for item in value if item]


def _json_text(name: str, value: object) -> str:
    values = value if isinstance(value, list) else [value]
    texts = [one or '' for one in values if isinstance(one, str | None)]
    if len(texts) < len(values):
        raise TemplateError('result_value', None, name)
    return '\\'.join(map(unmask, texts))


def texts_of(element: DataElement) -> list[str]:
    """Return the values of an element that is no sequence, without padding."""
    value = element.value
    if value is None or value == '':
        return []
    values = value if isinstance(value, _LISTS) else [value]
    return [str(one).strip(' \0') for one in values]


def to_dump(dataset: Dataset) -> str:
    """Return the text of a dataset for dump2dcm."""
    return '\n'.join(dump_lines(dataset)) + '\n'


def dump_lines(
        elements: Iterable[DataElement], indent: str = '') -> Iterator[str]:
    """Yield the lines of elements for dump2dcm."""
    for element in elements:
        tag = f'({element.tag.group:04x},{element.tag.element:04x})'
        head = f'{indent}{tag} {element.VR}'
        if element.VR == 'SQ':
            yield f'{head} (Sequence with undefined length)'
            for item in element.value:
                yield f'{indent}  (fffe,e000) na (Item with undefined length)'
                yield from dump_lines(item, indent + '    ')
                yield f'{indent}  (fffe,e00d) na (ItemDelimitationItem)'
            yield f'{indent}(fffe,e0dd) na (SequenceDelimitationItem)'
            continue
        text = _joined(element)
        if not text:
            value = '(no value available)'
        elif element.VR in _NUMBERS:
            value = text
        else:
            value = f'[{text}]'
        yield f'{head} {value}'


def _joined(element: DataElement) -> str:
    """Return the values of an element, as written between brackets.

    dump2dcm reads a backslash before an *n* as the end of a line.
    """
    texts = texts_of(element)
    return '\\'.join(
        f' {text}' if index and text.startswith('n') else text
        for index, text in enumerate(texts))


def to_json(dataset: Dataset) -> str:
    """Return a dataset as a JSON object whose names are DICOM keywords."""
    return json.dumps(
        _json_object(dataset), ensure_ascii=False, indent=4) + '\n'


def _json_object(dataset: Dataset) -> dict[str, object]:
    content: dict[str, object] = {}
    for element in dataset:
        if element.VR == 'SQ':
            content[element.keyword] = [
                _json_object(item) for item in element.value]
        else:
            texts = texts_of(element)
            content[element.keyword] = (
                texts if len(texts) > 1 else ''.join(texts))
    return content
