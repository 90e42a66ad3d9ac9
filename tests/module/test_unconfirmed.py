# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that may belong to somebody else, as physicians see them."""

import datetime as dt

from trytond.modules.health_orthanc.linking.unconfirmed import find_withheld
from trytond.pool import Pool
from trytond.transaction import Transaction

from .access import HEALTH_PATIENT, AccessTestCase
from .tools import (
    INSTANCE, PATIENT, SERIES, STUDY, Refused, RpcError, create_instance,
    create_orthanc_patient, create_patient, create_series, create_study)

VIEWER = 'gnuhealth.imaging_orthanc.open_viewer'
PREVIEW = 'gnuhealth.imaging_orthanc.preview'
DOWNLOAD = 'gnuhealth.imaging_orthanc.download_images'
WARNING = 'res.user.warning'
LINKS = ['ohif_viewer_link', 'stone_viewer_link', 'explorer_link']


class UnconfirmedTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.suspect = create_patient("Muster", "Ernst")
        cls.doubtful_patient = create_orthanc_patient(
            cls.server, patient=cls.suspect.id)
        cls.doubtful = create_study(
            cls.server, patient=cls.suspect.id, link_status='auto_unsure',
            orthanc_patient=cls.doubtful_patient.id,
            date=dt.date(2026, 3, 5))
        cls.doubtful_series = create_series(cls.doubtful)
        cls.doubtful_instance = create_instance(cls.doubtful_series)
        cls.sure = create_study(
            cls.server, patient=cls.suspect.id, link_status='manual',
            date=dt.date(2026, 3, 4))

    def setUp(self):
        super().setUp()
        self.forget()

    def forget(self):
        with Transaction().start(self.db_name, 1) as transaction:
            Warning = Pool().get(WARNING)
            Warning.delete(Warning.search([]))
            transaction.commit()

    def open(self, login, wizard, model, record, state=None, **data):
        "Run a wizard on a record as clients do"
        context = {
            'active_model': model, 'active_id': record.id,
            'active_ids': [record.id]}
        session = self.as_(login)
        id_, start, _ = session.wizard(wizard, 'create', **context)
        result = session.wizard(
            wizard, 'execute', id_, data, state or start, **context)
        view = result.get('view')
        if view and view['state'] == 'choose':
            values = {**view['defaults'], **view['values']}
            result = session.wizard(
                wizard, 'execute', id_, {'choose': {
                        'viewers': values['viewers'],
                        'viewer': values['viewer']}}, 'open_', **context)
        return result

    DOORS = [
        (VIEWER, STUDY, 'doubtful'),
        (VIEWER, SERIES, 'doubtful_series'),
        (VIEWER, PATIENT, 'doubtful_patient'),
        (PREVIEW, INSTANCE, 'doubtful_instance'),
        (DOWNLOAD, STUDY, 'doubtful'),
        (DOWNLOAD, SERIES, 'doubtful_series'),
        ]

    def assertWarned(self, *arguments):
        with self.assertRaises(RpcError) as raised:
            self.open(*arguments)
        self.assertEqual(raised.exception.args[0], 'UserWarning')

    def passes(self, *arguments, **data):
        "Return whether nothing but the server stands in the way"
        try:
            self.open(*arguments, **data)
        except RpcError as error:
            return error.args[0] != 'UserWarning'
        return True

    def test_they_are_apart_on_the_patient(self):
        for session in self.insiders():
            row, = session.model(
                HEALTH_PATIENT, 'read', [self.suspect.id], [
                    'orthanc_studies', 'orthanc_unconfirmed_studies',
                    'orthanc_studies_count', 'orthanc_last_study_date'])
            self.assertEqual(list(row['orthanc_studies']), [self.sure.id])
            self.assertEqual(
                list(row['orthanc_unconfirmed_studies']), [self.doubtful.id])
            self.assertEqual(row['orthanc_studies_count'], 1)
            self.assertEqual(
                row['orthanc_last_study_date'], dt.date(2026, 3, 4))
            view = session.model(
                HEALTH_PATIENT, 'fields_view_get', None, 'form')
            self.assertIn('orthanc_unconfirmed_studies', view['fields'])

    def test_nobody_else_sees_them_on_the_patient(self):
        name = 'orthanc_unconfirmed_studies'
        for session in self.outsiders():
            with self.assertRaises(Refused):
                session.model(
                    HEALTH_PATIENT, 'read', [self.suspect.id], [name])
            with self.assertRaises(Refused):
                session.model(HEALTH_PATIENT, 'search', [(name, '!=', None)])
            self.assertNotIn(name, session.model(HEALTH_PATIENT, 'fields_get'))

    def test_a_physician_is_warned_before_each_door(self):
        for wizard, model, name in self.DOORS:
            with self.subTest(wizard=wizard, model=model):
                self.assertWarned(
                    'doctor', wizard, model, getattr(self, name))

    def test_a_state_that_is_named_directly_does_not_help(self):
        for state in ['next_', 'reload', 'previous', 'show']:
            with self.subTest(state=state):
                self.assertFalse(self.passes(
                        'doctor', PREVIEW, INSTANCE, self.doubtful_instance,
                        state, show={'frame': 1, 'frames_count': 2}))

    def test_reviewers_are_not(self):
        for login in ['clerk', 'administrator']:
            for wizard, model, name in self.DOORS:
                with self.subTest(user=login, wizard=wizard, model=model):
                    self.assertTrue(self.passes(
                            login, wizard, model, getattr(self, name)))

    def test_who_knows_is_not_asked_again(self):
        session = self.as_('doctor')
        with Transaction().start(self.db_name, self.users['doctor']):
            Study = Pool().get(STUDY)
            study = Study(self.doubtful.id)
            self.assertEqual(find_withheld([study]), {study})
            from trytond.modules.health_orthanc.linking import unconfirmed
            name = unconfirmed._warning_name(study)
        # As clients do after the warning
        session.model(WARNING, 'skip', name, False)
        for wizard, model, door in self.DOORS + self.DOORS:
            with self.subTest(wizard=wizard, model=model):
                self.assertTrue(self.passes(
                        'doctor', wizard, model, getattr(self, door)))

    def test_another_patient_is_another_question(self):
        session = self.as_('doctor')
        session.model(STUDY, 'show_unconfirmed', [self.doubtful.id])
        self.assertTrue(self.passes(
                'doctor', VIEWER, STUDY, self.doubtful))
        self.relink(self.patient.id)
        self.assertWarned('doctor', VIEWER, STUDY, self.doubtful)
        self.relink(self.suspect.id)

    def relink(self, patient, status='auto_unsure'):
        with Transaction().start(self.db_name, 1) as transaction:
            Study = Pool().get(STUDY)
            Study.write([Study(self.doubtful.id)], {
                    'patient': patient, 'link_status': status})
            transaction.commit()

    def test_a_confirmed_study_opens(self):
        self.relink(self.suspect.id, 'manual')
        for wizard, model, name in self.DOORS:
            with self.subTest(wizard=wizard, model=model):
                self.assertTrue(self.passes(
                        'doctor', wizard, model, getattr(self, name)))
        self.relink(self.suspect.id)

    def test_links_and_images_are_withheld(self):
        doctor = self.as_('doctor')

        def read(session):
            study, = session.model(STUDY, 'read', [self.doubtful.id], LINKS)
            series, = session.model(
                SERIES, 'read', [self.doubtful_series.id],
                ['stone_viewer_link'])
            patient, = session.model(
                PATIENT, 'read', [self.doubtful_patient.id], ['link'])
            return [
                *(study[name] for name in LINKS),
                series['stone_viewer_link'], patient['link']]
        self.assertEqual(set(read(doctor)), {None})
        self.assertTrue(all(read(self.as_('clerk'))))
        doctor.model(STUDY, 'show_unconfirmed', [self.doubtful.id])
        self.assertTrue(all(read(doctor)))

    def test_the_button_is_for_those_who_see_the_study(self):
        for login in self.OUTSIDERS + self.RADIOGRAPHERS:
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(
                        STUDY, 'show_unconfirmed', [self.doubtful.id])
        with self.assertRaises(Refused):
            self.as_('doctor').model(
                STUDY, 'show_unconfirmed', [self.unlinked_study.id])

    def test_no_image_is_fetched(self):
        from trytond.modules.health_orthanc.archive import preview
        asked = []
        for login in ['doctor', 'clerk']:
            with Transaction().start(self.db_name, self.users[login]):
                pool = Pool()
                studies = pool.get(STUDY).browse([self.doubtful.id])
                instances = pool.get(INSTANCE).browse(
                    [self.doubtful_instance.id])
                fetch = preview._fetch_images
                try:
                    preview._fetch_images = (
                        lambda records, wanted, fetch: asked.append(
                            (login, len(wanted))) or {})
                    preview.get_thumbnails(studies)
                    preview.get_images(instances)
                finally:
                    preview._fetch_images = fetch
        self.assertEqual(asked, [
                ('doctor', 0), ('doctor', 0), ('clerk', 1), ('clerk', 1)])
