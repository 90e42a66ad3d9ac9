# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every wizard by keyboard alone."""
import datetime as dt
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from proteus import Model

from devtools.hospital import Person, make_patient
from devtools.process import wait_until

from .all_screens import SERVER, WIZARDS, Wizard, wizard_names
from .clinic import EJEMPLO, GREEK, JAPANESE
from .keyboard import Keyboard
from .test_upload import Form, images

# They do what they are for at once, or ask only where there is a choice
WITHOUT_DIALOG = {
    'gnuhealth.imaging_orthanc.all_images',
    'gnuhealth.imaging_orthanc.download_images',
    'gnuhealth.imaging_orthanc.move_study',
    'gnuhealth.imaging_orthanc.open_viewer',
    'gnuhealth.imaging_orthanc.restore_identity',
    'gnuhealth.imaging_orthanc.view_images',
    }

# For what happens in the background, in seconds
TIMEOUT = 60
# What is opened most
EVERYDAY = {
    'gnuhealth.imaging_orthanc.upload_image_data',
    'gnuhealth.imaging.procedure.step.reject',
    }


@pytest.fixture(scope='module', autouse=True)
def records(clinic):
    """What some of the wizards are for."""
    clinic.server.connect()
    clinic.add_order(EJEMPLO, 'MR-KNEE')
    series = Model.get('gnuhealth.imaging_orthanc.study_series').find([])[0]
    series.click('load_instances')


def test_none_is_left_out(clinic):
    names = {wizard.name for wizard in WIZARDS} | WITHOUT_DIALOG
    assert wizard_names(clinic.server) <= names


# GNU Health's own dialog looks for a patient where the tabulator finds none:
# see test_order
DIALOGS = [
    pytest.param(wizard, id=wizard.name, marks=(
            [] if wizard.name in EVERYDAY else [pytest.mark.release]))
    for wizard in WIZARDS
    if wizard.name != 'gnuhealth.patient.imaging.test.request']


@pytest.mark.parametrize('wizard', DIALOGS)
def test_dialog(wizard: Wizard, clinic, log_in_as):
    """All can be reached, is seen, and Escape leads back."""
    client = log_in_as(wizard.role)
    keyboard = Keyboard(client)
    keyboard.press('Control+k')
    opener = client.page.locator('#global-search-entry')
    expect(opener).to_be_focused()
    client.open(wizard.path(clinic.server))
    client.dialog().wait_for()
    places = keyboard.go_round()
    assert len(places) == keyboard.count_controls()
    # Once round, wherever it began
    start = places.index(min(places))
    assert places[start:] + places[:start] == sorted(places)
    keyboard.press('Escape')
    client.expect_no_dialog()
    expect(opener).to_be_focused()


@pytest.mark.release
def test_order(physician):
    keyboard = Keyboard(physician)
    keyboard.open_entry("Medical Imaging - New order")
    physician.dialog().wait_for()
    physician.settle()
    keyboard.choose('patient', "Παράδειγμα", "Παράδειγμα, Ελένη")
    physician.expect_value('patient', "Παράδειγμα, Ελένη")
    keyboard.choose('tests', "CT", "CT of the Head")
    physician.expect_column("Name", "CT of the Head")
    keyboard.use("Request")
    physician.expect_column("Study", "CT of the Head")
    keyboard.use("Request Now")
    physician.expect_no_dialog()
    physician.expect_column("Worklist", "On the worklist")


@pytest.mark.release
def test_upload(clerk, clinic, tmp_path):
    keyboard, form = Keyboard(clerk), Form(clerk)
    keyboard.open_entry("Upload Images")
    clerk.dialog().wait_for()
    clerk.settle()
    keyboard.choose('patient', "Παράδειγμα", "Παράδειγμα, Ελένη")
    keyboard.tab_to("Select Files")
    paths = images(tmp_path / 'images', 3, 'KEYBOARD-1', GREEK.in_dicom())
    with clerk.page.expect_file_chooser() as chooser:
        clerk.page.keyboard.press('Enter')
    chooser.value.set_files(paths)
    form.expect_told("Received: 3")
    keyboard.use("Check")
    clerk.expect_column("Patient Match", *["Matches"] * 3)
    keyboard.use("Upload")
    expect(clerk.column("Linked To")).to_contain_text(["Παράδειγμα"])
    keyboard.use("Close")
    clerk.expect_no_dialog()


@pytest.mark.release
def test_add_server(administrator, clinic):
    keyboard = Keyboard(administrator)
    keyboard.open_entry("Add Orthanc Server")
    administrator.dialog().wait_for()
    keyboard.enter(
        label="By keyboard", domain='http://127.0.0.1:9', user='nobody',
        password='nothing')
    keyboard.use("Begin")
    expect(administrator.field('message')).to_have_value(re.compile('.'))
    keyboard.use("Back")
    administrator.expect_value('label', "By keyboard")
    keyboard.press('Escape')
    administrator.expect_no_dialog()


@pytest.mark.release
def test_reject_and_order_again(radiographer, clinic):
    step = clinic.add_order(JAPANESE, 'XR-CHEST')
    keyboard = Keyboard(radiographer)
    radiographer.open_record(step)
    radiographer.expect_value('description', "Chest X-ray")
    keyboard.use("Reject")
    radiographer.dialog().wait_for()
    keyboard.enter(reason="The patient moved")
    keyboard.use("Reject and Order Again")
    radiographer.expect_no_dialog()
    radiographer.field('replaces').wait_for()


@pytest.mark.release
def test_dismiss(clerk, clinic):
    study = clinic.add_study("Tastatur^Anna")
    keyboard = Keyboard(clerk)
    clerk.open_record(study)
    clerk.expect_value('patient_display_name', "Tastatur, Anna")
    keyboard.use("Dismiss")
    clerk.dialog().wait_for()
    keyboard.enter(reason="Seen by keyboard")
    keyboard.use("Dismiss")
    clerk.expect_no_dialog()
    clerk.expect_selected('link_status', "Dismissed")
    # Not at the top of the page again
    assert clerk.page.evaluate('document.activeElement !== document.body')


# From the first page to the last: what is entered, and the buttons
WALKS = {
    'gnuhealth.orthanc.connect_plugin': (
        {'url': 'http://localhost:8000'}, ["Create Key", "Close"]),
    'gnuhealth.orthanc.connect_authorization': (
        {'url': 'http://localhost:8000'}, ["Create Key", "Close"]),
    'gnuhealth.orthanc.decide_database': ({}, ["This Is the Original"]),
    'gnuhealth.imaging_orthanc.get_new_studies': ({}, ["Start", "Close"]),
    'gnuhealth.imaging_orthanc.full_synchronize': ({}, ["Start", "Close"]),
    'gnuhealth.imaging_orthanc.preview': ({}, ["Show", "Close"]),
    # Only what agrees entirely, and that is none of them
    'gnuhealth.imaging_orthanc.confirm_suggestions': (
        {'score': '100'}, ["Confirm", "Close"]),
    }


@pytest.mark.release
@pytest.mark.parametrize('name', WALKS)
def test_to_the_end(name: str, clinic, log_in_as):
    wizard, = [wizard for wizard in WIZARDS if wizard.name == name]
    client = log_in_as(wizard.role)
    keyboard = Keyboard(client)
    client.open(wizard.path(clinic.server))
    client.dialog().wait_for()
    values, buttons = WALKS[name]
    keyboard.enter(**values)
    for button in buttons:
        expect(client.button(button)).to_be_visible()
        keyboard.use(button)
    client.expect_no_dialog()


def open_on(client, clinic, login: str, name: str, record) -> Keyboard:
    """Open the first dialog of a wizard on a record."""
    model = record.__class__.__name__
    client.open(Wizard(
            name, login, model, (('id', '=', record.id),)).path(
            clinic.server))
    client.dialog().wait_for()
    return Keyboard(client)


@pytest.mark.release
def test_wrong_patient(clerk, clinic):
    study = clinic.add_study("Tastatur^Berta")
    study.patient = Model.get('gnuhealth.patient').find([], limit=1)[0]
    study.save()
    keyboard = open_on(
        clerk, clinic, 'clerk',
        'gnuhealth.imaging_orthanc.mark_wrong_patient', study)
    keyboard.enter(reason="Chosen by mistake")
    keyboard.use("Wrong Patient")
    clerk.expect_no_dialog()
    Quarantine = Model.get('gnuhealth.imaging_orthanc.wrong_patient')
    quarantine, = Quarantine.find([('study', '=', study.id)])
    assert quarantine.reason == "Chosen by mistake"


@pytest.mark.release
def test_delete(administrator, clinic):
    study = clinic.add_study("Tastatur^Carla")
    keyboard = open_on(
        administrator, clinic, 'administrator',
        'gnuhealth.imaging_orthanc.delete_images', study)
    keyboard.enter(reason="Sent twice")
    keyboard.use("Delete from Orthanc")
    expect(administrator.field('message')).to_have_value(
        re.compile('Deleted: 1'))
    keyboard.use("Close")
    administrator.expect_no_dialog()
    assert clinic.count(('id', '=', study.id), ('missing_since', '!=', None))


@pytest.fixture
def reconciling(clinic) -> Iterator[None]:
    """While this is on, the identity in images may be changed."""
    clinic.server.connect()
    server, = Model.get(SERVER).find([])
    server.correct_identity = True
    server.save()
    yield
    clinic.server.connect()
    server = Model.get(SERVER)(server.id)
    server.correct_identity = False
    server.save()


@pytest.mark.release
def test_reconciliation(administrator, clinic, reconciling):
    """What is to be written is read first, then it is in the images."""
    make_patient(Person(
            'TAS017EMI', "Emil", "Tastatur", 'm', dt.date(1971, 5, 6), ''))
    study = clinic.add_study("Tastatur^Emilia")
    study.patient, = Model.get('gnuhealth.patient').find(
        [('puid', '=', 'TAS017EMI')])
    study.save()
    # Orthanc waits for more images at first
    assert wait_until(
        lambda: clinic.orthanc.get(f'/studies/{study.orthanc_UID}')[
            'IsStable'], TIMEOUT)
    keyboard = open_on(
        administrator, clinic, 'administrator',
        'gnuhealth.imaging_orthanc.correct_identity', study)
    for title, text in [
            ("Current Value", "Tastatur^Emilia"),
            ("New Value", "Tastatur^Emil"), ("New Value", "TAS017EMI")]:
        expect(administrator.column(title).get_by_text(
                text, exact=True)).to_be_visible()
    keyboard.use("Write to Images")
    expect(administrator.field('message')).to_have_value(
        re.compile(r'reconciliation: 1\.'))
    keyboard.use("Close")
    administrator.expect_no_dialog()
    assert wait_until(
        lambda: clinic.count(
            ('id', '=', study.id), ('patient_id', '=', 'TAS017EMI')),
        TIMEOUT)


@pytest.mark.release
def test_review_of_historical_studies(administrator, clinic):
    study = clinic.add_study("Tastatur^Frida")
    # As if the server had held it when it was added
    clinic.execute(
        'UPDATE gnuhealth_imaging_orthanc_study SET historical = 1 '
        'WHERE id = ?', study.id)
    year = str(study.date.year)
    keyboard = Keyboard(administrator)
    keyboard.open_entry("Review Historical Studies")
    administrator.dialog().wait_for()
    keyboard.tab_to('year')
    keyboard.type(year)
    administrator.expect_selected('year', f'{year} (1 studies)')
    keyboard.use("Put Up for Review")
    expect(administrator.field('message')).to_have_value(
        re.compile('review: 1'))
    keyboard.use("Close")
    administrator.expect_no_dialog()
    assert clinic.count(('id', '=', study.id), ('historical', '=', False))


@pytest.fixture
def unconverted(clinic) -> Iterator[None]:
    """Let the daily schedule be printed without LibreOffice."""
    statement = (
        'UPDATE ir_action_report SET extension = ? '
        "WHERE report_name = 'gnuhealth.imaging.daily_schedule'")
    clinic.execute(statement, '')
    yield
    clinic.execute(statement, 'pdf')


@pytest.mark.release
def test_daily_schedule(radiographer, clinic, unconverted):
    keyboard = Keyboard(radiographer)
    keyboard.open_entry("Daily Schedule")
    radiographer.dialog().wait_for()
    keyboard.tab_to('device')
    keyboard.type('DEMO-MR')
    radiographer.expect_selected('device', 'DEMO-MR')
    keyboard.tab_to('closed')
    keyboard.press('Space')
    expect(radiographer.field('closed')).to_be_checked()
    with radiographer.page.expect_download() as download:
        keyboard.use("Print")
    assert download.value.suggested_filename == "Daily Schedule.odt"
    text = _read_text(download.value.path())
    # The order that was made for these tests, and no other device
    assert 'DEMO-MR' in text and EJEMPLO.puid in text
    assert 'DEMO-CT' not in text
    radiographer.expect_no_dialog()


def _read_text(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return file.read('content.xml').decode()


@pytest.mark.release
def test_review(clerk, clinic):
    """Skip to the next study, unlink it with a reason, and leave."""
    keyboard = Keyboard(clerk)
    keyboard.open_entry("Review")
    clerk.dialog().wait_for()
    expect(clerk.field('position')).to_have_value(re.compile(r'^1 of '))
    keyboard.use("Skip")
    expect(clerk.field('position')).to_have_value(re.compile(r'^2 of '))
    keyboard.use("Dismiss")
    clerk.field('reason').wait_for()
    keyboard.use("Back")
    clerk.field('position').wait_for()
    keyboard.use("Close")
    clerk.expect_no_dialog()


@pytest.mark.release
def test_open_from_a_list(clerk, clinic):
    """The form of a record that is searched for in a list."""
    study = clinic.add_study("Tastatur^Dora")
    keyboard = Keyboard(clerk)
    keyboard.open_entry("Studies")
    clerk.within('table.tree').first.wait_for()
    keyboard.use("All")
    keyboard.press('Control+f')
    keyboard.type("Dora")
    keyboard.press('Enter')
    expect(clerk.within('table.tree tbody tr')).to_have_count(1)
    keyboard.open_row()
    clerk.expect_value('patient_display_name', study.patient_display_name)
