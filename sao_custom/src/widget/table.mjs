/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The table of the selected files */

import {ERRORS} from '../selected_files.mjs';
import {shorten} from '../transfer.mjs';

const COLUMNS = ['name', 'size', 'patient', 'state'];

// Bootstrap's class of a row
function row_class(state) {
    if (ERRORS.has(state)) {
        return 'danger';
    }
    return state === 'received' ? 'success' : '';
}

/** Lists files, or some of them if there are many. */
export class FileTable {
    /**
     * @param {function} text - returned by `translator`
     * @param {jQuery} parent
     */
    constructor(text, parent) {
        this.text = text;
        // Rows by entry
        this.rows = new Map();
        this.scroll = jQuery('<div/>', {
            'tabindex': 0,
            'role': 'region',
            'aria-label': text('list'),
        }).css({
            'max-height': '40vh',
            'overflow': 'auto',
        }).hide().appendTo(parent);
        const table = jQuery('<table/>', {
            'class': 'table table-condensed',
        }).appendTo(this.scroll);
        const head = jQuery('<tr/>').appendTo(
            jQuery('<thead/>').appendTo(table));
        for (const name of COLUMNS) {
            jQuery('<th/>', {'scope': 'col'}).text(text(name)).appendTo(head);
        }
        this.body = jQuery('<tbody/>').appendTo(table);
        this.more = jQuery('<p/>', {'class': 'more'})
            .appendTo(this.scroll);
    }

    /** Show the files, changing no more of the page than needed. */
    update(files) {
        const entries = files.listed();
        const rows = new Map(entries.map(entry => [
            entry, this.rows.get(entry) || this._make_row(entry)]));
        for (const [entry, row] of this.rows) {
            if (!rows.has(entry)) {
                row.el.remove();
            }
        }
        let next = this.body[0].firstChild;
        for (const [entry, row] of rows) {
            this._fill_row(row, entry);
            if (row.el === next) {
                next = next.nextSibling;
            } else {
                this.body[0].insertBefore(row.el, next);
            }
        }
        this.rows = rows;
        this.scroll.toggle(entries.length > 0);
        const left = files.entries.length - entries.length;
        this.more.text(left ? this.text('more', {count: left}) : '');
    }

    // Names and tags come from other people: they are text, never HTML
    _make_row(entry) {
        const el = document.createElement('tr');
        const cells = {};
        for (const name of COLUMNS) {
            cells[name] = document.createElement(
                name === 'name' ? 'th' : 'td');
            el.appendChild(cells[name]);
        }
        cells.name.scope = 'row';
        cells.name.style.wordBreak = 'break-all';
        cells.name.style.fontWeight = 'normal';
        cells.name.textContent = shorten(entry.path);
        cells.size.textContent = Sao.common.humanize(entry.size, 'B');
        cells.size.style.whiteSpace = 'nowrap';
        return {el: el, cells: cells};
    }

    _fill_row({el, cells}, entry) {
        const set = (cell, text) => {
            if (cell.textContent !== text) {
                cell.textContent = text;
            }
        };
        const percent = entry.size ?
            Math.floor(100 * entry.loaded / entry.size) : 0;
        set(cells.patient, entry.identity || '');
        set(cells.state, [
            this.text(entry.state, {percent: percent}), entry.reason,
        ].filter(Boolean).join(': '));
        el.dataset.state = entry.state;
        el.className = row_class(entry.state);
    }
}
