/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The progress bar and the status text */

import {describe_status} from './status_text.mjs';

// Milliseconds between two announcements of a screen reader
const ANNOUNCED = 5000;

/** Shows how far an upload is, also to people who use a screen reader. */
export class StatusPanel {
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
