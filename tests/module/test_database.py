# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that is restored elsewhere leaves Orthanc alone."""

from contextlib import contextmanager
from unittest.mock import patch

from trytond.config import config
from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.archive import cron as cron_module
from trytond.modules.health_orthanc.common.exceptions import (
    ModuleDeactivationError, describe)
from trytond.modules.health_orthanc.core.orthanc.errors import DatabaseCopied
from trytond.modules.health_orthanc.core.orthanc.refusal import RefusingClient
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction, inactive_records

from tests.unit.fake_orthanc import SYSTEM, FakeOrthanc, reply_json

from .tools import SERVER, OrthancTestCase, create_server, create_user

DATABASE = 'gnuhealth.orthanc.database'
WIZARD = 'gnuhealth.orthanc.decide_database'
LOGGER = 'trytond.modules.health_orthanc'
URI = 'postgresql://user:secret@{}/'


@contextmanager
def at(address, name='health'):
    "Work on a database of this name at this address"
    options = {
        ('database', 'uri'): URI.format(address),
        ('health_orthanc', 'installation'): None}
    get = config.get
    module = 'trytond.modules.health_orthanc.archive.database'

    def configured(section, option, *args, **kwargs):
        if (section, option) in options:
            return options[section, option]
        return get(section, option, *args, **kwargs)
    with patch(f'{module}.config.get', configured), \
            patch(f'{module}._database_name', lambda: name):
        yield


def decide(server, state):
    Wizard = Pool().get(WIZARD, type='wizard')
    with Transaction().set_context(
            active_model=SERVER, active_id=server.id,
            active_ids=[server.id]):
        session, start, _ = Wizard.create()
        shown = Wizard.execute(session, {}, start)
        Wizard.execute(session, {'start': {}}, state)
        Wizard.delete(session)
    return shown['view']['defaults']['notice']


def refetched(server):
    with inactive_records():
        return Pool().get(SERVER)(server.id)


def is_refused(server):
    return isinstance(refetched(server).get_client(), RefusingClient)


class IdentityTestCase(OrthancTestCase):

    @with_transaction()
    def test_the_first_use_is_stored(self):
        Database = Pool().get(DATABASE)
        with at('db.example:5433'):
            self.assertTrue(Database.is_confirmed())
            self.assertEqual(Database.stored(), None)
            create_server()
            stored, = Database.search([])
            self.assertEqual(
                (stored.name, stored.address, stored.decision, stored.user),
                ('health', 'db.example:5433', 'first', None))
            create_server(label="Other", domain='http://other.example')
            self.assertEqual(Database.search([], count=True), 1)

    @with_transaction()
    def test_the_scheduler_stores_that_of_a_database_from_before(self):
        pool = Pool()
        Database, Cron = pool.get(DATABASE), pool.get('ir.cron')
        job, = Cron.search([('method', '=', f'{SERVER}|synchronize_all')])
        with at('db.example'):
            Cron.run_once([job])
            self.assertEqual(Database.stored(), ('health', 'db.example'))
        with at('other.example'):
            self.assertFalse(Database.is_confirmed())

    @with_transaction()
    def test_a_client_stores_nothing(self):
        """The network is not used by a transaction that has written."""
        Database = Pool().get(DATABASE)
        with patch.object(Database, 'remember'):
            server = create_server()
        self.assertFalse(is_refused(server))
        self.assertIsNone(Database.stored())

    @with_transaction()
    def test_one_address_in_several_words(self):
        Database = Pool().get(DATABASE)
        with at('localhost'):
            Database.remember()
        for address in ['127.0.0.1', 'localhost:5432', '[::1]', '']:
            with self.subTest(address=address), at(address):
                self.assertTrue(Database.is_confirmed())

    @with_transaction()
    def test_another_machine(self):
        Database = Pool().get(DATABASE)
        node = 'trytond.modules.health_orthanc.archive.database.platform.node'
        with at('localhost'):
            with patch(node, return_value='one'):
                Database.remember()
                self.assertTrue(Database.is_confirmed())
            with patch(node, return_value='two'):
                self.assertFalse(Database.is_confirmed())
                # One database for both
        with at('db.example'), patch(node, return_value='two'):
            Database.decide('original')
        with at('db.example'), patch(node, return_value='one'):
            self.assertTrue(Database.is_confirmed())

    @with_transaction()
    def test_another_name_host_or_port(self):
        Database = Pool().get(DATABASE)
        with at('db.example'):
            Database.remember()
        for address, name in [
                ('db.example', 'training'), ('other.example', 'health'),
                ('db.example:5433', 'health')]:
            with self.subTest(address=address, name=name), at(address, name):
                self.assertFalse(Database.is_confirmed())
        with at('db.example'):
            self.assertTrue(Database.is_confirmed())

    @with_transaction()
    def test_an_installation_with_a_name_of_its_own(self):
        Database = Pool().get(DATABASE)
        get = config.get

        def configured(section, option, *args, **kwargs):
            if option == 'installation':
                return 'clinic'
            return get(section, option, *args, **kwargs)
        with patch('trytond.modules.health_orthanc.archive.database'
                '.config.get', configured):
            Database.remember()
            self.assertTrue(Database.is_confirmed())
            stored, = Database.search([])
            self.assertEqual((stored.name, stored.address), ('clinic', ''))


class CopyTestCase(OrthancTestCase):

    def _used_server(self, orthanc):
        with at('db.example'):
            return create_server(
                domain=orthanc.url, user='u', password='p', validated=True)

    @with_transaction()
    def test_nothing_is_sent(self):
        with FakeOrthanc() as orthanc:
            orthanc.script('/system', reply_json(SYSTEM))
            server = self._used_server(orthanc)
            with at('db.example', 'training'):
                client = refetched(server).get_client()
                for call in [
                        client.probe, client.statistics,
                        lambda: client.changes(0, 10)]:
                    with self.assertRaises(DatabaseCopied):
                        call()
                Pool().get(SERVER).check_connection([refetched(server)])
            self.assertEqual(orthanc.received, [])
        server = refetched(server)
        self.assertEqual(server.check_error, describe('database_copied'))

    @with_transaction()
    def test_jobs_wait_and_the_log_says_so_once(self):
        Cron = Pool().get('ir.cron')
        job, = Cron.search([('method', '=', f'{SERVER}|synchronize_all')])
        cron_module._logged.clear()
        with FakeOrthanc() as orthanc, patch.object(
                Pool().get(SERVER), 'synchronize_all') as method:
            self._used_server(orthanc)
            with at('db.example', 'training'), self.assertLogs(
                    LOGGER, 'WARNING') as logs:
                Cron.run_once([job])
                Cron.run_once([job])
            self.assertEqual(len(logs.output), 1)
            method.assert_not_called()
            with at('db.example'):
                Cron.run_once([job])
            method.assert_called_once()

    @with_transaction()
    def test_jobs_of_others_run(self):
        Cron = Pool().get('ir.cron')
        job, = Cron.search([('method', '=', 'ir.queue|clean')])
        with FakeOrthanc() as orthanc:
            self._used_server(orthanc)
            with at('db.example', 'training'), patch.object(
                    Pool().get('ir.queue'), 'clean') as clean:
                Cron.run_once([job])
        clean.assert_called_once()

    @with_transaction()
    def test_it_is_the_original(self):
        Database = Pool().get(DATABASE)
        with FakeOrthanc() as orthanc:
            server = self._used_server(orthanc)
            with at('new.example'):
                self.assertTrue(is_refused(server))
                with self.assertLogs(LOGGER, 'WARNING'):
                    notice = decide(server, 'original')
                self.assertFalse(is_refused(server))
                self.assertIsNone(refetched(server).copy_notice)
        self.assertIn('"health" (db.example)', notice)
        self.assertIn('"health" (new.example)', notice)
        self.assertTrue(refetched(server).active)
        last, first = Database.search([])
        self.assertEqual(
            (first.decision, last.decision, last.address),
            ('first', 'original', 'new.example'))
        self.assertEqual(last.user.id, Transaction().user)

    @with_transaction()
    def test_it_is_a_copy(self):
        Server = Pool().get(SERVER)
        with FakeOrthanc() as orthanc:
            server = self._used_server(orthanc)
            with at('db.example', 'training'):
                with self.assertLogs(LOGGER, 'WARNING'):
                    decide(server, 'copy')
                server = refetched(server)
                self.assertFalse(server.active)
                self.assertTrue(is_refused(server))
                self.assertTrue(server.copy_notice)
                Server.write([server], {'active': True})
                self.assertTrue(is_refused(server))
                # A server of the copy's own
                other = create_server(
                    label="Training", domain='http://training.example')
                self.assertFalse(is_refused(other))
                # The same one at another path is no other server
                Server.write([refetched(server)], {
                        'domain': orthanc.url + '/path'})
                self.assertTrue(is_refused(server))
                Server.write([refetched(server)], {
                        'domain': 'http://test.example', 'password': 'p'})
                self.assertFalse(is_refused(server))
            self.assertEqual(orthanc.received, [])

    @with_transaction()
    def test_a_copy_that_becomes_the_original(self):
        with FakeOrthanc() as orthanc:
            server = self._used_server(orthanc)
            with at('db.example', 'training'), self.assertLogs(LOGGER):
                decide(server, 'copy')
                decide(server, 'original')
                self.assertFalse(is_refused(server))

    @with_transaction()
    def test_only_administrators_decide(self):
        server = create_server()
        user = create_user('clerk', 'health_orthanc.group_imaging_orthanc')
        with Transaction().set_user(user.id), Transaction().set_context(
                _check_access=True):
            with self.assertRaises(AccessError):
                decide(server, 'original')
            with self.assertRaises(AccessError):
                Pool().get(DATABASE).search([])


class DeactivationTestCase(OrthancTestCase):

    @with_transaction()
    def test_servers_come_first(self):
        pool = Pool()
        Module = pool.get('ir.module')
        module, = Module.search([('name', '=', 'health_orthanc')])
        server = create_server(label="Main PACS")
        with self.assertRaises(ModuleDeactivationError) as caught:
            Module.deactivate([module])
        self.assertIn("Main PACS", caught.exception.message)
        pool.get(SERVER).write([server], {'active': False})
        Module.deactivate([module])
        self.assertEqual(Module(module.id).state, 'to remove')
