/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Where the keyboard was before a dialog opened */

/** Give the focus back when the dialog of a wizard closes.

    SAO leaves it nowhere: whoever uses the keyboard alone would have to
    begin at the top of the page. */
export function return_focus() {
    const dialog = Sao.Wizard.Dialog.prototype;
    const {init, destroy} = dialog;
    dialog.init = function(...args) {
        this.opener = document.activeElement;
        init.apply(this, args);
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
