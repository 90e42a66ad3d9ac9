/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Styles, for there is no custom.css */

const added = new Set();

/** Add a style to the page, once. */
export function add_style(name, text) {
    if (!added.has(name)) {
        added.add(name);
        jQuery('<style/>').text(text).appendTo('head');
    }
}
