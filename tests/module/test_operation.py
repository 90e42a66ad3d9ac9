# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health, warnings, retries and metrics."""

import datetime as dt
import json
from contextlib import contextmanager
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families

from trytond.config import config
from trytond.modules.health_orthanc.common.exceptions import (
    OperationValidationError)
from trytond.modules.health_orthanc.common.transaction import now
from trytond.modules.health_orthanc.operation import (
    figures, health, plugin_routes, retry, warning)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import (
    AUDIT, FAILURE, NOTIFICATION, OPERATION, WARNING, AccessTestCase)
from .test_access_attachments import statements
from .tools import (
    SERVER, OrthancTestCase, Refused, configured, create_server, create_user)

LOGGER = 'trytond.modules.health_orthanc'
KEY = 'a key of monitoring'
LONG_AGO = dt.timedelta(days=3)


def create_notification(server, **values):
    notification, = Pool().get(NOTIFICATION).create([{
                'server': server.id,
                'event': f'event-{len(Pool().get(NOTIFICATION).search([]))}',
                'kind': 'study',
                'orthanc_UID': 'abc',
                'received_at': now(),
                **values}])
    return notification


def create_failure(server, orthanc_id='abc', **values):
    failure, = Pool().get(FAILURE).create([{
                'server': server.id,
                'level': 'study',
                'orthanc_UID': orthanc_id,
                'reason': 'MalformedResource',
                'first_seen': now(),
                'last_seen': now(),
                'attempts': 1,
                **values}])
    return failure


def set_progress(server, **values):
    "Write values as runs do, and return the server"
    Pool().get(SERVER).write_progress(server.id, **values)
    Transaction().get_cache().clear()
    return Pool().get(SERVER)(server.id)


def push(model, method, ago=dt.timedelta()):
    "Queue a task that has been waiting for some time"
    Queue = Pool().get('ir.queue')
    id_ = Queue.push('default', {
            'model': model, 'method': method, 'instances': [], 'args': [],
            'kwargs': {}, 'user': 0, 'context': {}})
    Queue.write([Queue(id_)], {'enqueued_at': dt.datetime.now() - ago})
    return Queue(id_)


def tasks(method):
    "Return the data of the tasks that call a method"
    return [
        task.data for task in Pool().get('ir.queue').search(
            [('dequeued_at', '=', None)])
        if task.data['method'] == method]


def stamp(**values):
    Pool().get(OPERATION)._stamp(**values)


class ContactTestCase(OrthancTestCase):
    "One line when a server stops working, and one when it works again"

    @with_transaction()
    def test_a_failure_is_logged_once(self):
        server = create_server(label="Archive")
        Server = Pool().get(SERVER)
        with self.assertLogs(LOGGER, 'ERROR') as logs:
            for kind in ['refused', 'refused', 'unauthorized']:
                Server.store_outcome(server.id, kind)
                Transaction().get_cache().clear()
        line, = logs.output
        self.assertIn(f'Orthanc server {server.id} (Archive) stopped', line)
        self.assertTrue(line.endswith('refused'))
        server = Server(server.id)
        self.assertEqual(server.failure_kind, 'unauthorized')
        self.assertIn("rejected the user name", server.contact_error)
        self.assertTrue(server.failing_since)
        self.assertFalse(server.last_contact)

    @with_transaction()
    def test_recovery_is_logged_once(self):
        server = create_server()
        Server = Pool().get(SERVER)
        since = now() - LONG_AGO
        server = set_progress(
            server, failing_since=since, failure_kind='timeout')
        with self.assertLogs(LOGGER, 'ERROR') as logs:
            for _ in range(3):
                Server.store_outcome(server.id, None)
                Transaction().get_cache().clear()
        line, = logs.output
        self.assertIn('works again', line)
        self.assertIn(str(since), line)
        server = Server(server.id)
        self.assertTrue(server.last_contact)
        self.assertIsNone(server.failing_since)
        self.assertIsNone(server.contact_error)

    @with_transaction()
    def test_what_is_normal_is_not_logged_and_rarely_written(self):
        Server = Pool().get(SERVER)
        server = create_server()
        with self.assertNoLogs(LOGGER):
            Server.store_outcome(server.id, None)
            Transaction().get_cache().clear()
            with patch.object(Server, 'write_progress') as write:
                Server.store_outcome(server.id, None)
            write.assert_not_called()
            set_progress(server, last_contact=now() - dt.timedelta(minutes=2))
            Server.store_outcome(server.id, None)
            Transaction().get_cache().clear()
        self.assertGreater(
            Server(server.id).last_contact, now() - dt.timedelta(minutes=1))

    @with_transaction()
    def test_a_resource_says_little_about_its_server(self):
        Server = Pool().get(SERVER)
        server = create_server()
        with patch.object(Server, '_store_failure') as store:
            for kind in ['timeout', 'server_fault', 'unexpected_answer']:
                Server.record_failure(server.id, kind, single=True)
        store.assert_not_called()

    @with_transaction()
    def test_copies_have_no_contact(self):
        server = set_progress(
            create_server(), last_contact=now(), failing_since=now(),
            failure_kind='refused', last_plugin_contact=now(),
            last_known_change=7)
        copy, = server.copy([server])
        for name in ['last_contact', 'failing_since', 'failure_kind',
                'last_plugin_contact', 'last_known_change']:
            self.assertIsNone(getattr(copy, name), name)


class RunContactTestCase(OrthancTestCase):
    "What synchronizations, notifications and retries tell of the server"

    @contextmanager
    def server(self):
        with Transaction().start(self.db_name, 0):
            server = create_server(retries=0)
            Transaction().commit()
            with self.assertLogs(LOGGER, 'ERROR') as logs:
                yield server
        line, = logs.output
        self.assertTrue(line.endswith('stopped working: refused'), line)

    def test_synchronizations(self):
        Synchronization = Pool(self.db_name).get(
            'gnuhealth.orthanc.synchronization')
        with self.server() as server:
            for _ in range(2):
                run = Synchronization.run(server)
                self.assertEqual(run.state, 'failed')

    def test_notifications(self):
        with self.server() as server:
            for _ in range(2):
                notification = create_notification(server)
                Transaction().commit()
                notification.process([notification])

    def test_retries(self):
        with self.server() as server:
            failure = create_failure(server)
            for _ in range(2):
                server.retry_failures([server])
                Transaction().commit()
                server.fetch_failed([server])
                Transaction().rollback()
                failure = failure.__class__(failure.id)
                self.assertIsNone(failure.retry_at)
                self.assertIsNone(failure.resolved)

    def test_checks(self):
        with self.server() as server:
            for _ in range(2):
                server.check_connection([server])


class FiguresTestCase(OrthancTestCase):

    @with_transaction()
    def test_of_servers(self):
        server, other = create_server(), create_server()
        create_server(active=False)
        early = now() - LONG_AGO
        create_notification(server, received_at=early)
        create_notification(server)
        create_notification(server, processed_at=now())
        create_failure(server)
        create_failure(server, 'def', resolved=now())
        server.new_plugin_key()
        found, of_other = figures.collect_figures().servers
        self.assertEqual(found.server, server)
        self.assertEqual(
            (found.notifications, found.oldest_notification), (2, early))
        self.assertEqual(found.failures, 1)
        self.assertTrue(found.has_plugin)
        self.assertEqual(of_other.server, other)
        self.assertEqual(
            (of_other.notifications, of_other.oldest_notification), (0, None))
        self.assertEqual(of_other.failures, 0)
        self.assertFalse(of_other.has_plugin)

    @with_transaction()
    def test_of_tasks(self):
        Queue = Pool().get('ir.queue')
        Queue.delete(Queue.search([]))
        self.assertEqual(figures.collect_figures().tasks, 0)
        push(SERVER, 'run_synchronization', dt.timedelta(minutes=5))
        oldest = push(NOTIFICATION, 'process', LONG_AGO)
        # Another module's, one for later, one that was taken
        push('res.user', 'other', 2 * LONG_AGO)
        later = push(SERVER, 'check_connection')
        Queue.write([later], {'scheduled_at': now() + LONG_AGO})
        taken = push(SERVER, 'update_worklist', 2 * LONG_AGO)
        Queue.write([taken], {'dequeued_at': now()})
        found = figures.collect_figures()
        self.assertEqual(found.tasks, 2)
        self.assertEqual(
            found.oldest_task, oldest.enqueued_at.replace(microsecond=0))
        self.assertEqual(found.worker_run, taken.dequeued_at)

    @with_transaction()
    def test_of_lag(self):
        server = create_server()
        self.assertIsNone(server.lag)
        for known, read, lag in [
                (None, 5, 0), (12, 5, 7), (5, 12, 0), (12, None, 12),
                (12, -1, 12)]:
            server = set_progress(
                server, last_known_change=known, last_changed_index=read)
            self.assertEqual(server.lag, lag)

    @with_transaction()
    def test_statements_do_not_grow_with_servers(self):
        Operation = Pool().get(OPERATION)
        names = [
            'summary', 'servers', 'warnings', 'tasks_waiting', 'oldest_task',
            'worker_run', 'scheduler_run', 'next_synchronization']
        of_server = [
            'label', 'lag', 'last_contact', 'contact_error', 'next_run',
            'failures_count', 'notifications_waiting', 'oldest_notification',
            'last_error', 'worklist_error']
        counts = []
        # The first time, names of models are read, too
        for number in [1, 1, 20]:
            for _ in range(number):
                server = create_server()
                create_notification(server)
                create_failure(server)
            Transaction().get_cache().clear()
            with statements() as count:
                page, = Operation.read([1], names)
                rows = Pool().get(SERVER).read(page['servers'], of_server)
                counts.append(count())
        self.assertEqual(len(rows), 22)
        self.assertEqual(counts[1], counts[2])


class TroublesTestCase(OrthancTestCase):

    def troubles(self, **values):
        found = figures.collect_figures()
        for name, value in values.items():
            setattr(found, name, value)
        return health.find_troubles(Pool().get(OPERATION)(1), found)

    @with_transaction()
    def test_a_server_that_works(self):
        set_progress(create_server(), last_synchronization=now())
        self.assertEqual(self.troubles(), {})

    @with_transaction()
    def test_a_server_without_contact(self):
        server = create_server()
        create_notification(server, received_at=now() - LONG_AGO)
        set_progress(server, failing_since=now() - dt.timedelta(minutes=59))
        self.assertEqual(self.troubles(), {})
        since = now() - dt.timedelta(minutes=61)
        set_progress(server, failing_since=since)
        # What follows from it is not told, too
        self.assertEqual(self.troubles(), {('contact', server.id): since})

    @with_transaction()
    def test_what_a_server_lacks(self):
        since = now() - LONG_AGO
        server = set_progress(
            create_server(), last_synchronization=since,
            worklist_mode='rest', worklist_api=True,
            worklist_error_kind='server_fault', last_worklist_update=since,
            last_plugin_contact=since)
        server.new_plugin_key()
        create_notification(server, received_at=since)
        self.assertEqual(self.troubles(), {
                (kind, server.id): since for kind in [
                    'synchronization', 'notifications', 'worklist', 'plugin']})

    @with_transaction()
    def test_a_plugin_without_key_may_be_silent(self):
        set_progress(
            create_server(), last_synchronization=now(),
            last_plugin_contact=now() - LONG_AGO)
        self.assertEqual(self.troubles(), {})

    @with_transaction()
    def test_a_queue_that_does_not_move(self):
        since = now() - dt.timedelta(hours=1)
        self.assertEqual(
            self.troubles(oldest_task=since, worker_run=None),
            {('queue', None): since})
        self.assertEqual(
            self.troubles(oldest_task=since, worker_run=since),
            {('queue', None): since})
        # One that moves may be long
        self.assertEqual(
            self.troubles(oldest_task=since, worker_run=now()), {})

    @with_transaction()
    def test_an_audit_repository_that_is_away(self):
        since = now() - dt.timedelta(minutes=61)
        self.assertEqual(
            self.troubles(oldest_audit=since), {('audit', None): since})
        self.assertEqual(
            self.troubles(oldest_audit=now() - dt.timedelta(minutes=59)), {})
        with patch.object(
                Pool().get(AUDIT), 'unsent_since', return_value=since):
            self.assertIn("audit repository", Pool().get(OPERATION)(1).summary)

    @with_transaction()
    def test_times_are_settings(self):
        Operation = Pool().get(OPERATION)
        server = set_progress(
            create_server(), last_synchronization=now(),
            failing_since=now() - dt.timedelta(hours=2))
        Operation.write(
            [Operation(1)], {'contact_time': dt.timedelta(hours=3)})
        self.assertEqual(self.troubles(), {})
        Operation.write(
            [Operation(1)], {'contact_time': dt.timedelta(hours=1)})
        self.assertIn(('contact', server.id), self.troubles())


class WarningsTestCase(OrthancTestCase):

    def update(self, *args, **kwargs):
        Warning = Pool().get(WARNING)
        Warning.update(*args, **kwargs)
        return Warning.search([])

    @with_transaction()
    def test_a_trouble_is_told_once_and_ends(self):
        server = create_server(label="Archive")
        trouble = {('plugin', server.id): now() - LONG_AGO}
        with self.assertLogs(LOGGER, 'ERROR') as logs:
            self.update(trouble)
            found, = self.update(trouble)
        self.assertEqual(len(logs.output), 1)
        self.assertIn(f'plugin of Orthanc server {server.id}', logs.output[0])
        self.assertEqual(found.since, trouble['plugin', server.id])
        self.assertIn("Archive", found.message)
        self.assertIsNone(found.ended_at)
        with self.assertLogs(LOGGER, 'ERROR') as logs:
            self.update({})
            found, = self.update({})
        self.assertEqual(len(logs.output), 1)
        self.assertIn('ended', logs.output[0])
        self.assertTrue(found.ended_at)
        self.assertEqual(len(self.update(trouble)), 2)

    @with_transaction()
    def test_each_server_has_its_own(self):
        since = now() - LONG_AGO
        one, other = create_server(), create_server()
        found = self.update({
                ('plugin', one.id): since, ('plugin', other.id): since,
                ('queue', None): since})
        self.assertEqual(
            {(w.kind, w.server) for w in found},
            {('plugin', one), ('plugin', other), ('queue', None)})

    @with_transaction()
    def test_the_reason_is_shown(self):
        server = set_progress(create_server(), failure_kind='unauthorized')
        found, = self.update({('contact', server.id): now()})
        self.assertIn("rejected the user name", found.message)

    @with_transaction()
    def test_every_kind_has_a_message(self):
        server = create_server(label="Archive")
        kinds = dict(Pool().get(WARNING).kind.selection)
        self.update({(kind, server.id): now() for kind in kinds})
        for found in self.update({(kind, server.id): now() for kind in kinds}):
            self.assertGreater(len(found.message), 20)
            self.assertTrue(found.rec_name)

    @with_transaction()
    def test_administrators_who_are_logged_in_are_told(self):
        user = create_user(
            'admin2', 'health_orthanc.group_imaging_orthanc_admin')
        clerk = create_user('clerk2', 'health_orthanc.group_imaging_orthanc')
        with patch.object(warning, 'notify') as notify:
            self.update({('queue', None): now()})
            self.update({('queue', None): now()})
        told = [call.kwargs['user'] for call in notify.call_args_list]
        self.assertEqual(told.count(user.id), 1)
        self.assertNotIn(clerk.id, told)
        self.assertIn("trytond-worker", notify.call_args.args[1])

    @with_transaction()
    def test_e_mail(self):
        Operation = Pool().get(OPERATION)
        with self.sending() as send:
            self.update({('queue', None): now()})
            send.assert_not_called()
            Operation.write(
                [Operation(1)], {'email': 'a@example.org, b@example.org'})
            self.update({('scheduler', None): now()})
        # The warning of before has ended
        (sender, recipients, message), _ = send.call_args
        self.assertEqual(sender, 'health@example.org')
        self.assertEqual(recipients, ['a@example.org', 'b@example.org'])
        text = message.get_content()
        self.assertIn("trytond-cron", text)
        self.assertIn("Ended: Tasks Waiting", text)
        self.assertEqual(send.call_count, 1)

    @contextmanager
    def sending(self):
        config.set('email', 'from', 'health@example.org')
        try:
            with patch.object(warning, 'sendmail_transactional') as send:
                yield send
        finally:
            config.remove_option('email', 'from')

    @with_transaction()
    def test_addresses_are_checked(self):
        Operation = Pool().get(OPERATION)
        for text in ['a', 'a@', '@b', 'a@b c', 'a <a@b>']:
            with self.subTest(text=text), self.assertRaises(
                    OperationValidationError):
                Operation.write([Operation(1)], {'email': text})

    @with_transaction()
    def test_old_ones_are_deleted(self):
        Warning = Pool().get(WARNING)
        self.update({('queue', None): now()})
        found, = self.update({})
        Warning.clean()
        self.assertEqual(Warning.search([]), [found])
        Warning.write([found], {'ended_at': now() - dt.timedelta(days=91)})
        Warning.clean()
        self.assertEqual(Warning.search([]), [])


class CheckTestCase(OrthancTestCase):
    "The scheduled job, and who watches it"

    @with_transaction()
    def test_the_scheduler_is_seen(self):
        Operation = Pool().get(OPERATION)
        self.assertIn("not run yet", Operation(1).summary)
        self.assertIsNone(Operation(1).scheduler_run)
        Operation.check()
        Transaction().get_cache().clear()
        page = Operation(1)
        self.assertGreater(page.scheduler_run, now() - dt.timedelta(minutes=1))
        self.assertNotIn("not run yet", page.summary)

    @with_transaction()
    def test_troubles_become_warnings(self):
        server = set_progress(
            create_server(), failing_since=now() - LONG_AGO,
            failure_kind='refused')
        Operation = Pool().get(OPERATION)
        Operation.check()
        found, = Pool().get(WARNING).search([])
        self.assertEqual((found.kind, found.server), ('contact', server))
        self.assertEqual(list(Operation(1).warnings), [found])
        set_progress(server, failing_since=None, last_synchronization=now())
        Operation.check()
        self.assertTrue(Pool().get(WARNING)(found.id).ended_at)

    @with_transaction()
    def test_one_task_at_a_time_shows_that_a_worker_runs(self):
        Operation = Pool().get(OPERATION)
        for _ in range(3):
            Operation.check()
        self.assertEqual(len(tasks('probe')), 1)
        Operation.probe([Operation(1)])
        Operation.check()
        self.assertEqual(len(tasks('probe')), 2)
        # A task that was lost does not end this
        stamp(probe_queued_at=now() - LONG_AGO, probe_run_at=None)
        Operation.check()
        self.assertEqual(len(tasks('probe')), 3)

    @with_transaction()
    def test_a_scheduler_that_does_not_run(self):
        Operation, Warning = map(Pool().get, [OPERATION, WARNING])
        Operation.check_scheduler()
        stamp(checked_at=now())
        Operation.check_scheduler()
        self.assertEqual(Warning.search([]), [])
        stamp(checked_at=now() - LONG_AGO)
        with self.assertLogs(LOGGER, 'ERROR') as logs:
            Operation.check_scheduler()
            Operation.check_scheduler()
        self.assertEqual(len(logs.output), 1)
        found, = Warning.search([])
        self.assertEqual(found.kind, 'scheduler')
        self.assertIn("trytond-cron", Operation(1).summary)
        Operation.check()
        self.assertTrue(Warning(found.id).ended_at)

    @with_transaction()
    def test_the_job_is_scheduled(self):
        Cron = Pool().get('ir.cron')
        job, = Cron.search([('method', '=', f'{OPERATION}|check')])
        self.assertEqual(
            (job.interval_number, job.interval_type), (5, 'minutes'))
        job.run_once()
        self.assertTrue(Pool().get(OPERATION).get_stamp('checked_at'))


class RetryTestCase(OrthancTestCase):

    @with_transaction()
    def test_failures_are_queued_once(self):
        server, other = create_server(), create_server()
        failures = [
            create_failure(server), create_failure(server, 'def'),
            create_failure(other)]
        done = create_failure(server, 'ghi', resolved=now())
        for _ in range(2):
            server.retry_failures([server])
        task, = tasks('fetch_failed')
        self.assertEqual(list(task['instances']), [server.id])
        Failure = Pool().get(FAILURE)
        self.assertEqual(
            [bool(Failure(f.id).retry_at) for f in [*failures, done]],
            [True, True, False, False])

    @with_transaction()
    def test_single_failures(self):
        server = create_server()
        failure, _ = create_failure(server), create_failure(server, 'def')
        failure.retry([failure])
        self.assertEqual(len(tasks('fetch_failed')), 1)
        self.assertEqual(
            Pool().get(SERVER)._requested_retries(server.id),
            {failure.id: 'abc'})

    @with_transaction()
    def test_lost_tasks_can_be_repeated(self):
        server = create_server()
        create_failure(server, retry_at=now() - dt.timedelta(hours=2))
        server.retry_failures([server])
        self.assertEqual(len(tasks('fetch_failed')), 1)

    @with_transaction()
    def test_a_task_is_bounded(self):
        server = create_server()
        for number in range(5):
            create_failure(server, str(number))
        with patch.object(retry, 'RETRY_LIMIT', 3):
            server.retry_failures([server])
            self.assertEqual(len(tasks('fetch_failed')), 1)
            self.assertEqual(
                len(Pool().get(SERVER)._requested_retries(server.id)), 3)


class MonitoringTestCase(AccessTestCase):
    "Routes for monitoring: nothing without the switch and the key"

    ROUTES = ['metrics', 'health']

    @classmethod
    def setUpDatabase(cls):
        super().setUpDatabase()
        cls.broken = set_progress(
            create_server(label='Second "archive"'),
            failing_since=now() - LONG_AGO, failure_kind='refused')
        set_progress(cls.server, last_synchronization=now())
        stamp(checked_at=now())
        Transaction().commit()

    @staticmethod
    def switched_on(key=KEY):
        return configured('monitoring_key', key)

    def get(self, route, key=KEY, database=None):
        return self.client().get(
            f'/{database or self.db_name}/orthanc/{route}',
            headers={'Authorization': f'Bearer {key}'} if key else {})

    def test_nothing_without_the_switch(self):
        for route in self.ROUTES:
            for key in [KEY, '', None]:
                self.assertEqual(self.get(route, key).status_code, 404)

    def test_a_short_key_does_not_switch_on(self):
        for key in ['', ' ' * 20, 'short']:
            with self.switched_on(key):
                for route in self.ROUTES:
                    self.assertEqual(self.get(route, key).status_code, 404)

    def test_nothing_without_the_key(self):
        with self.switched_on():
            for route in self.ROUTES:
                for key in ['', None, KEY[:-1], KEY + 'x', 'ü' * 20]:
                    response = self.get(route, key)
                    self.assertEqual(response.status_code, 403, (route, key))
                    self.assertNotIn(b'Archive', response.data)

    def test_sessions_are_no_key(self):
        with self.switched_on():
            for route in self.ROUTES:
                response = self.client().get(
                    f'/{self.db_name}/orthanc/{route}',
                    headers=self.as_('administrator')._headers)
                self.assertEqual(response.status_code, 403)

    def test_unknown_database(self):
        with self.switched_on():
            for route in self.ROUTES:
                self.assertEqual(
                    self.get(route, database='nosuch').status_code, 404)

    def test_metrics(self):
        with self.switched_on():
            response = self.get('metrics')
        self.assertEqual(response.status_code, 200)
        self.assertTrue(response.content_type.startswith('text/plain'))
        values = {
            (sample.name, sample.labels.get('label')): sample.value
            for family in text_string_to_metric_families(
                response.get_data(as_text=True))
            for sample in family.samples}
        self.assertEqual(
            values['health_orthanc_server_working', "Archive"], 1)
        self.assertEqual(
            values['health_orthanc_server_working', 'Second "archive"'], 0)
        self.assertIn(('health_orthanc_tasks_waiting', None), values)
        self.assertLess(
            values['health_orthanc_scheduler_run_age_seconds', None], 3600)
        self.assertNotIn(
            ('health_orthanc_server_contact_age_seconds', "Archive"), values)

    def test_health(self):
        with self.switched_on():
            response = self.get('health')
        self.assertEqual(response.status_code, 503)
        answer = json.loads(response.data)
        self.assertFalse(answer['healthy'])
        self.assertIn(
            ('contact', self.broken.id),
            [(w['kind'], w['server']) for w in answer['warnings']])

    def test_a_healthy_system(self):
        with self.switched_on(), patch.object(
                health, '_find_server_troubles', return_value=[]), \
                patch.object(health, '_is_queue_late', return_value=False):
            response = self.get('health')
        self.assertEqual(response.status_code, 200)
        self.assertEqual(json.loads(response.data)['warnings'], [])

    def test_no_patient_data(self):
        with Transaction().start(self.db_name, 0, readonly=True):
            patient = self.patient.__class__(self.patient.id).party
            secrets = [patient.lastname, patient.name, patient.ref]
        with self.switched_on():
            for route in self.ROUTES:
                text = self.get(route).get_data(as_text=True)
                for secret in secrets:
                    self.assertNotIn(secret, text)

    def test_a_plugin_is_heard_of(self):
        plugin_routes._noted.clear()
        with Transaction().start(self.db_name, 0) as transaction:
            server = Pool().get(SERVER)(self.server.id)
            key = server.new_plugin_key()
            transaction.commit()
        for _ in range(2):
            response = self.client().get(
                f'/{self.db_name}/orthanc/worklist',
                headers={'Authorization': f'Bearer {key}'})
            self.assertEqual(response.status_code, 200)
        with Transaction().start(self.db_name, 0, readonly=True):
            first, second = Pool().get(SERVER).browse(
                [self.server.id, self.broken.id])
            self.assertGreater(
                first.last_plugin_contact, now() - dt.timedelta(minutes=5))
            self.assertIsNone(second.last_plugin_contact)

    def test_a_plugin_is_noted_once_a_minute(self):
        plugin_routes._noted.clear()
        with patch.object(plugin_routes.time, 'monotonic') as clock:
            due = []
            for moment in [5, 6, 64, 65, 66]:
                clock.return_value = moment
                due.append(plugin_routes._is_due((self.db_name, 1)))
        self.assertEqual(due, [True, False, False, True, False])

    def test_only_administrators_see_the_page(self):
        for login in [*self.OUTSIDERS, *self.RADIOGRAPHERS, 'doctor', 'clerk']:
            for model in [OPERATION, WARNING]:
                self.assertRefused(login, model)
        page, = self.as_('administrator').model(
            OPERATION, 'read', [1], ['servers', 'summary'])
        self.assertIn(self.server.id, page['servers'])

    def assertRefused(self, login, model):
        with self.subTest(login=login, model=model), self.assertRaises(
                Refused):
            self.as_(login).model(model, 'read', [1], ['id'])
