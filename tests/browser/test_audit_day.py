# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day with images, and what the privacy officer sees of it."""
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import expect

from devtools.orthanc import to_bytes
from devtools.process import wait_until
from devtools.tryton import ROOT

from .client import Client
from .clinic import EJEMPLO, MUSTER, NOBODY, Clinic, study_of
from .test_upload import Form
from .viewer import opened, wait_for_head

CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]
OFFICER = 'officer'
GUEST = "Gast^Lea"
DOCTOR, CLERK, ADMINISTRATOR = (
    "Dr. Cora Musterfrau", "Imaging Clerk", "Imaging Administrator")
MUSTER_NAME, EJEMPLO_NAME = "Muster, Erika", "Ejemplo Núñez, Juan José"
TIMEOUT = 60
DAY = [
    (DOCTOR, "Image Previewed", "Done", MUSTER_NAME),
    (DOCTOR, "Access Issued", "Done", MUSTER_NAME),
    (DOCTOR, "Images Viewed", "Done", MUSTER_NAME),
    # The thumbnail of the study, and the image
    (CLERK, "Image Previewed", "Done", EJEMPLO_NAME),
    (CLERK, "Image Previewed", "Done", MUSTER_NAME),
    (CLERK, "Access Issued", "Done", MUSTER_NAME),
    (CLERK, "Images Downloaded", "Done", MUSTER_NAME),
    (CLERK, "Images Uploaded", "Done", EJEMPLO_NAME),
    (CLERK, "Image Previewed", "Done", ""),
    (CLERK, "Link Decided", "Done", "Esimerkki, Aki"),
    (ADMINISTRATOR, "Image Previewed", "Done", ""),
    (ADMINISTRATOR, "Images Deleted", "Done", ""),
    # The client asks several times
    (NOBODY.title(), "Button", "Refused", MUSTER_NAME),
    ]

pytestmark = pytest.mark.release


@pytest.fixture(scope='module')
def clinic(tmp_path_factory) -> Iterator[Clinic]:
    """A clinic of its own: nobody else is in its audit trail."""
    with Clinic(tmp_path_factory.mktemp('day')) as clinic:
        clinic.make_user(
            OFFICER, 'health_orthanc.group_imaging_orthanc_privacy')
        clinic.add_study(GUEST)
        yield clinic


@pytest.fixture(scope='module')
def contexts(browser, clinic) -> dict:
    return {}


def open_study(client: Client, clinic: Clinic, name: str) -> None:
    client.open_record(clinic.study(name))
    client.field('patient_id').wait_for()


def view(client: Client, clinic: Clinic) -> None:
    open_study(client, clinic, MUSTER.pn)
    with opened(client, client.button("View").first) as viewer:
        wait_for_head(viewer)


def preview(client: Client, clinic: Clinic) -> None:
    """See the only image of a study in its form."""
    open_study(client, clinic, EJEMPLO.pn)
    client.cell("Description", "Chest 1").dblclick()
    client.dialog().wait_for()
    client.cell("Instance No.", '1').dblclick()
    client.field('sop_instance_UID').wait_for()
    client.expect_image(client.within('.form-image img.center-block'))


def download(client: Client, clinic: Clinic) -> None:
    open_study(client, clinic, MUSTER.pn)
    with client.page.context.expect_page() as found:
        client.act("Download Images")
    with found.value.expect_download():
        pass
    found.value.close()


def upload(client: Client, folder) -> None:
    path = folder / 'image.dcm'
    path.write_bytes(to_bytes(study_of(
                'CR', EJEMPLO.in_dicom(), 1, 9, series=1, instances=1)[0]))
    form = Form(client)
    form.open()
    form.choose(path)
    client.press("Check")
    client.press("Upload")
    client.press("Close")
    client.expect_no_dialog()


def decide(client: Client, clinic: Clinic) -> None:
    open_study(client, clinic, GUEST)
    client.choose('patient', "Esimerkki", "Esimerkki, Aki")
    client.save()


def delete(client: Client, clinic: Clinic) -> None:
    open_study(client, clinic, "Phantom^Daily QA")
    client.press("Delete from Orthanc")
    client.dialog().wait_for()
    client.enter(reason="Phantom")
    client.press("Delete from Orthanc")
    expect(client.field('message')).to_have_value(
        "Deleted: 1. Not deleted or not yet confirmed: 0.")
    client.press("Close")


def shown(client: Client) -> list[tuple[str, ...]]:
    """Return what the list shows, the oldest first, what is alike once."""
    rows = [
        tuple(
            row.locator(f'td[data-title="{title}: "]').inner_text().strip()
            for title in ["User", "Action", "Outcome", "Patient"])
        for row in client.within('table.tree tbody tr').all()]
    return [row for row, _ in itertools.groupby(rows[::-1])]


def check(clinic: Clinic) -> subprocess.CompletedProcess:
    """Run the command that looks for changes."""
    tryton = clinic.tryton
    return subprocess.run(
        [sys.executable, ROOT / 'scripts' / 'health_orthanc_audit_check.py',
            '-c', tryton.configuration, '-d', tryton.name],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT)


def test_a_day(log_in_as, clinic, tmp_path):
    # Each in a tab of the browser
    view(log_in_as('physician'), clinic)
    preview(log_in_as('clerk'), clinic)
    download(log_in_as('clerk'), clinic)
    upload(log_in_as('clerk'), tmp_path)
    decide(log_in_as('clerk'), clinic)
    delete(log_in_as('administrator'), clinic)
    nobody = log_in_as(NOBODY)
    nobody.open_record(clinic.study(MUSTER.pn))
    nobody.dialog().wait_for()
    officer = log_in_as(OFFICER)
    officer.menu(*CONFIGURATION, "Who Saw It")
    officer.filter("All")
    expect(officer.cell("Outcome", "Refused").first).to_be_visible()
    assert wait_until(lambda: shown(officer) == DAY, TIMEOUT), shown(officer)
    assert check(clinic).returncode == 0
    with closing(sqlite3.connect(clinic.tryton.sqlite_file)) as connection:
        connection.execute(
            'UPDATE gnuhealth_imaging_orthanc_audit SET user_id = 1'
            ' WHERE number = 3')
        connection.commit()
    found = check(clinic)
    assert found.returncode == 1
    assert found.stdout.startswith("Entry 3: ")
