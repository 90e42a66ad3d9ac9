/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The zone with the buttons, on which files are dropped */

import {list_selected} from '../folders.mjs';

/** The buttons, and the inputs that open the browser's file dialogs. */
export class Toolbar {
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
