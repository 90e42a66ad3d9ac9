/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The text below the buttons */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {SelectedFiles} from '../../sao_custom/src/selected_files.mjs';
import {
    describe_status} from '../../sao_custom/src/widget/status_text.mjs';

const texts = (key, values) => values ? `${key} ${Object.values(values)}` :
    key;

// The lines of an upload with files in some states
function lines(states, values={}) {
    const files = new SelectedFiles(texts, () => {});
    files.add(states.map(() => ({path: 'a', file: new Blob(['a'])})));
    files.entries.forEach((entry, index) => {
        files.set(entry, states[index]);
        files.set_patient(entry, values.patient || index);
    });
    return describe_status({
        files: files, busy: false, packed: false, progress: 0, problem: '',
        value: null, ...values}, texts, bytes => `${bytes} B`).split('\n');
}

const ONE = {patient: 'Betz, Ana'};

test("without files there is only the problem", () => {
    assert.deepEqual(lines([]), ['']);
    assert.deepEqual(lines([], {problem: 'server'}), ['server']);
});

test("files and patients are counted", () => {
    const states = ['received', 'refused', 'received'];
    assert.deepEqual(lines(states, {value: [1]}), [
        'total 3,3 B', 'counts received,2', 'counts refused,1', 'several 3',
        'finished']);
});

test("the last line says what to do", () => {
    for (const [expected, states, values] of [
            ['progress 1,2,50', ['received', 'sending'], {
                busy: true, progress: 0.509}],
            ['packed', ['waiting'], {packed: true}],
            ['unfinished 2', ['failed', 'waiting'], {}],
            ['reading', ['new', 'waiting'], {}],
            ['counts received,1', ['received'], {}],
            ['too_many', ['waiting'], {problem: 'too_many'}]]) {
        assert.equal(lines(states, {...ONE, ...values}).at(-1), expected);
    }
});
