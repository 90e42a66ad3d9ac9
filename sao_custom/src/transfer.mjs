/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* A transfer: files that are sent one by one for one run of the wizard */

const NAME_LIMIT = 200;

/** Return the end of a path, of at most 200 characters. */
export function shorten(path) {
    return Array.from(path).slice(-NAME_LIMIT).join('');
}

/** A transfer that the server has opened. */
export class Transfer {
    /**
     * @param {Connection} connection
     * @param {string} key - the server's name of the transfer
     */
    constructor(connection, key) {
        this.connection = connection;
        this.key = key;
        // Whether the server has the outcome of a file
        this.used = false;
    }

    /**
     * Send a file.
     *
     * @param {Object} entry - of `SelectedFiles`
     * @param {function(number)} progress - called with the bytes sent
     * @param {AbortSignal} signal
     * @returns {Promise} that of `Connection.post`
     */
    send(entry, progress, signal) {
        return this.connection.post('', entry.file, {
            headers: {
                'X-Transfer': this.key,
                'X-File': entry.number,
                'X-File-Name': encodeURIComponent(shorten(entry.path)),
            },
            progress: progress,
            signal: signal,
        });
    }

    /**
     * Return the value of the wizard's field.
     *
     * @param {number} left - files that were not sent
     * @returns {Uint8Array}
     */
    value(left) {
        return new TextEncoder().encode(`TRANSFER ${this.key} ${left}`);
    }
}
