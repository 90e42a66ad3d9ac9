/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Requests to the upload routes */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {
    Aborted, Connection, LoggedOut} from '../../sao_custom/src/connection.mjs';

// A browser's request, answered by `respond`
class Request {
    constructor() {
        this.headers = {};
        this.upload = {};
    }

    open(method, url) {
        Request.opened += 1;
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

Request.opened = 0;
global.XMLHttpRequest = Request;

const SESSION = {
    database: 'clinic', session: 'one',
    get_auth() { return this.session; }};

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
    const connection = new Connection(
        session, () => (pending = pending || log_in()));
    const answers = await Promise.all(
        ['a', 'b'].map(body => connection.post('', body)));
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
    const connection = new Connection(session, async() => {
        session.session = 'two';
    });
    assert.equal((await connection.post('', 'large')).status, 200);
    Request.respond = () => 0;
    assert.equal((await connection.post('', 'large')).status, 0);
});

test("a session that is not renewed is an error", async() => {
    Request.respond = () => 401;
    const connection = new Connection({...SESSION}, () => Promise.reject());
    await assert.rejects(connection.post('', 'a'), LoggedOut);
});

test("a request is aborted", async() => {
    Request.respond = () => null;
    const controller = new AbortController();
    const promise = new Connection({...SESSION}).post(
        '', 'a', {signal: controller.signal});
    controller.abort();
    await assert.rejects(promise, Aborted);
});

test("a request that was aborted before is not sent", async() => {
    const {opened} = Request;
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(new Connection({...SESSION}).post(
        '', 'a', {signal: controller.signal}), Aborted);
    assert.equal(Request.opened, opened);
});
