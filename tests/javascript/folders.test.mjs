/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Files in what was selected or dropped */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {
    list_selected, read_dropped, walk} from '../../sao_custom/src/folders.mjs';

const file = path => ({
    isDirectory: false, fullPath: path,
    file: (resolve, reject) => path.endsWith('/13') ?
        reject(new DOMException('gone', 'NotFoundError')) :
        resolve(path)});
const folder = (path, children) => ({
    isDirectory: true, fullPath: path,
    createReader: () => ({
        readEntries: resolve => resolve(children.splice(0, 100))})});

test("folders are read to their end", async() => {
    const many = Array.from({length: 250}, (_, i) => file(`/a/b/${i}`));
    const found = [];
    for await (const item of walk([
            folder('/a', [folder('/a/b', many), file('/a/x')]), file('/y')])) {
        found.push(item);
    }
    assert.equal(found.length, 252);
    assert.deepEqual(found[0], {path: 'a/b/0', file: '/a/b/0'});
    assert.deepEqual(found[13], {path: 'a/b/13', file: null});
    assert.deepEqual(
        found.slice(-2).map(item => item.path), ['a/x', 'y']);
});

test("an unexpected error is not taken for a file that is gone", async() => {
    const broken = {
        isDirectory: false, fullPath: '/a',
        file: (resolve, reject) => reject(new TypeError('broken'))};
    await assert.rejects(walk([broken]).next(), TypeError);
});

test("selected files are in the order of their paths", () => {
    const found = list_selected([
        {name: 'I10'}, {name: 'I9'},
        {name: 'I1', webkitRelativePath: 'CT/I1'}]);
    assert.deepEqual(
        found.map(item => item.path), ['CT/I1', 'I9', 'I10']);
    assert.equal(found[2].file.name, 'I10');
});

test("dropped folders are reported batch by batch", async() => {
    const many = Array.from({length: 150}, (_, i) => file(`/a/${i}`));
    const items = [{
        kind: 'file', webkitGetAsEntry: () => folder('/a', many)}, {
        kind: 'string', webkitGetAsEntry: () => null}];
    const sizes = [];
    await read_dropped({items: items}, found => sizes.push(found.length));
    assert.deepEqual(sizes, [64, 64, 22]);
});

test("files are dropped where a browser knows no folders", async() => {
    const found = [];
    await read_dropped({files: [{name: 'I1'}]}, batch => found.push(...batch));
    assert.deepEqual(found, [{path: 'I1', file: {name: 'I1'}}]);
});
