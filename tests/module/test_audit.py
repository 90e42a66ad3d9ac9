# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail: what is recorded, and that nobody changes it."""

from contextlib import contextmanager
from unittest.mock import patch

from trytond.modules.health_orthanc.archive.audited import study_events
from trytond.modules.health_orthanc.audit import trail
from trytond.modules.health_orthanc.audit.trail import (
    AuditEvent, record_event, record_events)
from trytond.modules.health_orthanc.common.exceptions import (
    DecisionAccessError)
from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import AUDIT, HEALTH_PATIENT, AccessTestCase
from .tools import MODULE, STUDY, Refused, create_user

NAMES = [
    'number', 'user_id', 'action', 'outcome', 'patient_id', 'puid',
    'study_id', 'study_uid', 'server_id', 'address', 'detail']


class _TrailTestCase(AccessTestCase):

    @classmethod
    def setUpDatabase(cls):
        super().setUpDatabase()
        cls.users['privacy'] = create_user(
            'privacy', f'{MODULE}.group_imaging_orthanc_privacy').id
        Transaction().commit()

    def setUp(self):
        super().setUp()
        with trail._recorded_lock:
            trail._recorded.clear()
        self.seen = self.last()

    def last(self):
        return max((e['number'] for e in self.entries(0)), default=0)

    def entries(self, after=None):
        "Return the entries since the test has begun"
        after = self.seen if after is None else after
        with Transaction().start(self.db_name, 0, readonly=True):
            Entry = Pool().get(AUDIT)
            return Entry.read([
                    e.id for e in Entry.search(
                        [('number', '>', after)],
                        order=[('number', 'ASC')])], NAMES)

    def entries_within(self):
        return Pool().get(AUDIT).search([('number', '>', self.seen)])

    @contextmanager
    def transaction(self, login='doctor', **options):
        with Transaction().start(
                self.db_name, self.users[login], context={
                    '_request': {'remote_addr': '192.0.2.7'}},
                **options) as transaction:
            yield transaction


class TrailTestCase(_TrailTestCase):

    def test_an_event(self):
        with self.transaction(readonly=True):
            record_events(study_events(
                    'download', [Pool().get(STUDY)(self.study.id)],
                    detail="study"))
        entry, = self.entries()
        del entry['id']
        self.assertEqual(entry, {
                'number': self.seen + 1,
                'user_id': self.users['doctor'],
                'action': 'download',
                'outcome': 'success',
                'patient_id': self.patient.id,
                'puid': self.stored(
                    HEALTH_PATIENT, self.patient.id, 'puid'),
                'study_id': self.study.id,
                'study_uid': self.stored(
                    STUDY, self.study.id, 'study_instance_UID'),
                'server_id': self.server.id,
                'address': '192.0.2.7',
                'detail': "study",
                })

    def test_a_refusal_outlives_its_transaction(self):
        with self.assertRaises(KeyError):
            with self.transaction():
                self.touch()
                record_event(AuditEvent('delete', 'refused'))
                record_event(AuditEvent('delete'))
                raise KeyError
        entry, = self.entries()
        self.assertEqual(entry['outcome'], 'refused')
        self.assertEqual(entry['address'], '192.0.2.7')

    def touch(self):
        "Write something, as the transaction of a button does"
        table = Pool().get(self.server.__name__).__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.label], [table.label]))

    def test_a_change_is_recorded_when_it_is_committed(self):
        with self.transaction():
            self.touch()
            record_event(AuditEvent('link'))
            self.assertFalse(self.entries_within())
        entry, = self.entries()
        self.assertEqual(entry['action'], 'link')
        with self.transaction() as transaction:
            self.touch()
            record_event(AuditEvent('link'))
            transaction.rollback()
        self.assertEqual(len(self.entries()), 1)

    def test_a_view_is_recorded_once_in_a_quarter_of_an_hour(self):
        for login, uid in [
                ('doctor', '1.2'), ('doctor', '1.2'), ('clerk', '1.2'),
                ('doctor', '1.3')]:
            with self.transaction(login):
                record_events([AuditEvent('view', study_uid=uid)] * 2)
        # Another process does not know of them
        trail._recorded.clear()
        with self.transaction():
            record_event(AuditEvent('view', study_uid='1.2'))
        self.assertEqual([
                (e['user_id'], e['study_uid']) for e in self.entries()], [
                (self.users['doctor'], '1.2'),
                (self.users['clerk'], '1.2'),
                (self.users['doctor'], '1.3')])
        with patch.object(trail, 'now', lambda: later), self.transaction():
            later = Pool().get(AUDIT).search([], limit=1)[0].at + (
                trail.ONCE_PER_SLOT)
            record_event(AuditEvent('view', study_uid='1.2'))
        self.assertEqual(len(self.entries()), 4)

    def test_refusals_and_downloads_are_all_recorded(self):
        with self.transaction():
            for _ in range(2):
                record_event(AuditEvent('view', 'refused', study_uid='1.2'))
                record_event(AuditEvent('download', study_uid='1.2'))
        self.assertEqual(len(self.entries()), 4)

    def test_texts_of_clients_are_cut(self):
        with self.transaction():
            record_event(AuditEvent(
                    'route', 'refused', detail="a\0\n" + "b" * 300,
                    address="1" * 100))
        entry, = self.entries()
        self.assertEqual(entry['detail'], "a  " + "b" * 252)
        self.assertEqual(entry['address'], "1" * 64)

    def test_our_code_cannot_change_entries(self):
        with self.transaction():
            record_event(AuditEvent('download'))
        with Transaction().start(self.db_name, 0, readonly=True):
            Entry = Pool().get(AUDIT)
            entries = Entry.search([], limit=1)
            for method, *args in [
                    ('create', [{'action': 'view'}]),
                    ('write', entries, {'detail': "x"}),
                    ('delete', entries),
                    ('copy', entries),
                    ('import_data', ['action'], [['view']])]:
                with self.subTest(method=method):
                    with self.assertRaises(DecisionAccessError):
                        getattr(Entry, method)(*args)

    def test_nobody_changes_entries_from_outside(self):
        with self.transaction():
            record_event(AuditEvent('download'))
        before = self.entries(0)
        id_ = before[-1]['id']
        for login in self.users:
            session = self.as_(login)
            for method, *args in [
                    ('create', [{'action': 'view'}]),
                    ('write', [id_], {'detail': "x"}),
                    ('delete', [id_]),
                    ('copy', [id_]),
                    ('import_data', ['action'], [['view']])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        session.model(AUDIT, method, *args)
        self.assertEqual(self.entries(0)[:len(before)], before)


class RefusalTestCase(_TrailTestCase):
    "What is refused from outside is recorded, with whom and what"

    def refusals(self):
        return [
            (e['action'], e['outcome'], e['user_id'], e['study_id'],
                e['patient_id'], e['detail']) for e in self.entries()]

    def test_a_wizard(self):
        name = 'gnuhealth.imaging_orthanc.delete_images'
        with self.assertRaises(Refused):
            self.as_('doctor').wizard(
                name, 'create', active_model=STUDY, active_id=self.study.id,
                active_ids=[self.study.id])
        self.assertEqual(self.refusals(), [(
                    'wizard', 'refused', self.users['doctor'], self.study.id,
                    self.patient.id, name)])

    def test_a_button(self):
        with self.assertRaises(Refused):
            self.as_('nurse').model(STUDY, 'restore', [self.study.id])
        self.assertEqual(self.refusals(), [(
                    'button', 'refused', self.users['nurse'], self.study.id,
                    self.patient.id, f'{STUDY} restore')])

    def test_a_record_that_does_not_exist(self):
        with self.assertRaises(Refused):
            self.as_('nurse').model(STUDY, 'restore', [10**6])
        self.assertEqual(self.refusals(), [(
                    'button', 'refused', self.users['nurse'], None, None,
                    f'{STUDY} restore')])

    def test_what_is_not_ours(self):
        with self.assertRaises(Refused):
            self.as_('nurse').model('ir.cron', 'create', [{}])
        self.assertFalse(self.refusals())

    def test_routes(self):
        path = f'/{self.db_name}/orthanc/upload/transfer'
        client = self.client()
        for _ in range(2):
            self.assertEqual(client.post(path, data="x").status_code, 401)
        self.assertEqual(client.post(
                path, data="x", headers=self.as_('nurse')._headers).status_code, 403)
        self.assertEqual(client.post(
                f'/{self.db_name}/orthanc/download',
                data={'ticket': 'x'}).status_code, 403)
        self.assertEqual(self.refusals(), [
                ('login', 'refused', None, None, None, 'POST upload'),
                ('route', 'refused', self.users['nurse'], None, None,
                    'POST upload'),
                ('download', 'refused', None, None, None, 'ticket'),
                ])

    def test_another_database(self):
        self.assertEqual(self.client().get(
                '/another/orthanc/download').status_code, 404)
        self.assertFalse(self.refusals())
