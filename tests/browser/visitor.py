# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who does what the page of the tour says, by its labels."""
import re
import time
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from devtools.browser import log_in, new_page
from devtools.demo import DATABASE, Demo
from devtools.demo_tour_words import SAID
from devtools.process import wait_until
from devtools.tryton import PASSWORD

from .client import Client
from .screen_text import expect_text

__all__ = ['Visitor']

SIZE = {'width': 1366, 'height': 768}
# For images to be there after they were sent, in seconds
ARRIVAL = 120
# Milliseconds in which a list is believed to show what is there
LOOK = 2000
VIEWER = 120_000
# For a dialog, in seconds
OPENING = 60


class Visitor:
    """A visitor who is logged in, and has the page of the tour beside.

    Parameters
    ----------
    tour
        The page.
    """

    def __init__(self, browser: Browser, demo: Demo, tour: Page, login: str):
        self._tour = tour
        self._sent = demo.words.text(SAID).partition('{')[0]
        page = new_page(browser, **SIZE)
        log_in(page, demo.server.url, DATABASE, login, PASSWORD)
        self.client = Client(page, DATABASE)
        self.client.settle()

    @property
    def page(self) -> Page:
        return self.client.page

    def leave(self) -> None:
        self.page.context.close()

    def do(self, verb: str, *arguments: str) -> None:
        """Do an act of the tour."""
        self.client.settle()
        getattr(self, f'_do_{verb}')(*arguments)
        self.client.settle()

    def _do_see(self, text: str) -> None:
        expect_text(self.page, text)

    def _do_await(self, text: str) -> None:
        """Reload until a text is there."""
        deadline = time.monotonic() + ARRIVAL
        while time.monotonic() < deadline:
            self.client.reload()
            self.client.settle()
            try:
                self.page.set_default_timeout(LOOK)
                expect_text(self.page, text)
                return
            except TimeoutError:
                continue
            finally:
                self.page.set_default_timeout(60_000)
        raise AssertionError(f"{text} does not come")

    def _do_menu(self, *names: str) -> None:
        self.client.menu(*names)

    def _do_tab(self, name: str) -> None:
        self.client.filter(name)

    def _do_notebook(self, name: str) -> None:
        self.client.notebook(name)

    def _do_press(self, name: str) -> None:
        self.client.press(name)

    def _row(self, text: str) -> Locator:
        return self.client.within('table.tree tbody tr').filter(
            has_text=text).first

    def _do_see_in(self, row: str, text: str) -> None:
        expect(self._row(row)).to_contain_text(text)

    def _do_press_in(self, row: str, button: str) -> None:
        self._row(row).locator('td').nth(2).click()
        self.client.settle()
        self._row(row).locator('button').filter(has_text=re.compile(
                rf'^\s*{button}\s*$')).click()

    def _do_open(self, row: str) -> None:
        # Beside what leads elsewhere, such as the name of a patient
        self._row(row).locator(
            'td[data-title]:visible:not(:has(a, button, input))'
            ).first.dblclick()

    def _labels(self, label: str) -> Locator:
        return self.client.within('label').filter(
            has_text=re.compile(rf'^\s*{label}\s*:?\s*$'))

    def _field(self, label: str) -> Locator:
        """Return what a label is written beside."""
        # A dialog may be about to open
        assert wait_until(lambda: self._labels(label).count(), OPENING)
        found = self._labels(label).first
        if not found.get_attribute('for'):
            return found.locator('xpath=following::textarea[1]')
        entry = self.page.locator(f'[id="{found.get_attribute("for")}"]')
        inner = entry.locator('input:visible, textarea:visible')
        return inner.first if inner.count() else entry

    def _do_choose(self, label: str, text: str, record: str) -> None:
        """Type in a field, and choose what is offered."""
        field = self._field(label)
        field.click()
        field.press_sequentially(text, delay=20)
        self.client.within('.dropdown-menu .completion a').get_by_text(
            record, exact=True).first.click()
        self.client.settle()
        expect_text(self.page, record)

    def _do_write(self, label: str, text: str) -> None:
        field = self._field(label)
        field.click()
        field.fill(text)
        field.blur()

    def _do_save(self) -> None:
        self.client.save()

    def _do_files(self, button: str, folder: str) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.client.dialog().get_by_role(
                "button", name=button, exact=True).click()
        chooser.value.set_files(folder)
        expect(self.client.dialog().locator('[data-state="received"]')
            ).to_have_count(len(list(Path(folder).iterdir())))

    def _do_viewer(self, button: str) -> None:
        with self.page.context.expect_page() as opened:
            self.client.button(button).first.click()
        opened.value.locator('canvas.cornerstone-canvas').first.wait_for(
            timeout=VIEWER)
        opened.value.close()

    def _do_page(self, button: str) -> None:
        """Press a button of the page of the tour."""
        self._tour.get_by_role('button', name=button, exact=True).click()
        expect(self._tour.get_by_role('status')).to_contain_text(
            self._sent)
