/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The widget `binary_dicom` of forms */

import {Connection} from '../connection.mjs';
import {read_dropped} from '../folders.mjs';
import {translator} from '../translator.mjs';
import {Upload} from '../upload.mjs';
import {StatusPanel} from './status.mjs';
import {FileTable} from './table.mjs';
import {Toolbar} from './toolbar.mjs';

// Milliseconds between two renderings
const RENDERED = 100;

/** Return the class of the widget; SAO must have been loaded. */
export function make_widget() {
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
