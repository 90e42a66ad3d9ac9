# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patient names that Orthanc lists without some of their letters."""

import datetime as dt
from unittest.mock import patch

from trytond.modules.health_orthanc.core.dicom.file_header import read_header
from trytond.modules.health_orthanc.core.orthanc.errors import (
    NotFound, TimedOut)
from trytond.modules.health_orthanc.core.orthanc.resources import (
    PatientResource, StudyResource)
from trytond.modules.health_orthanc.linking.link import evaluate
from trytond.modules.health_orthanc.synchronization import damaged_names
from trytond.modules.health_orthanc.synchronization.store import (
    store_patients, store_studies)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from tests.unit.test_patient_names import JAPANESE, with_name

from .tools import (
    PATIENT, STUDY, OrthancTestCase, create_order, create_patient,
    create_series, create_server, in_place, match_study)

SPANISH = 'Núñez^Ana'
BIRTH = dt.date(1964, 8, 12)


class Orthanc:
    """An archive with one instance, which counts how often it is read"""

    def __init__(self, charset='', value=b'', error=None):
        self.content = with_name(charset, value)
        self.error = error
        self.read = 0

    def bulk_content(self, ids):
        return [{'ID': id_, 'Instances': ['one', 'two']} for id_ in ids]

    def instance_header(self, instance):
        self.read += 1
        if self.error:
            raise self.error
        return read_header(self.content)


class DamagedNamesTestCase(OrthancTestCase):

    def setUp(self):
        super().setUp()
        patcher = patch.object(damaged_names, 'in_transaction', in_place)
        patcher.start()
        self.addCleanup(patcher.stop)

    def listed(self, name, **tags):
        "Return the resources of a study, as Orthanc lists it"
        patient = {
            'PatientName': name, 'PatientID': 'EXT-1', 'PatientSex': 'F',
            'PatientBirthDate': '19640812', **tags}
        study = StudyResource.from_json({
                'ID': 'study', 'ParentPatient': 'patient',
                'Series': ['series'], 'MainDicomTags': {
                    'StudyInstanceUID': '1.2.3.77', 'StudyDate': '20260304'},
                'PatientMainDicomTags': patient})
        return study, PatientResource.from_json({
                'ID': 'patient', 'Studies': ['study'],
                'MainDicomTags': patient})

    def synchronize(self, server, orthanc, name, only_damaged=False, **tags):
        "Store what is listed, read the name, and return the study"
        study, patient = self.listed(name, **tags)
        store_patients(server, [patient])
        counts = store_studies(server, [study])
        damaged_names.read_names(
            orthanc, server.id, damaged_names.unread_studies(
                server, [study], only_damaged))
        record, = Pool().get(STUDY).search([('server', '=', server.id)])
        return Pool().get(STUDY)(record.id), counts

    @with_transaction()
    def test_the_name_is_read_from_the_file_once(self):
        for charset, value, listed, name, shown in [
                ('UTF-8', SPANISH.encode(), 'Nez^Ana', SPANISH, "Núñez, Ana"),
                ('ISO_IR 149', '김^민'.encode('euc-kr'), '^', '김^민',
                    "김 민"),
                ('ISO 2022 IR 13\\ISO 2022 IR 87', JAPANESE,
                    'ﾔﾏﾀﾞ^ﾀﾛｳ=$B;3ED(J^$BB@O:(J',
                    'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう',
                    "ヤマダ タロウ (山田 太郎)")]:
            with self.subTest(charset=charset):
                server = create_server()
                orthanc = Orthanc(charset, value)
                for _ in range(3):
                    study, _ = self.synchronize(server, orthanc, listed)
                    self.assertEqual(study.patient_name, name)
                    self.assertEqual(study.patient_display_name, shown)
                    self.assertEqual(study.listed_name, listed)
                    self.assertFalse(study.letters_lost)
                    known = study.orthanc_patient
                    self.assertEqual(known.name, name)
                    self.assertEqual(known.display_name, shown)
                self.assertEqual(orthanc.read, 1)
                _, counts = self.synchronize(server, orthanc, listed)
                self.assertFalse(counts['studies_updated'])

    @with_transaction()
    def test_what_was_wrong_is_said(self):
        study, _ = self.synchronize(
            create_server(), Orthanc('UTF-8', SPANISH.encode()), 'Nez^Ana')
        self.assertEqual(
            study.malformed_tags, 'SpecificCharacterSet: UTF-8')

    @with_transaction()
    def test_letters_that_cannot_be_had_are_lost(self):
        server = create_server()
        orthanc = Orthanc('ISO_IR 192', SPANISH.encode('latin-1'))
        for _ in range(2):
            study, _ = self.synchronize(
                server, orthanc, 'Nz^Ana', PatientBirthDate='1964')
            self.assertTrue(study.letters_lost)
            self.assertEqual(study.patient_name, 'N\ufffd\ufffdez^Ana')
            self.assertEqual(
                study.malformed_tags,
                'PatientBirthDate: 1964\nPatientName: Nz^Ana')

    @with_transaction()
    def test_a_file_that_cannot_be_read(self):
        server = create_server()
        orthanc = Orthanc()
        orthanc.content = b'no DICOM'
        study, _ = self.synchronize(server, orthanc, 'N?ez^Ana')
        self.assertTrue(study.letters_lost)
        self.synchronize(server, orthanc, 'N?ez^Ana')
        self.assertEqual(orthanc.read, 1)

    @with_transaction()
    def test_errors_are_tried_again(self):
        for error in [NotFound(), TimedOut()]:
            with self.subTest(error=error), self.assertLogs(
                    'trytond.modules.health_orthanc.engine', 'WARNING'):
                server = create_server()
                orthanc = Orthanc('UTF-8', SPANISH.encode(), error)
                study, _ = self.synchronize(server, orthanc, 'Nez^Ana')
                self.assertEqual(study.patient_name, 'Nez^Ana')
                self.assertIsNone(study.listed_name)
                orthanc.error = None
                study, _ = self.synchronize(server, orthanc, 'Nez^Ana')
                self.assertEqual(study.patient_name, SPANISH)

    @with_transaction()
    def test_another_name_is_read_again(self):
        server = create_server()
        self.synchronize(
            server, Orthanc('UTF-8', SPANISH.encode()), 'Nez^Ana')
        study, _ = self.synchronize(
            server, Orthanc('ISO_IR 100', b'Muster^Ana'), 'Muster^Ana')
        self.assertEqual(study.patient_name, 'Muster^Ana')
        self.assertEqual(study.listed_name, 'Muster^Ana')
        self.assertIsNone(study.malformed_tags)

    @with_transaction()
    def test_a_full_synchronization_reads_what_looks_damaged(self):
        for name, count in [
                ('Nez^Ana', 0), ('Núñez^Ana', 0), ('^', 1), ('N?ez', 1),
                ('', 0)]:
            with self.subTest(name=name):
                orthanc = Orthanc('UTF-8', SPANISH.encode())
                self.synchronize(create_server(), orthanc, name, True)
                self.assertEqual(orthanc.read, count)

    @with_transaction()
    def test_the_comparison_says_so(self):
        patient = create_patient("Núñez", "Ana", dob=BIRTH)
        study, _ = self.synchronize(
            create_server(), Orthanc('ISO_IR 192', b'\xff^\xff'), '^',
            PatientID=patient.party.ref)
        study = match_study(study)
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.patient, patient)
        name = next(
            c for c in evaluate(study).best.comparisons if c.field == 'name')
        self.assertIn(
            name.reason.value, {'letters_lost', 'unknown_letters'})

    @with_transaction()
    def test_an_order_is_found_whatever_is_left_of_the_name(self):
        patient = create_patient("Núñez", "Ana", dob=BIRTH)
        order = create_order(patient, requested=True)
        study, _ = self.synchronize(
            create_server(), Orthanc(error=NotFound()), 'Nez^Ana',
            PatientID=patient.party.ref)
        Pool().get(STUDY).write([study], {
                'study_instance_UID': order.study_instance_uid,
                'accession_number': order.accession_number,
                'date': order.date.date()})
        create_series(study, modality='CT')
        study = match_study(study)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_fields_are_shown_to_whoever_sees_the_study(self):
        for model, names in [
                (STUDY, ['letters_lost', 'listed_name']),
                (PATIENT, ['listed_name'])]:
            view = Pool().get(model).fields_view_get(view_type='form')
            for name in names:
                self.assertIn(name, view['fields'])
