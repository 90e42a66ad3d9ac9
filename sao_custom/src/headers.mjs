/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Reading of headers: the server finds the patient in the beginnings of the
   files */

import {LoggedOut} from './connection.mjs';
import {join_packed, pack} from './packing.mjs';

// Files in one request, and bytes of each
const BATCH = 64;
const PREFIX = 16 * 1024;
// The same for files with a longer header
const LONG_BATCH = 8;
const LONG_PREFIX = 1024 * 1024;

/** Reads the headers of the selected files. */
export class HeaderReader {
    /**
     * @param {Connection} connection
     * @param {SelectedFiles} files
     * @param {function} text - returned by `translator`
     * @param {function} changed - called at the end
     */
    constructor(connection, files, text, changed) {
        this.connection = connection;
        this.files = files;
        this.text = text;
        this.changed = changed;
        this.reading = null;
        this.clear();
    }

    /** Start again: the list of files was cleared. */
    clear() {
        this.position = 0;
    }

    /**
     * Read the headers of all new files, also of those added meanwhile.
     *
     * @returns {Promise} resolved when no file is new
     */
    read() {
        if (!this.reading) {
            this.reading = this._read().finally(() => {
                this.reading = null;
                this.changed();
            });
        }
        return this.reading;
    }

    async _read() {
        const {generation, entries} = this.files;
        while (this.position < entries.length) {
            // More files may be added while these are read
            const end = Math.min(this.position + BATCH, entries.length);
            const batch = entries.slice(this.position, end)
                .filter(entry => entry.state === 'new');
            const longer = await this._identify(batch, PREFIX);
            while (longer.length) {
                await this._identify(
                    longer.splice(0, LONG_BATCH), LONG_PREFIX);
            }
            if (generation !== this.files.generation) {
                return this._read();
            }
            this.position = end;
        }
    }

    // Return the entries for which so few bytes do not suffice
    async _identify(batch, limit) {
        const generation = this.files.generation;
        const packed = await this._pack(batch, limit);
        if (!packed.size) {
            return [];
        }
        const answers = await this._request([...packed.values()]);
        if (generation !== this.files.generation) {
            return [];
        }
        const longer = [];
        [...packed.keys()].forEach((entry, index) => {
            // Without the route nothing is known, and all files are sent
            const answer = answers ? answers[index] : {state: 'ready'};
            if ((answer.state !== 'refused') || (limit >= entry.size)) {
                this._accept(entry, answer);
            } else if (limit < LONG_PREFIX) {
                longer.push(entry);
            } else {
                // The reason may only be that so much was read
                this._accept(entry, {state: 'ready'});
            }
        });
        return longer;
    }

    // Return the packed beginning of each file that can be read
    async _pack(batch, limit) {
        const packed = new Map();
        for (const entry of batch) {
            try {
                packed.set(entry, await pack([entry.file], limit));
            } catch {
                this.files.set(entry, 'refused', this.text('unreadable'));
            }
        }
        return packed;
    }

    async _request(packed) {
        try {
            const {status, data} = await this.connection.post(
                '/headers', join_packed(packed));
            return status === 200 ? data.files : null;
        } catch (error) {
            if (!(error instanceof LoggedOut)) {
                throw error;
            }
            return null;
        }
    }

    _accept(entry, answer) {
        if (answer.state === 'skipped') {
            // It holds no image, and is not sent
            this.files.set(entry, 'skipped', answer.reason);
            return;
        }
        if (answer.state === 'archive') {
            entry.identity = this.text('archive');
        } else if (answer.patient_id !== undefined) {
            this.files.set_patient(entry, [
                answer.patient_name, answer.patient_id, answer.birth_date,
                answer.sex].filter(Boolean).join(' · '));
        }
        // A refused file is sent, too: the server notes it for the wizard
        this.files.set(entry, 'waiting', answer.reason);
    }
}
