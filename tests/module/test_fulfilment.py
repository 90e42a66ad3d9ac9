# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows for orders and results when studies are linked."""

import datetime as dt
import json
from unittest.mock import patch

from trytond.ir import queue_
from trytond.modules.health_orthanc.common.transaction import now
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_server import queued
from .tools import (
    STUDY, OrthancTestCase, create_order, create_patient, create_series,
    create_server, create_study, create_user)

STEP = 'gnuhealth.imaging.procedure.step'
RESULT = 'gnuhealth.imaging.test.result'


class FulfilmentTestCase(OrthancTestCase):

    def study(self, **values):
        study = create_study(create_server(), **values)
        create_series(study, modality='CT')
        return study

    def link(self, study, **values):
        "Write what a person chooses"
        Study = Pool().get(STUDY)
        Study.write([Study(study.id)], values)
        return Study(study.id)

    def result(self, order):
        results = Pool().get(RESULT).search([('request', '=', order.id)])
        self.assertLessEqual(len(results), 1)
        return results[0] if results else None

    @with_transaction()
    def test_an_order_is_done(self):
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        self.assertEqual(study.patient, order.patient)
        self.assertEqual(study.link_status, 'manual')
        step, = order.steps
        self.assertEqual(step.state, 'completed')
        self.assertEqual(step.study, study)
        self.assertEqual(order.state, 'done')
        result = self.result(order)
        self.assertEqual(study.imaging_test, result)
        self.assertEqual(result.patient, order.patient)
        self.assertEqual(result.requested_test, order.requested_test)
        self.assertTrue(result.orthanc_unreported)

    @with_transaction()
    def test_unlinking_undoes_it(self):
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        study = self.link(study, patient=None)
        self.assertIsNone(study.request)
        self.assertIsNone(study.imaging_test)
        self.assertEqual(study.link_status, 'unlinked')
        step, = order.steps
        self.assertEqual(step.state, 'scheduled')
        self.assertIsNone(step.study)
        self.assertEqual(order.state, 'requested')
        self.assertIsNone(self.result(order))

    @with_transaction()
    def test_a_step_in_progress_is_so_again(self):
        order = create_order(requested=True)
        Pool().get(STEP).start(list(order.steps))
        study = self.link(self.study(), request=order.id)
        self.link(study, patient=None)
        self.assertEqual(order.steps[0].state, 'in_progress')

    @with_transaction()
    def test_moving_to_another_order(self):
        order, other = (
            create_order(requested=True), create_order(requested=True))
        study = self.link(self.study(), request=order.id)
        study = self.link(
            study, patient=other.patient.id, request=other.id)
        self.assertEqual(study.patient, other.patient)
        self.assertEqual(order.state, 'requested')
        self.assertEqual(other.state, 'done')
        self.assertIsNone(self.result(order))
        self.assertEqual(study.imaging_test, self.result(other))

    @with_transaction()
    def test_moving_to_another_patient(self):
        order, patient = create_order(requested=True), create_patient()
        study = self.link(self.study(), request=order.id)
        study = self.link(study, patient=patient.id)
        self.assertEqual(study.patient, patient)
        self.assertIsNone(study.request)
        self.assertIsNone(study.imaging_test)
        self.assertEqual(order.state, 'requested')

    @with_transaction()
    def test_a_written_result_is_kept_and_flagged(self):
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        doctor = create_user('doctor', 'health.group_health_doctor')
        Result = Pool().get(RESULT)
        result = self.result(order)
        with Transaction().set_user(doctor.id), Transaction().set_context(
                _check_access=True):
            Result.write([Result(result.id)], {'comment': "No fracture"})
        self.assertFalse(Result(result.id).orthanc_unreported)
        self.link(study, patient=None)
        result = Result(result.id)
        self.assertEqual(result.comment, "No fracture")
        self.assertTrue(result.orthanc_images_unlinked)
        self.assertFalse(result.orthanc_studies)

    @with_transaction()
    def test_an_existing_result_is_used(self):
        order = create_order(requested=True)
        result, = Pool().get(RESULT).create([{
                    'patient': order.patient.id,
                    'date': order.date,
                    'requested_test': order.requested_test.id,
                    'request': order.id,
                    'doctor': order.doctor.id,
                    'comment': "Written before the images came",
                    }])
        study = self.link(self.study(), request=order.id)
        self.assertEqual(study.imaging_test, result)
        self.assertFalse(result.orthanc_unreported)
        study = self.link(study, patient=None)
        result = Pool().get(RESULT)(result.id)
        self.assertEqual(result.comment, "Written before the images came")

    @with_transaction()
    def test_choosing_a_result_chooses_its_order(self):
        order = create_order(requested=True)
        result, = Pool().get(RESULT).create([{
                    'patient': order.patient.id,
                    'date': order.date,
                    'requested_test': order.requested_test.id,
                    'request': order.id,
                    'doctor': order.doctor.id,
                    }])
        study = self.link(self.study(), imaging_test=result.id)
        self.assertEqual(study.request, order)
        self.assertEqual(order.state, 'done')

    @with_transaction()
    def test_another_study_keeps_the_result(self):
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        other = self.link(self.study(), request=order.id)
        result = self.result(order)
        self.assertEqual(other.imaging_test, result)
        self.link(study, patient=None)
        self.assertEqual(self.result(order), result)
        self.assertFalse(self.result(order).orthanc_images_unlinked)

    @with_transaction()
    def test_steps_of_the_modality_are_completed(self):
        order = create_order(requested=True)
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': 'MR',
                    'station_aetitle': 'MR1'}])
        self.link(self.study(), request=order.id)
        self.assertEqual(
            [s.state for s in order.steps], ['completed', 'scheduled'])
        self.assertEqual(order.state, 'requested')

    @with_transaction()
    def test_the_steps_that_the_images_name_are_completed(self):
        order = create_order(requested=True)
        first, = order.steps
        Pool().get(STEP).create([{
                    'request': order.id, 'modality': first.modality,
                    'station_aetitle': 'CT1'}])
        self.link(
            self.study(notified_facts=json.dumps({'Series': [{
                            'RequestAttributes': [{
                                    'ScheduledProcedureStepID':
                                    first.step_id}]}]})),
            request=order.id)
        self.assertEqual(
            [s.state for s in order.steps], ['completed', 'scheduled'])

    @with_transaction()
    def test_the_steps_that_orthanc_lists_are_completed_without_a_plugin(self):
        order = create_order(requested=True)
        first, = order.steps
        Pool().get(STEP).create([{
                    'request': order.id, 'modality': first.modality,
                    'station_aetitle': 'CT1'}])
        study = self.study()
        study.server.new_plugin_key()
        create_series(study, modality='CT', request_attributes=json.dumps(
                [{'ScheduledProcedureStepID': first.step_id}]))
        self.link(study, request=order.id)
        self.assertEqual(
            [s.state for s in order.steps], ['completed', 'scheduled'])

    @with_transaction()
    def test_a_series_that_is_gone_names_no_step(self):
        "It was acquired under the wrong item, and deleted in Orthanc"
        order = create_order(requested=True)
        first, = order.steps
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': first.modality,
                    'station_aetitle': 'CT1'}])
        study = self.study()
        study.server.new_plugin_key()
        for step, missing in [(second, now()), (first, None)]:
            create_series(
                study, modality='CT', missing_since=missing,
                request_attributes=json.dumps(
                    [{'ScheduledProcedureStepID': step.step_id}]))
        self.link(study, request=order.id)
        self.assertEqual([first.state, second.state], [
                'completed', 'scheduled'])

    @with_transaction()
    def test_images_that_arrive_push_no_urgent_task(self):
        create_server(worklist_api=True, worklist_mode='rest')
        order = create_order(requested=True)
        study = self.study()
        before = len(queued('update_worklist'))
        with patch.object(queue_, 'has_worker', True):
            self.link(study, request=order.id)
        self.assertEqual(order.steps[0].state, 'completed')
        self.assertEqual(len(queued('update_worklist')), before)

    @with_transaction()
    def test_what_the_plugin_will_tell_of_steps_is_awaited(self):
        days = dt.timedelta(days=1)
        for given, updated, state in [
                (True, now(), 'scheduled'),
                (True, now() - 8 * days, 'completed'),
                (False, now(), 'completed')]:
            with self.subTest(given=given, updated=updated):
                order = create_order(requested=True)
                modality = order.steps[0].modality
                Pool().get(STEP).create([{
                            'request': order.id, 'modality': modality,
                            'station_aetitle': 'CT1'}])
                study = self.study(last_update=updated)
                if given:
                    study.server.new_plugin_key()
                self.link(study, request=order.id)
                self.assertEqual({s.state for s in order.steps}, {state})

    @with_transaction()
    def test_settling_twice_changes_nothing(self):
        from trytond.modules.health_orthanc.linking.fulfilment import (
            fulfil_orders)
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        result, steps = self.result(order), list(order.steps)
        for _ in range(5):
            fulfil_orders([study])
        self.assertEqual(self.result(order), result)
        self.assertEqual(list(order.steps), steps)
        self.assertEqual(order.state, 'done')

    @with_transaction()
    def test_history(self):
        order = create_order(requested=True)
        study = self.link(self.study(), request=order.id)
        study = self.link(study, patient=None)
        last, first = study.decisions
        self.assertEqual(first.status_from, 'unlinked')
        self.assertEqual(first.status_to, 'manual')
        self.assertEqual(first.request_to, order)
        self.assertEqual(first.patient_to, order.patient)
        self.assertEqual(first.user.id, Transaction().user)
        self.assertEqual(last.status_to, 'unlinked')
        self.assertEqual(last.request_from, order)
        with self.assertUserError('msg_decision_readonly'):
            first.__class__.write([first], {'reason': "Other"})
