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
        return {styles, css: (name, value) => {
            styles[name] = value;
        }};
    }
}

class SelectionColumn extends TextColum {}

global.Sao = {View: {TreeXMLViewParser: {WIDGETS: {
    char: TextColum, text: TextColum, selection: SelectionColumn}}}};
show_lines();

test('a column of lines breaks them', () => {
    for (const Column of [TextColum, SelectionColumn]) {
        const {styles} = new Column({lines: '1'}).get_cell();
        assert.deepEqual(styles, {
            'overflow-wrap': 'anywhere', 'white-space': 'pre-line'});
    }
});

test('other columns stay as they are', () => {
    assert.deepEqual(new TextColum({}).get_cell().styles, {});
});
