# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of names of persons (PN: PS3.5 §6.2.1).

Case, accents, titles, suffixes and the order of words make no difference;
neither do particles (de, van, al-), hyphens and spaces between the parts of a
name, nor whether Müller is written Mueller or Muller.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from anyascii import anyascii
from rapidfuzz.distance import OSA

from ..dicom.values import NameGroup, PersonName, parse_person_name
from .verdicts import (
    Differs, Equal, Finding, Missing, Partial, Reason, Verdict)

__all__ = [
    'compare_groups', 'compare_names', 'find_consonants', 'find_script',
    'name_groups', 'normalize_words', 'romanize']

# Agreement of names, if the other side has
_PART = 0.8  # a family and a given name, one of them perhaps an initial
_ONE_WORD = 0.4
_ALIKE = 0.75  # the same words, with typing errors
_OTHER_SCRIPT = 0.75
_RELATED = 0.2  # some of the words, like relatives
# Least likeness of a word with a typing error
_SLIP = 0.6
_SOUNDS_ALIKE = 0.85
_READS_ALIKE = 0.7

_TITLES = frozenset("""
    dr prof mr mrs ms miss sr sra srta herr frau jr ii iii don dona mme mlle
    sir""".split())
_PARTICLES = frozenset("""
    de del della di da do dos das du des van von vom zu zum zur der den dem ter
    ten la le las los el al ال bin ben ibn bint abu af av und st
    san""".split())
_GIVEN_PARTICLES = frozenset("de del la las los".split())
# What is remembered of whole names, each a kilobyte, and of words
_WRITINGS = 16384
_WORDS = 32768
# Scripts in which a single letter is an initial
_WITH_INITIALS = {'LATIN', 'CYRILLIC', 'GREEK'}


def compare_names(
        ours: Sequence[NameGroup], theirs: str | None,
        letters_lost: bool = False) -> Finding:
    """Compare the names of a patient with a PN, as received.

    Parameters
    ----------
    ours : sequence of NameGroup
        The official name first.
    theirs : str or None
    letters_lost : bool
        Whether letters of theirs are known to have been dropped.

    Returns
    -------
    Finding
        *Equal* if the words are the same in any order: with `Reason.SWAPPED`
        if family and given name are exchanged, with `Reason.OTHER_NAME` if it
        is not the first of `ours`, with `Reason.UNKNOWN_LETTERS` if letters
        were lost: ``?``, ``_`` and U+FFFD agree with any one letter.

        *Missing* if one side has only some of the words (`Reason.PART`:
        without the second surname or the middle name, or with initials), if
        the scripts differ: `Reason.SCRIPT` if both are pronounced alike,
        `Reason.UNREADABLE_SCRIPT` for Chinese characters that are not, or if
        fewer than half the letters are known (`Reason.UNKNOWN_LETTERS`). Also
        if theirs is what is left without the letters that are not ASCII, or
        letters were lost and it does not contradict (`Reason.LETTERS_LOST`).

        *Different* otherwise, with `Reason.SIMILAR` if typing errors explain
        it.

        The best result of all names and all groups of the PN; names in the
        same script go before those in two.
    """
    finding = compare_groups(ours, name_groups(theirs))
    if theirs and _UNKNOWN_LETTER.search(theirs):
        if finding.verdict is Verdict.EQUAL:
            return finding
        return _compare_damaged(ours, theirs)
    if letters_lost:
        if finding.verdict is not Verdict.DIFFERS or _is_left_over(
                ours, theirs, 0):
            return Missing(Reason.LETTERS_LOST)
    elif finding.verdict is Verdict.DIFFERS and _is_left_over(
            ours, theirs, _LEAST_LEFT):
        return Missing(Reason.LETTERS_LOST)
    return finding


# The least part of the letters that must be left of a name
_LEAST_LEFT = 0.5
# ASCII letters after another one that are taken for a part of it, as where
# Latin-1 is read as UTF-8
_SWALLOWED = 3


def _is_left_over(
        ours: Sequence[NameGroup], theirs: str | None, least: float) -> bool:
    """Return whether theirs is what is left of a name of ours.

    An archive that cannot decode a name drops all letters that are not ASCII.
    """
    name = parse_person_name(theirs)
    if not name:
        return False
    left = [_letters(name.alphabetic.family),
        _letters(name.alphabetic.given + name.alphabetic.middle)]
    for group in ours:
        own = [_letters(group.family), _letters(group.given + group.middle)]
        if ''.join(own).isascii() or (
                len(''.join(left)) < least * len(''.join(own))):
            continue
        if any(
                all(re.fullmatch(_remains(one), other)
                    for one, other in zip(own, some))
                for some in [left, left[::-1]]) or re.fullmatch(
                    _remains(''.join(own)), ''.join(left)):
            return True
    return False


def _letters(text: str) -> str:
    return re.sub(
        r'[\W_]', '', unicodedata.normalize('NFC', text)).casefold()


@lru_cache(maxsize=4096)
def _remains(letters: str) -> str:
    """Return a pattern for what may be left of letters."""
    pattern, swallowed = [], 0
    for letter in letters:
        if not letter.isascii():
            swallowed = _SWALLOWED
            continue
        pattern.append(letter + ('?' if swallowed else ''))
        swallowed = max(0, swallowed - 1)
    return ''.join(pattern)


_UNKNOWN_LETTER = re.compile('[?_\ufffd]')
_DAMAGED_WORD = re.compile(r'(?:[^\W_]|[?_\ufffd])+')


def _compare_damaged(ours: Sequence[NameGroup], theirs: str) -> Finding:
    name = parse_person_name(theirs)
    text = ' '.join(
        part for part in [
            name.alphabetic.family, name.alphabetic.given,
            name.alphabetic.middle] if part) if name else ''
    letters = re.sub(r'[\W_]', '', text.replace('_', '?'))
    unknown = len(_UNKNOWN_LETTER.findall(text))
    if len(letters) < unknown:
        return Missing(Reason.UNKNOWN_LETTERS)
    words = _DAMAGED_WORD.findall(text)
    for group in ours:
        own = re.findall(r'[^\W_]+', unicodedata.normalize(
                'NFC', f'{group.family} {group.given} {group.middle}'))
        if len(own) == len(words) and _fit(words, own):
            return Equal(Reason.UNKNOWN_LETTERS)
    return Differs()


def _fit(damaged: Sequence[str], words: Sequence[str]) -> bool:
    "Return whether damaged words are words, in any order"
    left = list(words)
    # Those of which the most is known first
    for one in sorted(
            damaged, key=lambda word: len(_UNKNOWN_LETTER.findall(word))):
        found = next((w for w in left if _is_damaged(one, w)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _is_damaged(damaged: str, word: str) -> bool:
    "Return whether a word becomes the other one by losing letters"
    return len(damaged) == len(word) and all(
        _UNKNOWN_LETTER.match(one)
        or normalize_words(one) == normalize_words(letter)
        for one, letter in zip(damaged, word))


def compare_groups(
        ours: Iterable[NameGroup], theirs: Sequence[NameGroup]) -> Finding:
    """Compare names as `compare_names` does.

    Parameters
    ----------
    ours : iterable of NameGroup
    theirs : sequence of NameGroup
        The groups of a PN, as `name_groups` returns them.
    """
    best: Finding | None = None
    for number, (our, their) in enumerate(product(ours, theirs)):
        finding = _compare_two(our, their)
        if finding is None:
            continue
        if number >= len(theirs) and finding.verdict is Verdict.EQUAL:
            finding = _as_other_name(our)
        if best is None or _nearness(finding) > _nearness(best):
            best = finding
    return best or Missing()


def _as_other_name(name: NameGroup) -> Finding:
    """Return the finding for another name; a nickname alone is weak."""
    if len(_writings(name)[0].words) > 1:
        return Equal(Reason.OTHER_NAME)
    return Partial(Reason.OTHER_NAME, _ONE_WORD)


_SCRIPT_REASONS = {Reason.SCRIPT, Reason.UNREADABLE_SCRIPT}


def _nearness(finding: Finding) -> tuple[bool, bool, float]:
    return (
        finding.verdict is Verdict.EQUAL,
        finding.reason not in _SCRIPT_REASONS,
        finding.agreement or 0)


@lru_cache(maxsize=4096)
def name_groups(text: str | None) -> tuple[NameGroup, ...]:
    """Return the groups of a PN that hold a name.

    Parameters
    ----------
    text : str or None
        As received.

    Returns
    -------
    tuple of NameGroup
        Alphabetic, ideographic and phonetic, those that are not empty.
    """
    name: PersonName | None = parse_person_name(text)
    if not name:
        return ()
    groups = [name.alphabetic, name.ideographic, name.phonetic]
    return tuple(group for group in groups if _writings(group))


@dataclass(frozen=True, slots=True)
class _Writing:
    """The normalized words of a name

    `joined` has all words of the family name and of the given name; `family`
    and `given` are without titles and particles.
    """
    family: tuple[str, ...]
    given: tuple[str, ...]
    joined: tuple[str, str]
    script: str

    @classmethod
    def make(
            cls, family: tuple[str, ...], given: tuple[str, ...]
            ) -> '_Writing':
        return cls(
            _without(family, _TITLES, _PARTICLES),
            _without(given, _TITLES, _GIVEN_PARTICLES),
            (''.join(family), ''.join(given)), find_script(family + given))

    @property
    def words(self) -> tuple[str, ...]:
        return self.family + self.given

    @property
    def is_structured(self) -> bool:
        return bool(self.family and self.given)


@lru_cache(maxsize=_WRITINGS)
def _writings(group: NameGroup) -> tuple[_Writing, ...]:
    """Return the normalized forms: *muller* and *mueller* for Müller."""
    given = f'{group.given} {group.middle}'
    found = []
    for umlauts in [False, True]:
        family_words = normalize_words(group.family, umlauts)
        given_words = normalize_words(given, umlauts)
        if not family_words and not given_words:
            return ()
        writing = _Writing.make(family_words, given_words)
        if writing not in found:
            found.append(writing)
    return tuple(found)


def _without(words: tuple[str, ...], *kinds: frozenset[str]
        ) -> tuple[str, ...]:
    """Return the words that are not of these kinds, or all of them."""
    for kind in kinds:
        words = tuple(w for w in words if w not in kind) or words
    return words


def _compare_two(one: NameGroup, other: NameGroup) -> Finding | None:
    """Return the best finding, None if one of them holds no name."""
    best: Finding | None = None
    for pair in product(_writings(one), _writings(other)):
        finding = _compare_writings(*pair)
        if best is None or _nearness(finding) > _nearness(best):
            best = finding
        if best.verdict is Verdict.EQUAL:
            break
    return best


def _compare_writings(one: _Writing, other: _Writing) -> Finding:
    # The order must make no difference
    one, other = sorted(
        [one, other], key=lambda w: (len(w.words), w.family, w.given))
    if one.script != other.script:
        return _compare_scripts(one, other)
    return _compare_equal(one, other) or _compare_words(one, other)


def _compare_equal(one: _Writing, other: _Writing) -> Finding | None:
    structured = one.is_structured and other.is_structured
    (family, given), (other_family, other_given) = one.joined, other.joined
    if (_same(one.family, other.family) or family == other_family) and (
            _same(one.given, other.given) or given == other_given):
        return Equal()
    if structured and (
            _same(one.family, other.given) or family == other_given) and (
            _same(one.given, other.family) or given == other_family):
        return Equal(Reason.SWAPPED)
    if sorted(one.words) == sorted(other.words):
        return Equal()
    if not structured and not {family + given, given + family}.isdisjoint(
            {other_family + other_given, other_given + other_family}):
        return Equal()
    return None


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether the words are equal, joined or in any order."""
    return ''.join(one) == ''.join(other) or sorted(one) == sorted(other)


def _compare_words(few: _Writing, many: _Writing) -> Finding:
    with_initials = few.script in _WITH_INITIALS
    likeness = _assign(few.words, many.words, with_initials)
    if all(value == 1 or value == _INITIAL for value in likeness):
        full = likeness.count(1)
        if full and len(likeness) > 1:
            return Partial(Reason.PART, _PART)
        return Partial(Reason.PART, _ONE_WORD)
    mean = sum(likeness) / len(likeness)
    if len(likeness) > 1 and min(likeness) >= _SLIP:
        return Differs(Reason.SIMILAR, _ALIKE * mean)
    joined = _likeness_of_joined(few, many)
    if joined >= _SOUNDS_ALIKE:
        return Differs(Reason.SIMILAR, _ALIKE * joined)
    return Differs(None, _RELATED * mean)


def _likeness_of_joined(few: _Writing, many: _Writing) -> float:
    """Compare names whose spaces differ: VANDENBREG, van den Berg."""
    theirs = many.joined
    turned = few.joined[::-1]
    if few.is_structured and many.is_structured:
        return max(
            min(map(_word_likeness, ours, theirs))
            for ours in [few.joined, turned])
    if len(few.words) == len(many.words):
        return 0.0
    return max(
        _word_likeness(''.join(ours), ''.join(theirs))
        for ours in [few.joined, turned])


_INITIAL = 0.9


def _assign(
        few: Sequence[str], many: Sequence[str], with_initials: bool
        ) -> list[float]:
    """Return the likeness of each word to the most similar one of many."""
    pairs = sorted((
            (-_word_likeness(one, other, with_initials), one, i, other, j)
            for i, one in enumerate(few) for j, other in enumerate(many)))
    left_few, left_many = set(range(len(few))), set(range(len(many)))
    found = []
    for likeness, _, i, _, j in pairs:
        if i in left_few and j in left_many:
            left_few.remove(i)
            left_many.remove(j)
            found.append(-likeness)
    return found


@lru_cache(maxsize=_WORDS)
def _word_likeness(
        one: str, other: str, with_initials: bool = False) -> float:
    if one == other:
        return 1.0
    if with_initials and 1 in {len(one), len(other)}:
        return _INITIAL if one[0] == other[0] else 0.0
    likeness = OSA.normalized_similarity(one, other)
    if len(one) >= 3 and len(other) >= 3:
        if one.startswith(other) or other.startswith(one):
            likeness = max(likeness, _SOUNDS_ALIKE)
        sound = find_consonants(one)
        if len(sound) > 1 and sound == find_consonants(other):
            likeness = max(likeness, _SOUNDS_ALIKE)
    return float(likeness) if likeness >= _SLIP else 0.0


def _compare_scripts(one: _Writing, other: _Writing) -> Finding:
    likeness = _read_alike(one, other)
    if likeness >= _READS_ALIKE:
        return Partial(Reason.SCRIPT, _OTHER_SCRIPT * likeness)
    if 'CJK' in {one.script, other.script}:
        return Missing(Reason.UNREADABLE_SCRIPT)
    return Differs(None, _RELATED * likeness)


@lru_cache(maxsize=_WRITINGS)
def _read_alike(one: _Writing, other: _Writing) -> float:
    """Return the likeness of two names once they are romanized."""
    few, many = sorted(
        [_romanize(one), _romanize(other)],
        key=lambda w: (len(w.words), w.joined))
    return max(_likeness_of_words(few, many), _likeness_of_sounds(few, many))


def _likeness_of_words(few: _Writing, many: _Writing) -> float:
    if len(few.words) < 2:
        return 0.0
    likeness = _assign(few.words, many.words, True)
    return sum(likeness) / len(likeness) if min(likeness) >= _SLIP else 0.0


def _likeness_of_sounds(one: _Writing, other: _Writing) -> float:
    """Compare consonants only: many scripts do not write vowels."""
    return max(
        min(_sound_likeness(family, theirs[i]),
            _sound_likeness(given, theirs[1 - i]))
        for family, given in _parts(one) for theirs in _parts(other)
        for i in [0, 1])


def _parts(writing: _Writing) -> list[tuple[str, str]]:
    """Return family and given name, with and without particles."""
    return [
        writing.joined, (''.join(writing.family), ''.join(writing.given))]


def _sound_likeness(one: str, other: str) -> float:
    one, other = find_consonants(one), find_consonants(other)
    return float(OSA.normalized_similarity(one, other)) if one else 0.0


def _romanize(writing: _Writing) -> _Writing:
    if writing.script == 'LATIN':
        return writing
    return _Writing.make(
        romanize(writing.family), romanize(writing.given))


# --- Words ----------------------------------------------------------------


_UMLAUTS = str.maketrans({
        'ä': 'ae', 'ö': 'oe', 'ü': 'ue', 'å': 'aa', 'ø': 'oe'})
# Accents and Arabic vowel signs, but not the voicing marks of kana
_MARKS = re.compile('[\u0300-\u036f\u064b-\u0655\u0670\u0640]')
_ARABIC = str.maketrans('ىةٱ', 'يها')
_ARABIC_ARTICLE = re.compile(r'\bال(?=\w{2})')
_KATAKANA = {code: code - 0x60 for code in range(0x30a1, 0x30f7)}


@lru_cache(maxsize=16384)
def normalize_words(text: str, umlauts: bool = False) -> tuple[str, ...]:
    """Return the words of a text without case and accents.

    Latin letters become ASCII, half-width and full-width letters become the
    same, and Katakana becomes Hiragana.

    Parameters
    ----------
    text : str
    umlauts : bool
        Whether *ä* becomes *ae*, else *a*.

    Returns
    -------
    tuple of str
        In their order; titles and particles are included.
    """
    text = unicodedata.normalize('NFC', text).casefold()
    if not text.isascii():
        if umlauts:
            text = text.translate(_UMLAUTS)
        text = unicodedata.normalize('NFKC', _MARKS.sub(
                '', unicodedata.normalize('NFKD', text)))
        text = text.translate(_KATAKANA).translate(_ARABIC)
        text = _ARABIC_ARTICLE.sub('ال ', text)
        text = ''.join(
            anyascii(c) if find_script(c) == 'LATIN' else c for c in text)
    # Many consoles write O'Brien as OBRIEN
    text = re.sub(r"['’`´ʻʼ]", '', text.casefold())
    return tuple(re.findall(r'[^\W_]+', text))


@lru_cache(maxsize=8192)
def _letter_script(letter: str) -> str:
    name = unicodedata.name(letter, '').partition(' ')[0].partition('-')[0]
    return {'HIRAGANA': 'KANA', 'KATAKANA': 'KANA'}.get(name, name)


def find_script(words: Iterable[str]) -> str:
    """Return the script of words, as Unicode names it.

    Returns
    -------
    str
        That of the first letter, as in ``'LATIN'``; ``'CJK'`` if any letter is
        Chinese, ``'KANA'`` for both Japanese syllabaries, empty for no letter.
    """
    scripts = [_letter_script(c) for word in words for c in word]
    if 'CJK' in scripts:
        return 'CJK'
    return scripts[0] if scripts else ''


def romanize(words: Iterable[str]) -> tuple[str, ...]:
    """Return words as they are pronounced, in ASCII.

    Parameters
    ----------
    words : iterable of str
        As `normalize_words` returns them.
    """
    return normalize_words(anyascii(' '.join(words)))


_SOUNDS = (
    str.maketrans('cqzjp', 'kksgf', "aeiouhyw'") | str.maketrans({'x': 'ks'}))


@lru_cache(maxsize=_WORDS)
def find_consonants(word: str) -> str:
    """Return the consonants that all romanizations of a word have in common.

    Parameters
    ----------
    word : str
        As `romanize` returns it.
    """
    return re.sub(r'(.)\1+', r'\1', word.translate(_SOUNDS))
