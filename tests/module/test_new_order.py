# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health's wizard *New order*, and what follows in it."""

import datetime as dt
from contextlib import contextmanager

from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.common.exceptions import StudyTypeWarning
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_order import REQUEST, STEP
from .tools import (
    OrthancTestCase, create_order, create_patient, create_test, create_user)

WIZARD = 'gnuhealth.patient.imaging.test.request'


def fill_in(tests, **values):
    "Return a session of the wizard that has been filled in"
    Wizard = Pool().get(WIZARD, 'wizard')
    session = Wizard(Wizard.create()[0])
    for name, value in {
            'date': dt.datetime.now().replace(microsecond=0),
            'patient': create_patient(),
            'doctor': create_order().doctor,
            'context': None,
            'urgent': False,
            'tests': tests,
            **values}.items():
        setattr(session.start, name, value)
    return session


class NewOrderTestCase(OrthancTestCase):
    "From the wizard to the worklist"

    @with_transaction()
    def test_all_are_requested_with_one_click(self):
        tests = [create_test(), create_test()]
        session = fill_in(tests)
        self.assertEqual(session.transition_request(), 'placed')
        orders = session.placed.orders
        self.assertEqual([o.requested_test for o in orders], tests)
        self.assertEqual({o.state for o in orders}, {'draft'})
        shown = session.default_placed(None)
        self.assertEqual(shown['orders'], [o.id for o in orders])
        self.assertTrue(shown['may_request'])
        self.assertIn(orders[0].request, shown['message'])
        self.assertIsNone(shown['problem'])
        self.assertEqual(session.transition_request_now(), 'open_')
        orders = Pool().get(REQUEST).browse(orders)
        self.assertEqual({o.state for o in orders}, {'requested'})
        self.assertEqual(
            [o.orthanc_worklist for o in orders], ["On the worklist"] * 2)

    @with_transaction()
    def test_the_new_orders_and_no_others_are_shown(self):
        create_order(requested=True)
        session = fill_in([create_test()])
        session.transition_request()
        result = session._execute('open_')
        (action, _), = result['actions']
        self.assertEqual(action['res_model'], REQUEST)
        self.assertEqual(action['domains'], [])
        self.assertEqual(
            Pool().get(REQUEST).search(
                PYSONDecoder().decode(action['pyson_domain'])),
            list(session.placed.orders))

    @with_transaction()
    def test_drafts_may_stay(self):
        session = fill_in([create_test()])
        session.transition_request()
        session._execute('open_')
        order, = session.placed.orders
        self.assertEqual(order.state, 'draft')
        self.assertEqual(
            order.orthanc_worklist, "Draft: not on the worklist")

    @with_transaction()
    def test_whoever_orders_hears_what_is_missing(self):
        complete = create_test()
        incomplete = create_test(aetitle=None)
        session = fill_in([complete, incomplete])
        session.transition_request()
        problem = session.default_placed(None)['problem']
        self.assertIn(incomplete.name, problem)
        self.assertIn("AE Title", problem)
        self.assertNotIn(complete.name, problem)
        session.transition_request_now()
        self.assertEqual(
            [o.orthanc_worklist for o in session.placed.orders],
            ["On the worklist", "Fill in: Station AE Title."])

    @with_transaction()
    def test_a_former_order_with_the_number_is_left_alone(self):
        # As after somebody has reset the sequence
        session = fill_in([create_test()])
        session.transition_request()
        order, = session.placed.orders
        former = create_order(request=order.request, patient=order.patient)
        self.assertEqual(former.request, order.request)
        self.assertEqual(
            [o.id for o in session._find_placed()], [former.id])
        Pool().get(REQUEST).requested([former])
        self.assertEqual(session._find_placed(), [order])

    @with_transaction()
    def test_who_may_not_request_is_not_asked(self):
        user = create_user('clerk', 'health_orthanc.group_imaging_orthanc')
        session = fill_in([create_test()])
        session.transition_request()
        with Transaction().set_user(user.id), \
                Transaction().set_context(_check_access=True):
            shown = session.default_placed(None)
            self.assertFalse(shown['may_request'])
            self.assertNotIn('?', shown['message'])
            with self.assertRaises(AccessError):
                session.transition_request_now()

    @with_transaction()
    def test_others_hear_nothing_of_orders_that_they_name(self):
        user = create_user('frontdesk', 'health.group_health_frontdesk')
        session = fill_in([create_test(aetitle=None)])
        session.transition_request()
        with Transaction().set_user(user.id), \
                Transaction().set_context(_check_access=True), \
                self.assertRaises(AccessError):
            session.default_placed(None)

    @with_transaction()
    def test_what_the_client_sends_of_an_order_is_read_anew(self):
        Request = Pool().get(REQUEST)
        canceled = create_order()
        Request.cancel_order([canceled])
        session = fill_in([create_test()])
        session.transition_request()
        session.placed.orders = [Request(canceled.id, state='draft')]
        session.transition_request_now()
        self.assertEqual(Request(canceled.id).state, 'canceled')


class RejectTestCase(OrthancTestCase):
    "A study is rejected and ordered again"

    @staticmethod
    def wizard(step):
        Wizard = Pool().get(
            'gnuhealth.imaging.procedure.step.reject', 'wizard')
        session = Wizard(Wizard.create()[0])
        session.start.reason = "The patient moved"
        return session, Transaction().set_context(
            active_model=STEP, active_id=step.id, active_ids=[step.id])

    @with_transaction()
    def test_at_once(self):
        order = create_order(requested=True)
        step, = order.steps
        session, context = self.wizard(step)
        with context:
            self.assertTrue(session.default_start(None)['may_repeat'])
            (action, _), = session._execute('repeat')['actions']
        order = Pool().get(REQUEST)(order.id)
        self.assertEqual(order.steps[0].state, 'rejected')
        self.assertEqual(action['res_id'], [order.replaced_by.id])
        self.assertEqual(order.replaced_by.state, 'requested')

    @with_transaction()
    def test_not_while_another_step_is_open(self):
        order = create_order(requested=True)
        Step = Pool().get(STEP)
        other, = Step.create([{'request': order.id}])
        session, context = self.wizard(order.steps[0])
        with context:
            self.assertFalse(session.default_start(None)['may_repeat'])
            with self.assertUserError('msg_request_open'):
                session._execute('repeat')

    @with_transaction()
    def test_a_reason_is_needed(self):
        step, = create_order(requested=True).steps
        session, context = self.wizard(step)
        session.start.reason = " "
        with context, self.assertUserError('msg_step_reason'):
            session._execute('repeat')


class StudyTypeTestCase(OrthancTestCase):
    "An administrator clears what puts orders on the worklist"

    @contextmanager
    def assertWarned(self, test, field):
        with self.assertRaises(StudyTypeWarning) as raised:
            yield
        self.assertIn(test.name, raised.exception.message)
        self.assertIn(field, raised.exception.message)

    @with_transaction()
    def test_clearing_the_ae_title(self):
        test = create_test()
        with self.assertWarned(test, "AE Title"):
            test.aetitle = None
            test.save()

    @with_transaction()
    def test_clearing_the_modality(self):
        Type = Pool().get('gnuhealth.imaging.test.type')
        type_, = Type.create([{'code': 'OTHERS', 'name': "Others"}])
        test = create_test(orthanc_modality='OT', test_type=type_.id)
        with self.assertWarned(test, "Modality"):
            test.orthanc_modality = None
            test.save()

    @with_transaction()
    def test_nothing_new_is_missing(self):
        # The type tells the modality
        test = create_test(orthanc_modality='CT')
        test.orthanc_modality = None
        test.save()
        # It had none before
        test = create_test(aetitle=None)
        test.aetitle = ''
        test.save()
        test = create_test(active=False)
        test.aetitle = None
        test.save()

    @with_transaction()
    def test_it_may_be_saved_nevertheless(self):
        test = create_test()
        Warning = Pool().get('res.user.warning')
        with self.assertRaises(StudyTypeWarning) as raised:
            test.aetitle = None
            test.save()
        Warning.create([{
                    'user': Transaction().user,
                    'name': raised.exception.name, 'always': False}])
        test.aetitle = None
        test.save()


class WorklistStateTestCase(OrthancTestCase):
    "What the list of orders tells of the worklist"

    @with_transaction()
    def test_states(self):
        Step = Pool().get(STEP)
        done = create_order(requested=True)
        Step.complete(list(done.steps))
        later = create_order(
            requested=True,
            date=dt.datetime.now() + dt.timedelta(days=365))
        requested = create_order(requested=True)
        rejected = create_order(requested=True)
        Step.reject_because(list(rejected.steps), "Blurred")
        orders = Pool().get(REQUEST).browse(
            [done, later, requested, rejected])
        self.assertEqual(
            [o.orthanc_worklist for o in orders],
            [None, "Outside the time window of the worklist",
                "On the worklist", "Rejected\nBlurred"])
        # Nobody has to order it again any more
        Pool().get(REQUEST).repeat_order([rejected])
        self.assertIsNone(rejected.orthanc_worklist)
