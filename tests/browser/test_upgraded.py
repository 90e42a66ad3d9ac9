# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that was upgraded opens every screen of the module."""
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from devtools.tryton import Server

from .client import ACTIVE, Client
from .upgrade_screens import (
    CONFIGURATION, ERROR, RECORDS, SCREENS, Hospital, client_of, close_tabs,
    open_screen)

# One more database, and screens that the others are shown on, too
pytestmark = pytest.mark.release


@pytest.fixture(scope='module')
def server(tmp_path_factory) -> Iterator[Server]:
    hospital = Hospital(tmp_path_factory.mktemp('upgraded'))
    with hospital.before():
        pass
    with hospital.after() as server:
        yield server


@pytest.fixture
def client(browser, server) -> Iterator[Client]:
    """An error of a script in its page fails the test."""
    client = client_of(browser, server)
    errors = []
    client.page.on('pageerror', lambda error: errors.append(str(error)))
    yield client
    client.page.context.close()
    assert not errors


def test_screens(client, server):
    for screen in SCREENS:
        open_screen(client, server, screen)


@pytest.mark.parametrize('menu', [RECORDS, CONFIGURATION], ids=' '.join)
def test_menus(client, menu):
    entries = client.entries(*menu)
    assert len(entries) > 5
    for entry in entries:
        client.menu(*menu, entry)
        check(client)


def check(client: Client) -> None:
    """Check that a menu entry has opened a list, a form or a dialog."""
    dialogs = client.page.locator('.modal:visible')
    shown = ', '.join(
        f'{place} {view}:visible' for place in [ACTIVE, '.modal']
        for view in ['table.tree', '.form', '.calendar'])
    expect(client.page.locator(shown).first).to_be_visible()
    client.settle()
    expect(client.page.locator(ERROR)).to_have_count(0)
    if dialogs.count():
        client.press("(Cancel|Close)")
        client.expect_no_dialog()
    close_tabs(client)
    client.settle()
