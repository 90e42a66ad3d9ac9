/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The buttons: which can be used, and where the focus goes */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {SelectedFiles} from '../../sao_custom/src/selected_files.mjs';
import {Toolbar} from '../../sao_custom/src/widget/toolbar.mjs';

const texts = key => key;
let focused = null;

// As much of an element of jQuery as the toolbar uses
class Element {
    constructor(attributes) {
        this.name = attributes.name;
        this.visible = true;
        this.disabled = false;
        this[0] = {contains: () => true};
    }

    click(action) {
        if (action) {
            this.action = action;
        } else {
            this.action();
        }
        return this;
    }

    focus() {
        focused = this;
    }

    is(selector) {
        return selector === ':visible:enabled' ?
            this.visible && !this.disabled : !this.visible || this.disabled;
    }

    prop(name, value) {
        this[name] = value;
        return this;
    }

    toggle(visible) {
        this.visible = visible;
        return this;
    }
}

for (const name of ['appendTo', 'change', 'css', 'hide', 'text']) {
    Element.prototype[name] = function() {
        return this;
    };
}

global.jQuery = (found, attributes) =>
    found instanceof Element ? found : new Element(attributes);
global.jQuery.extend = Object.assign;
global.document = {
    get activeElement() {
        return focused;
    }};

const ACTIONS = Object.fromEntries(
    ['add', 'cancel', 'retry', 'clear'].map(name => [name, () => {}]));
const BUTTONS = ['files', 'folder', 'cancel', 'retry', 'clear'];

// Return the toolbar of an upload with files in some states
function show(states, {readonly=false, focus='files', ...values}={}) {
    const files = new SelectedFiles(texts, () => {});
    files.add(states.map(() => ({path: 'a', file: new Blob(['a'])})));
    files.entries.forEach(
        (entry, index) => files.set(entry, states[index]));
    const toolbar = new Toolbar(texts, null, ACTIONS);
    toolbar[focus].focus();
    toolbar.update(
        {busy: false, packed: false, files: files, ...values}, readonly);
    return toolbar;
}

const usable = toolbar => BUTTONS.filter(
    name => toolbar[name].is(':visible:enabled'));

test("only buttons that make sense can be used", () => {
    for (const [expected, states, values] of [
            [['files', 'folder'], [], {}],
            [[], [], {readonly: true}],
            [['files', 'folder', 'clear'], ['new', 'waiting'], {}],
            [['files', 'folder', 'clear'], ['waiting'], {packed: true}],
            [['cancel'], ['waiting', 'sending', 'failed'], {busy: true}],
            [['files', 'folder', 'retry', 'clear'], ['failed'], {}],
            [['files', 'folder', 'clear'], ['received'], {}]]) {
        assert.deepEqual(usable(show(states, values)), expected);
    }
});

test("the focus goes from a button that is gone to the next step", () => {
    for (const [expected, states, values] of [
            ['cancel', ['sending'], {busy: true}],
            ['retry', ['failed'], {}],
            ['files', ['received'], {}]]) {
        const focus = values.busy ? 'retry' : 'cancel';
        show(states, {focus: focus, ...values});
        assert.equal(focused.name, expected);
    }
});

test("the focus stays where no button can be used", () => {
    show([], {focus: 'clear', readonly: true});
    assert.equal(focused.name, 'clear');
});

test("after clearing the files can be selected at once", () => {
    show(['received'], {focus: 'clear'}).clear.click();
    assert.equal(focused.name, 'files');
});
