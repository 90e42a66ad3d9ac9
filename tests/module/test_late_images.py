# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of an order that was canceled: somebody decides what they mean."""

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import AccessTestCase
from .tools import (
    STUDY, OrthancTestCase, Refused, create_order, create_patient,
    create_series, create_server, create_study, create_user, match_study)

STEP = 'gnuhealth.imaging.procedure.step'
RESULT = 'gnuhealth.imaging.test.result'
REQUEST = 'gnuhealth.imaging.test.request'


def late_study(order, modality='CT', **values):
    "Return the study that a modality has made for an order"
    party = order.patient.party
    study = create_study(create_server(), **{
            'study_instance_UID': order.study_instance_uid,
            'accession_number': order.accession_number,
            'patient_id': party.ref,
            'patient_name': f'{party.lastname}^{party.name}',
            'patient_birth_date': party.dob,
            'patient_sex': (party.gender or '').upper() or None,
            'date': order.date.date(),
            **values})
    create_series(study, modality=modality)
    return study


class LateImagesTestCase(OrthancTestCase):

    def canceled(self, **values):
        "Return an order that was requested and canceled"
        order = create_order(
            create_patient(**values), requested=True)
        Pool().get(REQUEST).cancel_order([order])
        self.assertEqual(self.state(order), 'canceled')
        return order

    def state(self, order):
        return Pool().get(REQUEST)(order.id).state

    def waiting(self):
        "Return the orders of the tab"
        return Pool().get(REQUEST).search(
            [('orthanc_late_images', '=', True)])

    def results(self, order):
        return Pool().get(RESULT).search([('request', '=', order.id)])

    @with_transaction()
    def test_the_order_waits_for_somebody(self):
        order, other = self.canceled(), self.canceled()
        study = match_study(late_study(order))
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.request, order)
        self.assertEqual(self.state(order), 'canceled')
        self.assertEqual(self.waiting(), [order])
        Request = Pool().get(REQUEST)
        self.assertTrue(Request(order.id).orthanc_late_images)
        self.assertFalse(Request(other.id).orthanc_late_images)
        self.assertIn(other, Request.search(
                [('orthanc_late_images', '=', False)]))
        # Its images are to be read
        result, = self.results(order)
        self.assertTrue(result.orthanc_unreported)

    @with_transaction()
    def test_the_tab_shows_it(self):
        Domain = Pool().get('ir.action.act_window.domain')
        tab, = Domain.search([('name', '=', "Late Images")])
        self.assertTrue(tab.count)
        self.assertEqual(
            tab.act_window.res_model, REQUEST)

    @with_transaction()
    def test_acquired_after_all(self):
        order = self.canceled()
        study = match_study(late_study(order))
        user = create_user('radiographer')
        with Transaction().set_user(user.id):
            Pool().get(REQUEST).complete_canceled([order])
        self.assertEqual(self.state(order), 'done')
        step, = order.steps
        self.assertEqual(step.state, 'completed')
        self.assertEqual(step.study, study)
        self.assertFalse(self.waiting())
        last = Pool().get(STUDY)(study.id).decisions[0]
        self.assertEqual((last.event, last.user), ('acquired', user))
        match_study(study)
        self.assertEqual(self.state(order), 'done')

    @with_transaction()
    def test_unlinking_cancels_it_again(self):
        order = self.canceled()
        study = match_study(late_study(order))
        Pool().get(REQUEST).complete_canceled([order])
        Pool().get(STUDY).write([study], {'patient': None})
        self.assertEqual(self.state(order), 'canceled')
        self.assertEqual(order.steps[0].state, 'canceled')
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_kept_canceled(self):
        order = self.canceled()
        study = match_study(late_study(order))
        Pool().get(REQUEST).keep_canceled([order])
        self.assertEqual(self.state(order), 'canceled')
        self.assertFalse(self.waiting())
        study = Pool().get(STUDY)(study.id)
        self.assertEqual(study.request, order)
        self.assertEqual(study.decisions[0].event, 'kept_canceled')
        # Nobody is to read what was not ordered
        self.assertFalse(self.results(order))
        # It is not asked again, but of other images
        create_series(study, modality='CT')
        match_study(study)
        self.assertFalse(self.waiting())
        self.assertFalse(self.results(order))
        match_study(late_study(order, study_instance_UID='1.2.3.999'))
        self.assertEqual(self.waiting(), [order])

    @with_transaction()
    def test_a_report_is_kept(self):
        order = self.canceled()
        match_study(late_study(order))
        Result = Pool().get(RESULT)
        Result.write(self.results(order), {
                'comment': "No fracture", 'orthanc_unreported': False})
        Pool().get(REQUEST).keep_canceled([order])
        result, = self.results(order)
        self.assertEqual(result.comment, "No fracture")
        self.assertFalse(result.orthanc_images_unlinked)

    @with_transaction()
    def test_documents_are_no_images(self):
        order = self.canceled()
        study = match_study(late_study(order, modality='DOC'))
        self.assertEqual(study.request, order)
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_unlinking_ends_the_wait(self):
        order = self.canceled()
        study = match_study(late_study(order))
        Pool().get(STUDY).write([study], {'patient': None})
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_reopening_ends_the_wait(self):
        order = self.canceled()
        study = match_study(late_study(order))
        Pool().get(STEP).reopen(list(order.steps))
        self.assertFalse(self.waiting())
        match_study(study)
        self.assertEqual(self.state(order), 'done')
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_a_canceled_step_that_the_images_name(self):
        order = create_order(requested=True)
        first, = order.steps
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': first.modality,
                    'station_aetitle': 'CT1'}])
        Step = Pool().get(STEP)
        Step.cancel([second])
        study = match_study(late_study(order), [second.step_id])
        self.assertEqual(study.request, order)
        self.assertEqual(self.waiting(), [order])
        Pool().get(REQUEST).complete_canceled([order])
        self.assertEqual(
            [s.state for s in order.steps], ['scheduled', 'completed'])
        self.assertEqual(self.state(order), 'requested')
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_images_of_the_other_step_say_nothing(self):
        order = create_order(requested=True)
        first, = order.steps
        second, = Pool().get(STEP).create([{
                    'request': order.id, 'modality': first.modality,
                    'station_aetitle': 'CT1'}])
        Pool().get(STEP).cancel([second])
        match_study(late_study(order), [first.step_id])
        self.assertEqual(self.state(order), 'done')
        self.assertFalse(self.waiting())

    @with_transaction()
    def test_an_order_without_steps(self):
        order = create_order(requested=True)
        Step = Pool().get(STEP)
        Step.delete(list(order.steps))
        Request = Pool().get(REQUEST)
        Request.cancel_order([Request(order.id)])
        self.assertEqual(self.state(order), 'canceled')
        study = match_study(late_study(order))
        self.assertEqual(self.waiting(), [order])
        Request.complete_canceled([order])
        self.assertEqual(self.state(order), 'done')
        step, = Request(order.id).steps
        self.assertEqual(step.study, study)

    @with_transaction()
    def test_nobody_completes_a_canceled_step_by_hand(self):
        order = self.canceled()
        Step = Pool().get(STEP)
        Request = Pool().get(REQUEST)
        done = create_order(requested=True)
        Step.complete(list(done.steps))
        Step.cancel(list(done.steps))
        self.assertEqual(self.state(done), 'done')
        # Without images the buttons do nothing
        Request.complete_canceled([order])
        Request.keep_canceled([order])
        self.assertEqual(self.state(order), 'canceled')


class AccessToLateImagesTestCase(AccessTestCase):

    def test_who_decides(self):
        with Transaction().start(self.db_name, 1) as transaction:
            order = create_order(self.patient, requested=True)
            Pool().get(REQUEST).cancel_order([order])
            transaction.commit()
        allowed = {
            'doctor', 'radiographer', 'head', 'clerk', 'administrator'}
        for login in self.users:
            for button in ['complete_canceled', 'keep_canceled']:
                with self.subTest(user=login, button=button):
                    if login in allowed:
                        self.as_(login).model(REQUEST, button, [order.id])
                    else:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                REQUEST, button, [order.id])
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(
                        'gnuhealth.imaging_orthanc.late_images', 'read', [1],
                        ['request'])
