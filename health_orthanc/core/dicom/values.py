# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of DICOM values into Python objects (PS3.5 §6.2).

The parsers return None for an empty value and raise ValueError for a
malformed one. Padding does not belong to a value.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, TypeVar

from pydicom.uid import generate_uid

__all__ = [
    'NameGroup', 'PersonName', 'clean_text', 'clean_texts', 'display_names',
    'is_ae_title', 'is_short_string', 'is_uid', 'looks_damaged', 'new_uid',
    'parse_date', 'parse_integer', 'parse_person_name', 'parse_time',
    'split_ae_titles']

# Controls and lone surrogates can neither be stored nor shown
_UNPRINTABLE = (
    dict.fromkeys([*range(0x20), *range(0x7f, 0xa0)], ' ')
    | dict.fromkeys(range(0xd800, 0xe000), '\ufffd'))
_HALF_WIDTH = re.compile('[\uff61-\uff9f]+')
_DATE = re.compile(r'([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})')
_TIME = re.compile(
    r'([0-9]{2})(?:(:?)([0-9]{2})(?:\2([0-9]{2})(?:\.([0-9]{1,6}))?)?)?')
_INTEGER = re.compile(r'[+-]?[0-9]{1,12}')
_AE_TITLE = re.compile(r'[ -\[\]-~]{1,16}')
_SHORT_STRING = re.compile(r'[^\x00-\x1f\\\x7f-\x9f]{1,16}')
# What is left of escape sequences without their first byte, and half-width
# Katakana, as which two-byte characters are misread
_RESIDUES = re.compile(r'[?\ufffd]|\$[@B()]|\([BJI]|[\uff61-\uff9f]')
_UID = re.compile(r'(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*')

_CACHED = 4096
_LONGEST_CACHED = 128

T = TypeVar('T')


def _cached(
        function: Callable[[str | None], T]) -> Callable[[str | None], T]:
    """Remember what a function returns: many resources have the same values.

    Long texts are not kept.
    """
    known = lru_cache(_CACHED)(function)

    @wraps(function)
    def call(text: str | None) -> T:
        if text and len(text) > _LONGEST_CACHED:
            return function(text)
        return known(text)
    return call


def clean_text(text: str | None) -> str:
    """Return text without padding, with control characters replaced by spaces.
    """
    text = text or ''
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_UNPRINTABLE)
    return text.strip()


def clean_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values that are texts, each as `clean_text` returns it."""
    try:
        joined = ''.join(values.values())
    except TypeError:
        joined = None
    if joined is not None and joined.isascii() and joined.isprintable():
        # Nearly all are, and one look at all is faster than one at each
        return {key: value.strip() for key, value in values.items()}
    return {
        key: value.strip() if value.isascii() and value.isprintable()
        else clean_text(value)
        for key, value in values.items() if isinstance(value, str)}


@_cached
def parse_date(text: str | None) -> dt.date | None:
    """Return the date of a DA; the old form ``yyyy.mm.dd`` is accepted."""
    value = clean_text(text)
    if not value:
        return None
    match = _DATE.fullmatch(value)
    if not match:
        raise ValueError("not a DA")
    year, _, month, day = match.groups()
    return dt.date(int(year), int(month), int(day))


@_cached
def parse_time(text: str | None) -> dt.time | None:
    """Return the time of a TM; the old form ``hh:mm:ss`` is accepted.

    A leap second becomes the second before.
    """
    value = clean_text(text)
    if not value:
        return None
    match = _TIME.fullmatch(value)
    if not match:
        raise ValueError("not a TM")
    hour, _, minute, second, fraction = match.groups(default='')
    seconds = int(second or 0)
    return dt.time(
        int(hour), int(minute or 0), 59 if seconds == 60 else seconds,
        int(fraction.ljust(6, '0')))


@_cached
def parse_integer(text: str | None) -> int | None:
    """Return the number of an IS, which has 32 bits."""
    value = clean_text(text)
    if not value:
        return None
    if not _INTEGER.fullmatch(value):
        raise ValueError("not an IS")
    number = int(value)
    if not -2**31 <= number < 2**31:
        raise ValueError("not within the range of an IS")
    return number


def is_uid(text: str) -> bool:
    """Return whether the text is a UI, without padding (PS3.5 §9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def new_uid() -> str:
    """Return a new, unique UI from a random UUID (PS3.5 §B.2)."""
    return str(generate_uid(prefix=None))


def is_ae_title(text: str) -> bool:
    """Return whether the text is an AE, which is not spaces only."""
    return _AE_TITLE.fullmatch(text) is not None and not text.isspace()


def split_ae_titles(text: str | None) -> list[str]:
    r"""Return the AE titles in a text, which are separated by ``\\``."""
    return [
        title.strip() for title in (text or '').split('\\')
        if title.strip()]


def is_short_string(text: str) -> bool:
    """Return whether the text is a valid SH as it is."""
    return _SHORT_STRING.fullmatch(text) is not None and text == text.strip()


@dataclass(frozen=True, slots=True)
class NameGroup:
    """The components of one group of a PN (PS3.5 §6.2.1.1)

    Components after the fifth are part of the suffix.

    Attributes
    ----------
    family, given, middle, prefix, suffix : str
    """
    family: str = ''
    given: str = ''
    middle: str = ''
    prefix: str = ''
    suffix: str = ''

    @classmethod
    def parse(cls, text: str) -> 'NameGroup':
        """Return the components of a group, in which ``^`` separates them."""
        parts = [' '.join(part.split()) for part in text.split('^')]
        parts += [''] * (4 - len(parts))
        family, given, middle, prefix, *suffixes = parts
        return cls(family, given, middle, prefix, _join(' ', *suffixes))

    def __bool__(self) -> bool:
        return any([
                self.family, self.given, self.middle, self.prefix,
                self.suffix])

    @property
    def display(self) -> str:
        """str : ``Family, Prefix Given Middle, Suffix``"""
        given = _join(' ', self.prefix, self.given, self.middle)
        if _is_east_asian(self.family):
            return _join(' ', self.family, given, self.suffix)
        return _join(', ', self.family, given, self.suffix)


@dataclass(frozen=True, slots=True)
class PersonName:
    """A PN (PS3.5 §6.2.1)

    Attributes
    ----------
    alphabetic, ideographic, phonetic : NameGroup
    """
    alphabetic: NameGroup
    ideographic: NameGroup = NameGroup()
    phonetic: NameGroup = NameGroup()

    @property
    def display(self) -> str:
        """str : the name for people to read

        The ideographic group follows the alphabetic one in brackets; the
        phonetic group is used if it is the only one.
        """
        first, second = self.alphabetic.display, self.ideographic.display
        if first and second:
            return f"{first} ({second})"
        return first or second or self.phonetic.display


@_cached
def parse_person_name(text: str | None) -> PersonName | None:
    """Return a PN.

    Every text is valid: a name without ``^``, as many devices write it, is the
    family name.

    Parameters
    ----------
    text : str or None

    Returns
    -------
    PersonName or None
        None for an empty text.
    """
    groups = [NameGroup.parse(g) for g in clean_text(text).split('=')[:3]]
    return PersonName(*groups) if any(groups) else None


@_cached
def display_names(text: str | None) -> str:
    """Return all names of a PN with several values, for people to read."""
    names = map(parse_person_name, (text or '').split('\\'))
    return _HALF_WIDTH.sub(
        lambda found: unicodedata.normalize('NFKC', found[0]),
        '; '.join(name.display for name in names if name))


def _join(separator: str, *parts: str) -> str:
    return separator.join(filter(None, parts))


def _is_east_asian(text: str) -> bool:
    return unicodedata.east_asian_width(text[:1] or ' ') in {'W', 'F', 'H'}


@_cached
def looks_damaged(text: str | None) -> bool:
    """Return whether letters of a PN seem to have been lost or misread.

    Letters that were dropped without a trace cannot be seen.

    Parameters
    ----------
    text : str or None
        As an archive lists it.
    """
    text = text or ''
    if not parse_person_name(text):
        # Only the delimiters are left
        return bool(text)
    return bool(_RESIDUES.search(text)) or _is_misread(text)


def _is_misread(text: str) -> bool:
    """Return whether UTF-8 was read as Latin-1."""
    if text.isascii():
        return False
    try:
        return not text.encode('latin-1').decode().isascii()
    except UnicodeError:
        return False
