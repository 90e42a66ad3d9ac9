# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt
import json

from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from tests.unit.fake_orthanc import FakeOrthanc, reply_json

from .tools import (
    STUDY, OrthancTestCase, RpcTestCase, create_patient, create_server,
    create_study, create_user)

CORRECTION = 'gnuhealth.imaging_orthanc.study.correction'
WIZARD = 'gnuhealth.imaging_orthanc.correct_identity'


def correction_of(study, **values):
    correction, = Pool().get(CORRECTION).create([{
                'study': study.id,
                'server': study.server.id,
                'kind': 'correct',
                'asked_at': dt.datetime(2026, 3, 4),
                **values}])
    return correction


class ReconciliationTestCase(OrthancTestCase):
    "What can be corrected"

    @staticmethod
    def study(**values):
        server = create_server(
            correct_identity=values.pop('correct_identity', True))
        return create_study(server, **{
                'patient': create_patient().id, 'link_status': 'manual',
                **values})

    def assertObstacle(self, reason, study, kind='correct'):
        Correction = Pool().get(CORRECTION)
        self.assertEqual(Correction.find_obstacle(study, kind), reason)
        self.assertEqual(
            Correction.queue_corrections([study], kind),
            [] if reason else [study])

    @with_transaction()
    def test_only_sure_links_where_it_is_switched_on(self):
        self.assertFalse(create_server().correct_identity)
        self.assertObstacle('off', self.study(correct_identity=False))
        self.assertObstacle('missing', self.study(
                missing_since=dt.datetime(2026, 3, 4)))
        self.assertObstacle('not_linked', self.study(
                link_status='auto_unsure'))
        self.assertObstacle('not_linked', self.study(
                patient=None, link_status='unlinked'))
        self.assertObstacle('never', self.study(), 'restore')
        self.assertObstacle(None, self.study(link_status='auto_certain'))
        study = self.study()
        self.assertObstacle(None, study)
        self.assertObstacle('open', study)

    @with_transaction()
    def test_what_is_restored_is_what_the_images_said_first(self):
        Correction = Pool().get(CORRECTION)
        study = self.study()
        for kind, state, source in [
                ('correct', 'done', 'a'), ('restore', 'done', 'b'),
                ('correct', 'refused', 'c'), ('correct', 'done', 'd'),
                ('correct', 'done', 'e'), ('correct', 'refused', 'f')]:
            correction_of(study, kind=kind, state=state, source_UID=source)
        self.assertIsNone(Correction.find_obstacle(study, 'restore'))
        self.assertEqual(
            Correction._first_correction(study).source_UID, 'd')

    @with_transaction()
    def test_corrections_are_edited_by_nobody(self):
        Correction = Pool().get(CORRECTION)
        correction = correction_of(self.study())
        with Transaction().set_context(_check_access=True):
            with self.assertRaises(AccessError):
                Correction.write([correction], {'state': 'done'})
            with self.assertRaises(AccessError):
                Correction.delete([correction])

    @with_transaction()
    def test_reasons_are_told(self):
        correction = correction_of(
            self.study(), state='refused', reason='collision')
        self.assertIn("under the new patient ID", correction.message)
        correction.reason, correction.error_kind = None, 'job_failed'
        self.assertIn("job of Orthanc", correction.get_message('message'))


class CorrectionWizardTestCase(RpcTestCase):
    "The wizard, with an Orthanc that knows one study"

    def setUp(self):
        super().setUp()
        self.orthanc = FakeOrthanc()
        self.orthanc.__enter__()
        self.addCleanup(self.orthanc.__exit__)
        with Transaction().start(self.db_name, 1) as transaction:
            server = create_server(
                domain=self.orthanc.url, correct_identity=True)
            patient = create_patient(
                family="Muster", given="Erika", dob=dt.date(1964, 8, 12))
            studies = [
                create_study(
                    server, orthanc_UID='s', patient=patient.id,
                    link_status='manual'),
                create_study(
                    server, patient=patient.id, link_status='auto_unsure')]
            self.ids = [s.id for s in studies]
            self.puid = patient.puid
            self.user = create_user(
                f'admin{server.id}',
                'health_orthanc.group_imaging_orthanc_admin').id
            transaction.commit()
        for path, answer in [
                ('/studies/s', {
                        'ID': 's', 'IsStable': True, 'Series': ['q'],
                        'MainDicomTags': {'StudyInstanceUID': '1.2'}}),
                ('/studies/s/instances', [{'ID': 'i', 'FileSize': 100}]),
                ('/series/q/instances-tags', {'i': {
                            '0008,0018': {'Value': '1.2.3'},
                            '0010,0010': {'Value': '<b>Fritz'},
                            '0010,0020': {'Value': 'WRONG'}}}),
                ('/tools/find', ['s']),
                ('/system', {}),
                ('/statistics', {'CountPatients': 1, 'TotalDiskSizeMB': 1}),
                ]:
            self.orthanc.script(path, reply_json(answer))

    def context(self):
        return {
            'active_model': STUDY, 'active_id': self.ids[0],
            'active_ids': self.ids}

    def test_old_and_new_values_are_shown(self):
        session = self.session(self.user)
        id_, state, _ = session.wizard(WIZARD, 'create', **self.context())
        answer = session.wizard(
            WIZARD, 'execute', id_, {}, state, **self.context())
        shown = answer['view']['defaults']
        self.assertEqual(shown['ready'], 1)
        *lines, refused = shown['lines']
        self.assertEqual(
            {line['field']: (line['before'], line['after'])
                for line in lines}, {
                'PatientID': ('WRONG', self.puid),
                'PatientName': ('<b>Fritz', "Muster^Erika"),
                'PatientBirthDate': (None, '19640812'),
                'PatientSex': (None, 'F'),
                })
        self.assertIn("confirm its link", refused['remark'])
        # Nothing was changed by looking
        self.assertEqual(
            {r.method for r in self.orthanc.received if r.method != 'GET'},
            {'POST'})
        self.assertEqual({
                r.path for r in self.orthanc.received if r.method == 'POST'},
            {'/tools/find'})

    def test_those_that_can_be_are_asked_for(self):
        session = self.session(self.user)
        id_, *_ = session.wizard(WIZARD, 'create', **self.context())
        answer = session.wizard(
            WIZARD, 'execute', id_, {'show': {
                    'ready': 1, 'lines': [{'id': -1, 'field': 'PatientID'}],
                    }}, 'correct', **self.context())
        self.assertIn(": 1.", answer['view']['defaults']['message'])
        row, = session.model(
            CORRECTION, 'search_read', [('study', 'in', self.ids)], 0, None,
            None, ['study', 'user'])
        self.assertEqual(
            (row['study'], row['user']), (self.ids[0], self.user))
        modified = [
            json.loads(r.body) for r in self.orthanc.received
            if r.path == '/tools/bulk-modify']
        self.assertTrue(all(m['KeepSource'] for m in modified))
