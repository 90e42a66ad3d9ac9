# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left here of images that were deleted."""

import datetime as dt

from trytond.modules.health_orthanc.linking.link import match_orders
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    INSTANCE, SERIES, STUDY, OrthancTestCase, create_instance, create_order,
    create_orthanc_patient, create_series, create_server, create_study,
    create_user)

DELETION = 'gnuhealth.imaging_orthanc.deletion'
RESULT = 'gnuhealth.imaging.test.result'


class DeletionTestCase(OrthancTestCase):

    def setUpStudy(self):
        "Make a study of two series and three instances, linked to an order"
        server = create_server()
        self.order = create_order(requested=True)
        self.study = create_study(
            server, notes="Keep",
            orthanc_patient=create_orthanc_patient(server).id)
        self.series = create_series(self.study, instances_count=2)
        self.instances = [create_instance(self.series) for _ in range(2)]
        self.document = create_series(self.study, modality='SR')
        create_instance(self.document)
        Pool().get(STUDY).write([self.study], {'request': self.order.id})

    def delete(self, record, *gone):
        "Have a deletion from Orthanc be followed"
        pool = Pool()
        Deletion = pool.get(DELETION)
        id_, client, *_ = Deletion._record_request(
            record.__name__, record.id, Transaction().user, " Phantom ")
        client.close()
        Deletion._finish(id_, {r.orthanc_UID for r in [record, *gone]})
        return Deletion(id_)

    @staticmethod
    def again(record):
        # Some is written by SQL
        Transaction().cache.clear()
        return Pool().get(record.__name__)(record.id)

    @with_transaction()
    def test_the_record_of_a_study_is_kept(self):
        self.setUpStudy()
        deletion = self.delete(self.study)
        self.assertEqual(deletion.state, 'done')
        self.assertEqual(deletion.user.id, Transaction().user)
        self.assertEqual(deletion.reason, "Phantom")
        self.assertEqual(deletion.patient, self.order.patient)
        self.assertEqual(
            (deletion.series_count, deletion.instances_count), (2, 3))
        study = self.again(self.study)
        self.assertTrue(study.missing_since)
        self.assertTrue(study.deleted_at)
        self.assertEqual(study.deleted_by.id, Transaction().user)
        self.assertEqual(study.notes, "Keep")
        self.assertEqual(study.patient, self.order.patient)
        self.assertEqual(study.request, self.order)
        self.assertTrue(study.orthanc_patient.missing_since)
        self.assertTrue(all(s.missing_since for s in study.series))
        self.assertFalse(Pool().get(INSTANCE).search([]))

    @with_transaction()
    def test_an_order_is_open_again(self):
        self.setUpStudy()
        self.assertEqual(self.order.state, 'done')
        self.delete(self.study)
        order = self.again(self.order)
        self.assertEqual(order.state, 'requested')
        self.assertEqual(order.steps[0].state, 'scheduled')
        self.assertFalse(Pool().get(RESULT).search(
                [('request', '=', order.id)]))

    @with_transaction()
    def test_a_study_that_returns_is_that_of_its_order(self):
        self.setUpStudy()
        self.delete(self.study)
        Study = Pool().get(STUDY)
        Study.write([self.again(self.study)], {
                'missing_since': None, 'matched_at': None})
        match_orders([self.study.id])
        self.assertEqual(self.again(self.order).state, 'done')
        self.assertTrue(self.again(self.study).imaging_test)

    @with_transaction()
    def test_what_somebody_has_written_stays(self):
        self.setUpStudy()
        result = self.again(self.study).imaging_test
        doctor = create_user('doctor', 'health.group_health_doctor')
        with Transaction().set_user(doctor.id), Transaction().set_context(
                _check_access=True):
            Pool().get(RESULT).write(
                [self.again(result)], {'comment': "No fracture"})
        self.delete(self.study)
        self.assertEqual(self.again(self.study).imaging_test, result)
        self.assertFalse(self.again(result).orthanc_images_unlinked)
        self.assertEqual(self.again(self.order).state, 'done')

    @with_transaction()
    def test_a_series(self):
        self.setUpStudy()
        Pool().get(STUDY).write([self.study], {'modalities': 'CT, SR'})
        self.delete(self.document)
        study = self.again(self.study)
        self.assertFalse(study.missing_since)
        self.assertEqual(study.modalities, 'CT')
        self.assertEqual(
            [s for s in study.series if not s.missing_since], [self.series])
        self.assertEqual(
            Pool().get(INSTANCE).search([], order=[('id', 'ASC')]),
            self.instances)

    @with_transaction()
    def test_the_last_series_takes_the_study_along(self):
        self.setUpStudy()
        self.delete(self.series, self.study)
        self.assertTrue(self.again(self.study).deleted_at)

    @with_transaction()
    def test_an_instance(self):
        self.setUpStudy()
        first, second = self.instances
        self.delete(first)
        series = self.again(self.series)
        self.assertEqual(list(series.instances), [second])
        self.assertEqual(series.instances_count, 1)
        self.delete(second, self.series)
        self.assertTrue(self.again(self.series).missing_since)
        self.assertFalse(self.again(self.study).missing_since)

    @with_transaction()
    def test_a_study_that_is_being_corrected(self):
        pool = Pool()
        self.setUpStudy()
        pool.get('gnuhealth.imaging_orthanc.study.correction').create([{
                    'study': self.study.id, 'server': self.study.server.id,
                    'kind': 'correct', 'state': 'copying',
                    'asked_at': dt.datetime(2026, 3, 4)}])
        Deletion = pool.get(DELETION)
        for record in [self.study, self.series, self.instances[0]]:
            self.assertEqual(Deletion.find_obstacle(record), 'correcting')
        self.assertEqual(
            Pool().get(SERIES).search_count([]), 2)
