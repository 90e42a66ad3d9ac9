# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the tour say what a program tries of it."""
import json
from pathlib import Path

import pytest
import requests
from lxml import html

from devtools import hospital
from devtools.demo_page import TourServer
from devtools.demo_tour import STEPS, WALKS, Step

TIMEOUT = 20


@pytest.mark.parametrize('step', STEPS, ids=lambda step: step.text[:40])
def test_labels_of_acts_are_in_the_text(step: Step):
    said = step.text.replace('*', '')
    for verb, *arguments in step.acts:
        # The branches of a menu are said once
        for argument in {
                'menu': arguments[-1:], 'write': arguments[:1],
                }.get(verb, arguments):
            assert argument in said, argument
    assert step.acts


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


@pytest.fixture
def tour(tmp_path: Path):
    values = {
        'client': 'http://127.0.0.1:1/#health', 'password': "<secret>",
        'logins': [('physician', "Dr. X")], 'disc': str(tmp_path),
        'waiting': 2, 'minutes': 1, 'orthanc': 'http://127.0.0.1:2',
        'orthanc_user': 'demo', 'orthanc_password': 'x'}
    server = TourServer(lambda: values, lambda name: f"Did {name}.", 0)
    yield server
    server.close()


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_page_says_all_steps(tour, session, tmp_path):
    answer = session.get(tour.url, timeout=TIMEOUT)
    assert answer.headers['Cache-Control'] == 'no-store'
    page = html.fromstring(answer.content)
    items = page.xpath('//article[@data-login]//li')
    assert [' '.join(item.text_content().split()) for item in items] == [
        ' '.join(''.join(
            text for _, text in step.parts(disc=tmp_path)).split())
        for step in STEPS]
    assert [len(json.loads(item.get('data-acts'))) for item in items] == [
        len(step.acts) for step in STEPS]
    assert "<secret>" in page.text_content()


def test_button_says_once_what_it_did(tour, session):
    answer = session.post(tour.url, {'do': 'next'}, timeout=TIMEOUT)
    assert "Did next." in answer.text
    assert "Did next." not in session.get(tour.url, timeout=TIMEOUT).text


def test_page_is_served_beside_another(tour):
    second = TourServer(lambda: {}, str, tour.port)
    assert second.port != tour.port
    second.close()
