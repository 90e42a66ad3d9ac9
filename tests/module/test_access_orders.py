# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with orders and their steps."""

import datetime as dt
from unittest.mock import patch

from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import ENTRY, REQUEST, STEP, TEMPLATE, AccessTestCase
from .tools import Refused, Told, create_order, create_patient


class OrderTestCase(AccessTestCase):
    "Who orders, and who carries out"

    BUTTONS = ['start', 'complete', 'reject', 'cancel', 'reopen']
    STAFF = ['radiographer', 'head', 'administrator']

    def setUp(self):
        with Transaction().start(self.db_name, 1) as transaction:
            order = create_order(self.patient, requested=True)
            draft = create_order(self.patient)
            self.request, self.draft = order.id, draft.id
            self.open_step = order.steps[0].id
            self.test = order.requested_test.id
            self.doctor = order.doctor.id
            transaction.commit()

    def values(self):
        return {
            'patient': self.patient.id, 'requested_test': self.test,
            'doctor': self.doctor, 'date': dt.datetime(2026, 3, 4, 10, 30)}

    def test_orders_have_steps_whoever_orders(self):
        for login in ['doctor', 'radiographer', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(REQUEST, 'create', [self.values()])
                session.model(REQUEST, 'requested', [id_])
                row, = session.model(REQUEST, 'read', [id_], [
                        'steps', 'state', 'accession_number'])
                self.assertEqual(len(row['steps']), 1)
                self.assertEqual(row['state'], 'requested')
                self.assertTrue(row['accession_number'])

    def test_steps_are_added_and_moved(self):
        for login in ['doctor', *self.STAFF]:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(STEP, 'create', [{
                            'request': self.request, 'modality': 'CT',
                            'station_aetitle': 'CT1'}])
                session.model(STEP, 'write', [id_], {
                        'scheduled_at': dt.datetime(2027, 1, 1, 9),
                        'station_aetitle': 'CT2'})
                self.assertEqual(
                    self.stored(STEP, id_, 'station_aetitle'), 'CT2')
                self.assertEqual(self.stored(STEP, id_, 'number'), 1 + len(
                        session.model(STEP, 'search', [
                                ('request', '=', self.request),
                                ('id', '<', id_)])))

    def test_steps_are_edited_in_their_order(self):
        for login in ['doctor', 'radiographer', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                session.model(REQUEST, 'write', [self.request], {
                        'steps': [
                            ('create', [{'modality': 'MR'}]),
                            ('write', [self.open_step], {
                                    'description': login}),
                            ]})
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'description'), login)

    def test_clerks_read(self):
        session = self.as_('clerk')
        row, = session.model(
            STEP, 'read', [self.open_step], ['modality', 'patient'])
        self.assertEqual(row['patient'], self.patient.id)
        for model, method, arguments in [
                (STEP, 'write', [[self.open_step], {'description': "x"}]),
                (STEP, 'create', [[{'request': self.request}]]),
                (STEP, 'delete', [[self.open_step]]),
                (REQUEST, 'write', [[self.request], {
                            'steps': [('delete', [self.open_step])]}])]:
            with self.subTest(model=model, method=method):
                with self.assertRaises(Refused):
                    session.model(model, method, *arguments)

    def test_steps_are_deleted_by_those_who_delete_orders(self):
        for login in ['radiographer', 'administrator']:
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(STEP, 'delete', [self.open_step])
        for login in ['doctor', 'head']:
            with self.subTest(user=login):
                session = self.as_(login)
                id_, = session.model(
                    STEP, 'create', [{'request': self.request}])
                session.model(STEP, 'delete', [id_])

    def test_buttons(self):
        allowed = {
            **{login: set(self.BUTTONS) for login in self.STAFF},
            'doctor': {'cancel', 'reopen'},
            }
        for login in self.users:
            for button in self.BUTTONS:
                with self.subTest(user=login, button=button):
                    if button in allowed.get(login, set()):
                        self.press(login, button)
                    else:
                        with self.assertRaises(Refused):
                            self.press(login, button)

    def press(self, login, button):
        self.setUp()
        return self.as_(login).model(STEP, button, [self.open_step])

    def test_buttons_of_orders(self):
        for login in self.users:
            for button in ['cancel_order', 'repeat_order']:
                self.setUp()
                if button == 'repeat_order':
                    self.reject('radiographer', "Blurred")
                with self.subTest(user=login, button=button):
                    if login in {'doctor', 'radiographer', 'head'}:
                        self.as_(login).model(
                            REQUEST, button, [self.request])
                    else:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                REQUEST, button, [self.request])

    def test_reject(self):
        for login in self.STAFF:
            self.setUp()
            with self.subTest(user=login):
                self.reject(login, "Blurred")
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'state'), 'rejected')
                self.assertEqual(
                    self.stored(STEP, self.open_step, 'rejected_by'),
                    self.users[login])

    def test_reject_needs_a_reason(self):
        with self.assertRaises(Told):
            self.reject('radiographer', " ")
        self.assertEqual(
            self.stored(STEP, self.open_step, 'state'), 'scheduled')

    def reject(self, login, reason):
        session = self.as_(login)
        name = 'gnuhealth.imaging.procedure.step.reject'
        context = {
            'active_model': STEP, 'active_id': self.open_step,
            'active_ids': [self.open_step]}
        id_, state, _ = session.wizard(name, 'create', **context)
        session.wizard(name, 'execute', id_, {}, state, **context)
        return session.wizard(
            name, 'execute', id_, {'start': {'reason': reason}}, 'reject',
            **context)

    def test_what_follows_is_not_written(self):
        for login in ['doctor', *self.STAFF]:
            for name, value in [
                    ('state', 'completed'), ('step_id', 'X'), ('number', 9),
                    ('started_at', dt.datetime(2026, 1, 1)),
                    ('ended_at', dt.datetime(2026, 1, 1)),
                    ('rejection_reason', "x"), ('rejected_by', 1),
                    ('customised', False), ('request', self.draft)]:
                with self.subTest(user=login, field=name):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            STEP, 'write', [self.open_step], {name: value})
                    if name not in {'request', 'customised'}:
                        with self.assertRaises(Told):
                            self.as_(login).model(STEP, 'create', [{
                                        'request': self.request,
                                        name: value}])

    def test_an_order_is_not_forged(self):
        other = {'requested_test': self.test}
        for login in ['doctor', 'radiographer', 'head']:
            for name, value in [
                    ('accession_number', 'X'), ('accession_alias', 'X'),
                    ('study_instance_uid', '1.2.3'), ('merge_id', '1.2.3'),
                    ('to_repeat', True), ('replaces', self.draft),
                    ('replaced_by', self.draft),
                    ('requested_at', dt.datetime(2026, 1, 1))]:
                with self.subTest(user=login, field=name):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], {name: value})
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], {name: None})
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request], other,
                            [self.request], {name: value})
                    with self.assertRaises(Told):
                        self.as_(login).model(REQUEST, 'create', [
                                {**self.values(), name: value}])
            for state in ['draft', 'requested', 'done', 'canceled']:
                with self.subTest(user=login, state=state):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.draft], {'state': state})

    def test_steps_are_not_moved_to_another_order(self):
        with Transaction().start(self.db_name, 1):
            other = Pool().get(REQUEST)(self.draft).steps[0].id
        for login in ['doctor', 'radiographer', 'head']:
            for action in [
                    ('add', [other]), ('remove', [self.open_step]),
                    ('write', [self.open_step], {'request': self.draft})]:
                with self.subTest(user=login, action=action):
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            REQUEST, 'write', [self.request],
                            {'steps': [action]})

    def test_the_patient_stays_that_of_the_images(self):
        for login in ['doctor', 'radiographer', 'head']:
            self.setUp()
            session = self.as_(login)
            with self.subTest(user=login):
                session.model(REQUEST, 'write', [self.request], {
                        'patient': self.other_patient.id})
                self.as_('radiographer').model(STEP, 'start', [self.open_step])
                with self.assertRaises(Told):
                    session.model(REQUEST, 'write', [self.request], {
                            'patient': self.patient.id})
                session.model(REQUEST, 'write', [self.request], {
                        'patient': self.other_patient.id, 'comment': "x"})
                self.assertEqual(
                    self.stored(REQUEST, self.request, 'patient'),
                    self.other_patient.id)

    def test_closed_steps_are_not_edited(self):
        for login in ['doctor', *self.STAFF]:
            self.setUp()
            self.as_('radiographer').model(STEP, 'complete', [self.open_step])
            with self.subTest(user=login):
                for values in [
                        {'description': "x"},
                        {'scheduled_at': dt.datetime(2027, 1, 1)}]:
                    with self.assertRaises(Told):
                        self.as_(login).model(
                            STEP, 'write', [self.open_step], values)
                with self.assertRaises(Told):
                    self.as_(login).model(STEP, 'delete', [self.open_step])
        with self.assertRaises(Told):
            self.as_('doctor').model(REQUEST, 'write', [self.request], {
                    'steps': [('write', [self.open_step], {
                                    'description': "x"})]})
        with self.assertRaises(Told):
            self.as_('doctor').model(REQUEST, 'delete', [self.request])

    def test_templates_are_changed_by_administrators(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.template.id], {'comment': "x"}]),
                    ('create', [[{'name': "x"}]]),
                    ('copy', [[self.template.id]])]:
                with self.subTest(user=login, method=method):
                    if login == 'administrator':
                        self.as_(login).model(TEMPLATE, method, *arguments)
                    else:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                TEMPLATE, method, *arguments)

    def test_templates_of_study_types_are_chosen_by_administrators(self):
        for login in self.users:
            with self.subTest(user=login):
                session = self.as_(login)
                values = {'imaging_worklist_template': self.template.id}
                if login == 'head':
                    session.model(
                        'gnuhealth.imaging.test', 'write', [self.test],
                        values)
                else:
                    with self.assertRaises(Refused):
                        session.model(
                            'gnuhealth.imaging.test', 'write', [self.test],
                            values)

    def test_the_list_for_scripts(self):
        page = {'since': 0}
        for login in self.users:
            with self.subTest(user=login), \
                    patch.object(self.pool_class(ENTRY), 'refresh'), \
                    patch.object(
                        self.pool_class(ENTRY), 'page', return_value=page):
                if login in {*self.STAFF, 'clerk'}:
                    self.assertEqual(
                        self.as_(login).model(STEP, 'get_worklist'), page)
                else:
                    with self.assertRaises(Refused):
                        self.as_(login).model(STEP, 'get_worklist')

    def pool_class(self, name):
        return Pool(self.db_name).get(name)

    def close_step(self):
        "Complete the step, and return the names that a refusal could tell"
        with Transaction().start(self.db_name, 1) as transaction:
            step = Pool().get(STEP)(self.open_step)
            Pool().get(STEP).complete([step])
            names = [step.rec_name, step.request.request]
            transaction.commit()
        return list(filter(None, names))

    def test_refusals_tell_outsiders_nothing(self):
        names = self.close_step()
        with Transaction().start(self.db_name, 1) as transaction:
            other = create_patient("Other", "Person").id
            transaction.commit()
        for login in self.OUTSIDERS:
            session = self.as_(login)
            for model, id_, method, *values in [
                    (STEP, self.open_step, 'write', {'description': 'x'}),
                    (STEP, self.open_step, 'write',
                        {'request': self.request}),
                    (STEP, self.open_step, 'write', {'request': self.draft}),
                    (STEP, self.open_step, 'delete'),
                    (REQUEST, self.request, 'write', {'patient': other}),
                    (REQUEST, self.request, 'delete')]:
                with self.subTest(user=login, method=method, values=values):
                    with self.assertRaises(Refused) as raised:
                        session.model(model, method, [id_], *values)
                    for name in names:
                        self.assertNotIn(name, str(raised.exception))
                    self.assertNotIn('closed', str(raised.exception))
