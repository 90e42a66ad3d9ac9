# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be read on a screen of the web client, values of fields included.
"""
from playwright.sync_api import Page

__all__ = ['expect_text', 'read_screen']

# Within the whole screen, or the dialog or tab in front.  The style sheet
# shows labels of buttons in capitals: case does not matter.
_READ = '''front => {
    const visible = element => element.checkVisibility
        && element.checkVisibility();
    let scope = document.body;
    if (front) {
        const dialogs = [...document.querySelectorAll('.modal')].filter(
            visible);
        scope = dialogs.length ? dialogs[dialogs.length - 1]
            : document.querySelector('#tabs');
    }
    const found = [];
    const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        if (visible(walker.currentNode.parentElement)) {
            found.push(walker.currentNode.nodeValue);
        }
    }
    for (const element of scope.querySelectorAll(
            'input, textarea, select, [title], [aria-label]')) {
        if (!visible(element)) {
            continue;
        }
        if (element.tagName == 'SELECT') {
            found.push(...[...element.selectedOptions].map(o => o.text));
        } else if (['INPUT', 'TEXTAREA'].includes(element.tagName)
                && element.type != 'password') {
            found.push(element.value);
        }
        found.push(
            element.title, element.getAttribute('aria-label') || '',
            element.placeholder || '');
    }
    return found.join('\\n').replace(/\\u00a0/g, ' ');
}'''


def read_screen(page: Page) -> set[str]:
    """Return all lines that can be read, in small letters.

    Without what follows the name of a field or ends a sentence.
    """
    return {
        line.strip(' :.') for line in
        page.evaluate(_READ, False).lower().splitlines()} - {''}


def expect_text(page: Page, text: str) -> None:
    """Wait until a text is in the dialog or tab in front."""
    page.wait_for_function(
        f'text => ({_READ})(true).toLowerCase().includes(text)',
        arg=text.lower())
