# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does in the web client."""
import re
from collections.abc import Callable, Sequence

from playwright.sync_api import Error, Locator, Page, TimeoutError, expect

__all__ = ['Client']

ATTEMPTS = 5
# Milliseconds for the client to take what is entered
PATIENCE = 3000
# Milliseconds for it to offer records
COMPLETION = 15_000
# Milliseconds in which it looks whether something comes
POLLING = 20
ACTIVE = '#tabs > .tab-content > .tab-pane.active'

# The row of a menu entry, by its name and those above it
_FIND_ENTRY = '''names => {
    const rows = [...document.querySelectorAll('#menu tbody tr')];
    const indent = row => {
        const {marginLeft, marginRight} = row.querySelector(
            '.expander img').style;
        return parseFloat(marginLeft || marginRight);
    };
    let start = 0, above = -1, found = null;
    for (const name of names) {
        found = null;
        for (let i = start; i < rows.length && indent(rows[i]) > above; i++) {
            const text = rows[i].querySelector('.column-char').textContent;
            if (text === name) {
                found = rows[i];
                start = i + 1;
                break;
            }
        }
        if (!found) {
            return null;
        }
        above = indent(found);
    }
    return found;
}'''
# The names of the entries right below such a row
_BELOW_ENTRY = '''names => {
    const indent = row => {
        const {marginLeft, marginRight} = row.querySelector(
            '.expander img').style;
        return parseFloat(marginLeft || marginRight);
    };
    const entry = (%s)(names);
    const below = [];
    let row = entry.nextElementSibling;
    const first = row && indent(row);
    while (row && indent(row) > indent(entry)) {
        if (indent(row) === first) {
            below.push(row.querySelector('.column-char').textContent);
        }
        row = row.nextElementSibling;
    }
    return below;
}''' % _FIND_ENTRY
# Whether nothing was awaited for so many milliseconds: what the client does
# with an answer, which may be another question, it does a little later.
_IDLE = '''patience => {
    const now = performance.now();
    if (jQuery.active || window.idleSince === undefined) {
        window.idleSince = now;
    }
    return !jQuery.active && now - window.idleSince >= patience;
}'''
IDLE = 60
# Whether the dialog in front, if any, has taken the focus: it does so once
# more when it has come in
_INSIDE = '''() => {
    const front = [...document.querySelectorAll('.modal')].filter(
        modal => getComputedStyle(modal).display !== 'none').pop();
    return !front || (front.contains(document.activeElement)
        && !front.getAnimations({subtree: true}).length);
}'''


class Client:
    """The web client in a page, of somebody who is logged in.

    Attributes
    ----------
    page : Page
    """

    def __init__(self, page: Page, database: str):
        self.page = page
        self._database = database

    def open(self, path: str) -> None:
        """Open a path like ``model/party.party/1`` in a tab of its own."""
        self.page.evaluate(
            'path => { window.location.hash = path }',
            f'{self._database}/{path}')
        self.settle()

    def open_record(self, record) -> None:
        """Open the form of a record of proteus."""
        self.open(f'model/{record.__class__.__name__}/{record.id}')

    def _entry(self, names: Sequence[str]):
        """Return the row of a menu entry, None if it is not unfolded."""
        return self.page.evaluate_handle(_FIND_ENTRY, names).as_element()

    def entries(self, *names: str) -> list[str]:
        """Return what is below an entry of the menu."""
        self.unfold(*names)
        return self.page.evaluate(_BELOW_ENTRY, names)

    def unfold(self, *names: str) -> None:
        """Unfold menu after menu, down to the last."""
        for depth in range(1, len(names) + 1):
            self.page.wait_for_function(_FIND_ENTRY, arg=names[:depth])
            if not self.page.evaluate(_BELOW_ENTRY, names[:depth]):
                entry = self._entry(names[:depth])
                entry.query_selector('.expander').click()
                self.page.wait_for_function(
                    f'names => ({_BELOW_ENTRY})(names).length',
                    arg=names[:depth])

    def menu(self, *names: str) -> None:
        """Choose an entry of the menu, which may be shown anew meanwhile."""
        for attempt in reversed(range(ATTEMPTS)):
            try:
                self.unfold(*names[:-1])
                self._entry(names).click()
                break
            except (AttributeError, Error):
                if not attempt:
                    raise
                self.settle()
        self.settle()

    def within(self, selector: str) -> Locator:
        """Return what is visible in the dialog in front, or in the tab."""
        visible = self.page.locator(f'{selector}:visible')
        dialogs = self.page.locator('.modal:visible')
        if dialogs.count():
            return dialogs.last.locator(f'{selector}:visible')
        return self.page.locator(ACTIVE).locator(visible)

    def dialog(self) -> Locator:
        """Return the dialog in front."""
        return self.page.locator('.modal:visible').last

    def column(self, title: str) -> Locator:
        """Return the cells of a list, by the title of their column."""
        return self.within(
            f'table.tree td[data-title="{title}: "] .widget > *')

    def expect_column(self, title: str, *texts: str) -> None:
        expect(self.column(title)).to_have_text(list(texts))

    def cell(self, title: str, text: str) -> Locator:
        return self.column(title).filter(has_text=text)

    def sort(self, title: str) -> None:
        self.within('table.tree th label').get_by_text(
            title, exact=True).click()
        self.settle()

    def search(self, text: str) -> None:
        entry = self.within('.filter-box input[placeholder="Search"]')
        entry.fill(text)
        entry.press('Enter')
        self.settle()

    def filter(self, name: str) -> None:
        """Choose one of the tabs above a list.

        The client shows the answer that comes last: that to what the tab
        before it asked for must not come later.
        """
        self.settle()
        self._filter(name).click()
        self.settle()

    def _filter(self, name: str) -> Locator:
        return self.within('.tab-domain a').filter(
            has_text=re.compile(f'^{name}'))

    def filter_names(self) -> Sequence[str]:
        return [
            text.strip(' \xa0')
            for text in self.within('.tab-domain a').evaluate_all(
                'tabs => tabs.map(tab => tab.firstChild.textContent)')]

    def filter_count(self, name: str) -> Locator:
        return self._filter(name).locator('.badge')

    def notebook(self, name: str) -> None:
        """Choose a page of the notebook of a form."""
        self.within('.form-notebook .nav-tabs a').get_by_text(
            name, exact=True).first.click()

    def field(self, name: str) -> Locator:
        return self.within(f'[name="{name}"]')

    def enter(self, **values: str) -> None:
        """Type into fields, by their names, until all hold it.

        What is typed while a form opens is overwritten when it is shown anew.
        """
        for _ in range(ATTEMPTS):
            for name, value in values.items():
                self.field(name).fill(value)
            self.settle()
            if all(
                    self.field(name).input_value() == value
                    for name, value in values.items()):
                return
        raise AssertionError(f"the fields {', '.join(values)} stay empty")

    def submit(self, button: str, **values: str) -> None:
        """Fill in a dialog and press a button of it, until it is taken."""
        self.submit_by(lambda: self.press(button), **values)

    def submit_by(self, act: Callable[[], None], **values: str) -> None:
        """Fill in a dialog and do what closes it, until it is taken.

        The dialog may have shown what was typed without keeping it.
        """
        field = self.field(next(iter(values)))
        for _ in range(ATTEMPTS):
            self.enter(**values)
            act()
            try:
                expect(field).to_be_hidden(timeout=PATIENCE)
            except AssertionError:
                # It may be that the server takes its time
                self.settle()
            if not field.is_visible():
                return
        raise AssertionError("The dialog does not take what is entered")

    def expect_value(self, name: str, value: str) -> None:
        expect(self.field(name)).to_have_value(value)

    def choose(self, name: str, text: str, record: str) -> None:
        """Type a text in a field that names a record, and choose one.

        What is typed while a form opens may be overwritten.
        """
        found = self.within('.dropdown-menu .completion a').get_by_text(
            record, exact=True)
        for attempt in reversed(range(ATTEMPTS)):
            self.settle()
            self.field(name).fill('')
            self.field(name).press_sequentially(text)
            try:
                found.click(timeout=COMPLETION)
                break
            except TimeoutError:
                if not attempt:
                    raise
        self.settle()

    def button(self, name: str) -> Locator:
        return self.within('button').filter(
            has_text=re.compile(rf'^\s*{name}\s*$'))

    def settle(self) -> None:
        """Wait until no answer of the server is awaited.

        The client overwrites what is entered, and passes over buttons,
        before it has heard what there is.
        """
        self.page.evaluate('delete window.idleSince')
        self.page.wait_for_function(_IDLE, arg=IDLE, polling=POLLING)

    def expect_focus(self) -> None:
        """Wait until the dialog in front, if any, has taken the focus."""
        self.page.wait_for_function(_INSIDE)

    def press(self, name: str) -> None:
        self.settle()
        self.button(name).click()

    def save(self) -> None:
        save = self.within('nav.toolbar button#save')
        save.click()
        expect(save).to_be_disabled()

    def reload(self) -> None:
        self.settle()
        self.within('nav.toolbar button#reload').click()

    def expect_selected(self, name: str, text: str) -> None:
        expect(self.field(name).locator('option:checked')).to_have_text(text)

    def act(self, name: str) -> None:
        """Choose an action of the toolbar."""
        self.settle()
        self.within('nav.toolbar button#action').click()
        self.within('ul[aria-labelledby="action"] a').get_by_text(
            name, exact=True).click()

    def expect_image(self, image: Locator) -> None:
        """Wait until an element shows an image that can be decoded."""
        image.wait_for()
        self.page.wait_for_function(
            'image => image.complete && image.naturalWidth > 0',
            arg=image.element_handle())

    def expect_no_dialog(self) -> None:
        expect(self.page.locator('.modal:visible')).to_have_count(0)
