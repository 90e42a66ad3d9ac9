# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is attached to results and patients, and what follows."""

import datetime as dt
import io
import zipfile
from unittest.mock import patch

from PIL import Image

from trytond import backend
from trytond.modules.company.tests import create_company, set_company
from trytond.modules.health_orthanc.common.rows import insert_rows
from trytond.modules.health_orthanc.core.orthanc.images import FoundImage
from trytond.modules.health_orthanc.core.orthanc.resources import (
    InstanceResource)
from trytond.modules.health_orthanc.exchange import attachment
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    INSTANCE, STUDY, OrthancTestCase, create_instance, create_order,
    create_patient, create_result, create_series, create_server, create_study)

ATTACHMENT = 'ir.attachment'
RESULT = 'gnuhealth.imaging.test.result'
SERVER = 'gnuhealth.orthanc.config'
REPORT = 'patient.imaging_report_results'


def png(level=0):
    stream = io.BytesIO()
    Image.new('L', (4, 4), level).save(stream, 'PNG')
    return stream.getvalue()


def found():
    return FoundImage(
        InstanceResource.from_json({
                'ID': 'image', 'Type': 'Instance', 'ParentSeries': 'series',
                'MainDicomTags': {
                    'SOPInstanceUID': '1.2.3', 'InstanceNumber': '7',
                    'ImagePositionPatient': '1\\2\\3'}}), png())


class AttachmentTestCase(OrthancTestCase):

    def attachments(self, resource):
        # Some is written by SQL
        Transaction().cache.clear()
        return Pool().get(ATTACHMENT).search(
            [('resource', '=', str(resource))])


class ReportTestCase(AttachmentTestCase):

    def attach(self, instance, result, image):
        attachment._attach_images(
            Transaction().user, [(instance.id, result.id, image)])

    @with_transaction()
    def test_an_image_is_attached_once_and_printed(self):
        result = create_result(create_patient())
        study = create_study(
            create_server(), patient=result.patient.id,
            imaging_test=result.id, link_status='manual')
        series = create_series(study)
        instance = create_instance(
            series, instance_number=7, image_position_patient='1, 2, 3')
        other = create_instance(series)
        for level in [0, 255]:
            self.attach(instance, result, png(level))
        attached, = self.attachments(result)
        self.assertEqual(attached.name, instance.sop_instance_UID)
        self.assertEqual(
            attached.description, "Instance No.: 7\nImage Position: 1, 2, 3")
        self.assertEqual(attached.data, png(255))
        instance, other = Pool().get(INSTANCE).browse([instance, other])
        self.assertTrue(instance.attached)
        self.assertFalse(other.attached)
        Action = Pool().get('ir.action.report')
        with Transaction().set_user(0):
            # As PDF it takes LibreOffice
            Action.write(
                Action.search([('report_name', '=', REPORT)]),
                {'extension': ''})
        with set_company(create_company()):
            _, report, *_ = Pool().get(REPORT, type='report').execute(
                [result.id], {'model': RESULT})
        with zipfile.ZipFile(io.BytesIO(report)) as file:
            pictures = [n for n in file.namelist() if 'Pictures/' in n]
        self.assertEqual(len(pictures), 1)

    @with_transaction()
    def test_a_result_that_changed_meanwhile(self):
        patient = create_patient()
        result, other = create_result(patient), create_result(patient)
        study = create_study(
            create_server(), patient=patient.id, imaging_test=other.id,
            link_status='manual')
        instance = create_instance(create_series(study))
        with self.assertUserError('msg_attachment_changed'):
            self.attach(instance, result, png())
        self.assertFalse(self.attachments(result))
        self.assertFalse(self.attachments(other))

    @with_transaction()
    def test_a_study_without_a_result(self):
        study = create_study(create_server())
        instance = create_instance(create_series(study))
        with self.assertUserError('msg_attachment_no_result'):
            attachment.attach_to_results([instance])


class KeyImageTestCase(AttachmentTestCase):

    def study(self, server=None, **values):
        study = create_study(server or create_server(
                key_image=True, start_date=dt.date(2026, 1, 1)),
            stable=True, **values)
        create_series(study)
        return study

    def linked(self, **values):
        return self.study(
            patient=create_patient().id, link_status='manual', **values)

    @staticmethod
    def due(study):
        return attachment._without_key_image(study.server.id, 10)

    @with_transaction()
    def test_no_run_looks_for_them_among_all_studies(self):
        if backend.name != 'postgresql':
            return
        patient, server = create_patient().id, create_server(key_image=True)
        insert_rows(Pool().get(STUDY), [{
                    'server': server.id, 'orthanc_UID': f'key{number}',
                    'link_status': 'auto_certain', 'patient': patient,
                    'historical': number % 100 > 0, 'stable': True,
                    } for number in range(3000)])
        cursor = Transaction().connection.cursor()
        cursor.execute('ANALYZE gnuhealth_imaging_orthanc_study')
        statement, parameters = attachment._key_image_query(server.id, 100)
        cursor.execute(f'EXPLAIN {statement}', parameters)
        plan = '\n'.join(line for line, in cursor)
        self.assertRegex(plan, r'Index Scan (using|on) idx_')
        self.assertNotIn('Seq Scan on gnuhealth_imaging_orthanc_study', plan)
        # Nothing is read if the server has none
        Pool().get(SERVER).write([server], {'key_image': False})
        with patch.object(attachment, '_key_image_query') as query:
            self.assertEqual(attachment._without_key_image(server.id, 10), [])
            query.assert_not_called()

    def keep(self, study):
        attachment._store_key_image(study.id, found())
        Transaction().cache.clear()
        return Pool().get(STUDY)(study.id)

    @with_transaction()
    def test_which_studies_get_one(self):
        for due, study in [
                (True, self.linked()),
                (True, self.linked(date=None)),
                (True, self.linked(date=dt.date(2015, 12, 31))),
                (False, self.linked(historical=True)),
                (False, self.linked(missing_since=dt.datetime(2026, 4, 1))),
                (False, self.study()),
                (False, self.study(
                        patient=create_patient().id,
                        link_status='auto_unsure')),
                (False, self.linked(server=create_server())),
                ]:
            self.assertEqual(self.due(study), [study.id] if due else [])
        study = self.linked()
        Pool().get(STUDY).write([study], {'stable': False})
        self.assertEqual(self.due(study), [])

    @with_transaction()
    def test_images_of_a_rejected_step_are_passed_over(self):
        order, study = create_order(requested=True), self.study()
        Study = Pool().get(STUDY)
        Study.write([study], {'request': order.id})
        self.assertEqual(self.due(study), [study.id])
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        Step.reject_because(list(order.steps), "Blurred")
        self.assertEqual(self.due(study), [])

    @with_transaction()
    def test_which_series_are_looked_at(self):
        study = self.linked()
        for number, modality in [
                ('10', 'CT'), ('2', 'MR'), ('1', 'SR'), ('3', 'KO')]:
            create_series(
                study, modality=modality, series_number=number,
                orthanc_UID=number)
        self.assertEqual(
            attachment._series_with_images(study.id)[:2], ['2', '10'])

    @with_transaction()
    def test_it_is_attached_once(self):
        study = self.keep(self.linked())
        attached, = self.attachments(study.patient)
        self.assertEqual(attached.name, '1.2.3')
        self.assertIn("Instance No.: 7", attached.description)
        self.assertIn(study.server.link_base_url, attached.description)
        self.assertIn(study.orthanc_UID, attached.description)
        self.assertEqual(self.due(study), [])
        Pool().get(ATTACHMENT).delete([attached])
        self.assertEqual(self.due(study), [])

    @with_transaction()
    def test_a_study_without_images_is_not_looked_at_again(self):
        study = self.linked()
        attachment._store_key_image(study.id, None)
        self.assertEqual(self.due(study), [])
        self.assertFalse(self.attachments(study.patient))

    @with_transaction()
    def test_it_does_not_stay_with_another_patient(self):
        study = self.keep(self.linked())
        patient, other = study.patient, create_patient()
        Study = Pool().get(STUDY)
        Study.write([study], {'patient': other.id})
        self.assertFalse(self.attachments(patient))
        self.assertEqual(self.due(study), [study.id])
        self.keep(study)
        self.assertEqual(len(self.attachments(other)), 1)
        Study.write([study], {'patient': None})
        self.assertFalse(self.attachments(other))

    @with_transaction()
    def test_it_goes_with_a_result_that_nobody_wrote(self):
        order, study = create_order(requested=True), self.study()
        Study = Pool().get(STUDY)
        Study.write([study], {'request': order.id})
        study = self.keep(study)
        result = study.imaging_test
        self.assertEqual(len(self.attachments(result)), 1)
        Study.write([study], {'patient': None})
        self.assertFalse(self.attachments(result))
        self.assertFalse(Pool().get(RESULT).search(
                [('request', '=', order.id)]))

    @with_transaction()
    def test_what_a_person_attached_is_not_doubled(self):
        result = create_result(create_patient())
        study = self.study(
            patient=result.patient.id, imaging_test=result.id,
            link_status='manual')
        Pool().get(ATTACHMENT).create([{
                    'resource': str(result), 'name': '1.2.3',
                    'description': "Look here", 'data': b'x'}])
        study = self.keep(study)
        attached, = self.attachments(result)
        self.assertEqual(attached.description, "Look here")
        self.assertIsNone(study.key_image)
        self.assertTrue(study.key_image_at)

    @with_transaction()
    def test_what_a_person_attaches_stays(self):
        result = create_result(create_patient())
        study = self.keep(self.study(
                patient=result.patient.id, imaging_test=result.id,
                link_status='manual'))
        instance = create_instance(
            study.series[0], sop_instance_UID='1.2.3')
        attachment._attach_images(
            Transaction().user, [(instance.id, result.id, png())])
        Pool().get(STUDY).write([study], {'patient': None})
        self.assertEqual(len(self.attachments(result)), 1)

    @with_transaction()
    def test_failures_come_last(self):
        study = self.linked()
        other = self.linked(server=study.server)
        attachment._write_study(
            study.id, {'key_image_tried_at': dt.datetime(2026, 4, 1)})
        self.assertEqual(self.due(study), [other.id, study.id])
