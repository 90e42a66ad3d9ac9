# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload files in GNU Health's GTK client, by its own widgets.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_upload.py HOST:PORT DATABASE LOGIN PASSWORD FILE...``.  The files are all
that are in their folder.  It prints the rows of the last page as JSON.
"""
import json
import os
import sys

from gtk_person import Gtk, button, leave, press, use_client, widgets

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'


def choose(files):
    "Choose all files of a folder in the dialog, when it has read that"
    folder = os.path.dirname(files[0])

    def chosen():
        for chooser in widgets(Gtk.FileChooserDialog):
            if chooser.get_current_folder() != folder:
                chooser.set_current_folder(folder)
                return False
            chooser.select_all()
            if set(chooser.get_filenames()) == set(files):
                chooser.response(Gtk.ResponseType.ACCEPT)
                return True
        return False
    return chosen


def headers(tree):
    return [
        label.get_text() for column in tree.get_columns()
        if column.get_button() for label in widgets(
            Gtk.Label, column.get_button())]


def cells(tree):
    "Return what the columns of a list show"
    model, shown = tree.get_model(), []
    for row in model:
        line = []
        for column in tree.get_columns():
            column.cell_set_cell_data(model, row.iter, False, False)
            line.append([
                    cell.get_property('text') for cell in column.get_cells()
                    if isinstance(cell, Gtk.CellRendererText)])
        shown.append([text for cell in line for text in cell if text])
    return shown


def finish():
    "Print the list that has a column for the state, and leave"
    if button("Close"):
        for tree in widgets(Gtk.TreeView):
            if {"File", "State"} <= set(headers(tree)):
                print(json.dumps(cells(tree)))
                leave(0)
    return False


def main(host, database, login, password, *files):
    use_client(host, database, f'wizard/{WIZARD}', login, password, [
            ("select", press("Select...")),
            ("files", choose(files)),
            ("check", press("Check")),
            ("send", press("Upload")),
            ("end", finish),
            ])


if __name__ == '__main__':
    main(*sys.argv[1:])
