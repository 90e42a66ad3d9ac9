/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The button *View* in a list: one click, as far as SAO is concerned */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {view_with_one_click} from
    '../../sao_custom/src/widget/view_button.mjs';

const pressed = [];

// What SAO does with a click, if nothing is changed
class ButtonColumn {
    constructor(view, name) {
        this.view = view;
        this.attributes = {name};
    }

    button_clicked(event) {
        const [record] = event.data;
        if (record === this.view.screen.current_record) {
            pressed.push([this.attributes.name, record,
                this.view.rows.filter(row => row.selected).length]);
        }
    }
}

function make_view(...records) {
    const view = {screen: {current_record: null}, rows: []};
    view.select_records = () => {
        for (const row of view.rows) {
            row.selected = false;
        }
    };
    view.rows = records.map(record => ({
        record,
        selected: false,
        set_selection(value) {
            this.selected = value;
        },
        selection_changed() {
            if (this.selected) {
                view.screen.current_record = record;
            }
        },
    }));
    return view;
}

global.Sao = {View: {Tree: {ButtonColumn}}};
view_with_one_click();

test('the first click opens the images of its row alone', () => {
    const view = make_view('a', 'b');
    const column = new ButtonColumn(view, 'view_images');
    for (const record of ['a', 'b', 'b']) {
        column.button_clicked({data: [record, null]});
    }
    assert.deepEqual(pressed.splice(0), [
        ['view_images', 'a', 1], ['view_images', 'b', 1],
        ['view_images', 'b', 1]]);
});

test('other buttons stay as they are', () => {
    const column = new ButtonColumn(make_view('a'), 'delete');
    column.button_clicked({data: ['a', null]});
    assert.deepEqual(pressed.splice(0), []);
});

test('a record without a row', () => {
    const column = new ButtonColumn(make_view('a'), 'view_images');
    column.button_clicked({data: ['z', null]});
    assert.deepEqual(pressed.splice(0), []);
});
