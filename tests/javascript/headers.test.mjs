/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Reading of headers */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {LoggedOut} from '../../sao_custom/src/connection.mjs';
import {HeaderReader} from '../../sao_custom/src/headers.mjs';
import {SelectedFiles} from '../../sao_custom/src/selected_files.mjs';

const texts = key => key;
const READY = {
    state: 'ready', patient_name: "Betz, Ana", patient_id: '1',
    birth_date: '', sex: 'F'};

// The route; `answer` is called with the size of each file
class Route {
    constructor(answer) {
        this.answer = answer;
        this.batches = [];
        this.files = new SelectedFiles(texts, () => {});
        this.reader = new HeaderReader(this, this.files, texts, () => {});
    }

    async post(path, body) {
        assert.equal(path, '/headers');
        const data = Buffer.from(await body.arrayBuffer());
        const sizes = [];
        for (let at = 4; at < data.length;) {
            sizes.push(Number(data.readBigUInt64LE(at)));
            at += 8 + sizes.at(-1);
        }
        this.batches.push(sizes);
        return {status: 200, data: {files: sizes.map(this.answer)}};
    }

    add(...contents) {
        this.files.add(contents.map((content, index) => ({
            path: `f/${index}`, file: new Blob([content])})));
    }

    get states() {
        return this.files.entries.map(entry => entry.state);
    }
}

test("headers are read in batches", async() => {
    const route = new Route(() => READY);
    route.add(...Array(130).fill('a'));
    await route.reader.read();
    assert.deepEqual(route.batches.map(sizes => sizes.length), [64, 64, 2]);
    assert.equal(route.files.count('waiting'), 130);
    assert.equal(route.files.entries[0].identity, "Betz, Ana · 1 · F");
});

test("headers of files that are added meanwhile are read, too", async() => {
    const route = new Route(() => READY);
    route.add('a', 'b');
    const reading = route.reader.read();
    route.add('c', 'd', 'e');
    assert.equal(route.reader.read(), reading);
    await reading;
    assert.deepEqual(route.states, Array(5).fill('waiting'));
});

test("only a long header is read further, a few at a time", async() => {
    const route = new Route(size => size === 16 * 1024 ?
        {state: 'refused', reason: 'cut'} : READY);
    route.add('a', ...Array(9).fill('x'.repeat(20000)));
    await route.reader.read();
    assert.deepEqual(route.batches.map(sizes => sizes.length), [10, 8, 1]);
    assert.deepEqual(route.batches[2], [20000]);
    assert.equal(route.files.count('waiting'), 10);
});

test("a header that is longer still is left to the server", async() => {
    const route = new Route(() => ({state: 'refused', reason: 'cut'}));
    route.add('x'.repeat(1024 * 1024 + 1), 'y');
    await route.reader.read();
    assert.deepEqual(route.states, ['waiting', 'waiting']);
    assert.deepEqual(
        route.files.entries.map(entry => entry.reason), ['', 'cut']);
});

test("archives, other files and files that are gone", async() => {
    const route = new Route(size => [
        null, {state: 'archive'}, {state: 'skipped', reason: 'no image'},
    ][size]);
    route.add('a', 'bb');
    route.files.add([{path: 'gone', file: {
        size: 1, arrayBuffer: () => Promise.reject(new Error())}}]);
    await route.reader.read();
    assert.deepEqual(route.states, ['waiting', 'skipped', 'refused']);
    assert.deepEqual(
        route.files.entries.map(entry => entry.identity),
        ['archive', null, null]);
    assert.deepEqual(
        route.files.entries.map(entry => entry.reason),
        ['', 'no image', 'unreadable']);
});

test("files wait also if nobody can read their headers", async() => {
    for (const post of [
            async() => ({status: 404, data: null}),
            async() => {
                throw new LoggedOut();
            }]) {
        const route = new Route();
        route.post = post;
        route.add('a');
        await route.reader.read();
        assert.deepEqual(route.states, ['waiting']);
    }
});
