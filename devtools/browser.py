# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's headless Chromium, and how to log in to the web client."""
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from .process import StartError

__all__ = ['ROWS', 'chromium', 'log_in', 'new_page', 'open_list']

TIMEOUT = 60_000
# Of the list that is open
ROWS = '#tabs .tab-pane.active table.tree tbody tr'
FLAGS = [
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-gpu',
    '--disable-quic',
    '--disable-sync',
    '--no-first-run',
    '--no-sandbox',
    ]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium."""
    program = shutil.which('chromium-headless-shell')
    if not program:
        raise StartError("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, headless=True, args=FLAGS,
            timeout=TIMEOUT)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, width: int = 1280, height: int = 800) -> Page:
    """Return a page of a session of its own."""
    page = browser.new_context(
        viewport={'width': width, 'height': height}).new_page()
    page.set_default_timeout(TIMEOUT)
    return page


def log_in(
        page: Page, url: str, database: str, login: str, password: str,
        path: str = '') -> None:
    """Log in to the web client and wait for its menu.

    Parameters
    ----------
    path
        What to open, like ``model/party.party``.
    """
    page.goto(f'{url}/#{database}' + (f'/{path}' if path else ''))
    # Until the databases are known, the dialog does nothing.
    page.wait_for_selector('#database:visible')
    page.fill('#login', login)
    page.press('#login', 'Enter')
    page.fill('input[type="password"]:visible', password)
    page.keyboard.press('Enter')
    page.wait_for_selector('#menu table', state='attached')


def open_list(page: Page, database: str, model: str) -> None:
    """Open the records of a model and wait for the first row."""
    page.evaluate(
        'path => { window.location.hash = path }',
        f'{database}/model/{model}')
    page.wait_for_selector(ROWS)
