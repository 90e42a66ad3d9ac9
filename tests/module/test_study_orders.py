# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One study that answers several orders."""

import datetime as dt

from trytond.modules.health_orthanc.exchange import attachment
from trytond.modules.health_orthanc.linking.fulfilment import fulfil_orders
from trytond.modules.health_orthanc.linking.link import evaluate
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import HEALTH_PATIENT, RESULT, STEP, STUDY_ORDER, AccessTestCase
from .tools import (
    STUDY, OrthancTestCase, Refused, RpcError, create_instance, create_order,
    create_patient, create_result, create_series, create_server, create_study,
    create_user, match_study)

BIRTH = dt.date(1964, 8, 12)


class GroupTestCase(OrthancTestCase):
    "Two orders of a patient, and images that answer both"

    def orders(self, count=2, patient=None):
        patient = patient or create_patient(dob=BIRTH)
        return [create_order(patient, requested=True) for _ in range(count)]

    def study(self, order, **values):
        "Return a study that names a patient and no order"
        party = order.patient.party
        study = create_study(create_server(), **{
                'patient_id': party.ref,
                'patient_name': f'{party.lastname}^{party.name}',
                'patient_birth_date': party.dob,
                'patient_sex': 'F',
                'date': order.date.date(),
                **values})
        create_series(study, modality='CT')
        return study

    def numbered(self, *orders, **values):
        return self.study(orders[0], accession_number='\\'.join(
                o.accession_number for o in orders), **values)

    def linked(self, *orders):
        "Return a study that a person has linked to all of the orders"
        study = self.study(orders[0])
        study.__class__.link_because(
            study, orders[0].patient, orders[0], further=orders[1:])
        return Pool().get(STUDY)(study.id)

    def result(self, order):
        results = Pool().get(RESULT).search([('request', '=', order.id)])
        self.assertLessEqual(len(results), 1)
        return results[0] if results else None

    def assertFulfils(self, study, *orders):
        "The study is linked to exactly these orders, with all that follows"
        study = Pool().get(STUDY)(study.id)
        self.assertEqual(study.linked_orders[0], orders[0])
        self.assertEqual(set(study.linked_orders), set(orders))
        for order in orders:
            order = order.__class__(order.id)
            self.assertEqual(order.state, 'done')
            self.assertEqual(
                [(s.state, s.study) for s in order.steps],
                [('completed', study)])
            self.assertEqual(
                self.result(order).orthanc_studies, (study,))
        steps = Pool().get(STEP).search([('study', '=', study.id)])
        self.assertEqual({s.request for s in steps}, set(orders))

    def assertOpen(self, *orders):
        for order in orders:
            order = order.__class__(order.id)
            self.assertEqual(order.state, 'requested')
            self.assertEqual({s.state for s in order.steps}, {'scheduled'})
            self.assertIsNone(self.result(order))


class KeysTestCase(GroupTestCase):
    "Keys link several orders by themselves"

    @with_transaction()
    def test_accession_number_of_several_values(self):
        orders = self.orders()
        study = match_study(self.numbered(*orders))
        self.assertEqual(
            study.link_status, 'auto_certain', evaluate(study).doubt)
        self.assertFulfils(study, *orders)
        decision, = study.decisions
        self.assertEqual(decision.request_to, orders[0])
        self.assertEqual(decision.further_to, orders[1].accession_number)
        self.assertIn(orders[1].accession_number, decision.compared)
        self.assertEqual(study.score, 100)
        further, = study.further_orders
        self.assertIsNone(further.linked_by)

    @with_transaction()
    def test_request_attributes_of_several_orders(self):
        for names in [
                {'AccessionNumber': 'accession_number'},
                {'StudyInstanceUID': 'study_instance_uid'}]:
            with self.subTest(names=names):
                orders = self.orders()
                study = match_study(self.study(orders[0]), Series=[{
                            'RequestAttributes': [
                                {keyword: getattr(order, name)
                                    for keyword, name in names.items()}
                                for order in orders]}])
                self.assertEqual(study.link_status, 'auto_certain')
                self.assertFulfils(study, *orders)

    @with_transaction()
    def test_step_ids_with_the_patient(self):
        orders = self.orders()
        study = match_study(
            self.study(orders[0]), [o.steps[0].step_id for o in orders])
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertFulfils(study, *orders)

    @with_transaction()
    def test_matching_again_changes_nothing(self):
        orders = self.orders(3)
        study = match_study(self.numbered(*orders))
        for _ in range(3):
            study = match_study(study, IssuerOfPatientID='')
            create_series(study, modality='CT')
        self.assertFulfils(study, *orders)
        self.assertEqual(len(study.decisions), 1)

    @with_transaction()
    def test_the_notification_names_the_second_order(self):
        orders = self.orders()
        study = match_study(self.numbered(orders[0]))
        self.assertFulfils(study, orders[0])
        study = match_study(
            study, [o.steps[0].step_id for o in orders])
        self.assertFulfils(study, *orders)
        self.assertEqual(len(study.decisions), 2)

    @with_transaction()
    def test_a_number_of_another_patient_waits(self):
        order, = self.orders(1)
        stranger, = self.orders(1, create_patient("Ejemplo", "Juan"))
        study = match_study(self.numbered(order, stranger))
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.linked_orders, [order])
        self.assertOpen(order, stranger)

    @with_transaction()
    def test_an_order_with_images_of_another_study_waits(self):
        orders = self.orders()
        match_study(self.numbered(orders[1]))
        study = match_study(self.numbered(*orders))
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertOpen(orders[0])

    @with_transaction()
    def test_a_doubt_keeps_all_of_them_waiting(self):
        orders = self.orders()
        study = match_study(self.numbered(
                *orders, patient_birth_date=dt.date(1964, 12, 8)))
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.linked_orders, orders)
        self.assertOpen(*orders)
        study.__class__.confirm([study])
        self.assertFulfils(study, *orders)

    @with_transaction()
    def test_what_was_certain_becomes_a_doubt(self):
        orders = self.orders()
        study = match_study(self.numbered(*orders))
        study.__class__.write([study], {
                'patient_birth_date': dt.date(1964, 12, 8),
                'link_status': 'auto_certain'})
        study = match_study(study, IssuerOfPatientID='X')
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertOpen(*orders)

    @with_transaction()
    def test_images_of_somebody_else_release_all_orders(self):
        orders = self.orders()
        other = create_patient("Ejemplo", "Ana", dob=dt.date(1990, 1, 31))
        study = match_study(self.numbered(*orders))
        study.__class__.write([study], {
                'patient_id': other.party.ref, 'patient_name': 'Ejemplo^Ana',
                'patient_birth_date': other.party.dob,
                'accession_number': None, 'link_status': 'auto_certain'})
        study = match_study(study, IssuerOfPatientID='')
        self.assertEqual(study.patient, other)
        self.assertFalse(study.further_orders)
        self.assertOpen(*orders)


class PeopleTestCase(GroupTestCase):
    "People link and unlink each order"

    @with_transaction()
    def test_several_are_chosen(self):
        orders = self.orders(3)
        study = self.linked(*orders)
        self.assertEqual(study.link_status, 'manual')
        self.assertFulfils(study, *orders)
        decision = study.decisions[0]
        self.assertEqual(decision.further_to, ', '.join(
                o.accession_number for o in orders[1:]))
        self.assertEqual(
            {f.linked_by.id for f in study.further_orders},
            {Transaction().user})

    @with_transaction()
    def test_a_further_one_is_taken_away(self):
        orders = self.orders(3)
        study = self.linked(*orders)
        study.__class__.link_because(
            study, orders[0].patient, orders[0], further=[orders[2]])
        self.assertFulfils(study, orders[0], orders[2])
        self.assertOpen(orders[1])
        decision = study.__class__(study.id).decisions[0]
        self.assertIn(orders[1].accession_number, decision.further_from)
        self.assertEqual(decision.further_to, orders[2].accession_number)

    @with_transaction()
    def test_the_first_one_is_taken_away(self):
        orders = self.orders(3)
        study = self.linked(*orders)
        result = self.result(orders[1])
        study.__class__.write([study], {'request': None})
        study = study.__class__(study.id)
        self.assertFulfils(study, *orders[1:])
        self.assertEqual(study.imaging_test, result)
        self.assertOpen(orders[0])
        self.assertEqual(study.decisions[0].request_from, orders[0])
        self.assertEqual(study.decisions[0].request_to, orders[1])

    @with_transaction()
    def test_a_further_one_becomes_the_first(self):
        orders = self.orders(3)
        for chosen in [[1, 0, 2], [2, 1, 0], [0, 1, 2], [1, 2]]:
            with self.subTest(chosen=chosen):
                study = self.linked(*orders)
                results = [self.result(o) for o in orders]
                first, *further = [orders[i] for i in chosen]
                study.__class__.link_because(
                    study, first.patient, first, further=further)
                self.assertFulfils(study, first, *further)
                for i in chosen:
                    self.assertEqual(self.result(orders[i]), results[i])
                    self.assertFalse(results[i].orthanc_images_unlinked)
                study.__class__.unlink_because([study], "Somebody else")
                self.assertOpen(*orders)

    @with_transaction()
    def test_unlinking_takes_all_away(self):
        orders = self.orders(3)
        study = self.linked(*orders)
        study.__class__.unlink_because([study], "Somebody else")
        study = study.__class__(study.id)
        self.assertEqual(study.linked_orders, [])
        self.assertOpen(*orders)
        self.assertEqual(
            study.decisions[0].further_from, ', '.join(
                o.accession_number for o in orders[1:]))

    @with_transaction()
    def test_another_patient_takes_all_away(self):
        orders = self.orders()
        other = create_patient("Ejemplo", "Ana")
        study = self.linked(*orders)
        study.__class__.write([study], {'patient': other.id})
        study = study.__class__(study.id)
        self.assertEqual(study.patient, other)
        self.assertEqual(study.linked_orders, [])
        self.assertOpen(*orders)

    @with_transaction()
    def test_the_patient_without_an_order(self):
        orders = self.orders()
        study = self.linked(*orders)
        study.__class__.link_because(study, study.patient)
        study = study.__class__(study.id)
        self.assertEqual(study.linked_orders, [])
        self.assertOpen(*orders)

    @with_transaction()
    def test_orders_of_two_patients_are_refused(self):
        order, = self.orders(1)
        stranger, = self.orders(1, create_patient("Ejemplo", "Juan"))
        study = self.study(order)
        with self.assertUserError('msg_link_other_patient'):
            study.__class__.link_because(
                study, order.patient, order, further=[stranger])
        self.assertOpen(order, stranger)

    @with_transaction()
    def test_a_contradiction_needs_a_reason(self):
        orders = self.orders()
        study = self.study(
            orders[0], patient_birth_date=dt.date(1990, 1, 31))
        Study = study.__class__
        with self.assertUserError('msg_link_veto'):
            Study.link_because(
                study, orders[0].patient, orders[0], further=orders[1:])
        self.assertOpen(*orders)
        Study.link_because(
            study, orders[0].patient, orders[0], "Mistyped", orders[1:])
        self.assertFulfils(study, *orders)

    @with_transaction()
    def test_a_written_report_is_kept_and_flagged(self):
        orders = self.orders()
        study = self.linked(*orders)
        doctor = create_user('writer', 'health.group_health_doctor')
        Result = Pool().get(RESULT)
        with Transaction().set_user(doctor.id), Transaction().set_context(
                _check_access=True):
            Result.write(
                [Result(self.result(orders[1]).id)],
                {'comment': "No fracture"})
        study.__class__.link_because(study, orders[0].patient, orders[0])
        self.assertFulfils(study, orders[0])
        result = self.result(orders[1])
        self.assertEqual(result.comment, "No fracture")
        self.assertTrue(result.orthanc_images_unlinked)
        self.assertFalse(result.orthanc_studies)

    @with_transaction()
    def test_a_result_with_other_images_stays(self):
        orders = self.orders()
        study, other = self.linked(*orders), self.linked(orders[1])
        result = self.result(orders[1])
        self.assertEqual(set(result.orthanc_studies), {study, other})
        study.__class__.link_because(study, orders[0].patient, orders[0])
        self.assertEqual(
            self.result(orders[1]).orthanc_studies, (other,))
        self.assertFalse(result.orthanc_images_unlinked)

    @with_transaction()
    def test_fulfilling_again_changes_nothing(self):
        orders = self.orders(3)
        study = self.linked(*orders)
        results = [self.result(o) for o in orders]
        for _ in range(3):
            fulfil_orders([study])
        self.assertFulfils(study, *orders)
        self.assertEqual([self.result(o) for o in orders], results)

    @with_transaction()
    def test_deleted_images_reopen_each_order(self):
        orders = self.orders()
        study = self.linked(*orders)
        now = dt.datetime(2026, 6, 1)
        study.__class__.write([study], {
                'deleted_at': now, 'missing_since': now})
        fulfil_orders([study])
        self.assertOpen(*orders)
        self.assertEqual(
            study.__class__(study.id).linked_orders, orders)

    @with_transaction()
    def test_an_order_is_repeated(self):
        orders = self.orders()
        study = self.linked(*orders)
        step, = orders[1].steps
        step.__class__.reject_because([step], "Moved")
        order = orders[1].__class__(orders[1].id)
        self.assertTrue(order.to_repeat)
        order.__class__.repeat_order([order])
        study.__class__.unlink_because([study], "Somebody else")
        step = step.__class__(step.id)
        self.assertEqual(step.state, 'rejected')
        self.assertOpen(orders[0])
        self.assertTrue(
            order.__class__(order.id).replaced_by.state in {
                'draft', 'requested'})

    @with_transaction()
    def test_an_image_is_attached_to_each_result(self):
        orders = self.orders()
        study = self.linked(*orders)
        instance = create_instance(study.series[0])
        results = attachment._results(instance)
        self.assertEqual(results, [self.result(o) for o in orders])
        attachment._attach_images(
            Transaction().user, [(instance.id, results[0].id, b'x')])
        self.assertFalse(instance.__class__(instance.id).attached)
        attachment._attach_images(
            Transaction().user, [(instance.id, results[1].id, b'x')])
        self.assertTrue(instance.__class__(instance.id).attached)
        study.__class__.link_because(study, orders[0].patient, orders[0])
        with self.assertUserError('msg_attachment_changed'):
            attachment._attach_images(
                Transaction().user, [(instance.id, results[1].id, b'x')])

    @with_transaction()
    def test_dismissal_and_restoration(self):
        orders = self.orders()
        study = match_study(self.numbered(*orders))
        study.__class__.dismiss_because([study], "For teaching")
        self.assertOpen(*orders)
        study.__class__.restore([study])
        self.assertFulfils(study, *orders)


class SearchTestCase(GroupTestCase):
    "Results are found by all of their studies"

    @with_transaction()
    def test_search(self):
        Result = Pool().get(RESULT)
        orders = self.orders()
        study = self.linked(*orders)
        other = self.linked(*self.orders(
                1, create_patient("Ejemplo", "Ana", dob=BIRTH)))
        empty = [create_result(orders[0].patient)]
        both = [self.result(o) for o in orders]
        third = [other.imaging_test]
        everything = [('id', 'in', [
                    r.id for r in [*both, *third, *empty]])]
        for clause, expected in [
                (('orthanc_studies', '=', study.id), both),
                (('orthanc_studies', 'in', [study.id]), both),
                (('orthanc_studies', '!=', None), both + third),
                (('orthanc_studies', '=', None), empty),
                (('orthanc_studies', 'not in', [study.id]), third + empty),
                (('orthanc_studies', 'ilike', f'%{study.patient_id}%'), both),
                (('orthanc_studies.patient_id', '=', study.patient_id), both),
                (('orthanc_studies', 'where', [
                            ('patient_id', '=', study.patient_id)]), both),
                (('orthanc_studies', 'not where', [
                            ('patient_id', '=', study.patient_id)]),
                    third + empty)]:
            with self.subTest(clause=clause):
                self.assertEqual(
                    set(Result.search([everything, clause])), set(expected))

    @with_transaction()
    def test_studies_are_shown_without_repeating(self):
        orders = self.orders()
        study = self.linked(*orders)
        for order in orders:
            self.assertEqual(self.result(order).orthanc_studies, (study,))
        copy, = Pool().get(RESULT).copy(
            [self.result(orders[1])], {'number': None})
        self.assertFalse(copy.orthanc_studies)
        self.assertEqual(
            self.result(orders[0]).orthanc_studies, (study,))


class OrderAccessTestCase(AccessTestCase):
    "Who sees further orders, and who changes them"

    @classmethod
    def _create_records(cls):
        super()._create_records()
        pool = Pool()
        Result = pool.get(RESULT)
        cls.further_result, cls.hidden_result = Result.create([{
                    'patient': order.patient.id,
                    'date': order.date,
                    'requested_test': order.requested_test.id,
                    'request': order.id,
                    'doctor': order.doctor.id,
                    } for order in [cls.further_order, cls.order]])
        StudyOrder = pool.get(STUDY_ORDER)
        StudyOrder.write(
            [cls.study_order], {'result': cls.further_result.id})
        # A study that physicians do not see
        pool.get(STUDY).write([cls.unlinked_study], {
                'patient': cls.patient.id, 'link_status': 'unlinked'})
        cls.hidden, = StudyOrder.create([{
                    'study': cls.unlinked_study.id, 'request': cls.order.id,
                    'result': cls.hidden_result.id,
                    'linked_at': dt.datetime(2026, 3, 4)}])
        pool.get(STUDY).write([cls.unlinked_study], {
                'patient': None, 'link_status': 'unlinked'})

    def test_nobody_without_a_group_sees_them(self):
        for session in self.outsiders():
            for method, arguments in [
                    ('read', [[self.study_order.id], ['request']]),
                    ('search', [[]]), ('search_count', [[]]),
                    ('search_read', [[], 0, None, None, ['request']]),
                    ('export_data', [[self.study_order.id], ['request']])]:
                with self.subTest(method=method):
                    with self.assertRaises(Refused):
                        session.model(STUDY_ORDER, method, *arguments)

    def test_who_sees_the_study_sees_its_orders(self):
        for session in self.insiders():
            row, = session.model(
                STUDY, 'read', [self.study.id], ['further_orders'])
            self.assertEqual(
                list(row['further_orders']), [self.study_order.id])
            row, = session.model(
                STUDY_ORDER, 'read', [self.study_order.id],
                ['request', 'result', 'rec_name'])
            self.assertEqual(row['request'], self.further_order.id)
            row, = session.model(
                RESULT, 'read', [self.further_result.id],
                ['orthanc_studies'])
            self.assertEqual(list(row['orthanc_studies']), [self.study.id])
            self.assertEqual(session.model(RESULT, 'search', [
                        ('orthanc_studies', '=', self.study.id),
                        ('id', '=', self.further_result.id)]),
                [self.further_result.id])
            self.assertTrue(session.model(
                    RESULT, 'export_data', [self.further_result.id],
                    ['orthanc_studies/patient_id'])[0][0])

    def test_physicians_see_none_of_a_study_that_is_not_linked(self):
        session = self.as_('doctor')
        with self.assertRaises(Refused):
            session.model(STUDY_ORDER, 'read', [self.hidden.id], ['request'])
        self.assertNotIn(
            self.hidden.id, session.model(STUDY_ORDER, 'search', []))
        row, = session.model(
            RESULT, 'read', [self.hidden_result.id], ['orthanc_studies'])
        self.assertFalse(row['orthanc_studies'])
        with self.assertRaises(Refused):
            session.model(
                RESULT, 'export_data', [self.hidden_result.id],
                ['orthanc_studies/patient_id'])
        row, = self.as_('clerk').model(
            RESULT, 'read', [self.hidden_result.id], ['orthanc_studies'])
        self.assertEqual(
            list(row['orthanc_studies']), [self.unlinked_study.id])

    def test_nobody_changes_them_but_by_a_decision(self):
        for login in self.users:
            session = self.as_(login)
            for method, arguments in [
                    ('create', [[{
                                    'study': self.study.id,
                                    'request': self.order.id}]]),
                    ('write', [
                            [self.study_order.id],
                            {'request': self.order.id}]),
                    ('delete', [[self.study_order.id]]),
                    ('copy', [[self.study_order.id]]),
                    ('assign', [{str(self.study.id): []}])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(RpcError):
                        session.model(STUDY_ORDER, method, *arguments)
            for values in [
                    {'further_orders': [('delete', [self.study_order.id])]},
                    {'further_orders': [('remove', [self.study_order.id])]}]:
                with self.subTest(user=login, values=values):
                    with self.assertRaises(RpcError):
                        session.model(
                            STUDY, 'write', [self.study.id], values)
        self.assertEqual(
            self.stored(STUDY_ORDER, self.study_order.id, 'request'),
            self.further_order.id)

    def test_names_of_orders_tell_nothing_to_outsiders(self):
        for session in self.outsiders():
            for clause in [
                    ('orthanc_studies.further_orders', '!=', None),
                    ('orthanc_studies', 'where', [
                            ('further_orders', '!=', None)])]:
                with self.assertRaises(Refused):
                    session.model(RESULT, 'search', [clause])
                with self.assertRaises(Refused):
                    session.model(HEALTH_PATIENT, 'search', [clause])
