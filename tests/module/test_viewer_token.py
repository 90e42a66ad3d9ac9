# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a token for a viewer of Orthanc, and which viewers get it."""

import datetime as dt
import json
from types import SimpleNamespace
from urllib.parse import quote

from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.common.exceptions import (
    OrthancUserError, QuarantineError, UnconfirmedStudyWarning)
from trytond.modules.health_orthanc.exchange import attachment
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    SERVER, STUDY, VIEWER, Refused, RpcError, create_server, record_id)
from .viewer_tokens import TOKEN, TokenTestCase

OPEN_VIEWER = 'gnuhealth.imaging_orthanc.open_viewer'


class IssueTestCase(TokenTestCase):

    def test_who_sees_a_study_gets_one(self):
        for login in self.INSIDERS:
            with self.subTest(user=login):
                token = self.issue(login, self.study)
                self.assertGreaterEqual(len(token), 43)
                self.assertTrue(self.is_granted(token))

    def test_others_do_not(self):
        for login in self.OUTSIDERS + self.RADIOGRAPHERS + ['privacy']:
            with self.subTest(user=login), self.assertRaises(AccessError):
                self.issue(login, self.study)
        with self.assertRaises(AccessError):
            self.issue('doctor', self.unlinked_study)
        with self.assertRaises(UnconfirmedStudyWarning):
            self.issue('doctor', self.doubtful)
        self.write(
            STUDY, self.study.id, quarantined_at=dt.datetime(2026, 3, 4))
        try:
            with self.assertRaises(QuarantineError):
                self.issue('clerk', self.study)
        finally:
            self.write(STUDY, self.study.id, quarantined_at=None)

    def test_a_client_must_have_sent_the_request(self):
        self.session(self.users['clerk'])
        for key in ['x', self._keys[self.users['clerk']]]:
            with self.assertRaises(OrthancUserError):
                self.issue('doctor', self.study, key=key)

    def test_only_digests_are_stored(self):
        token = self.issue('doctor', self.study)
        with self.transaction():
            records = Pool().get(TOKEN).search([])
            self.assertTrue(records)
            for record in records:
                for name in record._fields:
                    self.assertNotIn(token, str(getattr(record, name)))
            server = Pool().get(SERVER)(self.server.id)
            self.assertNotIn(
                self.access_keys[server.id], str(server.authorization_digest))

    def test_it_is_recorded(self):
        token = self.issue('doctor', self.study)
        user, outcome, study, uid, detail = self.events('token')[-1]
        self.assertEqual(
            (user, outcome, study, uid),
            (self.users['doctor'], 'success', self.study.id, self.uid))
        self.assertRegex(detail, r'^token \d+, Stone Web Viewer$')
        self.assertNotIn(token, detail)

    def test_clients_do_not_reach_them(self):
        self.issue('doctor', self.study)
        for login in self.users:
            with self.subTest(user=login), self.assertRaises(RpcError):
                self.as_(login).model(TOKEN, 'search_read', [], 0, 1, None, [
                        'digest'])

    def test_old_ones_are_deleted(self):
        with self.transaction() as transaction:
            Token = Pool().get(TOKEN)
            Token.delete(Token.search([]))
            transaction.commit()
        self.issue('doctor', self.study)
        for hours, count in [(7, 1), (31, 1), (33, 0)]:
            with self.later(hours=hours), self.transaction() as transaction:
                Token = Pool().get(TOKEN)
                Token.delete_expired()
                transaction.commit()
                self.assertEqual(Token.search([], count=True), count)

    @with_transaction()
    def test_the_scheduler_does_it(self):
        cron, = Pool().get('ir.cron').search([
                ('method', '=', f'{TOKEN}|delete_expired')])
        self.assertTrue(cron.active)


class OpenTestCase(TokenTestCase):
    "Open in Viewer gives the token to the viewer"

    def open(self, login, viewer, record):
        client = self.as_(login)
        context = {
            'active_model': record.__name__, 'active_id': record.id,
            'active_ids': [record.id]}
        id_, state, _ = client.wizard(OPEN_VIEWER, 'create', **context)
        with self.transaction():
            viewer = record_id(viewer)
        result = client.wizard(
            OPEN_VIEWER, 'execute', id_, {}, state, **context)
        offered = result['view']['defaults']['viewers']
        result = client.wizard(OPEN_VIEWER, 'execute', id_, {
                'choose': {'viewer': viewer, 'viewers': offered}},
            'open_', **context)
        (action, _), = result['actions']
        return offered, action['url']

    def test_in_the_way_that_it_takes_it(self):
        root = 'http://images.example.org/'
        series = self.names['series']
        for viewer, record, begin, end in [
                ('viewer_stone_study', self.study,
                    f'stone-webviewer/index.html?study={self.uid}&token=',
                    ''),
                ('viewer_stone_series', self.series,
                    f'stone-webviewer/index.html?study={self.uid}'
                    f'&series={series}&token=', ''),
                ('viewer_ohif_study', self.study,
                    f'ohif/viewer?StudyInstanceUIDs={self.uid}&token=', ''),
                ('viewer_ohif_series', self.series,
                    f'ohif/viewer?StudyInstanceUIDs={self.uid}'
                    f'&initialSeriesInstanceUID={series}&token=', ''),
                ('viewer_explorer2_study', self.study, 'ui/app/?token=',
                    '#/filtered-studies?expand=study')]:
            with self.subTest(viewer=viewer):
                offered, url = self.open('doctor', viewer, record)
                self.assertTrue(url.startswith(root + begin))
                self.assertTrue(url.endswith(end))
                token = url[len(root + begin):len(url) - len(end)]
                self.assertTrue(self.is_granted(token))

    @with_transaction()
    def test_viewers_that_take_none_are_not_offered(self):
        Viewer = Pool().get(VIEWER)
        Server = Pool().get(SERVER)
        server = Server(self.server.id)
        self.assertTrue(server.viewers_by_token)
        names = {
            level: {v.name for v in Viewer.offered(server, level)}
            for level in ['patient', 'study', 'series', 'instance']}
        self.assertEqual(names, {
                'patient': set(), 'instance': set(),
                'study': {"OHIF", "Stone Web Viewer", "Orthanc Explorer 2"},
                'series': {"OHIF", "Stone Web Viewer"}})
        # Unless an administrator wants it
        explorer = Viewer(record_id('viewer_explorer_study'))
        Server.write([server], {'viewers': [('add', [explorer.id])]})
        self.assertIn(explorer, Viewer.offered(server, 'study'))
        self.assertFalse(explorer.opens_by_token(server))

    @with_transaction()
    def test_no_address_that_needs_one_is_attached(self):
        "It would open nothing when somebody reads it"
        study = Pool().get(STUDY)(self.study.id)
        instance = SimpleNamespace(number=1, image_position_patient='')
        self.assertNotIn(
            'http', attachment._key_description(study, instance))
        study.server.__class__.write(
            [study.server], {'authorization_digest': None})
        self.assertIn('http', attachment._key_description(study, instance))

    @with_transaction()
    def test_without_plugin_or_key_nothing_changes(self):
        Viewer = Pool().get(VIEWER)
        Server = Pool().get(SERVER)
        server = Server(self.server.id)
        for values in [
                {'authorization_digest': None},
                {'authorization_digest': 'x', 'plugins': 'stone-webviewer'}]:
            Server.write([server], values)
            self.assertFalse(server.viewers_by_token)
            offered = Viewer.offered(server, 'study')
            self.assertIn("Orthanc Explorer", {v.name for v in offered})
            self.assertFalse(any(v.opens_by_token(server) for v in offered))

    def test_not_to_those_who_may_not_see_it(self):
        tokens = self.events('token')
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            with self.assertRaises(Refused):
                self.open(login, 'viewer_stone_study', self.study)
        with self.assertRaises(RpcError):
            self.open('doctor', 'viewer_stone_study', self.unlinked_study)
        with self.assertRaises(RpcError):
            self.open('doctor', 'viewer_stone_study', self.doubtful)
        self.assertEqual(
            [e for e in self.events('token')[len(tokens):]
                if e[1] == 'success'], [])


class ConnectTestCase(TokenTestCase):

    def test_what_orthanc_is_told(self):
        client = self.as_('administrator')
        with self.transaction() as transaction:
            server = create_server(user='u', password='p')
            identifier = self.identifiers[server.id] = server.identifier
            transaction.commit()
        context = {'active_model': SERVER, 'active_id': server.id}
        name = 'gnuhealth.orthanc.connect_authorization'
        id_, state, _ = client.wizard(name, 'create', **context)
        result = client.wizard(name, 'execute', id_, {
                'start': {'url': 'https://gnuhealth.example/'}},
            'make', **context)
        text = result['view']['defaults']['configuration']
        section = json.loads(text)['Authorization']
        self.assertEqual(
            section['WebServiceRootUrl'], 'https://gnuhealth.example/'
            f'{quote(self.db_name)}/orthanc/authorization')
        self.assertEqual(section['WebServiceUsername'], identifier)
        self.assertEqual(section['WebServiceIdentifier'], identifier)
        self.assertEqual(section['CheckedLevel'], 'studies')
        # Everybody may ask what a token is for, and nothing else
        self.assertEqual([
                p[:2] for p in section['Permissions'] if p[2] != 'all'],
            [['post', '^/auth/tokens/decode$']])
        status, _ = self.ask(
            'user/get-profile', {}, server, section['WebServicePassword'])
        self.assertEqual(status, 200)
