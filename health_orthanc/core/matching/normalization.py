# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalization of names for comparison."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from anyascii import anyascii

__all__ = ['normalize_words', 'romanize', 'find_script', 'find_consonants']

_UMLAUTS = str.maketrans({
        'ä': 'ae', 'ö': 'oe', 'ü': 'ue', 'å': 'aa', 'ø': 'oe'})
# Accents and Arabic vowel signs, but not the voicing marks of kana
_MARKS = re.compile('[\u0300-\u036f\u064b-\u0655\u0670\u0640]')
_ARABIC = str.maketrans('ىةٱ', 'يها')
_ARABIC_ARTICLE = re.compile(r'\bال(?=\w{2})')
_KATAKANA = {code: code - 0x60 for code in range(0x30a1, 0x30f7)}


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


@lru_cache(maxsize=65536)
def find_consonants(word: str) -> str:
    """Return the consonants that all romanizations of a word have in common.

    Parameters
    ----------
    word : str
        As `romanize` returns it.
    """
    return re.sub(r'(.)\1+', r'\1', word.translate(_SOUNDS))
