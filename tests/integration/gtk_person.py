# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody sees and does in GNU Health's GTK client.

For scripts in the client's process, on the Python that Debian's GTK is for.
"""
import os
import sys
import time
import traceback

import gi

gi.require_version('Gtk', '3.0')
from gi.repository import GLib, Gtk  # noqa: E402

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


def button(label, parent=None):
    "Return the button with a label, if it can be pressed"
    for widget in widgets(Gtk.Button, parent):
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


def use_client(host, database, path, login, password, steps):
    """Log in to the client, and go through steps.

    Parameters
    ----------
    path : str
        What the client opens, such as ``wizard/NAME``.
    steps : list of tuple
        The names of the steps, and functions that are true when they are done.
    """
    from gnuhealth.config import CONFIG

    sys.argv[1:] = [f'gnuhealth://{host}/{database}/{path}']
    from gnuhealth import client
    parse = CONFIG.parse

    def parse_and_be():
        parse()
        CONFIG['login.login'] = login
    CONFIG.parse = parse_and_be
    person = Person([("password", enter_password(password)), *steps])
    GLib.timeout_add(INTERVAL, person.act)
    client.main()
