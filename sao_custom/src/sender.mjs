/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Sending of files */

import {explain_status, summarize} from './answers.mjs';
import {Aborted, LoggedOut} from './connection.mjs';
import {pack} from './packing.mjs';
import {Transfer} from './transfer.mjs';

const PARALLEL = 3;
/** Bytes that may go through the form where there is no upload route. */
export const PACKED_LIMIT = 100 * 1024 * 1024;

/**
 * Sends all waiting files, a few at a time.
 *
 * Without an upload route it packs them for the form instead: `packed`.
 */
export class Sender {
    /**
     * @param {Connection} connection
     * @param {SelectedFiles} files
     * @param {function} text - returned by `translator`
     * @param {function} changed - called when more bytes were sent
     */
    constructor(connection, files, text, changed) {
        this.connection = connection;
        this.files = files;
        this.text = text;
        this.changed = changed;
        this.controller = null;
        // Why no more files are sent
        this.stopped = null;
        this.sending = new Set();
        this.clear();
    }

    /** Forget the transfer: the list of files was cleared. */
    clear() {
        this.transfer = null;
        this.packed = null;
        // Why a run could not begin
        this.problem = '';
        this.position = 0;
        this.run_bytes = 0;
        this.done_bytes = 0;
    }

    /** Give up the transfer: what it has taken must be sent again. */
    discard_transfer() {
        this.transfer = null;
        this.files.reset_transferred();
    }

    /** Prepare a run, which may be stopped from now on. */
    prepare() {
        this.controller = new AbortController();
        this.stopped = null;
        this.problem = '';
    }

    /**
     * Send no more files, and abort those that are being sent.
     *
     * @param {string} reason - key of the text that the files get
     * @param {Object} values - of its placeholders
     */
    stop(reason, values) {
        this.stopped = this.text(reason, values);
        this.controller.abort();
    }

    /**
     * Send the files that wait.
     *
     * @returns {Promise} resolved when no file waits or is being sent
     */
    async send() {
        this.position = 0;
        this.done_bytes = 0;
        this.run_bytes = this.files.in_state('waiting').reduce(
            (sum, entry) => sum + entry.size, 0);
        try {
            if (!this.stopped && await this._begin()) {
                await Promise.all(
                    Array.from({length: PARALLEL}, () => this._send_all()));
            }
        } catch (error) {
            if (!(error instanceof LoggedOut)) {
                throw error;
            }
            this.stop('logged_out');
        }
        if (this.stopped) {
            this.files.set_all('waiting', 'failed', this.stopped);
        }
    }

    /** The part of the bytes of this run that was sent, from 0 to 1. */
    get progress() {
        let bytes = this.done_bytes;
        for (const entry of this.sending) {
            bytes += entry.loaded;
        }
        return this.run_bytes ? Math.min(bytes / this.run_bytes, 1) : 0;
    }

    // Return whether there is a transfer
    async _begin() {
        if (this.transfer) {
            return true;
        }
        const {status, data} = await this.connection.post('/transfer', null);
        if (status === 200) {
            this.transfer = new Transfer(this.connection, data.transfer);
        } else if (status === 404) {
            await this._pack();
        } else {
            this.stop(...explain_status(status));
        }
        return Boolean(this.transfer);
    }

    async _pack() {
        const entries = this.files.in_state('waiting');
        const size = entries.reduce((sum, entry) => sum + entry.size, 0);
        if (size > PACKED_LIMIT) {
            this.problem = this.text(
                'too_many', {size: PACKED_LIMIT / 1024 / 1024 + ' MiB'});
            return;
        }
        const blob = await pack(entries.map(entry => entry.file));
        if (entries.length) {
            this.packed = new Uint8Array(await blob.arrayBuffer());
        }
    }

    async _send_all() {
        const entries = this.files.entries;
        while ((this.position < entries.length) && !this.stopped) {
            const entry = entries[this.position];
            this.position += 1;
            if (entry.state === 'waiting') {
                await this._send(entry);
            }
        }
    }

    async _send(entry) {
        this.files.set(entry, 'sending');
        this.sending.add(entry);
        const transfer = this.transfer;
        let answer = null;
        try {
            answer = await transfer.send(entry, loaded => {
                entry.loaded = Math.min(loaded, entry.size);
                this.changed();
            }, this.controller.signal);
            this.done_bytes += entry.size;
        } catch (error) {
            if (error instanceof LoggedOut) {
                this.stop('logged_out');
            } else if (!(error instanceof Aborted)) {
                throw error;
            }
        } finally {
            this.sending.delete(entry);
        }
        if (answer && (transfer === this.transfer)) {
            this._accept(entry, answer);
        } else {
            // Also if it has arrived in a transfer that was given up: the
            // wizard does not get that one
            this.files.set(entry, 'failed', this.stopped);
        }
    }

    _accept(entry, {status, data}) {
        if ((status === 200) && data) {
            const found = data.files.length === 1 ?
                data.files[0] : summarize(data.files, this.text);
            this.transfer.used = entry.transferred = true;
            this.files.set(entry, found.state, found.reason);
        } else if (status === 413) {
            this.files.set(entry, 'refused', this.text('too_large'));
        } else if (status === 410) {
            this.files.set(entry, 'failed', this.text('lost'));
            this.stop('lost');
            this.discard_transfer();
        } else {
            this.stop(...explain_status(status));
            this.files.set(entry, 'failed', this.stopped);
        }
    }
}
