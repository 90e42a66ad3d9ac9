# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from playwright.sync_api import expect

from proteus import Model

from .clinic import ESIMERKKI, MUSTER, TODAY


@pytest.fixture
def stopped_orthanc(clinic):
    clinic.orthanc.kill()
    yield
    clinic.orthanc.start()


def patient_of(person):
    patient, = Model.get('gnuhealth.patient').find(
        [('puid', '=', person.puid)])
    return patient


def open_study(client, clinic, name="Muster^Erika"):
    client.open_record(clinic.study(name))
    client.field('patient_id').wait_for()


def open_series(client, clinic):
    open_study(client, clinic)
    client.cell("Description", "Head 1").dblclick()
    client.dialog().wait_for()


def test_form(clerk, clinic):
    open_study(clerk, clinic)
    clerk.expect_value('patient', "Muster, Erika")
    clerk.expect_value('patient_display_name', "Muster, Erika")
    clerk.expect_value('patient_id', MUSTER.puid)
    clerk.expect_value('patient_birth_date', "08/12/1964")
    clerk.expect_value('date', f'{TODAY:%m/%d/%Y}')
    clerk.expect_value('study_description', "CT of the head")
    clerk.expect_value('accession_number', 'ACC-CT-8')
    clerk.expect_column("Description", "Head 1", "Head 2")
    expect(clerk.field('missing_since')).to_have_count(0)
    expect(clerk.field('decided_by')).to_have_count(0)


@pytest.mark.release
def test_thumbnail(clerk, clinic):
    open_study(clerk, clinic)
    clerk.expect_image(clerk.within('.form-image img.center-block'))


@pytest.mark.release
def test_instances_are_loaded_when_their_series_is_opened(clerk, clinic):
    open_series(clerk, clinic)
    clerk.expect_column("Instance No.", '1', '2', '3')
    clerk.cell("Instance No.", '2').dblclick()
    clerk.field('sop_instance_UID').wait_for()
    clerk.expect_value('instance_number', '2')
    clerk.expect_image(clerk.within('.form-image img.center-block'))


def test_stopped_orthanc(clerk, clinic, stopped_orthanc):
    open_study(clerk, clinic, "Ejemplo Núñez^Juan José")
    clerk.expect_column("Description", "Chest 1")
    clerk.cell("Description", "Chest 1").dblclick()
    clerk.dialog().wait_for()
    clerk.expect_value('series_description', "Chest 1")
    expect(clerk.page.locator('.modal:visible')).to_have_count(1)
    clerk.press("Load Images")
    expect(clerk.dialog()).to_contain_text("refused the connection")


def test_link_by_hand(clerk, clinic):
    study = clinic.add_study("Gast^Lea")
    clerk.open_record(study)
    clerk.field('patient').wait_for()
    clerk.choose('patient', "Esimerkki", "Esimerkki, Aki")
    clerk.expect_value('patient', "Esimerkki, Aki")
    clerk.save()
    expect(clerk.field('link_status').locator('option:checked')).to_have_text(
        "Manual Link")
    clerk.expect_value('decided_by', "Imaging Clerk")


def test_studies_of_patient(clerk, clinic):
    clerk.open_record(patient_of(MUSTER))
    clerk.field('age').wait_for()
    clerk.notebook("Studies")
    clerk.expect_value('orthanc_studies_count', '2')
    clerk.expect_value('orthanc_last_study_date', f'{TODAY:%m/%d/%Y}')
    clerk.expect_column("Modalities", "CT", "MR")


@pytest.mark.release
def test_studies_of_result(clerk, clinic):
    study = clinic.add_study("Gast^Ole")
    result = clinic.add_result(patient_of(ESIMERKKI))
    clerk.open_record(study)
    clerk.field('imaging_test').wait_for()
    clerk.choose('imaging_test', result.number, result.rec_name)
    clerk.expect_value('patient', "Esimerkki, Aki")
    clerk.save()
    clerk.open_record(result)
    clerk.notebook("Studies")
    clerk.expect_column("Description", "CR Chest")


def test_physician_cannot_choose_the_patient(physician, clinic):
    open_study(physician, clinic)
    expect(physician.field('patient')).not_to_be_editable()
    physician.notebook("Notes")
    expect(physician.field('notes')).to_be_editable()
