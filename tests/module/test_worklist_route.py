# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist as plugins and scripts fetch it."""

import base64
import gzip
import json
from io import BytesIO
from unittest.mock import patch

from pydicom import dcmread

from trytond.modules.health_orthanc.common.routes import APPLICATION
from trytond.modules.health_orthanc.worklist import item as worklist_entry
from trytond.pool import Pool
from trytond.transaction import Transaction

from .test_order import REQUEST, STEP
from .tools import RpcTestCase, create_order, create_server, create_user


class WorklistRouteTestCase(RpcTestCase):

    @classmethod
    def setUpDatabase(cls):
        cls.key = create_server().new_plugin_key()
        cls.user = create_user(
            'script', 'health_orthanc.group_imaging_orthanc')
        cls.user_id = cls.user.id
        Transaction().commit()

    def setUp(self):
        step = Pool(self.db_name).get(STEP).__table__()
        with Transaction().start(self.db_name, 1) as transaction:
            cursor = transaction.connection.cursor()
            cursor.execute(*step.update([step.state], ['canceled']))
            transaction.commit()

    def orders(self, number=1):
        "Create orders and return the ids of their steps"
        with Transaction().start(self.db_name, 1) as transaction:
            orders = [create_order(requested=True) for _ in range(number)]
            transaction.commit()
            return [o.steps[0].id for o in orders]

    def press(self, button, id_):
        with Transaction().start(self.db_name, 1) as transaction:
            Step = Pool().get(STEP)
            getattr(Step, button)([Step(id_)])
            transaction.commit()

    def get(self, query='', **headers):
        return self.client().get(
            f'/{self.db_name}/orthanc/worklist{query}', headers={
                'Authorization': f'Bearer {self.key}',
                **{n.replace('_', '-'): v for n, v in headers.items()}})

    def test_a_key_of_another_user_is_refused(self):
        "It may be one for the same application"
        with Transaction().start(self.db_name, 1) as transaction:
            Application = Pool().get('res.user.application')
            application, = Application.create([{
                        'user': self.user_id,
                        'application': APPLICATION,
                        'state': 'validated',
                        }])
            key = application.key
            transaction.commit()
        response = self.get(Authorization=f'Bearer {key}')
        self.assertEqual(response.status_code, 403)
        self.assertEqual(self.get().status_code, 200)

    def steps(self, names):
        return sorted(int(name.partition('.')[0]) for name in names)

    def test_all(self):
        ids = self.orders(3)
        response = self.get()
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.content_type, 'application/json')
        self.assertEqual(response.headers['Cache-Control'], 'no-store')
        page = response.json
        self.assertEqual(
            page.keys(), {'since', 'index', 'more', 'entries', 'open'})
        self.assertEqual(
            (page['since'], page['more']), (0, False))
        self.assertEqual(self.steps(page['open']), ids)
        for entry in page['entries']:
            self.assertEqual(entry.keys(), {'id', 'index', 'dicom'})
            dataset = dcmread(BytesIO(base64.b64decode(entry['dicom'])))
            self.assertEqual(
                dataset.file_meta.MediaStorageSOPClassUID,
                '1.2.840.10008.5.1.4.31')
            self.assertTrue(dataset.PatientID)
        self.assertEqual(
            page['index'], max(e['index'] for e in page['entries']))

    def test_what_has_not_changed_is_not_told(self):
        self.orders()
        etag = self.get().headers['ETag']
        for value in [etag, f'W/{etag}']:
            with self.subTest(etag=value):
                response = self.get('?since=5', If_None_Match=value)
                self.assertEqual(response.status_code, 304)
                self.assertEqual(response.data, b'')
        self.assertEqual(self.get(If_None_Match='"x"').status_code, 200)

    def test_changes_are_told_at_once(self):
        first, second = self.orders(2)
        before = self.get()
        index, etag = before.json['index'], before.headers['ETag']
        self.press('start', second)
        after = self.get(f'?since={index}', If_None_Match=etag)
        self.assertEqual(
            self.steps(e['id'] for e in after.json['entries']), [second])
        self.assertEqual(after.json['since'], index)
        self.press('complete', first)
        self.press('cancel', second)
        gone = self.get(
            f'?since={after.json["index"]}',
            If_None_Match=after.headers['ETag'])
        self.assertEqual(gone.json['entries'], [])
        self.assertEqual(gone.json['open'], [])

    def test_pages(self):
        ids = self.orders(3)
        with patch.object(worklist_entry, 'PAGE_LIMIT', 2):
            first = self.get()
            self.assertNotIn('ETag', first.headers)
            self.assertTrue(first.json['more'])
            self.assertNotIn('open', first.json)
            # It is for the next look, not for the next page
            self.orders(1)
            last = self.get(f'?since={first.json["index"]}')
        self.assertFalse(last.json['more'])
        self.assertEqual(
            self.steps(
                e['id'] for page in [first, last]
                for e in page.json['entries']), ids)
        self.assertEqual(self.steps(last.json['open']), ids)

    def test_it_is_compressed_for_those_who_can(self):
        self.orders()
        response = self.get(Accept_Encoding='gzip')
        self.assertEqual(response.headers['Content-Encoding'], 'gzip')
        self.assertEqual(
            json.loads(gzip.decompress(response.data)), self.get().json)
        self.assertNotIn('Content-Encoding', self.get().headers)

    def test_an_index_that_is_none(self):
        self.orders()
        for value in ['x', '', '-1', '1.5']:
            with self.subTest(since=value):
                response = self.get(f'?since={value}')
                self.assertEqual(len(response.json['entries']), 1)
        response = self.get(f'?since={10**20}')
        self.assertEqual(response.json['entries'], [])
        self.assertEqual(len(response.json['open']), 1)

    def test_scripts_get_the_same(self):
        ids = self.orders(2)
        served = self.get().json
        page = self.session(self.user_id).model(STEP, 'get_worklist', 0)
        self.assertEqual(page['open'], served['open'])
        self.assertEqual(page['index'], served['index'])
        for entry, other in zip(page['entries'], served['entries']):
            self.assertEqual(
                entry['dicom'], base64.b64decode(other['dicom']))
            self.assertEqual(entry['kind'], 'dump2dcm')
            self.assertEqual(entry['charset'], 'ISO_IR 192')
            self.assertIn('(0010,0020)', entry['text'])
        self.assertEqual(
            [e['name'] for e in page['entries']],
            [f'gnuhealth-{id_}' for id_ in ids])

    def test_what_a_user_orders_is_there_for_the_next_query(self):
        before = self.get().json
        with Transaction().start(self.db_name, 1) as transaction:
            order = create_order()
            transaction.commit()
        self.assertEqual(self.get().json['open'], before['open'])
        with Transaction().start(self.db_name, 1) as transaction:
            Request = Pool().get(REQUEST)
            Request.requested([Request(order.id)])
            transaction.commit()
        self.assertEqual(len(self.get().json['open']), 1)
