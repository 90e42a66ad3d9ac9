/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The meaning of the server's answers */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {explain_status, summarize} from '../../sao_custom/src/answers.mjs';

const texts = (key, values) => values ?
    `${values.state} ${values.count}` : key;
const answer = state => ({state: state, reason: ''});

test("the files in an archive have one answer", () => {
    assert.deepEqual(
        summarize([
            answer('skipped'), answer('received'), answer('received')], texts),
        {state: 'received', reason: 'skipped 1, received 2'});
    assert.equal(summarize([], texts).state, 'refused');
});

test("failures are explained", () => {
    for (const status of [0, 502, 503, 504]) {
        assert.deepEqual(explain_status(status), ['unreachable']);
    }
    for (const status of [403, 404]) {
        assert.deepEqual(explain_status(status), ['forbidden']);
    }
    assert.deepEqual(explain_status(507), ['full']);
    assert.deepEqual(explain_status(500), ['error', {status: 500}]);
});
