# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirm the first study of the review in GNU Health's GTK client.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_review.py HOST:PORT DATABASE LOGIN PASSWORD``.
"""
import re
import sys

from gtk_person import Gtk, button, leave, press, use_client, widgets

WIZARD = 'gnuhealth.imaging_orthanc.review'


def position():
    "Return which study of how many is shown"
    found = [
        entry.get_text() for entry in widgets(Gtk.Entry)
        if re.fullmatch(r'\d+ of \d+', entry.get_text())]
    return found[0] if found else ''


def end():
    if position().startswith('1 of ') or not button("Close"):
        return False
    leave(0)


def main(host, database, login, password):
    use_client(host, database, f'wizard/{WIZARD}', login, password, [
            ("first", lambda: position().startswith('1 of ')),
            ("confirm", press("Confirm")),
            ("next", end),
            ])


if __name__ == '__main__':
    main(*sys.argv[1:])
