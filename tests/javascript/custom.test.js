/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The built file, without a browser: uploads from the first file to the last,
   and what it adds to the web client */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const {test} = require('node:test');
const vm = require('node:vm');

const FILE = require.resolve('../../sao_custom/custom.js');
const custom = require(FILE);

const READY = {
    state: 'ready', patient_name: "Betz, Ana", patient_id: '1',
    birth_date: '1985-10-04', sex: 'F', modality: 'CT'};
const RECEIVED = {name: '', state: 'received', reason: ''};

const texts = key => key;
const blobs = (...contents) => contents.map(
    (content, index) => ({path: `f/${index}`, file: new Blob([content])}));
const decoded = value => value && new TextDecoder().decode(value);

// The upload routes; `answers` holds the answers to the next files
class Server {
    constructor() {
        this.headers = READY;
        this.begin = 200;
        this.answers = [];
        this.requests = [];
        this.parallel = this.most = 0;
    }

    async post(path, body, {headers={}, signal=null}={}) {
        if (path === '/headers') {
            return {status: this.begin === 404 ? 404 : 200, data: {
                files: await this.parts(body)}};
        }
        if (path.startsWith('/transfer')) {
            return {status: this.begin, data: {transfer: 'f'.repeat(32)}};
        }
        if (signal.aborted) {
            throw new custom.Aborted();
        }
        this.most = Math.max(this.most, ++this.parallel);
        this.requests.push([headers['X-File'], path]);
        await new Promise(resolve => setTimeout(resolve, 1));
        this.parallel -= 1;
        if (signal.aborted) {
            throw new custom.Aborted();
        }
        const answer = this.answers.length ? this.answers.shift() : RECEIVED;
        if (typeof answer === 'number') {
            return {status: answer, data: null};
        }
        return {status: 200, data: {files: [].concat(answer)}};
    }

    async parts(body) {
        const data = Buffer.from(await body.arrayBuffer());
        assert.equal(data.toString('latin1', 0, 4), 'MULT');
        const found = [];
        for (let at = 4; at < data.length;) {
            const size = Number(data.readBigUInt64LE(at));
            found.push(data.toString('latin1', at + 8, at + 8 + size));
            at += 8 + size;
        }
        this.sizes = found.map(content => content.length);
        return found.map(content => typeof this.headers === 'function' ?
            this.headers(content) : this.headers);
    }

    upload(found) {
        const upload = new custom.Upload(this, texts, () => {});
        upload.add(found);
        return upload;
    }
}

const states = upload => upload.files.entries.map(entry => entry.state);

test("files are sent, a few at a time", async() => {
    const server = new Server();
    const upload = server.upload(blobs(...'abcdefgh'));
    const promise = upload.start();
    assert.equal(upload.value, null);
    await promise;
    assert.deepEqual(new Set(states(upload)), new Set(['received']));
    assert.equal(server.most, 3);
    assert.deepEqual(
        server.requests.map(([number]) => number), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.equal(server.requests[0][1], '');
    assert.equal(
        decoded(upload.value), `TRANSFER ${'f'.repeat(32)} 0`);
    assert.equal(upload.progress, 1);
    assert.equal(
        upload.files.entries[0].identity, "Betz, Ana · 1 · 1985-10-04 · F");
});

test("what holds no image stays here", async() => {
    const server = new Server();
    server.headers = content => content === 'b' ?
        {state: 'skipped', reason: 'no'} : READY;
    const upload = server.upload([
        ...blobs('a', 'b', 'c'), {path: 'gone', file: null}]);
    await upload.start();
    assert.deepEqual(
        states(upload), ['received', 'skipped', 'received', 'refused']);
    assert.equal(server.requests.length, 2);
});

test("a header that is longer is read again", async() => {
    const server = new Server();
    server.headers = content => content.length < 20000 ?
        {state: 'refused', reason: 'cut'} : READY;
    const upload = server.upload(blobs('x'.repeat(30000), 'y'));
    await upload.identify();
    assert.deepEqual(
        upload.files.entries.map(entry => entry.reason), ['', 'cut']);
    assert.deepEqual(server.sizes, [30000]);
    // The route has the last word
    assert.deepEqual(states(upload), ['waiting', 'waiting']);
});

test("what failed is sent again, and nothing else", async() => {
    const server = new Server();
    server.answers = [
        RECEIVED, 413, [RECEIVED, {...RECEIVED, state: 'refused'}], 500];
    const upload = server.upload(blobs('a', 'b', 'c', 'd'));
    await upload.start();
    assert.deepEqual(
        states(upload), ['received', 'refused', 'received', 'failed']);
    assert.equal(upload.files.entries[3].reason, 'error');
    assert.match(decoded(upload.value), / 1$/);
    server.requests = [];
    await upload.retry();
    assert.deepEqual(server.requests, [[3, '']]);
    assert.equal(upload.files.left, 0);
});

test("nothing more is sent to a server that is gone", async() => {
    for (const gone of [0, 503, 507]) {
        const server = new Server();
        server.answers = [RECEIVED, gone];
        const upload = server.upload(blobs(...'abcdefghijkl'));
        await upload.start();
        assert.ok(server.requests.length <= 6);
        assert.ok(upload.files.count('failed') >= 7);
        assert.equal(upload.files.count('waiting', 'sending'), 0);
        await upload.retry();
        assert.equal(upload.files.count('received'), 12);
    }
});

test("what is added while files are sent is sent next", async() => {
    const server = new Server();
    const upload = server.upload(blobs(...'abcd'));
    const promise = upload.start();
    while (!server.requests.length) {
        await new Promise(setImmediate);
    }
    upload.add(blobs('e'));
    await promise;
    assert.equal(upload.files.count('received'), 5);
    assert.match(decoded(upload.value), / 0$/);
});

test("a transfer can be stopped and carried on", async() => {
    const server = new Server();
    const upload = server.upload(blobs(...'abcdefghijkl'));
    const promise = upload.start();
    while (!server.requests.length) {
        await new Promise(setImmediate);
    }
    upload.cancel();
    await promise;
    const received = upload.files.count('received');
    assert.ok(received < 12);
    assert.equal(upload.files.count('failed'), 12 - received);
    assert.equal(upload.files.entries[11].reason, 'canceled');
    await upload.retry();
    assert.equal(upload.files.count('received'), 12);
});

test("a lost transfer gets all files", async() => {
    const server = new Server();
    const upload = server.upload(blobs('a', 'b'));
    await upload.start();
    server.answers = [410];
    upload.add(blobs('c'));
    await upload.start();
    assert.deepEqual(states(upload), ['failed', 'failed', 'failed']);
    await upload.retry();
    assert.equal(upload.files.count('received'), 3);
});

test("what is cleared does not count any more", async() => {
    const server = new Server();
    const upload = server.upload(blobs('a', 'b', 'c', 'd'));
    const promise = upload.start();
    while (!server.requests.length) {
        await new Promise(setImmediate);
    }
    upload.clear();
    upload.add(blobs('e'));
    await promise;
    await upload.identify();
    assert.equal(upload.files.left, 1);
    assert.equal(upload.files.count('failed', 'sending'), 0);
});

test("without a route files go through the form", async() => {
    const server = new Server();
    server.begin = 404;
    const upload = server.upload(blobs('a', 'b'));
    await upload.start();
    assert.equal(
        decoded(upload.value),
        'MULT\x01\0\0\0\0\0\0\0a\x01\0\0\0\0\0\0\0b');
    upload.add([{path: 'large', file: {
        size: custom.PACKED_LIMIT, slice: () => new Blob(['x'])}}]);
    await upload.start();
    assert.equal(upload.problem, 'too_many');
    assert.equal(upload.value, null);
    assert.deepEqual(server.requests, []);
});

test("what is removed meanwhile does not come back", async() => {
    const upload = new Server().upload(blobs('a', 'b'));
    const promise = upload.identify();
    upload.clear();
    upload.add(blobs('c'));
    await promise;
    assert.deepEqual(states(upload), ['waiting']);
    assert.equal(upload.files.patients.size, 1);
});

test("a user who does not log in again sends nothing more", async() => {
    const refuse = async() => {
        throw new custom.LoggedOut();
    };
    const upload = new custom.Upload({post: refuse}, texts, () => {});
    upload.add(blobs('a', 'b'));
    await upload.start();
    assert.deepEqual(states(upload), ['failed', 'failed']);
    assert.equal(upload.files.entries[0].reason, 'logged_out');
});

// What the file adds to a web client that knows the widgets `binary`
function load() {
    const Sao = {
        View: {
            Form: {Widget: class {}, Text: class {}},
            FormXMLViewParser: {WIDGETS: {binary: class {}}},
            XMLViewParser: class {},
            Board: {Action: class {}},
            Calendar: class {},
            CalendarXMLViewParser: class {},
            Graph: {Chart: class {}},
            Tree: class {},
            TreeXMLViewParser: class {},
        },
        Screen: class {},
        Wizard: {Dialog: class {}},
        class_: (parent, methods) => ({parent: parent, methods: methods}),
    };
    Sao.View.Tree.ButtonColumn = class {};
    Sao.View.TreeXMLViewParser.WIDGETS = {text: class {}};
    Sao.View.XMLViewParser.prototype._node_attributes = node => ({
        widget: node.widget});
    const element = {text: () => element, appendTo: () => element};
    const page = vm.createContext({Sao: Sao, jQuery: () => element});
    vm.runInContext(fs.readFileSync(FILE, 'utf-8'), page);
    return page;
}

test("the widget is all that a page gets", () => {
    const {Sao, jQuery, ...others} = load();
    assert.equal(typeof jQuery, 'function');
    assert.deepEqual(others, {});
    const widget = Sao.View.FormXMLViewParser.WIDGETS.binary_dicom;
    assert.equal(widget.parent, Sao.View.Form.Widget);
    assert.equal(Sao.View.Form.BinaryDicom, widget);
});

test("views name the widget in a namespace of their own", () => {
    const parser = new (load().Sao.View.XMLViewParser)();
    const widget = named => parser._node_attributes({
        widget: 'binary',
        getAttributeNS: (namespace, name) =>
            namespace === 'urn:health_orthanc:client' && name === 'widget' ?
                named : null,
    }).widget;
    assert.equal(widget('binary_dicom'), 'binary_dicom');
    assert.equal(widget('of_a_newer_module'), 'binary');
    assert.equal(widget(null), 'binary');
});

test("views mark lines and code in the namespace, too", () => {
    const parser = new (load().Sao.View.XMLViewParser)();
    const read = (...marked) => parser._node_attributes({
        widget: 'text',
        getAttributeNS: (namespace, name) =>
            namespace === 'urn:health_orthanc:client' &&
                marked.includes(name) ? '1' : null,
    });
    assert.deepEqual({...read('lines')}, {widget: 'text', lines: '1'});
    assert.deepEqual({...read('code')}, {widget: 'text', code: '1'});
    assert.deepEqual({...read()}, {widget: 'text'});
});
