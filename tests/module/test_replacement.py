# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients that were replaced by others, and the undoing of it."""

import datetime as dt

from trytond.modules.health_orthanc.linking.patient_fields import (
    followed_links, patient_fields)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import WRONG_PATIENT, AccessTestCase
from .test_late_images import late_study
from .test_worklist import counted
from .tools import (
    PATIENT, STUDY, OrthancTestCase, Refused, create_order,
    create_orthanc_patient, create_patient, create_series, create_server,
    create_study, create_user, match_study)

BIRTH = dt.date(1964, 8, 12)
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
REPLACEMENT = 'gnuhealth.imaging_orthanc.replacement'
ENTRY = 'gnuhealth.imaging.worklist.entry'


def replace(source, target):
    "Replace a patient by another, or by a party, as Tryton's wizard does"
    pool = Pool()
    Replace = pool.get('party.replace', type='wizard')
    User = pool.get('res.user')
    session_id, _, _ = Replace.create()
    wizard = Replace(session_id)
    wizard.ask.source = source.party
    wizard.ask.destination = getattr(target, 'party', target)
    with Transaction().set_context(
            _skip_warnings=True), Transaction().set_user(
            User.search([('login', '=', 'admin')])[0].id):
        wizard.transition_replace()
    found = pool.get(REPLACEMENT).search(
        [('source', '=', source.party.id)], limit=1)
    return found[0] if found else None


class ReplacementTestCase(OrthancTestCase):

    def patients(self, **values):
        "Return two records of one person"
        return (
            create_patient(dob=BIRTH), create_patient(dob=BIRTH, **values))

    def linked(self, patient, **values):
        "Return an order, and the study that has completed it"
        order = create_order(patient, requested=True)
        study = match_study(late_study(order, **values))
        self.assertEqual(study.link_status, 'auto_certain')
        return order, study

    def again(self, *records):
        "Return the records without anything that was read before"
        return [r.__class__(r.id) for r in records]

    def undo(self, replacement):
        Replacement = Pool().get(REPLACEMENT)
        Replacement.undo([replacement])
        return Replacement(replacement.id)

    @with_transaction()
    def test_the_fields_that_follow(self):
        "Say in `_kept_patients` of a new model which ones do not"
        self.assertEqual(patient_fields(), [
                (REQUEST, 'patient', 'gnuhealth.patient'),
                (RESULT, 'patient', 'gnuhealth.patient'),
                (STUDY, 'candidate', 'gnuhealth.patient'),
                (STUDY, 'patient', 'gnuhealth.patient'),
                (WRONG_PATIENT, 'patient_from', 'gnuhealth.patient'),
                (WRONG_PATIENT, 'patient_to', 'gnuhealth.patient'),
                (PATIENT, 'patient', 'gnuhealth.patient'),
                ])
        self.assertIn((STUDY, [
                    ('imaging_test', RESULT), ('request', REQUEST),
                    ('settled_result', RESULT)]), followed_links())

    @with_transaction()
    def test_imaging_records_move_at_once(self):
        duplicate, patient = self.patients()
        order, study = self.linked(duplicate)
        waiting = create_order(duplicate, requested=True)
        known = create_orthanc_patient(
            study.server, patient=duplicate.id, ident=duplicate.party.ref)
        replacement = replace(duplicate, patient)
        order, study, waiting, known = self.again(
            order, study, waiting, known)
        for record in [order, study, waiting, known, study.imaging_test]:
            self.assertEqual(record.patient, patient)
        self.assertEqual(study.request, order)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(order.state, 'done')
        self.assertEqual(replacement.state, 'moved')
        self.assertEqual(replacement.patient_from, duplicate)
        self.assertEqual(replacement.patient_to, patient)
        self.assertEqual(replacement.moved_records.count('\n'), 3)
        # The history says so
        last = study.decisions[0]
        self.assertEqual(last.event, 'replaced')
        self.assertEqual(last.patient_from, duplicate)
        self.assertEqual(last.patient_to, patient)
        self.assertIn(patient.party.rec_name, last.reason)
        self.assertEqual(last.user.login, 'admin')
        # And the former entries still say what was so
        self.assertEqual(study.decisions[-1].patient_to, duplicate)

    @with_transaction()
    def test_nothing_else_moves(self):
        duplicate, patient = self.patients()
        Appointment = Pool().get('gnuhealth.appointment')
        appointment, = Appointment.create([{
                    'patient': duplicate.id,
                    'state': 'free',
                    'appointment_date': dt.datetime(2026, 3, 4)}])
        replace(duplicate, patient)
        appointment, = self.again(appointment)
        self.assertEqual(appointment.patient, duplicate)

    @with_transaction()
    def test_somebody_without_images(self):
        duplicate, patient = self.patients()
        replacement = replace(duplicate, patient)
        self.assertEqual(replacement.moved_records, '')
        replacement = self.undo(replacement)
        self.assertEqual(replacement.state, 'undone')
        party, = self.again(duplicate.party)
        self.assertTrue(party.active)
        self.assertIsNone(party.replaced_by)

    @with_transaction()
    def test_the_worklist_has_the_data_of_the_replacement(self):
        from trytond.modules.health_orthanc.worklist.variables import Known
        duplicate, patient = self.patients(name="Hanna")
        order = create_order(duplicate, requested=True)
        Entry = Pool().get(ENTRY)

        def item():
            Entry._render_steps(Entry._find_stale(), Known())
            entry, = Entry.search([('step', '=', order.steps[0].id)])
            return entry.text
        self.assertIn(duplicate.party.ref, item())
        replace(duplicate, patient)
        self.assertIn(patient.party.ref, item())
        self.assertIn('Hanna', item())
        self.assertNotIn(duplicate.party.ref, item())

    @with_transaction()
    def test_images_with_the_old_identity_come_later(self):
        duplicate, patient = self.patients()
        order = create_order(duplicate, requested=True)
        study = late_study(order)
        replace(duplicate, patient)
        study = match_study(study)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_a_decision_of_a_person_stays_one(self):
        duplicate, patient = self.patients()
        order = create_order(duplicate, requested=True)
        study = create_study(create_server())
        create_series(study)
        user = create_user('clerk')
        with Transaction().set_user(user.id):
            Pool().get(STUDY).write([study], {'request': order.id})
        replace(duplicate, patient)
        study, = self.again(study)
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.link_status, 'manual')
        self.assertEqual(study.decided_by, user)

    @with_transaction()
    def test_what_contradicts_the_replacement_waits(self):
        duplicate, patient = self.patients()
        order, study = self.linked(duplicate)
        Patient = Pool().get('gnuhealth.patient')
        Patient.write([patient], {'biological_sex': 'm'})
        other, told = self.linked(duplicate, patient_sex=None)
        known = create_orthanc_patient(
            study.server, patient=duplicate.id, ident=duplicate.party.ref,
            sex='F')
        replacement = replace(duplicate, patient)
        order, study, told, known = self.again(order, study, told, known)
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.doubt, 'replaced')
        self.assertEqual(study.patient, patient)
        self.assertIn(study, Pool().get(STUDY).queue())
        self.assertEqual(told.link_status, 'auto_certain')
        self.assertEqual(known.patient, duplicate)
        # What has been done for the order stays done, and no machine decides
        study = match_study(study)
        self.assertEqual(order.state, 'done')
        self.assertEqual(study.request, order)
        self.assertEqual(study.doubt, 'replaced')
        self.assertEqual(study.decisions[0].event, 'replaced')
        self.assertIn('sex', study.decisions[0].reason.lower())
        # A person does
        study.link_because(study, patient, order, "Sex typed wrongly")
        study, order = self.again(study, order)
        self.assertEqual(study.link_status, 'manual')
        self.assertEqual(order.state, 'done')
        replacement = self.undo(replacement)
        self.assertIn(study.rec_name, replacement.left_records)

    @with_transaction()
    def test_a_contradiction_that_was_confirmed_is_none(self):
        duplicate, patient = self.patients()
        study = create_study(create_server(), patient_sex='M')
        Patient = Pool().get('gnuhealth.patient')
        Patient.write([duplicate, patient], {'biological_sex': 'f'})
        study.link_because(study, duplicate, reason="Typed wrongly")
        replace(duplicate, patient)
        study, = self.again(study)
        self.assertEqual(study.link_status, 'manual')
        self.assertEqual(study.patient, patient)

    @with_transaction()
    def test_the_wizards_say_why_it_waits(self):
        duplicate, _ = self.patients()
        _, study = self.linked(duplicate)
        party, = Pool().get('party.party').create([{'name': "Erika"}])
        replace(duplicate, party)
        pool = Pool()
        Review = pool.get('gnuhealth.imaging_orthanc.review', type='wizard')
        session_id, _, _ = Review.create()
        with Transaction().set_context(
                active_model=STUDY, active_id=study.id,
                active_ids=[study.id]):
            shown = Review.execute(session_id, {}, 'start')['view']['values']
        self.assertEqual(shown['doubt'], 'replaced')
        self.assertEqual(shown['patient'], duplicate.id)

    # The replacement has no patient record

    @with_transaction()
    def test_links_wait_for_a_patient_record(self):
        duplicate, _ = self.patients()
        order, study = self.linked(duplicate)
        party, = Pool().get('party.party').create([{
                    'name': "Erika", 'lastname': "Muster", 'is_person': True,
                    'fed_country': 'XXX', 'ref': 'NEWPUID', 'dob': BIRTH,
                    'gender': 'f'}])
        replacement = replace(duplicate, party)
        self.assertEqual(replacement.state, 'waiting')
        order, study = self.again(order, study)
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.doubt, 'replaced')
        self.assertEqual(study.patient, duplicate)
        self.assertEqual(order.patient, duplicate)
        self.assertEqual(order.state, 'done')
        self.assertIn("no patient record", study.decisions[0].reason)
        self.assertEqual(match_study(study).doubt, 'replaced')
        # Now the person is registered
        Party = Pool().get('party.party')
        Party.write([party], {'is_patient': True})
        patient, = Pool().get('gnuhealth.patient').create([
                {'party': party.id}])
        order, study, replacement = self.again(order, study, replacement)
        self.assertEqual(replacement.state, 'moved')
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(order.patient, patient)
        self.undo(replacement)
        order, study = self.again(order, study)
        self.assertEqual(study.patient, duplicate)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(order.patient, duplicate)

    @with_transaction()
    def test_the_wait_is_undone(self):
        duplicate, _ = self.patients()
        _, study = self.linked(duplicate)
        party, = Pool().get('party.party').create([{'name': "Erika"}])
        self.undo(replace(duplicate, party))
        study, = self.again(study)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.patient, duplicate)
        self.assertIsNone(study.doubt)

    # Undoing

    @with_transaction()
    def test_a_mistake_is_undone(self):
        somebody = create_patient("Muster", "Erika", dob=BIRTH)
        other = create_patient("Ejemplo", "Ana", dob=dt.date(1980, 2, 29))
        order, study = self.linked(somebody)
        own, theirs = self.linked(other)
        replacement = self.undo(replace(somebody, other))
        records = self.again(order, study, own, theirs)
        for record, patient in zip(
                records, [somebody, somebody, other, other]):
            self.assertEqual(record.patient, patient)
        _, study, _, theirs = records
        self.assertEqual(study.imaging_test.patient, somebody)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.decisions[0].event, 'replacement_undone')
        self.assertEqual(theirs.link_status, 'auto_certain')
        self.assertEqual(len(theirs.decisions), 1)
        self.assertEqual(replacement.state, 'undone')
        self.assertFalse(replacement.left_records)
        party, = self.again(somebody.party)
        self.assertTrue(party.active)
        # A second time there is nothing to undo
        self.undo(replacement)

    @with_transaction()
    def test_what_was_changed_since_is_left(self):
        duplicate, patient = self.patients()
        order, study = self.linked(duplicate)
        _, other = self.linked(duplicate)
        replacement = replace(duplicate, patient)
        third = create_order(patient, requested=True)
        Pool().get(STUDY).write([study], {'request': third.id})
        replacement = self.undo(replacement)
        order, study, other = self.again(order, study, other)
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.request, third)
        self.assertEqual(order.patient, duplicate)
        self.assertEqual(order.state, 'requested')
        self.assertEqual(other.patient, duplicate)
        left, = replacement.left_records.splitlines()
        self.assertIn(f' {study.id}: {study.rec_name}', left)

    @with_transaction()
    def test_what_belongs_together_stays_together(self):
        duplicate, patient = self.patients()
        order, study = self.linked(duplicate)
        replacement = replace(duplicate, patient)
        order, = self.again(order)
        # Somebody puts images of the replacement into the order
        mine = create_study(create_server())
        Pool().get(STUDY).write([mine], {'request': order.id})
        replacement = self.undo(replacement)
        order, study, mine = self.again(order, study, mine)
        self.assertEqual(order.patient, patient)
        self.assertEqual(mine.patient, patient)
        self.assertEqual(mine.request, order)
        self.assertIn(order.rec_name, replacement.left_records)
        # The images have the PUID of the one, and the numbers of the other
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.patient, duplicate)

    @with_transaction()
    def test_what_a_machine_linked_since_is_matched_again(self):
        somebody = create_patient("Muster", "Erika", dob=BIRTH)
        other = create_patient("Muster", "Erika", dob=BIRTH)
        order = create_order(somebody, requested=True)
        replacement = replace(somebody, other)
        order, = self.again(order)
        study = late_study(order, patient_id=somebody.party.ref)
        alone = late_study(
            order, patient_id=somebody.party.ref, accession_number=None,
            study_instance_UID='1.2.3.99', date=dt.date(2020, 1, 1))
        study, alone = match_study(study), match_study(alone)
        self.assertEqual(study.patient, other)
        self.assertEqual(study.link_status, 'auto_certain')
        replacement = self.undo(replacement)
        order, study, alone = self.again(order, study, alone)
        self.assertEqual(order.patient, somebody)
        self.assertEqual(study.patient, somebody)
        self.assertEqual(study.request, order)
        self.assertEqual(study.imaging_test.patient, somebody)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertNotEqual(alone.patient, other)
        self.assertFalse(replacement.left_records)

    @with_transaction()
    def test_the_replacement_is_replaced(self):
        first, second = self.patients()
        third = create_patient(dob=BIRTH)
        order, study = self.linked(first)
        earlier = replace(first, second)
        later = replace(second, third)
        study, = self.again(study)
        self.assertEqual(study.patient, third)
        with self.assertUserError('msg_replacement_later'):
            self.undo(earlier)
        self.undo(later)
        study, = self.again(study)
        self.assertEqual(study.patient, second)
        self.undo(earlier)
        study, = self.again(study)
        self.assertEqual(study.patient, first)

    @with_transaction()
    def test_further_orders_follow(self):
        duplicate, patient = self.patients()
        order, study = self.linked(duplicate)
        further = create_order(duplicate, requested=True)
        study.link_because(study, duplicate, order, further=[further])
        study, = self.again(study)
        self.assertEqual(set(study.linked_orders), {order, further})
        replacement = replace(duplicate, patient)
        for _ in range(2):
            study, order, further = self.again(study, order, further)
            self.assertEqual(set(study.linked_orders), {order, further})
            line, = study.further_orders
            for record in [order, further, line.result, study.imaging_test]:
                self.assertEqual(record.patient, study.patient)
            self.assertEqual(further.state, 'done')
            replacement = self.undo(replacement)
        self.assertEqual(study.patient, duplicate)
        self.assertFalse(replacement.left_records)

    @with_transaction()
    def test_key_images_follow(self):
        duplicate, patient = self.patients()
        study = create_study(create_server(), patient=duplicate.id,
            link_status='manual')
        Attachment = Pool().get('ir.attachment')
        image, other = Attachment.create([
                {'name': name, 'resource': str(duplicate), 'data': b'x'}
                for name in ['key', 'other']])
        Pool().get(STUDY).write([study], {'key_image': image.id})
        replacement = replace(duplicate, patient)
        study, image, other = self.again(study, image, other)
        self.assertEqual(image.resource, patient)
        self.assertEqual(study.key_image, image)
        self.assertEqual(other.resource, duplicate)
        self.undo(replacement)
        image, = self.again(image)
        self.assertEqual(image.resource, duplicate)

    @with_transaction()
    def test_statements_grow_by_batches(self):
        counts = []
        for number in [2, 12]:
            duplicate, patient = self.patients()
            for _ in range(number):
                self.linked(duplicate)
            with counted() as count:
                replacement = replace(duplicate, patient)
                moved = count()
                self.undo(replacement)
                counts.append((moved, count() - moved))
        few, many = counts
        self.assertLess(many[0], few[0] + 20)
        self.assertLess(many[1], few[1] + 400)


class AccessToReplacementsTestCase(AccessTestCase):

    def test_administrators_only(self):
        with Transaction().start(self.db_name, 1) as transaction:
            duplicate, patient = create_patient(), create_patient()
            replacement = replace(duplicate, patient).id
            transaction.commit()
        for login in self.users:
            for method, arguments in [
                    ('read', [[replacement], ['left_records']]),
                    ('search', [[]]),
                    ('undo', [[replacement]])]:
                with self.subTest(user=login, method=method):
                    call = self.as_(login).model
                    if login == 'administrator':
                        call(REPLACEMENT, method, *arguments)
                    else:
                        with self.assertRaises(Refused):
                            call(REPLACEMENT, method, *arguments)
            for method, arguments in [
                    ('create', [[{}]]), ('delete', [[replacement]]),
                    ('write', [[replacement], {'state': 'moved'}])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(REPLACEMENT, method, *arguments)
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(
                        f'{REPLACEMENT}.move', 'read', [1], ['after'])
