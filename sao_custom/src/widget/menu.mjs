/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The menu at the left */

// SAO cuts long names, which are those of German and French first of all
const WHOLE = '#menu .treeview .column-char { white-space: normal; }';

/** Break long names in the menu, so that they can be read. */
export function show_whole_menu() {
    jQuery('<style/>').text(WHOLE).appendTo('head');
}
