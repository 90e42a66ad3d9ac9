# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page of the tour says is possible, step by step."""
import json
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Page

from proteus import Model

from devtools import demo_devices, demo_languages
from devtools.browser import new_page
from devtools.demo import Demo
from devtools.demo_check import STUDY
from devtools.demo_tour import WALKS
from devtools.process import wait_until

from .visitor import Visitor

TIMEOUT = 120


@pytest.fixture(scope='module', params=demo_languages.LANGUAGES)
def demo(tmp_path_factory, request) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp('tour')
    try:
        with Demo(folder / 'demo', False, request.param) as demo:
            demo.start()
            yield demo
    finally:
        demo_languages.use('en')


@pytest.fixture(scope='module')
def tour(browser: Browser, demo: Demo) -> Iterator[Page]:
    page = new_page(browser, 1366, 768)
    page.goto(demo.tour.url)
    yield page
    page.context.close()


@pytest.mark.release
@pytest.mark.parametrize(
    'number', range(1, len(WALKS) + 1), ids=[walk.title for walk in WALKS])
def test_walk(number: int, browser: Browser, demo: Demo, tour: Page):
    article = tour.locator(f'#walk-{number}')
    steps = [
        (step.inner_text(), json.loads(step.get_attribute('data-acts')))
        for step in article.locator('li').all()]
    assert len(steps) > 3
    visitor = Visitor(
        browser, demo, tour, article.get_attribute('data-login'))
    for text, acts in steps:
        for act in acts:
            try:
                visitor.do(*act)
            except Exception as error:
                raise AssertionError(
                    f"not possible: {act}, in: {text}") from error
    visitor.leave()


@pytest.mark.release
def test_images_arrive_while_one_watches(demo: Demo, monkeypatch):
    # After the walk that has sent some
    waiting = demo.devices.waiting
    monkeypatch.setattr(demo_devices, 'FIRST', 0)
    monkeypatch.setattr(demo_devices, 'NEXT', 0)
    demo.start_arrivals()
    assert wait_until(
        lambda: demo.devices.waiting == 0 and demo.state['sent'], TIMEOUT)
    assert waiting
    sent = {
        order['study'] for order in demo.state['orders']
        if order['accession'] in demo.state['sent']}
    demo.server.connect()
    Study = Model.get(STUDY)
    assert wait_until(
        lambda: len(Study.find([
                    ('study_instance_UID', 'in', list(sent)),
                    ('link_status', '=', 'auto_certain')])) == len(sent),
        TIMEOUT, 1)


@pytest.mark.release
def test_other_pages_cannot_press_the_buttons(demo: Demo):
    with requests.Session() as session:
        session.trust_env = False
        url = demo.tour.url
        for headers in [
                {'Origin': 'http://example.org'}, {'Host': 'example.org'}]:
            assert session.post(
                url, {'do': 'last'}, headers=headers, timeout=TIMEOUT
                ).status_code == 403
        assert session.post(
            url, {'do': 'shutdown'}, timeout=TIMEOUT).status_code == 404
        assert session.get(url + 'etc', timeout=TIMEOUT).status_code == 404
