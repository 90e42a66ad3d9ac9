# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders, from the physician to the device and back."""
import re

from playwright.sync_api import expect

from .client import ATTEMPTS
from .clinic import GREEK, REVIEWER

IMAGING = ["Health", "Medical Imaging"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]


def order(client, patient, study):
    """Order a study with GNU Health's wizard."""
    client.menu(*IMAGING, "Medical Imaging - New order")
    # What is entered before would be overwritten by the defaults
    expect(client.dialog().get_by_label("Health Prof:").locator(
            'option:checked')).to_have_text("Musterfrau, Cora")
    for _ in range(ATTEMPTS):
        client.field('patient').fill('')
        client.choose('patient', patient.partition(',')[0], patient)
        if client.field('patient').input_value() == patient:
            break
    client.choose('tests', study, study)
    client.expect_column("Name", study)
    client.press("Request")
    client.expect_column("Study", study)
    client.press("Request Now")
    client.expect_no_dialog()
    client.expect_column("Study", study)
    client.expect_column("Worklist", "On the worklist")


def open_steps(client):
    client.menu(*IMAGING, "Orthanc", "Scheduled Steps")


def test_rejected_study_is_ordered_again(
        physician, radiographer, log_in_as, clinic):
    order(physician, "Esimerkki, Aki", "CT of the Head")
    physician.column("Date").dblclick()
    physician.expect_selected('state', "Requested")
    physician.expect_column("State", "Scheduled")

    open_steps(radiographer)
    expect(radiographer.cell("Patient", "Esimerkki, Aki")).to_have_count(1)
    # Beside those of other tests
    expect(radiographer.filter_count("Today")).to_have_text(
        re.compile('[1-9]'))
    expect(radiographer.filter_count("Incomplete")).to_have_text('0')
    radiographer.cell("Study", "CT of the Head").dblclick()
    radiographer.press("Start")
    radiographer.expect_selected('state', "In Progress")
    radiographer.press("Reject")
    radiographer.dialog().wait_for()
    radiographer.submit("Reject", reason="The patient moved")
    radiographer.expect_no_dialog()
    radiographer.expect_selected('state', "Rejected")
    radiographer.expect_value('rejection_reason', "The patient moved")

    physician.reload()
    expect(physician.field('to_repeat')).to_be_checked()
    physician.expect_column("Rejection Reason", "The patient moved")
    number = physician.field('accession_number').input_value()
    physician.press("Order Again")
    physician.field('replaces').wait_for()
    physician.expect_selected('state', "Requested")
    assert physician.field('accession_number').input_value() != number

    radiographer = log_in_as('radiographer')
    open_steps(radiographer)
    expect(radiographer.cell("Patient", "Esimerkki, Aki")).to_have_count(1)
    # The client presses buttons of the row that is selected only
    radiographer.column("Study").click()
    radiographer.press("Complete")
    expect(radiographer.button("Complete")).to_be_hidden()
    radiographer.filter("Done")
    # Beside those of other tests
    expect(radiographer.cell("Patient", "Esimerkki, Aki")).to_have_count(1)

    physician.reload()
    physician.expect_selected('state', "Done")


def test_reviewer_sees_steps_and_starts_none(log_in_as, clinic):
    clinic.add_order(GREEK, 'US-ABDOMEN')
    reviewer = log_in_as(REVIEWER)
    open_steps(reviewer)
    reviewer.cell("Study", "Ultrasound of the Abdomen").first.dblclick()
    reviewer.expect_selected('state', "Scheduled")
    expect(reviewer.field('station_aetitle')).not_to_be_editable()
    for name in ["Start", "Complete", "Reject", "Cancel Step"]:
        expect(reviewer.button(name)).to_have_count(0)


def test_broken_template_is_refused(administrator):
    administrator.menu(*CONFIGURATION, "Worklist Templates")
    administrator.cell("Name", "Standard").dblclick()
    administrator.expect_value('name', "Standard")
    template = administrator.field('template')
    text = template.input_value()
    line, = [
        number for number, content in enumerate(text.splitlines(), 1)
        if '(0010,0010)' in content]
    template.fill(text.replace('$PatientName', '$PatientNane'))
    administrator.field('name').click()
    administrator.within('nav.toolbar button#save').click()
    dialog = administrator.dialog()
    expect(dialog).to_contain_text(f"Line {line} of the template")
    expect(dialog).to_contain_text("PatientNane")
