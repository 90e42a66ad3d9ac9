# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the authorization plugin of an Orthanc is told."""

import base64
import datetime as dt
import json
from unittest.mock import patch

from trytond.modules.health_orthanc.linking.unconfirmed import acknowledge
from trytond.modules.health_orthanc.viewing import authorization
from trytond.pool import Pool

from .tools import (
    SERVER, STUDY, Refused, RpcError, configured, create_server, create_study,
    fernet_keys, record_id)
from .viewer_tokens import TokenTestCase


class ValidateTestCase(TokenTestCase):

    def test_what_belongs_to_the_study(self):
        token = self.issue('doctor', self.study)
        for level, values, granted in [
                ('study', {}, True),
                ('study', {'orthanc-id': None}, True),
                ('study', {'dicom-uid': ''}, True),
                ('study', {'orthanc-id': None, 'dicom-uid': None}, False),
                ('study', {'orthanc-id': 'abc-9'}, False),
                ('study', {'dicom-uid': '1.2'}, False),
                ('study', self.names['stranger'], False),
                ('study', {
                        'orthanc-id': None,
                        'dicom-uid': f'{self.uid},1.2'}, False),
                ('study', {'orthanc-id': None, 'dicom-uid': '*'}, False),
                ('series', {'orthanc-id': 'abc-2'}, True),
                ('series', {'dicom-uid': self.names['series']}, True),
                ('series', self.names['foreign series'], False),
                ('series', {}, False),
                ('series', {'orthanc-id': 'abc-1'}, False),
                ('instance', {'orthanc-id': 'abc-3'}, True),
                ('instance', self.names['foreign instance'], False),
                ('instance', {
                        'orthanc-id': 'abc-3',
                        'dicom-uid': '1.2'}, False),
                ('instance', {}, False),
                ('patient', {'orthanc-id': 'abc-1'}, False),
                ('patient', self.names['patient'], False),
                ('patient', {}, False),
                ('system', {'uri': '/studies'}, False),
                ('system', {'uri': f'/studies/{self.uid}'}, False),
                ('system', {'uri': '/system'}, False),
                ('system', {}, False),
                ]:
            with self.subTest(level=level, **values):
                self.assertEqual(
                    self.is_granted(token, level, **values), granted)

    def test_tokens_only_read(self):
        token = self.issue('administrator', self.study)
        for method in ['post', 'put', 'delete']:
            self.assertFalse(self.is_granted(token, method=method))

    def test_how_viewers_show_them(self):
        token = self.issue('doctor', self.study)
        for key, value, granted in [
                ('Authorization', f'Bearer {token}', True),
                ('authorization', f'bearer {token}', True),
                ('authorization', token, True),
                ('token', token, True),
                ('token', f'Bearer {token}', False),
                ('Authorization', f'Basic {token}', False),
                ('Authorization', 'Bearer', False),
                ('token', token[:-1], False),
                ('token', token.swapcase(), False),
                ('token', '\ud800', False),
                ('token', 'é\0' * 9, False),
                ('token', '%', False),
                ]:
            with self.subTest(key=key, value=value):
                self.assertEqual(self.is_granted(None, **{
                            'token-key': key, 'token-value': value}), granted)

    def test_nobody_is_let_in_without_one(self):
        for values in [
                {}, {'token-key': 'token'}, {'token-value': 'x'},
                {'token-key': 'token', 'token-value': ''},
                {'token-key': None, 'token-value': None}]:
            for level in ['study', 'system']:
                self.assertFalse(self.is_granted(None, level, **values))

    def test_of_another_server(self):
        "It holds the same study"
        here = self.issue('doctor', self.study)
        there = self.issue('doctor', self.elsewhere)
        self.assertTrue(self.is_granted(there, server=self.other_server))
        self.assertFalse(self.is_granted(here, server=self.other_server))
        self.assertFalse(self.is_granted(there))

    def test_a_right_that_is_taken_away(self):
        token = self.issue('doctor', self.study)
        clerk = self.issue('clerk', self.study)
        self.write(STUDY, self.study.id, patient=None, link_status='unlinked')
        try:
            self.assertFalse(self.is_granted(token))
            self.assertFalse(self.is_granted(
                    token, 'series', **{'orthanc-id': 'abc-2'}))
            self.assertTrue(self.is_granted(clerk))
        finally:
            self.write(
                STUDY, self.study.id, patient=self.patient.id,
                link_status='manual')
        self.assertTrue(self.is_granted(token))
        for name, value in [
                ('quarantined_at', dt.datetime(2026, 3, 4)),
                ('missing_since', dt.datetime(2026, 3, 4))]:
            self.write(STUDY, self.study.id, **{name: value})
            try:
                self.assertFalse(self.is_granted(clerk))
            finally:
                self.write(STUDY, self.study.id, **{name: None})

    def test_a_group_that_is_taken_away(self):
        token = self.issue('doctor', self.study)
        group = record_id_in(self, 'group_health_doctor', 'health')
        self.write('res.user', self.users['doctor'], groups=[
                ('remove', [group])])
        try:
            self.assertFalse(self.is_granted(token))
        finally:
            self.write('res.user', self.users['doctor'], groups=[
                    ('add', [group])])

    def test_a_study_that_awaits_confirmation(self):
        with self.transaction(self.users['doctor']) as transaction:
            acknowledge(Pool().get(STUDY).browse([self.doubtful.id]))
            transaction.commit()
        token = self.issue('doctor', self.doubtful)
        ids = self.names['doubtful']
        self.assertTrue(self.is_granted(token, **ids))
        # Somebody else is proposed
        self.write(
            STUDY, self.doubtful.id, patient=self.patient.id,
            link_status='auto_unsure')
        self.assertFalse(self.is_granted(token, **ids))

    def test_a_twin_that_the_user_may_not_see(self):
        "Orthanc would show either"
        token = self.issue('doctor', self.study)
        with self.transaction() as transaction:
            twin = create_study(self.server, study_instance_UID=self.uid)
            transaction.commit()
        try:
            self.assertFalse(self.is_granted(token))
        finally:
            with self.transaction() as transaction:
                Pool().get(STUDY).delete([Pool().get(STUDY)(twin.id)])
                transaction.commit()

    def logout(self, user):
        session = self.session(user)
        self.client().post(
            f'/{self.db_name}/', headers=session._headers,
            content_type='application/json', data=json.dumps(
                {'id': 1, 'method': 'common.db.logout', 'params': []}))

    def deactivate(self, user):
        self.write('res.user', user, active=False)
        self.addCleanup(self.write, 'res.user', user, active=True)

    def change_password(self, user):
        self.write('res.user', user, password='correct horse battery')

    def test_it_ends_with_the_session_of_the_client(self):
        for end in [self.logout, self.change_password, self.deactivate]:
            with self.subTest(end=end.__name__):
                self._keys.clear()
                token = self.issue('doctor', self.study)
                other = self.issue('clerk', self.study)
                end(self.users['doctor'])
                self.assertFalse(self.is_granted(token))
                self.assertTrue(self.is_granted(other))
        self._keys.clear()

    def test_it_ends_after_its_time(self):
        for setting, hours in [(None, 8), ('2', 2), ('0', 1), ('9999', 168)]:
            with configured('viewer_token_hours', setting or '8'):
                token = self.issue('doctor', self.study)
            with self.later(hours=hours, seconds=-3):
                self.assertTrue(self.is_granted(token))
                # What the plugin remembers ends with it
                _, answer = self.ask(
                    'tokens/validate', self.question(token))
                self.assertLessEqual(answer['validity'], 3)
            with self.later(hours=hours, seconds=3):
                self.assertFalse(self.is_granted(token))

    def test_it_is_revoked(self):
        token = self.issue('doctor', self.study)
        there = self.issue('doctor', self.elsewhere)
        for login in ['doctor', 'clerk', 'nobody']:
            with self.assertRaises(Refused):
                self.as_(login).model(
                    SERVER, 'revoke_tokens', [self.server.id])
        self.assertTrue(self.is_granted(token))
        self.as_('administrator').model(
            SERVER, 'revoke_tokens', [self.server.id])
        self.assertFalse(self.is_granted(token))
        self.assertTrue(self.is_granted(there, server=self.other_server))

    def test_views_and_refusals_are_recorded(self):
        token = self.issue('doctor', self.study)
        before = len(self.events('view'))
        self.is_granted(token)
        self.is_granted(token, 'series', **{'orthanc-id': 'abc-2'})
        self.is_granted(token, 'system', uri='/statistics')
        self.is_granted(token, **{
                'dicom-uid': '1.2', 'orthanc-id': 'abc-9'})
        events = self.events('view')[before:]
        doctor = self.users['doctor']
        self.assertEqual(
            {e[:4] for e in events[-1:]},
            {(doctor, 'refused', None, '1.2')})
        self.assertIn(
            (doctor, 'success', self.study.id, self.uid),
            {e[:4] for e in self.events('view')})
        self.assertLessEqual(len(events), 2)
        # Nobody knows whose it was
        self.is_granted('x' * 43)
        self.assertIn(
            (None, 'refused', None, None, 'viewer of Orthanc'),
            self.events('token'))


def record_id_in(case, name, module):
    with case.transaction():
        return record_id(name, module)


class OwnLoginTestCase(TokenTestCase):
    "The module itself uses Orthanc with a login, which the plugin asks about"

    def shown(self, user, password):
        value = base64.b64encode(f'{user}:{password}'.encode()).decode()
        return {
            'token-key': 'Authorization', 'token-value': f'Basic {value}'}

    def test_it_may_do_everything(self):
        shown = self.shown('reader', 'letmein')
        for method in ['get', 'post', 'put', 'delete']:
            for level in ['study', 'patient', 'system']:
                self.assertTrue(self.is_granted(
                        None, level, method, **shown))
        _, profile = self.ask('user/get-profile', shown)
        self.assertEqual(profile['permissions'], ['all'])
        self.assertEqual(profile['authorized-labels'], ['*'])
        self.assertTrue(0 < profile['validity'] <= 60)

    def test_others_may_do_nothing(self):
        for user, password in [
                ('reader', 'x'), ('reader', ''), ('', 'letmein'), ('', ''),
                ('None', 'None'), ('READER', 'letmein'),
                ('reader', 'letmein\0'), ('admin', 'admin')]:
            shown = self.shown(user, password)
            self.assertFalse(self.is_granted(None, 'system', **shown))
            _, profile = self.ask('user/get-profile', shown)
            self.assertEqual(profile['permissions'], [])
        self.assertFalse(self.is_granted(None, **{
                    'token-key': 'Authorization', 'token-value': 'Basic %'}))

    def test_a_server_without_a_login(self):
        self.write(SERVER, self.server.id, user=None, password=None)
        try:
            for shown in [
                    self.shown('', ''), self.shown('None', 'None'), {}]:
                self.assertFalse(self.is_granted(None, 'system', **shown))
        finally:
            self.write(
                SERVER, self.server.id, user='reader', password='letmein')

    def test_a_password_that_cannot_be_decrypted(self):
        with fernet_keys('A' * 43 + '='):
            self.write(SERVER, self.server.id, password='letmein')
        try:
            self.assertFalse(self.is_granted(
                    None, 'system', **self.shown('reader', 'letmein')))
            token = self.issue('doctor', self.study)
            self.assertTrue(self.is_granted(token))
        finally:
            self.write(SERVER, self.server.id, password='letmein')


class ServiceTestCase(TokenTestCase):

    PATHS = [
        ('POST', 'tokens/validate'), ('POST', 'tokens/decode'),
        ('POST', 'user/get-profile'), ('PUT', 'tokens/viewer-instant-link')]

    def test_only_the_plugin_is_answered(self):
        token = self.issue('doctor', self.study)
        other = self.access_keys[self.other_server.id]
        for method, path in self.PATHS:
            for key, identifier in [
                    (other, self.identifiers[self.server.id]), ('x', 'x'),
                    ('é', self.identifiers[self.server.id]),
                    (self.access_keys[self.server.id], 'x'),
                    (self.access_keys[self.server.id], '%'),
                    (self.access_keys[self.server.id], 'a\0'),
                    (self.access_keys[self.server.id], 'admin'),
                    ('letmein', 'reader')]:
                with self.subTest(path=path, key=key, user=identifier):
                    status, answer = self.ask(
                        path, self.question(token), key=key,
                        identifier=identifier, method=method)
                    self.assertEqual(status, 401)
                    self.assertEqual(answer.keys(), {'message'})
        for headers in [
                {}, {'Authorization': 'Basic'}, {'Authorization': 'Basic %'},
                {'Authorization': f'Bearer {token}'},
                self.as_('administrator')._headers]:
            response = self.client().post(
                f'/{self.db_name}/orthanc/authorization/tokens/validate',
                json=self.question(token), headers=headers)
            self.assertEqual(response.status_code, 401)

    def test_a_wrong_key_is_no_attempt_to_log_in(self):
        "Nobody's login is delayed, and what was refused is recorded once"
        before = len(self.events('login'))
        for _ in range(3):
            self.ask('tokens/validate', {}, key='x', identifier='admin')
        with self.transaction():
            self.assertFalse(
                Pool().get('res.user.login.attempt').search([]))
        events = self.events('login')[before:]
        self.assertLessEqual(len(events), 1)
        self.assertIn(
            (None, 'refused', None, None, 'authorization plugin'),
            self.events('login'))

    def test_a_new_key_cancels_the_former(self):
        with self.transaction() as transaction:
            server = create_server()
            first = server.new_authorization_key()
            second = server.new_authorization_key()
            # Of another plugin
            server.new_plugin_key()
            self.identifiers[server.id] = server.identifier
            transaction.commit()
        statuses = [
            self.ask('user/get-profile', {}, server, key)[0]
            for key in [first, second]]
        self.assertEqual(statuses, [401, 200])
        self.write(SERVER, server.id, active=False)
        self.write(SERVER, server.id, active=True)
        self.assertEqual(
            self.ask('user/get-profile', {}, server, second)[0], 401)

    def test_the_key_does_not_follow_to_another_address(self):
        with self.transaction() as transaction:
            server = create_server(version='1.12.6')
            key = server.new_authorization_key()
            copy, = server.copy([server])
            self.assertFalse(copy.authorization_digest)
            self.identifiers[server.id] = server.identifier
            transaction.commit()
        self.assertEqual(
            self.ask('user/get-profile', {}, server, key)[0], 200)
        self.write(
            SERVER, server.id, domain='http://elsewhere.example.org')
        self.assertEqual(
            self.ask('user/get-profile', {}, server, key)[0], 401)

    def test_nobody_reads_the_digest(self):
        for login in self.users:
            with self.subTest(user=login), self.assertRaises(RpcError):
                self.as_(login).model(
                    SERVER, 'read', [self.server.id],
                    ['authorization_digest'])
        with self.assertRaises(RpcError):
            self.as_('administrator').model(
                SERVER, 'write', [self.server.id],
                {'authorization_digest': 'x'})

    def test_what_is_not_understood(self):
        token = self.issue('doctor', self.study)
        for body in [
                b'x', b'[]', b'"x"', b'null', b'1', b'[' * 50000,
                b'{"method": "get"', b'\xff', b'{"server-id": []}',
                {'server-id': self.identifiers[self.other_server.id]},
                {'identifier': 'x'},
                self.question(token, 'studies'),
                self.question(token, method='patch'),
                {**self.question(token), 'level': None},
                {**self.question(token), 'method': ['get']},
                {**self.question(token), 'orthanc-id': {}},
                {**self.question(token), 'dicom-uid': 'x' * 5000},
                {**self.question(token), 'token-value': 5},
                {**self.question(token), 'token-value': 'x' * 5000}]:
            with self.subTest(body=str(body)[:60]):
                status, answer = self.ask('tokens/validate', body)
                self.assertEqual(status, 400)
                self.assertEqual(answer.keys(), {'message'})
                self.assertNotIn(token, answer['message'])
        status, _ = self.ask(
            'tokens/validate', json.dumps({
                    **self.question(token), 'more': 'x' * 2**17}).encode())
        self.assertEqual(status, 413)
        self.assertEqual(self.ask('tokens/validate', b'')[0], 411)

    def test_what_it_may_hold_besides(self):
        token = self.issue('doctor', self.study)
        for values in [
                {'server-id': self.identifiers[self.server.id]},
                {'server-id': ''}, {'labels': ["A"]}, {'identifier': None},
                {'x': [1.5]}]:
            self.assertTrue(self.is_granted(token, **values))

    def test_an_unexpected_error_is_not_shown(self):
        with patch.object(
                authorization.AuthorizationService, 'validate',
                side_effect=RuntimeError("Muster^Erika")), (
                self.assertLogs('trytond', 'INFO')) as logs:
            status, answer = self.ask(
                'tokens/validate', self.question('secret-token'))
        self.assertEqual(status, 500)
        self.assertNotIn("Muster", str(answer) + ''.join(logs.output))

    def test_nothing_secret_is_logged(self):
        token = self.issue('doctor', self.study)
        with self.assertLogs(level='DEBUG') as logs:
            self.is_granted(token)
            self.ask('tokens/decode', self.question(token))
            self.ask('user/get-profile', self.question(token))
            self.ask('tokens/validate', self.question(token), key='wrong-key')
        text = '\n'.join(
            r.getMessage() for r in logs.records
            if r.name.startswith(('trytond.', 'werkzeug')))
        for secret in [
                token, self.access_keys[self.server.id], 'wrong-key',
                'letmein']:
            self.assertNotIn(secret, text)

    def test_a_person_has_no_permissions(self):
        token = self.issue('administrator', self.study)
        for shown in [
                self.question(token), {}, {'user-id': '1'},
                {'token-key': 'token', 'token-value': token},
                {'token-key': 'token', 'token-value': 'x'}]:
            status, profile = self.ask('user/get-profile', shown)
            self.assertEqual(status, 200)
            self.assertIs(type(profile.pop('name')), str)
            self.assertTrue(0 < profile.pop('validity') <= 60)
            self.assertEqual(
                profile, {'permissions': [], 'authorized-labels': []})
        _, profile = self.ask('user/get-profile', self.question(token))
        self.assertEqual(profile['name'], 'administrator')

    def test_what_a_token_is_for(self):
        token = self.issue('doctor', self.study)
        question = {'token-key': 'token', 'token-value': token}
        self.assertEqual(self.ask('tokens/decode', question)[1], {
                'token-type': 'viewer-instant-link',
                'resources': [{
                        'level': 'study', 'dicom-uid': self.uid,
                        'orthanc-id': 'abc-1'}]})
        self.assertEqual(
            self.ask('tokens/decode', question, self.other_server)[1],
            {'error-code': 'unknown'})
        for shown in [{}, {'token-key': 'token', 'token-value': 'x'}]:
            self.assertEqual(
                self.ask('tokens/decode', shown)[1],
                {'error-code': 'unknown'})
        with self.later(hours=9):
            self.assertEqual(
                self.ask('tokens/decode', question)[1],
                {'error-code': 'expired'})
        self.write(STUDY, self.study.id, patient=None, link_status='unlinked')
        try:
            self.assertEqual(
                self.ask('tokens/decode', question)[1],
                {'error-code': 'invalid'})
        finally:
            self.write(
                STUDY, self.study.id, patient=self.patient.id,
                link_status='manual')

    def put(self, token, server=None, **values):
        status, answer = self.ask('tokens/viewer-instant-link', {
                'id': token, 'type': 'viewer-instant-link',
                'resources': [{'level': 'study', 'dicom-uid': self.uid}],
                **values}, server, method='PUT')
        return status, answer.get('token')

    def test_a_further_token(self):
        token = self.issue('doctor', self.study)
        status, further = self.put(token)
        self.assertEqual(status, 200)
        self.assertNotEqual(further, token)
        self.assertTrue(self.is_granted(further))
        event = self.events('token')[-1]
        self.assertEqual(
            event[:3], (self.users['doctor'], 'success', self.study.id))
        with self.later(hours=8, seconds=1):
            self.assertFalse(self.is_granted(further))

    def test_a_further_token_ends_no_later(self):
        token = self.issue('doctor', self.study)
        soon = dt.datetime.now() + dt.timedelta(seconds=100)
        for values, end in [
                ({'validity-duration': 100}, {'seconds': 102}),
                ({'expiration-date': f'{soon:%Y-%m-%dT%H:%M:%SZ}'},
                    {'seconds': 102}),
                ({'validity-duration': 10**9}, {'hours': 8, 'seconds': 2}),
                ({'expiration-date': '2199-01-01T00:00:00+00:00'},
                    {'hours': 8, 'seconds': 2})]:
            _, further = self.put(token, **values)
            self.assertTrue(self.is_granted(further))
            with self.later(**end):
                self.assertFalse(self.is_granted(further))
        for values in [
                {'validity-duration': 0}, {'validity-duration': True},
                {'validity-duration': 'x'}, {'expiration-date': 'tomorrow'},
                {'resources': []}, {'resources': None}, {'resources': [1]}]:
            self.assertEqual(self.put(token, **values)[0], 400)

    def test_no_further_token_for_others(self):
        token = self.issue('doctor', self.study)
        foreign = {'level': 'study', **self.names['stranger']}
        own = {'level': 'study', 'dicom-uid': self.uid}
        for login, values in [
                (None, {}), ('x', {}), ('admin', {}),
                (token, {'resources': [foreign]}),
                (token, {'resources': [own, foreign]}),
                (token, {'resources': [{
                                'level': 'patient',
                                'orthanc-id': 'abc-1'}]}),
                (token, {'resources': [{
                                'level': 'series',
                                'orthanc-id': 'abc-2'}]})]:
            self.assertEqual(self.put(login, **values), (403, None))
        self.assertEqual(
            self.put(token, self.other_server), (403, None))
        self.write(STUDY, self.study.id, patient=None, link_status='unlinked')
        try:
            self.assertEqual(self.put(token), (403, None))
        finally:
            self.write(
                STUDY, self.study.id, patient=self.patient.id,
                link_status='manual')
