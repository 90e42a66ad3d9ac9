# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open screens in GNU Health's GTK client, and tell what is cut on them.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_screens.py HOST:PORT DATABASE LOGIN PASSWORD FOLDER SCREEN...``.  A
screen is ``NAME=ACTION=TEXT``, with the id of an action, or a path in place of
it, like ``model/party.party/1``; it is there when the text is.  A picture of
each is put into the folder, and what is cut is printed as JSON in the end.
"""
import json
import os
import sys

import gi
from gtk_hands import front, later
from gtk_person import Gtk, button, leave, texts, use_client, widgets

gi.require_version('Gdk', '3.0')
from gi.repository import Gdk  # noqa: E402

# How often the same has to be shown until it is taken for all there is
QUIET = 8
# Columns with what somebody has written, of any length
FREE_TEXTS = {"Comment", "Description", "Status", "Study"}
# What stands before a name as the images have it, in several scripts
IN_IMAGES = "Images: "


def keep_on_screen():
    """Move a dialog as a window manager would; return whether none was moved.
    """
    window = front()
    x, y = window.get_position()
    if min(x, y) < 0:
        window.move(max(x, 0), max(y, 0))
        return False
    return True


def take_picture(path):
    "Store what the screen shows"
    root = Gdk.get_default_root_window()
    picture = Gdk.pixbuf_get_from_window(
        root, 0, 0, root.get_width(), root.get_height())
    picture.savev(path, 'png', [], [])


class Stillness:
    """Tells whether the same is shown for some time."""

    def __init__(self):
        self.shown = None
        self.same = 0

    def __call__(self):
        shown = texts(), len(widgets(Gtk.Widget))
        self.same = self.same + 1 if shown == self.shown else 0
        self.shown = shown
        return self.same >= QUIET


is_still = Stillness()


def prepare_screen():
    """Do what a window manager would, and take the pointer away.

    Where it stands is a help text otherwise.
    """
    root = Gdk.get_default_root_window()
    for window in widgets(Gtk.Window):
        window.move(0, 0)
        window.resize(root.get_width(), root.get_height())
    display = Gdk.Display.get_default()
    display.get_default_seat().get_pointer().warp(
        display.get_default_screen(), root.get_width() - 1,
        root.get_height() - 1)
    return True


def place(widget, window):
    return widget.translate_coordinates(window, 0, 0) or (0, 0)


def faults():
    "Return what a person cannot read of the window in front"
    window, found = front(), []
    for label in widgets(Gtk.Label, window):
        if label.get_layout().is_ellipsized():
            found.append(f'cut: {label.get_text()}')
    root = Gdk.get_default_root_window()
    width, height = window.get_size()
    if width > root.get_width() or height > root.get_height():
        found.append(f'window of {width} × {height}')
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
        if tree.get_headers_visible():
            found += cut_cells(tree)
    return sorted(set(found))


def cut_cells(tree):
    "Return what does not fit into the columns of a list"
    found, visible = [], tree.get_visible_range()
    if not visible:
        return found
    first, last = [path.get_indices()[0] for path in visible]
    for row in list(tree.get_model())[first:last + 1]:
        for column in tree.get_columns():
            titles = {
                label.get_text() for label in widgets(
                    Gtk.Label, column.get_button())}
            if not column.get_visible() or titles & FREE_TEXTS:
                continue
            column.cell_set_cell_data(
                tree.get_model(), row.iter, False, False)
            cells = [
                cell for cell in column.get_cells()
                if isinstance(cell, Gtk.CellRendererText)
                and cell.get_property('visible')]
            for cell in cells:
                cell.set_property('text', '\n'.join(
                        line for line in
                        (cell.get_property('text') or '').split('\n')
                        if not line.startswith(IN_IMAGES)))
            width = sum(cell.get_preferred_width(tree)[1] for cell in cells)
            if width > column.get_width():
                found.append(
                    f'{titles} cut: {cells[-1].get_property("text")} '
                    f'({width} in {column.get_width()})')
    return found


class Screens:
    "Opens one after the other"

    def __init__(self, folder, screens):
        self.folder = folder
        self.screens = [screen.split('=') for screen in screens]
        self.found = {}
        self.leaving = None

    def steps(self):
        yield "menu", is_still
        yield "window", prepare_screen
        for name, what, text in self.screens:
            yield f"open {name}", lambda what=what: self.open(what)
            yield f"see {name}", lambda text=text: text in texts()
            yield f"see all of {name}", is_still
            yield f"look at {name}", lambda name=name: self.look(name)
            yield f"leave {name}", self.close
        yield "end", self.end

    def open(self, what):
        from gnuhealth.action import Action
        from gnuhealth.gui import Main
        if what.isdigit():
            Action.execute(int(what), {})
        else:
            host, database = sys.argv[1].split('//')[1].split('/')[:2]
            Main().open_url(f'gnuhealth://{host}/{database}/{what}')
        return True

    def look(self, name):
        if not keep_on_screen():
            return False
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
            # Once: twice is an error
            if window is not self.leaving:
                leaving = next(
                    filter(None, (
                            button(label, window)
                            for label in ["Cancel", "Close", "OK"])), None)
                if leaving:
                    self.leaving = window
                    later(leaving.clicked)
            return False
        self.leaving = None
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
