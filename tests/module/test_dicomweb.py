# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewer gets by the routes of DICOMweb, and what reaches Orthanc."""

import gzip
import json
import os
import re
from contextlib import ExitStack
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from werkzeug.test import Client
from werkzeug.wrappers import Response

from trytond.modules.health_orthanc.audit import trail
from trytond.modules.health_orthanc.common import client_session
from trytond.modules.health_orthanc.core.dicomweb.multipart import (
    join_parts, split_parts)
from trytond.modules.health_orthanc.core.orthanc.errors import UnexpectedAnswer
from trytond.modules.health_orthanc.core.orthanc.refusal import RefusingClient
from trytond.modules.health_orthanc.core.orthanc.streaming import (
    StreamedAnswer)
from trytond.modules.health_orthanc.viewing import (
    dicomweb_routes, memory, nginx_routes)
from trytond.pool import Pool
from trytond.transaction import Transaction
from trytond.wsgi import app

from devtools.orthanc import to_bytes
from devtools.samples import make_dataset
from tests.unit.fake_orthanc import (
    FakeOrthanc, cut, hang_up, reply, reply_json, status)

from .access import AccessTestCase
from .tools import (
    SERVER, STUDY, configured, create_patient, create_server, create_study)

VIEWER_SESSION = 'gnuhealth.imaging_orthanc.viewer_session'
NOTIFICATION = 'gnuhealth.orthanc.notification'
AUDIT = 'gnuhealth.imaging_orthanc.audit'
COOKIE = 'health_orthanc_viewer'
FRAME = '/series/1.2/instances/1.3/frames/1'
KEY_OBJECTS = '1.2.840.10008.5.1.4.1.1.88.59'
UID = '0020000D'


class Archive(FakeOrthanc):
    "It has what is asked for, unless a script says otherwise"

    def answer_to(self, request):
        if self._scripts[request.path]:
            return super().answer_to(request)
        if request.path == '/tools/lookup':
            return reply_json([])
        if request.path == '/dicom-web/studies' and request.method == 'GET':
            uids = dict(parse_qsl(request.query))['StudyInstanceUID']
            return reply_json([
                    {UID: {'vr': 'UI', 'Value': [uid]}}
                    for uid in reversed(uids.split(','))])
        return reply(b'content', headers={'Content-Type': 'image/jpeg'})


class DicomWebTestCase(AccessTestCase):

    @classmethod
    def setUpClass(cls):
        cls.peer = cls.enterClassContext(Archive())
        super().setUpClass()

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.archive = create_server(domain=cls.peer.url, retries=0)
        cls.elsewhere = create_server(domain=f'{cls.peer.url}/other')
        cls.stranger = create_patient("Ejemplo", "Ana")
        cls.studies, cls.uids = {}, {}
        for name, values in {
                'own': {'patient': cls.patient.id, 'link_status': 'manual'},
                'earlier': {
                    'patient': cls.patient.id, 'link_status': 'manual',
                    'patient_id': 'OTHER'},
                'stranger': {
                    'patient': cls.stranger.id, 'link_status': 'manual'},
                'unlinked': {'link_status': 'unlinked'},
                'dismissed': {'link_status': 'dismissed'},
                'unconfirmed': {
                    'patient': cls.patient.id, 'link_status': 'auto_unsure'},
                'elsewhere': {
                    'patient': cls.patient.id, 'link_status': 'manual',
                    'on': cls.elsewhere},
                }.items():
            study = create_study(
                values.pop('on', cls.archive),
                **{'patient_id': 'SAME', **values})
            cls.studies[name] = study
            cls.uids[name] = study.study_instance_UID

    VISIBLE = {
        **dict.fromkeys(
            ['nobody', 'frontdesk', 'nurse', 'radiographer', 'head'], set()),
        'doctor': {'own', 'earlier', 'stranger'},
        **dict.fromkeys(['clerk', 'administrator'], {
                'own', 'earlier', 'stranger', 'unlinked', 'dismissed',
                'unconfirmed'}),
        }

    def setUp(self):
        super().setUp()
        self.forget()
        self.peer.received.clear()
        self.peer._scripts.clear()

    def forget(self):
        for remembered in [
                memory.grants, memory.views, memory.clients, memory.metadata]:
            remembered.clear()

    def open(self, login, *names):
        "Return a cookie of somebody who was let in with studies"
        user = self.users[login]
        self.session(user)
        with Transaction().start(self.db_name, user) as transaction, (
                client_session.session_key(self._keys[user])):
            Session = Pool().get(VIEWER_SESSION)
            with patch(
                    'trytond.modules.health_orthanc.viewing.session.'
                    'check_viewable'):
                ticket = Session.issue_ticket(Pool().get(STUDY).browse(
                        [self.studies[n].id for n in names or ['own']]))
            cookie, _ = Session.open_ticket(ticket)
            transaction.commit()
        return cookie

    def path(self, name, rest='', server=None):
        return (
            f"/{quote(self.db_name, safe='')}/orthanc/dicomweb/"
            f'{server or self.archive.id}/dicom-web/studies/'
            f'{self.uids[name]}{rest}')

    def request(self, cookie, path, method='GET', headers=None, **options):
        # One that sends the header as it is
        client = Client(app, Response, use_cookies=False)
        return client.open(path, method=method, headers={
                'Sec-Fetch-Site': 'same-origin',
                **({'Cookie': f'{COOKIE}={cookie}'} if cookie else {}),
                **(headers or {})}, **options)

    def search(self, cookie, **parameters):
        path = self.path('own').rpartition('/')[0]
        return self.request(cookie, path, query_string=parameters)

    def found(self, cookie, **parameters):
        "Return the names of the studies that a search finds"
        response = self.search(cookie, **parameters)
        self.assertEqual(response.status_code, 200, response.text)
        names = {uid: name for name, uid in self.uids.items()}
        return [names[s[UID]['Value'][0]] for s in response.json]

    def test_without_a_session(self):
        for cookie in [None, '', 'x', 'x' * 5000]:
            for path in [
                    self.path('own', '/series'), self.path('own')[:-8],
                    self.path('own', '/nothing')]:
                response = self.request(cookie, path)
                self.assertEqual(response.status_code, 401)
                self.assertIn("press View", response.json['message'])
        self.assertFalse(self.peer.received)

    def test_who_sees_which_study(self):
        paths = [
            '', '/series', '/series/1.2/metadata', '/thumbnail',
            '/series/1.2/instances/1.3/frames/1',
            '/series/1.2/instances/1.3/bulk/00420011']
        for login, visible in self.VISIBLE.items():
            cookie = self.open(login)
            for name in self.uids:
                for rest in paths if login == 'doctor' else paths[:1]:
                    with self.subTest(user=login, study=name, path=rest):
                        before = len(self.peer.received)
                        response = self.request(
                            cookie, self.path(name, rest))
                        self.assertEqual(
                            response.status_code,
                            200 if name in visible else 403)
                        self.assertEqual(
                            len(self.peer.received) - before,
                            name in visible)

    def test_what_there_is_not_is_refused_alike(self):
        cookie = self.open('doctor')
        refused = self.request(cookie, self.path('unlinked'))
        self.assertIn("may not see", refused.json['message'])
        for path in [
                self.path('own').replace(self.uids['own'], '1.2.3.4.5'),
                self.path('own', server=10**6),
                self.path('own', server=self.elsewhere.id)]:
            response = self.request(cookie, path)
            self.assertEqual(response.status_code, 403)
            self.assertEqual(response.json, refused.json)
        search = self.path('own', server=10**6).rpartition('/')[0]
        self.assertEqual(self.request(cookie, search).status_code, 403)

    def test_searches_find_what_may_be_seen(self):
        for login, visible in self.VISIBLE.items():
            with self.subTest(user=login):
                self.assertEqual(set(self.found(self.open(login))), visible)
        cookie = self.open('doctor')
        pages = [
            self.found(cookie, limit=1, offset=offset) for offset in range(4)]
        self.assertEqual(
            {name for page in pages for name in page},
            self.VISIBLE['doctor'])
        self.assertEqual([len(page) for page in pages], [1, 1, 1, 0])

    def test_searches_for_a_study(self):
        cookie = self.open('doctor')
        self.assertEqual(
            self.found(cookie, StudyInstanceUID=self.uids['own']), ['own'])
        uids = ','.join(self.uids.values())
        for separator in [',', '\\']:
            self.assertEqual(
                set(self.found(cookie, **{
                            UID: uids.replace(',', separator)})),
                self.VISIBLE['doctor'])
        for name in ['unlinked', 'unconfirmed', 'dismissed', 'elsewhere']:
            response = self.search(cookie, StudyInstanceUID=self.uids[name])
            self.assertEqual(response.status_code, 403)
            self.assertIn("may not see", response.json['message'])
        self.assertEqual(
            self.found(cookie, StudyDate='20260304', PatientName='muster*'),
            self.found(cookie))
        self.assertEqual(self.found(cookie, StudyDate='20270101-'), [])
        # It may be seen, but is another one
        self.assertEqual(
            self.found(cookie, StudyInstanceUID=self.uids['own'],
                ModalitiesInStudy='PT'), [])
        self.assertEqual(self.found(cookie, PatientName='%'), [])

    def test_earlier_studies_are_of_the_patient(self):
        "And not of whoever has the same PatientID"
        for login in ['doctor', 'clerk']:
            extra = ['unconfirmed'] if login == 'clerk' else []
            self.assertCountEqual(
                self.found(self.open(login), PatientID='SAME'),
                ['own', 'earlier', *extra])
        self.assertEqual(
            self.found(self.open('clerk', 'unlinked'), PatientID='SAME'),
            ['unlinked'])
        self.assertEqual(
            self.found(self.open('doctor', 'stranger'), PatientID='SAME'),
            ['stranger'])
        self.assertEqual(self.found(self.open('doctor'), PatientID='X'), [])

    def test_a_patient_whom_a_physician_may_not_read(self):
        cookie = self.open('doctor')
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            group, = pool.get('ir.rule.group').create([{
                        'name': "Not the stranger",
                        'model': pool.get('ir.model').search([
                                ('model', '=', 'gnuhealth.patient')])[0].id,
                        'global_p': True,
                        'rules': [('create', [{
                                        'domain': json.dumps([
                                                ['id', '!=',
                                                    self.stranger.id]])}])],
                        }])
            transaction.commit()
        try:
            self.assertEqual(
                set(self.found(cookie)), {'own', 'earlier'})
            self.assertEqual(
                self.request(cookie, self.path('stranger')).status_code, 403)
        finally:
            with Transaction().start(self.db_name, 1) as transaction:
                Group = Pool().get('ir.rule.group')
                Group.delete([Group(group.id)])
                transaction.commit()

    def test_a_right_that_is_taken_away(self):
        now = [0]
        with patch.object(memory.grants, '_values', memory.TTLCache(
                    9, memory.REMEMBERED, lambda: now[0])):
            cookie = self.open('doctor')
            path = self.path('own', '/series')
            self.assertEqual(self.request(cookie, path).status_code, 200)
            self.link('own', None)
            try:
                now[0] = memory.REMEMBERED - 1
                self.assertEqual(self.request(cookie, path).status_code, 200)
                now[0] = 60
                self.assertEqual(self.request(cookie, path).status_code, 403)
            finally:
                self.link('own', self.patient.id)

    def link(self, name, patient):
        with Transaction().start(self.db_name, 1) as transaction:
            Study = Pool().get(STUDY)
            Study.write(
                [Study(self.studies[name].id)], {'patient': patient})
            transaction.commit()

    def test_a_session_that_has_ended(self):
        cookie = self.open('doctor')
        path = self.path('own', '/series')
        self.assertEqual(self.request(cookie, path).status_code, 200)
        with Transaction().start(self.db_name, 1) as transaction:
            Pool().get('ir.session').clear([self.users['doctor']])
            transaction.commit()
        self._keys.clear()
        self.assertEqual(self.request(cookie, path).status_code, 401)

    def test_a_connection_is_used_again(self):
        "Also after an answer that the viewer did not read to its end"
        cookie = self.open('doctor')
        path = self.path('own', FRAME)
        before = self.peer.connections
        for _ in range(3):
            self.request(cookie, path, buffered=True).close()
        self.assertEqual(self.peer.connections - before, 1)
        self.peer.script(
            path.partition('/dicom-web')[1] + path.partition('/dicom-web')[2],
            reply(b'x' * 2**22))
        with patch.object(StreamedAnswer, 'close', autospec=True) as close:
            response = self.request(cookie, path, buffered=False)
            next(iter(response.response))
            response.close()
        close.assert_called()

    def describe(self, cookie, status_code=200, **headers):
        "Return metadata, and how often Orthanc was asked for them"
        path = self.path('own', '/series/1.2/metadata')
        before = len(self.peer.received)
        response = self.request(cookie, path, headers={
                'Accept-Encoding': 'gzip', **headers})
        self.assertEqual(response.status_code, status_code)
        asked = [r.path for r in self.peer.received[before:]]
        data = response.data
        if response.headers.get('Content-Encoding') == 'gzip':
            data = gzip.decompress(data)
        return data, asked.count(path[path.index('/dicom-web'):])

    def script_series(self, *answers, **values):
        path = self.path('own', '/series/1.2/metadata')
        if answers:
            self.peer.script(path[path.index('/dicom-web'):], *answers)
        self.peer.script('/tools/lookup', reply_json([
                    {'Type': 'Series', 'ID': 'a-b', 'Path': '/series/a-b'}]))
        self.peer.script('/series/a-b', reply_json({
                    'ID': 'a-b', 'IsStable': True, 'Instances': ['c', 'd'],
                    'LastUpdate': '20260101T000000', **values}))

    def test_metadata_are_kept_while_nothing_changes(self):
        cookie, clerk = self.open('doctor'), self.open('clerk')
        self.script_series(*(reply_json([{'n': n}]) for n in range(9)))
        self.assertEqual(self.describe(cookie), (b'[{"n": 0}]', 1))
        self.assertEqual(self.describe(cookie), (b'[{"n": 0}]', 0))
        self.assertEqual(self.describe(clerk), (b'[{"n": 0}]', 0))
        # Under the rights of each
        self.describe(self.open('nurse'), 403)
        self.describe(None, 401)
        # Where addresses or the form would be others
        self.assertEqual(
            self.describe(cookie, Host='other.example')[1], 1)
        self.assertEqual(
            self.describe(cookie, Accept='application/json')[1], 1)
        self.assertEqual(
            self.describe(cookie, **{'Accept-Encoding': 'identity'})[1], 1)
        for values in [
                {'Instances': ['c']}, {'LastUpdate': '20260101T000001'}]:
            self.script_series(**values)
            self.assertEqual(self.describe(cookie)[1], 1)
            self.assertEqual(self.describe(cookie)[1], 0)

    def test_metadata_that_are_not_kept(self):
        cookie = self.open('doctor')
        large = reply_json([{'x': os.urandom(2**21).hex()}])
        for answer, values in [
                (reply_json([]), {'IsStable': False}),
                (reply_json([]), {'Instances': None}),
                (large, {}), (reply(b'[]'), {})]:
            self.script_series(answer, **values)
            for _ in range(2):
                self.assertEqual(self.describe(cookie)[1], 1)
        self.script_series(reply_json([]))
        for answer in [
                status(403), reply_json([]), reply_json([
                        {'Type': 'Series', 'ID': 'a-b'},
                        {'Type': 'Series', 'ID': 'c-d'}])]:
            self.peer.script('/tools/lookup', answer)
            for _ in range(2):
                self.assertEqual(self.describe(cookie)[1], 1)
        self.script_series(status(404))
        for _ in range(2):
            self.describe(cookie, 404)
        self.script_series(cut)
        with self.assertLogs(dicomweb_routes.logger, 'WARNING'), (
                self.assertRaises(UnexpectedAnswer)):
            self.describe(cookie)
        self.assertFalse(memory.metadata._values)

    def test_what_reaches_orthanc(self):
        cookie = self.open('doctor')
        rest = '/series/1.2/instances/1.3/frames/1'
        response = self.request(cookie, self.path('own', rest), headers={
                'Accept': 'image/jpeg', 'Accept-Encoding': 'gzip',
                'Range': 'bytes=0-3', 'Authorization': 'Session eDox',
                'X-Forwarded-For': '10.0.0.1', 'Host': 'health.example',
                'Referer': 'http://health.example/secret'})
        self.assertEqual(response.data, b'content')
        self.assertEqual(response.headers['Content-Type'], 'image/jpeg')
        self.assertEqual(response.headers['Content-Length'], '7')
        self.assertEqual(
            response.headers['X-Content-Type-Options'], 'nosniff')
        self.assertIn('sandbox', response.headers['Content-Security-Policy'])
        self.assertNotIn('Server', response.headers)
        sent, = self.peer.received
        self.assertEqual(
            sent.path, f"/dicom-web/studies/{self.uids['own']}{rest}")
        headers = {name.lower(): v for name, v in sent.headers.items()}
        self.assertEqual(
            headers.keys() - {'host', 'connection', 'user-agent'},
            {'accept', 'accept-encoding', 'range', 'forwarded'})
        self.assertEqual(headers['accept-encoding'], 'identity')
        self.assertEqual(headers['forwarded'], (
                'host=health.example/'
                f"{quote(self.db_name, safe='')}/orthanc/dicomweb/"
                f'{self.archive.id};proto=http'))

    def test_json_is_compressed(self):
        cookie = self.open('doctor')
        rest = '/series/1.2/metadata'
        self.peer.script(
            f"/dicom-web/studies/{self.uids['own']}{rest}",
            reply(b'[' + b' ' * 10**5 + b']', headers={
                    'Content-Type': 'application/dicom+json'}))
        for encoding, size in [('gzip', 1000), ('identity', 100002)]:
            response = self.request(cookie, self.path('own', rest), headers={
                    'Accept-Encoding': encoding})
            self.assertLessEqual(len(response.data), size)
            self.assertEqual(
                response.headers.get('Content-Encoding', 'identity'),
                encoding)

    def test_what_orthanc_says_is_put_into_words(self):
        cookie = self.open('doctor')
        rest = '/series/1.2/instances/1.3/rendered'
        path = f"/dicom-web/studies/{self.uids['own']}{rest}"
        for answer, code, text in [
                (status(404), 404, "archive"), (status(400), 400, "400"),
                (status(406), 406, "406"), (status(500), 502, "500"),
                (status(401), 502, "password"), (status(403), 502, "user"),
                (status(302), 502, ""), (hang_up, 502, "connect")]:
            self.peer.script(path, answer)
            response = self.request(cookie, self.path('own', rest))
            self.assertEqual(response.status_code, code)
            self.assertIn(text, response.json['message'].lower())
        self.peer.script('/dicom-web/studies', status(404))
        response = self.search(cookie)
        self.assertEqual(response.status_code, 502)
        self.assertIn("DICOMweb", response.json['message'])

    def test_a_request_that_is_not_understood(self):
        cookie = self.open('doctor')
        for path in [
                self.path('own', '/series?PatientID=1'),
                self.path('own', '/series/1.2/metadata?x=1'),
                self.path('own')[:-1].rpartition('/')[0] + '?limit=x']:
            response = self.request(cookie, path)
            self.assertEqual(response.status_code, 400)
            self.assertTrue(response.json['message'])
        response = self.request(
            cookie, self.path('own').rpartition('/')[0],
            environ_overrides={'QUERY_STRING': 'PatientID=\xe4'})
        self.assertEqual(response.status_code, 400)
        self.assertFalse(self.peer.received)

    # Annotations

    def report(self, name='own', **tags):
        return make_dataset('SR', **{
                'StudyInstanceUID': self.uids[name], 'PatientID': 'SAME',
                **tags})

    def key_objects(self, **tags):
        dataset = self.report(
            Modality='KO', SOPClassUID=KEY_OBJECTS, **tags)
        dataset.file_meta.MediaStorageSOPClassUID = KEY_OBJECTS
        return dataset

    def store(self, cookie, *datasets, rest=None, headers=None):
        content_type, body = join_parts(map(to_bytes, datasets))
        path = self.path('own').rpartition('/')[0]
        return self.request(
            cookie, f'{path}{rest or ""}', 'POST', data=body,
            content_type=content_type, headers=headers)

    def stored(self):
        "Return the datasets that have reached Orthanc, and their paths"
        return [
            (r.path, dcmread(DicomBytesIO(part)))
            for r in self.peer.received if r.method == 'POST'
            and r.path.startswith('/dicom-web')
            for part in split_parts(r.headers['Content-Type'], r.body)]

    def waiting(self):
        with Transaction().start(self.db_name, 1):
            return [
                n.orthanc_UID for n in Pool().get(NOTIFICATION).search([
                        ('kind', '=', 'upload'),
                        ('processed_at', '=', None)])]

    def test_a_measurement_is_stored_with_its_author(self):
        report = self.report()
        response = self.store(self.open('doctor'), report)
        self.assertEqual(response.status_code, 200, response.text)
        (path, dataset), = self.stored()
        self.assertEqual(path, f"/dicom-web/studies/{self.uids['own']}")
        self.assertEqual(
            dataset.AuthorObserverSequence[0].PersonName, 'doctor')
        self.assertEqual(dataset.SOPInstanceUID, report.SOPInstanceUID)
        self.assertIn(self.studies['own'].id, [
                s.id for s in self.studies.values()])
        with Transaction().start(self.db_name, 1):
            orthanc_id = Pool().get(STUDY)(
                self.studies['own'].id).orthanc_UID
        self.assertIn(orthanc_id, self.waiting())

    def test_what_is_not_stored(self):
        doctor = self.open('doctor')
        for code, datasets, options in [
                (403, [self.report('unlinked')], {}),
                (403, [self.report('unconfirmed')], {}),
                (403, [self.report('elsewhere')], {}),
                (409, [self.report(PatientID='OTHER')], {}),
                (409, [self.report(PatientID='')], {}),
                (400, [self.report(), self.report('stranger')], {}),
                (400, [self.report(SOPInstanceUID='1.2.3')] * 2, {}),
                (400, [
                        self.report(SeriesInstanceUID='1.2.3'),
                        self.key_objects(SeriesInstanceUID='1.2.3')], {}),
                (400, [self.report()], {
                        'rest': f"/{self.uids['stranger']}"}),
                (400, [make_dataset(
                            'CT', StudyInstanceUID=self.uids['own'],
                            PatientID='SAME')], {}),
                (403, [self.report()], {
                        'headers': {'Sec-Fetch-Site': 'cross-site'}}),
                (403, [self.report()], {
                        'headers': {'Origin': 'http://evil.example'}}),
                ]:
            with self.subTest(code=code, options=options):
                response = self.store(doctor, *datasets, **options)
                self.assertEqual(response.status_code, code)
        for login in ['nurse', 'radiographer']:
            with patch.object(dicomweb_routes, 'read_annotation') as read:
                response = self.store(self.open(login), self.report())
            self.assertEqual(response.status_code, 403)
            read.assert_not_called()
        self.assertEqual(
            self.store(None, self.report()).status_code, 401)
        self.assertFalse(self.stored())

    def test_it_replaces_and_hides_nothing(self):
        cookie = self.open('doctor')
        report = self.report()
        series_path = f"/dicom-web/studies/{self.uids['own']}/series"
        known = [{'Type': 'Series', 'ID': 's'}]
        for lookups, own, code in [
                ([[{'Type': 'Instance', 'ID': 'i'}]], [], 409),
                ([[], known], [], 409),
                ([[], known], [{'00080060': {'Value': ['CT']}}], 409),
                ([[], known * 2], [{'00080060': {'Value': ['SR']}}], 409),
                ([[], known], [{'00080060': {'Value': ['SR']}}], 200)]:
            self.peer.script('/tools/lookup', *map(reply_json, lookups))
            self.peer.script(series_path, reply_json(own))
            response = self.store(cookie, report)
            self.assertEqual(response.status_code, code, response.text)
            self.assertEqual(len(self.stored()), int(code == 200))

    def test_broken_bodies(self):
        cookie = self.open('doctor')
        path = self.path('own').rpartition('/')[0]
        for content_type, body in [
                ('multipart/related; boundary=x', b'--x--'),
                ('application/dicom', b'DICM'), ('', b'x'),
                ('multipart/related; type="application/dicom"; boundary=x',
                    b'--x\r\n\r\nnothing\r\n--x--')]:
            response = self.request(
                cookie, path, 'POST', data=body, content_type=content_type)
            self.assertEqual(response.status_code, 400)
            self.assertTrue(response.json['message'])

    def test_few_store_at_a_time(self):
        cookie = self.open('doctor')
        with ExitStack() as places:
            while dicomweb_routes._storing.acquire(blocking=False):
                places.callback(dicomweb_routes._storing.release)
            with patch.object(dicomweb_routes, '_PATIENCE', 0.1):
                response = self.store(cookie, self.report())
            self.assertEqual(response.status_code, 503)
            self.assertTrue(response.headers['Retry-After'])
            self.assertIn("few seconds", response.json['message'])
            self.assertFalse(self.stored())
        self.assertEqual(self.store(cookie, self.report()).status_code, 200)

    # Audit trail

    def by_nginx(self, cookie, name, rest=FRAME, how='yes', **headers):
        "Send a request of a viewer as nginx passes it on"
        return self.request(cookie, self.path(name, rest), headers={
                'X-Images-By-Nginx': how, **headers})

    def test_images_that_nginx_sends(self):
        "It learns where they are, and nobody else"
        cookie = self.open('doctor')
        with configured('nginx_locations', f'{self.peer.url}/  /_a/b-1'):
            response = self.by_nginx(cookie, 'own')
            uid = self.uids['own']
            self.assertEqual(response.status_code, 200)
            self.assertEqual(
                response.headers['X-Accel-Redirect'],
                f'/_a/b-1/studies/{uid}{FRAME}')
            self.assertRegex(
                response.headers['X-Images-Forwarded'],
                f'^host=localhost/.*/orthanc/dicomweb/{self.archive.id}'
                ';proto=http$')
            self.assertNotIn('Content-Type', response.headers)
            self.assertEqual(response.data, b'')
            rendered = self.by_nginx(
                cookie, 'own', f'{FRAME}/rendered?quality=90')
            self.assertTrue(rendered.headers['X-Accel-Redirect'].endswith(
                    '/rendered?quality=90'))
            self.assertFalse(self.peer.received)
            # Those who may not see it, and what is no image
            for other, name, rest, status_code in [
                    (cookie, 'unlinked', FRAME, 403),
                    (self.open('nurse'), 'own', FRAME, 403),
                    (None, 'own', FRAME, 401),
                    (cookie, 'own', f'{FRAME}?x=1', 400),
                    (cookie, 'own', '/series', 200)]:
                for how in ['yes', 'no', 'Yes, yes', '']:
                    response = self.by_nginx(other, name, rest, how)
                    self.assertEqual(response.status_code, status_code)
                    self.assertNotIn('X-Accel-Redirect', response.headers)
            self.assertIn(
                (self.users['doctor'], 'success', uid), self.entries('view'))

    def test_a_study_that_nginx_asks_for(self):
        "It is told what was allowed a moment ago to the same session"
        cookie, other = self.open('doctor'), self.open('clerk')
        uid = self.uids['own']

        def ask(cookie, name='own'):
            before = self.entries('view')
            response = self.by_nginx(cookie, name, '', 'study')
            self.assertEqual(response.status_code, 204)
            # Whatever there is to record was recorded with an image
            self.assertEqual(self.entries('view'), before)
            return response.headers.get('X-Images-Location')

        with configured('nginx_locations', f'{self.peer.url} /_a'):
            self.assertIsNone(ask(cookie))
            self.by_nginx(cookie, 'own', '/series')
            # It has not seen images yet
            self.assertIsNone(ask(cookie))
            self.by_nginx(cookie, 'own')
            self.assertEqual(ask(cookie), '/_a')
            self.assertEqual(
                self.peer.received[-1].path,
                f'/dicom-web/studies/{uid}/series')
            for strange in [other, None, 'x']:
                self.assertIsNone(ask(strange))
            for name in ['earlier', 'unlinked', 'elsewhere']:
                self.by_nginx(cookie, 'unlinked')
                self.assertIsNone(ask(cookie, name))
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.session').clear([self.users['doctor']])
                transaction.commit()
            self._keys.clear()
            self.assertIsNone(ask(cookie))

    def test_servers_that_nginx_does_not_know(self):
        cookie = self.open('doctor')
        for text in [
                '', 'http://127.0.0.1:1 /_a', f'{self.peer.url}/pacs /_a',
                self.peer.url, f'{self.peer.url} _a', f'{self.peer.url} /a/..',
                f'{self.peer.url} /a?b', f'{self.peer.url} @gnuhealth',
                f'ftp://x /a\n{self.peer.url} //a']:
            nginx_routes._locations.cache_clear()
            with configured('nginx_locations', text):
                response = self.by_nginx(cookie, 'own')
                self.assertNotIn('X-Accel-Redirect', response.headers)
                self.assertEqual(response.data, b'content')
                self.assertNotIn(
                    'X-Images-Location',
                    self.by_nginx(cookie, 'own', '', 'study').headers)

    def test_a_server_that_must_not_be_reached(self):
        cookie = self.open('doctor')
        with configured('nginx_locations', f'{self.peer.url} /_a'):
            self.by_nginx(cookie, 'own')
            memory.clients.set(
                (self.db_name, self.archive.id),
                RefusingClient(self.peer.url))
            response = self.by_nginx(cookie, 'own')
            self.assertEqual(response.status_code, 502)
            self.assertNotIn('X-Accel-Redirect', response.headers)
            self.assertNotIn(
                'X-Images-Location',
                self.by_nginx(cookie, 'own', '', 'study').headers)

    def entries(self, action):
        with Transaction().start(self.db_name, 1):
            return [
                (e.user_id, e.outcome, e.study_uid)
                for e in Pool().get(AUDIT).search([('action', '=', action)])]

    def test_who_saw_it(self):
        doctor = self.users['doctor']
        with Transaction().start(self.db_name, 1) as transaction:
            table = Pool().get(AUDIT).__table__()
            transaction.connection.cursor().execute(*table.delete())
            transaction.commit()
        # What other tests have seen a moment ago
        trail._recorded.clear()
        cookie = self.open('doctor')
        image = '/series/1.2/instances/1.3/frames/'
        self.request(cookie, self.path('own', '/series'))
        self.assertFalse(self.entries('view'))
        for number in range(1, 4):
            self.request(cookie, self.path('own', f'{image}{number}'))
        self.forget()
        self.request(cookie, self.path('own', f'{image}4'))
        self.request(cookie, self.path('unlinked', f'{image}1'))
        self.search(cookie, StudyInstanceUID='1.2.3.4.5')
        self.assertCountEqual(self.entries('view'), [
                (doctor, 'success', self.uids['own']),
                (doctor, 'refused', self.uids['unlinked']),
                (doctor, 'refused', '1.2.3.4.5')])
        self.store(cookie, self.report())
        self.store(cookie, self.report(PatientID='X'))
        self.assertCountEqual(self.entries('upload'), [
                (doctor, 'success', self.uids['own']),
                (doctor, 'refused', self.uids['own'])])

    # Fuzzing

    def test_nothing_else_reaches_orthanc(self):
        cookie = self.open('doctor')
        root = self.path('own').rpartition('/studies')[0]
        own, foreign = self.uids['own'], self.uids['unlinked']
        pieces = st.sampled_from([
                'studies', 'series', 'instances', 'frames', 'bulk',
                'metadata', 'rendered', 'thumbnail', own, foreign,
                f'{own},{foreign}', f'{own}\\{foreign}', f'{own}%2C{foreign}',
                '..', '.', '', '%2e%2e', '%2f..%2f..%2fsystem', ';x', '%00',
                '%0d%0a', '//evil.example/', 'http://evil.example/', '1',
                '00420011', 'system', '%252e%252e', '\u2024\u2024', '%ff',
                '@evil.example', '?x', '#x', 'servers', 'é', '*'])
        queries = st.lists(st.tuples(
                st.sampled_from([
                        'StudyInstanceUID', UID, 'PatientID',
                        'SeriesInstanceUID', 'SOPInstanceUID', 'includefield',
                        'limit', 'viewport', 'x']),
                st.sampled_from([
                        own, foreign, f'{own},{foreign}', '*', '', '1,2',
                        'SAME', '\0', '../x', 'é'])), max_size=2)
        methods = st.sampled_from(
            ['GET'] * 6 + ['POST', 'PUT', 'DELETE', 'HEAD', 'PATCH'])

        @given(
            st.lists(pieces, max_size=9), methods, queries,
            st.sampled_from([f'/studies/{own}', '']))
        @settings(
            max_examples=1000, deadline=None, database=None,
            suppress_health_check=list(HealthCheck))
        def send(pieces, method, query, start):
            path = '/'.join([root + start, *pieces])
            if query and '?' not in path:
                path = f'{path}?{urlencode(query)}'
            response = self.request(cookie, path, method, data=b'x')
            self.assertLess(response.status_code, 500, path)

        send()
        self.assertTrue(self.peer.received)
        for sent in self.peer.received:
            self.assertEqual(sent.method, 'GET')
            self.assertNotIn(foreign, sent.query)
            self.assertRegex(
                sent.path, r'^/dicom-web/studies(/[0-9A-Za-z.,/]+)?$')
            self.assertNotIn('..', sent.path)
            if sent.path == '/dicom-web/studies':
                self.assertIn('StudyInstanceUID', sent.query)
            else:
                self.assertEqual(sent.path.split('/')[3], own)

    def test_paths_as_a_server_decodes_them(self):
        cookie = self.open('doctor')
        start = self.path('own').partition('/studies')[0].replace(
            '%3A', ':')
        for rest in [
                '/studies/../../system', '/studies/\0', '/studies/\udcff',
                '/../../../system', '/studies\r\nX: y', '/\\..\\system',
                f"/studies/{self.uids['own']}\n",
                f"/studies/{self.uids['own']}/../{self.uids['unlinked']}"]:
            path = (start + rest).encode(
                'utf-8', 'surrogateescape').decode('latin1')
            response = self.request(
                cookie, '/', environ_overrides={'PATH_INFO': path})
            self.assertIn(response.status_code, {400, 404, 405})
        self.assertFalse(self.peer.received)

    def test_the_log_tells_no_patient(self):
        cookie = self.open('doctor')
        with self.assertLogs(level='DEBUG') as logs:
            self.search(cookie, PatientID='SECRET')
            self.search(cookie, **{'00100020': 'SECRET'})
        text = '\n'.join(
            f'{r.name} {r.getMessage()}' for r in logs.records
            if r.levelno >= 20)
        self.assertTrue(re.search('trytond.wsgi .*dicom-web/studies', text))
        self.assertNotIn('SECRET', text)


class ServersTestCase(AccessTestCase):

    def test_an_inactive_server(self):
        with Transaction().start(self.db_name, 1) as transaction:
            from trytond.modules.health_orthanc.viewing import rights
            Server = Pool().get(SERVER)
            server = Server(self.server.id)
            uid = Pool().get(STUDY)(self.study.id).study_instance_UID
            with transaction.set_user(self.users['clerk']):
                self.assertEqual(rights.find_viewable(server, [uid]), {uid})
            Server.write([server], {'active': False})
            with transaction.set_user(self.users['clerk']):
                self.assertFalse(rights.find_viewable(server, [uid]))
            transaction.rollback()
