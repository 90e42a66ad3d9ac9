# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do a daily job in GNU Health's GTK client.

Runs in the client's process, on the Python that Debian's GTK is for:
``gtk_walks.py HOST:PORT DATABASE LOGIN PASSWORD FOLDER JOB VALUE...``.
Pictures of the screens go to the folder, named after the job.
"""
import os
import re
import sys

from gtk_hands import (
    add_record, choose, choose_record, enter, menu, message, open_row, page,
    press, press_in_row, row, search, shows, tab)
from gtk_person import Gtk, button, leave, use_client, widgets
from gtk_screens import is_still, keep_on_screen, prepare_screen, take_picture
from gtk_upload import choose as choose_files

IMAGING = ["Health", "Medical Imaging"]
ORTHANC = [*IMAGING, "Orthanc"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]
REVIEWED = 3


def position(number):
    def shown():
        return any(
            re.match(rf'{number} of ', entry.get_text())
            for entry in widgets(Gtk.Entry))
    return shown


def no_dialog():
    return not any(
        isinstance(window, Gtk.Dialog) for window in widgets(Gtk.Window))


def order():
    yield menu(*IMAGING, "Medical Imaging - New order")
    yield choose("Patient", "Esimerkki")
    yield choose_record("Esimerkki, Aki")
    yield add_record("CT of the Head")
    yield choose_record("CT of the Head")
    yield shows("CT of the Head")
    yield 'form'
    yield press("Request")
    yield lambda: button("Request Now")
    yield 'question'
    yield press("Request Now")
    yield shows("Esimerkki, Aki", "CT of the Head", "On the worklist")


def on_worklist():
    yield menu(*ORTHANC, "Scheduled Steps")
    yield shows("Esimerkki, Aki", "CT of the Head", "DEMO-CT", "Scheduled")


def today():
    yield menu(*ORTHANC, "Studies")
    yield shows("Muster, Erika")
    yield shows("Ejemplo Núñez, Juan José")
    yield lambda: not row("Παράδειγμα")


def last_study(address):
    yield menu("Health", "Patients")
    yield message("Patients")
    yield search("Ejemplo")
    yield open_row("Ejemplo")
    yield 'patient'
    yield page("Studies")
    yield shows("CR Chest")
    yield 'studies'
    yield press_in_row("View", "CR Chest")
    yield lambda: os.path.exists(address)


def view_from_list(address):
    yield menu(*ORTHANC, "Linked Studies")
    yield message("Linked Studies")
    yield search("Ejemplo")
    yield press_in_row("View", "Ejemplo")
    yield lambda: os.path.exists(address)


def review():
    yield menu(*ORTHANC, "Review")
    for number in range(1, REVIEWED + 1):
        yield position(number)
        if number == 1:
            yield 'first'
        yield press("Confirm")
    yield position(REVIEWED + 1)
    yield press("Close")
    yield no_dialog


def upload(*files):
    yield menu(*ORTHANC, "Upload Images")
    yield choose("Patient", "Παράδειγμα")
    yield choose_record("Παράδειγμα")
    yield press("Select...")
    yield choose_files(files)
    yield press("Check")
    yield shows("Matches")
    yield 'check'
    yield press("Upload")
    yield shows("Stored")
    yield shows("Παράδειγμα")
    yield 'linked'
    yield press("Close")
    yield no_dialog


def reject():
    yield menu(*ORTHANC, "Scheduled Steps")
    yield open_row("Chest X-ray", "Scheduled")
    yield press("Reject")
    yield enter("Reason", "The patient moved")
    yield 'reason'
    yield press("Reject and Order Again")
    yield no_dialog
    yield message("Requested")


def add_server(port, user, password):
    yield menu(*CONFIGURATION, "Add Orthanc Server")
    for scheme in ['https', 'http']:
        yield enter("Label", "Second")
        yield enter("URL", f'{scheme}://localhost:{port}')
        yield enter("User", user)
        yield enter("Password", password)
        yield press("Begin")
        if scheme == 'https':
            yield message('http://')
            yield 'https'
            yield press("Back")
    yield message("was added")
    yield 'added'
    yield press("Close")
    yield no_dialog


def why_unlinked():
    yield menu(*ORTHANC, "To Review")
    yield tab("Unlinked")
    yield shows(
        "Irrtum, Otto", "Contradiction", "09/09/1999", "Esimerkki",
        "07/01/1986")


def why_not_on_worklist():
    yield menu(*ORTHANC, "Scheduled Steps")
    yield shows("Bone Scan", "Fill in: Station AE Title")


JOBS = {
    job.__name__: job for job in [
        order, on_worklist, today, last_study, view_from_list, review, upload,
        reject, add_server, why_unlinked, why_not_on_worklist]}


def main(host, database, login, password, folder, name, *values):
    def look(screen):
        def looked():
            if is_still() and keep_on_screen():
                take_picture(os.path.join(folder, f'{name}-{screen}.png'))
                return True
            return False
        return looked
    steps = [("menu", is_still), ("window", prepare_screen)]
    for number, step in enumerate(JOBS[name](*values)):
        steps.append((
                f'{name} {number}',
                look(step) if isinstance(step, str) else step))
    steps += [("end", look('end')), ("leave", lambda: leave(0))]
    use_client(host, database, '', login, password, steps)


if __name__ == '__main__':
    main(*sys.argv[1:])
