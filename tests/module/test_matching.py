# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that come in find their patients and orders."""

import datetime as dt
import json
from unittest.mock import patch

from trytond.ir import queue_
from trytond.modules.health_orthanc.common.transaction import now
from trytond.modules.health_orthanc.synchronization import notification
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    SERVER, STUDY, OrthancTestCase, RpcTestCase, begin_task, create_order,
    create_patient, create_series, create_server, create_study, in_place,
    match_study, waiting_tasks)

STEP = 'gnuhealth.imaging.procedure.step'
NOTIFICATION = 'gnuhealth.orthanc.notification'
BIRTH = dt.date(1964, 8, 12)


class MatchingTestCase(OrthancTestCase):

    def order(self, **values):
        patient = create_patient(dob=BIRTH, **values)
        return create_order(patient, requested=True)

    def study(self, order, step_ids=(), **values):
        "Return a study as a modality makes it from the worklist's entry"
        party = order.patient.party
        study = create_study(create_server(), **{
                'study_instance_UID': order.study_instance_uid,
                'accession_number': order.accession_number,
                'patient_id': party.ref,
                'patient_name': f'{party.lastname}^{party.name}',
                'patient_birth_date': party.dob,
                'patient_sex': 'F',
                'date': order.date.date(),
                'study_description': order.requested_test.name,
                **values})
        create_series(study, modality='CT')
        return study

    def assertLinked(self, study, order, status='auto_certain'):
        self.assertEqual(study.link_status, status)
        self.assertEqual(study.patient, order.patient)
        self.assertEqual(study.request, order)

    def assertApart(self, study, order):
        self.assertIsNone(study.request)
        self.assertEqual(order.state, 'requested')
        self.assertEqual({s.state for s in order.steps}, {'scheduled'})

    @with_transaction()
    def test_from_the_worklist(self):
        order = self.order()
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': 'CT',
                    'station_aetitle': 'CT1'}])
        study = match_study(
            self.study(order), [s.step_id for s in order.steps])
        self.assertLinked(study, order)
        self.assertEqual(study.score, 100)
        self.assertEqual({s.state for s in order.steps}, {'completed'})
        self.assertEqual(order.state, 'done')
        self.assertTrue(study.imaging_test.orthanc_unreported)
        decision, = study.decisions
        self.assertIsNone(decision.user)
        self.assertEqual(decision.score, 100)
        self.assertIn('patient_id', decision.comparisons)

    @with_transaction()
    def test_a_late_series_completes_its_step(self):
        order = self.order()
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': 'CT',
                    'station_aetitle': 'CT1'}])
        first = order.steps[0].step_id
        study = match_study(self.study(order), [first])
        self.assertLinked(study, order)
        self.assertEqual(
            [s.state for s in order.steps], ['completed', 'scheduled'])
        match_study(study, [first, second.step_id])
        self.assertEqual(order.state, 'done')
        self.assertEqual(len(study.decisions), 1)

    @with_transaction()
    def test_told_five_times(self):
        order = self.order()
        study = self.study(order)
        for _ in range(5):
            study = match_study(study, [order.steps[0].step_id])
        self.assertLinked(study, order)
        self.assertEqual(len(study.decisions), 1)
        Result = Pool().get('gnuhealth.imaging.test.result')
        self.assertEqual(
            Result.search([('request', '=', order.id)], count=True), 1)

    @with_transaction()
    def test_the_right_uid_and_the_wrong_patient(self):
        order, other = self.order(), create_patient(
            "Ejemplo", "Juan", gender='m', dob=dt.date(1980, 2, 29))
        study = match_study(self.study(
                order, patient_id=other.party.ref,
                patient_name='Ejemplo^Juan', patient_sex='M',
                patient_birth_date=other.party.dob))
        self.assertNotEqual(study.link_status, 'auto_certain')
        self.assertApart(study, order)

    @with_transaction()
    def test_a_bare_step_id_links_nothing(self):
        order = self.order()
        study = match_study(self.study(
                order, study_instance_UID='1.2.3', accession_number=None,
                patient_id='OTHER-1', patient_name='Irrtum^Otto',
                patient_birth_date=None, patient_sex=None),
            [order.steps[0].step_id])
        self.assertApart(study, order)
        self.assertIsNone(study.patient)

    @with_transaction()
    def test_a_person_has_decided(self):
        order, other = self.order(), create_patient()
        study = self.study(order)
        Study = Pool().get(STUDY)
        Study.write([study], {'patient': other.id})
        study = match_study(study, [order.steps[0].step_id])
        self.assertEqual(study.patient, other)
        self.assertEqual(study.link_status, 'manual')
        self.assertApart(study, order)

    @with_transaction()
    def test_an_accession_number_and_the_patient(self):
        order = self.order()
        study = match_study(self.study(order, study_instance_UID='1.2.3'))
        self.assertEqual(study.request, order)
        self.assertEqual(study.patient, order.patient)

    @with_transaction()
    def test_the_former_accession_number(self):
        order = self.order()
        order.__class__.write([order], {'accession_alias': '017'})
        study = match_study(self.study(
                order, study_instance_UID='1.2.3', accession_number='017'))
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_the_merge_id_in_place_of_the_patient(self):
        order = self.order()
        study = match_study(self.study(
                order, study_instance_UID='1.2.3', accession_number=None,
                patient_id=order.merge_id))
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_what_nobody_ordered(self):
        order = self.order()
        study = match_study(self.study(
                order, study_instance_UID='1.2.3', accession_number=None,
                patient_id='OTHER-1', patient_name='Irrtum^Otto',
                patient_birth_date=dt.date(1999, 9, 9), patient_sex='M'))
        self.assertEqual(study.link_status, 'unlinked')
        self.assertApart(study, order)


class NotificationTestCase(OrthancTestCase):
    "What plugins tell"

    def setUp(self):
        super().setUp()
        self.enterContext(
            patch.object(notification, 'in_transaction', in_place))

    def content(self, server, *events):
        return {'server': server.identifier, 'events': list(events)}

    def event(self, number=1, **values):
        return {
            'event': f'e{number}', 'kind': 'study', 'study': 'abc',
            'facts': {}, **values}

    def receive(self, server, content):
        Notification = Pool().get(NOTIFICATION)
        server.new_plugin_key()
        return Notification.receive(content, server._plugin_user().id)

    @with_transaction()
    def test_an_event_is_kept_once(self):
        server = create_server()
        Notification = Pool().get(NOTIFICATION)
        for _ in range(5):
            received = self.receive(
                server, self.content(server, self.event(), self.event()))
            self.assertEqual(received, ['e1', 'e1'])
        self.assertEqual(Notification.search([], count=True), 1)
        self.assertTrue(server.__class__(server.id).last_notification)

    @with_transaction()
    def test_another_server_is_not_told_of(self):
        server, other = create_server(), create_server()
        for content in [
                self.content(other, self.event()), {}, [], None,
                {'server': None, 'events': []},
                {'server': server.identifier, 'events': 'x'},
                self.content(server, self.event(kind='other')),
                self.content(server, self.event(study=None)),
                self.content(server, self.event(event='x' * 300)),
                self.content(server, self.event(facts=None))]:
            with self.subTest(content=content):
                with self.assertRaises(notification.NotificationError):
                    self.receive(server, content)
        self.assertFalse(Pool().get(NOTIFICATION).search([]))

    @with_transaction()
    def test_only_the_last_of_a_study_is_worked_off(self):
        server = create_server()
        self.receive(server, self.content(
                server, self.event(1), self.event(2)))
        Notification = Pool().get(NOTIFICATION)
        last, first = Notification.search([])
        studies, *_ = Notification._prepare(server.id, [first.id, last.id])
        self.assertTrue(Notification(first.id).processed_at)
        self.assertEqual(studies, {last.id: 'abc'})

    @with_transaction()
    def test_a_burst_needs_few_tasks(self):
        server, other = create_server(), create_server()
        pool = Pool()
        Notification, Server = pool.get(NOTIFICATION), pool.get(SERVER)
        # The plugin sends each as soon as its study is stable
        for number in range(120):
            self.receive(server, self.content(
                    server, self.event(number, study=f'study-{number}')))
        self.assertEqual(len(waiting_tasks()), 1)
        # Tasks of another server, and of people
        self.receive(other, self.content(other, self.event()))
        Server.synchronize([server])
        Server.synchronize_worklists()
        seen, urgent = [], []
        with patch.object(
                Notification, '_process',
                lambda server_id, ids: seen.extend(ids)), \
                patch.object(
                    Server, 'run_synchronization', lambda *args: None):
            while waiting_tasks():
                urgent.append(begin_task())
        # What somebody waits for came first, then three batches of the one
        # server, and the one of the other
        self.assertEqual(urgent[0], 'run_synchronization')
        self.assertEqual(urgent[1:], ['process_notifications'] * 4)
        self.assertEqual(len(seen), 121)
        self.assertEqual(len(set(seen)), 121)

    @with_transaction()
    def test_nothing_is_queued_twice(self):
        server = create_server()
        pool = Pool()
        Notification, Server = pool.get(NOTIFICATION), pool.get(SERVER)
        self.receive(server, self.content(server, self.event()))
        # The scheduler, for hours without a worker
        for _ in range(3):
            Notification.process_pending()
            Server.synchronize_all()
            Server.reconcile_all()
        self.assertEqual(
            sorted(waiting_tasks()), [
                'process_notifications', 'run_synchronization',
                'run_synchronization'])

    @with_transaction()
    def test_a_task_that_nobody_will_run_is_queued_again(self):
        server = create_server()
        self.receive(server, self.content(server, self.event()))
        pool = Pool()
        Notification, Queue = pool.get(NOTIFICATION), pool.get('ir.queue')
        Queue.write(Queue.search([]), {
                'enqueued_at': dt.datetime.now() - dt.timedelta(hours=1)})
        # A worker may have stood still for an hour
        with patch.object(queue_, 'has_worker', True):
            Notification.process_pending()
        self.assertEqual(len(waiting_tasks()), 1)
        # Without workers the process that should run it was killed
        Notification.process_pending()
        self.assertEqual(len(waiting_tasks()), 2)

    @with_transaction()
    def test_what_a_killed_task_has_left_is_taken_later(self):
        server = create_server()
        self.receive(server, self.content(server, self.event()))
        Notification = Pool().get(NOTIFICATION)
        with patch.object(Notification, '_process', lambda *args: None):
            begin_task()
        Notification.process_pending()
        self.assertFalse(waiting_tasks())
        Notification.write(Notification.search([]), {
                'next_attempt': now() - dt.timedelta(minutes=1)})
        Notification.process_pending()
        self.assertEqual(waiting_tasks(), ['process_notifications'])

    @with_transaction()
    def test_what_was_told_before_is_not_matched_behind_it(self):
        server = create_server()
        study = create_study(server, orthanc_UID='abc')
        self.receive(server, self.content(
                server, self.event(1), self.event(2, facts={'Series': []})))
        Notification = Pool().get(NOTIFICATION)
        for found in Notification.search([]):
            Notification._match(found.id)
        self.assertEqual(
            study.__class__(study.id).notified_facts, '{"Series": []}')


class NotifyRouteTestCase(RpcTestCase):
    "What plugins tell, as they tell it"

    @classmethod
    def setUpDatabase(cls):
        server = create_server()
        cls.key, cls.server = server.new_plugin_key(), server.identifier
        Transaction().commit()

    def test_the_same_at_once(self):
        Notification = Pool(self.db_name).get(NOTIFICATION)
        search, unseen = Notification.search, [[]]

        def look(*args, **options):
            "Do not see at first what another transaction writes"
            return unseen.pop() if unseen else search(*args, **options)
        self.post()
        with patch.object(Notification, 'search', look):
            response = self.post()
        self.assertFalse(unseen)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json, {'received': ['e1']})

    def post(self):
        return self.client().post(
            f'/{self.db_name}/orthanc/notify', data=json.dumps({
                    'server': self.server, 'events': [{
                            'event': 'e1', 'kind': 'deleted',
                            'study': 'abc'}]}),
            headers={
                'Authorization': f'Bearer {self.key}',
                'Content-Type': 'text/plain; charset=utf-8'})
