# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open screens in GNU Health's GTK client, and tell what is cut on them.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_screens.py HOST:PORT DATABASE LOGIN PASSWORD FOLDER SCREEN...``.  A
screen is ``NAME=ACTION``, with the id of an action, or ``NAME=PATH``, like
``model/party.party/1``.  A picture of each is put into the folder, and what is
cut is printed as JSON in the end.
"""
import json
import os
import sys

import gi
from gtk_person import Gtk, button, leave, texts, use_client, widgets

gi.require_version('Gdk', '3.0')
from gi.repository import Gdk  # noqa: E402

# How often the same has to be shown until it is taken for all there is
QUIET = 8
# And if nothing has come at all
SLOW = 150


def take_picture(path):
    "Store what the screen shows"
    root = Gdk.get_default_root_window()
    picture = Gdk.pixbuf_get_from_window(
        root, 0, 0, root.get_width(), root.get_height())
    picture.savev(path, 'png', [], [])


def front():
    "Return the window that everything else waits for"
    dialogs = [
        window for window in widgets(Gtk.Window)
        if window.get_modal() or isinstance(window, Gtk.Dialog)]
    if dialogs:
        return dialogs[-1]
    return max(widgets(Gtk.Window), key=lambda w: w.get_allocated_width())


def place(widget, window):
    return widget.translate_coordinates(window, 0, 0) or (0, 0)


def faults():
    "Return what a person cannot read of the window in front"
    window, found = front(), []
    for label in widgets(Gtk.Label, window):
        if label.get_layout().is_ellipsized():
            found.append(f'cut: {label.get_text()}')
    width = Gdk.get_default_root_window().get_width()
    if window.get_allocated_width() > width:
        found.append(f'window of {window.get_allocated_width()}')
    for widget in widgets(Gtk.Button, window):
        x, _ = place(widget, window)
        if x + widget.get_allocated_width() > window.get_allocated_width():
            found.append('button off-screen: ' + (
                    widget.get_label() or widget.get_tooltip_text() or '?'))
    for tree in widgets(Gtk.TreeView, window):
        adjustment = tree.get_hadjustment()
        if adjustment and adjustment.get_upper() > (
                adjustment.get_page_size() + 1):
            found.append(
                f'list of {adjustment.get_upper():.0f} in '
                f'{adjustment.get_page_size():.0f}')
    return sorted(set(found))


class Screens:
    "Opens one after the other"

    def __init__(self, folder, screens):
        self.folder = folder
        self.screens = [screen.split('=', 1) for screen in screens]
        self.found = {}
        self.before = self.shown = None
        self.same = 0

    def steps(self):
        yield "menu", self.is_quiet
        yield "window", self.fill_screen
        for name, what in self.screens:
            yield f"open {name}", lambda what=what: self.open(what)
            yield f"see {name}", self.is_quiet
            yield f"look at {name}", lambda name=name: self.look(name)
            yield f"leave {name}", self.close
        yield "end", self.end

    def is_quiet(self):
        shown = texts(), len(widgets(Gtk.Widget))
        self.same = self.same + 1 if shown == self.shown else 0
        self.shown = shown
        # What is open already changes nothing
        return self.same >= (QUIET if shown != self.before else SLOW)

    def fill_screen(self):
        "Do what a window manager would"
        root = Gdk.get_default_root_window()
        for window in widgets(Gtk.Window):
            window.move(0, 0)
            window.resize(root.get_width(), root.get_height())
        return True

    def open(self, what):
        from gnuhealth.action import Action
        from gnuhealth.gui import Main
        self.before, self.same = self.shown, 0
        if what.isdigit():
            Action.execute(int(what), {})
        else:
            host, database = sys.argv[1].split('//')[1].split('/')[:2]
            Main().open_url(f'gnuhealth://{host}/{database}/{what}')
        return True

    def look(self, name):
        take_picture(os.path.join(self.folder, f'{name}.png'))
        self.found[name] = {'faults': faults(), 'texts': texts()}
        return True

    def close(self):
        from gnuhealth.gui import Main
        if not widgets(Gtk.Window):
            # Between two of them
            return False
        window = front()
        if isinstance(window, Gtk.Dialog):
            leaving = next(
                filter(None, (
                        button(label, window)
                        for label in ["Cancel", "Close", "OK"])), None)
            if leaving:
                leaving.clicked()
            return False
        if Main().pages:
            Main().sig_win_close()
            return False
        return True

    def end(self):
        print(json.dumps(self.found))
        leave(0)


def main(host, database, login, password, folder, *screens):
    use_client(
        host, database, '', login, password,
        list(Screens(folder, screens).steps()))


if __name__ == '__main__':
    main(*sys.argv[1:])
