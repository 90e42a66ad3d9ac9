# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that only name variables, prepared to be filled in quickly.

A worklist of thousands of orders repeats most of its elements.  If a template
for dump2dcm has one element on each line, and its conditions depend on
nothing but the type of the template, its elements are known beforehand: each
is made once for a value, by the functions that render all other templates,
and is used for all items with this value.  Most values that only one item has
are plain ASCII, of which an element is quickly made.

A `Layout` makes the same bytes and the same text as the ordinary rendering,
or nothing: what it cannot fill in, errors included, is left to that.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from genshi.core import TEXT
from genshi.template.base import EXPR, SUB
from genshi.template.directives import IfDirective
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from ..dicom.charsets import UNICODE, find_charset
from .completion import (
    IDENTITY, ROOT_KEYS, STEP_KEYS, allowed_identities, new_element)
from .dicom_file import (
    encode_ascii, encode_elements, encode_sequence, wrap_content)
from .dump import (
    DUMP_COMMENT, DUMP_LINE, EMPTY_SEQUENCES, ITEM, ITEM_END, SEQUENCE_END,
    STEP, Key, dump_lines, find_key, read_element, texts_of)
from .element_values import WorklistError, safe_value
from .expressions import Budget, read_names
from .template import BUDGET, Template, TemplateError, mask

__all__ = ['Filled', 'Layout', 'find_layout']

KIND = 'dump2dcm'
# Stands for a variable: a noncharacter that no template may hold
_HOLE = '\ufdee'
# A longer value has its item rendered in the ordinary way, so that few
# characters are remembered
_LONGEST = 500
# VRs whose text is written as it is, and texts without a delimiter
_WRITTEN_AS_IS = {'AE', 'AS', 'CS', 'DA', 'LO', 'PN', 'SH', 'TM', 'UI'}
_PLAIN = re.compile('[A-Za-z0-9.^_+/-]+(?: [A-Za-z0-9.^_+/-]+)*')
# Elements that are remembered
_REMEMBERED = 4096
_MOST_LINES = 500
_CHARSET = 'SpecificCharacterSet'
_DESCRIPTION = 'RequestedProcedureDescription'
_STEP_DESCRIPTION = 'ScheduledProcedureStepDescription'


class Filled(NamedTuple):
    """An item that was made from a layout

    Attributes
    ----------
    file : bytes
        As of `to_file`.
    text : str
        As of `to_dump`.
    charset, titles : str
        Specific Character Set and AE titles; several values are separated by
        backslashes.
    """
    file: bytes
    text: str
    charset: str
    titles: str


class _Unsuitable(Exception):
    """A template or value that has to be rendered in the ordinary way"""


@lru_cache(maxsize=128)
def find_layout(template: Template) -> 'Layout | None':
    """Return the layout of a template for dump2dcm.

    Parameters
    ----------
    template : Template

    Returns
    -------
    Layout or None
        None if its elements are not known beforehand.
    """
    try:
        return Layout(template)
    except (_Unsuitable, TemplateError, WorklistError):
        return None


# --- Elements -------------------------------------------------------------


class _Element(NamedTuple):
    """An element with a certain value, as it is written

    Attributes
    ----------
    text : str
        Values separated by backslashes.
    lines : str
        Its lines for dump2dcm.
    content : bytes
        All of it in a file.
    """
    tag: int
    text: str
    lines: str
    content: bytes


def _write(element: DataElement, charset: str) -> _Element:
    return _Element(
        int(element.tag),
        '' if element.VR == 'SQ' else '\\'.join(texts_of(element)),
        '\n'.join(dump_lines([element])),
        encode_elements([element], find_charset(charset)))


@lru_cache(maxsize=_REMEMBERED)
def _read(key: Key, rest: str, charset: str) -> _Element:
    """Return the element of a line, from what follows its VR."""
    return _write(read_element(key, rest), charset)


@lru_cache(maxsize=_REMEMBERED)
def _added(keyword: str, value: str, charset: str) -> _Element:
    """Return an element that the template lacks."""
    return _write(new_element(keyword, value), charset)


@lru_cache(maxsize=len(EMPTY_SEQUENCES))
def _empty_sequence(keyword: str) -> _Element:
    return _write(new_element(keyword, []), UNICODE)


def _step_sequence(step: Iterable[_Element]) -> _Element:
    """Return the sequence whose item has certain elements."""
    elements = sorted(step, key=_tag)
    begin, item, *end = _step_lines()
    lines = [f'    {element.lines}' for element in elements]
    return _Element(
        _STEP_TAG, '', '\n'.join([begin, item, *lines, *end]),
        encode_sequence(
            _STEP_TAG, [b''.join([one.content for one in elements])]))


@lru_cache(maxsize=1)
def _step_lines() -> tuple[str, ...]:
    """Return the lines of the sequence with an item that is empty."""
    return tuple(dump_lines([new_element(STEP, [Dataset()])]))


_STEP_TAG = int(new_element(STEP, []).tag)


_tag = attrgetter('tag')


# --- Reading the template -------------------------------------------------


class _Line:
    """A line of the template that has an element

    Parameters
    ----------
    key : Key
    rest : str
        What follows the VR, with holes.
    names : tuple of str
        The variables that fill the holes.
    """
    __slots__ = ('key', '_rest', 'names', '_is_plain', '_head', '_last')

    def __init__(self, key: Key, rest: str, names: tuple[str, ...]):
        self.key = key
        self._rest = rest
        self.names = names
        self._is_plain = rest == f'[{_HOLE}]' and key.vr in _WRITTEN_AS_IS
        tag = int(key.tag)
        self._head = f'({tag >> 16:04x},{tag & 0xffff:04x}) {key.vr} ['
        # Values, character set and element of the last item: many have all
        # of them in common
        self._last: tuple[object, str, _Element] | None = None

    def fill(self, variables: Mapping[str, str], charset: str) -> _Element:
        values: object
        if len(self.names) == 1:
            values = variables[self.names[0]]
        else:
            values = [variables[name] for name in self.names]
        last = self._last
        if last and last[0] == values and last[1] == charset:
            return last[2]
        element = self._fill_plain(values) if self._is_plain else None
        if not element:
            rest = self._rest
            for name in self.names:
                rest = rest.replace(_HOLE, mask(variables[name]), 1)
            element = _read(self.key, rest.strip(), charset)
        self._last = values, charset, element
        return element

    def _fill_plain(self, value: object) -> _Element | None:
        """Return the element of a value that needs no masks, or None."""
        if not isinstance(value, str) or not _PLAIN.fullmatch(value) or (
                safe_value(self.key.keyword or self.key.vr, value) != value):
            return None
        return _Element(
            int(self.key.tag), value, f'{self._head}{value}]',
            encode_ascii(self.key.tag, self.key.vr, value))


def _text_with_holes(
        events: Iterable[tuple], names: list[str]) -> Iterator[str]:
    """Yield the text of a template, and add the variables of its holes."""
    for kind, data, _ in events:
        if kind is TEXT:
            yield data
        elif kind is EXPR:
            names.append(_variable(data.tree))
            yield _HOLE
        elif kind is SUB and _applies(data[0]):
            yield from _text_with_holes(data[1], names)


def _variable(tree: ast.AST) -> str:
    name = getattr(tree, 'body', tree)
    if not isinstance(name, ast.Name) or name.id == 'my':
        raise _Unsuitable
    return name.id


def _applies(directives: list) -> bool:
    """Return whether a part of the template is for dump2dcm."""
    directive, *others = directives
    if others or not isinstance(directive, IfDirective) or (
            read_names(directive.expr.tree, None) != {'template_type'}):
        raise _Unsuitable
    return bool(directive.expr.evaluate(
            {'template_type': KIND, BUDGET: Budget()}))


def _read_lines(
        text: str, names: list[str]) -> tuple[list[_Line], list[_Line]]:
    """Return the lines of the item, and those of its step."""
    root: list[_Line] = []
    step: list[_Line] = []
    # What the next delimiter must be
    expected, lines = None, root
    left = iter(names)
    for line in text.split('\n')[:_MOST_LINES + 1]:
        own = tuple(next(left) for _ in range(line.count(_HOLE)))
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        group, element, vr, rest = _split(line)
        tag = int(group + element, 16)
        if tag in {ITEM, ITEM_END, SEQUENCE_END}:
            if tag != expected:
                raise _Unsuitable
            expected, lines = _AFTER[tag], step if tag == ITEM else root
        elif tag == _STEP_TAG and lines is root and not step:
            expected = ITEM
        else:
            lines.append(_Line(find_key(tag, vr or '', None), rest, own))
            if expected in {ITEM, SEQUENCE_END}:
                raise _Unsuitable
    if expected or text.count('\n') > _MOST_LINES:
        raise _Unsuitable
    return root, step


_AFTER = {ITEM: ITEM_END, ITEM_END: SEQUENCE_END, SEQUENCE_END: None}


def _split(line: str) -> tuple[Any, ...]:
    """Return group, element, VR and the rest of a line.

    Whatever fills its holes must be a part of the rest.
    """
    match = DUMP_LINE.fullmatch(line)
    if not match or DUMP_COMMENT.search(line):
        raise _Unsuitable
    for filler in ['', 'x', 'CS', '  CS']:
        filled = DUMP_LINE.fullmatch(line.replace(_HOLE, filler).strip())
        if not filled or filled.groups()[:3] != match.groups()[:3] or (
                filled[4] != match[4].replace(_HOLE, filler).strip()):
            raise _Unsuitable
    return match.groups()


# --- Filling in -----------------------------------------------------------


class _Part:
    """The elements of the item itself, or of its step

    Parameters
    ----------
    lines : list of _Line
    types : mapping
        Return key types.
    """

    def __init__(self, lines: list[_Line], types: Mapping[str, str]):
        self._lines = [(line.key.keyword, line) for line in lines]
        present = {line.key.keyword for line in lines}
        if len(present) < len(lines) or '' in present or any(
                line.key.vr == 'SQ' for line in lines):
            raise _Unsuitable
        # Only these can be missing (see `completion.complete`)
        self._checked = [
            (keyword, type_) for keyword, type_ in types.items()
            if keyword not in present or type_ in {'1', '1C'}]

    def fill(
            self, variables: Mapping[str, str],
            charset: str) -> dict[str, _Element]:
        found = {
            keyword: line.fill(variables, charset)
            for keyword, line in self._lines}
        for keyword, type_ in self._checked:
            element = found.get(keyword)
            if element is None or not element.text:
                value = variables[keyword]
                if keyword == _STEP_DESCRIPTION:
                    value = value or variables[_DESCRIPTION]
                if value or type_ == '2':
                    found[keyword] = _added(keyword, value, charset)
                elif type_ != '3':
                    raise _Unsuitable
        return found


class Layout:
    """The elements of a template for dump2dcm

    Parameters
    ----------
    template : Template

    Raises
    ------
    _Unsuitable, TemplateError, WorklistError
        They are not known beforehand.
    """

    def __init__(self, template: Template):
        names: list[str] = []
        text = ''.join(_text_with_holes(template.text.stream, names))
        root, step = _read_lines(text, names)
        self._needed = template.names
        self._root = _Part(root, ROOT_KEYS)
        self._step = _Part(step, STEP_KEYS)
        self._charset = next(
            (line for line in root if line.key.keyword == _CHARSET), None)

    def fill(self, variables: Mapping[str, str]) -> Filled | None:
        """Return the item of safe variables.

        Returns
        -------
        Filled or None
            None if it has to be rendered in the ordinary way.
        """
        if not self._needed <= variables.keys() or (
                max(map(len, variables.values())) > _LONGEST):
            return None
        try:
            return self._fill(variables)
        except (_Unsuitable, TemplateError, WorklistError,
                UnicodeEncodeError):
            return None

    def _fill(self, variables: Mapping[str, str]) -> Filled:
        charset = self._find_charset(variables)
        root = self._root.fill(variables, charset)
        step = self._step.fill(variables, charset)
        root[_CHARSET] = _added(_CHARSET, charset, charset)
        for keyword in EMPTY_SEQUENCES:
            root[keyword] = _empty_sequence(keyword)
        step[_DESCRIPTION] = _added(
            _DESCRIPTION, root[_DESCRIPTION].text, charset)
        for keyword in IDENTITY:
            part = step if keyword in STEP_KEYS else root
            if part[keyword].text not in allowed_identities(
                    keyword, variables):
                raise _Unsuitable
        root[STEP] = _step_sequence(step.values())
        elements = sorted(root.values(), key=_tag)
        return Filled(
            wrap_content(b''.join([one.content for one in elements])),
            '\n'.join([one.lines for one in elements]) + '\n',
            charset, step['ScheduledStationAETitle'].text)

    def _find_charset(self, variables: Mapping[str, str]) -> str:
        text = ''
        if self._charset:
            text = self._charset.fill(variables, UNICODE).text
        try:
            return find_charset(text or variables[_CHARSET]).term
        except ValueError:
            raise _Unsuitable from None
