# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the tour say what a program tries of it."""
import json
import re
from pathlib import Path

import polib
import pytest
import requests
from lxml import html

from devtools import hospital
from devtools.demo_devices import DeviceError, NotScheduledError
from devtools.demo_languages import LANGUAGES
from devtools.demo_page import TourServer
from devtools.demo_tour import LABEL, STEPS, WALKS, Step, pieces
from devtools.demo_tour_words import Words, texts, translation_path

TIMEOUT = 20
PLACEHOLDER = re.compile(r'\{\w+\}')
TRANSLATED = [language for language in LANGUAGES if language != 'en']


@pytest.fixture(scope='module')
def words() -> dict[str, Words]:
    return {language: Words(language) for language in LANGUAGES}


@pytest.mark.parametrize('language', LANGUAGES)
def test_labels_of_acts_are_in_the_text(language: str, words):
    for step in STEPS:
        said = words[language].text(step.text).replace('*', '')
        for act in step.acts:
            verb, *arguments = words[language].act(act)
            # The branches of a menu are said once
            for argument in {
                    'menu': arguments[-1:], 'write': arguments[:1],
                    }.get(verb, arguments):
                assert argument in said, argument
        assert step.acts


@pytest.mark.parametrize('language', TRANSLATED)
def test_all_texts_are_translated_with_their_labels(language: str, words):
    file = polib.pofile(str(translation_path(language)))
    assert [entry.msgid for entry in file] == list(texts())
    for entry in file:
        assert entry.msgstr and entry.msgstr != entry.msgid
        for pattern in [LABEL, PLACEHOLDER]:
            assert sorted(pattern.findall(entry.msgstr)) == sorted(
                pattern.findall(entry.msgid)), entry.msgid
        words[language].text(entry.msgid)


@pytest.mark.parametrize('step', STEPS, ids=lambda step: step.text[:40])
def test_labels_of_the_text_are_tried(step: Step):
    tried = {argument for act in step.acts for argument in act}
    assert step.labels() <= tried


def test_walks_are_short_and_of_users_of_the_demo():
    assert len(WALKS) == 5
    logins = {role.login for role in hospital.ROLES}
    for walk in WALKS:
        assert walk.login in logins
        assert 3 <= len(walk.steps) <= 6


@pytest.mark.parametrize('error, text', [
        (DeviceError("nobody is waiting"), "niemand wartet"),
        (NotScheduledError(
                "{accession} is not on the worklist of {aetitle}",
                accession="7", aetitle="CT1"),
            "7 ist nicht auf der Arbeitsliste von CT1"),
        # What a program says
        (DeviceError("refused: {x}"), "refused: {x}")])
def test_why_nothing_was_sent(error, text, words):
    assert words['de'].error(error.text, error.values) == text


def test_people_and_studies_are_those_of_the_language(words):
    assert words['es'].text(
        "*Patient*: type “Esimerkki”, choose *Esimerkki, Aki*. "
        "*Tests*: type “CT”, choose *CT of the Head*.") == (
        "*Paciente*: escriba «Prueba Ordóñez», elija "
        "*Prueba Ordóñez, Nicolás*. *Análisis*: escriba «TC», elija "
        "*TC de cráneo*.")


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def tour(tmp_path: Path, language: str, words):
    values = {
        'client': 'http://127.0.0.1:1/#health', 'password': "<secret>",
        'logins': [('physician', "Dr. X")], 'disc': str(tmp_path),
        'waiting': 2, 'minutes': 1, 'orthanc': 'http://127.0.0.1:2',
        'orthanc_user': 'demo', 'orthanc_password': 'x'}
    server = TourServer(
        lambda: values, lambda name: f"Did {name}.", 0, words[language])
    yield server
    server.close()


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_page_says_all_steps(tour, session, tmp_path, language, words):
    answer = session.get(tour.url, timeout=TIMEOUT)
    assert answer.headers['Cache-Control'] == 'no-store'
    page = html.fromstring(answer.content)
    items = page.xpath('//article[@data-login]//li')
    assert [' '.join(item.text_content().split()) for item in items] == [
        ' '.join(''.join(
            text for _, text in pieces(
                words[language].text(step.text), disc=tmp_path)).split())
        for step in STEPS]
    assert [len(json.loads(item.get('data-acts'))) for item in items] == [
        len(step.acts) for step in STEPS]
    assert "<secret>" in page.text_content()
    assert page.get('lang') == language.replace('_', '-')


def test_button_says_once_what_it_did(tour, session):
    answer = session.post(tour.url, {'do': 'next'}, timeout=TIMEOUT)
    assert "Did next." in answer.text
    assert "Did next." not in session.get(tour.url, timeout=TIMEOUT).text


def test_page_is_served_beside_another(tour, language, words):
    second = TourServer(lambda: {}, str, tour.port, words[language])
    assert second.port != tour.port
    second.close()
