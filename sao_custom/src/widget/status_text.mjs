/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The text below the buttons: counts, and what to do next */

const COUNTED = ['received', 'refused', 'skipped', 'failed'];

/**
 * Describe an upload in a few lines.
 *
 * @param {Upload} upload
 * @param {function} text - returned by `translator`
 * @param {function(number): string} humanize - formats a number of bytes
 * @returns {string} empty as long as there are no files
 */
export function describe_status(upload, text, humanize) {
    const {files} = upload;
    const lines = [];
    if (files.entries.length) {
        lines.push(
            text('total', {
                count: files.entries.length, size: humanize(files.bytes)}),
            ...describe_counts(files, text));
        if (files.patients.size > 1) {
            lines.push(text('several', {count: files.patients.size}));
        }
        lines.push(describe_next_step(upload, text));
    }
    lines.push(upload.problem);
    return lines.filter(Boolean).join('\n');
}

function describe_counts(files, text) {
    return COUNTED.filter(state => files.count(state)).map(
        state => text('counts', {
            state: text(state), count: files.count(state)}));
}

function describe_next_step(upload, text) {
    const {files} = upload;
    if (upload.busy) {
        return text('progress', {
            done: files.entries.length - files.count(
                'new', 'waiting', 'sending'),
            count: files.entries.length,
            percent: Math.floor(100 * upload.progress)});
    }
    if (upload.packed) {
        return text('packed');
    }
    if (files.count('failed')) {
        return text('unfinished', {count: files.left});
    }
    if (files.count('new')) {
        return text('reading');
    }
    return upload.value ? text('finished') : '';
}
