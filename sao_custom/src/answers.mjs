/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The meaning of the server's answers */

// Of the files in an archive, the state that comes first is the archive's
const PRECEDENCE = ['received', 'refused', 'skipped'];

/**
 * Summarize the answers to the files in an archive.
 *
 * @param {Object[]} files - each with `state`, `reason`
 * @param {function} text - returned by `translator`
 * @returns {Object} one answer of the same kind
 */
export function summarize(files, text) {
    const counts = {};
    for (const file of files) {
        counts[file.state] = (counts[file.state] || 0) + 1;
    }
    return {
        state: PRECEDENCE.find(state => counts[state]) || 'refused',
        reason: Object.keys(counts).map(state => text(
            'counts', {state: text(state), count: counts[state]})
        ).join(', '),
    };
}

/**
 * Return the key and values of the text about a request that failed.
 *
 * @param {number} status - of HTTP, 0 if there was no answer
 * @returns {Array}
 */
export function explain_status(status) {
    if (!status || [502, 503, 504].includes(status)) {
        return ['unreachable'];
    }
    if (status === 507) {
        return ['full'];
    }
    if ([403, 404].includes(status)) {
        return ['forbidden'];
    }
    return ['error', {status: status}];
}
