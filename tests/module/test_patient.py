# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt

from trytond.model.modelsql import ForeignKeyError
from trytond.modules.health_orthanc.common.exceptions import (
    ResourceAccessError)
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    PATIENT, OrthancTestCase, create_orthanc_patient, create_patient,
    create_result, create_server, create_study)

MISSING = dt.datetime(2026, 3, 5, 8, 0)


def refetched(record):
    return type(record)(record.id)


def choose(orthanc_patient, patient):
    Pool().get(PATIENT).write(
        [orthanc_patient], {'patient': patient.id if patient else None})
    return refetched(orthanc_patient)


class OrthancPatientTestCase(OrthancTestCase):
    "A patient as Orthanc knows it"

    @with_transaction()
    def test_a_choice_is_noted(self):
        patient = create_patient()
        orthanc_patient = create_orthanc_patient(create_server())
        self.assertIsNone(orthanc_patient.decided_by)
        orthanc_patient = choose(orthanc_patient, patient)
        self.assertEqual(orthanc_patient.patient, patient)
        self.assertEqual(orthanc_patient.decided_by.id, Transaction().user)

    @with_transaction()
    def test_a_machine_says_that_nobody_chose(self):
        Patient = Pool().get(PATIENT)
        orthanc_patient = create_orthanc_patient(create_server())
        study = create_study(
            create_server(), orthanc_patient=orthanc_patient.id)
        Patient.write([orthanc_patient], {
                'patient': create_patient().id, 'decided_by': None})
        self.assertIsNone(refetched(orthanc_patient).decided_by)
        self.assertIsNone(refetched(study).patient)

    @with_transaction()
    def test_a_choice_reaches_the_studies(self):
        server, patient = create_server(), create_patient()
        other = create_patient()
        orthanc_patient = create_orthanc_patient(server, ident='ID-1')
        studies = [
            create_study(
                server, orthanc_patient=orthanc_patient.id, patient_id='ID-1',
                **values)
            for values in [
                {},
                {'patient': other.id, 'link_status': 'auto_unsure'},
                {'patient': other.id, 'link_status': 'auto_certain'}]]
        choose(orthanc_patient, patient)
        for study in map(refetched, studies):
            self.assertEqual(study.patient, patient)
            self.assertEqual(study.link_status, 'manual')
            self.assertEqual(study.decided_by.id, Transaction().user)

    @with_transaction()
    def test_a_choice_leaves_what_was_decided(self):
        server, patient = create_server(), create_patient()
        other = create_patient()
        orthanc_patient = create_orthanc_patient(server, ident='ID-1')
        studies = [
            create_study(
                server, orthanc_patient=orthanc_patient.id, patient_id='ID-1',
                **values)
            for values in [
                {'patient': other.id, 'link_status': 'manual'},
                {'link_status': 'dismissed'},
                {'decided_by': Transaction().user},
                {'patient': other.id, 'link_status': 'auto_unsure',
                    'imaging_test': create_result(other).id}]]
        before = [(s.patient, s.link_status) for s in studies]
        choose(orthanc_patient, patient)
        self.assertEqual([
                (s.patient, s.link_status)
                for s in map(refetched, studies)], before)

    @with_transaction()
    def test_a_choice_is_taken_back(self):
        server, patient = create_server(), create_patient()
        orthanc_patient = create_orthanc_patient(server, patient=patient.id)
        study = create_study(
            server, orthanc_patient=orthanc_patient.id, patient=patient.id,
            link_status='auto_certain')
        orthanc_patient = choose(orthanc_patient, None)
        self.assertIsNone(orthanc_patient.patient)
        self.assertEqual(orthanc_patient.decided_by.id, Transaction().user)
        study = refetched(study)
        self.assertIsNone(study.patient)
        self.assertEqual(study.link_status, 'unlinked')

    @with_transaction()
    def test_is_found(self):
        server = create_server(label="Archive")
        found = create_orthanc_patient(
            server, name='Ejemplo^Juan', display_name="Ejemplo, Juan",
            ident='ID-4711', uuid='o-1', bd=dt.date(1980, 2, 29), sex='M')
        create_orthanc_patient(create_server())
        Patient = Pool().get(PATIENT)
        for clause in [
                ('rec_name', 'ilike', '%juan ejemplo%'),
                ('rec_name', 'ilike', '%4711%'),
                ('rec_name', 'ilike', '%ejemplo^%'),
                ('display_name', 'ilike', '%juan%'),
                ('name', '=', 'Ejemplo^Juan'),
                ('ident', '=', 'ID-4711'),
                ('uuid', '=', 'o-1'),
                ('bd', '=', dt.date(1980, 2, 29)),
                ('sex', '=', 'M'),
                ('server_label', '=', "Archive"),
                ('server', '=', server.id)]:
            with self.subTest(clause=clause):
                self.assertEqual(Patient.search([clause]), [found])

    @with_transaction()
    def test_every_sortable_column_sorts(self):
        Patient = Pool().get(PATIENT)
        for name in ["B", "A"]:
            create_orthanc_patient(create_server(), display_name=name)
        self.assertEqual(
            [p.display_name for p in Patient.search([])], ["A", "B"])
        for name, definition in Patient.fields_get().items():
            if definition['sortable']:
                with self.subTest(field=name):
                    self.assertEqual(len(
                            Patient.search([], order=[(name, 'ASC')])), 2)

    @with_transaction()
    def test_name_of_the_record(self):
        server = create_server()
        for values, name in [
                ({}, "Muster, Erika"),
                ({'display_name': None, 'ident': 'ID-1'}, 'ID-1'),
                ({'display_name': None, 'ident': None, 'uuid': 'o'}, 'o')]:
            with self.subTest(name=name):
                self.assertEqual(
                    create_orthanc_patient(server, **values).rec_name, name)

    @with_transaction()
    def test_tabs(self):
        server, patient = create_server(), create_patient()
        expected = {
            create_orthanc_patient(server): {"Unlinked", "All"},
            create_orthanc_patient(server, patient=patient.id): {
                "Linked", "All"},
            create_orthanc_patient(server, missing_since=MISSING): {
                "Missing on Server", "All"},
            }
        tabs = Pool().get('ir.action.act_window.domain').search([
                ('act_window.res_model', '=', PATIENT)])
        found = {p: set() for p in expected}
        for tab in tabs:
            for record in Pool().get(PATIENT).search(
                    PYSONDecoder().decode(tab.domain)):
                found[record].add(tab.name)
        self.assertEqual(found, expected)

    @with_transaction()
    def test_is_not_copied(self):
        with self.assertRaises(ResourceAccessError):
            Pool().get(PATIENT).copy(
                [create_orthanc_patient(create_server())])

    @with_transaction()
    def test_a_patient_that_was_chosen_stays(self):
        patient = create_patient()
        create_orthanc_patient(create_server(), patient=patient.id)
        with self.assertRaises(ForeignKeyError):
            Pool().get('gnuhealth.patient').delete([patient])


class PatientTestCase(OrthancTestCase):
    "Patients and results of GNU Health"

    @with_transaction()
    def test_counts_and_last_date(self):
        server = create_server()
        patient, other = create_patient(), create_patient()
        for day in [3, 1, 2]:
            create_study(
                server, patient=patient.id, date=dt.date(2026, 1, day))
        create_study(server, patient=patient.id, date=None)
        create_study(
            server, patient=patient.id, date=dt.date(2026, 2, 1),
            missing_since=MISSING)
        patient, other = map(refetched, [patient, other])
        self.assertEqual(patient.orthanc_studies_count, 4)
        self.assertEqual(
            patient.orthanc_last_study_date, dt.date(2026, 1, 3))
        self.assertEqual(len(patient.orthanc_studies), 5)
        self.assertEqual(other.orthanc_studies_count, 0)
        self.assertIsNone(other.orthanc_last_study_date)
        self.assertEqual(other.orthanc_studies, ())

    @with_transaction()
    def test_last_date_of_undated_studies(self):
        patient = create_patient()
        create_study(create_server(), patient=patient.id, date=None)
        patient = refetched(patient)
        self.assertEqual(patient.orthanc_studies_count, 1)
        self.assertIsNone(patient.orthanc_last_study_date)

    @with_transaction()
    def test_orthanc_patients(self):
        patient = create_patient()
        one, other = (
            create_orthanc_patient(create_server(), patient=patient.id)
            for _ in range(2))
        self.assertEqual(
            set(refetched(patient).orthanc_patients), {one, other})

    @with_transaction()
    def test_a_copied_result_has_no_studies(self):
        patient = create_patient()
        result = create_result(patient)
        study = create_study(
            create_server(), patient=patient.id, imaging_test=result.id)
        copy, = type(result).copy([result], {'number': None})
        self.assertEqual(copy.orthanc_studies, ())
        self.assertEqual(refetched(result).orthanc_studies, (study,))

    @with_transaction()
    def test_a_deleted_result_leaves_its_studies(self):
        patient = create_patient()
        result = create_result(patient)
        study = create_study(
            create_server(), patient=patient.id, imaging_test=result.id)
        type(result).delete([result])
        study = refetched(study)
        self.assertIsNone(study.imaging_test)
        self.assertEqual(study.patient, patient)
