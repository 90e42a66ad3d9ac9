# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import base64
import datetime as dt
from unittest.mock import patch

from cryptography.fernet import Fernet

from trytond.model.exceptions import ValidationError
from trytond.modules.health_orthanc.common.exceptions import (
    ServerDeleteError, ServerValidationError, describe)
from trytond.modules.health_orthanc.core.secrets import (
    MASK, SecretUnavailable, unseal)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction, inactive_records

from tests.unit.fake_orthanc import (
    SYSTEM, FakeOrthanc, cut, free_port, hang_up, redirect, reply, reply_json,
    self_signed, server_tls, silence, status)

from .tools import (
    SERVER, VIEWER, OrthancTestCase, create_orthanc_patient, create_patient,
    create_series, create_server, create_study, fernet_keys)

ADD_SERVER = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'


def queued(method):
    "Return the ids of the servers for which the method waits in the queue"
    return [
        id_ for task in Pool().get('ir.queue').search([])
        if task.data['model'] == SERVER and task.data['method'] == method
        for id_ in task.data['instances']]


def refetched(server):
    return Pool().get(SERVER)(server.id)


def write(server, **values):
    Pool().get(SERVER).write([server], values)
    return refetched(server)


def script_orthanc(orthanc, plugins=('explorer.js', 'ohif')):
    orthanc.script('/system', reply_json(SYSTEM))
    orthanc.script('/plugins', reply_json(list(plugins)))


class AddressTestCase(OrthancTestCase):

    @with_transaction()
    def test_is_normalised(self):
        server = create_server(
            domain=' HTTP://PACS.Example.org:8042/Orthanc/ ',
            proxy_domain='https://images.example.org/')
        self.assertEqual(
            server.domain, 'http://pacs.example.org:8042/Orthanc')
        self.assertEqual(server.proxy_domain, 'https://images.example.org')
        server = write(server, domain='https://Pacs.example.org/')
        self.assertEqual(server.domain, 'https://pacs.example.org')

    @with_transaction()
    def test_unusable_ones_are_refused(self):
        server = create_server()
        for url in [
                'ftp://pacs.example.org', 'http://u:p@pacs.example.org',
                'http://pacs.example.org/?x=1', 'http://', 'http://a b/',
                'http://pacs.example.org/#x', 'http://pacs:99999']:
            for name in ['domain', 'proxy_domain']:
                with self.subTest(url=url, field=name):
                    with self.assertRaises(ServerValidationError) as caught:
                        write(server, **{name: url})
                    self.assertEqual(
                        caught.exception.message, describe('invalid_address'))
                    self.assertNotIn('u:p', str(caught.exception))

    def assertTaken(self, name, **values):
        with self.assertRaises(ValidationError) as caught:
            create_server(**values)
        self.assertIn("already", caught.exception.message)
        self.assertIn(name, caught.exception.message)

    @with_transaction()
    def test_label_is_unique(self):
        create_server(label="PACS")
        self.assertTaken("label", label="PACS")

    @with_transaction()
    def test_label_is_unique_among_inactive_ones(self):
        create_server(label="PACS", active=False)
        self.assertTaken("label", label="PACS")

    @with_transaction()
    def test_url_is_unique(self):
        create_server(domain='http://pacs.example.org/orthanc')
        self.assertTaken("URL", domain='http://PACS.example.org/orthanc/')

    @with_transaction()
    def test_url_is_unique_among_inactive_ones(self):
        create_server(domain='http://pacs.example.org', active=False)
        self.assertTaken("URL", domain='http://pacs.example.org/')

    @with_transaction()
    def test_url_is_unique_when_changed(self):
        create_server(domain='http://pacs.example.org')
        server = create_server()
        with self.assertRaises(ValidationError):
            write(server, domain='http://pacs.example.org')

    @with_transaction()
    def test_links_use_the_public_url(self):
        server = create_server(domain='http://10.0.0.1:8042/orthanc')
        self.assertEqual(
            server.link_base_url, 'http://10.0.0.1:8042/orthanc/')
        server = write(server, proxy_domain='https://images.example.org')
        self.assertEqual(server.link_base_url, 'https://images.example.org/')
        self.assertEqual(server.link, server.link_base_url)

    @with_transaction()
    def test_links_follow_while_typing(self):
        Server = Pool().get(SERVER)
        server = Server(domain='http://pacs ', proxy_domain=None)
        self.assertEqual(
            server.on_change_with_link_base_url(), 'http://pacs/')
        self.assertIsNone(Server(
                domain=None, proxy_domain=None).on_change_with_link())


class SecretsTestCase(OrthancTestCase):

    @with_transaction()
    def test_reads_as_a_mask(self):
        server = create_server(password='sesame', client_key='KEY')
        self.assertEqual(server.password, MASK)
        self.assertEqual(server.client_key, MASK)
        server = create_server()
        self.assertIsNone(server.password)
        self.assertIsNone(server.client_key)

    @with_transaction()
    def test_a_mask_that_comes_back_changes_nothing(self):
        server = create_server(password='sesame', client_key='KEY')
        before = server.sealed_password, server.sealed_client_key
        server = write(server, password=MASK, client_key=MASK, user="x",
            validated=True)
        self.assertEqual(
            (server.sealed_password, server.sealed_client_key), before)
        server = write(server, password=MASK, client_key=MASK)
        self.assertTrue(server.validated)
        self.assertEqual(queued('check_connection'), [])

    @with_transaction()
    def test_is_cleared(self):
        server = write(create_server(password='sesame'), password=None)
        self.assertIsNone(server.sealed_password)
        self.assertIsNone(server.password)

    @with_transaction()
    def test_is_kept_plain_without_a_key(self):
        server = create_server(password='sesame')
        self.assertEqual(unseal(server.sealed_password), 'sesame')

    @with_transaction()
    def test_is_encrypted_with_a_key(self):
        key = Fernet.generate_key().decode()
        with fernet_keys(key):
            server = create_server(password='sesame', client_key='KEY')
        for sealed, secret in [
                (server.sealed_password, 'sesame'),
                (server.sealed_client_key, 'KEY')]:
            self.assertNotIn(secret, sealed)
            self.assertEqual(unseal(sealed, [key]), secret)

    @with_transaction()
    def test_spaces_belong_to_it(self):
        server = create_server(password=' se same ')
        self.assertEqual(unseal(server.sealed_password), ' se same ')

    @with_transaction()
    def test_keys_are_rotated(self):
        old, new = (Fernet.generate_key().decode() for _ in range(2))
        with fernet_keys(old):
            server = create_server(password='sesame')
        with fernet_keys(new, old):
            self.assertEqual(self.sent(server), 'reader:sesame')
            server = write(server, password='open')
        with fernet_keys(new):
            self.assertEqual(self.sent(server), 'reader:open')

    @with_transaction()
    def test_what_was_plain_is_still_read_with_a_key(self):
        server = create_server(password='sesame')
        with fernet_keys(Fernet.generate_key().decode()):
            self.assertEqual(self.sent(server), 'reader:sesame')

    def sent(self, server):
        "Return the credentials that Orthanc is sent"
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            # As if it had always been there
            server.write_progress(
                server.id, domain=orthanc.url, user='reader')
            for cache in Transaction().cache.values():
                cache.clear()
            server = refetched(server)
            with server.get_client() as client:
                client.system()
            header = orthanc.received[0].headers['Authorization']
        return base64.b64decode(header.split()[1]).decode()

    @with_transaction()
    def test_a_key_that_is_missing_is_told(self):
        with fernet_keys(Fernet.generate_key().decode()):
            server = create_server(password='sesame')
        with self.assertRaises(SecretUnavailable):
            server.get_client()
        Pool().get(SERVER).check_connection([server])
        server = refetched(server)
        self.assertFalse(server.validated)
        self.assertEqual(server.check_error, describe('secret'))
        self.assertIn('fernet_key', server.check_error)

    @with_transaction()
    def test_a_key_that_is_none_is_told(self):
        with fernet_keys('not-a-key'):
            with self.assertRaises(ServerValidationError) as caught:
                create_server(password='sesame')
        self.assertEqual(caught.exception.message, describe('secret'))
        self.assertNotIn('sesame', str(caught.exception))
        self.assertNotIn('not-a-key', str(caught.exception))

    @with_transaction()
    def test_another_address_takes_no_secret_along(self):
        for secrets, missing in [
                ({'password': 'sesame'}, 'password'),
                ({'client_key': 'KEY'}, 'client_key')]:
            server = create_server(**secrets)
            for url in [
                    'http://127.0.0.1:10/', 'https://127.0.0.1:9/',
                    'http://127.0.0.2:9/']:
                with self.subTest(url=url, secret=missing):
                    with self.assertRaises(ServerValidationError) as caught:
                        write(server, domain=url)
                    self.assertIn(server.label, caught.exception.message)
                    with self.assertRaises(ServerValidationError):
                        write(server, domain=url, **{missing: MASK})
            self.assertEqual(queued('check_connection'), [])
            self.assertEqual(
                refetched(server).domain, server.domain)

    @with_transaction()
    def test_another_address_takes_what_is_entered_with_it(self):
        server = create_server(password='sesame', client_key='KEY')
        server = write(
            server, domain='http://127.0.0.1:10', password='open',
            client_key=None)
        self.assertEqual(server.domain, 'http://127.0.0.1:10')
        self.assertEqual(unseal(server.sealed_password), 'open')
        self.assertIsNone(server.sealed_client_key)
        self.assertEqual(queued('check_connection'), [server.id])

    @with_transaction()
    def test_another_path_of_the_same_address_keeps_them(self):
        server = create_server(
            domain='http://127.0.0.1:9/a', password='sesame')
        server = write(server, domain='http://127.0.0.1:9/b/')
        self.assertEqual(unseal(server.sealed_password), 'sesame')

    @with_transaction()
    def test_another_address_needs_another_plugin_key(self):
        server = create_server(version='1.12.7')
        server.new_plugin_key()
        Application = Pool().get('res.user.application')
        keys = [('user.login', '=', server.plugin_login),
            ('state', '=', 'validated')]
        write(server, domain='http://127.0.0.1:9/path')
        self.assertEqual(Application.search(keys, count=True), 1)
        write(server, domain='http://127.0.0.1:10')
        self.assertEqual(Application.search(keys, count=True), 0)

    @with_transaction()
    def test_does_not_show_in_a_record(self):
        server = create_server(password='sesame')
        self.assertNotIn('sesame', repr(server) + str(server))


class CheckTestCase(OrthancTestCase):

    @with_transaction()
    def test_a_new_server_is_checked(self):
        server = create_server(validated=False)
        self.assertEqual(queued('check_connection'), [server.id])

    @with_transaction()
    def test_changes_of_the_connection_are_checked(self):
        for name, value in [
                ('domain', 'http://other.example.org'), ('user', "other"),
                ('password', 'other'), ('password', None),
                ('ca_certificates', "PEM"), ('client_certificate', "PEM"),
                ('client_key', "PEM"), ('active', True)]:
            with self.subTest(field=name, value=value):
                server = write(create_server(), **{name: value})
                self.assertFalse(server.validated)
                self.assertEqual(
                    queued('check_connection').count(server.id), 1)

    @with_transaction()
    def test_other_changes_are_not(self):
        server = write(
            create_server(), label="Other", retries=1,
            proxy_domain='http://other.example.org')
        self.assertTrue(server.validated)
        self.assertEqual(queued('check_connection'), [])

    @with_transaction()
    def test_an_inactive_server_is_not_checked(self):
        write(create_server(), active=False)
        self.assertEqual(queued('check_connection'), [])

    @with_transaction()
    def test_what_is_found_is_recorded(self):
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            server = self.check(
                orthanc.url, check_error_kind='refused', validated=False)
        self.assertTrue(server.validated)
        self.assertIsNone(server.check_error)
        self.assertEqual(server.version, '1.10.1')
        self.assertIn('1.12.11', server.version_note)
        self.assertEqual(server.aetitle, 'ORTHANC')
        self.assertEqual(server.plugin_names, {'explorer.js', 'ohif'})
        self.assertLess(
            dt.datetime.now() - server.last_check, dt.timedelta(minutes=5))

    @with_transaction()
    def test_tags_that_should_be_listed(self):
        listed = {'Study': '0010,0021', 'Series': '0040,0275'}
        with FakeOrthanc() as orthanc:
            orthanc.script('/system', *(
                    reply_json({
                            **SYSTEM, 'Version': '1.13.0',
                            'MainDicomTags': {**listed, **more}})
                    for more in [{}, {'Study': '0008,1050;0010,0021'}]))
            orthanc.script('/plugins', *2 * [reply_json([])])
            server = self.check(orthanc.url)
            self.assertIn(
                '"ExtraMainDicomTags": '
                '{"Study": ["PerformingPhysicianName"]}',
                server.version_note)
            Pool().get(SERVER).check_connection([server])
        self.assertIsNone(Pool().get(SERVER)(server.id).version_note)

    @with_transaction()
    def test_only_versions_with_known_vulnerabilities_have_a_note(self):
        for version, has_note in [
                ('1.10.1', True), ('1.12.7', True), ('1.12.10', True),
                ('1.12.11', False), ('1.13.0', False), ('mainline', False),
                (None, False)]:
            with self.subTest(version=version):
                server = create_server(version=version)
                self.assertEqual(bool(server.version_note), has_note)

    def check(self, url, **values):
        server = create_server(domain=url, **values)
        Pool().get(SERVER).check_connection([server])
        return refetched(server)

    @with_transaction()
    def test_what_is_wrong_is_recorded(self):
        for code, kind in [
                (401, 'unauthorized'), (403, 'forbidden'),
                (404, 'not_orthanc'), (500, 'server_fault')]:
            with self.subTest(code=code), FakeOrthanc() as orthanc:
                orthanc.script('/system', status(code))
                server = self.check(orthanc.url)
                self.assertFalse(server.validated)
                self.assertEqual(server.check_error_kind, kind)
                self.assertEqual(server.check_error, describe(kind))
                self.assertIsNotNone(server.last_check)

    @with_transaction()
    def test_one_that_is_down_does_not_hold_up_another(self):
        Server = Pool().get(SERVER)
        down = create_server(domain=f'http://127.0.0.1:{free_port()}')
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            up = create_server(domain=orthanc.url, validated=False)
            Server.check_connection([down, up])
        self.assertEqual(refetched(down).check_error_kind, 'refused')
        self.assertTrue(refetched(up).validated)

    @with_transaction()
    def test_the_buttons_leave_it_to_the_queue(self):
        Server = Pool().get(SERVER)
        server = create_server()
        for button, method in [
                ('check', 'check_connection'),
                ('synchronize', 'run_synchronization'),
                ('reconcile', 'run_synchronization')]:
            with self.subTest(button=button):
                before = queued(method)
                getattr(Server, button)([server])
                self.assertEqual(queued(method), before + [server.id])

    @with_transaction()
    def test_limits_are_sensible(self):
        for name, value in [
                ('connect_timeout', 0), ('connect_timeout', 61),
                ('read_timeout', 0), ('read_timeout', 601),
                ('retries', -1), ('retries', 11)]:
            with self.subTest(field=name, value=value):
                with self.assertRaises(ValidationError):
                    create_server(**{name: value})


class LifeTestCase(OrthancTestCase):

    @with_transaction()
    def test_starts_today(self):
        server = create_server()
        self.assertEqual(
            server.start_date, Pool().get('ir.date').today())
        self.assertEqual(server.instances_mode, 'on_demand')
        self.assertTrue(server.identifier)

    @with_transaction()
    def test_without_studies_is_deleted(self):
        Server = Pool().get(SERVER)
        server = create_server()
        Run = Pool().get('gnuhealth.orthanc.synchronization')
        run, = Run.create([{
                    'server': server.id, 'kind': 'full', 'state': 'done'}])
        write(server, last_run=run.id)
        Server.delete([server])
        self.assertEqual(Server.search([]), [])
        self.assertEqual(Run.search([]), [])

    @with_transaction()
    def test_with_studies_is_not_deleted(self):
        server = create_server(label="PACS")
        create_study(server)
        with self.assertRaises(ServerDeleteError) as caught:
            Pool().get(SERVER).delete([server])
        self.assertIn("PACS", caught.exception.message)

    @with_transaction()
    def test_with_patients_is_not_deleted(self):
        server = create_server()
        create_orthanc_patient(server)
        with self.assertRaises(ServerDeleteError):
            Pool().get(SERVER).delete([server])

    @with_transaction()
    def test_is_removed_or_deactivated(self):
        Server = Pool().get(SERVER)
        empty, full = create_server(), create_server()
        create_study(full)
        Server.remove_config_server([empty, full])
        self.assertEqual(Server.search([]), [])
        with inactive_records():
            self.assertEqual(Server.search([]), [full])

    @with_transaction()
    def test_inactive_servers_keep_their_records(self):
        server = create_server(label="PACS")
        study = create_study(server)
        write(server, active=False)
        study = type(study)(study.id)
        self.assertEqual(study.server_label, "PACS")
        self.assertEqual(
            type(study).search([('server_label', '=', "PACS")]), [study])

    @with_transaction()
    def test_a_copy_is_another_server(self):
        server = create_server(
            password='sesame', last_changed_index=7, change_anchors="[]")
        copy, = Pool().get(SERVER).copy([server], {
                'label': "Copy", 'domain': 'http://copy.example.org'})
        self.assertNotEqual(copy.identifier, server.identifier)
        self.assertIsNone(copy.last_changed_index)
        self.assertIsNone(copy.change_anchors)
        self.assertFalse(copy.validated)
        self.assertIsNone(copy.sealed_password)
        self.assertIsNone(copy.password)

    @with_transaction()
    def test_a_copy_has_a_label_and_a_url_of_its_own(self):
        server = create_server(label="PACS", domain='http://pacs.example.org')
        copies = [Pool().get(SERVER).copy([server])[0] for _ in range(2)]
        self.assertEqual([c.label for c in copies], ["PACS (2)", "PACS (3)"])
        self.assertEqual(
            [c.domain for c in copies], [
                'http://pacs.example.org/copy-2',
                'http://pacs.example.org/copy-3'])
        self.assertFalse(any(c.active for c in copies))

    @with_transaction()
    def test_counts(self):
        server, other = create_server(), create_server()
        patient = create_patient()
        create_study(server)
        study = create_study(server, patient=patient.id)
        create_series(study)
        create_study(server, missing_since=dt.datetime.now())
        Failure = Pool().get('gnuhealth.orthanc.synchronization.failure')
        Failure.create([{
                    'server': server.id, 'level': 'study',
                    'resolved': resolved,
                    } for resolved in [None, dt.datetime.now()]])
        server, other = map(refetched, [server, other])
        self.assertEqual(server.studies_count, 2)
        self.assertEqual(server.failures_count, 1)
        self.assertEqual(other.studies_count, 0)
        self.assertEqual(other.failures_count, 0)

    @with_transaction()
    def test_shows_the_last_run(self):
        server = create_server()
        self.assertIsNone(server.last_duration)
        self.assertFalse(server.synchronizing)
        start = dt.datetime(2026, 3, 4, 10, 0)
        run, = Pool().get('gnuhealth.orthanc.synchronization').create([{
                    'server': server.id, 'kind': 'full', 'state': 'failed',
                    'error_kind': 'refused', 'studies_created': 3,
                    'started_at': start,
                    'ended_at': start + dt.timedelta(seconds=90)}])
        server = write(server, last_run=run.id)
        self.assertEqual(server.last_duration, dt.timedelta(seconds=90))
        self.assertEqual(server.last_error, describe('refused'))
        self.assertIn("3", server.last_result)
        self.assertFalse(server.synchronizing)
        type(run).write([run], {'state': 'running', 'ended_at': None})
        self.assertTrue(refetched(server).synchronizing)


class WorklistTestCase(OrthancTestCase):
    "Servers to which worklists are sent"

    @with_transaction()
    def test_mode_is_accepted_where_the_check_found_the_api(self):
        server = create_server()
        self.assertEqual(server.worklist_mode, 'none')
        with self.assertRaises(ServerValidationError) as raised:
            write(server, worklist_mode='rest')
        self.assertIn('1.12.10', str(raised.exception))
        with self.assertRaises(ServerValidationError):
            create_server(worklist_mode='rest')
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc, ['orthanc-worklists'])
            orthanc.script(
                '/system', reply_json({**SYSTEM, 'Version': '1.12.10'}))
            orthanc.script('/worklists', reply_json([]))
            write(server, domain=orthanc.url)
            Pool().get(SERVER).check_connection([server])
        server = write(refetched(server), worklist_mode='rest')
        self.assertTrue(server.worklist_api)
        self.assertEqual(server.worklist_mode, 'rest')
        self.assertEqual(queued('update_worklist'), [server.id])

    @with_transaction()
    def test_a_check_never_fails_for_the_mode(self):
        server = create_server(worklist_api=True, worklist_mode='rest')
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            write(server, domain=orthanc.url)
            Pool().get(SERVER).check_connection([server])
        server = refetched(server)
        self.assertTrue(server.validated)
        self.assertFalse(server.worklist_api)
        self.assertEqual(server.worklist_mode, 'rest')
        # It can be switched off, and not on again
        write(server, worklist_mode='none')
        with self.assertRaises(ServerValidationError):
            write(server, worklist_mode='rest')

    @with_transaction()
    def test_copies_start_without_a_worklist(self):
        server = create_server(worklist_api=True, worklist_mode='rest')
        copy, = Pool().get(SERVER).copy([server], {
                'label': "Copy", 'domain': 'http://copy.example.org'})
        self.assertEqual(copy.worklist_mode, 'none')
        self.assertFalse(copy.worklist_api)

    @with_transaction()
    def test_error_is_told_in_words(self):
        server = create_server(worklist_error_kind='unauthorized')
        self.assertEqual(server.worklist_error, describe('unauthorized'))
        server = write(server, worklist_error_kind=None)
        self.assertIsNone(server.worklist_error)

    @with_transaction()
    def test_scheduler_asks_for_updates(self):
        Cron = Pool().get('ir.cron')
        Server = Pool().get(SERVER)
        cron, = Cron.search([
                ('method', '=', f'{SERVER}|synchronize_worklists')])
        self.assertTrue(cron.active)
        self.assertEqual(
            (cron.interval_number, cron.interval_type), (1, 'minutes'))
        kept = create_server(worklist_api=True, worklist_mode='rest')
        create_server()
        create_server(
            active=False, worklist_api=True, worklist_mode='rest')
        self.assertEqual(queued('update_worklist'), [])
        Server.synchronize_worklists()
        self.assertEqual(queued('update_worklist'), [kept.id])


class SchedulerTestCase(OrthancTestCase):

    @with_transaction()
    def test_jobs_are_there(self):
        Cron = Pool().get('ir.cron')
        synchronize, = Cron.search([
                ('method', '=', f'{SERVER}|synchronize_all')])
        self.assertEqual(synchronize.interval_number, 15)
        self.assertEqual(synchronize.interval_type, 'minutes')
        self.assertTrue(synchronize.active)
        reconcile, = Cron.search([
                ('method', '=', f'{SERVER}|reconcile_all')])
        self.assertEqual(reconcile.interval_number, 1)
        self.assertEqual(reconcile.interval_type, 'days')
        self.assertEqual(reconcile.hour, 3)
        self.assertTrue(reconcile.active)

    @with_transaction()
    def test_jobs_leave_active_servers_to_the_queue(self):
        Server = Pool().get(SERVER)
        servers = [create_server() for _ in range(2)]
        create_server(active=False)
        for method in ['synchronize_all', 'reconcile_all']:
            with self.subTest(method=method):
                before = queued('run_synchronization')
                getattr(Server, method)()
                self.assertCountEqual(
                    queued('run_synchronization'),
                    before + [s.id for s in servers])

    @with_transaction()
    def test_old_runs_are_forgotten(self):
        pool = Pool()
        Run = pool.get('gnuhealth.orthanc.synchronization')
        server = create_server()
        old, last, young = Run.create([{
                    'server': server.id, 'kind': 'full', 'state': 'done',
                    'started_at': dt.datetime.now() - dt.timedelta(days=days),
                    } for days in [40, 35, 1]])
        write(server, last_run=last.id)
        pool.get(SERVER).reconcile_all()
        self.assertEqual(set(Run.search([])), {last, young})


class AddServerTestCase(OrthancTestCase):
    "The wizard ends on a page that says what was found or what is wrong"

    def run_wizard(self, **values):
        """Run the wizard to its last page.

        Returns
        -------
        tuple
            The name of the page and its message.
        """
        Wizard = Pool().get(ADD_SERVER, type='wizard')
        self.id, state, _ = Wizard.create()
        self.assertEqual(state, 'start')
        Wizard.execute(self.id, {}, state)
        result = Wizard.execute(self.id, {
                'start': {'label': "PACS", 'user': 'reader',
                    'password': 'sesame', **values}}, 'connect')
        view = result['view']
        return view['state'], view['defaults']['message']

    def session_data(self):
        return Pool().get('ir.session.wizard')(self.id).data

    def assertFailure(self, kind, **values):
        page, message = self.run_wizard(**values)
        self.assertEqual((page, message), ('failure', describe(
                    kind, status=values.pop('status', ''))))
        self.assertNotIn('sesame', self.session_data())
        self.assertEqual(Pool().get(SERVER).search([]), [])

    @with_transaction()
    def test_success(self):
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            page, message = self.run_wizard(domain=orthanc.url + '/')
        self.assertEqual(page, 'success')
        for text in ["PACS", '1.10.1', 'explorer.js, ohif', '1.12.11']:
            self.assertIn(text, message)
        server, = Pool().get(SERVER).search([])
        self.assertEqual(server.domain, orthanc.url)
        self.assertEqual(server.user, 'reader')
        self.assertEqual(unseal(server.sealed_password), 'sesame')
        self.assertTrue(server.validated)
        self.assertEqual(queued('check_connection'), [])
        self.assertNotIn('sesame', self.session_data())

    @with_transaction()
    def test_synchronise_now(self):
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            self.run_wizard(domain=orthanc.url)
        Pool().get(ADD_SERVER, type='wizard').execute(
            self.id, {}, 'synchronize')
        server, = Pool().get(SERVER).search([])
        self.assertEqual(queued('run_synchronization'), [server.id])

    @with_transaction()
    def test_answers_that_are_errors(self):
        for answer, kind, code in [
                (status(401), 'unauthorized', 401),
                (status(403), 'forbidden', 403),
                (status(404), 'not_orthanc', ''),
                (status(500), 'server_fault', 500),
                (status(503), 'server_fault', 503),
                (reply(b'<html>welcome</html>'), 'not_orthanc', ''),
                (reply_json({}), 'not_orthanc', ''),
                (reply_json({**SYSTEM, 'Version': '1.9.7'}), 'too_old', ''),
                (redirect('http://127.0.0.1/login'), 'redirected', 302),
                (cut, 'unexpected_answer', ''),
                (hang_up, 'unreachable', ''),
                ]:
            with self.subTest(kind=kind, code=code), FakeOrthanc() as orthanc:
                orthanc.script('/system', answer)
                page, message = self.run_wizard(domain=orthanc.url)
                self.assertEqual(
                    (page, message), ('failure', describe(kind, status=code)))
                self.assertNotIn('sesame', self.session_data())
        self.assertEqual(Pool().get(SERVER).search([]), [])

    @with_transaction()
    def test_refused(self):
        self.assertFailure(
            'refused', domain=f'http://127.0.0.1:{free_port()}')

    @with_transaction()
    def test_unreachable(self):
        self.assertFailure('unreachable', domain='http://pacs.invalid')

    @with_transaction()
    def test_timeout(self):
        with FakeOrthanc() as orthanc, patch(
                'trytond.modules.health_orthanc.archive.server'
                '.INTERACTIVE_TIMEOUT', 0.2):
            orthanc.script('/system', silence)
            self.assertFailure('timeout', domain=orthanc.url)

    @with_transaction()
    def test_https_where_http_is_spoken(self):
        with FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            self.assertFailure(
                'plain_http', domain=orthanc.url.replace('http:', 'https:'))

    @with_transaction()
    def test_certificate(self):
        certificate, key = self_signed()
        with FakeOrthanc(server_tls(certificate, key)) as orthanc:
            script_orthanc(orthanc)
            self.assertFailure('certificate', domain=orthanc.url)
            page, _ = self.run_wizard(
                domain=orthanc.url, ca_certificates=certificate)
        self.assertEqual(page, 'success')
        server, = Pool().get(SERVER).search([])
        self.assertEqual(server.ca_certificates, certificate)

    @with_transaction()
    def test_certificate_that_is_none(self):
        self.assertFailure(
            'invalid_certificate', domain='https://127.0.0.1:9',
            ca_certificates="no certificate")

    @with_transaction()
    def test_address_that_is_none(self):
        self.assertFailure('invalid_address', domain='pacs@example')

    @with_transaction()
    def test_key_that_is_none(self):
        with fernet_keys('not-a-key'), FakeOrthanc() as orthanc:
            script_orthanc(orthanc)
            self.assertFailure('secret', domain=orthanc.url)

    @with_transaction()
    def test_taken(self):
        taken = create_server(label="PACS", active=False)
        page, message = self.run_wizard(domain='http://other.example.org')
        self.assertEqual(page, 'failure')
        self.assertIn("label", message)
        page, message = self.run_wizard(
            label="Other", domain=taken.domain.upper())
        self.assertEqual(page, 'failure')
        self.assertIn("URL", message)

    @with_transaction()
    def test_going_back_keeps_what_was_entered(self):
        self.assertFailure(
            'refused', domain=f'http://127.0.0.1:{free_port()}')
        result = Pool().get(ADD_SERVER, type='wizard').execute(
            self.id, {}, 'start')
        defaults = result['view']['defaults']
        self.assertEqual(defaults['label'], "PACS")
        self.assertEqual(defaults['user'], 'reader')
        self.assertNotIn('password', defaults)


class ViewersOfServerTestCase(OrthancTestCase):

    @with_transaction()
    def test_are_switched_on_from_either_side(self):
        pool = Pool()
        Viewer = pool.get(VIEWER)
        server = create_server()
        one, other = Viewer.create([{
                    'name': name, 'level': 'study',
                    'url_template': 'x?id={OrthancID}',
                    } for name in ["One", "Other"]])
        server = write(server, viewers=[('add', [one.id])])
        Viewer.write([other], {'servers': [('add', [server.id])]})
        self.assertEqual(set(refetched(server).viewers), {one, other})
        self.assertEqual(Viewer(one.id).servers, (server,))
