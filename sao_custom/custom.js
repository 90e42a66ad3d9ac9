/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later

   health_orthanc 5.0.50 for Tryton's web client
   License: GNU General Public License, version 3 or later

   Built from sao_custom/src by ./dev build; do not edit. */
(function() {
'use strict';

// --- packing.mjs

/* The packed form of several files: `MULT`, then for each file its length
   (8 bytes, little-endian) and its bytes */

const MAGIC = [0x4D, 0x55, 0x4C, 0x54];

/**
 * Pack files, or the beginning of each.
 *
 * @param {Blob[]} files
 * @param {number} limit - bytes of each file at most
 * @returns {Promise<Blob>} rejected if a file cannot be read
 */
async function pack(files, limit=Infinity) {
    const parts = [new Uint8Array(MAGIC)];
    for (const file of files) {
        const blob = limit < file.size ? file.slice(0, limit) : file;
        const length = new DataView(new ArrayBuffer(8));
        length.setBigUint64(0, BigInt(blob.size), true);
        // Read now: an error then belongs to this file
        parts.push(length.buffer, await blob.arrayBuffer());
    }
    return new Blob(parts);
}

/**
 * Join what `pack` returned for several groups of files.
 *
 * @param {Blob[]} packed
 * @returns {Blob}
 */
function join_packed(packed) {
    return new Blob([
        new Uint8Array(MAGIC),
        ...packed.map(blob => blob.slice(MAGIC.length)),
    ]);
}

// --- connection.mjs

/* Requests to the upload routes of health_orthanc */

/** The request was aborted. */
class Aborted extends Error {}

/** The session has expired and was not renewed. */
class LoggedOut extends Error {}

/** Sends requests in the session of the user, and renews it when needed. */
class Connection {
    /**
     * @param {Object} session - SAO's session
     * @param {function(Object): Promise} renew - asks for the password and
     *     renews the session; rejected if the user cancels
     */
    constructor(session, renew) {
        this.session = session;
        this.renew = renew;
    }

    /**
     * Post a body to a route.
     *
     * @param {string} path - the part after `/orthanc/upload`
     * @param {Blob|Uint8Array|null} body
     * @param {Object} options - `headers`; `progress`, called with the number
     *     of bytes sent; `signal`, an AbortSignal
     * @returns {Promise<{status: number, data: Object}>} the status is 0 if
     *     there is no answer; rejected with `Aborted` or `LoggedOut`
     */
    async post(path, body, options={}) {
        for (;;) {
            const used = this.session.session;
            let answer = await this._post(path, body, options);
            if (!answer.status && body) {
                // A server that refuses the session may close the connection
                // before it has read the body: then the answer is lost
                const probe = await this._post(
                    '/headers', new Uint8Array(MAGIC), {});
                if (probe.status === 401) {
                    answer = probe;
                }
            }
            if (answer.status !== 401) {
                return answer;
            }
            await this._renew(used);
        }
    }

    async _renew(used) {
        if (this.session.session && (this.session.session !== used)) {
            // Another request has renewed it meanwhile
            return;
        }
        try {
            await this.renew(this.session);
        } catch {
            throw new LoggedOut();
        }
    }

    _post(path, body, {headers={}, progress=null, signal=null}) {
        return new Promise((resolve, reject) => {
            if (signal && signal.aborted) {
                reject(new Aborted());
                return;
            }
            const request = new XMLHttpRequest();
            this._open(request, path, headers);
            if (progress) {
                request.upload.onprogress = event => progress(event.loaded);
            }
            request.onload = () => resolve(
                {status: request.status, data: request.response});
            request.onerror = () => resolve({status: 0, data: null});
            request.onabort = () => reject(new Aborted());
            if (signal) {
                const abort = () => request.abort();
                signal.addEventListener('abort', abort);
                // All requests of a run share the signal
                request.onloadend = () =>
                    signal.removeEventListener('abort', abort);
            }
            request.send(body);
        });
    }

    _open(request, path, headers) {
        request.open('POST', '/' + encodeURIComponent(
            this.session.database) + '/orthanc/upload' + path);
        const all = {
            'Authorization': 'Session ' + this.session.get_auth(),
            // Otherwise the browser itself would ask for a password
            'X-Requested-With': 'XMLHttpRequest',
            'Content-Type': 'application/octet-stream',
            ...headers,
        };
        for (const name in all) {
            request.setRequestHeader(name, all[name]);
        }
        request.responseType = 'json';
    }
}

// --- answers.mjs

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
function summarize(files, text) {
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
function explain_status(status) {
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

// --- transfer.mjs

/* A transfer: files that are sent one by one for one run of the wizard */

const NAME_LIMIT = 200;

/** Return the end of a path, of at most 200 characters. */
function shorten(path) {
    return Array.from(path).slice(-NAME_LIMIT).join('');
}

/** A transfer that the server has opened. */
class Transfer {
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

// --- sender.mjs

/* Sending of files */

const PARALLEL = 3;
/** Bytes that may go through the form where there is no upload route. */
const PACKED_LIMIT = 100 * 1024 * 1024;

/**
 * Sends all waiting files, a few at a time.
 *
 * Without an upload route it packs them for the form instead: `packed`.
 */
class Sender {
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

// --- headers.mjs

/* Reading of headers: the server finds the patient in the beginnings of the
   files */

// Files in one request, and bytes of each
const BATCH = 64;
const PREFIX = 16 * 1024;
// The same for files with a longer header
const LONG_BATCH = 8;
const LONG_PREFIX = 1024 * 1024;

/** Reads the headers of the selected files. */
class HeaderReader {
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

// --- selected_files.mjs

/* The list of the selected files, with the state of each */

// Files that are listed: those with errors, and others
const ERROR_ROWS = 200;
const ROWS = 200;

/** States that a person should notice. */
const ERRORS = new Set(['refused', 'failed']);

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
class SelectedFiles {
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

// --- upload.mjs

/* An upload: files are selected, their headers are read, and they are sent */

/** All that the widget does, but for what a person sees. */
class Upload {
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

// --- folders.mjs

/* Files in what was chosen or dropped

   Each is found as an object with its `path` and its `file`, which is null
   if the browser cannot read it. */

const DROPPED_BATCH = 64;

const entry_file = entry => new Promise(
    (resolve, reject) => entry.file(resolve, reject));

const entry_batch = reader => new Promise(
    (resolve, reject) => reader.readEntries(resolve, reject));

const collator = new Intl.Collator(undefined, {numeric: true});

// A browser returns the content of a folder in parts
async function read_folder(entry) {
    const reader = entry.createReader();
    const found = [];
    for (;;) {
        const batch = await entry_batch(reader);
        if (!batch.length) {
            return found.sort((one, other) => collator.compare(
                one.fullPath, other.fullPath));
        }
        found.push(...batch);
    }
}

/**
 * Yield all files below entries of the File System API, folder by folder.
 *
 * @param {FileSystemEntry[]} entries
 */
async function* walk(entries) {
    const stack = entries.slice().reverse();
    while (stack.length) {
        const entry = stack.pop();
        const path = entry.fullPath.replace(/^\//, '');
        try {
            if (entry.isDirectory) {
                for (const child of (await read_folder(entry)).reverse()) {
                    stack.push(child);
                }
            } else {
                yield {path: path, file: await entry_file(entry)};
            }
        } catch (error) {
            if (!(error instanceof DOMException)) {
                throw error;
            }
            yield {path: path, file: null};
        }
    }
}

/**
 * Return the files chosen in an input, ordered by path.
 *
 * @param {FileList} files
 */
function list_selected(files) {
    return Array.from(files, file => ({
        path: file.webkitRelativePath || file.name, file: file,
    })).sort((one, other) => collator.compare(one.path, other.path));
}

/**
 * Report the files that were dropped, batch by batch.
 *
 * It must be called from within the event: the browser empties `transfer`
 * afterwards.
 *
 * @param {DataTransfer} transfer
 * @param {function(Object[])} add - called for each batch
 */
async function read_dropped(transfer, add) {
    const entries = Array.from(transfer.items || [])
        .filter(item => item.kind === 'file')
        .map(item => item.webkitGetAsEntry());
    if (!entries.length || !entries.every(Boolean)) {
        add(Array.from(
            transfer.files, file => ({path: file.name, file: file})));
        return;
    }
    let found = [];
    for await (const item of walk(entries)) {
        found.push(item);
        if (found.length === DROPPED_BATCH) {
            add(found);
            found = [];
        }
    }
    add(found);
}

// --- texts/de.mjs

/* Texts in German */

const DE = {
    files: "Dateien auswählen",
    folder: "Ordner auswählen",
    drop: "oder Dateien, Ordner oder ein ZIP-Archiv hierher ziehen",
    cancel: "Anhalten",
    retry: "Übrige Dateien senden",
    clear: "Liste leeren",
    list: "Ausgewählte Dateien",
    name: "Datei",
    size: "Größe",
    patient: "Patient",
    state: "Status",
    new: "Wird gelesen",
    waiting: "Wartet",
    sending: "Wird gesendet: {percent} %",
    received: "Empfangen",
    refused: "Abgelehnt",
    skipped: "Übersprungen",
    failed: "Nicht gesendet",
    archive: "ZIP-Archiv",
    total: "Dateien: {count} ({size})",
    progress: "Verarbeitete Dateien: {done} von {count} ({percent} %)",
    counts: "{state}: {count}",
    several: "Die Bilder gehören zu {count} verschiedenen Patienten.",
    more: "Nicht aufgeführte Dateien: {count}",
    reading: "Die Dateien werden gelesen …",
    finished: "Alle Dateien wurden empfangen. Prüfen Sie auf der nächsten " +
        "Seite, wessen Bilder es sind.",
    unfinished: "Nicht gesendete Dateien: {count}. Senden Sie die übrigen " +
        "Dateien oder fahren Sie ohne sie fort.",
    packed: "Die Dateien werden gesendet, wenn Sie zur nächsten Seite gehen.",
    too_many: "Ohne die Upload-Route von health_orthanc können höchstens " +
        "{size} gesendet werden. Wählen Sie weniger Dateien aus oder bitten " +
        "Sie den Administrator, die Route freizugeben.",
    canceled: "Angehalten",
    unreadable: "Die Datei kann nicht gelesen werden.",
    too_large: "Die Datei ist größer, als der Administrator erlaubt.",
    forbidden: "Sie dürfen keine Dateien hochladen.",
    unreachable: "GNU Health ist nicht erreichbar. Versuchen Sie es später " +
        "erneut.",
    logged_out: "Sie sind nicht mehr angemeldet.",
    full: "Auf dem Server ist kein Platz für die Dateien. Laden Sie weniger " +
        "Dateien auf einmal hoch oder fragen Sie den Administrator.",
    lost: "Dieser Upload ist abgelaufen. Senden Sie alle Dateien erneut.",
    error: "Die Anfrage ist fehlgeschlagen (HTTP-Status {status}).",
};

// --- texts/en.mjs

/* Texts in English */

const EN = {
    files: "Select Files",
    folder: "Select Folder",
    drop: "or drop files, folders or a ZIP archive here",
    cancel: "Stop",
    retry: "Send Remaining Files",
    clear: "Clear List",
    list: "Selected files",
    name: "File",
    size: "Size",
    patient: "Patient",
    state: "State",
    new: "Reading",
    waiting: "Waiting",
    sending: "Sending: {percent}%",
    received: "Received",
    refused: "Refused",
    skipped: "Skipped",
    failed: "Not sent",
    archive: "ZIP archive",
    total: "Files: {count} ({size})",
    progress: "Files processed: {done} of {count} ({percent}%)",
    counts: "{state}: {count}",
    several: "The images belong to {count} different patients.",
    more: "Files not listed: {count}",
    reading: "Reading the files…",
    finished: "All files have been received. Check on the next page whose " +
        "images they are.",
    unfinished: "Files not sent: {count}. Send the remaining files, or " +
        "continue without them.",
    packed: "The files will be sent when you continue to the next page.",
    too_many: "Without the upload route of health_orthanc, at most {size} " +
        "can be sent. Select fewer files, or ask the administrator to " +
        "enable the route.",
    canceled: "Stopped",
    unreadable: "The file cannot be read.",
    too_large: "The file is larger than the administrator allows.",
    forbidden: "You are not allowed to upload.",
    unreachable: "GNU Health cannot be reached. Try again later.",
    logged_out: "You are no longer logged in.",
    full: "The server has no space for the files. Upload fewer files at a " +
        "time, or ask the administrator.",
    lost: "This upload has expired. Send all files again.",
    error: "The request failed (HTTP status {status}).",
};

// --- texts/es.mjs

/* Texts in Spanish */

const ES = {
    files: "Seleccionar archivos",
    folder: "Seleccionar carpeta",
    drop: "o arrastre aquí archivos, carpetas o un archivo ZIP",
    cancel: "Detener",
    retry: "Enviar los archivos restantes",
    clear: "Vaciar la lista",
    list: "Archivos seleccionados",
    name: "Archivo",
    size: "Tamaño",
    patient: "Paciente",
    state: "Estado",
    new: "Leyendo",
    waiting: "En espera",
    sending: "Enviando: {percent} %",
    received: "Recibido",
    refused: "Rechazado",
    skipped: "Omitido",
    failed: "No enviado",
    archive: "Archivo ZIP",
    total: "Archivos: {count} ({size})",
    progress: "Archivos procesados: {done} de {count} ({percent} %)",
    counts: "{state}: {count}",
    several: "Las imágenes son de {count} pacientes distintos.",
    more: "Archivos no mostrados: {count}",
    reading: "Leyendo los archivos…",
    finished: "Se han recibido todos los archivos. Compruebe en la página " +
        "siguiente de quién son las imágenes.",
    unfinished: "Archivos no enviados: {count}. Envíe los archivos " +
        "restantes o continúe sin ellos.",
    packed: "Los archivos se enviarán cuando continúe a la página siguiente.",
    too_many: "Sin la ruta de subida de health_orthanc se pueden enviar " +
        "como máximo {size}. Seleccione menos archivos o pida al " +
        "administrador que habilite la ruta.",
    canceled: "Detenido",
    unreadable: "No se puede leer el archivo.",
    too_large: "El archivo es más grande de lo que permite el administrador.",
    forbidden: "No tiene permiso para subir archivos.",
    unreachable: "No se puede acceder a GNU Health. Inténtelo de nuevo más " +
        "tarde.",
    logged_out: "Su sesión ha terminado.",
    full: "El servidor no tiene espacio para los archivos. Suba menos " +
        "archivos a la vez o pregunte al administrador.",
    lost: "Esta subida ha caducado. Envíe de nuevo todos los archivos.",
    error: "La petición ha fallado (estado HTTP {status}).",
};

// --- texts/fr.mjs

/* Texts in French */

const FR = {
    files: "Sélectionner des fichiers",
    folder: "Sélectionner un dossier",
    drop: "ou déposez ici des fichiers, des dossiers ou une archive ZIP",
    cancel: "Arrêter",
    retry: "Envoyer les fichiers restants",
    clear: "Vider la liste",
    list: "Fichiers sélectionnés",
    name: "Fichier",
    size: "Taille",
    patient: "Patient",
    state: "État",
    new: "Lecture en cours",
    waiting: "En attente",
    sending: "Envoi\u00A0: {percent}\u00A0%",
    received: "Reçu",
    refused: "Refusé",
    skipped: "Ignoré",
    failed: "Non envoyé",
    archive: "Archive ZIP",
    total: "Fichiers\u00A0: {count} ({size})",
    progress: "Fichiers traités\u00A0: {done} sur {count} ({percent}\u00A0%)",
    counts: "{state}\u00A0: {count}",
    several: "Les images appartiennent à {count} patients différents.",
    more: "Fichiers non affichés\u00A0: {count}",
    reading: "Lecture des fichiers en cours…",
    finished: "Tous les fichiers ont été reçus. Vérifiez à la page suivante " +
        "à qui appartiennent les images.",
    unfinished: "Fichiers non envoyés\u00A0: {count}. Envoyez les fichiers " +
        "restants ou continuez sans eux.",
    packed: "Les fichiers seront envoyés lorsque vous passerez à la page " +
        "suivante.",
    too_many: "Sans la route de téléversement de health_orthanc, vous " +
        "pouvez envoyer {size} au maximum. Sélectionnez moins de fichiers " +
        "ou demandez à l'administrateur d'activer la route.",
    canceled: "Arrêté",
    unreadable: "Le fichier ne peut pas être lu.",
    too_large: "Le fichier est plus gros que ne l'autorise l'administrateur.",
    forbidden: "Vous ne pouvez pas téléverser de fichiers.",
    unreachable: "GNU Health est injoignable. Réessayez plus tard.",
    logged_out: "Vous n'êtes plus connecté.",
    full: "Le serveur n'a pas de place pour les fichiers. Téléversez moins " +
        "de fichiers à la fois ou demandez à l'administrateur.",
    lost: "Ce téléversement a expiré. Envoyez à nouveau tous les fichiers.",
    error: "La requête a échoué (statut HTTP {status}).",
};

// --- texts/pt.mjs

/* Texts in Portuguese, as in Brazil */

const PT = {
    files: "Selecionar arquivos",
    folder: "Selecionar pasta",
    drop: "ou arraste para cá arquivos, pastas ou um arquivo ZIP",
    cancel: "Parar",
    retry: "Enviar os arquivos restantes",
    clear: "Limpar a lista",
    list: "Arquivos selecionados",
    name: "Arquivo",
    size: "Tamanho",
    patient: "Paciente",
    state: "Estado",
    new: "Lendo",
    waiting: "Em espera",
    sending: "Enviando: {percent}%",
    received: "Recebido",
    refused: "Recusado",
    skipped: "Pulado",
    failed: "Não enviado",
    archive: "Arquivo ZIP",
    total: "Arquivos: {count} ({size})",
    progress: "Arquivos processados: {done} de {count} ({percent}%)",
    counts: "{state}: {count}",
    several: "As imagens são de {count} pacientes diferentes.",
    more: "Arquivos não listados: {count}",
    reading: "Lendo os arquivos…",
    finished: "Todos os arquivos foram recebidos. Verifique na próxima " +
        "página de quem são as imagens.",
    unfinished: "Arquivos não enviados: {count}. Envie os arquivos " +
        "restantes ou continue sem eles.",
    packed: "Os arquivos serão enviados quando você continuar para a " +
        "próxima página.",
    too_many: "Sem a rota de envio do health_orthanc, podem ser enviados no " +
        "máximo {size}. Selecione menos arquivos ou peça ao administrador " +
        "que ative a rota.",
    canceled: "Parado",
    unreadable: "O arquivo não pode ser lido.",
    too_large: "O arquivo é maior do que o administrador permite.",
    forbidden: "Você não tem permissão para enviar arquivos.",
    unreachable: "Não é possível alcançar o GNU Health. Tente novamente " +
        "mais tarde.",
    logged_out: "Você não está mais conectado.",
    full: "O servidor não tem espaço para os arquivos. Envie menos arquivos " +
        "de cada vez ou fale com o administrador.",
    lost: "Este envio expirou. Envie todos os arquivos novamente.",
    error: "A requisição falhou (código HTTP {status}).",
};

// --- translator.mjs

/* Texts in the language of the person */

const TEXTS = {en: EN, de: DE, es: ES, fr: FR, pt: PT};

/**
 * Return a function that looks up texts.
 *
 * @param {string} language - code like `de` or `de_AT`; English is used where
 *     it is empty or has no texts
 * @returns {function(string, Object=): string} takes the key of a text and
 *     the values of its placeholders
 */
function translator(language) {
    const texts = TEXTS[(language || '').slice(0, 2).toLowerCase()] ||
        TEXTS.en;
    return (key, values={}) => texts[key].replace(
        /\{(\w+)\}/g, (_, name) => values[name]);
}

// --- widget/status_text.mjs

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
function describe_status(upload, text, humanize) {
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

// --- widget/status.mjs

/* The progress bar and the status text */

// Milliseconds between two announcements of a screen reader
const ANNOUNCED = 5000;

/** Shows how far an upload is, also to people who use a screen reader. */
class StatusPanel {
    /**
     * @param {function} text - returned by `translator`
     * @param {jQuery} parent
     */
    constructor(text, parent) {
        this.text = text;
        this.announced = 0;
        this.bar = jQuery('<div/>', {
            'class': 'progress-bar',
            'role': 'progressbar',
            'aria-valuemin': 0,
            'aria-valuemax': 100,
            'aria-label': text('list'),
        });
        this.progress = jQuery('<div/>', {
            'class': 'progress',
        }).append(this.bar).hide().appendTo(parent);
        // The visible text changes often: screen readers get a copy of it
        this.status = jQuery('<p/>', {
            'class': 'status',
            'aria-hidden': true,
        }).appendTo(parent);
        this.live = jQuery('<p/>', {
            'class': 'sr-only',
            'role': 'status',
            'aria-live': 'polite',
        }).appendTo(parent);
    }

    /** Show the state of an upload. */
    update(upload) {
        const percent = Math.floor(100 * upload.progress);
        this.progress.toggle(upload.busy);
        this.bar.css('width', percent + '%').attr('aria-valuenow', percent);
        const status = describe_status(
            upload, this.text, bytes => Sao.common.humanize(bytes, 'B'));
        if (this.status.text() === status) {
            return;
        }
        this.status.css('white-space', 'pre-line').text(status);
        const now = Date.now();
        if (!upload.busy || (now - this.announced > ANNOUNCED)) {
            this.announced = now;
            this.live.text(status);
        }
    }
}

// --- widget/table.mjs

/* The table of the selected files */

const COLUMNS = ['name', 'size', 'patient', 'state'];

// Bootstrap's class of a row
function row_class(state) {
    if (ERRORS.has(state)) {
        return 'danger';
    }
    return state === 'received' ? 'success' : '';
}

/** Lists files, or some of them if there are many. */
class FileTable {
    /**
     * @param {function} text - returned by `translator`
     * @param {jQuery} parent
     */
    constructor(text, parent) {
        this.text = text;
        // Rows by entry
        this.rows = new Map();
        this.scroll = jQuery('<div/>', {
            'tabindex': 0,
            'role': 'region',
            'aria-label': text('list'),
        }).css({
            'max-height': '40vh',
            'overflow': 'auto',
        }).hide().appendTo(parent);
        const table = jQuery('<table/>', {
            'class': 'table table-condensed',
        }).appendTo(this.scroll);
        const head = jQuery('<tr/>').appendTo(
            jQuery('<thead/>').appendTo(table));
        for (const name of COLUMNS) {
            jQuery('<th/>', {'scope': 'col'}).text(text(name)).appendTo(head);
        }
        this.body = jQuery('<tbody/>').appendTo(table);
        this.more = jQuery('<p/>', {'class': 'more'})
            .appendTo(this.scroll);
    }

    /** Show the files, changing no more of the page than needed. */
    update(files) {
        const entries = files.listed();
        const rows = new Map(entries.map(entry => [
            entry, this.rows.get(entry) || this._make_row(entry)]));
        for (const [entry, row] of this.rows) {
            if (!rows.has(entry)) {
                row.el.remove();
            }
        }
        let next = this.body[0].firstChild;
        for (const [entry, row] of rows) {
            this._fill_row(row, entry);
            if (row.el === next) {
                next = next.nextSibling;
            } else {
                this.body[0].insertBefore(row.el, next);
            }
        }
        this.rows = rows;
        this.scroll.toggle(entries.length > 0);
        const left = files.entries.length - entries.length;
        this.more.text(left ? this.text('more', {count: left}) : '');
    }

    // Names and tags come from other people: they are text, never HTML
    _make_row(entry) {
        const el = document.createElement('tr');
        const cells = {};
        for (const name of COLUMNS) {
            cells[name] = document.createElement(
                name === 'name' ? 'th' : 'td');
            el.appendChild(cells[name]);
        }
        cells.name.scope = 'row';
        cells.name.style.wordBreak = 'break-all';
        cells.name.style.fontWeight = 'normal';
        cells.name.textContent = shorten(entry.path);
        cells.size.textContent = Sao.common.humanize(entry.size, 'B');
        cells.size.style.whiteSpace = 'nowrap';
        return {el: el, cells: cells};
    }

    _fill_row({el, cells}, entry) {
        const set = (cell, text) => {
            if (cell.textContent !== text) {
                cell.textContent = text;
            }
        };
        const percent = entry.size ?
            Math.floor(100 * entry.loaded / entry.size) : 0;
        set(cells.patient, entry.identity || '');
        set(cells.state, [
            this.text(entry.state, {percent: percent}), entry.reason,
        ].filter(Boolean).join(': '));
        el.dataset.state = entry.state;
        el.className = row_class(entry.state);
    }
}

// --- widget/toolbar.mjs

/* The zone with the buttons, on which files are dropped */

/** The buttons, and the inputs that open the browser's file dialogs. */
class Toolbar {
    /**
     * @param {function} text - returned by `translator`
     * @param {jQuery} parent
     * @param {Object} actions - functions `add` (with the files that were
     *     selected), `cancel`, `retry`, `clear`
     */
    constructor(text, parent, actions) {
        this.text = text;
        this.zone = jQuery('<div/>', {
            'class': 'panel panel-default panel-body',
        }).css('border-style', 'dashed').appendTo(parent);
        this.group = jQuery('<div/>', {
            'class': 'btn-toolbar',
            'role': 'toolbar',
        }).appendTo(this.zone);
        const select_files = this._input({}, actions.add);
        const select_folder = this._input(
            {'webkitdirectory': true}, actions.add);
        this.files = this._button(
            'files', 'btn-default', () => select_files.click());
        this.folder = this._button(
            'folder', 'btn-default', () => select_folder.click());
        this.cancel = this._button('cancel', 'btn-danger', actions.cancel);
        this.retry = this._button('retry', 'btn-default', actions.retry);
        this.clear = this._button('clear', 'btn-link', () => {
            actions.clear();
            this.focus();
        });
        jQuery('<p/>', {
            'class': 'help-block',
        }).css('margin-bottom', 0).text(text('drop')).appendTo(this.zone);
    }

    _input(attributes, add) {
        const input = jQuery('<input/>', jQuery.extend({
            'type': 'file',
            'multiple': true,
            'tabindex': -1,
            'aria-hidden': true,
        }, attributes)).hide().appendTo(this.zone);
        return input.change(() => {
            add(list_selected(input[0].files));
            // The same files may be selected again
            input.val('');
        });
    }

    _button(name, style, action) {
        return jQuery('<button/>', {
            'class': 'btn btn-sm ' + style,
            'type': 'button',
            'name': name,
        }).text(this.text(name)).click(action).appendTo(this.group);
    }

    focus() {
        this.files.focus();
    }

    /** Show that files may be dropped here, or not any more. */
    highlight(over) {
        this.zone.toggleClass('bg-info', over);
    }

    /** Show the buttons that make sense now. */
    update(upload, readonly) {
        const {busy, files} = upload;
        const focused = document.activeElement;
        this.files.prop('disabled', busy || readonly);
        this.folder.prop('disabled', busy || readonly);
        this.cancel.toggle(busy);
        this.retry.toggle(!busy && files.count('failed') > 0);
        this.clear.toggle(files.entries.length > 0 && !busy);
        if (this.zone[0].contains(focused) &&
                jQuery(focused).is(':hidden, :disabled')) {
            // The focus must not leave the widget with its button
            const next = [this.cancel, this.retry, this.files].find(
                button => button.is(':visible:enabled'));
            if (next) {
                next.focus();
            }
        }
    }
}

// --- widget/binary_dicom.mjs

/* The widget `binary_dicom` of forms */

// Milliseconds between two renderings
const RENDERED = 100;

/** Return the class of the widget; SAO must have been loaded. */
function make_widget() {
    const BinaryDicom = Sao.class_(Sao.View.Form.Widget, {
        class_: 'form-binary-dicom',
        expand: true,

        init: function(view, attributes) {
            BinaryDicom._super.init.call(this, view, attributes);
            const text = translator(Sao.i18n.getlang());
            this.el = jQuery('<div/>', {
                'class': this.class_,
                'role': 'group',
                'aria-label': text('list'),
                'name': attributes.name,
            });
            this.toolbar = new Toolbar(text, this.el, {
                add: found => this._add(found),
                cancel: () => this.upload.cancel(),
                retry: () => this._run(this.upload.retry()),
                clear: () => this.upload.clear(),
            });
            this.labelled = this.toolbar.files;
            this.status = new StatusPanel(text, this.el);
            this.table = new FileTable(text, this.el);
            this._listen();
            this.upload = new Upload(
                new Connection(
                    Sao.Session.current_session, Sao.Session.renew),
                text, () => this._changed());
        },

        _listen: function() {
            this.el.on('dragover dragenter', event => {
                event.preventDefault();
                event.stopPropagation();
                this.toolbar.highlight(true);
            });
            this.el.on('dragleave drop', () => {
                this.toolbar.highlight(false);
            });
            this.el.on('drop', event => {
                event.preventDefault();
                event.stopPropagation();
                if (!this._readonly) {
                    this._run(read_dropped(
                        event.originalEvent.dataTransfer,
                        found => this._add(found)));
                }
            });
        },

        _add: function(found) {
            this.upload.add(found);
            this._run(this.upload.start());
        },

        _run: function(promise) {
            promise.catch(error => Sao.Logger.error(
                error.message, error.stack));
        },

        display: function() {
            BinaryDicom._super.display.call(this);
            this._changed();
        },

        set_readonly: function(readonly) {
            BinaryDicom._super.set_readonly.call(this, readonly);
            this._changed();
        },

        focus: function() {
            this.toolbar.focus();
        },

        _changed: function() {
            if (this.upload && !this.timer) {
                this.timer = window.setTimeout(() => {
                    this.timer = null;
                    this._render();
                }, RENDERED);
            }
        },

        _render: function() {
            if (this.attached && !this.el[0].isConnected) {
                // The form was closed
                this.upload.cancel();
                return;
            }
            this.attached = this.el[0].isConnected;
            this._set_value();
            // The dialog's own button is the only one that leads on
            this.el.closest('.modal-content, .wizard-form').find(
                '.modal-footer .btn-primary').prop(
                'disabled', !this.upload.value);
            this.toolbar.update(this.upload, this._readonly);
            this.status.update(this.upload);
            this.table.update(this.upload.files);
        },

        _set_value: function() {
            const record = this.record;
            const value = this.upload.value;
            // Packed files are large: they are compared by identity
            const key = value && (value.length > 100 ?
                value : new TextDecoder().decode(value));
            if (record && this.field && (key !== (this.key || null))) {
                this.key = key;
                this.field.set_client(record, value);
            }
        },
    });
    return BinaryDicom;
}

// --- widget/style.mjs

/* Styles, for there is no custom.css */

const added = new Set();

/** Add a style to the page, once. */
function add_style(name, text) {
    if (!added.has(name)) {
        added.add(name);
        jQuery('<style/>').text(text).appendTo('head');
    }
}

// --- widget/board.mjs

/* Our boards, of two rows of panels, fit a screen */

const MODULE_PREFIX = 'health_orthanc.';
const PANEL_CLASS = 'health-orthanc-panel';
// Pixels above the panels, and in each panel above its content
const ABOVE = 184;
const HEADING = 46;
const TABS = 110;
const PANEL = `.${PANEL_CLASS}`;
const PANEL_STYLE = `
${PANEL} {
    height: calc((100vh - ${ABOVE}px) / 2) !important; margin-bottom: 4px;
    overflow: hidden; }
${PANEL} .panel-body { padding: 4px 8px; }
${PANEL} .filter-box { display: none !important; }
${PANEL} .graph { min-height: 0; }
${PANEL} .treeview {
    height: calc((100vh - ${ABOVE}px) / 2 - ${TABS}px) !important; }`;

/** Return the height of a graph in a panel. */
function graph_height(window_height) {
    return Math.max((window_height - ABOVE) / 2 - HEADING, 120);
}

/** Return the label of a value at the axis: no fraction of a count.

    Values below one keep two digits, so that they are not all 0.
*/
function tick_label(value, whole, language) {
    if (whole && !Number.isInteger(value)) {
        return '';
    }
    const rounded = Math.abs(value) < 1 ?
        Number(value.toPrecision(2)) : Math.round(value * 10) / 10;
    return rounded.toLocaleString(language, {'maximumFractionDigits': 6});
}

/** Return whether all values of a graph are counts. */
function are_whole(columns) {
    return columns.slice(1).every(([, ...values]) => values.every(
        value => !value || Number.isInteger(value)));
}

/** Let our boards fit the screen. */
function fit_boards() {
    const {Board, Graph} = Sao.View;
    const panel = Board.Action.prototype;
    const init = panel.init;
    panel.init = function(view, attributes) {
        init.call(this, view, attributes);
        if (attributes.name.startsWith(MODULE_PREFIX)) {
            add_style('board', PANEL_STYLE);
            this.el.addClass(PANEL_CLASS);
        }
    };
    const chart = Graph.Chart.prototype;
    const make_config = chart._c3_config;
    chart._c3_config = function(data) {
        const config = make_config.call(this, data);
        return this.el.closest(PANEL).length ?
            fit_graph(config, data.columns) : config;
    };
}

function fit_graph(config, columns) {
    const whole = are_whole(columns);
    const language = Sao.i18n.BC47(Sao.i18n.getlang());
    config.size = {'height': graph_height(window.innerHeight)};
    config.padding = {'right': 24};
    config.axis.y = {
        'min': 0,
        'padding': {'bottom': 0},
        'tick': {'format': value => tick_label(value, whole, language)},
    };
    return config;
}

// --- widget/calendar.mjs

/* Calendars whose view tells the working hours */

// As the client shows times in all languages
const TIME = 'HH:mm';
const CALENDAR_CLASS = 'health-orthanc-calendar';
const DEVICES_CLASS = 'health-orthanc-devices';
// A day fits on a small screen, and steps stand out from today's background
const STYLE = `
.${DEVICES_CLASS} > .nav-tabs { flex-wrap: wrap; width: 100% !important; }
.${DEVICES_CLASS} .badge[style*="hidden"] { display: none; }
.${CALENDAR_CLASS} .fc-time-grid .fc-slats td {
    font-size: 11px; height: 16px; line-height: 1; }
.${CALENDAR_CLASS} .fc-time-grid-event .fc-content,
.${CALENDAR_CLASS} .fc-time-grid-event .fc-time,
.${CALENDAR_CLASS} .fc-time-grid-event .fc-title {
    font-size: 12px; line-height: 1.2; white-space: normal; }
.${CALENDAR_CLASS} .fc-short .fc-content {
    overflow: hidden; text-overflow: ellipsis; }
.${CALENDAR_CLASS} .fc-short .fc-content,
.${CALENDAR_CLASS} .fc-short .fc-title { white-space: nowrap; }
.${CALENDAR_CLASS} .fc-short .fc-title { display: inline; }
.${CALENDAR_CLASS} .fc-event .fc-bg { display: none; }
.${CALENDAR_CLASS} .fc-today {
    background: #f4f9f9 !important; color: inherit; }
.${CALENDAR_CLASS} .fc-nonbusiness { background: #9e9e9e; }
.${CALENDAR_CLASS} .fc-toolbar h2 { font-size: 20px; line-height: 1.6; }
.${CALENDAR_CLASS} .fc-toolbar.fc-header-toolbar { margin-bottom: 4px; }`;

/** Return what a calendar is to be made with, beside what SAO passes. */
function calendar_options({day_start, day_end}) {
    return {
        'allDaySlot': false,
        'businessHours': {
            'dow': [0, 1, 2, 3, 4, 5, 6],
            'start': day_start,
            'end': day_end,
        },
        'nowIndicator': true,
        'scrollTime': day_start,
        'slotEventOverlap': false,
        'slotLabelFormat': TIME,
        'snapDuration': '00:05:00',
        'timeFormat': TIME,
    };
}

/** Return the number of the row of a day in which a time is.

    What the rows themselves say is in the digits of the language. */
function row_number(rows, time) {
    const [hours, minutes] = time.split(':').map(Number);
    return Math.floor(rows * (60 * hours + minutes) / (24 * 60));
}

/** Return the events without those that SAO has added twice.

    It does so when it loads them again before it has got them. */
function each_record_once(events) {
    const seen = new Set();
    return events.filter(({record}) => {
        const known = seen.has(record.id);
        seen.add(record.id);
        return !known;
    });
}

/** Open such calendars at the working hours, and undo what is not saved. */
function open_at_working_hours() {
    add_options(Sao.View.CalendarXMLViewParser.prototype);
    const calendar = Sao.View.Calendar.prototype;
    const get_events = calendar.get_events;
    calendar.get_events = function(start, end, timezone, callback) {
        get_events.call(this, start, end, timezone, events => {
            if (this.attributes.day_start) {
                callback(each_record_once(events));
                fetch_what_was_found_meanwhile(this, events);
            } else {
                callback(events);
            }
        });
    };
    const display = calendar.display;
    calendar.display = function(...args) {
        const result = display.apply(this, args);
        if (this.attributes.day_start) {
            scroll(this);
        }
        return result;
    };
    for (const name of ['event_drop', 'event_resize']) {
        const moved = calendar[name];
        calendar[name] = function(event, ...rest) {
            if (this.attributes.day_start) {
                undo_unless_saved(event.record, this.el);
            }
            moved.call(this, event, ...rest);
        };
    }
}

function add_options(parser) {
    const parse_calendar = parser._parse_calendar;
    parser._parse_calendar = function(node, attributes) {
        const {view} = this;
        if (!attributes.day_start) {
            parse_calendar.call(this, node, attributes);
            return;
        }
        // SAO only knows it by its name with a prefix
        view.attributes.day_start = attributes.day_start;
        add_style('calendar', STYLE);
        // A dozen of devices has a dozen of tabs
        view.screen.screen_container.el.find('.tab-domain').addClass(
            DEVICES_CLASS);
        const el = view.el.addClass(CALENDAR_CLASS);
        el.fullCalendar = options => jQuery.fn.fullCalendar.call(el, {
            ...options, ...calendar_options(attributes),
            'eventAfterAllRender': () => scroll(view),
        });
        try {
            parse_calendar.call(this, node, attributes);
        } finally {
            // Only SAO's first call was meant
            delete el.fullCalendar;
        }
    };
}

/** Scroll to the working hours when another day or device is shown.

    SAO makes the calendar before it can be seen, and takes it to its first
    hour whenever it shows it again: then it goes to where it was. */
function scroll(view) {
    const scroller = view.el.find('.fc-time-grid-container');
    if (!scroller.is(':visible')) {
        return;
    }
    const {name, start} = view.el.fullCalendar('getView');
    const tab = view.screen.screen_container.get_tab_index();
    const period = `${tab} ${name} ${start.format()}`;
    if (view.scrolled_to !== period) {
        view.scrolled_to = period;
        const rows = scroller.find('.fc-slats tr');
        view.scroll_top = rows[
            row_number(rows.length, view.attributes.day_start)].offsetTop;
    }
    scroller.scrollTop(view.scroll_top);
    scroller.off('scroll.health_orthanc').on('scroll.health_orthanc', () => {
        view.scroll_top = scroller.scrollTop();
    });
}

/** Get the events again if they are not those of the records found.

    Who chooses another tab before SAO has got the events of the first one
    would see them under the second.  Records without a date have no event. */
function fetch_what_was_found_meanwhile(view, events) {
    const found = Array.from(view.screen.group, ({id}) => id);
    const shown = new Set(events.map(({record}) => record.id));
    const agree = (found.length === shown.size) &&
        found.every(id => shown.has(id));
    const key = agree ? null : found.join();
    if (key !== (view.fetched_for || null)) {
        view.fetched_for = key;
        if (!agree) {
            window.setTimeout(() => view.el.fullCalendar('refetchEvents'));
        }
    }
}

/** Let a record that the server does not accept be as it was.

    The calendar's own way to take it back would show it twice. */
function undo_unless_saved(record, el) {
    record.save = (...args) => {
        delete record.save;
        return record.save(...args).fail(() => {
            record.cancel();
            el.fullCalendar('refetchEvents');
        });
    };
}

// --- widget/code.mjs

/* Texts that are code: a font of fixed width, and numbers of lines */

const FONT = {
    'direction': 'ltr',
    'font-family': 'monospace',
    'line-height': '1.4',
    'padding-top': '4px',
    'white-space': 'pre',
};

/** Return the numbers of the lines of a text, one a line. */
function line_numbers(text) {
    return text.split('\n').map((_, index) => index + 1).join('\n');
}

/** Show texts that a view marks so as code. */
function show_code() {
    const widget = Sao.View.Form.Text.prototype;
    const {init, display} = widget;
    widget.init = function(view, attributes) {
        init.call(this, view, attributes);
        if (attributes.code) {
            add_numbers(this);
        }
    };
    widget.display = function() {
        display.call(this);
        if (this.number_lines) {
            this.number_lines();
        }
    };
}

function add_numbers(widget) {
    const numbers = jQuery('<div/>', {'aria-hidden': true}).css({
        ...FONT,
        'color': '#757575',
        'flex': 'none',
        'overflow': 'hidden',
        'padding-right': '8px',
        'text-align': 'right',
    });
    widget.group.css({
        'direction': 'ltr', 'display': 'flex', 'height': '100%',
    }).prepend(numbers);
    widget.input.css({...FONT, 'overflow-x': 'auto'}).attr(
        {'spellcheck': 'false', 'wrap': 'off'});
    const follow = () => numbers.scrollTop(widget.input.scrollTop());
    widget.number_lines = () => {
        numbers.text(line_numbers(widget.input.val() || ''));
        // As high as the text, which decides the height
        numbers.css('max-height', widget.input.outerHeight() || '');
        follow();
    };
    widget.input.on('input', widget.number_lines).on('scroll', follow);
}

// --- widget/empty_list.mjs

/* Empty lists say what would be here, and what to do */

const EMPTY_CLASS = 'health-orthanc-empty';

/**
 * Return what an empty list says.
 *
 * @param {Object} texts - from the view: `titles` by tabs and panels, `list`,
 *     `search`
 * @param {string} title - of the tab or panel, if there is one
 * @param {boolean} searched - whether something is entered in the search
 * @returns {string} empty if there is nothing to say
 */
function choose_text(texts, title, searched) {
    if (searched) {
        return texts.search;
    }
    return texts.titles[title] || texts.list || '';
}

/** Let lists whose view has texts say them while they are empty. */
function explain_empty_lists() {
    const parser = Sao.View.TreeXMLViewParser.prototype;
    const parse_tree = parser._parse_tree;
    parser._parse_tree = function(node, attributes) {
        if (attributes.empty) {
            this.view.empty_texts = JSON.parse(attributes.empty);
        }
        parse_tree.call(this, node, attributes);
    };
    const tree = Sao.View.Tree.prototype;
    const display = tree.display;
    tree.display = function(...args) {
        const displayed = display.apply(this, args);
        if (this.empty_texts) {
            jQuery.when(displayed).then(() => show_text(this));
        }
        return displayed;
    };
    const screen = Sao.Screen.prototype;
    const search_filter = screen.search_filter;
    screen.search_filter = function(search_string, only_ids) {
        return search_filter.call(this, search_string, only_ids).then(
            result => {
                if (!only_ids) {
                    // Before, nobody knows whether it is empty
                    this.has_searched = true;
                    const view = this.current_view;
                    if (view && view.empty_texts) {
                        show_text(view);
                    }
                }
                return result;
            });
    };
}

function show_text(view) {
    const {screen, treeview} = view;
    const known = screen.group.parent ?
        !is_choice(screen.group) : screen.has_searched;
    const text = known && !screen.group.length ? choose_text(
        view.empty_texts, find_title(view), !screen.group.parent &&
            Boolean(screen.screen_container.get_text())) : '';
    let shown = treeview.children('.' + EMPTY_CLASS);
    if (!shown.length) {
        shown = jQuery('<p/>', {
            'class': 'help-block text-center ' + EMPTY_CLASS,
            'role': 'status',
        }).css('padding', '0 16px').appendTo(treeview);
    }
    if (shown.text() !== text) {
        shown.text(text);
    }
    shown.toggle(Boolean(text));
}

/** Return whether a group is what somebody has chosen in a form.

    That none is chosen does not mean that there are none. */
function is_choice({parent, child_name}) {
    const description = parent.model?.fields[child_name]?.description;
    return description?.type === 'many2many' && !description.readonly;
}

/** Return the name of the tab, or of the panel of a board. */
function find_title({screen, el}) {
    const {screen_container} = screen;
    const panel = el.closest('.board-action').children('.panel-heading');
    const index = screen_container.get_tab_index();
    return panel.text() ||
        (index >= 0 ? screen_container.tab_domain[index][0] : '');
}

// --- widget/focus.mjs

/* Where the keyboard is while a dialog is open, and afterwards */

const CONTROLS = 'input, select, textarea, button, a[href], [tabindex]';

/** Keep the focus in the dialog of a wizard, and give it back at the end.

    In SAO it leaves the dialog behind the last button, where Escape does
    nothing, and when the dialog closes it is nowhere: whoever uses no mouse
    would have to begin at the top of the page. */
function hold_focus() {
    const dialog = Sao.Wizard.Dialog.prototype;
    const {init, update, destroy} = dialog;
    dialog.init = function(...args) {
        this.opener = document.activeElement;
        init.apply(this, args);
        this.dialog.on('keydown', event => go_round(this.dialog, event));
    };
    dialog.update = function(...args) {
        const shown = (this.dialog.data('bs.modal') || {}).isShown;
        update.apply(this, args);
        if (shown) {
            window.setTimeout(() => go_in(this.dialog));
        }
    };
    dialog.destroy = function(...args) {
        const closed = () => window.setTimeout(() => give_back(this.opener));
        if ((this.dialog.data('bs.modal') || {}).isShown) {
            this.dialog.one('hidden.bs.modal', closed);
        } else {
            closed();
        }
        destroy.apply(this, args);
    };
}

// A page without fields leaves the focus nowhere
function go_in(dialog) {
    if (!dialog[0].contains(document.activeElement)) {
        dialog.find('.modal-footer button:visible').last().focus();
    }
}

// From the last control to the first, and back
function go_round(dialog, event) {
    if (event.key !== 'Tab') {
        return;
    }
    const controls = dialog.find(CONTROLS).filter(':visible').filter(
        (_, control) => !control.disabled && (control.tabIndex >= 0));
    const [end, other] = event.shiftKey ?
        [controls.first(), controls.last()] :
        [controls.last(), controls.first()];
    if (end.is(document.activeElement)) {
        event.preventDefault();
        other.focus();
    }
}

function give_back(opener) {
    const focused = document.activeElement;
    if (focused && (focused !== document.body)) {
        // What the wizard has opened has it
        return;
    }
    if (opener && (opener !== document.body) &&
            jQuery(opener).is(':visible') && !opener.disabled) {
        opener.focus();
        return;
    }
    // Its form or list was shown anew
    const tab = Sao.Tab.tabs.get_current();
    if (tab && tab.screen) {
        tab.screen.set_cursor(false, false);
    }
}

// --- widget/lines.mjs

/* Columns of lists that show all lines of a text */

const LINES_CLASS = 'health-orthanc-lines';
// What stands beside a text goes below it rather than breaking its words
const LINES_STYLE =
    `.treeview .cell:has(.${LINES_CLASS}) { flex-wrap: wrap; }`;

/** Break the lines of texts in columns that a view marks so.

    SAO shows them as one line, and cuts its end. */
function show_lines() {
    const columns = Object.values(Sao.View.TreeXMLViewParser.WIDGETS);
    for (const column of new Set(columns)) {
        const get_cell = column.prototype.get_cell;
        column.prototype.get_cell = function(...args) {
            const cell = get_cell.apply(this, args);
            if (this.attributes.lines) {
                add_style('lines', LINES_STYLE);
                cell.addClass(LINES_CLASS);
                cell.css('overflow-wrap', 'anywhere');
                cell.css('white-space', 'pre-line');
            }
            return cell;
        };
    }
}

// --- widget/namespace.mjs

/* The attributes of views that not all clients know */

const ATTRIBUTES = ['lines', 'code', 'day_start', 'day_end', 'empty'];
const CLIENT = 'urn:health_orthanc:client';

/** Let SAO's parser of views read attributes in our namespace, too. */
function read_namespace() {
    const parser = Sao.View.XMLViewParser.prototype;
    const node_attributes = parser._node_attributes;
    parser._node_attributes = function(node) {
        const attributes = node_attributes.call(this, node);
        const widget = node.getAttributeNS(CLIENT, 'widget');
        if (widget && (widget in Sao.View.FormXMLViewParser.WIDGETS)) {
            attributes.widget = widget;
        }
        for (const name of ATTRIBUTES) {
            const value = node.getAttributeNS(CLIENT, name);
            if (value) {
                attributes[name] = value;
            }
        }
        return attributes;
    };
}

// --- widget/readable.mjs

/* What nobody could read, or find by keyboard, in SAO's own style */

const RULES = [
    // Long names in the menu and above columns are cut, those of German and
    // French first of all
    '#menu .treeview .column-char { white-space: normal; }',
    'table.tree th label { overflow-wrap: anywhere; white-space: normal; }',
    // and in forms and boards take more room than what is below
    '.treeview > table.tree > thead > tr > th > label { padding: 0; }',
    'table.tree th label > img[src=""] { display: none; }',
    // Nor do names of buttons in lists break
    '.treeview td .btn { white-space: normal; }',
    // More tabs above a list than fit, for each keeps room for a number
    '.tab-form .tab-domain > .nav-tabs > li > a { padding: 10px 8px; }',
    '.tab-form .tab-domain .badge { min-width: 0; }',
    // Nothing shows that the keyboard is at them
    'input[type="checkbox"]:focus-visible {' +
        ' outline: 2px solid #00496b !important; outline-offset: 2px; }',
    // From right to left the arrow covers the first letters of a selection,
    // and the squares of a legend its words
    'html[dir="rtl"] select, html[dir="rtl"] select.form-control {' +
        ' background-position: left center; padding-left: 16px; }',
    '[dir="rtl"] .c3 { direction: ltr; }',
    // and the buttons of an upload stand at the other side
    '[dir="rtl"] .form-binary-dicom .btn-toolbar > .btn { float: right; }',
    // DICOM is written from left to right
    '[dir="rtl"] textarea[name="worklist_text"] {' +
        ' direction: ltr; text-align: left; }',
];

/** Add our rules to the style of the page. */
function make_readable() {
    add_style('readable', RULES.join('\n'));
}

// --- widget/view_button.mjs

/* The button *View* in the rows of a list */

const NAMES = ['view_images'];

/** Press our button with the first click.

    SAO only selects the row if it was not selected before. */
function view_with_one_click() {
    const column = Sao.View.Tree.ButtonColumn.prototype;
    const button_clicked = column.button_clicked;
    column.button_clicked = function(event) {
        const [record] = event.data;
        if (NAMES.includes(this.attributes.name)) {
            const row = this.view.rows.find(
                shown => shown.record === record);
            if (row) {
                this.view.select_records(null, null);
                row.set_selection(true);
                row.selection_changed();
            }
        }
        return button_clicked.call(this, event);
    };
}

// --- custom.mjs

/* The widget `binary_dicom` for Tryton's web client: it sends many files,
   folders and archives one by one to the upload routes of health_orthanc.
   Images are opened with one click from lists, too, some columns show
   several lines, templates are shown as code, the names in the menu are
   whole, and a dialog that closes gives the keyboard back to where it was.

   The file lies beside the client's `index.html`; doc/uploads.md describes
   how to install it. */

if (typeof module !== 'undefined') {
    // For the tests, which run without a browser
    module.exports = {Aborted, Connection, LoggedOut, PACKED_LIMIT, Upload};
}

if (typeof Sao !== 'undefined') {
    read_namespace();
    show_lines();
    show_code();
    open_at_working_hours();
    fit_boards();
    explain_empty_lists();
    view_with_one_click();
    hold_focus();
    make_readable();
    Sao.View.Form.BinaryDicom = make_widget();
    Sao.View.FormXMLViewParser.WIDGETS.binary_dicom =
        Sao.View.Form.BinaryDicom;
}

}());
