# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of patients in files whose character set is not what it should be.

Where SpecificCharacterSet is no defined term, or the bytes contradict it, an
archive drops every letter that is not ASCII. The bytes in the file often still
tell the name (PS3.5 §6.1, PS3.3 C.12.1.1.2).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.charset import convert_encodings, decode_bytes

from .charsets import correct_term, find_charset
from .values import clean_text

__all__ = ['DecodedName', 'decode_name', 'is_defined_charset']

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
