/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* The widget `binary_dicom` for Tryton's web client: it sends many files,
   folders and archives one by one to the upload routes of health_orthanc.
   Images are opened with one click from lists, too, some columns show
   several lines, templates are shown as code, the names in the menu are
   whole, and a dialog that closes gives the keyboard back to where it was.

   The file lies beside the client's `index.html`; doc/uploads.md describes
   how to install it. */

import {Aborted, Connection, LoggedOut} from './connection.mjs';
import {PACKED_LIMIT} from './sender.mjs';
import {Upload} from './upload.mjs';
import {make_widget} from './widget/binary_dicom.mjs';
import {fit_boards} from './widget/board.mjs';
import {open_at_working_hours} from './widget/calendar.mjs';
import {show_code} from './widget/code.mjs';
import {explain_empty_lists} from './widget/empty_list.mjs';
import {hold_focus} from './widget/focus.mjs';
import {show_lines} from './widget/lines.mjs';
import {read_namespace} from './widget/namespace.mjs';
import {make_readable} from './widget/readable.mjs';
import {view_with_one_click} from './widget/view_button.mjs';

if (typeof module !== 'undefined') {
    // For the tests, which run without a browser
    module.exports = {Aborted, Connection, LoggedOut, PACKED_LIMIT, Upload};
}

if (typeof Sao !== 'undefined') {
    read_namespace();
    show_lines();
    show_code();
    open_at_working_hours();
    fit_boards();
    explain_empty_lists();
    view_with_one_click();
    hold_focus();
    make_readable();
    Sao.View.Form.BinaryDicom = make_widget();
    Sao.View.FormXMLViewParser.WIDGETS.binary_dicom =
        Sao.View.Form.BinaryDicom;
}
