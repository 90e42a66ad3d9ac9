# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is cut or out of sight in the web client."""
from playwright.sync_api import Page

__all__ = ['find_faults']

# A text is cut if it reaches over the edge of something that hides what does
# so, whether dots tell it or not; where a list can be moved sideways, what has
# to be moved to is out of sight.  UIDs and what else is long without a space
# are for programs: nobody has to read them to decide.
_FAULTS = r'''() => {
    const dialogs = [...document.querySelectorAll('.modal')].filter(
        dialog => dialog.checkVisibility());
    const front = dialogs.pop() ||
        document.querySelector('#tabs > .tab-content > .tab-pane.active');
    const faults = new Set();
    const TOLERANCE = 1.5;
    const context = document.createElement('canvas').getContext('2d');
    const shown = element => {
        const {width, height} = element.getBoundingClientRect();
        return width > 1 && height > 1 && element.checkVisibility(
            {opacityProperty: true, visibilityProperty: true});
    };
    const add = (what, text) => {
        text = text.replace(/\s+/g, ' ').trim();
        if (text && !/^\S{40,}$/.test(text)) {
            faults.add(`${what}: ${text}`);
        }
    };
    // Whether a box is whole within all that could hide a part of it
    const hidden_part = (box, element) => {
        for (let outer = element; outer; outer = outer.parentElement) {
            const {overflowX, overflowY} = getComputedStyle(outer);
            const edge = outer.getBoundingClientRect();
            const beyond = box.left < edge.left - TOLERANCE ||
                box.right > edge.right + TOLERANCE;
            if (beyond && overflowX !== 'visible') {
                return ['hidden', 'clip'].includes(overflowX) ?
                    'cut' : 'out of sight';
            }
            if (['hidden', 'clip'].includes(overflowY) &&
                    box.bottom > edge.bottom + 3 &&
                    getComputedStyle(outer).position !== 'static' &&
                    outer !== document.body) {
                return 'cut below';
            }
            if (getComputedStyle(outer).position === 'fixed') {
                break;
            }
        }
        return box.left < -TOLERANCE ||
            box.right > window.innerWidth + TOLERANCE ? 'off-screen' : null;
    };
    const look_at_texts = root => {
        const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const node = texts.currentNode;
            const parent = node.parentElement;
            if (!node.data.trim() || !shown(parent) || parent.closest(
                    'option, script, style, .sr-only, [aria-hidden=true], ' +
                    // As long as it takes, which may be short
                    '.fc-event')) {
                continue;
            }
            const range = document.createRange();
            range.selectNodeContents(node);
            for (const box of range.getClientRects()) {
                const what = hidden_part(box, parent);
                if (what) {
                    add(what, node.data);
                    break;
                }
            }
            if (parent.scrollWidth > parent.clientWidth + 1 &&
                    parent.clientWidth &&
                    getComputedStyle(parent).textOverflow === 'ellipsis') {
                add('cut', node.data);
            }
        }
    };
    const look_at_fields = root => {
        for (const field of root.querySelectorAll('input, select')) {
            if (!shown(field) || ['checkbox', 'file'].includes(field.type)) {
                continue;
            }
            const style = getComputedStyle(field);
            const room = field.clientWidth - parseFloat(style.paddingLeft) -
                parseFloat(style.paddingRight);
            const text = field.tagName === 'SELECT' ?
                (field.selectedOptions[0] || {}).text || '' :
                field.value || field.placeholder;
            context.font = style.font;
            if (context.measureText(text).width > room + TOLERANCE) {
                add(`cut in ${field.name || field.closest('[name]')
                    ?.getAttribute('name')}`, text);
            }
        }
    };
    const look_at_buttons = root => {
        for (const button of root.querySelectorAll('button, .btn')) {
            if (!shown(button)) {
                continue;
            }
            const box = button.getBoundingClientRect();
            const what = hidden_part(box, button.parentElement);
            const name = button.innerText.trim() || button.title ||
                button.id || button.name;
            if (what) {
                add(`button ${what}`, name);
            } else if (button.closest('.modal-footer') &&
                    box.bottom > window.innerHeight) {
                add('button below the screen', name);
            }
        }
    };
    for (const root of [front, document.querySelector('#menu')]) {
        if (root) {
            look_at_texts(root);
            look_at_fields(root);
            look_at_buttons(root);
        }
    }
    return [...faults];
}'''


def find_faults(page: Page) -> list[str]:
    """Return what a person cannot read of the tab or dialog in front."""
    return page.evaluate(_FAULTS)
