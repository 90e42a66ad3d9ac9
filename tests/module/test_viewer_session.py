# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a session of the viewer, and when it ends."""

import datetime as dt
import json
from unittest.mock import patch

from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.common import client_session
from trytond.modules.health_orthanc.common.exceptions import (
    OrthancUserError, QuarantineError, UnconfirmedStudyWarning)
from trytond.modules.health_orthanc.linking.unconfirmed import acknowledge
from trytond.modules.health_orthanc.viewing import session as viewing
from trytond.modules.health_orthanc.viewing import session_lookup
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access

from .access import AccessTestCase
from .tools import STUDY, create_patient, create_series, create_study

VIEWER_SESSION = 'gnuhealth.imaging_orthanc.viewer_session'
COOKIE = 'health_orthanc_viewer'


class ViewerSessionTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.doubtful = create_study(
            cls.server, patient=create_patient("Muster", "Ernst").id,
            link_status='auto_unsure')
        create_series(cls.doubtful)
        cls.uid = cls.study.study_instance_UID
        cls.unlinked_uid = cls.unlinked_study.study_instance_UID
        cls.empty = create_study(cls.server, patient=cls.patient.id)

    def setUp(self):
        super().setUp()
        # A client logs in for each test
        self._keys.clear()

    def transaction(self, user=1):
        return Transaction().start(self.db_name, user, context={
                '_check_access': user != 1})

    def issue(self, login, *studies, key=None):
        "Return a ticket, as View does"
        user = self.users[login]
        self.session(user)
        with self.transaction(user) as transaction, (
                client_session.session_key(key or self._keys[user])):
            ticket = Pool().get(VIEWER_SESSION).issue_ticket(
                Pool().get(STUDY).browse([s.id for s in studies]))
            transaction.commit()
        return ticket

    def call(self, method, *args):
        with self.transaction() as transaction:
            result = getattr(Pool().get(VIEWER_SESSION), method)(*args)
            transaction.commit()
        return result

    def open(self, login, *studies):
        "Return a cookie"
        value, _ = self.call('open_ticket', self.issue(login, *studies))
        return value

    def post(self, ticket, **headers):
        return self.client().post(
            f'/{self.db_name}/orthanc/viewer-session', data=ticket,
            headers={'Sec-Fetch-Site': 'same-origin', **headers})

    def test_a_ticket_is_valid_once(self):
        for login in self.INSIDERS:
            with self.subTest(user=login):
                ticket = self.issue(login, self.study)
                cookie, opened = self.call('open_ticket', ticket)
                self.assertEqual(opened, {
                        'server': self.server.id,
                        'studies': [self.uid],
                        'series': None})
                self.assertEqual(
                    self.call('check', cookie), self.users[login])
                self.assertIsNone(self.call('open_ticket', ticket))
                for other in ['', ticket, cookie.upper(), cookie + 'x']:
                    self.assertIsNone(self.call('check', other))

    def test_a_ticket_is_valid_for_two_minutes(self):
        for minutes, valid in [(1, True), (3, False)]:
            ticket = self.issue('doctor', self.study)
            later = dt.datetime.now() + dt.timedelta(minutes=minutes)
            with patch.object(viewing, 'now', lambda: later):
                self.assertEqual(
                    bool(self.call('open_ticket', ticket)), valid)

    def test_only_digests_are_stored(self):
        ticket = self.issue('doctor', self.study)
        cookie, _ = self.call('open_ticket', ticket)
        self.issue('doctor', self.study)
        with self.transaction():
            for record in Pool().get(VIEWER_SESSION).search([]):
                for name in record._fields:
                    self.assertNotIn(
                        str(getattr(record, name)), {ticket, cookie})

    def test_who_may_not_read_gets_none(self):
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            with self.subTest(user=login), self.assertRaises(AccessError):
                self.issue(login, self.study)
        with self.assertRaises(AccessError):
            self.issue('doctor', self.study, self.unlinked_study)
        self.assertTrue(self.issue('clerk', self.study, self.unlinked_study))

    def test_a_study_that_awaits_confirmation(self):
        self.assertTrue(self.issue('clerk', self.doubtful))
        with self.assertRaises(UnconfirmedStudyWarning):
            self.issue('doctor', self.study, self.doubtful)
        with self.transaction(self.users['doctor']) as transaction:
            acknowledge(Pool().get(STUDY).browse([self.doubtful.id]))
            transaction.commit()
        self.assertTrue(self.issue('doctor', self.study, self.doubtful))

    def write(self, model, id_, **values):
        with self.transaction() as transaction:
            Model = Pool().get(model)
            Model.write([Model(id_)], values)
            transaction.commit()

    def test_images_that_nobody_may_see(self):
        with self.assertRaises(OrthancUserError):
            self.issue('clerk', self.empty)
        now = dt.datetime(2026, 3, 4)
        for name, error in [
                ('quarantined_at', QuarantineError),
                ('missing_since', OrthancUserError)]:
            self.write(STUDY, self.study.id, **{name: now})
            try:
                with self.assertRaises(error):
                    self.issue('clerk', self.study)
            finally:
                self.write(STUDY, self.study.id, **{name: None})
        self.write(self.server.__name__, self.server.id, active=False)
        try:
            with self.assertRaises(OrthancUserError):
                self.issue('clerk', self.study)
        finally:
            self.write(self.server.__name__, self.server.id, active=True)

    def test_a_twin_that_the_user_may_not_see(self):
        "Orthanc would show either"
        with self.transaction() as transaction:
            create_study(self.server, study_instance_UID=self.uid)
            transaction.commit()
        try:
            with self.assertRaises(OrthancUserError):
                self.issue('doctor', self.study)
            self.assertTrue(self.issue('clerk', self.study))
        finally:
            with self.transaction() as transaction:
                Study = Pool().get(STUDY)
                Study.delete(Study.search([
                            ('study_instance_UID', '=', self.uid),
                            ('id', '!=', self.study.id)]))
                transaction.commit()

    def test_only_the_session_of_the_user_counts(self):
        self.session(self.users['clerk'])
        for key in ['x', self._keys[self.users['clerk']]]:
            with self.assertRaises(OrthancUserError):
                self.issue('doctor', self.study, key=key)

    def test_models_learn_the_session_of_the_client(self):
        session = self.as_('doctor')
        keys = []
        with self.transaction():
            User = Pool().get('res.user')
        with patch.object(
                User, 'get_preferences',
                lambda context_only=False: keys.append(
                    client_session.get_session_key()) or {}):
            session.model('res.user', 'get_preferences', True)
        self.assertEqual(keys, [self._keys[self.users['doctor']]])
        self.assertIsNone(client_session.get_session_key())

    def logout(self, user):
        session = self.session(user)
        self.client().post(
            f'/{self.db_name}/', headers=session._headers,
            content_type='application/json', data=json.dumps(
                {'id': 1, 'method': 'common.db.logout', 'params': []}))

    def deactivate(self, user):
        self.write('res.user', user, active=False)
        self.write('res.user', user, active=True)

    def change_password(self, user):
        self.write('res.user', user, password='correct horse battery')

    def test_it_ends_with_the_session_of_the_client(self):
        user = self.users['doctor']
        for end in [self.logout, self.deactivate, self.change_password]:
            with self.subTest(end=end.__name__):
                self._keys.clear()
                ticket = self.issue('doctor', self.study)
                cookie = self.open('doctor', self.study)
                # Somebody else's is not touched
                other = self.open('clerk', self.study)
                self.assertEqual(self.call('check', cookie), user)
                end(user)
                self.assertIsNone(self.call('check', cookie))
                self.assertIsNone(self.call('open_ticket', ticket))
                self.assertTrue(self.call('check', other))
        self._keys.clear()

    def test_it_is_looked_up_without_a_transaction(self):
        "Also after the connection to the database was lost"
        cookie = self.open('doctor', self.study)
        Session = Pool(self.db_name).get(VIEWER_SESSION)
        found = self.call('identify', cookie)
        self.assertEqual(found[1], self.users['doctor'])
        self.assertEqual(Session.look_up(self.db_name, cookie), found)
        self.assertIsNone(Session.look_up(self.db_name, 'x'))
        # On PostgreSQL there is one
        for _, connection in session_lookup._connections.values():
            with Transaction().start(self.db_name, 0) as transaction:
                transaction.connection.cursor().execute(
                    'SELECT pg_terminate_backend(%s)',
                    (connection.info.backend_pid,))
        self.assertEqual(Session.look_up(self.db_name, cookie), found)
        self.deactivate(self.users['doctor'])
        self._keys.clear()
        self.assertIsNone(Session.look_up(self.db_name, cookie))

    def test_it_ends_with_the_age_of_the_session(self):
        cookie = self.open('doctor', self.study)
        for days, valid in [(29, True), (31, False)]:
            later = dt.datetime.now() + dt.timedelta(days=days)
            with patch.object(viewing, 'now', lambda: later):
                self.assertEqual(bool(self.call('check', cookie)), valid)
                self.call('delete_expired')
        self.assertIsNone(self.call('check', cookie))

    def test_what_has_expired_is_deleted(self):
        cookie = self.open('doctor', self.study)
        ticket = self.issue('doctor', self.study)
        later = dt.datetime.now() + dt.timedelta(minutes=3)
        with patch.object(viewing, 'now', lambda: later):
            self.call('delete_expired')
        self.assertIsNone(self.call('open_ticket', ticket))
        self.assertTrue(self.call('check', cookie))

    def test_a_second_study_in_the_same_browser(self):
        first = self.open('clerk', self.study)
        ticket = self.issue('clerk', self.unlinked_study)
        second, opened = self.call('open_ticket', ticket, first)
        self.assertEqual(
            opened['studies'], [self.unlinked_uid])
        self.assertIsNone(self.call('check', first))
        with self.transaction():
            found = Pool().get(VIEWER_SESSION).find(second)
            self.assertEqual(
                found.opened_ids, [self.unlinked_study.id, self.study.id])
        # Somebody else who uses the browser inherits nothing
        third, _ = self.call(
            'open_ticket', self.issue('doctor', self.study), second)
        with self.transaction():
            found = Pool().get(VIEWER_SESSION).find(third)
            self.assertEqual(found.opened_ids, [self.study.id])

    def test_nobody_reads_it(self):
        self.open('doctor', self.study)
        for login in self.users:
            with self.transaction(self.users[login]), check_access(), (
                    self.assertRaises(AccessError)):
                Pool().get(VIEWER_SESSION).search([], count=True)

    def test_the_cookie(self):
        response = self.post(self.issue('doctor', self.study))
        self.assertEqual(response.status_code, 200)
        path = viewing.cookie_path(self.db_name)
        self.assertEqual(
            response.json['address'],
            f'{path}viewer/{self.server.id}/viewer'
            f'?StudyInstanceUIDs={self.uid}')
        cookie, = response.headers.getlist('Set-Cookie')
        name, *attributes = cookie.split('; ')
        self.assertTrue(name.startswith(COOKIE + '='))
        self.assertEqual(set(attributes), {
                'HttpOnly', 'SameSite=Strict',
                f'Path={path}'})

    def test_behind_tls(self):
        response = self.client().post(
            f'/{self.db_name}/orthanc/viewer-session',
            base_url='https://localhost',
            data=self.issue('doctor', self.study),
            headers={'Sec-Fetch-Site': 'same-origin'})
        self.assertIn('Secure', response.headers['Set-Cookie'])

    def test_a_ticket_that_is_used_up(self):
        ticket = self.issue('doctor', self.study)
        self.post(ticket)
        for refused in [ticket, 'x', '\0', 'ä']:
            response = self.post(refused)
            self.assertEqual(response.status_code, 403)
            self.assertIn("press View", response.json['message'])
            self.assertNotIn('Set-Cookie', response.headers)
        self.assertEqual(self.post('x' * 2000).status_code, 413)

    def test_a_page_of_another_site(self):
        for headers in [
                {'Sec-Fetch-Site': 'cross-site'},
                {'Sec-Fetch-Site': 'same-site'},
                {'Sec-Fetch-Site': 'none'},
                {'Origin': 'http://evil.example'}]:
            ticket = self.issue('doctor', self.study)
            self.assertEqual(self.post(ticket, **headers).status_code, 403)
            # It was not used
            self.assertEqual(self.post(ticket).status_code, 200)
        response = self.client().post(
            f'/{self.db_name}/orthanc/viewer-session', data=ticket)
        self.assertEqual(response.status_code, 403)

    def test_the_page(self):
        response = self.client().get(f'/{self.db_name}/orthanc/view')
        self.assertEqual(response.status_code, 200)
        self.assertIn("press View", response.text)
        policy = response.headers['Content-Security-Policy']
        self.assertIn("default-src 'none'", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertNotIn('unsafe', policy)
        self.assertNotRegex(response.text, r'<script(?! src=)|style=| on\w+=')
        script = self.client().get(f'/{self.db_name}/orthanc/view.js')
        self.assertIn('location.hash', script.text)
        self.assertIn('javascript', script.headers['Content-Type'])
