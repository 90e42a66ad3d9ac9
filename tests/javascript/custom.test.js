/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* What the widget does with files and with the server, without a browser. */
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');

const custom = require('../../sao_custom/custom.js');

const SESSION = {
    database: 'clinic', session: 'one',
    get_auth() { return this.session; }};
const READY = {
    state: 'ready', patient_name: "Betz, Ana", patient_id: '1',
    birth_date: '1985-10-04', sex: 'F', modality: 'CT'};
const STORED = {
    name: '', state: 'stored', reason: '', study: 'a', hopeless: false};

const texts = key => key;
const blobs = (...contents) => contents.map(
    (content, index) => ({path: `f/${index}`, file: new Blob([content])}));
const decoded = value => value && new TextDecoder().decode(value);

// The routes; what they answer to files is told one by one
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
        const answer = this.answers.length ? this.answers.shift() : STORED;
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
        upload.set_server(7);
        upload.add(found);
        return upload;
    }
}

const states = upload => upload.entries.map(entry => entry.state);

test("files are packed as other clients do", async() => {
    const data = await (await custom.pack(
        [new Blob(['ab']), new Blob([''])])).arrayBuffer();
    assert.deepEqual([...new Uint8Array(data)], [
        0x4D, 0x55, 0x4C, 0x54, 2, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62,
        0, 0, 0, 0, 0, 0, 0, 0]);
});

test("folders are read to their end", async() => {
    const file = path => ({
        isDirectory: false, fullPath: path,
        file: (resolve, reject) => path.endsWith('/13') ?
            reject(new DOMException('gone', 'NotFoundError')) :
            resolve(path)});
    const folder = (path, children) => ({
        isDirectory: true, fullPath: path,
        createReader: () => ({
            readEntries: resolve => resolve(children.splice(0, 100))})});
    const many = Array.from({length: 250}, (_, i) => file(`/a/b/${i}`));
    const found = [];
    for await (const item of custom.walk([
            folder('/a', [folder('/a/b', many), file('/a/x')]), file('/y')])) {
        found.push(item);
    }
    assert.equal(found.length, 252);
    assert.deepEqual(found[0], {path: 'a/b/0', file: '/a/b/0'});
    assert.deepEqual(found[13], {path: 'a/b/13', file: null});
    assert.deepEqual(
        found.slice(-2).map(item => item.path), ['a/x', 'y']);
});

test("all texts are there in each language", () => {
    const placeholders = text => (text.match(/\{\w+\}/g) || []).sort();
    const {en} = custom.TEXTS;
    assert.deepEqual(Object.keys(custom.TEXTS), ['en', 'de', 'es', 'fr']);
    for (const found of Object.values(custom.TEXTS)) {
        assert.deepEqual(Object.keys(found), Object.keys(en));
        for (const key in en) {
            assert.deepEqual(placeholders(found[key]), placeholders(en[key]));
        }
    }
    assert.equal(
        custom.translator('de_AT')('more', {count: 3}),
        "3 weitere Dateien sind nicht aufgeführt.");
    assert.equal(custom.translator('xx')('send'), "Send");
});

test("files are sent, a few at a time", async() => {
    const server = new Server();
    const upload = server.upload(blobs(...'abcdefgh'));
    const promise = upload.start();
    assert.equal(upload.value, null);
    await promise;
    assert.deepEqual(new Set(states(upload)), new Set(['stored']));
    assert.equal(server.most, 3);
    assert.deepEqual(
        server.requests.map(([number]) => number), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.equal(server.requests[0][1], '?server=7');
    assert.equal(
        decoded(upload.value), `TRANSFER ${'f'.repeat(32)} 0`);
    assert.equal(upload.progress, 1);
    assert.equal(upload.entries[0].identity, "Betz, Ana · 1 · 1985-10-04 · F");
});

test("what holds no image stays here", async() => {
    const server = new Server();
    server.headers = content => content === 'b' ?
        {state: 'skipped', reason: 'no'} : READY;
    const upload = server.upload([
        ...blobs('a', 'b', 'c'), {path: 'gone', file: null}]);
    await upload.start();
    assert.deepEqual(
        states(upload), ['stored', 'skipped', 'stored', 'refused']);
    assert.equal(server.requests.length, 2);
});

test("a header that is longer is read again", async() => {
    const server = new Server();
    server.headers = content => content.length < 20000 ?
        {state: 'refused', reason: 'cut'} : READY;
    const upload = server.upload(blobs('x'.repeat(30000), 'y'));
    await upload.identify();
    assert.deepEqual(upload.entries.map(entry => entry.reason), ['', 'cut']);
    assert.deepEqual(server.sizes, [30000]);
    // The route has the last word
    assert.deepEqual(states(upload), ['waiting', 'waiting']);
});

test("what failed is sent again, and nothing else", async() => {
    const server = new Server();
    server.answers = [
        STORED, {...STORED, state: 'failed', reason: 'down'}, 413,
        [STORED, {...STORED, state: 'refused'}]];
    const upload = server.upload(blobs('a', 'b', 'c', 'd'));
    await upload.start();
    assert.deepEqual(
        states(upload), ['stored', 'failed', 'refused', 'stored']);
    assert.equal(upload.entries[1].reason, 'down');
    assert.match(decoded(upload.value), / 1$/);
    server.requests = [];
    await upload.retry();
    assert.deepEqual(server.requests, [[1, '?server=7']]);
    assert.equal(upload.left, 0);
});

test("nothing more is sent to a server that is gone", async() => {
    for (const gone of [
            {...STORED, state: 'failed', reason: 'down', hopeless: true}, 0,
            503]) {
        const server = new Server();
        server.answers = [STORED, gone];
        const upload = server.upload(blobs(...'abcdefghijkl'));
        await upload.start();
        assert.ok(server.requests.length <= 6);
        assert.ok(upload.count('failed') >= 7);
        assert.equal(upload.count('waiting', 'sending'), 0);
        await upload.retry();
        assert.equal(upload.count('stored'), 12);
    }
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
    const stored = upload.count('stored');
    assert.ok(stored < 12);
    assert.equal(upload.count('failed'), 12 - stored);
    assert.equal(upload.entries[11].reason, 'canceled');
    await upload.retry();
    assert.equal(upload.count('stored'), 12);
});

test("another server or a lost transfer gets all files", async() => {
    const server = new Server();
    const upload = server.upload(blobs('a', 'b'));
    await upload.start();
    upload.set_server(8);
    assert.equal(upload.value, null);
    assert.deepEqual(states(upload), ['waiting', 'waiting']);
    server.requests = [];
    await upload.start();
    assert.deepEqual(server.requests, [[0, '?server=8'], [1, '?server=8']]);
    server.answers = [410];
    upload.add(blobs('c'));
    await upload.start();
    assert.deepEqual(states(upload), ['failed', 'failed', 'failed']);
    await upload.retry();
    assert.equal(upload.count('stored'), 3);
});

test("another server is chosen while files are sent", async() => {
    const server = new Server();
    const upload = server.upload(blobs('a', 'b', 'c', 'd'));
    const post = server.post;
    server.post = async(path, body, options) => {
        const answer = await post.call(server, path, body, options);
        if (path.startsWith('?')) {
            // The answer is there, and cannot be taken back
            upload.set_server(8);
        }
        return answer;
    };
    await upload.start();
    assert.deepEqual(states(upload), ['failed', 'failed', 'failed', 'failed']);
    server.post = post;
    server.requests = [];
    await upload.retry();
    assert.equal(upload.count('stored'), 4);
    assert.ok(server.requests.every(([, path]) => path === '?server=8'));
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
    assert.equal(upload.left, 1);
    assert.equal(upload.count('failed', 'sending'), 0);
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

test("the server is chosen first", async() => {
    const upload = new Server().upload(blobs('a'));
    upload.set_server(null);
    await upload.start();
    assert.equal(upload.problem, 'server');
    assert.deepEqual(states(upload), ['waiting']);
});

test("what is removed meanwhile does not come back", async() => {
    const upload = new Server().upload(blobs('a', 'b'));
    const promise = upload.identify();
    upload.clear();
    upload.add(blobs('c'));
    await promise;
    assert.deepEqual(states(upload), ['waiting']);
    assert.equal(upload.patients.size, 1);
});

test("a hundred thousand files are not all listed", () => {
    const upload = new Server().upload(
        Array.from({length: 100000}, () => blobs('a')[0]));
    upload._set(upload.entries[99999], 'refused', '');
    assert.equal(upload.rows().length, 201);
    assert.equal(upload.rows()[0].number, 99999);
});

// A browser's request, answered by `respond`
class Request {
    constructor() {
        this.headers = {};
        this.upload = {};
    }

    open(method, url) {
        this.url = url;
    }

    setRequestHeader(name, value) {
        this.headers[name] = value;
    }

    abort() {
        this.onabort();
    }

    send(body) {
        this.body = body;
        setImmediate(() => {
            this.status = Request.respond(this);
            this.response = {};
            if (this.status) {
                this.onload();
            } else if (this.status === 0) {
                this.onerror();
            }
        });
    }
}

global.XMLHttpRequest = Request;

test("an expired session is renewed once, and files go on", async() => {
    const session = {...SESSION};
    const sent = [];
    let renewed = 0;
    Request.respond = request => {
        sent.push(request);
        return request.headers.Authorization === 'Session two' ? 200 : 401;
    };
    let pending = null;
    const log_in = async() => {
        renewed += 1;
        session.session = null;
        await new Promise(setImmediate);
        session.session = 'two';
    };
    // SAO asks once for all who ask meanwhile
    const wire = new custom.Wire(
        session, () => (pending = pending || log_in()));
    const answers = await Promise.all(
        ['a', 'b'].map(body => wire.post('', body)));
    assert.deepEqual(answers.map(answer => answer.status), [200, 200]);
    assert.equal(renewed, 1);
    assert.deepEqual(
        sent.map(request => request.body), ['a', 'b', 'a', 'b']);
    assert.equal(sent[0].url, '/clinic/orthanc/upload');
    assert.equal(sent[0].headers['X-Requested-With'], 'XMLHttpRequest');
});

test("a refusal that is not heard is asked for", async() => {
    const session = {...SESSION};
    Request.respond = request =>
        request.headers.Authorization === 'Session two' ? 200 :
            request.url.endsWith('/headers') ? 401 : 0;
    const wire = new custom.Wire(session, async() => {
        session.session = 'two';
    });
    assert.equal((await wire.post('', 'large')).status, 200);
    Request.respond = () => 0;
    assert.equal((await wire.post('', 'large')).status, 0);
});

test("who does not log in again sends nothing more", async() => {
    Request.respond = () => 401;
    const wire = new custom.Wire({...SESSION}, () => Promise.reject());
    await assert.rejects(wire.post('', 'a'), custom.LoggedOut);
    const upload = new custom.Upload(wire, texts, () => {});
    upload.set_server(7);
    upload.add(blobs('a', 'b'));
    await upload.start();
    assert.deepEqual(states(upload), ['failed', 'failed']);
    assert.equal(upload.entries[0].reason, 'logged_out');
});

test("a request is aborted", async() => {
    Request.respond = () => null;
    const controller = new AbortController();
    const promise = new custom.Wire({...SESSION}).post(
        '', 'a', {signal: controller.signal});
    controller.abort();
    await assert.rejects(promise, custom.Aborted);
});
