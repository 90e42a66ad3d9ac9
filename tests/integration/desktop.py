# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screens and the daily jobs in GNU Health's GTK client.

Run as a module, this starts a demo of its own, opens the main screens of each
role in the client and does the daily jobs in it, under a screen of 1366 × 768
that nobody sees.  It puts pictures into a folder, and prints what is cut, and
which jobs could not be done, as JSON.
"""
import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proteus import Model

from devtools import gtk
from devtools.demo import DATABASE, Demo, say
from devtools.hospital import record_id
from devtools.process import stopping_on_signals
from devtools.testing import cache_folder
from devtools.tryton import PASSWORD

from ..browser.walk_throughs import Hospital, prepare

__all__ = ['JOBS', 'Desktop', 'Job', 'SCREENS', 'Screen', 'main']

FOLDER = Path(__file__).parent
TIMEOUT = 600
STUDY = 'gnuhealth.imaging_orthanc.study'
REVIEW = 'gnuhealth.imaging_orthanc.review'
UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
NEW_ORDER = 'gnuhealth.patient.imaging.test.request'
ADD_SERVER = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
# In place at once, for the client's script waits for it
BROWSER = """\
#!/bin/sh
printf '%s' "$1" > {file}.part && mv {file}.part {file}
"""


@dataclass(frozen=True)
class Screen:
    """A screen of a role.

    Attributes
    ----------
    path
        The id of an action, a wizard, or a record: ``model/NAME/ID``.
    text
        One that is on it.
    """
    name: str
    path: str
    text: str


@dataclass(frozen=True)
class Job:
    """One of the daily jobs, as gtk_walks.py calls it."""
    name: str
    role: str


SCREENS = {
    'physician': [
        Screen('orders', 'act_my_orders', "Draft"),
        Screen('linked', 'act_study_linked', "Linked"),
        Screen('patient', 'model/gnuhealth.patient/1', "PUID:"),
        Screen('new-order', f'wizard/{NEW_ORDER}', "Patient:"),
        ],
    'radiographer': [
        Screen('steps', 'act_step_form', "Rejected"),
        Screen(
            'step', 'model/gnuhealth.imaging.procedure.step/1', "Progress"),
        ],
    'clerk': [
        Screen('studies', 'act_study_form', "Missing"),
        Screen('to-review', 'act_study_review', "To Review"),
        Screen('study', f'model/{STUDY}/1', "Series"),
        Screen('review', f'wizard/{REVIEW}', "Comparison"),
        Screen('upload', f'wizard/{UPLOAD}', "Server:"),
        ],
    'administrator': [
        Screen('servers', 'act_server_form', "Servers"),
        Screen('server', 'model/gnuhealth.orthanc.config/1',
            "Synchronization"),
        Screen('add-server', f'wizard/{ADD_SERVER}', "Password:"),
        Screen('matching', 'act_matching_configuration_form',
            "Minimum Score:"),
        ],
    }
JOBS = [
    Job('order', 'physician'),
    Job('on_worklist', 'radiographer'),
    Job('today', 'clerk'),
    Job('last_study', 'physician'),
    Job('view_from_list', 'physician'),
    Job('review', 'clerk'),
    Job('upload', 'clerk'),
    Job('reject', 'radiographer'),
    Job('why_unlinked', 'clerk'),
    Job('why_not_on_worklist', 'radiographer'),
    # With two servers, uploads have to choose one
    Job('add_server', 'administrator'),
    ]


class Desktop:
    """The client, for whoever uses a demo.

    Parameters
    ----------
    place
        The demo, and what the jobs need in it.
    pictures
        The folder for the pictures.
    """

    def __init__(self, place: Hospital, pictures: Path):
        self._place = place
        self._demo = place.demo
        self._pictures = pictures
        self._client = gtk.install(cache_folder())

    def _drive(
            self, login: str, script: str, *arguments: str,
            **variables: str) -> str:
        with tempfile.TemporaryDirectory() as home:
            return gtk.drive(
                self._client, Path(home), FOLDER / script, [
                    self._demo.server.url.removeprefix('http://'), DATABASE,
                    login, PASSWORD, str(self._pictures), *arguments],
                TIMEOUT, **variables)

    def open_screens(self, login: str) -> dict[str, dict]:
        """Open the screens of a role.

        Returns
        -------
        dict
            For each screen its ``texts``, and its ``faults``.
        """
        shown = self._drive(login, 'gtk_screens.py', *(
                f'{screen.name}={self._action(login, screen.path)}='
                f'{screen.text}' for screen in SCREENS[login]))
        found: dict[str, dict] = json.loads(shown.splitlines()[-1])
        return found

    def _action(self, login: str, path: str) -> str:
        "Return the id of an action that a role may use, or the path"
        kind, _, name = path.partition('/')
        if kind == 'model':
            return path
        if kind == 'wizard':
            self._demo.server.connect(login)
            found, = Model.get('ir.action.wizard').find([
                    ('wiz_name', '=', name), ('model', '=', None)])
        else:
            self._demo.server.connect()
            id_ = record_id(f'health_orthanc.{path}')
            self._demo.server.connect(login)
            found = Model.get('ir.action.act_window')(id_)
        return str(found.action.id)

    def do(self, job: Job, **variables: str) -> None:
        """Do a job.

        Parameters
        ----------
        variables
            Of the environment of the client.

        Raises
        ------
        AssertionError
            It does not come to its end.
        """
        with tempfile.TemporaryDirectory() as name:
            address = Path(name, 'address')
            program = Path(name, 'browser')
            program.write_text(BROWSER.format(file=address))
            program.chmod(0o700)
            self._drive(
                job.role, 'gtk_walks.py', job.name,
                *self._values(job, address), BROWSER=str(program),
                **variables)

    def _values(self, job: Job, address: Path) -> Sequence[str]:
        "Return what a job is given"
        orthanc = self._demo.orthanc
        assert orthanc
        values: dict[str, Sequence[str]] = {
            'last_study': [str(address)],
            'view_from_list': [str(address)],
            'upload': sorted(map(str, self._place.disc.iterdir())),
            'add_server': [
                str(orthanc.port), orthanc.user or '',
                orthanc.password or ''],
            }
        return values.get(job.name, [])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev desktop-screens', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help="where the pictures go to")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    faults: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name, \
            Demo(Path(name, 'demo'), use_postgresql=False) as demo:
        demo.start()
        desktop = Desktop(
            prepare(demo, Path(name)), options.folder.resolve())
        for login in SCREENS:
            say(login)
            for screen, found in desktop.open_screens(login).items():
                if found['faults']:
                    faults[screen] = found['faults']
        for job in JOBS:
            say(job.name)
            try:
                desktop.do(job)
            except AssertionError as error:
                faults[job.name] = str(error).splitlines()[-1]
    print(json.dumps(faults, indent=4, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
