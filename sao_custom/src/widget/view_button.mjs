/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The button *View* in the rows of a list */

const NAMES = ['view_images'];

/** Press our button with the first click.

    SAO only selects the row if it was not selected before. */
export function view_with_one_click() {
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
