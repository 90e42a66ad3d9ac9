# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the patient's record to the image on the screen, with no other login.
"""
import re

import pytest
from playwright.sync_api import Page, expect

from proteus import Model

from devtools import hospital
from devtools.process import wait_until

from .clinic import EJEMPLO, MUSTER, study_of
from .viewer import (
    CANVAS, PATIENCE, drag, expect_place, expect_series, has_pixels, is_head,
    line, opened, scroll, series_list, thumbnail, view_button, wait_for_head)

# Of whom the other tests say nothing
PERSON = hospital.PATIENTS[2]
LENGTH = re.compile(r'\d+\.\d+ mm')


def patient_of(person):
    patient, = Model.get('gnuhealth.patient').find(
        [('puid', '=', person.puid)])
    return patient


@pytest.fixture(scope='module')
def thumbnails(clinic) -> None:
    """Wait for those of the studies that have images."""
    def made() -> bool:
        clinic.synchronize()
        return bool(clinic.study("Muster^Erika").picture)
    assert wait_until(made, 60)


def open_studies(client, person) -> None:
    client.open_record(patient_of(person))
    client.field('age').wait_for()
    client.notebook("Studies")
    client.settle()


def test_from_the_patient_to_the_image(physician, clinic, thumbnails):
    open_studies(physician, MUSTER)
    physician.expect_column("Modalities", "CT", "MR")
    for picture in physician.within('table.tree img.column-image').all():
        physician.expect_image(picture)
    for description in ["CT of the head", "MR Head"]:
        # Without scrolling
        expect(view_button(physician, description)).to_be_in_viewport()
    with opened(physician, view_button(physician, "CT of the head")) as viewer:
        wait_for_head(viewer)
        assert re.fullmatch(
            r'.*/clinic/orthanc/viewer/\d+/viewer\?StudyInstanceUIDs=[\d.]+',
            viewer.url)
        expect_place(viewer, 1, 3)
        before = line(viewer)
        scroll(viewer)
        expect_place(viewer, 2, 3)
        assert wait_until(lambda: line(viewer) != before, PATIENCE / 1000)
        assert is_head(viewer)
        # The patient's earlier study, and nobody else's
        expect(series_list(viewer)).to_contain_text("MR Head")
        expect(series_list(viewer)).not_to_contain_text("CR Chest")


def test_all_images(physician, clinic, thumbnails):
    open_studies(physician, MUSTER)
    physician.press("All Images")
    physician.within('.tab-domain').wait_for()
    names = physician.filter_names()
    assert names[:3] == ["All", "CT", "MR"]
    assert names[3:] and all(re.fullmatch(r'20\d\d', n) for n in names[3:])
    physician.expect_column("Modalities", "CT", "MR")
    physician.filter("MR")
    physician.expect_column("Modalities", "MR")


@pytest.mark.release
def test_all_of_a_patient_at_once(clerk, clinic, thumbnails):
    """The newest study is shown, not the one that is read first."""
    open_studies(clerk, MUSTER)
    with opened(clerk, clerk.button("View Images")) as viewer:
        wait_for_head(viewer)
        expect_series(viewer, "Head 1")
        uids = re.search(r'StudyInstanceUIDs=([\d.,]+)', viewer.url)[1]
        assert uids.count(',') == 1
        expect(series_list(viewer)).to_contain_text("MR Head")
        expect_place(viewer, 1, 3)


@pytest.mark.release
def test_from_a_series(clerk, clinic, thumbnails):
    clerk.open_record(clinic.study("Muster^Erika"))
    clerk.field('patient_id').wait_for()
    for picture in clerk.within('table.tree img.column-image').all():
        clerk.expect_image(picture)
    with opened(clerk, view_button(clerk, "Head 2")) as viewer:
        wait_for_head(viewer)
        expect_series(viewer, "Head 2")


@pytest.mark.release
def test_from_a_review(clerk, clinic):
    """The dialog shows the same study again."""
    clerk.menu("Health", "Medical Imaging", "Orthanc", "Review")
    clerk.dialog().wait_for()
    description = clerk.field('study_description')
    expect(description).not_to_have_value('')
    shown = description.input_value()
    with opened(clerk, clerk.button("View")) as viewer:
        # A still image of ultrasound, or whatever waits first
        assert wait_until(lambda: has_pixels(viewer), PATIENCE / 1000)
        expect(series_list(viewer)).to_contain_text(shown)
    expect(description).to_have_value(shown)
    clerk.press("Close")


@pytest.mark.release
def test_from_a_step_and_its_result(physician, clinic):
    step = clinic.add_order(PERSON, 'CT-HEAD')
    clinic.orthanc.upload(study_of(
            'CT', PERSON.in_dicom(), 0, 9, series=1, instances=3,
            AccessionNumber=step.request.accession_number,
            StudyInstanceUID=step.request.merge_id))
    clinic.synchronize()
    step.reload()
    assert step.state == 'completed'
    physician.open_record(step)
    with opened(physician, physician.button("View")) as viewer:
        wait_for_head(viewer)
        expect_place(viewer, 1, 3)
    physician.open_record(step.study.imaging_test)
    for button in ["View Images", "View"]:
        with opened(physician, physician.button(button)) as viewer:
            wait_for_head(viewer)
            expect_place(viewer, 1, 3)


@pytest.mark.release
def test_a_person_without_the_session(physician, clinic, browser):
    open_studies(physician, EJEMPLO)
    with opened(physician, view_button(physician, "CR Chest")) as viewer:
        viewer.locator(CANVAS).first.wait_for()
        address = viewer.url
    stranger = browser.new_context().new_page()
    stranger.goto(address)
    expect(stranger.locator('#health-orthanc-message')).to_contain_text(
        "Log in to GNU Health again", timeout=PATIENCE)
    expect(stranger.locator(CANVAS)).to_have_count(0)
    stranger.context.close()


def measure(viewer: Page) -> None:
    """Measure a length in the image, and keep track of it."""
    tool = viewer.locator('[data-cy="MeasurementTools-split-button-primary"]')
    tool.click()
    expect(tool).to_have_attribute('data-active', 'true')
    # Two clicks may be taken for a double click
    drag(viewer, [0.45, 0.55])
    viewer.get_by_role('button', name="Yes").click()
    expect(viewer.locator('body')).to_contain_text(LENGTH)


@pytest.mark.release
def test_a_measurement_is_kept(physician, clinic, thumbnails):
    before = clinic.orthanc.counts()['series']
    open_studies(physician, MUSTER)
    button = view_button(physician, "CT of the head")
    with opened(physician, button) as viewer:
        wait_for_head(viewer)
        measure(viewer)
        viewer.locator('[data-cy="trackedMeasurements-btn"]').click()
        viewer.get_by_text("Create SR").click()
        viewer.get_by_role('button', name="Save").click()
        # The viewer lists it before it is stored
        expect(series_list(viewer)).to_contain_text('S:3001')
        assert wait_until(
            lambda: clinic.orthanc.counts()['series'] == before + 1, 60)
    with opened(physician, button) as viewer:
        wait_for_head(viewer)
        expect(series_list(viewer)).to_contain_text('S:3001')
        expect(viewer.locator('body')).not_to_contain_text(LENGTH)
        thumbnail(viewer, 'S:3001').dblclick()
        # It asks whether one wants to go on with them
        viewer.get_by_role('button', name="Yes").click()
        expect(viewer.locator('body')).to_contain_text(LENGTH)
