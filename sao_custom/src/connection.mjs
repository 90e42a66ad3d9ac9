/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Requests to the upload routes of health_orthanc */

import {MAGIC} from './packing.mjs';

/** The request was aborted. */
export class Aborted extends Error {}

/** The session has expired and was not renewed. */
export class LoggedOut extends Error {}

/** Sends requests in the session of the user, and renews it when needed. */
export class Connection {
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
