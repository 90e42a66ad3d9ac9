/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Where the focus is when a dialog closes */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {hold_focus} from '../../sao_custom/src/widget/focus.mjs';

let called = [];
const body = {};

class Dialog {
    init() {
        called.push('init');
        this.dialog = {data: () => undefined, on: () => {}};
    }

    destroy() {
        called.push('destroy');
    }
}

const element = properties => ({
    focus: () => called.push('focus'), ...properties});
const tab = {screen: {set_cursor: () => called.push('cursor')}};
const page = {body, activeElement: null};
global.document = page;
global.window = {setTimeout: act => act()};
global.jQuery = found => ({is: () => found.visible});
global.Sao = {
    Tab: {tabs: {get_current: () => tab}}, Wizard: {Dialog: Dialog}};
hold_focus();

function close(opener, focused) {
    called = [];
    page.activeElement = opener;
    const dialog = new Dialog();
    dialog.init();
    page.activeElement = focused;
    dialog.destroy();
    return called.filter(name => !['init', 'destroy'].includes(name));
}

test('it is where it was before', () => {
    assert.deepEqual(close(element({visible: true}), body), ['focus']);
});

test('it is in the tab if that is gone or disabled', () => {
    assert.deepEqual(close(element({visible: false}), body), ['cursor']);
    assert.deepEqual(
        close(element({visible: true, disabled: true}), body), ['cursor']);
    assert.deepEqual(close(body, body), ['cursor']);
});

test('what the wizard has opened keeps it', () => {
    assert.deepEqual(close(element({visible: true}), element({})), []);
});
