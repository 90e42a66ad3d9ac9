/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Columns of lists that show all lines of a text */

import {add_style} from './style.mjs';

const LINES_CLASS = 'health-orthanc-lines';
// What stands beside a text goes below it rather than breaking its words
const LINES_STYLE =
    `.treeview .cell:has(.${LINES_CLASS}) { flex-wrap: wrap; }`;

/** Break the lines of texts in columns that a view marks so.

    SAO shows them as one line, and cuts its end. */
export function show_lines() {
    const columns = Object.values(Sao.View.TreeXMLViewParser.WIDGETS);
    for (const column of new Set(columns)) {
        const get_cell = column.prototype.get_cell;
        column.prototype.get_cell = function(...args) {
            const cell = get_cell.apply(this, args);
            if (this.attributes.lines) {
                add_style('lines', LINES_STYLE);
                cell.addClass(LINES_CLASS);
                cell.css('overflow-wrap', 'anywhere');
                cell.css('white-space', 'pre-line');
            }
            return cell;
        };
    }
}
