# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of DICOM elements from text that people have typed (PS3.5 §6.2).

Text is made safe: it can neither end its value nor begin another.  A value
with a form of its own, such as a date or a UID, is checked and never guessed.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from ..dicom.values import is_uid, parse_date, parse_time

__all__ = [
    'IDENTIFIERS', 'LENGTHS', 'Problem', 'SAFE_CHARACTERS', 'TEXTS',
    'WorklistError', 'check_value', 'cut', 'person_name', 'representation',
    'safe_text', 'safe_value']

Problem = tuple[str, str]
# Longest values, in characters; LT and UT as long as dump2dcm accepts
LENGTHS = {
    'AE': 16, 'AS': 4, 'CS': 16, 'DA': 8, 'DS': 16, 'DT': 26, 'IS': 12,
    'LO': 64, 'LT': 10240, 'PN': 64, 'SH': 16, 'ST': 1024, 'TM': 14,
    'UC': 1024, 'UI': 64, 'UR': 1024, 'UT': 10240}
TEXTS = {'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT'}
# Characters of all values of an element
_TOTAL = 10240
# If cut or changed, they would identify another patient or order
IDENTIFIERS = frozenset({
        'PatientID', 'AccessionNumber', 'RequestedProcedureID',
        'ScheduledProcedureStepID', 'StudyInstanceUID'})

_NOT_CHARACTERS = [
    *range(0xd800, 0xe000), *range(0xfdd0, 0xfdf0),
    *(plane + last for plane in range(0, 0x110000, 0x10000)
        for last in (0xfffe, 0xffff))]
# Characters that change the direction of the following text, and the
# byte order mark
_INVISIBLE = [*range(0x202a, 0x202f), *range(0x2066, 0x206a), 0xfeff]
SAFE_CHARACTERS = (
    dict.fromkeys(
        [*range(0x20), *range(0x7f, 0xa0), 0x2028, 0x2029], ' ')
    | dict.fromkeys(_NOT_CHARACTERS, '\ufffd')
    | dict.fromkeys(_INVISIBLE, None)
    | {ord('\\'): '/'})

_NUMBER = r'[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?'
_FORMS = {
    'AE': re.compile(r'(?=.*[^ ])[ -\[\]-~]{1,16}'),
    'AS': re.compile('[0-9]{3}[DWMY]'),
    'CS': re.compile('[A-Z0-9_](?:[A-Z0-9 _]{0,14}[A-Z0-9_])?'),
    'DS': re.compile(_NUMBER),
    'DT': re.compile(r'[0-9]{4,14}(?:\.[0-9]{1,6})?(?:[+-][0-9]{4})?'),
    'IS': re.compile('[+-]?[0-9]{1,12}'),
    'UR': re.compile('[!-~]+'),
    }
_RANGES = {
    'US': (0, 2**16 - 1), 'SS': (-2**15, 2**15 - 1),
    'UL': (0, 2**32 - 1), 'SL': (-2**31, 2**31 - 1)}
_KEYWORD_FORMS = {
    'PatientSex': re.compile('[MFO]'),
    'TimezoneOffsetFromUTC': re.compile('[+-][01][0-9][0-5][0-9]'),
    }


class WorklistError(ValueError):
    """An item that cannot be on the worklist

    Attributes
    ----------
    problems : tuple of (str, str)
        Kind and keyword each, as in ``('missing', 'Modality')``; never a
        value.
    """

    def __init__(self, *problems: Problem):
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return ', '.join(map(' '.join, self.problems))


def safe_text(text: str | None, kind: str = '') -> str:
    """Return text that is safe as a value of any element.

    Control characters and line ends become spaces, backslashes become slashes,
    noncharacters become U+FFFD.  It is the same for all kinds of templates.

    Parameters
    ----------
    text : str or None
    kind : str
        Ignored.
    """
    if text is None:
        return ''
    if not text.isascii() or not text.isprintable() or '\\' in text:
        text = text.translate(SAFE_CHARACTERS)
    return text.strip()


def cut(text: str, length: int) -> str:
    """Return the beginning of a text.

    A letter is not separated from its combining marks.

    Parameters
    ----------
    text : str
    length : int
        The most characters.
    """
    if len(text) <= length:
        return text
    end = length
    while end and _continues(text[end]):
        end -= 1
    return text[:end or length].rstrip()


def _continues(character: str) -> bool:
    return (
        unicodedata.category(character) in {'Mn', 'Mc', 'Me'}
        or character == '\u200d' or '\U0001f3fb' <= character <= '\U0001f3ff')


def person_name(
        family: str | None, given: str | None, middle: str | None = '',
        prefix: str | None = '', suffix: str | None = '') -> str:
    """Return a PN from its components (PS3.5 §6.2.1)."""
    parts = [family, given, middle, prefix, suffix]
    return _group(parts)


def _group(parts: Iterable[str | None]) -> str:
    """Return a component group of at most 64 characters.

    What comes last is left out first, but before the given name the family
    name is shortened: it alone names all of a family.
    """
    components = [_component(part) for part in parts]
    text = _joined(components)
    while len(text) > LENGTHS['PN'] and len(components) > 2 and (
            _room(components) < min(len(components[0]), _LEAST_FAMILY)):
        components.pop()
        text = _joined(components)
    if len(text) <= LENGTHS['PN'] or len(components) < 2:
        return cut(text, LENGTHS['PN']).rstrip('^ ')
    family, given, *others = components
    if _room(components) < min(len(family), _LEAST_FAMILY):
        given = cut(given, LENGTHS['PN'] - 1 - min(
                len(family), _LEAST_FAMILY))
    family = cut(family, _room([family, given, *others]))
    return _joined([family, given, *others])


# Characters that a long given name leaves to the family name
_LEAST_FAMILY = 24


def _joined(components: Sequence[str]) -> str:
    return '^'.join(components).rstrip('^ ')


def _room(components: Sequence[str]) -> int:
    "Return how many characters the others leave to the family name"
    return LENGTHS['PN'] - len(_joined(['', *components[1:]]))


def _component(text: str | None) -> str:
    text = safe_text(text).replace('^', ' ').replace('=', ' ')
    return ' '.join(text.split())


def _safe_name(text: str) -> str:
    groups = [_group(group.split('^', 4)) for group in text.split('=', 2)]
    return '='.join(groups).rstrip('=')


@lru_cache(maxsize=1024)
def representation(keyword: str) -> tuple[str, bool]:
    """Return the VR of a keyword, and whether it may have several values.

    Raises
    ------
    KeyError
        The standard has no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return dictionary_VR(tag).split(' or ')[0], dictionary_VM(tag) != '1'


def safe_value(
        keyword: str, value: str | Sequence[str] | None) -> str:
    r"""Return the value of an element, as written between brackets.

    Parameters
    ----------
    keyword : str
        DICOM keyword or VR.
    value : str, sequence of str or None
        A sequence is several values; if the element allows only one, they are
        joined with semicolons.

    Returns
    -------
    str
        Values separated by ``\``; empty for no value.

    Raises
    ------
    WorklistError
        The value is ``invalid`` or ``too_long`` for its VR.
    KeyError
        The standard has no such keyword.
    """
    if keyword in LENGTHS or keyword in _RANGES:
        vr, many = keyword, True
    else:
        vr, many = representation(keyword)
    if value is None or isinstance(value, str):
        return _safe_single(keyword, vr, value)
    if not many:
        return _safe_single(keyword, vr, '; '.join(map(safe_text, value)))
    values = [_safe_single(keyword, vr, one) for one in value]
    text = '\\'.join(filter(None, values))
    if len(text) > _TOTAL:
        raise WorklistError(('too_long', keyword))
    return text


def _safe_single(keyword: str, vr: str, value: str | None) -> str:
    text = safe_text(value)
    if not text:
        return ''
    is_text = vr in TEXTS and keyword not in IDENTIFIERS
    if not is_text and text != (value or '').strip():
        raise WorklistError(('invalid', keyword))
    if vr == 'PN':
        return _safe_name(text)
    if is_text:
        text = cut(text, LENGTHS[vr])
    elif vr == 'CS' and text.isascii():
        text = text.upper()
    return check_value(keyword, vr, text)


def check_value(keyword: str, vr: str, text: str) -> str:
    """Return a single value in its normal form.

    Parameters
    ----------
    keyword, vr : str
    text : str
        Not empty.

    Raises
    ------
    WorklistError
        It is ``invalid`` or ``too_long``.
    """
    if vr in LENGTHS and len(text) > LENGTHS[vr]:
        kind = 'too_long' if vr in TEXTS or vr == 'UI' else 'invalid'
        raise WorklistError((kind, keyword))
    form = _KEYWORD_FORMS.get(keyword) or _FORMS.get(vr)
    if form is not None and not form.fullmatch(text):
        raise WorklistError(('invalid', keyword))
    try:
        return _CHECKS.get(vr, str)(text)
    except ValueError:
        raise WorklistError(('invalid', keyword)) from None


def _check_date(text: str) -> str:
    date = parse_date(text)
    if '.' in text or date is None:
        raise ValueError("not a DA")
    return text


def _check_time(text: str) -> str:
    """Return a TM of six digits.

    Worklist servers compare times as text.
    """
    time = parse_time(text)
    if ':' in text or time is None:
        raise ValueError("not a TM")
    return time.strftime('%H%M%S')


def _check_uid(text: str) -> str:
    if not is_uid(text):
        raise ValueError("not a UI")
    return text


def _check_integer(vr: str) -> Callable[[str], str]:
    least, greatest = _RANGES[vr]

    def check(text: str) -> str:
        if not re.fullmatch('[+-]?[0-9]{1,10}', text):
            raise ValueError("not an integer")
        number = int(text)
        if not least <= number <= greatest:
            raise ValueError("out of range")
        return str(number)
    return check


_CHECKS = {
    'DA': _check_date, 'TM': _check_time, 'UI': _check_uid,
    **{vr: _check_integer(vr) for vr in _RANGES}}
