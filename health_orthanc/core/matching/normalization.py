# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words without what different spellings of a name differ by."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from anyascii import anyascii

__all__ = ['normalize_words', 'romanize', 'find_script', 'find_consonants']

_UMLAUTS = str.maketrans({
        'ä': 'ae', 'ö': 'oe', 'ü': 'ue', 'å': 'aa', 'ø': 'oe'})
# Accents and Arabic vowel signs; a kana's voicing mark makes another name
_MARKS = re.compile('[\u0300-\u036f\u064b-\u0655\u0670\u0640]')
_ARABIC = str.maketrans('ىةٱ', 'يها')
_ARABIC_ARTICLE = re.compile(r'\bال(?=\w{2})')
_KATAKANA = {code: code - 0x60 for code in range(0x30a1, 0x30f7)}


def normalize_words(text: str, umlauts: bool = False) -> tuple[str, ...]:
    """Return the words of a text without case and accents.

    Latin letters become ASCII, half-width and full-width ones the same, and
    Katakana become Hiragana.

    Parameters
    ----------
    umlauts : bool
        Whether *ä* becomes *ae*, else *a*.
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
    # Apostrophes belong to the word: O'Brien is OBRIEN on many consoles
    text = re.sub(r"['’`´ʻʼ]", '', text.casefold())
    return tuple(re.findall(r'[^\W_]+', text))


@lru_cache(maxsize=8192)
def _letter_script(letter: str) -> str:
    name = unicodedata.name(letter, '').partition(' ')[0].partition('-')[0]
    return {'HIRAGANA': 'KANA', 'KATAKANA': 'KANA'}.get(name, name)


def find_script(words: Iterable[str]) -> str:
    "Return the script of the first letter, or CJK if any letter is"
    scripts = [_letter_script(c) for word in words for c in word]
    if 'CJK' in scripts:
        return 'CJK'
    return scripts[0] if scripts else ''


def romanize(words: Iterable[str]) -> tuple[str, ...]:
    "Return words as they are read, in ASCII"
    return normalize_words(anyascii(' '.join(words)))


_SOUNDS = (
    str.maketrans('cqzjp', 'kksgf', "aeiouhyw'") | str.maketrans({'x': 'ks'}))


@lru_cache(maxsize=65536)
def find_consonants(word: str) -> str:
    "Return the consonants that romanisations agree on"
    return re.sub(r'(.)\1+', r'\1', word.translate(_SOUNDS))
