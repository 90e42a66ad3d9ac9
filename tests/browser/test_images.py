# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images leave Orthanc: into the report, onto the disc, for good."""
import zipfile

from playwright.sync_api import expect

from proteus import Model

from .clinic import GREEK

ATTACHMENT = 'ir.attachment'
# Milliseconds
TIMEOUT = 40_000


def open_study(client, study):
    client.open_record(study)
    client.field('patient_id').wait_for()


def test_attach_to_the_report(clerk, clinic):
    study = clinic.add_study("Anhang^Anna")
    study.request = clinic.add_order(GREEK, 'CT-HEAD').request
    study.save()
    study.reload()
    open_study(clerk, study)
    clerk.cell("Description", "Chest 1").dblclick()
    clerk.dialog().wait_for()
    clerk.cell("Instance No.", '1').dblclick()
    clerk.field('sop_instance_UID').wait_for()
    expect(clerk.field('attached')).not_to_be_checked()
    for _ in range(2):
        clerk.press("Attach to Report")
        expect(clerk.field('attached')).to_be_checked()
    resource = f'gnuhealth.imaging.test.result,{study.imaging_test.id}'
    attached, = Model.get(ATTACHMENT).find([('resource', '=', resource)])
    assert attached.name == study.series[0].instances[0].sop_instance_UID


def test_download_a_study(clerk, clinic):
    study = clinic.add_study("Laden^Lisa")
    open_study(clerk, study)
    downloads = []
    context = clerk.page.context
    context.once('page', lambda page: page.once(
            'download', lambda download: downloads.append(download)))
    with context.expect_page() as opened:
        clerk.act("Download Images")
    page = opened.value
    expect(page.locator('p')).to_contain_text("The download is starting")
    for _ in range(TIMEOUT // 100):
        if downloads:
            break
        page.wait_for_timeout(100)
    download, = downloads
    assert download.suggested_filename == f'study-{study.id}.zip'
    with zipfile.ZipFile(download.path()) as file:
        assert len(file.namelist()) == 1
    # Neither the address bar nor the history keeps the ticket
    assert '#' not in page.url
    page.close()


def test_delete_a_study(administrator, clinic):
    study = clinic.add_study("Loesch^Lena")
    open_study(administrator, study)
    administrator.press("Delete from Orthanc")
    administrator.dialog().wait_for()
    expect(administrator.field('question')).to_have_value(
        "This permanently deletes images of Loesch, Lena from Orthanc. "
        "Series: 1. Images: 1.")
    administrator.press("Cancel")
    administrator.expect_no_dialog()
    assert clinic.orthanc.get(f'/studies/{study.orthanc_UID}')
    administrator.press("Delete from Orthanc")
    administrator.dialog().wait_for()
    administrator.enter(reason="Phantom")
    administrator.press("Delete from Orthanc")
    expect(administrator.field('message')).to_have_value(
        "Deleted: 1. Not deleted or not yet confirmed: 0.")
    administrator.press("Close")
    administrator.expect_no_dialog()
    expect(administrator.field('missing_since').first).to_be_visible()
    assert study.orthanc_UID not in clinic.orthanc.get('/studies')
