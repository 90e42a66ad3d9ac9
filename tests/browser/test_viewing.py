# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the patient's record to the image on the screen, with no other login.
"""
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from proteus import Model

from devtools.process import wait_until

from .clinic import EJEMPLO, MUSTER

# What OHIF does before it shows an image takes its time on a busy machine
PATIENCE = 90_000
CANVAS = 'canvas.cornerstone-canvas'
LENGTH = re.compile(r'\d+\.\d+ mm')
# The gray values of the image on a line through its middle, 0 to 255
_LINE = '''canvas => {
    const context = canvas.getContext('2d');
    const {width, height} = canvas;
    const pixels = context.getImageData(0, height >> 1, width, 1).data;
    return [...Array(width).keys()].map(x => pixels[4 * x]);
}'''


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


@contextmanager
def opened(client, button: Locator) -> Iterator[Page]:
    """Press a button that opens the viewer, and yield its page.

    An error of a script in it fails the test.
    """
    errors: list[str] = []
    client.settle()
    with client.page.context.expect_page() as found:
        button.click()
    viewer = found.value
    viewer.set_default_timeout(PATIENCE)
    viewer.on('pageerror', lambda error: errors.append(str(error)))
    yield viewer
    viewer.close()
    assert not errors


def line(viewer: Page) -> list[int]:
    return viewer.locator(CANVAS).first.evaluate(_LINE)


def is_head(viewer: Page) -> bool:
    """Return whether the canvas shows the slice of a head.

    From both sides: air, bone, then brain in many shades of gray.
    """
    if not viewer.locator(CANVAS).count():
        return False
    grays = line(viewer)
    bright = [x for x, gray in enumerate(grays) if gray > 250]
    if not bright:
        return False
    first, last = min(bright), max(bright)
    third = (last - first) // 3
    inside = grays[first + third:last - third]
    return (
        len(set(grays)) > 20
        and max(grays[:first - 5], default=0) < 10
        and max(grays[last + 5:], default=0) < 10
        and len(set(inside)) > 10 and 20 < sum(inside) / len(inside) < 235)


def wait_for_head(viewer: Page) -> None:
    viewer.locator(CANVAS).first.wait_for()
    assert wait_until(lambda: is_head(viewer), PATIENCE / 1000)


def series_list(viewer: Page) -> Locator:
    return viewer.locator('[data-cy="studyBrowser-panel"]')


def open_studies(client, person) -> None:
    client.open_record(patient_of(person))
    client.field('age').wait_for()
    client.notebook("Studies")
    client.settle()


def view_button(client, description: str) -> Locator:
    """Return the button in the row of a study."""
    return client.within('table.tree tbody tr').filter(
        has_text=description).locator('button').filter(has_text="View")


def test_from_the_patient_to_the_image(physician, clinic, thumbnails):
    open_studies(physician, MUSTER)
    physician.expect_column("Modalities", "CT", "MR")
    for picture in physician.within('table.tree img.column-image').all():
        physician.expect_image(picture)
    with opened(physician, view_button(physician, "CT of the head")) as viewer:
        wait_for_head(viewer)
        assert re.fullmatch(
            r'.*/clinic/orthanc/viewer/\d+/viewer\?StudyInstanceUIDs=[\d.]+',
            viewer.url)
        position = viewer.locator('[data-cy="viewport-overlay-bottom-right"]')
        expect(position).to_contain_text('(1/3)')
        before = line(viewer)
        viewer.locator(CANVAS).first.hover()
        viewer.mouse.wheel(0, 100)
        expect(position).to_contain_text('(2/3)')
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
    open_studies(clerk, MUSTER)
    with opened(clerk, clerk.button("View Images")) as viewer:
        wait_for_head(viewer)
        assert viewer.url.partition('=')[2].count(',') == 1
        expect(series_list(viewer)).to_contain_text("MR Head")


@pytest.mark.release
def test_from_a_series(clerk, clinic, thumbnails):
    clerk.open_record(clinic.study("Muster^Erika"))
    clerk.field('patient_id').wait_for()
    for picture in clerk.within('table.tree img.column-image').all():
        clerk.expect_image(picture)
    with opened(clerk, view_button(clerk, "Head 2")) as viewer:
        wait_for_head(viewer)


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
    """Measure a length in the image."""
    viewer.locator('[data-cy="MeasurementTools-split-button-primary"]').click()
    box = viewer.locator(CANVAS).first.bounding_box()
    for part in [0.45, 0.55]:
        x, y = box['x'] + part * box['width'], box['y'] + part * box['height']
        viewer.mouse.move(x, y)
        viewer.mouse.click(x, y)
        # The next click is another one, and no double click
        viewer.wait_for_timeout(600)
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
        series_list(viewer).locator('[data-cy*="thumbnail"]').filter(
            has_text='S:3001').first.dblclick()
        expect(viewer.locator('body')).to_contain_text(LENGTH)
