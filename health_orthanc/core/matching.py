# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the person in the images is the patient of the record.

Each field gets a verdict: *equal*, *differs* or *missing*, where what is
unknown on either side is missing and never a difference.  A name of which one
side holds only a part (a second surname, an initial) is missing too.
"""

import datetime as dt
import enum
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ['Comparison', 'Identity', 'Verdict', 'compare_identities']


class Verdict(enum.Enum):
    EQUAL = 'equal'
    DIFFERS = 'differs'
    MISSING = 'missing'


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is

    Attributes
    ----------
    patient_id : str or None
        The PUID, PatientID (0010,0020) in DICOM.
    names : tuple of str
        The ways in which the same name is written.
    birth_date : date or None
    sex : str or None
        ``'M'`` or ``'F'``; anything else is unknown.
    """
    patient_id: str | None = None
    names: tuple[str, ...] = ()
    birth_date: dt.date | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    patient_id: Verdict
    name: Verdict
    birth_date: Verdict
    sex: Verdict

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return (self.patient_id, self.name, self.birth_date, self.sex)

    @property
    def contradicts(self) -> bool:
        "Whether some field says that these are two persons"
        return Verdict.DIFFERS in self.verdicts

    @property
    def certain(self) -> bool:
        "Whether every field is known on both sides and agrees"
        return set(self.verdicts) == {Verdict.EQUAL}


def compare_identities(record: Identity, images: Identity) -> Comparison:
    "Return the verdicts on each field of two identities"
    return Comparison(
        patient_id=_compare(record.patient_id, images.patient_id),
        name=_compare_names(record.names, images.names),
        birth_date=_compare(record.birth_date, images.birth_date),
        sex=_compare(_known_sex(record.sex), _known_sex(images.sex)))


def _compare(one: object, other: object) -> Verdict:
    if not one or not other:
        return Verdict.MISSING
    return Verdict.EQUAL if one == other else Verdict.DIFFERS


def _known_sex(sex: str | None) -> str | None:
    sex = (sex or '').strip().upper()
    return sex if sex in {'M', 'F'} else None


def _compare_names(
        ours: Iterable[str], theirs: Iterable[str]) -> Verdict:
    verdicts = {
        _compare_words(one, other)
        for our in ours for one in _spellings(our)
        for their in theirs for other in _spellings(their)}
    for verdict in [Verdict.EQUAL, Verdict.MISSING]:
        if verdict in verdicts:
            return verdict
    return Verdict.DIFFERS if verdicts else Verdict.MISSING


def _compare_words(one: tuple[str, ...], other: tuple[str, ...]) -> Verdict:
    if sorted(one) == sorted(other):
        return Verdict.EQUAL
    few, many = sorted([one, other], key=len)
    left = list(many)
    for word in sorted(few, key=len, reverse=True):
        found = next((m for m in left if _same_word(word, m)), None)
        if found is None:
            return Verdict.DIFFERS
        left.remove(found)
    return Verdict.MISSING


def _same_word(one: str, other: str) -> bool:
    if 1 in (len(one), len(other)):
        return one[0] == other[0]
    return one == other


_STROKES = str.maketrans({
        'ø': 'o', 'æ': 'ae', 'œ': 'oe', 'đ': 'd', 'ł': 'l'})
_UMLAUTS = str.maketrans({
        'ä': 'ae', 'ö': 'oe', 'ü': 'ue', 'å': 'aa', 'ø': 'oe', 'æ': 'ae',
        'œ': 'oe', 'đ': 'd', 'ł': 'l'})


def _spellings(name: str) -> set[tuple[str, ...]]:
    "Return its words without case and accents, and Müller as Mueller"
    folded = unicodedata.normalize('NFC', name).casefold()
    spellings = {
        _words(_plain(folded.translate(_STROKES))),
        _words(_plain(folded.translate(_UMLAUTS)))}
    return {words for words in spellings if words}


# Accents and Arabic vowel signs; a kana's voicing mark makes another name
_MARKS = re.compile('[\u0300-\u036f\u064b-\u0652]')


def _plain(text: str) -> str:
    return unicodedata.normalize(
        'NFKC', _MARKS.sub('', unicodedata.normalize('NFKD', text)))


def _words(text: str) -> tuple[str, ...]:
    # Apostrophes belong to the word: O'Brien is OBRIEN on many consoles
    return tuple(re.findall(r'\w+', re.sub(r"['’`´.]", '', text)))
