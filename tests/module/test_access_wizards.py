# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may run which wizard."""

from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import HEALTH_PATIENT, STEP, AccessTestCase, own_wizards
from .tools import (
    INSTANCE, SERIES, SERVER, STUDY, Refused, RpcTestCase, Told, record_id)


class WizardsTestCase(AccessTestCase):
    "Wizards that are run without the client"

    ALLOWED = {
        'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect': {
            'administrator'},
        'gnuhealth.imaging_orthanc.full_synchronize': {'administrator'},
        'gnuhealth.imaging_orthanc.review_historical': {'administrator'},
        'gnuhealth.imaging_orthanc.get_new_studies': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.upload_image_data': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.open_viewer': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging_orthanc.view_images': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging_orthanc.all_images': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging_orthanc.preview': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging.procedure.step.reject': {
            'administrator', 'radiographer', 'head'},
        'gnuhealth.imaging.print_daily_schedule': {
            'administrator', 'clerk', 'radiographer', 'head'},
        'gnuhealth.orthanc.connect_plugin': {'administrator'},
        'gnuhealth.orthanc.connect_authorization': {'administrator'},
        'gnuhealth.imaging_orthanc.study.dismiss': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.review': {'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.confirm_suggestions': {
            'administrator', 'clerk'},
        'gnuhealth.imaging_orthanc.correct_identity': {'administrator'},
        'gnuhealth.imaging_orthanc.restore_identity': {'administrator'},
        'gnuhealth.imaging_orthanc.delete_images': {'administrator'},
        'gnuhealth.imaging_orthanc.download_images': {
            'administrator', 'clerk', 'doctor'},
        'gnuhealth.imaging_orthanc.mark_wrong_patient': {
            'administrator', 'clerk', 'doctor', 'radiographer', 'head'},
        'gnuhealth.imaging_orthanc.move_study': {'administrator', 'clerk'},
        'gnuhealth.orthanc.decide_database': {'administrator'},
        }

    def contexts(self, login):
        "Return what a client could say it runs the wizard on"
        menu = self.as_(login).model('ir.ui.menu', 'search', [], 0, 1)
        yield {}
        yield {'action_id': 10**6}
        yield {'active_model': 'ir.ui.menu', 'action_id': 10**6}
        if menu:
            yield {
                'active_model': 'ir.ui.menu', 'active_id': menu[0],
                'active_ids': menu}
        for model, id_, action in [
                (HEALTH_PATIENT, self.patient.id, None),
                (STUDY, self.study.id, None),
                (STUDY, self.study.id, 10**6)]:
            yield {
                'active_model': model, 'active_id': id_,
                'active_ids': [id_], 'action_id': action}

    @staticmethod
    def wizards():
        with Transaction().start(RpcTestCase.db_name.fget(None), 1):
            return {
                name: list(Wizard.states) for name, Wizard in own_wizards()}

    def wizard_session(self):
        with Transaction().start(self.db_name, 1) as transaction:
            session, = Pool().get('ir.session.wizard').create([{}])
            transaction.commit()
            return session.id

    def test_all_are_known(self):
        self.assertEqual(self.wizards().keys(), self.ALLOWED.keys())

    def test_they_start_for_nobody_else(self):
        for name, allowed in self.ALLOWED.items():
            for login in self.users.keys() - allowed:
                for context in self.contexts(login):
                    with self.subTest(
                            wizard=name, user=login, context=context):
                        with self.assertRaises(Refused):
                            self.as_(login).wizard(name, 'create', **context)

    def test_they_go_on_for_nobody_else(self):
        id_ = self.wizard_session()
        contexts = [
            {}, {'active_model': 'ir.ui.menu'}, {'action_id': 10**6},
            {'active_model': HEALTH_PATIENT, 'active_id': self.patient.id}]
        for name, states in self.wizards().items():
            for login in self.users.keys() - self.ALLOWED[name]:
                for context, state in [
                        *((context, states[0]) for context in contexts),
                        *((contexts[0], state) for state in states[1:])]:
                    with self.subTest(
                            wizard=name, user=login, context=context,
                            state=state):
                        with self.assertRaises(Refused):
                            self.as_(login).wizard(
                                name, 'execute', id_, {}, state, **context)

    def test_they_start_for_those_who_may(self):
        records = {
            'gnuhealth.imaging_orthanc.open_viewer': (STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.view_images': (STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.all_images': (
                HEALTH_PATIENT, self.patient.id),
            'gnuhealth.imaging_orthanc.preview': (
                INSTANCE, self.instance.id),
            'gnuhealth.imaging.procedure.step.reject': (STEP, self.step.id),
            'gnuhealth.orthanc.connect_plugin': (SERVER, self.server.id),
            'gnuhealth.orthanc.connect_authorization': (
                SERVER, self.server.id),
            'gnuhealth.imaging_orthanc.study.dismiss': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.confirm_suggestions': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.correct_identity': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.restore_identity': (
                STUDY, self.study.id),
            'gnuhealth.imaging_orthanc.delete_images': (
                SERIES, self.series.id),
            'gnuhealth.imaging_orthanc.download_images': (
                STUDY, self.study.id),
            }
        for name, allowed in self.ALLOWED.items():
            context = {}
            if name in records:
                model, id_ = records[name]
                context = {
                    'active_model': model, 'active_id': id_,
                    'active_ids': [id_]}
            for login in allowed:
                with self.subTest(wizard=name, user=login):
                    self.assertTrue(self.as_(login).wizard(
                            name, 'create', **context))
                    self.assertTrue(self.as_(login).wizard(name, 'create'))

    def test_those_of_a_record_need_one(self):
        for name in [
                'gnuhealth.imaging_orthanc.open_viewer',
                'gnuhealth.imaging_orthanc.preview',
                'gnuhealth.imaging.procedure.step.reject',
                'gnuhealth.imaging_orthanc.study.dismiss',
                'gnuhealth.imaging_orthanc.confirm_suggestions',
                'gnuhealth.orthanc.connect_plugin',
                'gnuhealth.imaging_orthanc.correct_identity',
                'gnuhealth.imaging_orthanc.restore_identity',
                'gnuhealth.imaging_orthanc.delete_images',
                'gnuhealth.imaging_orthanc.download_images']:
            for login in self.ALLOWED[name]:
                session = self.as_(login)
                for context in [
                        {}, {'active_id': 1}, {'active_model': STUDY},
                        {'active_model': HEALTH_PATIENT, 'active_id': 1},
                        {'active_model': 'ir.ui.menu'}]:
                    with self.subTest(
                            wizard=name, user=login, context=context):
                        # Clients create a wizard before they name its record
                        if context.get('active_model'):
                            with self.assertRaises(Refused):
                                session.wizard(name, 'create', **context)
                        with self.assertRaises(Refused):
                            session.wizard(
                                name, 'execute', self.wizard_session(), {},
                                'start', **context)

    def test_a_physician_opens_no_unlinked_study(self):
        for name, model, id_ in [
                ('gnuhealth.imaging_orthanc.open_viewer', STUDY,
                    self.unlinked_study.id),
                ('gnuhealth.imaging_orthanc.open_viewer', SERIES,
                    self.unlinked_series.id),
                ('gnuhealth.imaging_orthanc.download_images', STUDY,
                    self.unlinked_study.id),
                ('gnuhealth.imaging_orthanc.download_images', SERIES,
                    self.unlinked_series.id),
                ('gnuhealth.imaging_orthanc.preview', INSTANCE,
                    self.unlinked_instance.id)]:
            for context in [
                    {'active_id': id_}, {'active_id': id_, 'active_ids': []}]:
                with self.subTest(wizard=name, model=model):
                    with self.assertRaises(Refused):
                        self.as_('doctor').wizard(
                            name, 'create', active_model=model, **context)

    def test_a_physician_opens_a_viewer(self):
        session = self.as_('doctor')
        context = {
            'active_model': STUDY, 'active_id': self.study.id,
            'active_ids': [self.study.id]}
        name = 'gnuhealth.imaging_orthanc.open_viewer'
        id_, state, _ = session.wizard(name, 'create', **context)
        result = session.wizard(name, 'execute', id_, {}, state, **context)
        (action, _), = result['actions']
        self.assertEqual(
            action['url'],
            'http://images.example.org/app/explorer.html#study?uuid=abc-1')

    def test_a_viewer_of_another_level_is_not_opened(self):
        session = self.as_('doctor')
        context = {
            'active_model': STUDY, 'active_id': self.study.id,
            'active_ids': [self.study.id]}
        name = 'gnuhealth.imaging_orthanc.open_viewer'
        id_, *_ = session.wizard(name, 'create', **context)
        with Transaction().start(self.db_name, 1):
            other = record_id('viewer_explorer_series')
        with self.assertRaises(Told):
            session.wizard(
                name, 'execute', id_, {'choose': {'viewer': other}}, 'open_',
                **context)

    def test_forms_of_the_review_tell_nobody_else(self):
        name = 'gnuhealth.imaging_orthanc.review.show'
        values = {
            'id': -1, 'study': self.unlinked_study.id,
            'patient': self.patient.id, 'request': None, 'choices': '[]'}
        for login in self.users:
            calls = [
                ('on_change', [values, ['patient']]),
                ('on_change_patient', [values]),
                ('get_choices', [values]),
                ('fields_view_get', [None, 'form'])]
            for method, arguments in calls:
                with self.subTest(user=login, method=method):
                    session = self.as_(login)
                    if login in {'clerk', 'administrator'}:
                        session.model(name, method, *arguments)
                    else:
                        with self.assertRaises(Refused):
                            session.model(name, method, *arguments)
