/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Our boards, beside those of others */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {are_whole, fit_boards, graph_height, tick_label} from
    '../../sao_custom/src/widget/board.mjs';

class Element {
    constructor(inside=false) {
        this.inside = inside;
        this.classes = [];
    }

    addClass(name) {
        this.classes.push(name);
        return this;
    }

    closest() {
        return {length: this.inside ? 1 : 0};
    }

    text() {
        return this;
    }

    appendTo() {
        return this;
    }
}

class Action {
    constructor(attributes) {
        this.init(null, attributes);
    }

    init() {
        this.el = new Element();
    }
}

class Chart {
    constructor(inside) {
        this.el = new Element(inside);
    }

    _c3_config() {
        return {axis: {x: {}}};
    }
}

global.document = {head: null};
global.window = {innerHeight: 768};
global.jQuery = () => new Element();
global.Sao = {
    View: {Board: {Action}, Graph: {Chart}},
    i18n: {getlang: () => 'pt_BR', BC47: code => code.replace('_', '-')}};
fit_boards();

test('panels of our boards are half as high as the screen', () => {
    assert.deepEqual(
        new Action({name: 'health_orthanc.act_x'}).el.classes,
        ['health-orthanc-panel']);
    assert.deepEqual(new Action({name: 'other.act_x'}).el.classes, []);
    assert.ok(2 * graph_height(768) < 768);
    assert.ok(graph_height(100) > 0);
});

test('graphs in them are as high, and count in whole numbers', () => {
    const data = {columns: [['labels', 'a'], ['n', 1, null]]};
    const config = new Chart(true)._c3_config(data);
    assert.equal(config.size.height, graph_height(768));
    assert.deepEqual(
        [0, 0.5, 2].map(config.axis.y.tick.format), ['0', '', '2']);
    assert.deepEqual(new Chart(false)._c3_config(data), {axis: {x: {}}});
});

test('what is measured has fractions', () => {
    assert.equal(are_whole([['labels', 'CT'], ['hours', 1.5]]), false);
    assert.equal(tick_label(1.25, false, 'en'), '1.3');
    assert.equal(tick_label(0.30000000000000004, false, 'en'), '0.3');
    assert.equal(tick_label(0.0025, false, 'en'), '0.0025');
    assert.equal(tick_label(1200, true, 'en'), '1,200');
    assert.equal(tick_label(0, false, 'en'), '0');
});

test('numbers are written as in the language of the user', () => {
    const data = {columns: [['labels', 'a'], ['hours', 0.5]]};
    const {format} = new Chart(true)._c3_config(data).axis.y.tick;
    assert.equal(format(0.25), '0,25');
});
