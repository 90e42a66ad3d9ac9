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

from gtk_hands import cells, headers
from gtk_person import Gtk, button, leave, press, use_client, widgets

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'


def choose(files):
    "Choose all files of a folder in the dialog, when it has read that"
    folder = os.path.dirname(files[0])

    def chosen():
        for chooser in widgets(Gtk.FileChooserDialog):
            # Those of a disc have no suffix
            chooser.set_filter(next(
                    filter_ for filter_ in chooser.list_filters()
                    if filter_.get_name() == "All files"))
            if chooser.get_current_folder() != folder:
                chooser.set_current_folder(folder)
                return False
            chooser.select_all()
            if set(chooser.get_filenames()) == set(files):
                chooser.response(Gtk.ResponseType.ACCEPT)
                return True
        return False
    return chosen


def finish():
    "Print the list that has a column for the state, and leave"
    if button("Close"):
        for tree in widgets(Gtk.TreeView):
            if {"File", "State"} <= set(headers(tree)):
                print(json.dumps([
                            list(filter(None, cells(tree, row.iter)))
                            for row in tree.get_model()]))
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
