# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""View: where the button is, whom it opens what, and the viewer's files."""

import datetime as dt
import gzip
from unittest.mock import patch
from urllib.parse import quote

from lxml import etree

from trytond.modules.health_orthanc.archive.study_modalities import (
    update_modalities)
from trytond.modules.health_orthanc.viewing import ohif, session
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

from .access import HEALTH_PATIENT, RESULT, STEP, AccessTestCase
from .tools import (
    SERIES, STUDY, Refused, RpcError, Told, create_patient, create_series,
    create_server, create_study, installed_viewer)

VIEW = 'gnuhealth.imaging_orthanc.view_images'
ALL = 'gnuhealth.imaging_orthanc.all_images'
# model: the field, the button
BUTTONS = {
    STUDY: ('can_view_images', 'view_images'),
    SERIES: ('can_view_images', 'view_images'),
    STEP: ('can_view_images', 'view_images'),
    RESULT: ('orthanc_can_view_images', 'orthanc_view_images'),
    HEALTH_PATIENT: ('orthanc_can_view_images', 'orthanc_view_images'),
    }


class ViewImagesTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        pool = Pool()
        Step = pool.get(STEP)
        Step.write([cls.step], {'study': cls.study.id})
        cls.earlier = create_study(
            cls.server, patient=cls.patient.id, link_status='manual',
            date=dt.date(2025, 1, 2))
        create_series(cls.earlier, modality='MR')
        elsewhere = create_study(
            create_server(), patient=cls.patient.id, link_status='manual',
            date=dt.date(2024, 1, 2))
        create_series(elsewhere, modality='CR')
        # Neither of them has anything to show
        create_study(
            cls.server, patient=cls.patient.id, link_status='manual',
            date=dt.date(2026, 5, 1))
        doubtful = create_study(
            cls.server, patient=cls.patient.id, link_status='auto_unsure',
            date=dt.date(2026, 6, 1))
        create_series(doubtful, modality='US')
        update_modalities(
            [cls.study.id, cls.earlier.id, elsewhere.id, doubtful.id])
        cls.doubtful = doubtful
        cls.uid = cls.study.study_instance_UID
        cls.earlier_uid = cls.earlier.study_instance_UID
        cls.unlinked_uid = cls.unlinked_study.study_instance_UID
        cls.empty = create_patient("Leer", "Ida")
        cls.records = {
            STUDY: cls.study, SERIES: cls.series, STEP: cls.step,
            RESULT: cls.result, HEALTH_PATIENT: cls.patient}

    def run_wizard(self, login, wizard, model, id_):
        context = {
            'active_model': model, 'active_id': id_, 'active_ids': [id_]}
        session = self.as_(login)
        started, state, _ = session.wizard(wizard, 'create', **context)
        result = session.wizard(
            wizard, 'execute', started, {}, state, **context)
        (action, _), = result['actions']
        return action

    def opened(self, login, model, id_, what='studies'):
        "Return the studies that View opens, or the series that comes first"
        url = self.run_wizard(login, VIEW, model, id_)['url']
        address, _, ticket = url.partition('#')
        self.assertTrue(
            address.endswith(
                f"/{quote(self.db_name, safe='')}/orthanc/view"), address)
        with Transaction().start(self.db_name, 0):
            Session = Pool().get('gnuhealth.imaging_orthanc.viewer_session')
            _, found = Session.open_ticket(ticket)
        return found[what]

    def test_what_it_opens(self):
        one = [self.uid]
        expected = {
            STUDY: one, SERIES: one, STEP: one, RESULT: one,
            # Of one server, the newest first
            HEALTH_PATIENT: [*one, self.earlier_uid]}
        with installed_viewer():
            for login in ['clerk', 'doctor']:
                for model, record in self.records.items():
                    if model == STEP and login == 'clerk':
                        continue
                    with self.subTest(user=login, model=model):
                        self.assertEqual(
                            self.opened(login, model, record.id),
                            expected[model])

    def test_what_it_shows_first(self):
        with Transaction().start(self.db_name, 0) as transaction:
            Series = Pool().get(SERIES)
            Series.write([Series(self.series.id)], {'series_number': '9'})
            # They come before it, but have no images
            create_series(self.study, modality='SR', series_number='1')
            create_series(self.study, series_number='2', instances_count=0)
            create_series(
                self.study, series_number='3',
                missing_since=dt.datetime(2026, 3, 4))
            second = create_series(self.study, series_number='10')
            first_uid = Series(self.series.id).series_UID
            second_uid = second.series_UID
            transaction.commit()
        with installed_viewer():
            for model, record, expected in [
                    (SERIES, second, second_uid),
                    (SERIES, self.series, first_uid),
                    # Of several studies, not the one that is read first
                    (HEALTH_PATIENT, self.patient, first_uid),
                    # The viewer knows its first series
                    (STUDY, self.study, None), (STEP, self.step, None),
                    (RESULT, self.result, None)]:
                with self.subTest(model=model):
                    self.assertEqual(
                        self.opened('doctor', model, record.id, 'series'),
                        expected)

    def test_who_may_open_it(self):
        with installed_viewer():
            for login in self.OUTSIDERS + self.RADIOGRAPHERS:
                for model, record in self.records.items():
                    with self.subTest(user=login, model=model), (
                            self.assertRaises(Refused)):
                        self.run_wizard(login, VIEW, model, record.id)
            with self.assertRaises(RpcError):
                self.run_wizard('doctor', VIEW, STUDY, self.unlinked_study.id)
            self.assertEqual(
                self.opened('clerk', STUDY, self.unlinked_study.id),
                [self.unlinked_uid])

    def test_it_needs_a_record(self):
        for name in [VIEW, ALL]:
            session = self.as_('doctor')
            for context in [
                    {}, {'active_model': STUDY}, {'active_id': 1},
                    {'active_model': 'ir.ui.menu', 'active_id': 1}]:
                started, state, _ = session.wizard(name, 'create')
                with self.subTest(name=name, context=context), (
                        self.assertRaises(Refused)):
                    session.wizard(
                        name, 'execute', started, {}, state, **context)
        with self.assertRaises(Refused):
            self.run_wizard('doctor', ALL, STUDY, self.study.id)

    def test_what_awaits_confirmation_is_asked_for(self):
        with installed_viewer():
            with self.assertRaises(RpcError) as raised:
                self.run_wizard('doctor', VIEW, STUDY, self.doubtful.id)
            self.assertEqual(raised.exception.args[0], 'UserWarning')
            self.assertTrue(self.opened('clerk', STUDY, self.doubtful.id))

    def test_one_that_may_not_be_seen_does_not_keep_the_others_away(self):
        with Transaction().start(self.db_name, 0) as transaction:
            # Orthanc does not tell the two apart
            twin = create_study(
                self.server, study_instance_UID=self.earlier_uid,
                patient_id='OTHER')
            create_series(twin)
            transaction.commit()
        try:
            with installed_viewer():
                self.assertEqual(
                    self.opened('doctor', HEALTH_PATIENT, self.patient.id),
                    [self.uid])
                self.assertEqual(
                    self.opened('clerk', HEALTH_PATIENT, self.patient.id),
                    [self.uid, self.earlier_uid])
        finally:
            with Transaction().start(self.db_name, 0) as transaction:
                Study = Pool().get(STUDY)
                Study.write(
                    [Study(twin.id)], {'missing_since': dt.datetime.now()})
                transaction.commit()

    def test_nothing_to_open(self):
        with installed_viewer(), self.assertRaisesRegex(Told, "no images"):
            self.run_wizard('doctor', VIEW, HEALTH_PATIENT, self.empty.id)
        with self.assertRaisesRegex(Told, "health-orthanc-viewer install"):
            self.run_wizard('doctor', VIEW, STUDY, self.study.id)

    def shown(self, login, model, id_):
        field, _ = BUTTONS[model]
        row, = self.as_(login).model(model, 'read', [id_], [field])
        return row[field]

    def test_the_button_is_there_if_there_is_something_to_see(self):
        for model, record in self.records.items():
            with self.subTest(model=model):
                self.assertIs(self.shown('doctor', model, record.id), False)
                with installed_viewer():
                    self.assertIs(
                        self.shown('doctor', model, record.id), True)
        with installed_viewer():
            self.assertFalse(
                self.shown('doctor', HEALTH_PATIENT, self.empty.id))
            for name in ['missing_since', 'quarantined_at']:
                self.write_study({name: dt.datetime(2026, 3, 4)})
                try:
                    for model in [STUDY, SERIES, STEP, RESULT]:
                        with self.subTest(model=model, name=name):
                            self.assertFalse(self.shown(
                                    'doctor', model, self.records[model].id))
                    self.assertTrue(self.shown(
                            'doctor', HEALTH_PATIENT, self.patient.id))
                finally:
                    self.write_study({name: None})

    def write_study(self, values):
        with Transaction().start(self.db_name, 1) as transaction:
            Study = Pool().get(STUDY)
            Study.write([Study(self.study.id)], values)
            transaction.commit()

    def views(self, login, model):
        "Yield the elements of each button in the form"
        view = self.as_(login).model(model, 'fields_view_get', None, 'form')
        return {
            b.get('name'): b
            for b in etree.fromstring(view['arch']).iter('button')}

    def test_what_a_role_cannot_press_is_not_there(self):
        for login in self.RADIOGRAPHERS:
            self.assertNotIn('view_images', self.views(login, STEP))
            self.assertIn('start', self.views(login, STEP))
            self.assertNotIn(
                'orthanc_view_images', self.views(login, RESULT))
        self.assertEqual(
            set(self.views('doctor', STUDY)),
            {'view_images', 'show_unconfirmed', 'mark_wrong_patient'})
        self.assertLessEqual(
            {'view_images', 'review', 'dismiss', 'delete_study'},
            set(self.views('administrator', STUDY)))
        for login in self.INSIDERS:
            for model in [STUDY, SERIES]:
                for button in self.views(login, model).values():
                    states = PYSONDecoder().decode(button.get('states'))
                    self.assertIsNot(states.get('readonly'), True)

    def test_buttons_of_other_modules_stay(self):
        names = self.views('nurse', HEALTH_PATIENT)
        self.assertNotIn('orthanc_all_images', names)
        with Transaction().start(self.db_name, 1, readonly=True):
            others = {
                name for name in Pool().get(HEALTH_PATIENT)._buttons
                if not name.startswith('orthanc_')}
        shown = {
            name for name in self.views('administrator', HEALTH_PATIENT)
            if not name.startswith('orthanc_')}
        self.assertEqual(
            shown & others, names.keys() & others)

    def test_the_tabs_of_all_images(self):
        action = self.run_wizard(
            'doctor', ALL, HEALTH_PATIENT, self.patient.id)
        self.assertEqual(
            [name for name, *_ in action['domains']],
            ["All", 'CR', 'CT', 'MR', '2026', '2025', '2024'])
        decode = PYSONDecoder().decode
        session = self.as_('doctor')
        base = decode(action['pyson_domain'])
        found = {
            name: len(session.model(STUDY, 'search', [base, decode(domain)]))
            for name, domain, _ in action['domains']}
        self.assertEqual(found, {
                "All": 4, 'CR': 1, 'CT': 1, 'MR': 1,
                '2026': 2, '2025': 1, '2024': 1})

    def test_whether_a_study_is_reported(self):
        with Transaction().start(self.db_name, 1) as transaction:
            Result = Pool().get(RESULT)
            result = Result(self.result.id)
            states = []
            for unreported in [True, False]:
                Result.write([result], {'orthanc_unreported': unreported})
                row, other = Pool().get(STUDY).read(
                    [self.study.id, self.earlier.id], ['report_state'])
                self.assertIsNone(other['report_state'])
                states.append(row['report_state'])
            transaction.rollback()
        self.assertEqual(states, ['unreported', 'reported'])


class ViewerFilesTestCase(AccessTestCase):

    def get(self, path, **headers):
        return self.client().get(
            f'/{self.db_name}/orthanc/viewer/{path}', headers=headers)

    def test_the_page(self):
        with installed_viewer():
            for path in ['3/', '3/viewer?StudyInstanceUIDs=1.2', '3/a/b']:
                response = self.get(path)
                self.assertEqual(response.status_code, 200)
                base = f"/{quote(self.db_name, safe='')}/orthanc/viewer/"
                self.assertIn(f'src="{base}files/r1/a.js"', response.text)
                self.assertIn(
                    f'src="{base}3/app-config.js"', response.text)
                policy = response.headers['Content-Security-Policy']
                nonce = policy.partition("'nonce-")[2].partition("'")[0]
                self.assertIn(f'nonce="{nonce}"', response.text)
                self.assertEqual(response.headers['Cache-Control'], 'no-store')
            self.assertNotEqual(
                policy, self.get('3/').headers['Content-Security-Policy'])

    def test_files_are_compressed_and_kept(self):
        with installed_viewer(worker=b'x'):
            plain = self.get('files/r1/a.js')
            self.assertEqual(plain.data, b'program();' * 100)
            self.assertNotIn('Content-Encoding', plain.headers)
            packed = self.get(
                'files/r1/a.js', **{'Accept-Encoding': 'br, gzip'})
            self.assertEqual(packed.headers['Content-Encoding'], 'gzip')
            self.assertEqual(gzip.decompress(packed.data), plain.data)
            self.assertEqual(
                packed.headers['Content-Length'], str(len(packed.data)))
            for response in [plain, packed]:
                self.assertIn('immutable', response.headers['Cache-Control'])
                self.assertIn('Accept-Encoding', response.headers['Vary'])
                self.assertNotIn(
                    'unsafe-eval\'',
                    response.headers['Content-Security-Policy'].replace(
                        "'wasm-unsafe-eval'", ''))
            again = self.get(
                'files/r1/a.js', **{'If-None-Match': plain.headers['ETag']})
            self.assertEqual((again.status_code, again.data), (304, b''))
            self.assertIn(
                " 'unsafe-eval'", self.get('files/r1/worker.js').headers[
                    'Content-Security-Policy'])

    def test_only_what_is_listed_is_sent(self):
        with installed_viewer() as folder:
            (folder / 'r1' / 'unlisted.js').write_text('x')
            for path in [
                    'files/r1/unlisted.js', 'files/r1/a.js.gz',
                    'files/r0/a.js',
                    'files/r1/../secret', 'files/r1/%2e%2e/secret',
                    'files/r1/..%2fsecret', 'files/r1//etc/passwd',
                    'files/r1/%2fetc%2fpasswd', 'files/../manifest.json',
                    'files/r1/index.html', 'files/./secret',
                    'files/r1/a.js%00']:
                with self.subTest(path=path):
                    response = self.get(path)
                    self.assertNotIn(b'secret', response.data)
                    self.assertIn(response.status_code, {308, 404})

    def test_without_a_viewer_there_is_nothing(self):
        for path in ['3/', '3/app-config.js', 'files/r1/a.js']:
            self.assertEqual(self.get(path).status_code, 404)

    def test_a_viewer_that_cannot_be_read(self):
        with installed_viewer() as folder:
            (folder / 'manifest.json').write_text('{')
            with self.assertLogs(ohif.logger, 'WARNING'):
                self.assertEqual(self.get('3/').status_code, 404)

    def test_the_configuration_speaks_the_language_of_the_person(self):
        with installed_viewer():
            response = self.get('3/app-config.js')
            self.assertIn(
                '/orthanc/dicomweb/3/dicom-web"', response.text)
            self.assertIn('const language = "en-US"', response.text)
            self.assertIn("Log in to GNU Health again", response.text)
            with Transaction().start(self.db_name, 1) as transaction:
                Lang = Pool().get('ir.lang')
                lang, = Lang.search([('code', '=', 'de')])
                Lang.write([lang], {'translatable': True})
                User = Pool().get('res.user')
                User.write(
                    [User(self.users['doctor'])], {'language': lang.id})
                transaction.commit()
            with patch.object(
                    session.ViewerSession, 'check',
                    return_value=self.users['doctor']):
                response = self.get('3/app-config.js')
            self.assertIn('const language = "de"', response.text)
