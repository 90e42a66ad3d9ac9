# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import re

import pytest
from playwright.sync_api import expect

ACTION = "Open in Viewer"


def open_study(client, clinic, name="Muster^Erika"):
    study = clinic.study(name)
    client.open_record(study)
    client.field('patient_id').wait_for()
    return study


def open_series(client, clinic):
    client.open_record(clinic.study("Muster^Erika").series[0])
    client.field('series_description').wait_for()


def test_orthanc_explorer(clerk, clinic):
    study = open_study(clerk, clinic)
    with clerk.page.context.expect_page() as opened:
        clerk.act(ACTION)
    explorer = opened.value
    expect(explorer).to_have_url(
        f'{clinic.orthanc.url}/app/explorer.html#study?uuid='
        f'{study.orthanc_UID}')
    expect(explorer.locator('#study')).to_contain_text("CT of the head")
    expect(explorer.locator('#study')).to_contain_text("Muster")
    explorer.close()


def choose_viewer(client, name):
    client.act(ACTION)
    client.dialog().wait_for()
    client.field('viewer').select_option(label=name)
    with client.page.context.expect_page() as opened:
        client.press("Open")
    return opened.value


@pytest.mark.release
def test_web_viewer(clerk, clinic):
    open_series(clerk, clinic)
    viewer = choose_viewer(clerk, "Orthanc Web Viewer")
    expect(viewer).to_have_url(re.compile('/web-viewer/'))
    # The canvas shows more than one grey.
    viewer.wait_for_function('''() => {
        const canvas = document.querySelector('canvas');
        if (!canvas || !canvas.width || !canvas.height) {
            return false;
        }
        const pixels = canvas.getContext('2d').getImageData(
            0, 0, canvas.width, canvas.height).data;
        const greys = new Set();
        for (let i = 0; i < pixels.length; i += 4) {
            greys.add(pixels[i]);
        }
        return greys.size > 10;
    }''')
    viewer.close()


@pytest.mark.release
def test_choice(clerk, clinic):
    open_series(clerk, clinic)
    clerk.act(ACTION)
    clerk.dialog().wait_for()
    options = clerk.field('viewer').locator('option')
    expect(options.filter(has_text="Orthanc")).to_have_text(
        ["Orthanc Web Viewer", "Orthanc Explorer"])
    clerk.press("Cancel")
    clerk.expect_no_dialog()


@pytest.mark.release
def test_series_in_orthanc_explorer(clerk, clinic):
    open_series(clerk, clinic)
    explorer = choose_viewer(clerk, "Orthanc Explorer")
    expect(explorer.locator('#series')).to_contain_text("Head 1")
    explorer.close()


@pytest.mark.release
def test_nothing_to_show(clerk, clinic):
    open_study(clerk, clinic, "Verloren^Uwe")
    clerk.act(ACTION)
    expect(clerk.dialog()).to_contain_text("no viewer for this")


def test_physician(physician, clinic):
    open_study(physician, clinic)
    with physician.page.context.expect_page() as opened:
        physician.act(ACTION)
    expect(opened.value.locator('#study')).to_contain_text("CT of the head")
    opened.value.close()
