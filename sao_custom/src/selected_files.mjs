/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The list of the selected files, with the state of each */

// Files that are listed: those with errors, and others
const ERROR_ROWS = 200;
const ROWS = 200;

/** States that a person should notice. */
export const ERRORS = new Set(['refused', 'failed']);

/**
 * The selected files.
 *
 * A file is an entry with `number`, `path`, `file`, `size`, `state`,
 * `reason`, `identity` (of the patient), `loaded` (bytes sent) and
 * `transferred` (the server has its outcome).
 *
 * Its state is `new` (its header has not been read), `waiting`, `sending`,
 * or final: `received`, `refused`, `skipped`, `failed`.
 */
export class SelectedFiles {
    /**
     * @param {function} text - returned by `translator`
     * @param {function} changed - called after each change
     */
    constructor(text, changed) {
        this.text = text;
        this.changed = changed;
        // Tells lists apart while answers about an earlier one are pending
        this.generation = 0;
        this.clear();
    }

    clear() {
        this.entries = [];
        this.counts = {};
        this.bytes = 0;
        // Number of files by identity
        this.patients = new Map();
        this.generation += 1;
    }

    /** Add files as `walk` yields them. */
    add(found) {
        for (const {path, file} of found) {
            const entry = {
                number: this.entries.length,
                path: path,
                file: file,
                size: file ? file.size : 0,
                state: null,
                reason: '',
                identity: null,
                loaded: 0,
                transferred: false,
            };
            this.entries.push(entry);
            this.bytes += entry.size;
            if (file) {
                this.set(entry, 'new');
            } else {
                this.set(entry, 'refused', this.text('unreadable'));
            }
        }
        this.changed();
    }

    /** Change the state of an entry, unless the list was cleared. */
    set(entry, state, reason='') {
        if (this.entries[entry.number] !== entry) {
            return;
        }
        if (entry.state) {
            this.counts[entry.state] -= 1;
        }
        this.counts[state] = (this.counts[state] || 0) + 1;
        entry.state = state;
        entry.reason = reason || '';
        entry.loaded = 0;
        this.changed();
    }

    /** Change the state of all entries that are in a state. */
    set_all(from, to, reason='') {
        for (const entry of this.in_state(from)) {
            this.set(entry, to, reason);
        }
    }

    /** Let all files wait that a transfer has taken, which is given up. */
    reset_transferred() {
        for (const entry of this.entries) {
            if (entry.transferred) {
                entry.transferred = false;
                this.set(entry, 'waiting');
            }
        }
    }

    set_patient(entry, identity) {
        entry.identity = identity;
        this.patients.set(identity, (this.patients.get(identity) || 0) + 1);
    }

    /** Return the number of files in some states. */
    count(...states) {
        return states.reduce(
            (sum, state) => sum + (this.counts[state] || 0), 0);
    }

    /** The number of files without a final state, or failed. */
    get left() {
        return this.count('new', 'waiting', 'sending', 'failed');
    }

    in_state(state) {
        return this.entries.filter(entry => entry.state === state);
    }

    /** Return the entries to list: those with errors, and the first others. */
    listed() {
        const errors = [];
        const others = [];
        let left = Math.min(this.count(...ERRORS), ERROR_ROWS);
        for (const entry of this.entries) {
            if (!left && (others.length === ROWS)) {
                break;
            }
            if (ERRORS.has(entry.state)) {
                if (left) {
                    errors.push(entry);
                    left -= 1;
                }
            } else if (others.length < ROWS) {
                others.push(entry);
            }
        }
        return errors.concat(others);
    }
}
