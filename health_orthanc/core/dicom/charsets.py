# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Specific Character Set (0008,0005): PS3.3 C.12.1.1.2, PS3.5 §6.1.

Text is decoded by pydicom, but not encoded: pydicom 3.0 writes no escape
sequence before Chinese characters (ISO 2022 IR 58), and Latin-1 beside other
sets without a designation (``./dev bench encoding``).
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes

from .values import clean_text

__all__ = [
    'Charset', 'DecodedName', 'UNICODE', 'correct_term', 'decode_name',
    'find_charset', 'is_defined_charset']

UNICODE = 'ISO_IR 192'

# Sets that stand alone: term, codec of Python
_ALONE = {'ISO_IR 192': 'utf-8', 'GB18030': 'gb18030', 'GBK': 'gbk'}
# Sets of one byte: number, codec, escape sequence to G1
_SINGLE = {
    '100': ('iso8859-1', b'\x1b-A'),
    '101': ('iso8859-2', b'\x1b-B'),
    '109': ('iso8859-3', b'\x1b-C'),
    '110': ('iso8859-4', b'\x1b-D'),
    '126': ('iso8859-7', b'\x1b-F'),
    '127': ('iso8859-6', b'\x1b-G'),
    '138': ('iso8859-8', b'\x1b-H'),
    '144': ('iso8859-5', b'\x1b-L'),
    '148': ('iso8859-9', b'\x1b-M'),
    '166': ('tis-620', b'\x1b-T'),
    }
# Sets of two bytes in G1 and in G0
_KOREAN, _CHINESE = 'ISO 2022 IR 149', 'ISO 2022 IR 58'
_DOUBLE_G1 = {
    _KOREAN: ('euc_kr', b'\x1b$)C'), _CHINESE: ('gb2312', b'\x1b$)A')}
_DOUBLE_G0 = {
    'ISO 2022 IR 87': ('iso2022_jp', b'\x1b$B'),
    'ISO 2022 IR 159': ('iso2022_jp_1', b'\x1b$(D')}
_ASCII_G0 = b'\x1b(B'
_KATAKANA_G1 = b'\x1b)I'
_SPELLINGS = {
    'UTF8': UNICODE, 'UTF-8': UNICODE, 'UNICODE': UNICODE,
    'LATIN1': 'ISO_IR 100', 'LATIN-1': 'ISO_IR 100',
    'ISO 2022 GBK': 'GBK', 'ISO 2022 58': _CHINESE}


@dataclass(frozen=True)
class _Set:
    """A set that escape sequences can designate

    Attributes
    ----------
    codec : str
    escape : bytes
        The escape sequence.
    g0 : bool
        Whether it replaces ASCII, which has to be designated again after it.
    """
    codec: str
    escape: bytes
    g0: bool = False

    def encode(self, character: str) -> bytes | None:
        "Return the bytes without escape sequences"
        try:
            encoded = character.encode(self.codec)
        except UnicodeEncodeError:
            return None
        if self.g0:
            inside = encoded.removeprefix(self.escape)
            if len(inside) == len(encoded):
                return None
            return inside.removesuffix(_ASCII_G0)
        if self.codec == 'shift_jis' and len(encoded) > 1:
            return None
        return encoded if encoded[0] >= 0x80 else None


@dataclass(frozen=True)
class Charset:
    """A value of Specific Character Set

    Attributes
    ----------
    term : str
        The defined terms, separated by backslashes.
    codec : str
        Of a set without code extensions; empty for others.
    first : _Set or None
        The set that is in use at the beginning of each value.
    sets : tuple
        All sets that escape sequences designate.
    """
    term: str
    codec: str = ''
    first: _Set | None = None
    sets: tuple[_Set, ...] = ()

    def encode(self, text: str, delimiters: str = '\\') -> bytes:
        """Return the bytes of a value.

        Parameters
        ----------
        text : str
        delimiters : str
            Characters after which the first set is in use again (PS3.5
            §6.1.2.5.3); for a PN, ``^`` and ``=`` as well.

        Raises
        ------
        UnicodeEncodeError
            A character is in none of the sets.
        """
        if text.isascii():
            return text.encode('ascii')
        if self.codec:
            return text.encode(self.codec)
        parts = re.split(f'([{re.escape(delimiters)}])', text)
        return b''.join(b''.join(self._switch(part)) for part in parts)

    def _switch(self, text: str) -> Iterator[bytes]:
        g1 = self.first
        g0: _Set | None = None
        for index, character in enumerate(text):
            found, encoded = self._find(character)
            if encoded is None:
                raise UnicodeEncodeError(
                    'dicom', text, index, index + 1, self.term)
            if g0 is not None and found is not g0:
                yield _ASCII_G0
                # G1 is unchanged, but not every reader handles that
                g0 = g1 = None
            if found is not None and found.g0:
                if found is not g0:
                    yield found.escape
                    g0 = found
            elif found is not None and found is not g1:
                yield found.escape
                g1 = found
            yield encoded
        if g0 is not None:
            yield _ASCII_G0

    def _find(self, character: str) -> tuple[_Set | None, bytes | None]:
        if character.isascii():
            return None, character.encode('ascii')
        for one in self.sets:
            encoded = one.encode(character)
            if encoded:
                return one, encoded
        return None, None


@lru_cache(maxsize=64)
def find_charset(text: str) -> Charset:
    """Return the character set for a value of Specific Character Set.

    Common misspellings are accepted: ``IS0_IR`` with a digit zero, as GNU
    Health 5.0 had it by default, and ``ISO_IR`` where code extensions require
    ``ISO 2022 IR``.

    Parameters
    ----------
    text : str
        Terms separated by backslashes; empty for Unicode.

    Raises
    ------
    ValueError
        There is no such set, or not in this combination.
    """
    terms = [correct_term(term) for term in (text or UNICODE).split('\\')]
    if len(terms) == 1:
        return _single(terms[0])
    if any(term in _ALONE for term in terms):
        raise ValueError("this set allows no other beside it")
    terms = [
        term.replace('ISO_IR', 'ISO 2022 IR') if term else ''
        for term in terms]
    if terms[0] == 'ISO 2022 IR 6':
        terms[0] = ''
    if len(set(terms)) < len(terms):
        raise ValueError("a set is named twice")
    if terms[0] in {*_DOUBLE_G0, *_DOUBLE_G1}:
        raise ValueError("the first set must have one byte")
    first = _extension(terms[0]) if terms[0] else None
    others = [
        _extension(term) for term in terms[1:] if term != 'ISO 2022 IR 6']
    return Charset(
        '\\'.join(terms), first=first,
        sets=tuple(([first] if first else []) + others))


def correct_term(text: str) -> str:
    """Return the defined term that a misspelled one stands for.

    Parameters
    ----------
    text : str
    """
    term = ' '.join(text.upper().replace('IS0', 'ISO').split())
    term = _SPELLINGS.get(term, term)
    match = re.fullmatch('ISO[ _-]?(2022)?[ _-]?IR[ _-]?([0-9]+)', term)
    if match:
        extension, number = match.groups()
        term = f'ISO 2022 IR {number}' if extension else f'ISO_IR {number}'
    return term


def _single(term: str) -> Charset:
    if term in _ALONE:
        return Charset(term, _ALONE[term])
    if term in {'ISO_IR 6', 'ISO 2022 IR 6', ''}:
        return Charset('ISO_IR 6', 'ascii')
    if term in {*_DOUBLE_G0, *_DOUBLE_G1}:
        # Often written without the required empty first value
        return find_charset('\\' + term)
    one = _extension(term.replace('ISO_IR', 'ISO 2022 IR'))
    term = term.replace('ISO 2022 IR', 'ISO_IR')
    if one.codec == 'shift_jis':
        return Charset(term, first=one, sets=(one,))
    return Charset(term, one.codec)


def _extension(term: str) -> _Set:
    if term in _DOUBLE_G0:
        return _Set(*_DOUBLE_G0[term], g0=True)
    if term in _DOUBLE_G1:
        return _Set(*_DOUBLE_G1[term])
    if term == 'ISO 2022 IR 13':
        return _Set('shift_jis', _KATAKANA_G1)
    number = term.removeprefix('ISO 2022 IR ')
    if number == term or number not in _SINGLE:
        raise ValueError("no such character set")
    return _Set(*_SINGLE[number])


# --- Names whose character set is not what it should be --------------------

# Where SpecificCharacterSet is no defined term, or the bytes contradict it, an
# archive drops every letter that is not ASCII.  The bytes in the file often
# still tell the name (PS3.5 §6.1, PS3.3 C.12.1.1.2).

_DELIMITERS = {ord(c) for c in '\\^='}
_ESCAPE = b'\x1b'
# Sets of several bytes are often named as if they stood alone
_EXTENSIONS = {
    f'ISO_IR {number}': f'ISO 2022 IR {number}'
    for number in ['58', '87', '149', '159']}
_ALL_EXTENSIONS = [
    'ISO 2022 IR 13', 'ISO 2022 IR 87', 'ISO 2022 IR 159', 'ISO 2022 IR 149',
    'ISO 2022 IR 58', 'ISO 2022 IR 100', 'ISO 2022 IR 144', 'ISO 2022 IR 126']
_UNKNOWN = '\ufffd'


@dataclass(frozen=True, slots=True)
class DecodedName:
    """A PN, read from the bytes of a file

    Attributes
    ----------
    text : str
        With U+FFFD for each byte that could not be read.
    charset : str
        SpecificCharacterSet as in the file.
    is_complete : bool
        Whether every letter could be read.
    """
    text: str
    charset: str
    is_complete: bool


def is_defined_charset(text: str) -> bool:
    """Return whether SpecificCharacterSet has defined terms only.

    Parameters
    ----------
    text : str
        Terms separated by backslashes; empty for ASCII.
    """
    if not text:
        return True
    try:
        find_charset(text)
    except ValueError:
        return False
    terms = text.split('\\')
    return all(
        term == correct_term(term) and term not in _EXTENSIONS
        for term in terms if term)


def decode_name(value: bytes, charset: str) -> DecodedName:
    """Return a PN from its bytes.

    What the bytes say goes before a character set that they contradict.

    Parameters
    ----------
    value : bytes
    charset : str
        SpecificCharacterSet as in the file.
    """
    terms = [
        _EXTENSIONS.get(term, term)
        for term in map(correct_term, charset.split('\\'))]
    text = _read(value, terms)
    if text is None:
        text = value.decode('ascii', 'replace')
    text = clean_text(text.rstrip('\0'))
    return DecodedName(text, charset, _UNKNOWN not in text)


def _read(value: bytes, terms: Sequence[str]) -> str | None:
    """Return the text, or None if no character set fits."""
    if value.isascii() and _ESCAPE not in value:
        return value.decode('ascii')
    if _ESCAPE in value:
        return _decode(value, terms) or _decode(
            value, [terms[0], *_ALL_EXTENSIONS])
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _decode(value, terms) if any(terms) else None
    # What is valid UTF-8 is no name in Latin-1. In other sets it may be.
    declared = None
    if terms[0] not in {'', 'ISO_IR 6', 'ISO_IR 100', 'ISO_IR 192'}:
        declared = _decode(value, terms)
    if declared and all(c.isascii() or c.isalpha() for c in declared):
        return declared
    return text


def _decode(value: bytes, terms: Sequence[str]) -> str | None:
    """Return the text in certain sets, None if it is not valid in them."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            encodings = convert_encodings(list(terms))
            text = decode_bytes(value, encodings, _DELIMITERS)
        except (UserWarning, LookupError, ValueError):
            return None
    return None if _UNKNOWN in text or '\x1b' in text else text
