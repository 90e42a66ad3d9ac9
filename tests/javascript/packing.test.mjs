/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The packed form of several files */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {join_packed, pack} from '../../sao_custom/src/packing.mjs';

const bytes = async blob => [...new Uint8Array(await blob.arrayBuffer())];

test("files are packed as other clients do", async() => {
    assert.deepEqual(await bytes(await pack([
        new Blob(['ab']), new Blob([''])])), [
        0x4D, 0x55, 0x4C, 0x54, 2, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62,
        0, 0, 0, 0, 0, 0, 0, 0]);
});

test("only the beginnings of files are packed", async() => {
    assert.deepEqual(
        await bytes(await pack([new Blob(['abc']), new Blob(['d'])], 2)),
        await bytes(await pack([new Blob(['ab']), new Blob(['d'])])));
});

test("packed files are joined", async() => {
    const [one, other] = [new Blob(['ab']), new Blob(['c'])];
    assert.deepEqual(
        await bytes(join_packed([await pack([one]), await pack([other])])),
        await bytes(await pack([one, other])));
});

test("a file that cannot be read is an error", async() => {
    const gone = {size: 1, arrayBuffer: () => Promise.reject(new Error())};
    await assert.rejects(pack([gone]));
});
