# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail: what is recorded, and that nobody changes it."""

import base64
import datetime as dt
import io
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from operator import itemgetter
from unittest.mock import patch

from lxml import etree

from trytond import backend
from trytond.modules.health_orthanc.archive.audited import study_events
from trytond.modules.health_orthanc.audit import (
    delivery, entry, retention, trail)
from trytond.modules.health_orthanc.audit.trail import (
    AuditEvent, record_event, record_events)
from trytond.modules.health_orthanc.common.exceptions import (
    DecisionAccessError)
from trytond.modules.health_orthanc.common.transaction import \
    now as transaction_now
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

from scripts.health_orthanc_audit_check import main
from tests.collector import Collector

from .access import (
    AUDIT, AUDIT_CHAIN, AUDIT_PENDING, HEALTH_PATIENT, AccessTestCase,
    own_storages)
from .tools import STUDY, Refused, configured

LOGGER = 'trytond.modules.health_orthanc.audit'
NAMES = [
    'number', 'user_id', 'action', 'outcome', 'patient_id', 'puid',
    'study_id', 'study_uid', 'server_id', 'address', 'detail']


class _TrailTestCase(AccessTestCase):

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
            # In whichever order the database reads them
            return sorted(
                Entry.read([
                        e.id for e in Entry.search(
                            [('number', '>', after)], order=[])], NAMES),
                key=itemgetter('number'))

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

    def test_what_cannot_be_appended_waits(self):
        "It was stored with what was done, and comes before the next event"
        for appended_by in ['event', 'scheduler']:
            seen = self.last()
            with patch.object(
                    entry.AuditEntry, 'append', side_effect=OSError), (
                    self.assertLogs(LOGGER, 'ERROR')), self.transaction():
                self.touch()
                record_event(AuditEvent('link', detail='first'))
            self.assertEqual(self.last(), seen)
            if appended_by == 'event':
                with self.transaction():
                    record_event(AuditEvent('delete', detail='second'))
            else:
                with Transaction().start(self.db_name, 0):
                    Pool().get(AUDIT).send()
            found = self.entries(seen)
            self.assertEqual(
                [e['detail'] for e in found],
                ['first', 'second'] if appended_by == 'event' else ['first'])
            self.assertEqual(found[0]['address'], '192.0.2.7')
            self.assertEqual(found[0]['user_id'], self.users['doctor'])
            with self.transaction():
                self.assertFalse(Pool().get(AUDIT_PENDING).search([]))

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

    def test_a_method_that_does_not_exist(self):
        "A stranger writes no text of theirs into the trail, and one entry"
        client = self.client()
        for text in ['free', 'text']:
            client.post(f'/{self.db_name}/', json={
                    'method': f'model.{STUDY}.{text}', 'params': [{}]})
        details = [e['detail'] for e in self.entries()]
        self.assertEqual(details, [STUDY])

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
                path, data="x",
                headers=self.as_('nurse')._headers).status_code, 403)
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


class ChainTestCase(_TrailTestCase):
    "What was changed in the database is found; old entries leave an anchor"

    def setUp(self):
        super().setUp()
        self.rewrite("DELETE FROM {table}")
        self.rewrite("DELETE FROM {chain}")
        self.seen = 0
        for number in range(5):
            with self.transaction():
                record_event(AuditEvent('download', detail=str(number)))

    def rewrite(self, statement, *values):
        "Do what somebody does who has got the database"
        with Transaction().start(self.db_name, 0) as transaction:
            names = {
                'table': Pool().get(AUDIT)._table,
                'chain': Pool().get(AUDIT_CHAIN)._table}
            statement = statement.format(**names)
            if backend.name == 'sqlite':
                statement = statement.replace('%s', '?')
            transaction.connection.cursor().execute(statement, values)

    def check(self, *options):
        output, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            status = main(['-d', self.db_name, *options])
        return status, output.getvalue() + errors.getvalue()

    def test_nothing_was_changed(self):
        status, text = self.check()
        self.assertEqual(status, 0)
        self.assertIn("5 entries are as they were written.", text)
        noted = re.search('to be noted: (5:[0-9a-f]{64})', text)[1]
        with self.transaction():
            record_event(AuditEvent('download'))
        status, text = self.check('--noted', noted)
        self.assertEqual(status, 0)
        self.assertIn("6 entries are as they were written.", text)
        # The whole chain was written anew since
        status, text = self.check('--noted', '5:' + 'a' * 64)
        self.assertEqual(status, 1)
        self.assertIn("Entry 5: its digest", text)
        status, text = self.check('--noted', '9:' + 'a' * 64)
        self.assertEqual(status, 1)
        self.assertIn("Entry 9: it is missing", text)

    def test_a_changed_entry(self):
        for name, value in [
                ('user_id', 1), ('detail', "x"), ('outcome', 'refused'),
                ('at', dt.datetime(2026, 3, 4))]:
            with self.subTest(column=name):
                self.setUp()
                self.rewrite(
                    f"UPDATE {{table}} SET {name} = %s WHERE number = 3",
                    value)
                status, text = self.check()
                self.assertEqual(status, 1)
                self.assertIn("Entry 3: it, or the entry before, was", text)

    def test_a_deleted_entry(self):
        for number in [1, 3, 5]:
            with self.subTest(number=number):
                self.setUp()
                self.rewrite("DELETE FROM {table} WHERE number = %s", number)
                status, text = self.check()
                self.assertEqual(status, 1)
                self.assertIn(f"Entry {number}: it is missing.", text)

    def test_a_database_that_does_not_exist(self):
        output = io.StringIO()
        with patch.object(Transaction, 'start', side_effect=(
                    backend.DatabaseOperationalError("no such database"))), \
                redirect_stderr(output):
            self.assertEqual(main(['-d', 'nowhere']), 2)
        self.assertIn("nowhere: cannot be checked", output.getvalue())

    def remove_old(self, days):
        moment = transaction_now() + dt.timedelta(days=days)
        with patch.object(retention, 'now', lambda: moment), patch.object(
                retention, '_BATCH', 2), Transaction().start(self.db_name, 0):
            Pool().get(AUDIT).remove_old()

    def test_old_entries_are_removed(self):
        self.remove_old(3649)
        self.assertEqual(len(self.entries(0)), 5)
        self.remove_old(3651)
        self.assertEqual(self.entries(0), [])
        self.assertEqual(self.check()[0], 0)
        with self.transaction():
            record_event(AuditEvent('download'))
        status, text = self.check()
        self.assertEqual(status, 0)
        self.assertIn("1 entries are as they were written.", text)
        self.assertIn("Entries up to 5 were removed", text)
        self.rewrite("DELETE FROM {table} WHERE number = 6")
        self.assertIn("Entry 6: it is missing", self.check()[1])

    def test_newer_entries_are_kept(self):
        self.rewrite(
            "UPDATE {table} SET at = %s WHERE number <= 3",
            dt.datetime(2000, 1, 1))
        self.remove_old(1)
        self.assertEqual([e['number'] for e in self.entries(0)], [4, 5])
        with configured('audit_days', '0'):
            self.remove_old(10**5)
        self.assertEqual(len(self.entries(0)), 2)
        self.assertEqual(self.check()[0], 0)

    def test_what_was_not_sent_is_kept(self):
        with configured('audit_syslog', 'tcp://127.0.0.1:1'):
            self.remove_old(3651)
            self.assertEqual(len(self.entries(0)), 5)
            self.rewrite("UPDATE {chain} SET sent_number = 4")
            self.remove_old(3651)
            self.assertEqual([e['number'] for e in self.entries(0)], [5])

    def test_the_end_is_lost(self):
        self.rewrite("DELETE FROM {chain}")
        with self.transaction():
            record_event(AuditEvent('download'))
        self.assertEqual(
            [e['number'] for e in self.entries(0)], [1, 2, 3, 4, 5, 6])
        self.assertEqual(self.check()[0], 0)

    # Messages to a repository

    def send(self, received):
        with configured(
                'audit_syslog', f'tcp://127.0.0.1:{received.port}'), \
                Transaction().start(self.db_name, 0, readonly=True):
            Pool().get(AUDIT).send()

    def numbers(self, messages):
        "Return the numbers of the entries in messages"
        found = []
        for message in messages:
            root = etree.fromstring(message.partition(b'\xef\xbb\xbf')[2])
            found += [
                int(base64.b64decode(detail.get('value')))
                for detail in root.iterfind(
                    './/ParticipantObjectDetail[@type="Entry"]')][:1]
        return found

    def test_messages_wait_while_the_repository_is_away(self):
        for number in range(2):
            with self.transaction():
                record_events(study_events(
                        'download', [Pool().get(STUDY)(self.study.id)]))
        with Collector() as received:
            port = received.port
        # The scheduler tries each minute; the log has one line
        with self.assertLogs(LOGGER, 'ERROR') as log:
            self.send(received)
            self.send(received)
        self.assertEqual(log.output, [
                f'ERROR:{LOGGER}:Audit repository not reached: '
                'ConnectionRefusedError'])
        with configured('audit_syslog', f'tcp://127.0.0.1:{port}'), (
                self.transaction()):
            Entry = Pool().get(AUDIT)
            oldest, = Entry.search([], order=[('number', 'ASC')], limit=1)
            self.assertEqual(Entry.unsent_since(), oldest.at)
        with self.transaction():
            self.assertIsNone(Entry.unsent_since())
        delivery._announced.clear()
        with Collector(port=port) as received, patch.object(
                delivery, '_BATCH', 4):
            with self.assertLogs(LOGGER, 'ERROR') as log:
                self.send(received)
            self.assertEqual(len(log.output), 1)
            first, second = received.messages(), received.messages()
            self.assertTrue(received.connections.empty())
            self.assertIn(b'"Application Start"', first[0])
            self.assertEqual((len(first), len(second)), (5, 3))
            self.assertEqual(self.numbers(first + second), [6, 7])
            self.assertIn(b'UserID="doctor"', second[-1])
            self.assertIn(b'NetworkAccessPointID="192.0.2.7"', second[-1])
            # Each arrives once
            self.send(received)
            self.assertTrue(received.connections.empty())
            with self.transaction():
                record_event(AuditEvent('wizard', 'refused'))
            self.send(received)
            message, = received.messages()
            self.assertIn(b'"Security Alert"', message)

    def test_nothing_is_sent_without_the_setting(self):
        with patch.object(
                delivery, '_collector', side_effect=AssertionError), \
                Transaction().start(self.db_name, 0, readonly=True):
            Pool().get(AUDIT).send()

    def test_a_wrong_address(self):
        with configured('audit_syslog', 'nowhere'), self.assertLogs(
                LOGGER, 'ERROR'), \
                Transaction().start(self.db_name, 0, readonly=True):
            Pool().get(AUDIT).send()


class PagesTestCase(_TrailTestCase):
    "Those in charge of privacy see who saw what, and nothing else"

    @classmethod
    def setUpDatabase(cls):
        super().setUpDatabase()
        cls.fields = [
            'at', 'user', 'user.rec_name', 'action', 'outcome',
            'patient_name', 'study_name', 'server_name', 'address', 'detail',
            'puid', 'study_uid']

    def setUp(self):
        super().setUp()
        with self.transaction():
            record_events(study_events(
                    'download', [Pool().get(STUDY)(self.study.id)]))

    def read(self, domain, login='privacy'):
        return self.as_(login).model(
            AUDIT, 'search_read',
            [('number', '>', self.seen), domain], 0, 10, None, self.fields)

    def test_what_is_shown(self):
        row, = self.read([])
        self.assertEqual(row['user.']['rec_name'], 'doctor')
        self.assertEqual(row['server_name'], "Archive")
        self.assertEqual(row['patient_name'], self.stored(
                HEALTH_PATIENT, self.patient.id, 'rec_name'))
        self.assertEqual(row['study_name'], self.stored(
                STUDY, self.study.id, 'rec_name'))

    def test_search(self):
        name = self.read([])[0]['patient_name']
        for clause, found in [
                (('user', '=', self.users['doctor']), 1),
                (('user', '=', self.users['clerk']), 0),
                (('user.login', '=', 'doctor'), 1),
                (('user', 'ilike', 'doct%'), 1),
                (('user', 'ilike', 'clerk'), 0),
                (('patient_name', 'ilike', f'%{name[:4]}%'), 1),
                (('patient_name', 'ilike', 'Nobody%'), 0),
                (('study_name', '=', self.stored(
                            STUDY, self.study.id, 'study_instance_UID')), 1),
                (('server_name', '=', "Archive"), 1),
                (('server_name', '=', "Other"), 0),
                (('patient_id', 'in', [self.patient.id]), 1),
                (('study_id', 'in', [self.unlinked_study.id]), 0),
                (('address', '=', '192.0.2.7'), 1),
                (('rec_name', 'ilike', f'%{name[:4]}%'), 1),
                (('rec_name', 'ilike', '%doctor%'), 1),
                (('rec_name', 'ilike', '%192.0.2%'), 1),
                (('rec_name', 'ilike', '%nothing%'), 0)]:
            with self.subTest(clause=clause):
                self.assertEqual(len(self.read(clause)), found)

    def test_export(self):
        id_ = self.read([])[0]['id']
        self.assertEqual(
            self.as_('privacy').model(
                AUDIT, 'export_data', [id_], ['action', 'user/rec_name']),
            [['download', 'doctor']])
        with self.assertRaises(Refused):
            self.as_('administrator').model(
                AUDIT, 'export_data', [id_], ['action'])

    def test_nobody_else_reads(self):
        id_ = self.read([])[0]['id']
        for login in self.users.keys() - {'privacy'}:
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(AUDIT, 'read', [id_], ['at'])
                with self.assertRaises(Refused):
                    self.read([], login)

    def test_nothing_else_is_read(self):
        session = self.as_('privacy')
        with Transaction().start(self.db_name, 1, readonly=True):
            names = {name for name, _ in own_storages()} - {AUDIT}
        for name in names:
            with self.subTest(model=name), self.assertRaises(Refused):
                session.model(name, 'search_read', [], 0, 1, None, ['id'])

    def test_deleted_records_are_still_named_by_number(self):
        with self.transaction():
            record_event(AuditEvent(
                    'download', patient_id=10**8, study_id=10**8,
                    server_id=10**8, user_id=self.users['clerk']))
        row = self.read(('patient_id', '=', 10**8))[0]
        self.assertEqual(
            (row['patient_name'], row['study_name'], row['server_name']),
            (None, None, None))

    def test_pages_of_a_patient_and_a_study(self):
        for login, expected in [('privacy', True), ('administrator', False)]:
            for model, id_ in [
                    (HEALTH_PATIENT, self.patient.id),
                    (STUDY, self.study.id)]:
                with self.subTest(user=login, model=model):
                    actions = self.as_(login).model(
                        'ir.action.keyword', 'get_keyword', 'form_relate',
                        [model, id_])
                    found = [
                        a for a in actions if a.get('res_model') == AUDIT]
                    self.assertEqual(bool(found), expected)
                    for action in found:
                        domain = PYSONDecoder({
                                'active_model': model, 'active_ids': [id_],
                                }).decode(action['pyson_domain'])
                        self.assertEqual(len(self.read(domain)), 1)
                        domain = PYSONDecoder({
                                'active_model': model, 'active_ids': [10**8],
                                }).decode(action['pyson_domain'])
                        self.assertFalse(self.read(domain))
