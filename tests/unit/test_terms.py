# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the translations: GNU Health's, and one for each thing."""
import re

import polib
import pytest

from devtools import demo_languages, terms
from devtools.terms import TERMS, ambiguous, differences, split_terms
from devtools.translations import LANGUAGES, read
from devtools.tryton import ROOT


@pytest.mark.parametrize('language', LANGUAGES)
def test_words_are_those_of_gnu_health(language):
    assert not list(differences(language))


@pytest.mark.parametrize('language', LANGUAGES)
def test_one_thing_has_one_word(language):
    for first, _ in TERMS[language].values():
        assert any(
            re.search(first, entry.msgstr) for entry in read(language))
    assert not list(split_terms(language))


@pytest.mark.parametrize('language', LANGUAGES)
def test_no_word_stands_for_two_things_on_a_screen(language):
    assert not list(ambiguous(language))


def _translated(*entries: tuple[str, str, str]) -> polib.POFile:
    file = polib.POFile()
    file.extend(
        polib.POEntry(msgctxt=context, msgid=text, msgstr=translation)
        for context, text, translation in entries)
    return file


def test_what_is_found(monkeypatch):
    monkeypatch.setattr(terms, 'read', lambda language: _translated(
        ('field:example,patient:', "Patient", "Kranker"),
        ('field:example,date:', "Date", "Datum"),
        ('field:example,study:', "Study", "Studie"),
        ('field:example,day:', "Day", "Datum"),
        ('field:other,done:', "Done", "Erledigte")))
    assert list(differences('de')) == [
        "field:example,patient: 'Patient': 'Kranker', not ['Patient']",
        "field:example,study: 'Study': 'Studie', not ['Untersuchung']"]
    assert list(split_terms('de')) == ["study: field:example,study: 'Studie'"]
    assert list(ambiguous('de')) == ["example: 'datum' for ['date', 'day']"]


def test_the_web_client_has_each_language():
    folder = ROOT / 'sao_custom' / 'src' / 'texts'
    assert {path.stem for path in folder.glob('*.mjs')} == {
        'en', *(language.partition('_')[0] for language in LANGUAGES)}


def test_the_demo_has_each_language():
    assert set(demo_languages.LANGUAGES) == {'en', *LANGUAGES}
