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
import time
import traceback

import gi

gi.require_version('Gtk', '3.0')
from gi.repository import GLib, Gtk  # noqa: E402

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
# Of each step, in seconds
TIMEOUT = 60
INTERVAL = 100


def widgets(kind, parent=None):
    "Return what is shown of a kind, below a widget or anywhere"
    found, waiting = [], [parent] if parent else Gtk.Window.list_toplevels()
    while waiting:
        widget = waiting.pop(0)
        if isinstance(widget, kind) and widget.get_mapped():
            found.append(widget)
        if isinstance(widget, Gtk.Container):
            children = []
            widget.forall(children.append)
            waiting[:0] = children
    return found


def texts():
    "Return all that can be read"
    return [label.get_text() for label in widgets(Gtk.Label)]


def button(label):
    "Return the button with a label, if it can be pressed"
    for widget in widgets(Gtk.Button):
        if label in {
                (widget.get_label() or '').replace('_', ''),
                widget.get_tooltip_text()} and widget.is_sensitive():
            return widget
    return None


def press(label):
    def found():
        widget = button(label)
        if widget:
            # Not from here: what it opens may have a loop of its own
            GLib.idle_add(lambda: widget.clicked() and False)
        return widget
    return found


def enter_password(password):
    def found():
        for entry in widgets(Gtk.Entry):
            if not entry.get_visibility():
                entry.set_text(password)
                entry.activate()
                return True
        return False
    return found


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


class Person:
    "Goes through steps, each a function that is true when it is done"

    def __init__(self, steps):
        self.steps = steps
        self.deadline = time.monotonic() + TIMEOUT

    def act(self):
        try:
            if self.steps[0][1]():
                del self.steps[0]
                self.deadline = time.monotonic() + TIMEOUT
                if not self.steps:
                    return False
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"{self.steps[0][0]}: {texts()}")
        except Exception:
            traceback.print_exc()
            leave(1)
        return True


def leave(code):
    sys.stdout.flush()
    sys.stderr.flush()
    # The client asks before it ends
    os._exit(code)


def finish():
    "Print the list that has a column for the state, and leave"
    if button("Close"):
        for tree in widgets(Gtk.TreeView):
            if {"File", "State"} <= set(headers(tree)):
                print(json.dumps(cells(tree)))
                leave(0)
    return False


def main(host, database, login, password, *files):
    from gnuhealth.config import CONFIG

    sys.argv[1:] = [f'gnuhealth://{host}/{database}/wizard/{WIZARD}']
    from gnuhealth import client
    parse = CONFIG.parse

    def parse_and_be():
        parse()
        CONFIG['login.login'] = login
    CONFIG.parse = parse_and_be
    person = Person([
            ("password", enter_password(password)),
            ("select", press("Select...")),
            ("files", choose(files)),
            ("check", press("Check")),
            ("send", press("Upload")),
            ("end", finish),
            ])
    GLib.timeout_add(INTERVAL, person.act)
    client.main()


if __name__ == '__main__':
    main(*sys.argv[1:])
