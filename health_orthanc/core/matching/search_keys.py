# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Index keys to search the patient of a study."""

import datetime as dt
import string
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations

from ..dicom.values import NameGroup
from .field_comparison import find_slip
from .names import find_consonants, normalize_words, romanize

__all__ = [
    'birth_date_variants', 'name_keys', 'near_identifiers', 'pair_near']

_ALPHABET = string.ascii_uppercase

# Only the first words of names and letters of keys: the size of an index
# is limited
_WORDS = 10
_LETTERS = 80


def name_keys(names: Iterable[NameGroup]) -> frozenset[str]:
    """Return index keys of names.

    Names that are alike have at least one key in common. Each key is made of
    the consonants of two words of a name: order, accents, vowels, romanization
    and the other words make no difference.

    Parameters
    ----------
    names : iterable of NameGroup

    Returns
    -------
    frozenset of str
        At most 80 characters each.
    """
    return frozenset().union(*map(_keys_of_name, names))


def _keys_of_name(group: NameGroup) -> set[str]:
    family = _sounds(group.family)
    given = _sounds(f'{group.given} {group.middle}')
    joined = {''.join(part) for part in [family, given]}
    words = {*family, *given, *joined} - {''}
    return {
        ' '.join(pair)[:_LETTERS] for pair in combinations(sorted(words), 2)}


@lru_cache(maxsize=16384)
def _sounds(text: str) -> tuple[str, ...]:
    words = romanize(normalize_words(text))
    return tuple(find_consonants(w) or w for w in words if len(w) > 1)[:_WORDS]


# Longer identifiers have too many neighbors to look for
_LONGEST_IDENTIFIER = 16
_SHORTEST_IDENTIFIER = 4


def near_identifiers(text: str) -> frozenset[str]:
    """Return the identifiers that are one typing error away.

    One character differs, is missing or too many, or two that stand side by
    side are swapped. Digits become digits, and letters letters.

    Parameters
    ----------
    text : str
        A PatientID (0010,0020).

    Returns
    -------
    frozenset of str
        Without the text; empty where it is too short or too long.
    """
    if not _SHORTEST_IDENTIFIER <= len(text) <= _LONGEST_IDENTIFIER:
        return frozenset()
    letters = (
        _ALPHABET if any(c.isupper() for c in text) else _ALPHABET.lower())
    found = set()
    for i, character in enumerate(text):
        head, rest, tail = text[:i], text[i:], text[i + 1:]
        found.add(head + tail)
        if i:
            found.add(text[:i - 1] + character + text[i - 1] + tail)
        for other in string.digits if character.isdigit() else letters:
            found.add(head + other + tail)
            found.add(head + other + rest)
    found |= {text + other for other in (
            string.digits if text[-1].isdigit() else letters)}
    return frozenset(found - {text})


def pair_near(
        texts: Iterable[str], others: Iterable[str]) -> dict[str, set[str]]:
    """Return which identifiers are one typing error away from others.

    Parameters
    ----------
    texts, others : iterable of str

    Returns
    -------
    dict of set of str
        The texts that each of the others is near to, by
        `near_identifiers`.
    """
    shortened = defaultdict(set)
    for text in texts:
        for part in _shortened(text):
            shortened[part].add(text)
    neighbors = lru_cache(maxsize=None)(near_identifiers)
    found = defaultdict(set)
    for other in others:
        for part in _shortened(other):
            for text in shortened.get(part, ()):
                if other in neighbors(text):
                    found[other].add(text)
    return found


def _shortened(text: str) -> set[str]:
    """Return a text, and what is left of it without one character.

    If two texts differ by a typing error, they have one of them in common.
    """
    return {text, *(text[:i] + text[i + 1:] for i in range(len(text)))}


def birth_date_variants(date: dt.date) -> frozenset[dt.date]:
    """Return a birth date, and all dates that a typing error makes of it.

    The errors are those of `birth_dates.find_slip`.
    """
    digits = f'{date.year:04}{date.month:02}{date.day:02}'
    texts = {
        digits[:4] + digits[6:] + digits[4:6],
        *(digits[:i] + digit + digits[i + 1:]
            for i in range(8) for digit in '0123456789'),
        *(digits[:i] + digits[i + 1] + digits[i] + digits[i + 2:]
            for i in range(7)),
        *(f'{date.year + years:04}' + digits[4:]
            for years in [100, -100, 543, -543]),
        f'{digits[:4]}0101',
        }
    found = set(filter(None, map(_date, texts)))
    days = {-1, 1}
    if (date.month, date.day) == (1, 1):
        # It may mean any day of the year
        days |= set(range(366))
    found |= {
        dt.date.fromordinal(ordinal) for day in days
        if 0 < (ordinal := date.toordinal() + day) <= dt.date.max.toordinal()}
    return frozenset(d for d in found if d == date or find_slip(d, date))


def _date(digits: str) -> dt.date | None:
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
