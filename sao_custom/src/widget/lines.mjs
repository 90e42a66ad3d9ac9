/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Columns of lists that show all lines of a text */

/** Break the lines of texts in columns that a view marks so.

    SAO shows them as one line, and cuts its end. */
export function show_lines() {
    const columns = Object.values(Sao.View.TreeXMLViewParser.WIDGETS);
    for (const column of new Set(columns)) {
        const get_cell = column.prototype.get_cell;
        column.prototype.get_cell = function(...args) {
            const cell = get_cell.apply(this, args);
            if (this.attributes.lines) {
                cell.css('overflow-wrap', 'anywhere');
                cell.css('white-space', 'pre-line');
            }
            return cell;
        };
    }
}
