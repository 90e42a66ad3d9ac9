/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Where the keyboard is while a dialog is open, and afterwards */

const CONTROLS = 'input, select, textarea, button, a[href], [tabindex]';

/** Keep the focus in the dialog of a wizard, and give it back at the end.

    In SAO it leaves the dialog behind the last button, where Escape does
    nothing, and when the dialog closes it is nowhere: whoever uses no mouse
    would have to begin at the top of the page. */
export function hold_focus() {
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
