/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The numbers beside the lines of a template */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {line_numbers} from '../../sao_custom/src/widget/code.mjs';

test('each line has its number', () => {
    assert.equal(line_numbers(''), '1');
    assert.equal(line_numbers('a'), '1');
    assert.equal(line_numbers('a\n\nb\n'), '1\n2\n3\n4');
});
