/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* What nobody could read, or find by keyboard, in SAO's own style */

import {add_style} from './style.mjs';

const RULES = [
    // Long names in the menu and above columns are cut, those of German and
    // French first of all
    '#menu .treeview .column-char { white-space: normal; }',
    'table.tree th label { overflow-wrap: anywhere; white-space: normal; }',
    // and in forms and boards take more room than what is below
    '.treeview > table.tree > thead > tr > th > label { padding: 0; }',
    'table.tree th label > img[src=""] { display: none; }',
    // Nor do names of buttons in lists break
    '.treeview td .btn { white-space: normal; }',
    // More tabs above a list than fit, for each keeps room for a number
    '.tab-form .tab-domain > .nav-tabs > li > a { padding: 10px 8px; }',
    '.tab-form .tab-domain .badge { min-width: 0; }',
    // Nothing shows that the keyboard is at them
    'input[type="checkbox"]:focus-visible {' +
        ' outline: 2px solid #00496b !important; outline-offset: 2px; }',
    // From right to left the arrow covers the first letters of a selection,
    // and the squares of a legend its words
    'html[dir="rtl"] select, html[dir="rtl"] select.form-control {' +
        ' background-position: left center; padding-left: 16px; }',
    '[dir="rtl"] .c3 { direction: ltr; }',
    // and the buttons of an upload stand at the other side
    '[dir="rtl"] .form-binary-dicom .btn-toolbar > .btn { float: right; }',
    // DICOM is written from left to right
    '[dir="rtl"] textarea[name="worklist_text"] {' +
        ' direction: ltr; text-align: left; }',
];

/** Add our rules to the style of the page. */
export function make_readable() {
    add_style('readable', RULES.join('\n'));
}
