/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* An upload: files are selected, their headers are read, and they are sent */

import {HeaderReader} from './headers.mjs';
import {SelectedFiles} from './selected_files.mjs';
import {Sender} from './sender.mjs';

/** All that the widget does, but for what a person sees. */
export class Upload {
    /**
     * @param {Connection} connection
     * @param {function} text - returned by `translator`
     * @param {function} changed - called whenever the display must follow
     */
    constructor(connection, text, changed) {
        this.changed = changed;
        this.files = new SelectedFiles(text, changed);
        this.headers = new HeaderReader(
            connection, this.files, text, changed);
        this.sender = new Sender(connection, this.files, text, changed);
        this.running = null;
    }

    /** Whether files are being sent, or prepared for it. */
    get busy() {
        return Boolean(this.running);
    }

    get progress() {
        return this.sender.progress;
    }

    get problem() {
        return this.sender.problem;
    }

    /** Whether the files go through the form. */
    get packed() {
        return Boolean(this.sender.packed);
    }

    /** The value of the wizard's field, null as long as there is none. */
    get value() {
        if (this.busy) {
            return null;
        }
        if (this.sender.packed) {
            return this.sender.packed;
        }
        const transfer = this.sender.transfer;
        return transfer && transfer.used ?
            transfer.value(this.files.left) : null;
    }

    /** Add files as `walk` yields them. */
    add(found) {
        this.sender.packed = null;
        this.files.add(found);
    }

    /** Remove all files. */
    clear() {
        this.cancel();
        this.files.clear();
        this.headers.clear();
        this.sender.clear();
        this.changed();
    }

    /** Read the headers of new files; resolved when no file is new. */
    identify() {
        return this.headers.read();
    }

    /**
     * Send all files to GNU Health, where they wait for the next page.
     *
     * @returns {Promise} resolved when none waits or is being sent
     */
    start() {
        if (!this.running) {
            this.sender.prepare();
            this.running = this._run().finally(() => {
                this.running = null;
                this.changed();
            });
            this.changed();
        }
        return this.running;
    }

    async _run() {
        const {files, sender} = this;
        do {
            await this.headers.read();
            await sender.send();
            // More files may have been added meanwhile
        } while (files.count('new', 'waiting') && !sender.stopped &&
            !sender.problem && !sender.packed);
    }

    cancel() {
        if (this.running) {
            this.sender.stop('canceled');
        }
    }

    /** Send the files that were not sent, and no others. */
    retry() {
        this.files.set_all('failed', 'waiting');
        return this.start();
    }
}
