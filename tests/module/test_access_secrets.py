# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody reads, and what the user of the plugin may do."""

import json
from unittest.mock import patch

from cryptography.fernet import Fernet

from trytond import backend
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from tests.unit.fake_orthanc import SYSTEM, FakeOrthanc, free_port, reply_json

from .access import FAILURE, HEALTH_PATIENT, RESULT, RUN, AccessTestCase
from .tools import (
    INSTANCE, PATIENT, SERIES, SERVER, STUDY, VIEWER, Refused, Told,
    create_server, fernet_keys)


class PluginTestCase(AccessTestCase):
    "The plugin inside an Orthanc reads the worklist and nothing else"

    @property
    def url(self):
        return f'/{self.db_name}/orthanc/worklist'

    def setUp(self):
        self.key = self.new_key()

    def new_key(self):
        with Transaction().start(self.db_name, 1) as transaction:
            key = Pool().get(SERVER)(self.server.id).new_plugin_key()
            transaction.commit()
        return key

    def get(self, key, url=None, scheme='Bearer'):
        return self.client().get(
            url or self.url, headers={'Authorization': f'{scheme} {key}'})

    def own_key(self, user, **values):
        with Transaction().start(self.db_name, 1) as transaction:
            application, = Pool().get('res.user.application').create([{
                        'user': user, 'application': 'health_orthanc',
                        **values}])
            transaction.commit()
            return application.key

    @with_transaction()
    def user(self):
        user, = Pool().get('res.user').search([
                ('login', '=', f'orthanc-plugin-{self.server.id}')])
        return user.id

    def test_its_key_is_let_in(self):
        response = self.get(self.key)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(json.loads(response.data)['since'], 0)

    def test_others_are_not(self):
        for name, key in {
                'none': '', 'unknown': 'x', 'part': self.key[:-1],
                'wildcard': '%', 'more': self.key + 'x',
                'administrator': self.own_key(self.users['administrator']),
                'root of all': self.own_key(1),
                'not validated': self.own_key(self.user(), state='requested'),
                'canceled': self.own_key(self.user(), state='cancelled'),
                }.items():
            with self.subTest(key=name):
                self.assertIn(self.get(key).status_code, {401, 403})
        self.assertEqual(
            self.get(self.key, scheme='Basic').status_code, 403)

    def test_an_old_key_stops_working(self):
        new = self.new_key()
        self.assertEqual(self.get(self.key).status_code, 403)
        self.assertEqual(self.get(new).status_code, 200)

    def test_nobody_gives_himself_a_key(self):
        for login in ['nobody', 'clerk', 'administrator']:
            with self.subTest(user=login):
                response = self.client().post(
                    f'/{self.db_name}/user/application/',
                    json={'user': login, 'application': 'health_orthanc'})
                key = response.json
                self.assertEqual(self.get(key).status_code, 403)
                session = self.as_(login)
                id_, = session.model('res.user.application', 'search', [
                        ('key', '=', key)])
                session.model('res.user.application', 'validate_', [id_])
                self.assertEqual(self.get(key).status_code, 403)

    def test_a_request_for_its_user_is_not_enough(self):
        response = self.client().post(
            f'/{self.db_name}/user/application/', json={
                'user': f'orthanc-plugin-{self.server.id}',
                'application': 'health_orthanc'})
        self.assertEqual(self.get(response.json).status_code, 403)

    def test_a_server_that_is_removed_takes_its_key_along(self):
        for method, arguments in [
                ('write', ({'active': False},)), ('delete', ())]:
            with Transaction().start(self.db_name, 1) as transaction:
                server = create_server()
                key = server.new_plugin_key()
                transaction.commit()
            self.assertEqual(self.get(key).status_code, 200)
            with self.subTest(method=method):
                with Transaction().start(self.db_name, 1) as transaction:
                    Server = Pool().get(SERVER)
                    getattr(Server, method)([Server(server.id)], *arguments)
                    transaction.commit()
                self.assertEqual(self.get(key).status_code, 403)

    def test_a_user_who_was_deactivated_is_not_let_in(self):
        user = self.user()
        with Transaction().start(self.db_name, 1) as transaction:
            User = Pool().get('res.user')
            User.write([User(user)], {'active': False})
            transaction.commit()
        self.assertEqual(self.get(self.key).status_code, 403)

    def test_it_is_let_in_nowhere_else(self):
        for url in [
                f'/{self.db_name}/', f'/{self.db_name}/data/res.user',
                f'/{self.db_name}/export_data/{STUDY}',
                f'/{self.db_name}/data/{STUDY}']:
            with self.subTest(url=url):
                self.assertGreaterEqual(
                    self.get(self.key, url).status_code, 400)
        response = self.client().post(
            f'/{self.db_name}/',
            data=json.dumps({
                    'id': 1, 'params': [[], {}],
                    'method': 'model.gnuhealth.patient.search'}),
            headers={'Authorization': f'Bearer {self.key}'},
            content_type='application/json')
        self.assertEqual(response.status_code, 401)

    def test_its_user_reads_nothing(self):
        session = self.session(self.user())
        for name in [*self.ids, RESULT]:
            with self.subTest(model=name):
                with self.assertRaises(Refused):
                    session.model(name, 'search', [])

    def test_its_user_cannot_log_in(self):
        for password in ['', None, 'x', self.key]:
            response = self.client().post(
                f'/{self.db_name}/',
                data=json.dumps({
                        'id': 1, 'method': 'common.db.login', 'params': [
                            f'orthanc-plugin-{self.server.id}',
                            {'password': password}, 'en']}),
                content_type='application/json')
            with self.subTest(password=password):
                self.assertNotEqual(response.status_code, 200)

    def test_a_database_without_the_module(self):
        with patch(
                'trytond.modules.health_orthanc.common.routes.is_active',
                return_value=False):
            self.assertEqual(self.get(self.key).status_code, 404)
            # Nobody else learns which databases have it
            self.assertEqual(self.get('x').status_code, 403)
            self.assertEqual(
                self.client().get(self.url).status_code, 401)

    def test_the_key_comes_from_the_wizard(self):
        session = self.as_('administrator')
        name = 'gnuhealth.orthanc.connect_plugin'
        context = {
            'active_model': SERVER, 'active_id': self.server.id,
            'active_ids': [self.server.id]}
        id_, state, _ = session.wizard(name, 'create', **context)
        answer = session.wizard(name, 'execute', id_, {
                'start': {'url': 'http://his.example.org/ '}}, 'make',
            **context)
        configuration = json.loads(
            answer['view']['defaults']['configuration'])['HealthOrthanc']
        self.assertEqual(configuration['Url'], 'http://his.example.org')
        self.assertEqual(configuration['Database'], self.db_name)
        self.assertEqual(
            configuration['Server'],
            self.stored(SERVER, self.server.id, 'identifier'))
        self.assertEqual(self.get(configuration['Key']).status_code, 200)
        # Neither the call nor what clients send back leaves it in a session
        page = {'configuration': answer['view']['defaults']['configuration']}
        session.wizard(
            name, 'execute', id_, {'show': page}, 'start', **context)
        with Transaction().start(self.db_name, 1):
            data = Pool().get('ir.session.wizard')(id_).data
        self.assertNotIn(configuration['Key'], data)


class SecretsTestCase(AccessTestCase):
    "The password and the client's key come back to nobody"

    SECRETS = ['letmein', 'KEY']
    MASK = '••••••••'

    def everybody(self):
        for login in self.users:
            with self.subTest(user=login):
                yield login, self.as_(login)

    def test_the_administrator_reads_a_mask(self):
        names = ['password', 'client_key']
        session = self.as_('administrator')
        row, = session.model(SERVER, 'read', [self.server.id], names)
        self.assertEqual([row[n] for n in names], [self.MASK] * 2)
        self.assertEqual(
            session.model(SERVER, 'export_data', [self.server.id], names),
            [[self.MASK] * 2])
        row, = session.model(
            STUDY, 'read', [self.study.id],
            [f'server.{name}' for name in names])
        self.assertEqual([row['server.'][n] for n in names], [self.MASK] * 2)
        self.assertEqual(
            session.model(
                STUDY, 'export_data', [self.study.id], ['server/password']),
            [[self.MASK]])

    def test_the_column_is_read_by_nobody(self):
        for _, session in self.everybody():
            for name in ['sealed_password', 'sealed_client_key']:
                for model, method, arguments in [
                        (SERVER, 'read', [[self.server.id], [name]]),
                        (SERVER, 'search_read', [
                                [], 0, None, None, [name]]),
                        (SERVER, 'export_data', [[self.server.id], [name]]),
                        (SERVER, 'search', [[], 0, None, [(name, 'ASC')]]),
                        (SERVER, 'write', [[self.server.id], {name: 'x'}]),
                        (STUDY, 'read', [
                                [self.study.id], [f'server.{name}']]),
                        (STUDY, 'export_data', [
                                [self.study.id], [f'server/{name}']]),
                        (STUDY, 'search', [
                                [], 0, None, [(f'server.{name}', 'ASC')]]),
                        (PATIENT, 'read', [
                                [self.orthanc_patient.id],
                                [f'server.{name}']]),
                        (RUN, 'export_data', [
                                [self.run_.id], [f'server/{name}']]),
                        ]:
                    with self.subTest(
                            model=model, method=method, field=name):
                        with self.assertRaises(Refused):
                            session.model(model, method, *arguments)

    def test_another_address_needs_them_again(self):
        other = {'domain': 'http://other.example.org'}
        with self.assertRaises(Told) as caught:
            self.as_('administrator').model(
                SERVER, 'write', [self.server.id], other)
        self.assertNotIsInstance(caught.exception, Refused)
        for login in ['clerk', 'doctor']:
            with self.assertRaises(Refused):
                self.as_(login).model(
                    SERVER, 'write', [self.server.id], other)
        self.assertNotEqual(
            self.stored(SERVER, self.server.id, 'domain'), other['domain'])

    def test_the_column_is_compared_by_nobody(self):
        for _, session in self.everybody():
            for name in ['sealed_password', 'sealed_client_key']:
                leaf = (name, 'like', 'p%')
                for model, clause in [
                        (SERVER, leaf),
                        (SERVER, ['OR', leaf, ('id', '=', 0)]),
                        (SERVER, ('synchronizations.server', 'where', [leaf])),
                        (SERVER, ('last_run', 'where', [
                                    ('server', 'where', [leaf])])),
                        (STUDY, (f'server.{name}', 'like', 'p%')),
                        (STUDY, ('server', 'where', [leaf])),
                        (STUDY, ('server', 'not where', [leaf])),
                        (STUDY, ('orthanc_patient', 'where', [
                                    ('server', 'where', [leaf])])),
                        (PATIENT, ('server', 'where', [leaf])),
                        (SERIES, ('server', 'where', [leaf])),
                        (SERIES, ('study.server', 'where', [leaf])),
                        (SERIES, (f'study.server.{name}', 'like', 'p%')),
                        (INSTANCE, ('server', 'where', [leaf])),
                        (VIEWER, ('servers', 'where', [leaf])),
                        (RUN, ('server', 'where', [leaf])),
                        (FAILURE, ('server', 'where', [leaf])),
                        (HEALTH_PATIENT, ('orthanc_studies', 'where', [
                                    ('server', 'where', [leaf])])),
                        ('gnuhealth.imaging.test.request', (
                                'patient', 'where', [
                                    ('orthanc_studies', 'where', [
                                            ('server', 'where', [leaf])])])),
                        ]:
                    with self.subTest(model=model, clause=clause):
                        with self.assertRaises(Told):
                            session.model(model, 'search', [clause])

    def test_a_clerk_compares_no_setting_of_a_server(self):
        for login in ['doctor', 'clerk']:
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                for clause in [
                        ('server', 'where', [('user', 'like', 'r%')]),
                        ('server.user', 'like', 'r%')]:
                    with self.subTest(
                            user=login, model=model, clause=clause):
                        with self.assertRaises(Refused):
                            self.as_(login).model(model, 'search', [clause])

    def test_forms_do_not_compute_it(self):
        session = self.as_('administrator')
        for method, arguments in [
                ('default_get', [[]]),
                ('default_get', [['password', 'sealed_password']]),
                ('on_change', [
                        {'id': self.server.id}, ['password', 'domain']]),
                ('on_change_with', [
                        {'id': self.server.id}, ['link', 'link_base_url']]),
                ('fields_view_get', [None, 'form']),
                ('fields_get', [])]:
            with self.subTest(method=method):
                self.assertSecret(
                    session.model(SERVER, method, *arguments))
                self.assertNotIn('sealed_password', session.model(
                        SERVER, 'fields_get'))

    def assertSecret(self, answer):
        for secret in self.SECRETS:
            self.assertNotIn(secret, repr(answer))

    def test_nothing_keeps_it(self):
        answers = []
        with fernet_keys(Fernet.generate_key().decode()), \
                FakeOrthanc() as orthanc, \
                self.assertLogs(level='INFO') as logs:
            orthanc.script('/system', reply_json(SYSTEM))
            orthanc.script('/plugins', reply_json([]))
            for url in [f'http://127.0.0.1:{free_port()}', orthanc.url]:
                answers.extend(self.add_server(url))
            answers.append(self.change_secrets(orthanc.url))
            self.assertTrue(orthanc.received)
        self.assertNotIn(self.PASSWORD, repr(answers))
        self.assertNotIn(self.PASSWORD, '\n'.join(logs.output))
        rows = list(self.database())
        self.assertGreater(len(rows), 1000)
        self.assertEqual([r for r in rows if self.PASSWORD in repr(r)], [])

    PASSWORD = 'sesame-3141'

    def add_server(self, url):
        "Yield what the wizard answers"
        name = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
        session = self.as_('administrator')
        id_, state, _ = session.wizard(name, 'create')
        yield session.wizard(name, 'execute', id_, {}, state)
        answer = session.wizard(name, 'execute', id_, {
                'start': {
                    'label': "New", 'domain': url, 'user': 'reader',
                    'password': self.PASSWORD},
                }, 'connect')
        yield answer
        if answer['view']['state'] == 'failure':
            yield session.wizard(name, 'execute', id_, {}, 'start')
        else:
            self.assertEqual(answer['view']['state'], 'success')

    def change_secrets(self, url):
        session = self.as_('administrator')
        id_, = session.model(SERVER, 'search', [('domain', '=', url)])
        session.model(SERVER, 'write', [id_], {
                'password': self.PASSWORD + 'b',
                'client_key': f'-----BEGIN PRIVATE KEY-----{self.PASSWORD}'})
        return session.model(
            SERVER, 'read', [id_], ['password', 'client_key'])

    @with_transaction()
    def database(self):
        "Return all rows of all tables"
        cursor = Transaction().connection.cursor()
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if backend.name == 'sqlite' else
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
        rows = []
        for table, in cursor.fetchall():
            cursor.execute(f'SELECT * FROM "{table}"')
            rows.extend(cursor.fetchall())
        return rows

    def test_a_copy_of_a_server_has_no_secret(self):
        for login, session in self.everybody():
            if login != 'administrator':
                with self.assertRaises(Refused):
                    session.model(SERVER, 'copy', [self.server.id])
                continue
            id_, = session.model(
                SERVER, 'copy', [self.server.id], {'sealed_password': 'x'})
            row, = session.model(
                SERVER, 'read', [id_], [
                    'label', 'user', 'password', 'client_key', 'active'])
            self.assertEqual(row['user'], 'reader')
            self.assertIsNone(row['password'])
            self.assertIsNone(row['client_key'])
            self.assertFalse(row['active'])
            for name in ['sealed_password', 'sealed_client_key']:
                self.assertIsNone(self.stored(SERVER, id_, name))
