# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screens of the daily jobs in GNU Health's GTK client."""
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proteus import Model

from devtools import gtk
from devtools.demo import DATABASE, Demo
from devtools.hospital import record_id
from devtools.testing import cache_folder
from devtools.tryton import PASSWORD

pytestmark = pytest.mark.release

FOLDER = Path(__file__).parent
TIMEOUT = 600
STUDY = 'gnuhealth.imaging_orthanc.study'
REVIEW = 'gnuhealth.imaging_orthanc.review'
UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
NEW_ORDER = 'gnuhealth.patient.imaging.test.request'
ADD_SERVER = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
# By role: a name, what is opened, a text that is on it
SCREENS = {
    'physician': [
        ('orders', 'act_my_orders', "Draft"),
        ('linked', 'act_study_linked', "Linked"),
        ('patient', 'model/gnuhealth.patient/1', "PUID:"),
        ('new-order', f'wizard/{NEW_ORDER}', "Patient:"),
        ],
    'radiographer': [
        ('steps', 'act_step_form', "Rejected"),
        ('step', 'model/gnuhealth.imaging.procedure.step/1', "Progress"),
        ],
    'clerk': [
        ('studies', 'act_study_form', "Missing"),
        ('to-review', 'act_study_review', "To Review"),
        ('study', f'model/{STUDY}/1', "Series"),
        ('review', f'wizard/{REVIEW}', "Comparison"),
        ('upload', f'wizard/{UPLOAD}', "Server:"),
        ],
    'administrator': [
        ('servers', 'act_server_form', "Servers"),
        ('server', 'model/gnuhealth.orthanc.config/1', "Synchronization"),
        ('add-server', f'wizard/{ADD_SERVER}', "Password:"),
        ('matching', 'act_matching_configuration_form', "Minimum Score:"),
        ],
    }


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp('desktop')
    with Demo(folder / 'demo', use_postgresql=False) as demo:
        demo.start()
        yield demo


def drive(demo: Demo, login: str, script: str, folder: Path, *arguments: str
          ) -> str:
    return gtk.drive(
        gtk.install(cache_folder()), folder, FOLDER / script, [
            demo.server.url.removeprefix('http://'), DATABASE, login,
            PASSWORD, *arguments], TIMEOUT)


def action(demo: Demo, login: str, path: str) -> str:
    """Return the id of an action that a role may use, or the path."""
    if '/' in path:
        return path
    demo.server.connect()
    window = record_id(f'health_orthanc.{path}')
    demo.server.connect(login)
    return str(Model.get('ir.action.act_window')(window).action.id)


@pytest.mark.parametrize('login', list(SCREENS))
def test_screens(login: str, demo: Demo, tmp_path: Path):
    shown = drive(
        demo, login, 'gtk_screens.py', tmp_path, str(tmp_path), *(
            f'{name}={action(demo, login, path)}'
            for name, path, _ in SCREENS[login]))
    found = json.loads(shown.splitlines()[-1])
    for name, _, text in SCREENS[login]:
        assert text in found[name]['texts'], name
        assert found[name]['faults'] == [], name
        assert (tmp_path / f'{name}.png').stat().st_size


def test_review(demo: Demo, tmp_path: Path):
    demo.server.connect()
    Study = Model.get(STUDY)
    suggested = Study.find([('link_status', '=', 'auto_unsure')])
    assert suggested
    drive(demo, 'clerk', 'gtk_review.py', tmp_path)
    assert [
        study for study in map(Study, [study.id for study in suggested])
        if study.link_status == 'manual']
