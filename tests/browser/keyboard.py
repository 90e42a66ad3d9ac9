# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keyboard of a person who uses no mouse."""
import re

from playwright.sync_api import TimeoutError, expect

from .client import Client

__all__ = ['Keyboard']

# How often the tabulator is pressed at most
TABS = 80
# Milliseconds until it is seen where it has come to
PATIENCE = 2000
_HOLDS_FOCUS = 'element => element.contains(document.activeElement)'
# How an element looks, with what it is in
_LOOK = '''element => {
    const found = [];
    for (let shown = element, depth = 0; shown && depth < 3;
            shown = shown.parentElement, depth++) {
        const style = getComputedStyle(shown);
        found.push(
            style.outlineStyle, style.outlineWidth, style.boxShadow,
            style.borderColor, style.backgroundColor, style.color,
            style.textDecoration);
    }
    return found.join();
}'''
# Remember how all looks that the focus is not on
_REMEMBER = f'''() => {{
    window.looks = window.looks || new WeakMap();
    for (const element of document.querySelectorAll(
            'input, select, textarea, button, a, [tabindex]')) {{
        if (element !== document.activeElement) {{
            window.looks.set(element, ({_LOOK})(element));
        }}
    }}
}}'''
# What the focus is on: its name, its text, and whether a person can see it
_STOP = f'''() => {{
    const element = document.activeElement;
    return {{
        name: element.getAttribute('name') || '',
        text: (element.textContent || element.title || '').trim(),
        html: element.outerHTML.slice(0, 160),
        seen: window.looks.get(element) !== ({_LOOK})(element),
        index: element.tabIndex,
    }};
}}'''
# What can be reached in the dialog in front, by the order on the page
_CONTROLS = '''() => {
    const front = [...document.querySelectorAll('.modal')].filter(
        modal => modal.checkVisibility()).pop();
    return [...front.querySelectorAll(
        'input, select, textarea, button, a[href], [tabindex]')].filter(
        control => control.checkVisibility(
            {visibilityProperty: true, opacityProperty: true}) &&
            !control.disabled && control.tabIndex >= 0 &&
            control.getBoundingClientRect().width > 0);
}'''
# Whether the box that selects a record has the focus
_IN_ROW = """() => document.activeElement.matches(
    'tbody input[name^="tree-selection"]')"""
# Remember what the focus is on, and tell whether that was so before.  Not by
# its place, which changes when something appears above it.
_REACH = '''() => {
    window.reached = window.reached || [];
    const known = window.reached.includes(document.activeElement);
    window.reached.push(document.activeElement);
    return known;
}'''
_PLACE = f'''() => ({_CONTROLS})().indexOf(document.activeElement)'''
# The places of what was reached.  A number has two inputs, of which that which
# is written in is there only while it has the focus.
_PLACES = f'''() => {{
    const controls = ({_CONTROLS})();
    const isTwin = (control, element) =>
        element.matches('input[type=number]') && !element.checkVisibility() &&
        control.matches('input') &&
        control.parentElement === element.parentElement;
    return [...new Set([...new Set(window.reached)].map(
        element => controls.findIndex(control =>
            control === element || isTwin(control, element)))
        )].filter(place => place >= 0);
}}'''


class Keyboard:
    """Does in the web client what can be done by keyboard.

    Each place that the tabulator comes to has to be one that can be seen.
    """

    def __init__(self, client: Client):
        self.client = client
        self.page = client.page

    def press(self, key: str) -> None:
        self.client.settle()
        self.client.expect_focus()
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.client.settle()
        self.page.keyboard.type(text, delay=10)

    def open_entry(self, name: str) -> None:
        """Find an entry of the menu by its name, and open it."""
        self.press('Control+k')
        expect(self.page.locator('#global-search-entry')).to_be_focused()
        self.type(name)
        # It is found with all that is above it
        entry = self.page.locator(
            '.global-search-container .completion').filter(
            has_text=re.compile(f' / {re.escape(name)}$')).first
        entry.wait_for()
        for _ in range(TABS):
            self.page.keyboard.press('ArrowDown')
            if entry.evaluate(_HOLDS_FOCUS):
                break
        self.press('Enter')
        self.client.settle()

    def _stop(self) -> dict:
        return self.page.evaluate(_STOP)

    def tab(self) -> dict:
        """Press the tabulator, and return what that leads to."""
        self.client.settle()
        self.page.evaluate(_REMEMBER)
        self.page.keyboard.press('Tab')
        stop = self._stop()
        try:
            # The client lets colors and frames change slowly
            self.page.wait_for_function(
                f'() => ({_STOP})().seen', timeout=PATIENCE)
        except TimeoutError:
            raise AssertionError(
                f"Nothing shows the focus: {stop['html']}") from None
        return stop

    def tab_to(self, name: str) -> None:
        """Go to a field by its name, or to a button by its text."""
        self.client.settle()
        self.client.expect_focus()
        self.page.evaluate(_REMEMBER)
        stop = self._stop()
        for _ in range(TABS):
            if name in {stop['name'], stop['text']}:
                return
            stop = self.tab()
        raise AssertionError(f"{name} is not reached by keyboard")

    def open_row(self) -> None:
        """Go on to the first row of a list, and open its record."""
        for _ in range(TABS):
            self.tab()
            if self.page.evaluate(_IN_ROW):
                break
        self.press('Space')
        # Shortcuts are not for the box that is ticked
        self.tab()
        self.press('Control+l')
        self.client.settle()

    def use(self, button: str) -> None:
        """Go to a button, and press it."""
        self.tab_to(button)
        self.press('Enter')

    def enter(self, **values: str) -> None:
        """Go from field to field and type over what is there."""
        for name, value in values.items():
            self.tab_to(name)
            self.press('Control+a')
            self.type(value)
        for name, value in values.items():
            self.client.expect_value(name, value)

    def choose(self, name: str, text: str, record: str) -> None:
        """Type in a field that names a record, and choose one."""
        self.tab_to(name)
        self.type(text)
        self.client.within('.dropdown-menu .completion a').get_by_text(
            record, exact=True).first.wait_for()
        self.press('ArrowDown')
        self.press('Enter')
        self.client.settle()

    def go_round(self) -> list[int]:
        """Press the tabulator until the dialog has been gone through.

        Returns the places of what was reached, in the order of the page.
        """
        self.client.settle()
        self.client.expect_focus()
        self.page.evaluate('delete window.reached')
        for _ in range(TABS):
            stop = self.tab()
            # Beyond the last one the browser itself has the focus
            if self.page.evaluate(_PLACE) < 0:
                continue
            if self.page.evaluate(_REACH):
                return self.page.evaluate(_PLACES)
            assert stop['index'] == 0, stop['html']
        raise AssertionError("The tabulator does not go round")

    def count_controls(self) -> int:
        return self.page.evaluate(f'({_CONTROLS})().length')
