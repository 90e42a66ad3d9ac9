# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of all kinds are chosen and dropped in the web client."""
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from playwright.sync_api import (
    Error, Page, Request, Route, TimeoutError, expect)

from devtools import samples
from devtools.orthanc import to_bytes
from devtools.tryton import PASSWORD
from tests.unit.upload_samples import archive

from .client import ATTEMPTS, PATIENCE, Client
from .clinic import EJEMPLO, LABEL, MUSTER, Clinic

MENU = ["Health", "Medical Imaging", "Orthanc", "Upload Images"]
WIDGET = '.form-binary-dicom[role="group"]'
MANY = 300
# Enough for something to happen in the middle
SOME = 40
# The address that each of them is sent to
ONE_FILE = re.compile(r'/orthanc/upload$')
HOSTILE = '<img src=x onerror=alert(1)>'
# Milliseconds for many files, beside other tests
LONG = 300_000


@pytest.fixture(scope='module')
def clinic(tmp_path_factory) -> Iterator[Clinic]:
    """A clinic of its own, for its Orthanc is stopped."""
    with Clinic(tmp_path_factory.mktemp('uploads')) as clinic:
        yield clinic


@pytest.fixture(scope='module')
def contexts(browser, clinic) -> dict:
    return {}


class Form:
    """What a person sees of the wizard, and does with it."""

    def __init__(self, client: Client):
        self.client = client
        self.page = client.page

    def open(self) -> None:
        self.client.menu(*MENU)
        self.client.dialog().locator(WIDGET).wait_for()
        # What is entered before would be overwritten by the defaults
        self.client.expect_selected('server_config', LABEL)
        self.client.settle()

    def button(self, name: str):
        return self.client.within(f'{WIDGET} button[name="{name}"]')

    def choose(self, paths: Sequence[Path] | Path, button='files') -> None:
        with self.page.expect_file_chooser() as chooser:
            self.button(button).click()
        chooser.value.set_files(paths)

    def choose_by_keyboard(self, paths: Sequence[Path]) -> None:
        for attempt in reversed(range(ATTEMPTS)):
            try:
                with self.page.expect_file_chooser(
                        timeout=PATIENCE) as chooser:
                    self.button('files').press('Enter')
                break
            except TimeoutError:
                # The dialog that opens takes the focus once more
                if not attempt:
                    raise
        chooser.value.set_files(paths)

    def drop(self, *paths: Path) -> None:
        """Drop files and folders as from another program."""
        panel = self.client.within(f'{WIDGET} .panel')
        # Not while the dialog is still on its way to its place
        panel.hover(trial=True)
        box = panel.bounding_box()
        session = self.page.context.new_cdp_session(self.page)
        for kind in ['dragEnter', 'dragOver', 'drop']:
            session.send('Input.dispatchDragEvent', {
                    'type': kind, 'x': box['x'] + 20, 'y': box['y'] + 5,
                    'data': {
                        'items': [], 'files': [str(p) for p in paths],
                        'dragOperationsMask': 1,
                        }})
        session.detach()

    def retry(self) -> None:
        expect(self.button('retry')).to_be_enabled(timeout=LONG)
        self.button('retry').click()

    def expect_told(self, *texts: str) -> None:
        """Wait until texts are seen, and told to whoever does not see."""
        for text in texts:
            expect(self.client.within(f'{WIDGET} .status')).to_contain_text(
                text, timeout=LONG)
            expect(self.client.dialog().locator(
                    f'{WIDGET} [role="status"]')).to_contain_text(
                text, timeout=LONG)

    def rows(self, state: str = ''):
        selector = f'[data-state="{state}"]' if state else ''
        return self.client.within(f'{WIDGET} tbody tr{selector}')

    def go_on(self) -> None:
        """Go on to the last page."""
        self.client.press("Check")
        self.client.press("Upload")
        expect(self.client.button("Close")).to_be_visible(timeout=LONG)

    def expect_message(self, *texts: str) -> None:
        expect(self.client.field('message')).to_have_value(
            re.compile('.*'.join(map(re.escape, texts)), re.DOTALL))

    def close(self) -> None:
        self.client.press("Close")
        self.client.expect_no_dialog()


@pytest.fixture
def form(clerk) -> Form:
    form = Form(clerk)
    form.open()
    return form


def images(
        folder: Path, count: int, id_: str,
        patient: samples.Patient | None = None) -> list[Path]:
    """Write files of a study of somebody unknown unless told otherwise."""
    folder.mkdir()
    paths = []
    patient = patient or samples.Patient(f"Fremd^{id_}", id_, '19500101', 'M')
    for number, dataset in enumerate(samples.make_study(
            'CR', patient, series=1, instances=count, rows=16)):
        paths.append(folder / f'I{number:03}')
        paths[-1].write_bytes(to_bytes(dataset))
    return paths


def stored(clinic: Clinic, id_: str) -> int:
    """Return how many images of a patient are in Orthanc."""
    return len(clinic.orthanc.post('/tools/find', {
                'Level': 'Instance', 'Query': {'PatientID': id_}}))


class Requests:
    """The files that a page sends from now on."""

    def __init__(self, page: Page):
        self._page = page
        self._ended = self.sent = 0
        page.on('request', self._begin)
        page.on('requestfinished', self._end)
        page.on('requestfailed', self._end)

    def _begin(self, request: Request) -> None:
        self.sent += bool(ONE_FILE.search(request.url))

    def _end(self, request: Request) -> None:
        self._ended += bool(ONE_FILE.search(request.url))

    def wait_ended(self) -> None:
        """Wait until none is on its way, and none follows the last one."""
        for _ in range(LONG // 100):
            if self._ended == self.sent:
                # The page has seen the last end by now
                self._page.evaluate('0')
                if self._ended == self.sent:
                    return
            self._page.wait_for_timeout(100)
        raise AssertionError(f"{self.sent - self._ended} on their way")


def send_half(
        form: Form, paths: Sequence[Path], act: Callable[[], None]) -> None:
    """Choose files and do something in the middle, however quick they are."""
    held: list[Route] = []
    passed = itertools.count(1)

    def handle(route: Route) -> None:
        if next(passed) > SOME // 2:
            held.append(route)
        else:
            route.continue_()
    form.page.route(ONE_FILE, handle)
    form.choose(paths)
    expect(form.rows('received')).to_have_count(SOME // 2, timeout=LONG)
    act()
    form.page.unroute(ONE_FILE, handle)
    for route in held:
        # The act may have stopped it
        with suppress(Error):
            route.continue_()


def test_three_files_are_chosen_by_keyboard(form, clinic, tmp_path):
    paths = images(
        tmp_path / 'three', 3, MUSTER.puid, MUSTER.in_dicom())
    before = stored(clinic, MUSTER.puid)
    form.choose_by_keyboard(paths)
    form.expect_told("Files: 3 (", "All files have been received")
    expect(form.rows('received')).to_have_count(3)
    expect(form.rows().first).to_contain_text(MUSTER.puid)
    form.client.choose('patient', "Muster", "Muster, Erika")
    form.client.press("Check")
    form.client.expect_column("Patient Match", *["Matches"] * 3)
    expect(form.client.field('chosen')).to_have_value(
        re.compile(MUSTER.puid))
    # The check page comes before anything is stored in Orthanc
    assert stored(clinic, MUSTER.puid) == before
    form.client.press("Upload")
    form.expect_message("Files stored: 3")
    assert stored(clinic, MUSTER.puid) == before + 3
    form.client.expect_column("State", *["Stored"] * 3)
    form.close()


def test_from_right_to_left_the_first_button_is_at_the_right(form):
    form.page.evaluate('document.documentElement.dir = "rtl"')
    left, right = [
        form.button(name).bounding_box() for name in ['folder', 'files']]
    zone = form.client.dialog().locator(f'{WIDGET} .panel').bounding_box()
    assert left['x'] < right['x']
    assert (
        right['x'] + right['width'] > zone['x'] + zone['width'] - 40)
    form.page.evaluate('document.documentElement.dir = "ltr"')
    form.client.press("Cancel")
    form.client.expect_no_dialog()


@pytest.mark.release
def test_many_files_and_a_folder_are_dropped(form, clinic, tmp_path):
    paths = images(tmp_path / 'many', MANY, 'MANY')
    folder = tmp_path / 'folder'
    inner = images(folder, 3, 'FOLDER')
    nested = folder / 'S1' / 'S2'
    nested.mkdir(parents=True)
    inner[0].rename(nested / 'I0')
    (folder / 'README.TXT').write_text("passed over")
    form.drop(*paths, folder)
    form.expect_told(f"Files: {MANY + 4} (", "2 different patients")
    form.expect_told("Skipped: 1")
    # The others are counted only
    expect(form.rows()).to_have_count(200)
    expect(form.client.within(f'{WIDGET} .more')).to_have_text(
        f"Files not listed: {MANY + 4 - 200}")
    form.expect_told(
        f"Received: {MANY + 3}", "All files have been received")
    form.go_on()
    form.expect_message(f"Files stored: {MANY + 3}")
    assert stored(clinic, 'MANY') == MANY
    assert stored(clinic, 'FOLDER') == 3
    form.close()
    assert clinic.count(('patient_id', 'in', ['MANY', 'FOLDER'])) == 2


@pytest.mark.release
def test_a_folder_is_chosen_with_a_bad_file_in_it(form, clinic, tmp_path):
    folder = tmp_path / HOSTILE.replace('/', '')
    paths = images(folder, 4, 'BAD', samples.Patient(
            f"{HOSTILE}^Fett", 'BAD', '19500101', 'M'))
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    paths[2].write_bytes(b'')
    form.choose(folder, 'folder')
    form.expect_told("Files: 4 (", "Skipped: 1")
    form.expect_told(
        "Received: 2", "Refused: 1", "All files have been received")
    expect(form.rows('received').first).to_contain_text(HOSTILE)
    expect(form.rows('refused')).to_contain_text("I001")
    expect(form.rows('refused')).to_contain_text("cannot be read")
    form.go_on()
    assert stored(clinic, 'BAD') == 2
    form.expect_message("Files stored: 2", "Files refused: 1")
    form.close()


def test_a_zip_is_dropped(form, clinic, tmp_path):
    paths = images(tmp_path / 'disc', 2, 'DISC')
    disc = tmp_path / 'disc.zip'
    disc.write_bytes(archive({
                'DICOM/I1': paths[0].read_bytes(),
                'DICOM/I2': paths[1].read_bytes(), 'VIEWER.EXE': b'MZ'}))
    form.drop(disc)
    form.expect_told("All files have been received")
    expect(form.rows('received')).to_contain_text("Received: 2, Skipped: 1")
    form.client.press("Check")
    form.client.expect_column("File", *[
            f'disc.zip/{name}' for name in [
                'DICOM/I1', 'DICOM/I2', 'VIEWER.EXE']])
    form.client.expect_column("Patient ID", 'DISC', 'DISC')
    assert stored(clinic, 'DISC') == 0
    form.client.press("Upload")
    form.expect_message("Files stored: 2")
    assert stored(clinic, 'DISC') == 2
    form.close()


def test_a_transfer_is_stopped_and_carried_on(form, clinic, tmp_path):
    send_half(
        form, images(tmp_path / 'stop', SOME, 'STOP'),
        form.button('cancel').click)
    form.expect_told("Not sent: ", "Files not sent: ")
    expect(form.rows('failed').first).to_contain_text("Stopped")
    form.retry()
    form.expect_told("All files have been received")
    form.go_on()
    assert stored(clinic, 'STOP') == SOME
    form.close()


@pytest.mark.release
def test_closing_the_form_stops_a_transfer(form, clinic, tmp_path):
    requests = Requests(form.page)
    send_half(
        form, images(tmp_path / 'closed', SOME, 'CLOSED'),
        lambda: form.client.button("Cancel").click())
    form.client.expect_no_dialog()
    requests.wait_ended()
    assert SOME // 2 <= requests.sent < SOME
    assert stored(clinic, 'CLOSED') == 0


@pytest.mark.release
def test_cancel_leaves_nothing(form, clinic, tmp_path):
    form.choose(images(tmp_path / 'close', SOME, 'CLOSE'))
    form.expect_told("All files have been received")
    form.client.press("Check")
    expect(form.client.button("Upload")).to_be_visible(timeout=LONG)
    form.client.button("Cancel").click()
    form.client.expect_no_dialog()
    assert stored(clinic, 'CLOSE') == 0


@pytest.mark.release
def test_orthanc_is_down(form, clinic, tmp_path):
    form.choose(images(tmp_path / 'gone', SOME, 'GONE'))
    form.expect_told("All files have been received")
    clinic.orthanc.kill()
    form.client.press("Check")
    form.client.press("Upload")
    expect(form.page.get_by_text("Check the port")).to_be_visible(
        timeout=LONG)
    clinic.orthanc.start(clinic.orthanc.port)
    form.client.press("OK")
    form.client.press("Upload")
    expect(form.client.button("Close")).to_be_visible(timeout=LONG)
    assert stored(clinic, 'GONE') == SOME
    form.close()


def expire(clinic: Clinic, login: str) -> None:
    """End the session of somebody, as if time had passed."""
    with closing(sqlite3.connect(
            clinic.tryton.sqlite_file, timeout=30)) as database:
        with database:
            database.execute(
                "DELETE FROM ir_session WHERE create_uid = "
                "(SELECT id FROM res_user WHERE login = ?)", [login])


@pytest.mark.release
def test_the_session_expires_in_the_middle(form, clinic, tmp_path):
    send_half(
        form, images(tmp_path / 'login', SOME, 'LOGIN'),
        lambda: expire(clinic, 'clerk'))
    password = form.page.locator('input[type="password"]:visible')
    password.wait_for()
    password.fill(PASSWORD)
    password.press('Enter')
    form.expect_told(f"Received: {SOME}", "All files have been received")
    form.go_on()
    form.expect_message(f"Files stored: {SOME}")
    assert stored(clinic, 'LOGIN') == SOME
    form.close()


def test_images_of_somebody_else_wait_for_a_person(form, clinic, tmp_path):
    form.choose(images(
            tmp_path / 'other', 2, MUSTER.puid, MUSTER.in_dicom()))
    form.expect_told("All files have been received")
    form.client.choose('patient', "Ejemplo", "Ejemplo Núñez, Juan José")
    form.client.press("Check")
    form.client.expect_column("Patient Match", *["Contradicts"] * 2)
    expect(form.client.field('contradictions')).not_to_have_value('')
    form.client.press("Upload")
    form.expect_message("contradict the selected patient")
    form.close()
    assert not clinic.count(
        ('patient_id', '=', MUSTER.puid),
        ('patient.puid', '=', EJEMPLO.puid))


@pytest.mark.release
def test_without_the_routes_files_go_through_the_form(
        form, clinic, tmp_path):
    form.page.route('**/orthanc/upload/*', lambda route: route.fulfill(
            status=404, body=''))
    form.choose(images(tmp_path / 'packed', 2, 'PACKED'))
    form.expect_told("will be sent when you continue")
    form.client.press("Check")
    form.client.expect_column("Patient ID", "PACKED", "PACKED")
    form.client.press("Upload")
    form.expect_message("Files stored: 2")
    form.close()
    assert stored(clinic, 'PACKED') == 2


@pytest.mark.release
def test_without_the_widget_one_file_is_chosen(clerk, clinic, tmp_path):
    page = clerk.page
    page.route('**/custom.js', lambda route: route.fulfill(
            content_type='text/javascript', body=''))
    page.reload()
    page.wait_for_selector('#menu table', state='attached')
    path, = images(tmp_path / 'plain', 1, 'PLAIN')
    clerk.menu(*MENU)
    clerk.dialog().wait_for()
    clerk.expect_selected('server_config', LABEL)
    clerk.settle()
    clerk.dialog().locator('input[type="file"]').set_input_files(path)
    clerk.press("Check")
    clerk.press("Upload")
    expect(clerk.field('message')).to_have_value(
        re.compile("Files stored: 1"))
    clerk.press("Close")
    assert stored(clinic, 'PLAIN') == 1
