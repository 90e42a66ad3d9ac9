/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* A transfer of files */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {Transfer, shorten} from '../../sao_custom/src/transfer.mjs';

test("a file is sent with its number and its name", async() => {
    const sent = [];
    const transfer = new Transfer(
        {post: (...options) => sent.push(options)}, 'key');
    const file = new Blob(['a']);
    transfer.send({number: 3, path: 'Röntgen/I 1', file: file}, null, null);
    assert.deepEqual(sent, [['', file, {
        headers: {
            'X-Transfer': 'key', 'X-File': 3,
            'X-File-Name': 'R%C3%B6ntgen%2FI%201'},
        progress: null, signal: null}]]);
});

test("the wizard gets the key, and how many files were not sent", () => {
    const value = new Transfer(null, 'key').value(2);
    assert.equal(new TextDecoder().decode(value), 'TRANSFER key 2');
});

test("the end of a long path is kept, with whole characters", () => {
    assert.equal(shorten('a/b'), 'a/b');
    const path = 'x' + '\u{1F9B4}'.repeat(200);
    assert.equal(shorten(path), '\u{1F9B4}'.repeat(200));
});
