# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders, the steps that they consist of, and what follows from these."""

import datetime as dt

from trytond import backend
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    OrthancTestCase, create_order, create_patient, create_test, create_user,
    record_id)

STEP = 'gnuhealth.imaging.procedure.step'
REQUEST = 'gnuhealth.imaging.test.request'
CONFIGURATION = 'gnuhealth.imaging.worklist.configuration'


def add_step(request, **values):
    step, = Pool().get(STEP).create([{'request': request.id, **values}])
    return step


def set_sequence(**values):
    Sequence = Pool().get('ir.sequence')
    sequence = Pool().get(CONFIGURATION)(1).accession_sequence
    Sequence.write([sequence], values)


class OrderTestCase(OrthancTestCase):
    "Placing orders"

    @with_transaction()
    def test_is_found_by_what_it_is_called(self):
        order, other = (
            create_order(create_patient(family))
            for family in ["Muster", "Esimerkki"])
        for text in [
                order.accession_number, order.requested_test.rec_name,
                order.doctor.rec_name]:
            self.assertIn(text, order.rec_name)
        Request = Pool().get(REQUEST)
        for text in [order.accession_number, "Muster"]:
            self.assertEqual(
                Request.search([('rec_name', '=', text)]), [order])
            self.assertEqual(
                Request.search([('rec_name', '!=', text)]), [other])

    @with_transaction()
    def test_own_orders(self):
        "Those that a user has made, and those of the physician who it is"
        pool = Pool()
        Request = pool.get(REQUEST)
        of_physician = create_order()
        physician, clerk = (
            create_user(
                login, 'health.group_health_doctor',
                'health_imaging.group_health_imaging')
            for login in ['physician', 'clerk'])
        pool.get('party.party').write(
            [of_physician.doctor.party], {'internal_user': physician.id})
        party, = pool.get('party.party').create([{
                    'name': "Dora", 'lastname': "Muster", 'is_person': True,
                    'is_healthprof': True, 'gender': 'f',
                    'fed_country': 'XXX'}])
        other, = pool.get('gnuhealth.healthprofessional').create(
            [{'party': party.id}])
        with Transaction().set_user(clerk.id):
            of_clerk = create_order(doctor=other.id)
        nobodys = create_order(doctor=other.id)
        everything = {of_physician, of_clerk, nobodys}
        for user, own in [
                (physician, {of_physician}), (clerk, {of_clerk})]:
            with Transaction().set_user(user.id), \
                    Transaction().set_context(_check_access=True), \
                    self.subTest(user=user.login):
                found = Request.search([('is_own', '=', True)])
                self.assertEqual(set(found), own)
                self.assertEqual(
                    set(Request.search([('is_own', '=', False)])),
                    everything - own)
                self.assertEqual(
                    {o for o in Request.browse(list(everything))
                        if o.is_own}, own)

    @with_transaction()
    def test_the_wizard_makes_steps(self):
        pool = Pool()
        Wizard = pool.get('gnuhealth.patient.imaging.test.request', 'wizard')
        Request = pool.get(REQUEST)
        patient = create_patient()
        tests = [
            create_test(aetitle='CT1', orthanc_modality='CT',
                orthanc_station_name="Siemens", orthanc_location="Room 2",
                orthanc_step_description="Head without contrast",
                orthanc_duration=dt.timedelta(minutes=40)),
            create_test(aetitle='US1', orthanc_modality='US'),
            ]
        order = create_order(patient)
        start = dt.datetime(2026, 3, 4, 10, 30)
        session_id, _, _ = Wizard.create()
        session = Wizard(session_id)
        session.start.date = start
        session.start.patient = patient
        session.start.doctor = order.doctor
        session.start.context = None
        session.start.urgent = True
        session.start.tests = tests
        session.transition_request()
        requests = Request.search([
                ('requested_test', 'in', [t.id for t in tests])])
        self.assertEqual(len(requests), 2)
        self.assertEqual(len({r.request for r in requests}), 1)
        for name in ['accession_number', 'study_instance_uid', 'merge_id']:
            with self.subTest(name=name):
                values = {getattr(r, name) for r in requests}
                self.assertEqual(len(values - {None}), 2)
        by_test = {r.requested_test: r for r in requests}
        step, = by_test[tests[0]].steps
        self.assertEqual(step.state, 'scheduled')
        self.assertEqual(step.modality, 'CT')
        self.assertEqual(step.station_aetitle, 'CT1')
        self.assertEqual(step.station_name, "Siemens")
        self.assertEqual(step.location, "Room 2")
        self.assertEqual(step.description, "Head without contrast")
        self.assertEqual(step.scheduled_at, start)
        self.assertEqual(
            step.scheduled_end, start + dt.timedelta(minutes=40))
        step, = by_test[tests[1]].steps
        self.assertEqual(step.description, tests[1].name)

    @with_transaction()
    def test_numbers_are_given_at_once(self):
        order = create_order()
        self.assertRegex(order.accession_number, r'^GH[0-9]{8}$')
        self.assertRegex(order.study_instance_uid, r'^2\.25\.[0-9]+$')
        self.assertLessEqual(len(order.study_instance_uid), 64)
        self.assertEqual(order.merge_id, order.study_instance_uid)
        self.assertEqual(order.state, 'draft')
        self.assertEqual(order.worklist_status, 'todo')

    @with_transaction()
    def test_a_merge_id_that_is_a_uid_is_the_study_uid(self):
        order = create_order(merge_id='1.2.3.4')
        self.assertEqual(order.study_instance_uid, '1.2.3.4')
        other = create_order(merge_id='1.2.3.4')
        self.assertNotEqual(other.study_instance_uid, '1.2.3.4')
        text = create_order(merge_id='Merge me')
        self.assertEqual(text.merge_id, 'Merge me')
        self.assertNotEqual(text.study_instance_uid, 'Merge me')

    @with_transaction()
    def test_the_sequence_may_be_changed(self):
        set_sequence(prefix='CLINIC-', padding=5)
        self.assertRegex(
            create_order().accession_number, '^CLINIC-[0-9]{5}$')

    @with_transaction()
    def test_a_sequence_that_was_set_back_is_passed_on(self):
        first = create_order()
        set_sequence(number_next=int(first.accession_number[2:]))
        self.assertNotEqual(
            create_order().accession_number, first.accession_number)

    @with_transaction()
    def test_a_sequence_that_is_too_long_is_told(self):
        set_sequence(prefix='MUCH-TOO-LONG-')
        with self.assertUserError('msg_sequence_unusable', "sequence"):
            create_order()

    @with_transaction()
    def test_copies_are_orders_of_their_own(self):
        Request = Pool().get(REQUEST)
        order = create_order(requested=True)
        Pool().get(STEP).complete(list(order.steps))
        self.assertEqual(order.state, 'done')
        copy, = Request.copy([order])
        self.assertEqual(copy.state, 'draft')
        self.assertEqual(copy.worklist_status, 'todo')
        for name in ['accession_number', 'study_instance_uid', 'merge_id']:
            with self.subTest(name=name):
                self.assertTrue(getattr(copy, name))
                self.assertNotEqual(
                    getattr(copy, name), getattr(order, name))
        step, = copy.steps
        self.assertEqual(step.state, 'scheduled')
        self.assertNotEqual(step.step_id, order.steps[0].step_id)

    @with_transaction()
    def test_steps_of_a_draft_follow_it(self):
        Request = Pool().get(REQUEST)
        order = create_order()
        date = dt.datetime(2027, 1, 2, 8)
        test = create_test(aetitle='MR1', orthanc_modality='MR')
        Request.write([order], {'requested_test': test.id, 'date': date})
        step, = order.steps
        self.assertEqual(step.modality, 'MR')
        self.assertEqual(step.station_aetitle, 'MR1')
        self.assertEqual(step.scheduled_at, date)

    @with_transaction()
    def test_steps_of_a_request_follow_it_until_they_are_begun(self):
        Request = Pool().get(REQUEST)
        order = create_order(requested=True)
        begun = add_step(order)
        Pool().get(STEP).start([begun])
        start = begun.scheduled_at
        date = dt.datetime(2027, 1, 2, 8)
        Request.write([order], {'date': date})
        self.assertEqual(
            [s.scheduled_at for s in Request(order.id).steps], [date, start])

    @with_transaction()
    def test_steps_that_somebody_edited_stay(self):
        pool = Pool()
        order = create_order()
        date = dt.datetime(2027, 1, 2, 8)
        user = create_user('doctor1', 'health.group_health_doctor')
        with Transaction().set_user(user.id), Transaction().set_context(
                _check_access=True):
            Step = pool.get(STEP)
            Step.write(
                Step.browse([s.id for s in order.steps]),
                {'scheduled_at': date})
        pool.get(REQUEST).write(
            [order], {'date': dt.datetime(2027, 3, 4, 8)})
        self.assertEqual(
            pool.get(STEP)(order.steps[0].id).scheduled_at, date)

    @with_transaction()
    def test_modality_of_the_type_is_understood(self):
        for type_, expected in [
                ('gnuhealth_test_type_ctscan', 'CT'),
                ('gnuhealth_test_type_xray', 'DX')]:
            with self.subTest(type=type_):
                test = create_test(
                    test_type=record_id(type_, 'health_imaging'))
                step, = create_order(requested_test=test.id).steps
                self.assertEqual(step.modality, expected)

    @with_transaction()
    def test_orders_that_were_carried_out_stay(self):
        order = create_order(requested=True)
        Pool().get(STEP).complete(list(order.steps))
        with self.assertUserError('msg_request_delete'):
            Pool().get(REQUEST).delete([order])

    @with_transaction()
    def test_the_patient_stays_once_images_are_made(self):
        "They name the patient of the worklist item"
        pool = Pool()
        Request, Step = pool.get(REQUEST), pool.get(STEP)
        order = create_order(requested=True)
        first, other = order.patient, create_patient()
        with Transaction().set_context(_check_access=True):
            Request.write([order], {'patient': other.id})
            Request.write([order], {'patient': first.id})
        Step.start(list(order.steps))
        with Transaction().set_context(_check_access=True):
            with self.assertUserError('msg_request_patient'):
                Request.write([order], {'patient': other.id})
        self.assertEqual(Request(order.id).patient, first)

    @with_transaction()
    def test_recent_orders_are_opened_at_activation(self):
        pool = Pool()
        Request, Step = pool.get(REQUEST), pool.get(STEP)
        Configuration = pool.get(CONFIGURATION)
        now = dt.datetime.now().replace(microsecond=0)
        orders = {
            name: create_order(
                date=now - dt.timedelta(days=days), state=state)
            for name, days, state in [
                ('recent', 6, 'requested'), ('old', 8, 'requested'),
                ('draft', 1, 'draft'), ('done', 1, 'done')]}
        # As the orders were before the module
        table, step = Request.__table__(), Step.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*step.delete())
        cursor.execute(*table.update(
                [table.accession_number, table.study_instance_uid],
                [None, None]))
        cursor.execute(*table.update([table.state], ['draft'],
                where=table.id == orders['draft'].id))
        Transaction().cache.clear()
        Configuration.delete([Configuration.get_singleton()])
        Configuration.create([{}])
        orders = {
            name: Request(order.id) for name, order in orders.items()}
        self.assertEqual(
            {name for name, order in orders.items() if order.steps},
            {'recent'})
        self.assertTrue(orders['recent'].accession_number)
        self.assertFalse(orders['old'].accession_number)
        Request.requested([orders['draft']])
        self.assertTrue(Request(orders['draft'].id).steps)
        self.assertTrue(Request(orders['draft'].id).accession_number)


class WorkflowTestCase(OrthancTestCase):
    "What follows from the steps of an order"

    @with_transaction()
    def test_drafts_are_not_started(self):
        order = create_order()
        for button in ['start', 'complete']:
            with self.subTest(button=button):
                with self.assertUserError('msg_step_not_requested'):
                    getattr(Pool().get(STEP), button)(list(order.steps))
        with self.assertUserError('msg_step_not_requested'):
            Pool().get(STEP).reject_because(list(order.steps), "Blurred")

    @with_transaction()
    def test_a_draft_can_be_canceled_and_reopened(self):
        order = create_order()
        Step = Pool().get(STEP)
        Step.cancel(list(order.steps))
        self.assertEqual(order.state, 'canceled')
        Step.reopen(list(order.steps))
        self.assertEqual(order.state, 'draft')

    @with_transaction()
    def test_states(self):
        "The order follows all of its steps"
        Step = Pool().get(STEP)

        def reject(steps):
            Step.reject_because(steps, "Blurred")

        def leave(steps):
            pass

        for actions, expected in [
                ([Step.complete, leave], ('requested', 'todo', False)),
                ([Step.complete, Step.start], ('requested', 'todo', False)),
                ([Step.complete, Step.complete], ('done', 'done', False)),
                ([Step.complete, Step.cancel], ('done', 'done', False)),
                ([Step.complete, reject], ('done', 'done', False)),
                ([reject, leave], ('requested', 'todo', False)),
                ([reject, reject], ('requested', 'canceled', True)),
                ([reject, Step.cancel], ('requested', 'canceled', True)),
                ([Step.cancel, Step.cancel],
                    ('canceled', 'canceled', False)),
                ]:
            order = create_order(requested=True)
            steps = [*order.steps, add_step(order)]
            for action, step in zip(actions, steps):
                action([step])
            with self.subTest(states=[s.state for s in steps]):
                self.assertEqual(
                    (order.state, order.worklist_status, order.to_repeat),
                    expected)

    @with_transaction()
    def test_a_step_that_is_added_opens_the_repeat_order(self):
        order = create_order(requested=True)
        Pool().get(STEP).complete(list(order.steps))
        self.assertEqual(order.state, 'done')
        step = add_step(order)
        self.assertEqual(order.state, 'requested')
        self.assertEqual(step.number, 2)
        self.assertEqual(order.worklist_status, 'todo')

    @with_transaction()
    def test_a_rejection_is_told(self):
        order = create_order(requested=True)
        step, = order.steps
        Step = Pool().get(STEP)
        for reason in ['', None, ' \n']:
            with self.subTest(reason=reason):
                with self.assertUserError('msg_step_reason'):
                    Step.reject_because([step], reason)
        user = create_user('reject', 'health_imaging.group_health_imaging')
        with Transaction().set_user(user.id):
            Step.reject_because([Step(step.id)], " Patient moved ")
        step = Step(step.id)
        self.assertEqual(step.rejection_reason, "Patient moved")
        self.assertEqual(step.rejected_by, user)
        self.assertIsNotNone(step.ended_at)

    @with_transaction()
    def test_repeat_order(self):
        pool = Pool()
        Request, Step = pool.get(REQUEST), pool.get(STEP)
        order = create_order(requested=True)
        second = add_step(
            order, modality='MR', station_aetitle='MR2',
            description="Second")
        Step.complete([order.steps[0]])
        Step.reject_because([second], "Blurred")
        Request.repeat_order([order])
        replacement = order.replaced_by
        self.assertEqual(replacement.replaces, order)
        self.assertEqual(replacement.state, 'requested')
        self.assertNotEqual(
            replacement.accession_number, order.accession_number)
        self.assertNotEqual(
            replacement.study_instance_uid, order.study_instance_uid)
        self.assertEqual(replacement.patient, order.patient)
        step, = replacement.steps
        self.assertEqual(step.state, 'scheduled')
        self.assertEqual(step.description, "Second")
        self.assertEqual(step.station_aetitle, 'MR2')
        self.assertIsNone(step.rejection_reason)
        self.assertFalse(order.to_repeat)

    @with_transaction()
    def test_an_order_is_repeated_once(self):
        Request = Pool().get(REQUEST)
        order = create_order(requested=True)
        Pool().get(STEP).reject_because(list(order.steps), "Blurred")
        self.assertTrue(order.to_repeat)
        Request.repeat_order([order])
        Request.repeat_order([order])
        self.assertEqual(
            Request.search([('replaces', '=', order.id)], count=True), 1)

    @with_transaction()
    def test_what_is_open_is_not_ordered_again(self):
        pool = Pool()
        Request, Step = pool.get(REQUEST), pool.get(STEP)
        draft = create_order()
        order = create_order(requested=True)
        Step.reject_because([add_step(order)], "Blurred")
        for one in [draft, order]:
            with self.subTest(state=one.state):
                with self.assertUserError('msg_request_open'):
                    Request.repeat_order([one])
        Step.start([order.steps[0]])
        with self.assertUserError('msg_request_open'):
            Request.repeat_order([order])

    @with_transaction()
    def test_what_was_canceled_is_not_done_again_with_the_rest(self):
        pool = Pool()
        Request, Step = pool.get(REQUEST), pool.get(STEP)
        order = create_order(requested=True)
        Step.cancel([add_step(order)])
        Step.complete([order.steps[0]])
        Request.repeat_order([order])
        self.assertEqual(len(order.replaced_by.steps), 1)
        order = create_order(requested=True)
        Request.cancel_order([order])
        Request.repeat_order([order])
        self.assertEqual(len(order.replaced_by.steps), 1)

    @with_transaction()
    def test_a_result_by_hand_closes_the_steps(self):
        order = create_order(requested=True)
        Pool().get(REQUEST).done([order])
        self.assertEqual(order.state, 'done')
        self.assertEqual([s.state for s in order.steps], ['completed'])
        self.assertEqual(order.worklist_status, 'done')

    @with_transaction()
    def test_steps_follow_a_status_that_others_write(self):
        for status, state in [('done', 'completed'), ('canceled', 'canceled')]:
            with self.subTest(status=status):
                order = create_order(requested=True)
                Pool().get(REQUEST).write(
                    [order], {'worklist_status': status})
                self.assertEqual([s.state for s in order.steps], [state])

    @with_transaction()
    def test_an_order_is_canceled_at_once(self):
        order = create_order(requested=True)
        add_step(order)
        Pool().get(REQUEST).cancel_order([order])
        self.assertEqual(order.state, 'canceled')
        self.assertEqual({s.state for s in order.steps}, {'canceled'})

    @with_transaction()
    def test_what_is_done_is_not_canceled_with_the_rest(self):
        order = create_order(requested=True)
        Pool().get(STEP).complete(list(order.steps))
        add_step(order)
        Pool().get(REQUEST).cancel_order([order])
        self.assertEqual(
            sorted(s.state for s in order.steps), ['canceled', 'completed'])
        self.assertEqual(order.state, 'done')

    @with_transaction()
    def test_carried_out_steps_are_not_deleted(self):
        Step = Pool().get(STEP)
        order = create_order(requested=True)
        Step.complete(list(order.steps))
        with self.assertUserError('msg_step_delete'):
            Step.delete(list(order.steps))


class ConcurrencyTestCase(OrthancTestCase):
    "Two people at the same order at the same time"

    def order(self, steps=2):
        with Transaction().start(self.db_name, 1) as transaction:
            order = create_order(requested=True)
            for _ in range(steps - 1):
                add_step(order)
            transaction.commit()
            return order.id, [s.id for s in order.steps]

    def overlap(self, id_, first, second):
        """Let somebody begin before another one ends, and act behind him.

        He is to be stopped, as he has not seen what the other one did; then
        he begins again.
        """
        with Transaction().start(self.db_name, 1) as transaction:
            self.state(id_)
            with transaction.new_transaction() as other:
                first()
                other.commit()
            if backend.name == 'postgresql':
                with self.assertRaises(backend.DatabaseOperationalError):
                    second()
                transaction.rollback()
            else:
                second()
                transaction.commit()
                return
        with Transaction().start(self.db_name, 1) as transaction:
            second()
            transaction.commit()

    def state(self, id_):
        order = Pool().get(REQUEST)(id_)
        return (
            order.state, order.worklist_status,
            sorted(s.state for s in order.steps))

    def press(self, button, id_):
        def action():
            Step = Pool().get(STEP)
            getattr(Step, button)([Step(id_)])
        return action

    def add(self, id_):
        def action():
            add_step(Pool().get(REQUEST)(id_))
        return action

    def assertState(self, id_, *expected):
        with Transaction().start(self.db_name, 1):
            self.assertEqual(self.state(id_), expected)

    def test_the_last_two_steps_are_completed(self):
        id_, (one, two) = self.order()
        self.overlap(
            id_, self.press('complete', one), self.press('complete', two))
        self.assertState(id_, 'done', 'done', ['completed'] * 2)

    def test_a_step_is_added_while_the_last_one_is_completed(self):
        id_, (one,) = self.order(1)
        self.overlap(id_, self.press('complete', one), self.add(id_))
        self.assertState(
            id_, 'requested', 'todo', ['completed', 'scheduled'])

    def test_the_last_step_is_completed_while_one_is_added(self):
        id_, (one,) = self.order(1)
        self.overlap(id_, self.add(id_), self.press('complete', one))
        self.assertState(
            id_, 'requested', 'todo', ['completed', 'scheduled'])

    def test_a_step_is_deleted_while_the_other_is_canceled(self):
        id_, (one, two) = self.order()
        self.overlap(
            id_, self.press('cancel', one), self.press('delete', two))
        self.assertState(id_, 'canceled', 'canceled', ['canceled'])

    def test_a_step_is_rejected_while_another_is_completed(self):
        id_, (one, two) = self.order()

        def reject():
            Step = Pool().get(STEP)
            Step.reject_because([Step(two)], "Blurred")
        self.overlap(id_, self.press('complete', one), reject)
        self.assertState(id_, 'done', 'done', ['completed', 'rejected'])

    def test_an_order_is_canceled_while_a_step_is_added(self):
        id_, _ = self.order(1)

        def cancel():
            Request = Pool().get(REQUEST)
            Request.cancel_order([Request(id_)])
        self.overlap(id_, self.add(id_), cancel)
        self.assertState(id_, 'canceled', 'canceled', ['canceled'] * 2)

    def test_an_order_is_repeated_by_two(self):
        id_, (one,) = self.order(1)
        with Transaction().start(self.db_name, 1) as transaction:
            Step = Pool().get(STEP)
            Step.reject_because([Step(one)], "Blurred")
            transaction.commit()
        shown = []

        def repeat():
            Request = Pool().get(REQUEST)
            action = Request.repeat_order([Request(id_)])
            shown.append(action['res_id'])
        self.overlap(id_, repeat, repeat)
        with Transaction().start(self.db_name, 1):
            replacement, = Pool().get(REQUEST).search([
                    ('replaces', '=', id_)])
            self.assertEqual(shown, [[replacement.id]] * 2)
            self.assertEqual(len(replacement.steps), 1)


class ScheduleTestCase(OrthancTestCase):
    "When steps are due"

    def step(self, **delta):
        order = create_order(requested=True)
        now = dt.datetime.now().replace(microsecond=0)
        Pool().get(STEP).write(
            list(order.steps), {'scheduled_at': now + dt.timedelta(**delta)})
        return order.steps[0]

    @with_transaction()
    def test_overdue(self):
        Step = Pool().get(STEP)
        steps = {
            'overdue': self.step(days=-8), 'late': self.step(days=-6),
            'now': self.step(), 'far': self.step(days=31),
            'done': self.step(days=-8)}
        Step.complete([steps['done']])
        ids = [s.id for s in steps.values()]
        for operator, value, expected in [
                ('=', True, {'overdue'}),
                ('!=', False, {'overdue'}),
                ('in', [True], {'overdue'}),
                ('=', False, steps.keys() - {'overdue'}),
                ('in', [True, False], steps.keys())]:
            with self.subTest(operator=operator, value=value):
                found = Step.search(
                    [('overdue', operator, value), ('id', 'in', ids)])
                self.assertEqual(
                    {n for n, s in steps.items() if s in found},
                    set(expected))
        self.assertEqual(
            {n for n, s in steps.items() if s.overdue}, {'overdue'})
        self.assertEqual(
            {n for n, s in steps.items() if s.on_worklist}, {'late', 'now'})

    @with_transaction()
    def test_the_window_is_configured(self):
        step = self.step(days=-2)
        self.assertTrue(step.on_worklist)
        Configuration = Pool().get(CONFIGURATION)
        Configuration.write(
            [Configuration(1)], {'window_after': dt.timedelta(days=1)})
        step = Pool().get(STEP)(step.id)
        self.assertFalse(step.on_worklist)
        self.assertTrue(step.overdue)

    @with_transaction()
    def test_what_keeps_a_step_from_devices_is_told(self):
        Step = Pool().get(STEP)
        step = self.step()
        self.assertIsNone(step.problem)
        Step.write([step], {'station_aetitle': None, 'modality': None})
        step = Step(step.id)
        self.assertIn("Modality", step.problem)
        self.assertIn("Station AE Title", step.problem)
        self.assertFalse(step.on_worklist)

    @with_transaction()
    def test_what_no_device_finds_is_incomplete(self):
        pool = Pool()
        Step = pool.get(STEP)
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        steps = {
            name: self.step() for name in [
                'complete', 'modality', 'title', 'person', 'broken', 'done']}
        Step.write([steps['modality']], {'modality': None})
        Step.write([steps['title']], {'station_aetitle': ''})
        person = steps['person'].request.patient.party
        pool.get('party.party').write([person], {'ref': None})
        Entry.create([{
                    'step': steps['broken'].id, 'version': 1,
                    'problem': '[["internal", {}]]'}])
        Step.write([steps['done']], {'modality': None})
        Step.complete([steps['done']])
        steps = {name: Step(step.id) for name, step in steps.items()}
        ids = [s.id for s in steps.values()]
        incomplete = {'modality', 'title', 'person', 'broken'}
        for value, expected in [
                (True, incomplete), (False, {'complete', 'done'})]:
            with self.subTest(value=value):
                found = Step.search(
                    [('incomplete', '=', value), ('id', 'in', ids)])
                self.assertEqual(
                    {n for n, s in steps.items() if s in found}, expected)
        self.assertEqual(
            {n for n, s in steps.items() if s.incomplete}, incomplete)

    @with_transaction()
    def test_the_calendar_finds_steps_by_their_end(self):
        Step = Pool().get(STEP)
        start = dt.datetime(2026, 5, 6, 10)
        steps = {
            minutes: self.step() for minutes in [None, 15, 60]}
        for minutes, step in steps.items():
            Step.write([step], {
                    'scheduled_at': start, 'duration': minutes
                    and dt.timedelta(minutes=minutes)})
        self.assertEqual(
            {m: Step(s.id).scheduled_end - start for m, s in steps.items()}, {
                None: dt.timedelta(minutes=30),
                15: dt.timedelta(minutes=30), 60: dt.timedelta(hours=1)})
        ids = [s.id for s in steps.values()]
        half = start + dt.timedelta(minutes=30)
        for operator, value, expected in [
                ('>', half, {60}), ('>=', half, {None, 15, 60}),
                ('<', half, set()), ('=', half, {None, 15}),
                ('in', [half], {None, 15}),
                ('!=', None, {None, 15, 60}), ('=', None, set())]:
            with self.subTest(operator=operator, value=value):
                found = Step.search([
                        ('scheduled_end', operator, value),
                        ('id', 'in', ids)])
                self.assertEqual(
                    {m for m, s in steps.items() if s in found}, expected)

    @with_transaction()
    def test_a_step_is_dragged_in_the_calendar(self):
        Step = Pool().get(STEP)
        step = self.step()
        start = dt.datetime(2026, 5, 6, 10)
        Step.write([step], {'duration': dt.timedelta(minutes=15)})
        for end, minutes in [(30, 15), (90, 90)]:
            with self.subTest(end=end):
                Step.write([step], {
                        'scheduled_at': start,
                        'scheduled_end': start + dt.timedelta(minutes=end)})
                self.assertEqual(
                    Step(step.id).duration, dt.timedelta(minutes=minutes))

    @with_transaction()
    def test_values_fit_into_dicom(self):
        step = self.step()
        for name, value in [
                ('station_aetitle', 'ÄETITLE'),
                ('station_aetitle', 'SEVENTEEN-LETTERS'),
                ('station_aetitle', 'A\\SEVENTEEN-LETTERS'),
                ('station_name', 'A\\B'), ('location', 'Room\n2')]:
            with self.subTest(name=name, value=value):
                with self.assertRaises(Exception) as raised:
                    Pool().get(STEP).write([step], {name: value})
                self.assertIn(
                    type(raised.exception).__name__, {
                        'StepValidationError', 'SizeValidationError',
                        'ForbiddenCharValidationError'})
