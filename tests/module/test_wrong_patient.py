# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of the wrong patient: quarantine, move, undo, and who is told."""

import datetime as dt
from unittest.mock import patch

from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.archive import preview
from trytond.modules.health_orthanc.exchange import attachment
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder, PYSONEncoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction
from trytond.wsgi import app

from .access import (
    NOTICE, REQUEST, RESULT, STEP, WRONG_PATIENT, AccessTestCase, own_wizards)
from .test_results import ResultReportTestCase, create_physician, write_as
from .tools import (
    INSTANCE, PATIENT, SERIES, STUDY, OrthancTestCase, Refused, Told,
    create_instance, create_order, create_patient, create_series,
    create_server, create_study, create_user, installed_viewer, match_study)

ATTACHMENT = 'ir.attachment'
MARK = 'gnuhealth.imaging_orthanc.mark_wrong_patient'
MOVE = 'gnuhealth.imaging_orthanc.move_study'
# What shows or hands out images
SHOWING = {
    'gnuhealth.imaging_orthanc.open_viewer',
    'gnuhealth.imaging_orthanc.preview',
    'gnuhealth.imaging_orthanc.download_images',
    'gnuhealth.imaging_orthanc.view_images',
    }
# What does not
NOT_SHOWING = {
    'gnuhealth.imaging_orthanc.study.dismiss',
    'gnuhealth.imaging_orthanc.confirm_suggestions',
    'gnuhealth.imaging_orthanc.correct_identity',
    'gnuhealth.imaging_orthanc.restore_identity',
    'gnuhealth.imaging_orthanc.delete_images',
    MARK, MOVE,
    }


def told(user):
    return Pool().get(NOTICE).search([('user', '=', user.id)])


class WrongPatientTestCase(OrthancTestCase):
    "Tests of what follows when links are moved"

    def picked(self, written=False, **values):
        "Return a study that was acquired with the item of the wrong order"
        self.wrong_order = create_order(create_patient(), requested=True)
        self.right_order = create_order(
            create_patient("Ejemplo", "Juan"), requested=True)
        self.server = create_server(**values)
        study = create_study(
            self.server, modalities='CT',
            study_instance_UID=self.wrong_order.study_instance_uid,
            accession_number=self.wrong_order.accession_number,
            patient_id=self.wrong_order.patient.party.ref)
        Study = Pool().get(STUDY)
        Study.write([study], {'request': self.wrong_order.id})
        study = Study(study.id)
        self.assertEqual(self.wrong_order.state, 'done')
        if written:
            self.reader, self.professional = create_physician('reader')
            write_as(self.reader, study.imaging_test, comment="No fracture")
        return Study(study.id)

    def mark(self, study, reason="The other knee"):
        wrong, = Pool().get(WRONG_PATIENT).mark([study], reason)
        return wrong

    def moved(self, study, **values):
        wrong = self.mark(study)
        wrong.start_move(
            wrong, self.right_order.patient,
            **{'request': self.right_order, **values})
        return Pool().get(WRONG_PATIENT)(wrong.id)

    def states(self):
        Request = Pool().get(REQUEST)
        return tuple(
            Request(o.id).state for o in [self.wrong_order, self.right_order])

    def result_of(self, order):
        results = Pool().get(RESULT).search([('request', '=', order.id)])
        return results[0] if results else None

    @with_transaction()
    def test_a_reason_is_needed(self):
        study = self.picked()
        with self.assertUserError('msg_reason_required'):
            self.mark(study, "  ")

    @with_transaction()
    def test_what_is_linked_to_nobody_is_reviewed(self):
        with self.assertUserError('msg_wrong_patient_unlinked'):
            self.mark(create_study(create_server()))

    @with_transaction()
    def test_marking_says_who_when_and_why(self):
        user = create_user('noticed', 'health.group_health_doctor')
        study = self.picked()
        with Transaction().set_user(user.id):
            wrong = self.mark(study)
        study = Pool().get(STUDY)(study.id)
        self.assertTrue(study.quarantined)
        self.assertEqual(study.quarantined_by, user)
        self.assertEqual(study.quarantine_reason, "The other knee")
        self.assertEqual(wrong.marked_by, user)
        self.assertEqual(wrong.patient_from, self.wrong_order.patient)
        with self.assertUserError('msg_study_quarantined'):
            self.mark(study)

    @with_transaction()
    def test_lists_show_what_is_in_quarantine(self):
        study = self.picked()
        self.mark(study)
        Study = Pool().get(STUDY)
        visual = PYSONEncoder().encode(dict(
                (name, value) for path, name, value, *_
                in Study.view_attributes() if path == '/tree')['visual'])
        for quarantined_at, shown in [
                (Study(study.id).quarantined_at, 'danger'), (None, '')]:
            self.assertEqual(PYSONDecoder({
                        'quarantined_at': quarantined_at,
                        'missing_since': None, 'link_status': 'manual',
                        }).decode(visual), shown)

    @with_transaction()
    def test_both_orders_are_right_again(self):
        study = self.picked()
        wrong = self.moved(study)
        self.assertEqual(wrong.state, 'moved')
        self.assertEqual(self.states(), ('requested', 'done'))
        self.assertEqual(
            [s.state for s in self.wrong_order.steps], ['scheduled'])
        study = Pool().get(STUDY)(study.id)
        self.assertEqual(study.patient, self.right_order.patient)
        self.assertEqual(study.request, self.right_order)
        self.assertEqual(study.imaging_test.request, self.right_order)
        self.assertIsNone(self.result_of(self.wrong_order))
        # Until somebody has confirmed it
        self.assertTrue(study.quarantined)

    @with_transaction()
    def test_a_move_is_undone(self):
        study = self.picked()
        before = Pool().get(STUDY).read([study.id], [
                'patient', 'request', 'link_status', 'decided_by', 'score'])
        wrong = self.moved(study)
        wrong.undo_move([wrong])
        self.assertEqual(wrong.state, 'marked')
        self.assertEqual(self.states(), ('done', 'requested'))
        self.assertEqual(Pool().get(STUDY).read([study.id], [
                'patient', 'request', 'link_status', 'decided_by',
                'score']), before)
        self.assertIsNone(self.result_of(self.right_order))
        self.assertTrue(self.result_of(self.wrong_order))
        self.assertTrue(Pool().get(STUDY)(study.id).quarantined)
        wrong.take_back([wrong])
        self.assertFalse(Pool().get(STUDY)(study.id).quarantined)

    @with_transaction()
    def test_a_move_is_confirmed(self):
        study = self.picked()
        wrong = self.moved(study)
        wrong.confirm_move([wrong])
        study = Pool().get(STUDY)(study.id)
        self.assertFalse(study.quarantined)
        self.assertIsNone(study.quarantine_reason)
        self.assertEqual(wrong.state, 'confirmed')
        with self.assertUserError('msg_wrong_patient_state'):
            wrong.undo_move([wrong])

    @with_transaction()
    def test_a_finding_goes_with_the_images(self):
        study = self.picked(written=True)
        result = study.imaging_test
        former = result.request_date
        wrong = self.moved(study)
        result = Pool().get(RESULT)(result.id)
        self.assertEqual(result.patient, self.right_order.patient)
        self.assertEqual(result.request, self.right_order)
        self.assertEqual(result.order, self.right_order.request)
        self.assertEqual(result.merge_id, self.right_order.merge_id)
        self.assertEqual(result.comment, "No fracture")
        self.assertEqual(result.doctor, self.professional)
        self.assertIsNone(self.result_of(self.wrong_order))
        self.assertEqual(self.states(), ('requested', 'done'))
        wrong.undo_move([wrong])
        result = Pool().get(RESULT)(result.id)
        self.assertEqual(result.patient, self.wrong_order.patient)
        self.assertEqual(result.request, self.wrong_order)
        self.assertEqual(result.request_date, former)
        self.assertEqual(result.comment, "No fracture")
        self.assertIsNone(self.result_of(self.right_order))
        self.assertEqual(self.states(), ('done', 'requested'))

    @with_transaction()
    def test_the_finding_is_not_to_be_relied_on(self):
        study = self.picked(written=True)
        result = study.imaging_test
        self.assertFalse(result.orthanc_in_quarantine)
        wrong = self.mark(study)
        result = Pool().get(RESULT)(result.id)
        self.assertTrue(result.orthanc_in_quarantine)
        text = ResultReportTestCase.render(self, result)
        self.assertIn("Do not rely on this result", text)
        wrong.take_back([wrong])
        result = Pool().get(RESULT)(result.id)
        self.assertFalse(result.orthanc_in_quarantine)

    @with_transaction()
    def test_an_order_whose_numbers_the_images_keep_gets_new_ones(self):
        study = self.picked()
        names = ['accession_number', 'study_instance_uid', 'merge_id']

        def numbers():
            order = Pool().get(REQUEST)(self.wrong_order.id)
            return [getattr(order, name) for name in names]
        before = numbers()
        wrong = self.moved(study)
        self.assertFalse(set(before) & set(numbers()))
        self.assertTrue(all(numbers()))
        wrong.undo_move([wrong])
        self.assertEqual(numbers(), before)

    @with_transaction()
    def test_a_finding_stays_where_the_right_order_has_one(self):
        study = self.picked(written=True)
        result = study.imaging_test
        Pool().get(RESULT).create([{
                    'patient': self.right_order.patient.id,
                    'date': self.right_order.date,
                    'requested_test': self.right_order.requested_test.id,
                    'request': self.right_order.id, 'comment': "Own",
                    'doctor': self.professional.id}])
        self.moved(study)
        result = Pool().get(RESULT)(result.id)
        self.assertEqual(result.request, self.wrong_order)
        self.assertTrue(result.orthanc_images_unlinked)

    @with_transaction()
    def test_two_patients_whose_items_were_swapped(self):
        study = self.picked()
        Study = Pool().get(STUDY)
        other = create_study(
            self.server, accession_number=self.right_order.accession_number)
        Study.write([other], {'request': self.right_order.id})
        self.assertEqual(self.states(), ('done', 'done'))
        self.moved(study)
        self.assertEqual(self.states(), ('requested', 'done'))
        wrong = self.mark(other)
        wrong.start_move(wrong, self.wrong_order.patient, self.wrong_order)
        self.assertEqual(self.states(), ('done', 'done'))
        self.assertEqual(
            Study(study.id).imaging_test, self.result_of(self.right_order))
        self.assertEqual(
            Study(other.id).imaging_test, self.result_of(self.wrong_order))

    @with_transaction()
    def test_what_cannot_be_chosen(self):
        study = self.picked()
        one, two = create_series(study), create_series(study)
        wrong = self.mark(study)
        for message, patient, request, series in [
                ('order', self.right_order.patient, self.wrong_order, None),
                ('same', self.wrong_order.patient, self.wrong_order, None),
                ('same', self.wrong_order.patient, None, None),
                ('series', self.right_order.patient, None, [one])]:
            with self.subTest(message=message):
                with self.assertUserError(f'msg_wrong_patient_{message}'):
                    wrong.start_move(wrong, patient, request, series)
        wrong.start_move(
            wrong, self.right_order.patient, self.right_order, [one, two])
        self.assertIsNone(wrong.chosen_series)

    @with_transaction()
    def test_in_quarantine_only_the_wizard_moves_it(self):
        study = self.picked()
        self.mark(study)
        Study = Pool().get(STUDY)
        patient = self.right_order.patient
        with self.assertUserError('msg_study_quarantined_link'):
            with Transaction().set_context(_check_access=True), \
                    Transaction().set_user(1):
                Study.write([study], {'patient': patient.id})
        for decide in [
                lambda: Study.link_because(study, patient, None, "Reason"),
                lambda: Study.unlink_because([study], "Reason"),
                lambda: Study.dismiss_because([study], "Reason")]:
            with self.assertUserError('msg_study_quarantined_link'):
                decide()
        Study.assign([Study(study.id)], patient, self.wrong_order.patient)
        match_study(study)
        self.assertEqual(
            Study(study.id).patient, self.wrong_order.patient)
        self.assertEqual(Study(study.id).request, self.wrong_order)
        Correction = Pool().get(
            'gnuhealth.imaging_orthanc.study.correction')
        self.server.correct_identity = True
        self.server.save()
        self.assertEqual(
            Correction.find_obstacle(Study(study.id), 'correct'),
            'quarantined')

    @with_transaction()
    def test_who_is_told(self):
        study = self.picked(written=True)
        attaching = create_user('attaching', 'health.group_health_doctor')
        ordering, professional = create_physician('ordering', "Orderer")
        self.wrong_order.doctor = professional
        self.wrong_order.save()
        noticing = create_user('noticing', 'health.group_health_doctor')
        other = create_user('other', 'health.group_health_doctor')
        instance = create_instance(create_series(study))
        with Transaction().set_user(attaching.id):
            attachment._attach_image(
                study.imaging_test, instance.sop_instance_UID, b'image', "1")
        with Transaction().set_user(noticing.id):
            wrong = self.mark(study)
        for user in [self.reader, attaching, ordering]:
            with self.subTest(user=user.name):
                notice, = told(user)
                self.assertIn("The other knee", notice.message)
                self.assertIn(
                    self.wrong_order.patient.rec_name, notice.message)
                self.assertIsNone(notice.read_at)
        self.assertFalse(told(noticing))
        self.assertFalse(told(other))
        notice, = told(self.reader)
        with Transaction().set_user(self.reader.id):
            notice.mark_read([notice])
        self.assertIsNotNone(Pool().get(NOTICE)(notice.id).read_at)
        wrong.start_move(wrong, self.right_order.patient, self.right_order)
        notice = Pool().get(NOTICE)(notice.id)
        self.assertIsNone(notice.read_at)
        self.assertIn(self.right_order.patient.rec_name, notice.message)
        # Who noticed it is told how it went on
        self.assertTrue(told(noticing))

    @with_transaction()
    def test_attached_images_are_withheld_and_follow(self):
        study = self.picked(written=True)
        instance = create_instance(create_series(study))
        result = study.imaging_test
        Attachment = Pool().get(ATTACHMENT)
        image = attachment._attach_image(
            result, instance.sop_instance_UID, b'image', "1")
        letter, = Attachment.create([{
                    'resource': str(result), 'name': "Letter",
                    'data': b'letter'}])
        wrong = self.mark(study)
        self.assertEqual(list(Pool().get(RESULT)(result.id).images), [letter])
        with Transaction().set_user(self.reader.id), \
                Transaction().set_context(_check_access=True):
            with self.assertRaises(AccessError):
                Attachment.read([image.id], ['data'])
        wrong.start_move(wrong, self.right_order.patient, self.right_order)
        self.assertNotIn(image, Pool().get(RESULT)(result.id).images)
        wrong.confirm_move([wrong])
        study = Pool().get(STUDY)(study.id)
        self.assertIn(image, study.imaging_test.images)
        self.assertEqual(study.imaging_test.request, self.right_order)

    @with_transaction()
    def test_attached_images_come_back(self):
        study = self.picked()
        instance = create_instance(create_series(study))
        image = attachment._attach_image(
            study.imaging_test, instance.sop_instance_UID, b'image', "1")
        wrong = self.mark(study)
        wrong.start_move(wrong, self.right_order.patient, self.right_order)
        wrong.undo_move([wrong])
        wrong.take_back([wrong])
        # The result was made anew
        self.assertEqual(
            Pool().get(ATTACHMENT)(image.id).resource,
            self.result_of(self.wrong_order))

    @with_transaction()
    def test_key_images_are_removed(self):
        study = self.picked(
            key_image=True, start_date=dt.date(2020, 1, 1))
        Study = Pool().get(STUDY)
        image = attachment._attach_image(
            study.imaging_test, 'key', b'image', "1")
        Study.write([study], {
                'key_image': image.id, 'stable': True,
                'key_image_at': study.create_date})
        wrong = self.mark(study)
        self.assertFalse(
            Pool().get(ATTACHMENT).search([('id', '=', image.id)]))
        waiting = attachment._without_key_image
        self.assertNotIn(study.id, waiting(self.server.id, 100))
        wrong.take_back([wrong])
        self.assertIn(study.id, waiting(self.server.id, 100))


class QuarantineDoorsTestCase(AccessTestCase):
    "What shows images does not show those in quarantine"

    @classmethod
    def _create_records(cls):
        super()._create_records()
        Pool().get(WRONG_PATIENT).mark([cls.study], "The other knee")

    def context(self, model, id_):
        return {'active_model': model, 'active_id': id_, 'active_ids': [id_]}

    def test_all_wizards_are_known(self):
        "Say of a new one whether it shows images"
        models = {PATIENT, STUDY, SERIES, INSTANCE}
        with Transaction().start(self.db_name, 1):
            found = {
                name for name, Wizard in own_wizards()
                if models & getattr(Wizard, '_record_models', set())}
        self.assertEqual(found, SHOWING | NOT_SHOWING)

    def test_all_routes_are_known(self):
        "Say of a new one whether it hands out images"
        found = {
            rule.rule.partition('/orthanc/')[2]
            for rule in app.url_map.iter_rules() if '/orthanc/' in rule.rule}
        dicom_web = 'dicomweb/<int(max=2147483647):server>/dicom-web/'
        self.assertEqual(found, {'download', f'{dicom_web}<path:path>'} | {
                'health', 'metrics', 'notify', 'upload', 'upload/headers',
                'upload/transfer', 'view', 'view.js', 'viewer-session',
                # The program of the viewer, with no images
                'viewer/files/<revision>/<path:name>',
                'viewer/<int:server>/', 'viewer/<int:server>/<path:route>',
                'viewer/<int:server>/app-config.js',
                # What somebody may see in Orthanc, and no images
                'authorization/tokens/validate',
                'authorization/tokens/decode',
                'authorization/tokens/<kind>',
                'authorization/user/get-profile',
                'worklist'})

    def test_wizards_say_why(self):
        for login in self.INSIDERS:
            for name, model in [
                    *(('gnuhealth.imaging_orthanc.open_viewer', m)
                        for m in [PATIENT, STUDY, SERIES, INSTANCE]),
                    ('gnuhealth.imaging_orthanc.preview', INSTANCE),
                    ('gnuhealth.imaging_orthanc.download_images', STUDY),
                    ('gnuhealth.imaging_orthanc.download_images', SERIES),
                    ('gnuhealth.imaging_orthanc.view_images', STUDY),
                    ('gnuhealth.imaging_orthanc.view_images', SERIES)]:
                with installed_viewer(), self.subTest(
                        user=login, wizard=name, model=model):
                    session = self.as_(login)
                    context = self.context(model, self.ids[model])
                    id_, state, _ = session.wizard(name, 'create', **context)
                    with self.assertRaisesRegex(Told, 'quarantine'):
                        session.wizard(
                            name, 'execute', id_, {}, state, **context)

    def test_a_viewer_that_was_chosen_before(self):
        session = self.as_('doctor')
        context = self.context(STUDY, self.study.id)
        name = 'gnuhealth.imaging_orthanc.open_viewer'
        id_, *_ = session.wizard(name, 'create', **context)
        with self.assertRaisesRegex(Told, 'quarantine'):
            session.wizard(
                name, 'execute', id_, {'choose': {'viewer': self.viewer.id}},
                'open_', **context)

    def test_no_field_shows_an_image(self):
        "Nor does it lead to a viewer"
        with Transaction().start(self.db_name, 1):
            pool = Pool()
            names = {
                model: [
                    name for name, field in pool.get(model)._fields.items()
                    if field._type == 'binary' or name.endswith('_link')
                    or name == 'link']
                for model in [PATIENT, STUDY, SERIES, INSTANCE]}
        self.assertIn('thumbnail', names[STUDY])
        self.assertIn('image', names[INSTANCE])
        with patch.object(
                preview, '_fetch_from_server',
                side_effect=lambda server, keys, fetch: {
                    id_: b'image' for id_, _ in keys}):
            for login in self.INSIDERS:
                for model, fields in names.items():
                    with self.subTest(user=login, model=model):
                        row, = self.as_(login).model(
                            model, 'read', [self.ids[model]], fields)
                        self.assertFalse(any(row[name] for name in fields))

    def test_no_image_is_attached(self):
        for login in self.INSIDERS:
            with self.subTest(user=login):
                with self.assertRaisesRegex(Told, 'quarantine'):
                    self.as_(login).model(
                        INSTANCE, 'attach_image_to_imaging_test_report',
                        [self.instance.id])

    def test_a_ticket_that_was_issued_before(self):
        with Transaction().start(
                self.db_name, self.users['doctor']) as transaction:
            ticket = Pool().get(
                'gnuhealth.imaging_orthanc.download').issue(self.study)
            transaction.commit()
        response = self.client().post(
            f'/{self.db_name}/orthanc/download', data={'ticket': ticket})
        self.assertEqual(response.status_code, 403)
        self.assertIn('quarantine', response.get_data(as_text=True))

    def test_whoever_does_not_see_the_study_is_not_told(self):
        for login in [*self.OUTSIDERS, *self.RADIOGRAPHERS]:
            for name in ['patient', 'imaging_test', 'request']:
                with self.subTest(user=login, field=name):
                    with self.assertRaises(Refused) as raised:
                        self.as_(login).model(
                            STUDY, 'write', [self.study.id], {name: None})
                    self.assertNotIn('quarantine', str(raised.exception))

    def test_whoever_sees_the_study_sees_why(self):
        for login in self.INSIDERS:
            row, = self.as_(login).model(
                STUDY, 'read', [self.study.id],
                ['quarantined_at', 'quarantine_reason'])
            self.assertTrue(row['quarantined_at'])
            self.assertEqual(row['quarantine_reason'], "The other knee")


class WrongPatientAccessTestCase(AccessTestCase):
    "Who may mark, move, confirm and read"

    def mark(self, login, study):
        session = self.as_(login)
        context = {
            'active_model': STUDY, 'active_id': study.id,
            'active_ids': [study.id]}
        id_, *_ = session.wizard(MARK, 'create', **context)
        session.wizard(
            MARK, 'execute', id_, {'ask': {'reason': "Other"}}, 'mark',
            **context)

    def new_study(self):
        with Transaction().start(self.db_name, 1) as transaction:
            study = create_study(
                self.server, patient=self.patient.id, link_status='manual')
            transaction.commit()
        return study

    def wrong(self, study):
        with Transaction().start(self.db_name, 1):
            return Pool().get(WRONG_PATIENT).search(
                [('study', '=', study.id)])[0].id

    def test_marking(self):
        for login in self.users:
            with self.subTest(user=login):
                study = self.new_study()
                if login in self.INSIDERS:
                    self.mark(login, study)
                    with Transaction().start(self.db_name, 1):
                        self.assertEqual(
                            Pool().get(STUDY)(study.id).quarantined_by.id,
                            self.users[login])
                else:
                    with self.assertRaises(Refused):
                        self.mark(login, study)

    def test_radiographers_mark_the_study_of_a_step(self):
        for login in ['radiographer', 'head', 'nurse', 'nobody']:
            with Transaction().start(self.db_name, 1) as transaction:
                order = create_order(self.patient, requested=True)
                study = create_study(self.server)
                Pool().get(STUDY).write([study], {'request': order.id})
                step, = order.steps
                transaction.commit()
            session = self.as_(login)
            context = {
                'active_model': STEP, 'active_id': step.id,
                'active_ids': [step.id]}
            with self.subTest(user=login):
                if login in {'nurse', 'nobody'}:
                    with self.assertRaises(Refused):
                        session.wizard(MARK, 'create', **context)
                    continue
                id_, state, _ = session.wizard(MARK, 'create', **context)
                view = session.wizard(
                    MARK, 'execute', id_, {}, state, **context)
                self.assertIn(
                    "Muster", view['view']['defaults']['question'])
                session.wizard(
                    MARK, 'execute', id_, {'ask': {'reason': "Other"}},
                    'mark', **context)
                with Transaction().start(self.db_name, 1):
                    self.assertTrue(Pool().get(STUDY)(study.id).quarantined)

    def test_a_step_without_images(self):
        session = self.as_('radiographer')
        context = {
            'active_model': STEP, 'active_id': self.step.id,
            'active_ids': [self.step.id]}
        id_, state, _ = session.wizard(MARK, 'create', **context)
        with self.assertRaises(Told):
            session.wizard(MARK, 'execute', id_, {}, state, **context)

    def test_physicians_mark_no_unlinked_study(self):
        with self.assertRaises(Refused):
            self.mark('doctor', self.unlinked_study)

    def test_moving_and_confirming(self):
        for login in ['clerk', 'administrator']:
            with self.subTest(user=login):
                study = self.new_study()
                self.mark('doctor', study)
                session = self.as_(login)
                context = {
                    'active_model': STUDY, 'active_id': study.id,
                    'active_ids': [study.id]}
                id_, state, _ = session.wizard(MOVE, 'create', **context)
                session.wizard(MOVE, 'execute', id_, {}, state, **context)
                values = {
                    'choose': {
                        'patient': self.other_patient.id, 'order': None,
                        'study': study.id, 'series': []}}
                view = session.wizard(
                    MOVE, 'execute', id_, values, 'confirm', **context)
                message = view['view']['defaults']['message']
                self.assertIn("Ejemplo", message)
                # Neither a right nor a wrong order
                self.assertNotIn('–', message)
                session.wizard(
                    MOVE, 'execute', id_, values, 'move', **context)
                wrong = self.wrong(study)
                session.model(WRONG_PATIENT, 'undo_move', [wrong])
                session.wizard(
                    MOVE, 'execute', id_, values, 'move', **context)
                session.model(WRONG_PATIENT, 'confirm_move', [wrong])
                with Transaction().start(self.db_name, 1):
                    study = Pool().get(STUDY)(study.id)
                    self.assertEqual(study.patient.id, self.other_patient.id)
                    self.assertEqual(
                        study.decided_by.id, self.users[login])
                    self.assertFalse(study.quarantined)

    def test_nobody_else_settles_it(self):
        study = self.new_study()
        self.mark('clerk', study)
        wrong = self.wrong(study)
        for login in self.users.keys() - {'clerk', 'administrator'}:
            session = self.as_(login)
            with self.subTest(user=login):
                for button in [
                        'move', 'undo_move', 'confirm_move', 'take_back']:
                    with self.assertRaises(Refused):
                        session.model(WRONG_PATIENT, button, [wrong])
                with self.assertRaises(Refused):
                    session.model(STUDY, 'move_to_patient', [study.id])
                with self.assertRaises(Refused):
                    session.model(WRONG_PATIENT, 'read', [wrong], ['reason'])
                with self.assertRaises(Refused):
                    session.wizard(
                        MOVE, 'create', active_model=STUDY,
                        active_id=study.id, active_ids=[study.id])

    def test_notices_are_for_whom_they_are(self):
        found = self.as_('doctor').model(NOTICE, 'search', [])
        self.assertIn(self.notice.id, found)
        with Transaction().start(self.db_name, 1):
            self.assertEqual(
                {n.user.id for n in Pool().get(NOTICE).browse(found)},
                {self.users['doctor']})
        with Transaction().start(self.db_name, 1) as transaction:
            other = create_user('colleague', 'health.group_health_doctor')
            transaction.commit()
        session = self.session(other.id)
        self.assertEqual(session.model(NOTICE, 'search', []), [])
        for method, arguments in [
                ('read', [['message']]), ('mark_read', [])]:
            with self.assertRaises(Refused):
                session.model(NOTICE, method, [self.notice.id], *arguments)
        # The clerk sees who has read it
        for login in ['clerk', 'administrator']:
            session = self.as_(login)
            read, = session.model(
                NOTICE, 'read', [self.notice.id], ['read_at', 'own'])
            self.assertFalse(read['read_at'] or read['own'])
            with self.assertRaises(Told):
                session.model(NOTICE, 'mark_read', [self.notice.id])
            self.assertIsNone(
                self.stored(NOTICE, self.notice.id, 'read_at'))
        self.as_('doctor').model(NOTICE, 'mark_read', [self.notice.id])
        with Transaction().start(self.db_name, 1):
            self.assertTrue(Pool().get(NOTICE)(self.notice.id).read_at)
