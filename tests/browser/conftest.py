# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One clinic and one browser for all tests, a page for each."""
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from devtools.browser import chromium, log_in
from devtools.tryton import PASSWORD

from .client import Client
from .clinic import Clinic

# Other tests run beside
TIMEOUT = 40_000
# For a page to tell what it shows
PATIENCE = 2_000
# That of many an old notebook
SCREEN = {'width': 1366, 'height': 768}
BROWSER = pytest.StashKey[Browser]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Tell with a failure what the pages show that are open."""
    report = yield
    browser = item.config.stash.get(BROWSER, None)
    if report.failed and browser:
        report.sections += [
            (f"Page {page.url.partition('#')[2]}", _shown(page))
            for context in browser.contexts for page in context.pages]
    return report


def _shown(page: Page) -> str:
    try:
        text = page.locator('body').inner_text(timeout=PATIENCE)
    except Error as error:
        return str(error)
    return '\n'.join(filter(None, map(str.strip, text.splitlines())))


# Not for the session: Playwright keeps an event loop in this thread, which
# other tests would meet.
@pytest.fixture(scope='package')
def clinic(tmp_path_factory) -> Iterator[Clinic]:
    with Clinic(tmp_path_factory.mktemp('clinic')) as clinic:
        yield clinic


@pytest.fixture(scope='package')
def browser(pytestconfig) -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with chromium() as browser:
        pytestconfig.stash[BROWSER] = browser
        yield browser
        del pytestconfig.stash[BROWSER]


@pytest.fixture(scope='package')
def contexts(browser: Browser, clinic: Clinic) -> dict[str, BrowserContext]:
    """The browsers' profiles by login, each with a session."""
    return {}


@pytest.fixture
def log_in_as(
        browser: Browser, clinic: Clinic,
        contexts: dict[str, BrowserContext]
        ) -> Iterator[Callable[[str], Client]]:
    """A function that opens the web client as somebody.

    An error of a script in one of the pages fails the test.
    """
    pages: list[Page] = []
    errors: list[str] = []

    def open_page(login: str) -> Client:
        known = login in contexts
        if not known:
            contexts[login] = _new_context(browser, clinic)
        page = contexts[login].new_page()
        page.on('pageerror', lambda error: errors.append(str(error)))
        pages.append(page)
        database = clinic.tryton.name
        if known:
            page.goto(f'{clinic.server.url}/#{database}')
            page.wait_for_selector('#menu table', state='attached')
        else:
            log_in(page, clinic.server.url, database, login, PASSWORD)
        return Client(page, database)
    yield open_page
    for page in pages:
        page.close()
    assert not errors


def _new_context(browser: Browser, clinic: Clinic) -> BrowserContext:
    context = browser.new_context(viewport=SCREEN, http_credentials={
            'username': clinic.orthanc.user,
            'password': clinic.orthanc.password,
            'origin': clinic.orthanc.url,
            })
    context.set_default_timeout(TIMEOUT)
    return context


@pytest.fixture
def clerk(log_in_as) -> Client:
    return log_in_as('clerk')


@pytest.fixture
def administrator(log_in_as) -> Client:
    return log_in_as('administrator')


@pytest.fixture
def radiographer(log_in_as) -> Client:
    return log_in_as('radiographer')


@pytest.fixture
def physician(log_in_as) -> Client:
    return log_in_as('physician')
