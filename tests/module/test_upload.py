# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt
import errno
import io
import json
import os
import tempfile
import time
from contextlib import contextmanager
from unittest.mock import patch
from xml.dom import minidom

from lxml import etree
from pydicom import Dataset, dcmread

from trytond.config import config
from trytond.pool import Pool
from trytond.transaction import Transaction

from tests.unit.fake_orthanc import (
    SYSTEM, FakeOrthanc, reply, reply_json, status)
from tests.unit.upload_samples import archive, dicom, pack

from .tools import (
    STUDY, Refused, RpcError, RpcTestCase, Told, create_order, create_patient,
    create_server, create_study, create_user)

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
START = 'gnuhealth.imaging_orthanc.upload_image_data.start'
STORED = {
    'ID': 'abc-1', 'ParentStudy': 'abc-2', 'Status': 'Success'}


@contextmanager
def full_disk(code, flag=os.O_CREAT):
    "The disk of the upload folder has no space for what is opened so"
    original = os.fdopen
    opened = os.open
    full = set()

    def remembering(path, flags, *args, **kwargs):
        handle = opened(path, flags, *args, **kwargs)
        if flags & flag:
            full.add(handle)
        return handle

    def refusing(handle, *args, **kwargs):
        if handle in full:
            os.close(handle)
            raise OSError(code, os.strerror(code))
        return original(handle, *args, **kwargs)

    with patch('os.open', remembering), patch('os.fdopen', refusing):
        yield


def long_header():
    "Return a file whose patient comes after the first MiB"
    item = Dataset()
    item.ReferencedSOPInstanceUID = '2.25.' + '1' * 39
    dataset = dcmread(io.BytesIO(dicom()))
    dataset.ReferencedInstanceSequence = [item] * 20_000
    return written(dataset)


def without(keyword):
    dataset = dcmread(io.BytesIO(dicom()))
    delattr(dataset, keyword)
    return written(dataset)


def written(dataset):
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=False)
    return file.getvalue()


class UploadTestCase(RpcTestCase):
    "Somebody who uploads, and an Orthanc"

    @classmethod
    def setUpDatabase(cls):
        cls.clerk = create_user(
            'clerk', 'health_orthanc.group_imaging_orthanc',
            'health.group_health_frontdesk').id
        cls.nobody = create_user('nobody').id
        cls.peer = FakeOrthanc()
        cls.server = create_server(
            label="Archive", domain=cls.peer.url, retries=0)
        cls.patient = create_patient(
            "Betz", "Ana", ref='GNU777ORG', dob=dt.date(1985, 10, 4))
        cls.other = create_patient("Other", "Carl", gender='m')
        cls.order = create_order(cls.other)
        Transaction().commit()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(cls.peer)

    def setUp(self):
        super().setUp()
        self.folder = os.path.join(
            self.enterContext(tempfile.TemporaryDirectory()), 'spool')
        if not config.has_section('health_orthanc'):
            config.add_section('health_orthanc')
        config.set('health_orthanc', 'upload_path', self.folder)
        self.addCleanup(
            config.remove_option, 'health_orthanc', 'upload_path')
        self.peer.received.clear()
        self.peer.script('/system', reply_json(SYSTEM))
        self.peer.script('/instances', reply_json(STORED))
        # What is stored is gone before it is brought in
        self.peer.script('/tools/bulk-content', reply_json([]))
        self.calls = self.session(self.clerk)
        self.id, _, _ = self.calls.wizard(WIZARD, 'create')

    def execute(self, state, **data):
        return self.calls.wizard(WIZARD, 'execute', self.id, data, state)

    def check(self, data, **values):
        "Fill in the first page, and return the second"
        view = self.execute('check', start={
                'server_config': str(self.server.id), 'data_to_upload': data,
                **values})['view']
        self.assertEqual(view['state'], 'review')
        return view['defaults']

    def send(self, **values):
        view = self.execute('send', review=values)['view']
        self.assertEqual(view['state'], 'result')
        return view['defaults']

    def spooled(self):
        "Return the sessions; the files beside each belong to it"
        return [n for n in self.files() if '.' not in n]

    def files(self):
        return os.listdir(self.folder) if os.path.exists(self.folder) else []

    def deleted(self):
        "Return the instances that Orthanc was asked to delete"
        return [
            id_ for r in self.peer.received if r.path == '/tools/bulk-delete'
            for id_ in json.loads(r.body)['Resources']]

    def sent(self):
        return [r.body for r in self.peer.received if r.path == '/instances']

    def kept(self):
        "Return what the database holds of the session"
        with Transaction().start(self.db_name, 1):
            return Pool().get('ir.session.wizard')(self.id).data


class UploadWizardTestCase(UploadTestCase):
    "The wizard as clients go through it"

    # The first page

    def test_servers_are_told_to_those_who_upload(self):
        self.assertEqual(
            self.calls.model(START, 'get_servers'),
            [[str(self.server.id), "Archive"]])
        self.assertEqual(
            self.execute('start')['view']['defaults']['server_config'],
            str(self.server.id))
        nobody = self.session(self.nobody)
        with self.assertRaises(Refused):
            nobody.model(START, 'get_servers')
        self.assertFalse(nobody.model(
                START, 'default_get', ['server_config']).get('server_config'))

    def test_it_starts_from_a_patient_or_an_order(self):
        for model, id_, expected in [
                ('gnuhealth.patient', self.patient.id,
                    (self.patient.id, None)),
                ('gnuhealth.imaging.test.request', self.order.id,
                    (self.other.id, self.order.id)),
                ('ir.ui.menu', None, (None, None)),
                ]:
            context = {'active_model': model}
            if id_:
                context.update(active_id=id_, active_ids=[id_])
            answer = self.calls.wizard(
                WIZARD, 'execute', self.id, {}, 'start', **context)
            defaults = answer['view']['defaults']
            self.assertEqual(
                (defaults.get('patient'), defaults.get('request')), expected)

    def test_unusable_files_are_told_and_not_kept(self):
        for data in [
                b'', b'MULT', pack([dicom()])[:-1], b'MULT' + b'\xff' * 9,
                archive({'a': dicom()})[:-30]]:
            with self.subTest(data=data[:8]):
                with self.assertRaises(Told):
                    self.check(data)
        self.assertEqual(self.files(), [])

    def test_choices_are_checked(self):
        for values in [
                {'server_config': str(self.server.id + 1)},
                {'server_config': 'x'},
                {'server_config': None},
                {'patient': self.patient.id, 'request': self.order.id},
                {'request': self.order.id},
                ]:
            with self.subTest(values=values):
                with self.assertRaises(Told):
                    self.check(dicom(), **values)
        self.assertEqual(self.spooled(), [])

    # The second page

    def test_files_are_shown_before_they_are_sent(self):
        page = self.check(pack([dicom(1), b'MZ', dicom(2, PatientID='')]))
        # By patient; what holds no image comes last
        third, first, second = page['files']
        self.assertEqual(first['state'], 'ready')
        self.assertEqual(first['patient_name'], "Betz, Ana María")
        self.assertEqual(first['patient_id'], 'GNU777ORG')
        self.assertEqual(first['birth_date'], dt.date(1985, 10, 4))
        self.assertEqual(second['state'], 'skipped')
        self.assertIn("not a DICOM file", second['reason'])
        self.assertEqual(third['patient_id'], '')
        self.assertNotIn('fits', first)
        self.assertIsNone(page['chosen'])
        self.assertIsNone(page['contradictions'])
        self.assertEqual(self.peer.received, [])

    def test_files_are_compared_with_the_chosen_patient(self):
        page = self.check(
            pack([
                    dicom(1), dicom(2, PatientBirthDate='19850410'),
                    dicom(3, PatientBirthDate='19501231')]),
            patient=self.patient.id)
        self.assertEqual(
            [f['fits'] for f in page['files']],
            ['contradicts', 'differs', 'fits'])
        self.assertTrue(page['contradictions'])
        self.assertEqual(
            page['chosen'], "Betz, Ana · 1985-10-04 · GNU777ORG".replace(
                "Betz, Ana", self.name_of(self.patient)))
        # What differs is there with both values
        contradicts, differs, fits = (
            f['differences'] for f in page['files'])
        self.assertIn("1985-10-04", contradicts)
        self.assertIn("1950-12-31", contradicts)
        self.assertIn("1985-04-10", differs)
        self.assertNotIn("Birth", fits)

    def name_of(self, patient):
        with Transaction().start(self.db_name, 1):
            return Pool().get('gnuhealth.patient')(patient.id).rec_name

    def test_archives_are_looked_into_before_anything_is_stored(self):
        page = self.check(
            archive({
                    'I10': dicom(1), 'I2': dicom(2), 'VIEWER.EXE': b'MZ',
                    'other': dicom(3, PatientID='X', PatientName='Who^Knows',
                        PatientBirthDate='19501231', PatientSex='M')}),
            patient=self.patient.id)
        self.assertEqual(
            [(f['name'], f['state'], f.get('fits')) for f in page['files']], [
                ('other', 'ready', 'contradicts'),
                ('I2', 'ready', 'fits'), ('I10', 'ready', 'fits'),
                ('VIEWER.EXE', 'skipped', None)])
        self.assertEqual(self.peer.received, [])

    def test_headers_that_are_long_are_read_on(self):
        data = long_header()
        page = self.check(pack([data]))
        self.assertEqual(
            [(f['state'], f['patient_id']) for f in page['files']],
            [('ready', 'GNU777ORG')])
        self.assertEqual(self.check(archive({'a': data}))['files'][0][
                'patient_id'], 'GNU777ORG')

    def test_what_is_missing_is_named(self):
        for name, text in [
                ('SOPClassUID', "SOP class UID"),
                ('StudyInstanceUID', "study, series or SOP instance UID")]:
            with self.subTest(name=name):
                with self.assertRaises(Told) as raised:
                    self.check(without(name))
                self.assertIn(text, str(raised.exception))

    def test_the_id_of_another_patient_contradicts(self):
        page = self.check(
            dicom(PatientName='Other^Carl', PatientSex='M',
                PatientBirthDate=''),
            patient=self.other.id)
        self.assertEqual(page['files'][0]['fits'], 'contradicts')

    def test_many_files_are_listed_up_to_a_limit(self):
        with patch('trytond.modules.health_orthanc.wizard.upload.ROWS_LIMIT',
                2):
            page = self.check(pack([dicom(1), dicom(2), b'x']))
        self.assertEqual(
            [f['state'] for f in page['files']], ['ready', 'ready'])
        self.assertIn("2", page['message'])

    def test_the_database_keeps_no_file(self):
        self.check(dicom(PatientComments='x' * 5000))
        self.assertLess(len(self.kept()), 500)
        self.assertEqual(len(self.files()), 2)
        for file in self.files():
            path = os.path.join(self.folder, file)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.calls.wizard(WIZARD, 'delete', self.id)
        self.assertEqual(self.files(), [])

    def test_what_was_left_is_cleaned_up(self):
        self.check(dicom())
        left, = self.spooled()
        yesterday = time.time() - 25 * 60 * 60
        for file in self.files():
            os.utime(os.path.join(self.folder, file), (yesterday, yesterday))
        self.check(dicom())
        self.assertEqual(len(self.files()), 2)
        self.assertNotIn(left, self.spooled())

    def test_a_full_disk_is_told(self):
        for code in [errno.ENOSPC, errno.EDQUOT]:
            with full_disk(code), self.assertRaises(Told) as raised:
                self.check(dicom())
            self.assertIn("no space", str(raised.exception))
            self.assertEqual(self.files(), [])
        self.check(dicom())
        # While it is noted what was sent
        with full_disk(errno.ENOSPC, os.O_APPEND):
            with self.assertRaises(Told):
                self.send()
        self.assertEqual(
            [f['state'] for f in self.send()['files']], ['stored'])

    def test_a_folder_of_others_is_not_used(self):
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        with self.assertRaises(RpcError):
            self.check(dicom())
        self.assertEqual(self.spooled(), [])

    # Sending

    def test_files_are_sent(self):
        self.peer.script(
            '/instances', reply_json(STORED),
            reply_json({**STORED, 'Status': 'AlreadyStored'}),
            reply(b'{"Message": "Bad file format"}', 400))
        one, two, three = map(dicom, [1, 2, 3])
        page = self.check(pack([one, b'text', two, three]))
        page = self.send(files=page['files'])
        self.assertEqual(
            [f['state'] for f in page['files']],
            ['refused', 'stored', 'present', 'skipped'])
        self.assertIn("Bad file format", page['files'][0]['reason'])
        self.assertEqual(self.sent(), [one, two, three])
        self.assertFalse(page['failed'])
        self.assertNotIn('patient_name', self.kept())
        # What is in Orthanc needs no space here
        self.assertEqual(self.files(), self.spooled())
        self.calls.wizard(WIZARD, 'delete', self.id)
        self.assertEqual(self.files(), [])

    def test_what_was_not_sent_is_sent_later(self):
        self.peer.script(
            '/instances', reply_json(STORED), status(503),
            reply_json(STORED), reply_json(STORED))
        one, two, three = map(dicom, [1, 2, 3])
        self.check(pack([one, two, three]))
        page = self.send()
        self.assertEqual(
            [f['state'] for f in page['files']],
            ['failed', 'stored', 'stored'])
        self.assertTrue(page['failed'])
        self.peer.received.clear()
        page = self.execute('send', result={'failed': True})[
            'view']['defaults']
        self.assertEqual(
            {f['state'] for f in page['files']}, {'stored'})
        self.assertEqual(self.sent(), [two])

    def test_what_was_interrupted_goes_on_where_it_was(self):
        one, two = dicom(1), dicom(2)
        self.check(pack([one, two]))
        with patch(
                'trytond.modules.health_orthanc.wizard.upload.import_studies',
                side_effect=KeyError), self.assertRaises(RpcError):
            self.send()
        self.peer.received.clear()
        self.assertEqual(
            {f['state'] for f in self.send()['files']}, {'stored'})
        self.assertEqual(self.sent(), [])

    def cancel(self, **data):
        answer = self.execute('cancel', **data)
        self.assertNotIn('view', answer)

    def test_cancel_before_sending_leaves_nothing(self):
        self.check(dicom())
        self.cancel(review={})
        self.assertEqual(self.peer.received, [])
        self.calls.wizard(WIZARD, 'delete', self.id)
        self.assertEqual(self.files(), [])

    def test_cancel_takes_back_what_was_stored_and_nothing_else(self):
        self.peer.script(
            '/instances', reply_json({**STORED, 'ID': 'new-1'}),
            reply_json({**STORED, 'ID': 'old', 'Status': 'AlreadyStored'}),
            reply_json({**STORED, 'ID': 'new-2'}), status(503))
        self.peer.script('/tools/bulk-delete', reply_json({}))
        self.check(pack([dicom(n) for n in range(4)]))
        self.assertTrue(self.send()['failed'])
        self.peer.script('/tools/bulk-delete', status(503))
        with self.assertRaises(Told):
            self.cancel(result={'failed': True})
        self.peer.received.clear()
        self.peer.script('/tools/bulk-delete', reply_json({}))
        self.cancel(result={'failed': True})
        self.assertEqual(self.deleted(), ['new-1', 'new-2'])
        # The list of studies follows
        with Transaction().start(self.db_name, 1):
            self.assertTrue(
                Pool().get('gnuhealth.orthanc.notification').search([
                        ('orthanc_UID', '=', STORED['ParentStudy']),
                        ('kind', '=', 'upload')]))
        # A second time there is nothing left
        self.peer.received.clear()
        self.cancel(result={'failed': True})
        self.assertEqual(self.peer.received, [])

    def test_one_button_leads_on(self):
        Wizard = self.wizard_class()
        for name, expected in [
                ('start', 'check'), ('review', 'send'), ('result', 'end')]:
            buttons = getattr(Wizard, name).buttons
            self.assertEqual(
                [b.state for b in buttons if b.default], [expected])
            # All others lead back, or are for errors
            self.assertLessEqual(
                {b.state for b in buttons if not b.default and not b.states},
                {'end', 'cancel'})

    def wizard_class(self):
        with Transaction().start(self.db_name, 1):
            return Pool().get(WIZARD, type='wizard')

    def test_a_server_that_lets_nobody_in_gets_nothing(self):
        self.check(dicom())
        self.peer.script('/system', status(401))
        with self.assertRaises(Told):
            self.send()
        self.assertEqual(self.sent(), [])
        self.assertEqual(len(self.spooled()), 1)

    def test_what_is_lost_is_told(self):
        for files in [self.files, self.spooled]:
            self.check(dicom())
            for name in files():
                os.unlink(os.path.join(self.folder, name))
            with self.assertRaises(Told):
                self.send()

    def test_a_key_leads_nowhere_else(self):
        secret = os.path.join(os.path.dirname(self.folder), 'a' * 32)
        with open(secret, 'wb') as file:
            file.write(dicom())
        self.check(dicom())
        for key in ['../' + 'a' * 32, secret, '', None, 'A' * 32, 1]:
            with self.subTest(key=key):
                with self.assertRaises(Told):
                    self.execute('send', kept={'key': key})
        self.calls.wizard(WIZARD, 'delete', self.id)
        self.assertTrue(os.path.exists(secret))

    # Linking

    def upload_of(self, patient, **values):
        "Send a file of Ana and return the last page and the study"
        with Transaction().start(self.db_name, 1) as transaction:
            study = create_study(
                self.server, patient_id='GNU777ORG',
                patient_name='Betz^Ana María', patient_sex='F',
                patient_birth_date=dt.date(1985, 10, 4))
            uid = study.orthanc_UID
            transaction.commit()
        self.peer.script(
            '/instances', reply_json({**STORED, 'ParentStudy': uid}))
        # It is here already, and nothing has changed
        with patch('trytond.modules.health_orthanc.exchange.upload.Engine'):
            self.check(dicom(), patient=patient.id)
            page = self.send(**values)
        with Transaction().start(self.db_name, 1):
            study = Pool().get(STUDY)(study.id)
            return page, study.patient, study.link_status, (
                study.decided_by.id if study.decided_by else None)

    def test_studies_are_linked_to_the_chosen_patient(self):
        page, patient, link, user = self.upload_of(self.patient)
        self.assertEqual(
            (patient, link, user), (self.patient, 'manual', self.clerk))
        study, = page['studies']
        self.assertIn("GNU777ORG", study['place'])
        self.assertIn("2026-03-04", study['study'])

    def test_who_uploaded_a_study_is_recorded(self):
        self.upload_of(self.patient)
        with Transaction().start(self.db_name, 1):
            Study = Pool().get(STUDY)
            study, = Study.search(
                [('uploaded_today', '=', True)], order=[('id', 'DESC')],
                limit=1)
            self.assertEqual(study.uploaded_by.id, self.clerk)
            self.assertTrue(study.uploaded_today)
            Study.write([study], {
                    'uploaded_at': study.uploaded_at - dt.timedelta(days=2)})
            self.assertFalse(Study(study.id).uploaded_today)
            self.assertNotIn(
                study, Study.search([('uploaded_today', '=', True)]))
            self.assertIn(
                study, Study.search([('uploaded_today', '=', False)]))

    def test_studies_are_not_linked_against_a_contradiction(self):
        page, patient, link, user = self.upload_of(self.other)
        self.assertNotEqual(patient, self.other)
        self.assertIsNone(user)
        self.assertIn("contradict", page['message'])
        study, = page['studies']
        self.assertIn("waiting in", study['place'].lower())

    def test_a_reason_without_a_confirmation_is_none(self):
        _, patient, _, _ = self.upload_of(
            self.other, confirmed=False, reason="Sure")
        self.assertNotEqual(patient, self.other)

    def test_a_person_may_link_against_a_contradiction(self):
        _, patient, link, user = self.upload_of(
            self.other, confirmed=True, reason="Wrong bracelet")
        self.assertEqual(
            (patient, link, user), (self.other, 'manual', self.clerk))


class UploadRouteTestCase(UploadTestCase):
    "Files that are sent on as they come in"

    def post(
            self, data, user=None, server=None, path='', headers=None,
            **kwargs):
        calls = self.session(user or self.clerk)
        return self.client().post(
            f'/{self.db_name}/orthanc/upload{path}'
            f'?server={server or self.server.id}', data=data,
            content_type='application/dicom',
            headers={**calls._headers, **(headers or {})}, **kwargs)

    def begin(self):
        return self.post(b'-', path='/transfer').json['transfer']

    def transfer(self, key, *contents):
        "Send files that belong together"
        answers = []
        for number, data in enumerate(contents):
            response = self.post(data, headers={
                    'X-Transfer': key, 'X-File': number,
                    'X-File-Name': f'I%C3%A9{number}'})
            self.assertEqual(response.status_code, 200)
            answers.append([f['state'] for f in response.json['files']])
        return answers

    def check_sent(self, key, left=0, **values):
        "Give the wizard what was sent, and return its second page"
        return self.check(f'TRANSFER {key} {left}'.encode(), **values)

    def outcome(self, data):
        "Return what became of the only file"
        response = self.post(data)
        self.assertEqual(response.status_code, 200)
        found, = response.json['files']
        return found

    def test_a_file_is_sent_on(self):
        data = dicom(PatientComments='x' * 9000)
        self.assertEqual(self.outcome(data), {
                'name': '', 'state': 'stored', 'reason': '',
                'study': 'abc-2', 'hopeless': False})
        self.assertEqual(self.sent(), [data])
        self.assertEqual(self.spooled(), [])

    def test_a_large_file_is_sent_on(self):
        data = dicom() + bytes(3 * 2**20)
        self.assertEqual(self.outcome(data)['state'], 'stored')
        self.assertEqual(self.sent(), [data])

    def test_no_other_file_reaches_orthanc(self):
        for data, state in [
                (b'<html>' * 50, 'skipped'), (dicom()[:200], 'refused')]:
            with self.subTest(data=data[:8]):
                found = self.outcome(data)
                self.assertEqual(found['state'], state)
                self.assertTrue(found['reason'])
        self.assertEqual(self.peer.received, [])

    def test_an_archive_is_unpacked_here(self):
        response = self.post(archive({'a/1': dicom(1), 'README': b'text'}))
        self.assertEqual(
            [(f['name'], f['state']) for f in response.json['files']],
            [('a/1', 'stored'), ('README', 'skipped')])
        self.assertEqual(self.sent(), [dicom(1)])
        self.assertEqual(
            self.outcome(archive({'a': dicom()})[:-30])['state'], 'refused')

    def test_a_refusal_is_told(self):
        self.peer.script(
            '/instances', reply(b'{"Message": "Bad file format"}', 400))
        found = self.outcome(dicom())
        self.assertEqual(found['state'], 'refused')
        self.assertIn("Bad file format", found['reason'])
        self.peer.script('/instances', status(503))
        self.assertEqual(self.outcome(dicom())['state'], 'failed')
        self.assertEqual(len(self.sent()), 2)

    def test_others_send_nothing(self):
        response = self.client().post(
            f'/{self.db_name}/orthanc/upload?server={self.server.id}',
            data=dicom())
        self.assertEqual(response.status_code, 401)
        for path in ['', '/transfer', '/headers']:
            self.assertEqual(self.post(
                    pack([dicom()]), user=self.nobody, path=path).status_code,
                403)
        for server in [self.server.id + 100, 'x']:
            self.assertEqual(
                self.post(dicom(), server=server).status_code, 404)
        self.assertEqual(self.peer.received, [])

    def test_the_size_is_limited(self):
        data = dicom()
        config.set('health_orthanc', 'upload_max_size', str(len(data)))
        self.addCleanup(
            config.remove_option, 'health_orthanc', 'upload_max_size')
        self.assertEqual(self.post(data).status_code, 200)
        self.assertEqual(self.post(data + b'x').status_code, 413)
        self.assertEqual(self.sent(), [data])

    # File by file for the wizard

    def test_the_wizard_takes_up_what_was_sent(self):
        key = self.begin()
        self.transfer(key, dicom(7))
        # A server was stopped while it wrote
        with open(os.path.join(self.folder, key), 'ab') as file:
            file.write(b'[7,[["I7",')
        # What was received before is replaced
        self.assertEqual(
            self.transfer(
                key, dicom(1), b'text',
                archive({'a': dicom(2), 'b': b'MZ'})),
            [['received'], ['skipped'], ['received', 'skipped']])
        page = self.check_sent(key, left=4)
        self.assertEqual(
            [(f['name'], f['state']) for f in page['files']], [
                ('Ié0', 'ready'), ('Ié2/a', 'ready'),
                ('Ié1', 'skipped'), ('Ié2/b', 'skipped')])
        self.assertEqual(page['files'][1]['patient_id'], 'GNU777ORG')
        self.assertIn("not uploaded: 4", page['message'])
        # Nothing has been stored until now
        self.assertEqual(self.peer.received, [])
        page = self.send(files=page['files'])
        self.assertEqual(
            [(f['name'], f['state']) for f in page['files']], [
                ('Ié0', 'stored'), ('Ié2/a', 'stored'),
                ('Ié1', 'skipped'), ('Ié2/b', 'skipped')])
        self.assertFalse(page['failed'])
        self.assertEqual(self.sent(), [dicom(1), dicom(2)])
        self.calls.wizard(WIZARD, 'delete', self.id)
        self.assertEqual(self.files(), [])

    def test_what_was_sent_is_compared_with_the_chosen_patient(self):
        key = self.begin()
        self.transfer(key, archive({
                    'a': dicom(1),
                    'b': dicom(2, PatientBirthDate='19501231')}))
        page = self.check_sent(key, patient=self.patient.id)
        self.assertEqual(
            [f['fits'] for f in page['files']], ['contradicts', 'fits'])
        self.assertTrue(page['contradictions'])

    def test_a_full_disk_has_a_status(self):
        key = self.begin()
        with full_disk(errno.ENOSPC):
            response = self.post(dicom(), headers={'X-Transfer': key})
            self.assertEqual(response.status_code, 507)
            self.assertEqual(
                self.post(b'-', path='/transfer').status_code, 507)
        with patch('tempfile.TemporaryFile', side_effect=OSError(
                    errno.ENOSPC, "full")):
            self.assertEqual(self.post(dicom()).status_code, 507)
        self.assertEqual(self.files(), [key])
        self.assertEqual(self.peer.received, [])

    def test_a_client_that_stops_is_left(self):
        class Stalled:
            "A body that ends in silence"
            def __init__(self, data):
                self.data = data

            def tell(self):
                return 0

            def seek(self, *position):
                return 0

            def read(self, size=-1):
                if not self.data:
                    raise TimeoutError
                found, self.data = self.data[:size], self.data[size:]
                return found

        limits = []

        class Watched:
            "A socket of which it is known how long it waits"
            def gettimeout(self):
                return None

            def settimeout(self, seconds):
                limits.append(seconds)

        data = dicom() + bytes(2**21)
        for headers in [{}, {'X-Transfer': self.begin()}]:
            response = self.post(
                None, headers=headers,
                input_stream=Stalled(data),
                environ_overrides={
                    'CONTENT_LENGTH': str(len(data) + 100),
                    'werkzeug.socket': Watched()})
            self.assertIn(response.status_code, {400, 408})
        self.assertEqual(limits, [120, None] * 2)
        # Orthanc has not even been asked for a connection
        self.assertEqual(self.peer.received, [])
        self.assertFalse([n for n in self.files() if '.' in n])

    def test_a_transfer_belongs_to_who_began_it(self):
        key = self.begin()
        with Transaction().start(self.db_name, 1) as transaction:
            clerk = create_user(
                'rival', 'health_orthanc.group_imaging_orthanc').id
            transaction.commit()
        response = self.post(
            dicom(), headers={'X-Transfer': key}, user=clerk)
        self.assertEqual(response.status_code, 410)
        response = self.post(dicom(), headers={'X-Transfer': '../x'})
        self.assertEqual(response.status_code, 410)
        self.assertEqual(self.peer.received, [])
        self.calls = self.session(clerk)
        self.id, _, _ = self.calls.wizard(WIZARD, 'create')
        with self.assertRaises(Told):
            self.check_sent(key)

    def test_studies_are_brought_in_when_no_more_comes(self):
        study = 'study-of-a-script'
        self.peer.script(
            '/instances', reply_json({**STORED, 'ParentStudy': study}))
        for number in range(3):
            self.post(dicom(number))
        with Transaction().start(self.db_name, 1) as transaction:
            Notification = Pool().get('gnuhealth.orthanc.notification')
            waiting, = Notification.search([('orthanc_UID', '=', study)])
            self.assertGreater(
                waiting.next_attempt, waiting.received_at)
            Notification.schedule_uploaded(self.server.id, [study])
            self.assertEqual(
                Notification.search([('orthanc_UID', '=', study)]),
                [waiting])
            transaction.commit()
            Notification.process([waiting])
        self.assertIn(
            '/tools/bulk-content', [r.path for r in self.peer.received])
        with Transaction().start(self.db_name, 1):
            self.assertTrue(Notification(waiting.id).processed_at)

    def test_identities_are_told_before_files_are_sent(self):
        response = self.post(pack([
                    dicom()[:4096], archive({'a': dicom()})[:100], b'text',
                    dicom()[:180]]), path='/headers')
        one, two, three, four = response.json['files']
        self.assertEqual(one, {
                'state': 'ready', 'patient_name': "Betz, Ana María",
                'patient_id': 'GNU777ORG', 'birth_date': '1985-10-04',
                'sex': 'F', 'modality': 'OT'})
        self.assertEqual(two, {'state': 'archive'})
        self.assertEqual((three['state'], four['state']),
            ('skipped', 'refused'))
        self.assertEqual(self.peer.received, [])
        self.assertEqual(
            self.post(pack([]), path='/headers').json['files'], [])
        for data in [b'text', pack([dicom()])[:-1]]:
            self.assertEqual(
                self.post(data, path='/headers').status_code, 400)

    def test_the_form_names_a_widget_to_those_who_know_it(self):
        arch = etree.fromstring(
            self.execute('start')['view']['fields_view']['arch'])
        field, = arch.xpath('//field[@name="data_to_upload"]')
        # The web client without ours does not open with an unknown one
        self.assertIsNone(field.get('widget'))
        self.assertEqual(
            field.get('{urn:health_orthanc:client}widget'), 'binary_dicom')
        # GNU Health's looks at attributes so
        node, = [
            n for n in minidom.parseString(etree.tostring(
                    arch)).getElementsByTagName('field')
            if n.getAttribute('name') == 'data_to_upload']
        self.assertEqual(
            [a.nodeValue for a in node.attributes.values()
                if a.localName == 'widget'],
            ['binary_dicom'])

    def test_what_is_cut_is_not_sent_whole(self):
        data = dicom() + bytes(2**21)
        for cut in [data[:100], data[:-1], archive({'a': dicom()})[:-1]]:
            with self.subTest(size=len(cut)):
                response = self.post(cut, environ_overrides={
                        'CONTENT_LENGTH': str(len(cut) + 1)})
                self.assertNotIn('stored', response.text)
        self.assertFalse([b for b in self.sent() if len(b) > len(data) - 1])
