/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in all languages */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {TEXTS, translator} from '../../sao_custom/src/translator.mjs';

test("all texts are there in each language", () => {
    const placeholders = text => (text.match(/\{\w+\}/g) || []).sort();
    const {en} = TEXTS;
    assert.deepEqual(Object.keys(TEXTS), ['en', 'de', 'es', 'fr', 'pt']);
    for (const found of Object.values(TEXTS)) {
        assert.deepEqual(Object.keys(found), Object.keys(en));
        for (const key in en) {
            assert.deepEqual(placeholders(found[key]), placeholders(en[key]));
        }
    }
    assert.equal(
        translator('de_AT')('more', {count: 3}),
        "Nicht aufgeführte Dateien: 3");
    assert.equal(translator('pt_BR')('cancel'), "Parar");
    assert.equal(translator('xx')('cancel'), "Stop");
});
