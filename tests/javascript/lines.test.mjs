/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Columns that show all lines of a text, beside those that do not */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {show_lines} from '../../sao_custom/src/widget/lines.mjs';

class TextColum {
    constructor(attributes) {
        this.attributes = attributes;
    }

    get_cell() {
        const styles = {};
        return {styles, addClass: name => {
            styles.class = name;
        }, css: (name, value) => {
            styles[name] = value;
        }};
    }
}

class SelectionColumn extends TextColum {}

const added = {text: text => {
    added.style = text;
    return added;
}, appendTo: () => added};
global.jQuery = () => added;
global.Sao = {View: {TreeXMLViewParser: {WIDGETS: {
    char: TextColum, text: TextColum, selection: SelectionColumn}}}};
show_lines();

test('a column of lines breaks them', () => {
    for (const Column of [TextColum, SelectionColumn]) {
        const {styles} = new Column({lines: '1'}).get_cell();
        assert.deepEqual(styles, {
            'class': 'health-orthanc-lines',
            'overflow-wrap': 'anywhere', 'white-space': 'pre-line'});
    }
});

test('what is beside lines may go below them', () => {
    new TextColum({lines: '1'}).get_cell();
    assert.match(added.style, /health-orthanc-lines.*flex-wrap: wrap/);
});

test('other columns stay as they are', () => {
    assert.deepEqual(new TextColum({}).get_cell().styles, {});
});
