/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The widget `binary_dicom` for Tryton's web client: many files, folders and
   archives are sent one by one to the route of health_orthanc.

   It lies beside `index.html`; doc/uploads.md tells how it is installed. */
(function() {
    'use strict';

    // The attribute of views by which widgets are named that not all have
    const CLIENT = 'urn:health_orthanc:client';
    const PARALLEL = 3;
    // Files whose identity is asked for at once, and bytes of each
    const BATCH = 64;
    const PREFIX = 16 * 1024;
    // The same for those that need more
    const LONG_BATCH = 8;
    const LONG_PREFIX = 1024 * 1024;
    // Files that are listed, and besides those that went wrong
    const ROWS = 200;
    const FAILED_ROWS = 200;
    // Bytes that may go through the form where there is no route
    const PACKED_LIMIT = 100 * 1024 * 1024;
    const PACKED = [0x4D, 0x55, 0x4C, 0x54];
    const NAME_LIMIT = 200;
    // Milliseconds between two looks, and between two announcements
    const RENDERED = 100;
    const ANNOUNCED = 5000;

    const TEXTS = {
        en: {
            files: "Choose Files",
            folder: "Choose Folder",
            drop: "or drop files, folders or a ZIP here",
            send: "Send",
            cancel: "Stop",
            retry: "Send Again What Failed",
            clear: "Clear",
            list: "Chosen files",
            name: "File",
            size: "Size",
            patient: "Patient",
            state: "State",
            new: "Is read",
            waiting: "To send",
            sending: "{percent} %",
            stored: "Stored",
            present: "Already there",
            refused: "Refused",
            skipped: "Passed over",
            failed: "Not sent",
            archive: "Archive",
            total: "{count} files, {size}",
            progress: "{done} of {count} files, {percent} %",
            counts: "{state}: {count}",
            several: "These are images of {count} patients.",
            more: "{count} more files are not listed.",
            ready: "Look at the patients, then press “Send”.",
            finished: "All files are sent. Go on with the next page.",
            unfinished: "{count} files are not sent. Send them again, or go " +
                "on without them.",
            packed: "The files go with the next page.",
            too_many: "The server takes at most {size} this way. Choose " +
                "fewer files, or ask the administrator for the route of " +
                "health_orthanc.",
            server: "Choose the server first.",
            canceled: "Stopped",
            unreadable: "The file cannot be read.",
            too_large: "The file is larger than the administrator allows.",
            forbidden: "You may not upload to this server.",
            unreachable: "GNU Health is not reached. Send it again later.",
            logged_out: "You are logged out.",
            lost: "The server has lost this upload. Send all files again.",
            error: "The server answers {status}.",
        },
        de: {
            files: "Dateien wählen",
            folder: "Ordner wählen",
            drop: "oder Dateien, Ordner oder ein ZIP hierher ziehen",
            send: "Senden",
            cancel: "Anhalten",
            retry: "Fehlgeschlagenes erneut senden",
            clear: "Leeren",
            list: "Gewählte Dateien",
            name: "Datei",
            size: "Größe",
            patient: "Patient",
            state: "Status",
            new: "Wird gelesen",
            waiting: "Zu senden",
            sending: "{percent} %",
            stored: "Gespeichert",
            present: "Schon vorhanden",
            refused: "Abgelehnt",
            skipped: "Übergangen",
            failed: "Nicht gesendet",
            archive: "Archiv",
            total: "{count} Dateien, {size}",
            progress: "{done} von {count} Dateien, {percent} %",
            counts: "{state}: {count}",
            several: "Dies sind Bilder von {count} Patienten.",
            more: "{count} weitere Dateien sind nicht aufgeführt.",
            ready: "Prüfen Sie die Patienten, drücken Sie dann „Senden“.",
            finished: "Alle Dateien sind gesendet. Weiter geht es auf der " +
                "nächsten Seite.",
            unfinished: "{count} Dateien sind nicht gesendet. Senden Sie " +
                "sie erneut, oder fahren Sie ohne sie fort.",
            packed: "Die Dateien gehen mit der nächsten Seite mit.",
            too_many: "Auf diesem Weg nimmt der Server höchstens {size}. " +
                "Wählen Sie weniger Dateien, oder bitten Sie die " +
                "Administration um die Route von health_orthanc.",
            server: "Wählen Sie zuerst den Server.",
            canceled: "Angehalten",
            unreadable: "Die Datei kann nicht gelesen werden.",
            too_large: "Die Datei ist größer als erlaubt.",
            forbidden: "Sie dürfen auf diesen Server nichts hochladen.",
            unreachable: "GNU Health ist nicht erreichbar. Senden Sie es " +
                "später erneut.",
            logged_out: "Sie sind abgemeldet.",
            lost: "Der Server hat diesen Vorgang verloren. Senden Sie alle " +
                "Dateien erneut.",
            error: "Der Server antwortet {status}.",
        },
        es: {
            files: "Elegir archivos",
            folder: "Elegir carpeta",
            drop: "o arrastre aquí archivos, carpetas o un ZIP",
            send: "Enviar",
            cancel: "Detener",
            retry: "Reenviar lo que falló",
            clear: "Vaciar",
            list: "Archivos elegidos",
            name: "Archivo",
            size: "Tamaño",
            patient: "Paciente",
            state: "Estado",
            new: "Se está leyendo",
            waiting: "Por enviar",
            sending: "{percent} %",
            stored: "Guardado",
            present: "Ya existía",
            refused: "Rechazado",
            skipped: "Omitido",
            failed: "No enviado",
            archive: "Archivo comprimido",
            total: "{count} archivos, {size}",
            progress: "{done} de {count} archivos, {percent} %",
            counts: "{state}: {count}",
            several: "Son imágenes de {count} pacientes.",
            more: "No se muestran otros {count} archivos.",
            ready: "Compruebe los pacientes y pulse «Enviar».",
            finished: "Todos los archivos están enviados. Continúe en la " +
                "página siguiente.",
            unfinished: "{count} archivos no se han enviado. Envíelos de " +
                "nuevo o continúe sin ellos.",
            packed: "Los archivos se envían con la página siguiente.",
            too_many: "El servidor acepta como máximo {size} de esta forma. " +
                "Elija menos archivos o pida al administrador la ruta de " +
                "health_orthanc.",
            server: "Elija primero el servidor.",
            canceled: "Detenido",
            unreadable: "No se puede leer el archivo.",
            too_large: "El archivo es mayor de lo que permite el " +
                "administrador.",
            forbidden: "No puede subir archivos a este servidor.",
            unreachable: "No se puede acceder a GNU Health. Envíelo de " +
                "nuevo más tarde.",
            logged_out: "Su sesión se ha cerrado.",
            lost: "El servidor ha perdido esta subida. Envíe de nuevo todos " +
                "los archivos.",
            error: "El servidor responde {status}.",
        },
        fr: {
            files: "Choisir des fichiers",
            folder: "Choisir un dossier",
            drop: "ou déposez ici des fichiers, des dossiers ou un ZIP",
            send: "Envoyer",
            cancel: "Arrêter",
            retry: "Renvoyer ce qui a échoué",
            clear: "Vider",
            list: "Fichiers choisis",
            name: "Fichier",
            size: "Taille",
            patient: "Patient",
            state: "État",
            new: "En lecture",
            waiting: "À envoyer",
            sending: "{percent} %",
            stored: "Enregistré",
            present: "Déjà présent",
            refused: "Refusé",
            skipped: "Ignoré",
            failed: "Non envoyé",
            archive: "Archive",
            total: "{count} fichiers, {size}",
            progress: "{done} fichiers sur {count}, {percent} %",
            counts: "{state} : {count}",
            several: "Ce sont des images de {count} patients.",
            more: "{count} autres fichiers ne sont pas affichés.",
            ready: "Vérifiez les patients, puis appuyez sur « Envoyer ».",
            finished: "Tous les fichiers sont envoyés. Continuez à la page " +
                "suivante.",
            unfinished: "{count} fichiers ne sont pas envoyés. Renvoyez-les " +
                "ou continuez sans eux.",
            packed: "Les fichiers partent avec la page suivante.",
            too_many: "Le serveur accepte au plus {size} de cette façon. " +
                "Choisissez moins de fichiers ou demandez à " +
                "l'administrateur la route de health_orthanc.",
            server: "Choisissez d'abord le serveur.",
            canceled: "Arrêté",
            unreadable: "Le fichier ne peut pas être lu.",
            too_large: "Le fichier est plus grand que ce que " +
                "l'administrateur autorise.",
            forbidden: "Vous ne pouvez rien envoyer à ce serveur.",
            unreachable: "GNU Health est injoignable. Renvoyez-le plus tard.",
            logged_out: "Vous êtes déconnecté.",
            lost: "Le serveur a perdu cet envoi. Renvoyez tous les fichiers.",
            error: "Le serveur répond {status}.",
        },
    };

    // Return a function that tells texts in a language, or in English
    function translator(language) {
        const texts = TEXTS[(language || '').slice(0, 2).toLowerCase()] ||
            TEXTS.en;
        return (key, values={}) => texts[key].replace(
            /\{(\w+)\}/g, (_, name) => values[name]);
    }

    // --- Files ----------------------------------------------------------

    // Return the beginnings of files as they are packed, all of it if there
    // is no limit
    async function pack(files, limit=Infinity) {
        const parts = [new Uint8Array(PACKED)];
        for (const file of files) {
            const blob = limit < file.size ? file.slice(0, limit) : file;
            const length = new DataView(new ArrayBuffer(8));
            length.setBigUint64(0, BigInt(blob.size), true);
            // Read here: what cannot be read is found out file by file
            parts.push(length.buffer, await blob.arrayBuffer());
        }
        return new Blob(parts);
    }

    const entry_file = entry => new Promise(
        (resolve, reject) => entry.file(resolve, reject));

    const entry_batch = reader => new Promise(
        (resolve, reject) => reader.readEntries(resolve, reject));

    const collator = new Intl.Collator(undefined, {numeric: true});
    const by_path = (one, other) => collator.compare(one.path, other.path);

    // Return what is in a folder: it is told in parts
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

    // Yield all files in what was dropped, with their paths
    async function* walk(entries) {
        const stack = entries.slice().reverse();
        while (stack.length) {
            const entry = stack.pop();
            const path = entry.fullPath.replace(/^\//, '');
            try {
                if (entry.isDirectory) {
                    for (const child of
                            (await read_folder(entry)).reverse()) {
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

    // --- The server -----------------------------------------------------

    class Aborted extends Error {}

    class LoggedOut extends Error {}

    // Requests to the routes for uploads, of whoever is logged in
    class Wire {
        // `renew` asks for the password, and promises a new session
        constructor(session, renew) {
            this.session = session;
            this.renew = renew;
        }

        // Return status (0 if there is no answer) and what is answered
        async post(path, body, options={}) {
            for (;;) {
                const used = this.session.session;
                let answer = await this._post(path, body, options);
                if (!answer.status && body) {
                    // A server that has refused it may not have read it all
                    const probe = await this._post(
                        '/headers', new Uint8Array(PACKED), {});
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
                // Another one has done so meanwhile
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
                request.open('POST', '/' + encodeURIComponent(
                    this.session.database) + '/orthanc/upload' + path);
                request.setRequestHeader(
                    'Authorization', 'Session ' + this.session.get_auth());
                // Else the browser itself would ask for a password
                request.setRequestHeader('X-Requested-With', 'XMLHttpRequest');
                request.setRequestHeader(
                    'Content-Type', 'application/octet-stream');
                for (const name in headers) {
                    request.setRequestHeader(name, headers[name]);
                }
                request.responseType = 'json';
                if (progress) {
                    request.upload.onprogress = event =>
                        progress(event.loaded);
                }
                request.onload = () => resolve(
                    {status: request.status, data: request.response});
                request.onerror = () => resolve({status: 0, data: null});
                request.onabort = () => reject(new Aborted());
                if (signal) {
                    const abort = () => request.abort();
                    signal.addEventListener('abort', abort);
                    // One signal is for all files
                    request.onloadend = () =>
                        signal.removeEventListener('abort', abort);
                }
                request.send(body);
            });
        }
    }

    // --- The files and what becomes of them -----------------------------

    const DONE = new Set(['stored', 'present', 'refused', 'skipped']);
    const WRONG = new Set(['refused', 'failed']);

    // Return what is told of a file of which there are several in it
    function sum_up(files, text) {
        const counts = {};
        for (const file of files) {
            counts[file.state] = (counts[file.state] || 0) + 1;
        }
        const first = ['failed', 'stored', 'present', 'refused', 'skipped']
            .find(state => counts[state]);
        return {
            state: first || 'refused',
            reason: Object.keys(counts).map(state => text(
                'counts', {state: text(state), count: counts[state]})
            ).join(', '),
            hopeless: files.some(file => file.hopeless),
        };
    }

    class Upload {
        // `changed` is called whenever there is something else to be shown
        constructor(wire, text, changed) {
            this.wire = wire;
            this.text = text;
            this.changed = changed;
            this.server = null;
            this.transfer = null;
            this.clear();
        }

        clear() {
            this.cancel();
            this.entries = [];
            this.counts = {};
            this.bytes = 0;
            this.patients = new Map();
            // What has not been read, and what may have to be sent
            this.unread = 0;
            this.unsent = 0;
            this.done_bytes = 0;
            this.problem = '';
            this.transfer = null;
            // The packed form, where there is no route
            this.packed = null;
            this.generation = (this.generation || 0) + 1;
            this.changed();
        }

        count(...states) {
            return states.reduce(
                (sum, state) => sum + (this.counts[state] || 0), 0);
        }

        get busy() {
            return Boolean(this.running);
        }

        get left() {
            return this.count('new', 'waiting', 'sending', 'failed');
        }

        // What the wizard is given, null as long as there is nothing
        get value() {
            if (this.busy) {
                return null;
            }
            if (this.packed) {
                return this.packed;
            }
            if (!this.transfer || (this.transfer.server !== this.server) ||
                    !this.transfer.used) {
                return null;
            }
            return new TextEncoder().encode(
                `TRANSFER ${this.transfer.key} ${this.left}`);
        }

        // Choose where to; what was sent elsewhere is to be sent anew
        set_server(server) {
            if (server === this.server) {
                return;
            }
            this.server = server;
            if (this.transfer) {
                this.cancel();
                this._start_anew();
            }
            this.changed();
        }

        _start_anew() {
            this.transfer = null;
            this.unsent = 0;
            for (const entry of this.entries) {
                if (entry.transferred) {
                    entry.transferred = false;
                    this._set(entry, 'waiting', '');
                }
            }
        }

        // Take files with their paths; those that are null cannot be read
        add(found) {
            this.packed = null;
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
                    this._set(entry, 'new', '');
                } else {
                    this._set(entry, 'refused', this.text('unreadable'));
                }
            }
            this.changed();
        }

        _set(entry, state, reason) {
            if (this.entries[entry.number] !== entry) {
                // It was removed meanwhile
                return;
            }
            if (entry.state) {
                this.counts[entry.state] -= 1;
            }
            this.counts[state] = (this.counts[state] || 0) + 1;
            entry.state = state;
            entry.reason = reason || '';
            entry.loaded = 0;
            this.changed(entry);
        }

        // Whose files these are

        // Ask for the identities of what was added, all at the end
        identify() {
            if (!this.identifying) {
                this.identifying = this._identify().finally(
                    () => {
                        this.identifying = null;
                        this.changed();
                    });
            }
            return this.identifying;
        }

        async _identify() {
            const generation = this.generation;
            while (this.unread < this.entries.length) {
                const batch = this.entries.slice(
                    this.unread, this.unread + BATCH)
                    .filter(entry => entry.state === 'new');
                const longer = await this._describe(batch, PREFIX);
                while (longer.length) {
                    await this._describe(
                        longer.splice(0, LONG_BATCH), LONG_PREFIX);
                }
                if (generation !== this.generation) {
                    return this._identify();
                }
                this.unread = Math.min(
                    this.unread + BATCH, this.entries.length);
            }
        }

        // Return those that cannot be told from so few bytes
        async _describe(batch, limit) {
            const generation = this.generation;
            batch = await this._readable(batch, limit);
            if (!batch.length) {
                return [];
            }
            const answer = await this._headers(batch);
            if (generation !== this.generation) {
                return [];
            }
            const longer = [];
            batch.forEach((entry, index) => {
                // Nothing is known of it where there is no such route
                const found = answer ? answer[index] : {state: 'ready'};
                if ((found.state === 'refused') && (limit < entry.size) &&
                        (limit < LONG_PREFIX)) {
                    longer.push(entry);
                } else {
                    this._described(entry, found);
                }
            });
            return longer;
        }

        async _readable(batch, limit) {
            const found = [];
            for (const entry of batch) {
                try {
                    entry.head = await pack([entry.file], limit);
                    found.push(entry);
                } catch {
                    this._set(entry, 'refused', this.text('unreadable'));
                }
            }
            return found;
        }

        async _headers(batch) {
            const body = new Blob([
                new Uint8Array(PACKED),
                ...batch.map(entry => entry.head.slice(PACKED.length)),
            ]);
            batch.forEach(entry => delete entry.head);
            try {
                const answer = await this.wire.post('/headers', body);
                return answer.status === 200 ? answer.data.files : null;
            } catch (error) {
                if (!(error instanceof LoggedOut)) {
                    throw error;
                }
                return null;
            }
        }

        _described(entry, found) {
            if (found.state === 'skipped') {
                // It is not even sent
                this._set(entry, 'skipped', found.reason);
                return;
            }
            if (found.state === 'archive') {
                entry.identity = this.text('archive');
            } else if (found.patient_id !== undefined) {
                entry.identity = [
                    found.patient_name, found.patient_id, found.birth_date,
                    found.sex].filter(Boolean).join(' · ');
                this.patients.set(
                    entry.identity,
                    (this.patients.get(entry.identity) || 0) + 1);
            }
            // What is refused may have been refused for too few bytes: the
            // route looks at it again, and notes why
            this._set(entry, 'waiting', found.reason);
        }

        // Sending

        // Send what waits; the promise is kept when nothing more is sent
        start() {
            if (!this.running) {
                this.controller = new AbortController();
                this.problem = '';
                this.running = this._start().finally(() => {
                    this.running = null;
                    this.changed();
                });
                this.changed();
            }
            return this.running;
        }

        cancel() {
            if (this.running) {
                this._stop('canceled');
            }
        }

        // Send again what was not sent
        retry() {
            this.unsent = 0;
            for (const entry of this.entries) {
                if (entry.state === 'failed') {
                    this._set(entry, 'waiting', '');
                }
            }
            return this.start();
        }

        _stop(problem, values) {
            this.stopped = this.text(problem, values);
            this.controller.abort();
        }

        async _start() {
            this.stopped = null;
            await this.identify();
            this.done_bytes = 0;
            this.run_bytes = this.entries.reduce(
                (sum, entry) => sum + (
                    entry.state === 'waiting' ? entry.size : 0), 0);
            try {
                if (!this.stopped && await this._begin()) {
                    const senders = [];
                    for (let i = 0; i < PARALLEL; i++) {
                        senders.push(this._send_all());
                    }
                    await Promise.all(senders);
                }
            } catch (error) {
                if (!(error instanceof LoggedOut)) {
                    throw error;
                }
                this._stop('logged_out');
            }
            if (this.stopped) {
                for (const entry of this.entries) {
                    if (entry.state === 'waiting') {
                        this._set(entry, 'failed', this.stopped);
                    }
                }
            }
        }

        // Return whether there is a transfer
        async _begin() {
            if (!this.server) {
                this.problem = this.text('server');
                return false;
            }
            if (this.transfer) {
                return true;
            }
            const server = this.server;
            const answer = await this.wire.post(
                '/transfer?server=' + server, null);
            if (server !== this.server) {
                this._stop('canceled');
                return false;
            }
            if (answer.status === 200) {
                this.transfer = {
                    key: answer.data.transfer, server: server, used: false};
                return true;
            }
            if (answer.status === 404) {
                await this._pack();
            } else {
                this._stop(...this._problem(answer.status));
            }
            return false;
        }

        // Give the files to the form: there is no route
        async _pack() {
            const entries = this.entries.filter(
                entry => entry.state === 'waiting');
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

        _problem(status) {
            if (!status || [502, 503, 504].includes(status)) {
                return ['unreachable'];
            }
            if ([403, 404].includes(status)) {
                return ['forbidden'];
            }
            return ['error', {status: status}];
        }

        async _send_all() {
            while ((this.unsent < this.entries.length) && !this.stopped) {
                const entry = this.entries[this.unsent];
                this.unsent += 1;
                if (entry.state === 'waiting') {
                    await this._send(entry);
                }
            }
        }

        async _send(entry) {
            this._set(entry, 'sending', '');
            const transfer = this.transfer;
            let answer;
            try {
                answer = await this.wire.post(
                    '?server=' + transfer.server, entry.file, {
                        headers: {
                            'X-Transfer': transfer.key,
                            'X-File': entry.number,
                            'X-File-Name': encodeURIComponent(
                                shorten(entry.path)),
                        },
                        progress: loaded => {
                            entry.loaded = Math.min(loaded, entry.size);
                            this.changed(entry);
                        },
                        signal: this.controller.signal,
                    });
            } catch (error) {
                if (error instanceof LoggedOut) {
                    this._stop('logged_out');
                } else if (!(error instanceof Aborted)) {
                    throw error;
                }
                this._set(entry, 'failed', this.stopped);
                return;
            }
            this.done_bytes += entry.size;
            if (transfer === this.transfer) {
                this._sent(entry, answer);
            } else {
                // The wizard would not know of it
                this._set(entry, 'failed', this.stopped);
            }
        }

        _sent(entry, {status, data}) {
            if ((status === 200) && data) {
                const found = data.files.length === 1 ?
                    data.files[0] : sum_up(data.files, this.text);
                this.transfer.used = entry.transferred = true;
                this._set(entry, found.state, found.reason);
                if (found.hopeless && !this.stopped) {
                    // No other file would fare better now
                    this.stopped = found.reason;
                }
            } else if (status === 413) {
                this._set(entry, 'refused', this.text('too_large'));
            } else if (status === 410) {
                this._set(entry, 'failed', this.text('lost'));
                this._stop('lost');
                this._start_anew();
            } else {
                this._stop(...this._problem(status));
                this._set(entry, 'failed', this.stopped);
            }
        }

        // The part of what is to be sent that is there, up to 1
        get progress() {
            let bytes = this.done_bytes;
            for (const entry of this.entries.slice(
                    Math.max(this.unsent - 2 * PARALLEL, 0), this.unsent)) {
                if (entry.state === 'sending') {
                    bytes += entry.loaded;
                }
            }
            return this.run_bytes ? Math.min(bytes / this.run_bytes, 1) : 0;
        }

        // Return what is listed: what went wrong, and the first others
        rows() {
            const wrong = [];
            const others = [];
            let left = Math.min(this.count(...WRONG), FAILED_ROWS);
            for (const entry of this.entries) {
                if (!left && (others.length === ROWS)) {
                    break;
                }
                if (WRONG.has(entry.state)) {
                    if (left) {
                        wrong.push(entry);
                        left -= 1;
                    }
                } else if (others.length < ROWS) {
                    others.push(entry);
                }
            }
            return wrong.concat(others);
        }
    }

    function shorten(path) {
        const characters = Array.from(path);
        return characters.slice(-NAME_LIMIT).join('');
    }

    if (typeof module !== 'undefined') {
        // The tests of it
        module.exports = {
            Aborted, LoggedOut, PACKED_LIMIT, TEXTS, Upload, Wire, pack,
            translator, walk};
    }
    if (typeof Sao === 'undefined') {
        return;
    }

    // --- What a person sees ---------------------------------------------

    const parser = Sao.View.XMLViewParser.prototype;
    const node_attributes = parser._node_attributes;
    parser._node_attributes = function(node) {
        const attributes = node_attributes.call(this, node);
        const widget = node.getAttributeNS(CLIENT, 'widget');
        if (widget && (widget in Sao.View.FormXMLViewParser.WIDGETS)) {
            attributes.widget = widget;
        }
        return attributes;
    };

    const BinaryDicom = Sao.class_(Sao.View.Form.Widget, {
        class_: 'form-binary-dicom',
        expand: true,
        init: function(view, attributes) {
            BinaryDicom._super.init.call(this, view, attributes);
            this.text = translator(Sao.i18n.getlang());
            this.el = jQuery('<div/>', {
                'class': this.class_,
                'role': 'group',
                'aria-label': this.text('list'),
                'name': attributes.name,
            });
            this.rows = new Map();
            this.announced = 0;
            this._make_buttons();
            this._make_progress();
            this._make_table();
            this._listen();
            this.upload = new Upload(
                new Wire(Sao.Session.current_session, Sao.Session.renew),
                this.text, () => this._changed());
        },

        _make_buttons: function() {
            this.zone = jQuery('<div/>', {
                'class': 'panel panel-default panel-body',
            }).css('border-style', 'dashed').appendTo(this.el);
            const group = jQuery('<div/>', {
                'class': 'btn-toolbar',
                'role': 'toolbar',
            }).appendTo(this.zone);
            const input = attributes => jQuery('<input/>', jQuery.extend({
                'type': 'file',
                'multiple': true,
                'tabindex': -1,
                'aria-hidden': true,
            }, attributes)).hide().appendTo(this.zone);
            this.input_files = input({});
            this.input_folder = input({'webkitdirectory': true});
            const button = (name, style, action) => jQuery('<button/>', {
                'class': 'btn btn-sm ' + style,
                'type': 'button',
                'name': name,
            }).text(this.text(name)).click(action).appendTo(group);
            this.but_files = button(
                'files', 'btn-default', () => this.input_files.click());
            this.but_folder = button(
                'folder', 'btn-default', () => this.input_folder.click());
            this.but_send = button('send', 'btn-primary', () => this._run(
                this.upload.start()));
            this.but_cancel = button(
                'cancel', 'btn-danger', () => this.upload.cancel());
            this.but_retry = button('retry', 'btn-primary', () => this._run(
                this.upload.retry()));
            this.but_clear = button('clear', 'btn-link', () => {
                this.upload.clear();
                this.but_files.focus();
            });
            jQuery('<p/>', {
                'class': 'help-block',
            }).css('margin-bottom', 0).text(this.text('drop'))
                .appendTo(this.zone);
            this.labelled = this.but_files;
        },

        _make_progress: function() {
            this.bar = jQuery('<div/>', {
                'class': 'progress-bar',
                'role': 'progressbar',
                'aria-valuemin': 0,
                'aria-valuemax': 100,
                'aria-label': this.text('list'),
            });
            this.progress = jQuery('<div/>', {
                'class': 'progress',
            }).append(this.bar).hide().appendTo(this.el);
            // Changes of what is announced are few, of what is seen many
            this.status = jQuery('<p/>', {
                'class': 'status',
                'aria-hidden': true,
            }).appendTo(this.el);
            this.live = jQuery('<p/>', {
                'class': 'sr-only',
                'role': 'status',
                'aria-live': 'polite',
            }).appendTo(this.el);
        },

        _make_table: function() {
            this.scroll = jQuery('<div/>', {
                'tabindex': 0,
                'role': 'region',
                'aria-label': this.text('list'),
            }).css({
                'max-height': '40vh',
                'overflow': 'auto',
            }).hide().appendTo(this.el);
            const table = jQuery('<table/>', {
                'class': 'table table-condensed',
            }).appendTo(this.scroll);
            const head = jQuery('<tr/>').appendTo(
                jQuery('<thead/>').appendTo(table));
            for (const name of ['name', 'size', 'patient', 'state']) {
                jQuery('<th/>', {'scope': 'col'}).text(this.text(name))
                    .appendTo(head);
            }
            this.body = jQuery('<tbody/>').appendTo(table);
            this.more = jQuery('<p/>', {'class': 'more text-muted'})
                .appendTo(this.scroll);
        },

        _listen: function() {
            for (const input of [this.input_files, this.input_folder]) {
                input.change(() => {
                    this._add(Array.from(input[0].files, file => ({
                        path: file.webkitRelativePath || file.name,
                        file: file})).sort(by_path));
                    // The same may be chosen again
                    input.val('');
                });
            }
            this.el.on('dragover dragenter', event => {
                event.preventDefault();
                event.stopPropagation();
                this.zone.addClass('bg-info');
            });
            this.el.on('dragleave drop', () => {
                this.zone.removeClass('bg-info');
            });
            this.el.on('drop', event => {
                event.preventDefault();
                event.stopPropagation();
                if (!this._readonly) {
                    this._run(this._drop(event.originalEvent.dataTransfer));
                }
            });
        },

        _drop: async function(transfer) {
            // They are gone with the event
            const entries = Array.from(transfer.items || [])
                .filter(item => item.kind === 'file')
                .map(item => item.webkitGetAsEntry());
            if (!entries.length || !entries.every(Boolean)) {
                this._add(Array.from(
                    transfer.files, file => ({path: file.name, file: file})));
                return;
            }
            let found = [];
            for await (const item of walk(entries)) {
                found.push(item);
                if (found.length === BATCH) {
                    this._add(found);
                    found = [];
                }
            }
            this._add(found);
        },

        _add: function(found) {
            this.upload.add(found);
            this._run(this.upload.identify());
        },

        _run: function(promise) {
            promise.catch(error => Sao.Logger.error(
                error.message, error.stack));
        },

        display: function() {
            BinaryDicom._super.display.call(this);
            const record = this.record;
            const field = record && record.model.fields.server_config;
            this.upload.set_server(field && Number(field.get(record)) || null);
            this._changed();
        },

        set_readonly: function(readonly) {
            BinaryDicom._super.set_readonly.call(this, readonly);
            this._changed();
        },

        focus: function() {
            this.but_files.focus();
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
            const upload = this.upload;
            if (this.attached && !this.el[0].isConnected) {
                // The form was closed
                upload.cancel();
                return;
            }
            this.attached = this.el[0].isConnected;
            this._set_value();
            this._render_buttons();
            this._render_progress();
            this._render_rows();
        },

        _render_buttons: function() {
            const upload = this.upload;
            const focused = document.activeElement;
            const busy = upload.busy;
            const some = upload.entries.length > 0;
            this.but_files.prop('disabled', busy || this._readonly);
            this.but_folder.prop('disabled', busy || this._readonly);
            this.but_send.toggle(
                !busy && upload.count('new', 'waiting') > 0 &&
                !upload.packed)
                .prop('disabled', upload.count('new') > 0);
            this.but_cancel.toggle(busy);
            this.but_retry.toggle(!busy && upload.count('failed') > 0);
            this.but_clear.toggle(some && !busy);
            if (this.zone[0].contains(focused) &&
                    jQuery(focused).is(':hidden, :disabled')) {
                // Whoever uses the keyboard is not thrown out
                [this.but_cancel, this.but_retry, this.but_files].find(
                    button => button.is(':visible:enabled')).focus();
            }
        },

        _set_value: function() {
            const record = this.record;
            const value = this.upload.value;
            const key = value && (value.length > 100 ?
                value : new TextDecoder().decode(value));
            if (record && this.field && (key !== (this.key || null))) {
                this.key = key;
                this.field.set_client(record, value);
            }
        },

        _render_progress: function() {
            const upload = this.upload;
            const count = upload.entries.length;
            const percent = Math.floor(100 * upload.progress);
            this.progress.toggle(upload.busy);
            this.bar.css('width', percent + '%')
                .attr('aria-valuenow', percent);
            const told = [];
            if (count) {
                told.push(this.text('total', {
                    count: count,
                    size: Sao.common.humanize(upload.bytes, 'B')}));
                for (const state of [
                        'stored', 'present', 'refused', 'skipped', 'failed']) {
                    if (upload.count(state)) {
                        told.push(this.text('counts', {
                            state: this.text(state),
                            count: upload.count(state)}));
                    }
                }
                if (upload.patients.size > 1) {
                    told.push(this.text(
                        'several', {count: upload.patients.size}));
                }
                told.push(this._advice());
            }
            told.push(upload.problem);
            this._tell(told.filter(Boolean).join('\n'));
        },

        _advice: function() {
            const upload = this.upload;
            if (upload.busy) {
                return this.text('progress', {
                    done: upload.entries.length - upload.count(
                        'new', 'waiting', 'sending'),
                    count: upload.entries.length,
                    percent: Math.floor(100 * upload.progress)});
            }
            if (upload.packed) {
                return this.text('packed');
            }
            if (upload.count('failed')) {
                return this.text('unfinished', {count: upload.left});
            }
            if (upload.count('new')) {
                return this.text('new');
            }
            if (upload.count('waiting')) {
                return this.text('ready');
            }
            return upload.value ? this.text('finished') : '';
        },

        _tell: function(told) {
            if (this.status.text() === told) {
                return;
            }
            this.status.css('white-space', 'pre-line').text(told);
            const now = Date.now();
            if (!this.upload.busy || (now - this.announced > ANNOUNCED)) {
                this.announced = now;
                this.live.text(told);
            }
        },

        _render_rows: function() {
            const entries = this.upload.rows();
            const shown = new Map(entries.map(entry => [
                entry, this.rows.get(entry) || this._make_row(entry)]));
            for (const [entry, row] of this.rows) {
                if (!shown.has(entry)) {
                    row.el.remove();
                }
            }
            let next = this.body[0].firstChild;
            for (const [entry, row] of shown) {
                this._fill_row(row, entry);
                if (row.el === next) {
                    next = next.nextSibling;
                } else {
                    this.body[0].insertBefore(row.el, next);
                }
            }
            this.rows = shown;
            this.scroll.toggle(entries.length > 0);
            const left = this.upload.entries.length - entries.length;
            this.more.text(left ? this.text('more', {count: left}) : '');
        },

        // Names and tags come from elsewhere: they are text, never HTML
        _make_row: function(entry) {
            const el = document.createElement('tr');
            const cells = {};
            for (const name of ['name', 'size', 'patient', 'state']) {
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
        },

        _fill_row: function(row, entry) {
            const set = (cell, text) => {
                if (cell.textContent !== text) {
                    cell.textContent = text;
                }
            };
            const percent = entry.size ?
                Math.floor(100 * entry.loaded / entry.size) : 0;
            set(row.cells.patient, entry.identity || '');
            set(row.cells.state, [
                this.text(entry.state, {percent: percent}), entry.reason,
            ].filter(Boolean).join(': '));
            row.el.dataset.state = entry.state;
            row.el.className = WRONG.has(entry.state) ? 'danger' :
                entry.state === 'skipped' ? 'text-muted' :
                    DONE.has(entry.state) ? 'success' : '';
        },
    });

    Sao.View.Form.BinaryDicom = BinaryDicom;
    Sao.View.FormXMLViewParser.WIDGETS.binary_dicom = BinaryDicom;
}());
