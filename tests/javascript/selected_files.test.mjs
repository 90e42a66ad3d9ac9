/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The list of the selected files */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {SelectedFiles} from '../../sao_custom/src/selected_files.mjs';

const texts = key => key;

function select(...contents) {
    const files = new SelectedFiles(texts, () => {});
    files.add(contents.map((content, index) => ({
        path: `f/${index}`,
        file: content === null ? null : new Blob([content])})));
    return files;
}

const states = files => files.entries.map(entry => entry.state);

test("files are counted by state", () => {
    const files = select('a', 'bc', null);
    assert.deepEqual(states(files), ['new', 'new', 'refused']);
    assert.equal(files.entries[2].reason, 'unreadable');
    assert.equal(files.bytes, 3);
    files.set(files.entries[0], 'stored', 'why');
    assert.equal(files.entries[0].reason, 'why');
    assert.equal(files.count('new'), 1);
    assert.equal(files.count('stored', 'refused'), 2);
    assert.equal(files.left, 1);
});

test("states change together", () => {
    const files = select('a', 'b', 'c');
    files.set(files.entries[1], 'stored');
    files.set_all('new', 'failed', 'down');
    assert.deepEqual(states(files), ['failed', 'stored', 'failed']);
    assert.equal(files.entries[2].reason, 'down');
    files.entries[1].transferred = true;
    files.reset_transferred();
    assert.deepEqual(states(files), ['failed', 'waiting', 'failed']);
});

test("an entry of a list that was cleared changes nothing", () => {
    const files = select('a');
    const [entry] = files.entries;
    files.clear();
    files.add([{path: 'b', file: new Blob(['b'])}]);
    files.set(entry, 'stored');
    assert.deepEqual(states(files), ['new']);
    assert.equal(files.count('stored'), 0);
});

test("patients are counted by identity", () => {
    const files = select('a', 'b', 'c');
    files.set_patient(files.entries[0], 'Betz, Ana');
    files.set_patient(files.entries[1], 'Betz, Ana');
    assert.deepEqual([...files.patients], [['Betz, Ana', 2]]);
    files.set_patient(files.entries[2], 'Zetkin');
    assert.equal(files.patients.size, 2);
});

test("a hundred thousand files are not all listed", () => {
    const files = select(...Array(100000).fill('a'));
    files.set(files.entries[99999], 'refused');
    assert.equal(files.listed().length, 201);
    assert.equal(files.listed()[0].number, 99999);
});

test("a hundred thousand errors are not all listed", () => {
    const files = select(...Array(100000).fill(null));
    assert.equal(files.listed().length, 200);
});
