# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is cut on any screen of the demo, in no language."""
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from devtools.demo import Demo

from .all_screens import ENGLISH, ROLES, SHIPPED, SIZE, go_through

pytestmark = pytest.mark.release

WIDE = (1920, 1080)
# Written from right to left; the module has no texts in it
PERSIAN = 'fa'


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp('screens')
    with Demo(folder / 'demo', use_postgresql=False) as demo:
        demo.start()
        yield demo


@pytest.mark.parametrize('language, size', [
        *((language, SIZE) for language in [*SHIPPED, PERSIAN]),
        (ENGLISH, WIDE)])
def test_nothing_is_cut(
        language: str, size: tuple[int, int], demo: Demo, browser: Browser,
        tmp_path):
    faults = go_through(
        browser, demo.server, ROLES, language, size, tmp_path)
    assert faults == {}
