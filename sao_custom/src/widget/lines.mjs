/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Columns of lists that show all lines of a text */

/** Break the lines of texts in columns that a view marks so.

    SAO shows them as one line, and cuts its end. */
export function show_lines() {
    const column = Sao.View.Tree.TextColum.prototype;
    const get_cell = column.get_cell;
    column.get_cell = function() {
        const cell = get_cell.call(this);
        if (this.attributes.lines) {
            cell.css('white-space', 'pre-line');
        }
        return cell;
    };
}
