# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the words of our translations with GNU Health's.

``python -m devtools.terms`` prints the texts that GNU Health translates in
another way, and the words that stand for two things on one screen.
"""
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import polib

from .translations import LANGUAGES, read

__all__ = [
    'OWN_WORDS', 'ambiguous', 'differences', 'gnu_health_words',
    'split_terms']

MODULES = ['health', 'health_imaging']
# What gender and number leave of a word
LIKENESS = 0.6
# What has one name in all texts of a language
TERMS = {
    'de': {
        'order': (r'Auftr[aä]g', r'Bestellung'),
        'study': (r'Untersuchung', r'Studie'),
        'PUID': (r'bPK', r'PUID'),
        'worklist': (r'Arbeitsliste', r'Worklist-'),
        'notification': (r'Benachrichtigung', r'\bMeldungen\b'),
        'attach': (r'[Aa]nhängen', r'[Bb]eif[üu]g'),
        'digest': (r'Prüfsumme', r'Prüfwert|\bHash'),
        },
    'es': {
        'order': (r'[Oo]rden', r'\b[Pp]edidos?\b'),
        'study': (r'[Ee]studio', r'\b[Ee]x[aá]me'),
        'PUID': (r'IDUP', r'PUID'),
        'ended': (r'[Ff]inalizad', r'Terminad'),
        },
    'fr': {
        'order': (r'[Pp]rescription', r'\b[Cc]ommandes?\b'),
        'study': (r'[Ee]xamen', r'[Éé]tude'),
        },
    'pt_BR': {
        'order': (r'[Pp]edido', r'\b([Oo]rdem|[Pp]rescriç)'),
        'study': (r'[Ee]studo', r'\b[Ee]xames?\b'),
        'PUID': (r'IDUP', r'PUID'),
        },
    }
# Texts that mean something else than in GNU Health, or that GNU Health has
# mistaken
OWN_WORDS = {
    # The health of the installation, not of a person
    'Health',
    # The days and hours of an institution there, the scheduler's here
    'Schedule',
    # The time since a study was first seen
    'Age',
    # An action of ours, a state there, or the other way round
    'Open', 'Start',
    # All studies, not "filled"
    'Full',
    # Of a preview: no photo of a person
    'Picture',
    # Of a device: no producer of medicines
    'Manufacturer',
    # State and status are two things here
    'Status',
    # A moment, not a duration
    'Time', 'From',
    # Of a server and of viewers; Orthanc's labels are another thing
    'Label',
    # Column heads
    'Sex', 'Notes',
    # A network address
    'Address',
    # Boards of what somebody does, not who somebody is
    'Physician', 'Radiographer', 'Clerk',
    # In German GNU Health's print names series
    'Study:', 'Study ID:',
    # The print keeps the English word that the forms translate
    'PUID:',
    }
# GNU Health's German has one word, Anforderung, for the order and the request
OWN_WORDS_BY_LANGUAGE = {'de': {'Order', 'Order:'}}


def gnu_health_words(language: str) -> dict[str, set[str]]:
    """Return the translations of each text in GNU Health."""
    spec = find_spec('trytond')
    folder = Path(spec.submodule_search_locations[0]) / 'modules'
    found = defaultdict(set)
    for module in MODULES:
        path = folder / module / 'locale' / f'{language}.po'
        for entry in polib.pofile(str(path)).translated_entries():
            found[entry.msgid].add(entry.msgstr)
    return found


def differences(language: str) -> Iterator[str]:
    """Describe the texts that GNU Health translates with other words.

    Another gender or number, or another case, is none.
    """
    words = gnu_health_words(language)
    own = OWN_WORDS | OWN_WORDS_BY_LANGUAGE.get(language, set())
    for entry in read(language):
        theirs = words.get(entry.msgid)
        if theirs and entry.msgid not in own and not any(
                _alike(entry.msgstr, other) for other in theirs):
            yield (
                f'{entry.msgctxt} {entry.msgid!r}: {entry.msgstr!r}, '
                f'not {sorted(theirs)}')


def _alike(text: str, other: str) -> bool:
    """Return whether texts differ in nothing but their ends."""
    first, second = (
        t.strip().rstrip(':').strip().casefold() for t in [text, other])
    shorter = min(len(first), len(second))
    return first == second or (
        len(os.path.commonprefix([first, second])) >= LIKENESS * shorter)


def split_terms(language: str) -> Iterator[str]:
    """Describe the texts that have a second word for the same thing."""
    for term, (_, other) in TERMS[language].items():
        for entry in read(language):
            if re.search(other, entry.msgstr):
                yield f'{term}: {entry.msgctxt} {entry.msgstr!r}'


def ambiguous(language: str) -> Iterator[str]:
    """Describe the words that stand for two things on one screen."""
    screens = defaultdict(lambda: defaultdict(set))
    for entry in read(language):
        for screen in _screens(entry.msgctxt):
            screens[screen][entry.msgstr.casefold().rstrip(':')].add(
                entry.msgid.casefold().rstrip(':'))
    for screen, words in sorted(screens.items()):
        for word, texts in sorted(words.items()):
            if len(texts) > 1 and not _same(texts):
                yield f'{screen}: {word!r} for {sorted(texts)}'


def _same(texts: set[str]) -> bool:
    """Return whether texts are one word in singular and plural."""
    return len({text.removesuffix('s') for text in texts}) == 1


def _screens(context: str) -> Iterator[str]:
    """Yield where a text stands beside others: forms, menus, choices."""
    kind, _, rest = context.partition(':')
    if kind in {'field', 'view'}:
        yield rest.partition(',')[0].rstrip(':')
    elif kind == 'selection':
        yield f'selection {rest}'
    elif kind == 'wizard_button':
        yield f"buttons {rest.rpartition(',')[0]}"
    elif context.startswith((
            'model:ir.model.button,string', 'model:ir.action,name')):
        yield 'actions'


def main() -> int:
    found = [
        f'{language}: {problem}' for language in LANGUAGES
        for check in [differences, split_terms, ambiguous]
        for problem in check(language)]
    print('\n'.join(found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
