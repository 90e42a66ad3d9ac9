# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the translations in step with the strings of the module.

The strings are those that trytond itself collects from a new database.  In
``health_orthanc/locale`` new ones are added untranslated, ones that are gone
are removed, and changed ones are marked fuzzy: trytond shows the English text
of a fuzzy one until somebody has looked at it and has removed the mark.
"""
import argparse
import configparser
import difflib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polib

from .process import stopping_on_signals
from .testing import cache_folder
from .tryton import MODULE, ROOT, Tryton

__all__ = [
    'FOLDER', 'LANGUAGES', 'extras', 'merge', 'module_strings', 'problems',
    'read', 'write']

FOLDER = ROOT / MODULE / 'locale'
LANGUAGES = ['de', 'es', 'fr', 'pt_BR']
SOURCE_LANGUAGE = 'en'
HEADER = '''\
SPDX-FileCopyrightText: 2026 health_orthanc contributors
SPDX-License-Identifier: GPL-3.0-or-later'''
WRAP_WIDTH = 78
# Likeness from which on a new string passes for one that was changed
LIKENESS = 0.6
PLACEHOLDER = re.compile(r'%\(\w+\)[a-z]|%%|\{[^{}]*\}')

Key = tuple[str, str]


def extras() -> list[str]:
    """Return the modules that ours adds something to where they are active.
    """
    parser = configparser.ConfigParser()
    parser.read(ROOT / MODULE / 'tryton.cfg')
    return parser.get('tryton', 'extras_depend', fallback='').split()


def module_strings(module: str = MODULE) -> polib.POFile:
    """Return a module's strings, all untranslated.

    It works within a transaction on a database with the module, and leaves
    English translations of our views in it.
    """
    from trytond.pool import Pool
    for model in ['ir.action.report', 'ir.ui.view']:
        _collect(model)
    exported = polib.pofile(
        Pool().get('ir.translation').translation_export(
            SOURCE_LANGUAGE, module).decode())
    strings = polib.POFile()
    strings.extend(
        polib.POEntry(msgctxt=entry.msgctxt, msgid=entry.msgid)
        for entry in exported)
    return strings


def _collect(model: str) -> None:
    """Let trytond read the strings in the module's reports or views."""
    from trytond.pool import Pool
    from trytond.transaction import Transaction, inactive_records
    pool = Pool()
    with inactive_records():
        records = pool.get(model).search([('module', '=', MODULE)])
    Set = pool.get('ir.translation.set', type='wizard')
    session_id, *_ = Set.create()
    with Transaction().set_context(
            active_model=model, active_ids=[record.id for record in records]):
        Set(session_id).transition_set_()
    Set.delete(session_id)


def _prepared_strings() -> polib.POFile:
    """Return the module's strings with and without the other modules.

    What another one brings as well is its own where it is active.
    """
    found: dict[Key, polib.POEntry] = {}
    for modules in [[MODULE], [MODULE, *extras()]]:
        # One process cannot load the module twice
        with ProcessPoolExecutor(1, get_context('spawn')) as executor:
            text = executor.submit(_strings_with, modules).result()
        found.update(_by_key(polib.pofile(text)))
    strings = polib.POFile()
    strings.extend(found.values())
    return strings


def _strings_with(modules: list[str]) -> str:
    """Return the module's strings from a database that is then dropped."""
    with tempfile.TemporaryDirectory(prefix='translations-') as folder:
        tryton = Tryton(Path(folder))
        tryton.create(modules, cache_folder())
        tryton.connect()
        from trytond.transaction import Transaction
        with Transaction().start(tryton.name, 0, close=True):
            return str(module_strings())


def _path(language: str) -> Path:
    return FOLDER / f'{language}.po'


def read(language: str) -> polib.POFile:
    """Return the translations into a language.

    Raises
    ------
    ValueError
        A string is there twice.
    """
    path = _path(language)
    if not path.exists():
        return polib.POFile()
    return polib.pofile(str(path), check_for_duplicates=True)


def write(translations: polib.POFile, language: str) -> None:
    """Store the translations into a language."""
    _path(language).write_text(
        f'{translations}\n', encoding='utf-8')


def _by_key(entries: Iterable[polib.POEntry]) -> dict[Key, polib.POEntry]:
    return {
        (entry.msgctxt, entry.msgid): entry for entry in entries
        if not entry.obsolete}


def merge(strings: polib.POFile, translations: polib.POFile, language: str
        ) -> polib.POFile:
    """Return the strings with what is known of their translations."""
    old = _by_key(translations)
    new = _by_key(strings)
    gone = {key: old[key] for key in old.keys() - new.keys()}
    merged = polib.POFile(wrapwidth=WRAP_WIDTH)
    merged.header = HEADER
    merged.metadata = {
        'Content-Type': 'text/plain; charset=utf-8', 'Language': language}
    for key in sorted(new):
        merged.append(old.get(key) or _changed(key, gone))
    return merged


def _changed(key: Key, gone: dict[Key, polib.POEntry]) -> polib.POEntry:
    """Return a new string, with the translation of the one it replaces.

    That one is removed from those that are `gone`.
    """
    context, text = key
    entry = polib.POEntry(msgctxt=context, msgid=text)
    texts = sorted(
        other for other_context, other in gone if other_context == context)
    for other in difflib.get_close_matches(
            text, texts, n=1, cutoff=LIKENESS):
        replaced = gone.pop((context, other))
        entry.msgstr = replaced.msgstr
        if entry.msgstr:
            entry.previous_msgid = other
            entry.flags.append('fuzzy')
    return entry


def problems(strings: polib.POFile, translations: polib.POFile
        ) -> Iterator[str]:
    """Describe what keeps the translations from being complete and right."""
    new, old = _by_key(strings), _by_key(translations)
    for title, keys in [
            ("lacking", new.keys() - old.keys()),
            ("stale", old.keys() - new.keys())]:
        for key in sorted(keys):
            yield _describe(title, key)
    for key in sorted(old):
        for title in _flaws(old[key]):
            yield _describe(title, key)


def _describe(title: str, key: Key) -> str:
    context, text = key
    return f'{title}: {context} {text!r}'


def _flaws(entry: polib.POEntry) -> Iterator[str]:
    if entry.fuzzy:
        yield "fuzzy"
    if not entry.msgstr:
        yield "untranslated"
    elif _placeholders(entry.msgid) != _placeholders(entry.msgstr):
        yield "placeholders differ"


def _placeholders(text: str) -> Counter[str]:
    return Counter(PLACEHOLDER.findall(text))


def _check(strings: polib.POFile) -> bool:
    """Print what is wrong, and tell whether nothing is."""
    right = True
    for language in LANGUAGES:
        for problem in problems(strings, read(language)):
            print(f'{_path(language).name}: {problem}')
            right = False
    return right


def _update(strings: polib.POFile) -> None:
    FOLDER.mkdir(exist_ok=True)
    for language in LANGUAGES:
        merged = merge(strings, read(language), language)
        write(merged, language)
        print(
            f'{_path(language).name}: {len(merged)} strings, '
            f'{len(merged.untranslated_entries())} untranslated, '
            f'{len(merged.fuzzy_entries())} fuzzy')


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='translations', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true',
        help="change nothing; fail unless all is translated")
    options = parser.parse_args()
    strings = _prepared_strings()
    if options.check:
        return 0 if _check(strings) else 1
    _update(strings)
    return 0


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
