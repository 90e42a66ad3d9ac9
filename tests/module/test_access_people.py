# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What physicians and clerks may do with images."""

import datetime as dt
import json

from trytond.pool import Pool
from trytond.transaction import Transaction

from tests.unit.fake_orthanc import PNG, FakeOrthanc, reply, reply_json

from .access import (
    DATABASE, FAILURE, HEALTH_PATIENT, PLACEMENT, RESULT, RUN, UPGRADE_NOTE,
    AccessTestCase)
from .tools import (
    INSTANCE, PATIENT, SERIES, SERVER, STUDY, VIEWER, Refused, Told,
    create_patient, create_study)


class PhysicianTestCase(AccessTestCase):

    def test_sees_linked_records_only(self):
        session = self.as_('doctor')
        for model, id_ in [
                (PATIENT, self.orthanc_patient.id),
                (STUDY, self.study.id),
                (SERIES, self.series.id),
                (INSTANCE, self.instance.id)]:
            with self.subTest(model=model):
                self.assertEqual(session.model(model, 'search', []), [id_])
                self.assertEqual(
                    session.model(model, 'search_count', []), 1)

    def test_reads_no_unlinked_record(self):
        session = self.as_('doctor')
        for model, record in [
                (PATIENT, self.unlinked_patient),
                (STUDY, self.unlinked_study),
                (SERIES, self.unlinked_series),
                (INSTANCE, self.unlinked_instance)]:
            for method, arguments in [
                    ('read', [[record.id], ['rec_name']]),
                    ('export_data', [[record.id], ['rec_name']]),
                    ('on_change', [{'id': record.id}, []]),
                    ('resources', [[record.id]])]:
                with self.subTest(model=model, method=method):
                    with self.assertRaises(Refused):
                        session.model(model, method, *arguments)

    def test_finds_no_unlinked_record_through_a_linked_one(self):
        session = self.as_('doctor')
        row, = session.model(
            PATIENT, 'read', [self.orthanc_patient.id],
            ['studies', 'studies.rec_name'])
        self.assertEqual(list(row['studies']), [self.study.id])
        self.assertEqual(
            [r['id'] for r in row['studies.']], [self.study.id])

    def test_writes_notes(self):
        session = self.as_('doctor')
        session.model(STUDY, 'write', [self.study.id], {'notes': "Seen"})
        session.model(SERIES, 'write', [self.series.id], {'notes': "Blurred"})
        self.assertEqual(self.stored(STUDY, self.study.id, 'notes'), "Seen")
        self.assertEqual(
            self.stored(SERIES, self.series.id, 'notes'), "Blurred")

    def test_writes_notes_of_a_series_in_its_study(self):
        self.as_('doctor').model(STUDY, 'write', [self.study.id], {
                'series': [('write', [self.series.id], {'notes': "Noisy"})]})
        self.assertEqual(
            self.stored(SERIES, self.series.id, 'notes'), "Noisy")

    def test_writes_nothing_else(self):
        session = self.as_('doctor')
        for model, names in [
                (STUDY, self.writable(STUDY) - {'notes', 'series'}),
                (SERIES, self.writable(SERIES) - {'notes'}),
                (INSTANCE, self.writable(INSTANCE)),
                (PATIENT, self.writable(PATIENT))]:
            self.assertGreater(len(names), 3)
            for name in names:
                with self.subTest(model=model, field=name):
                    with self.assertRaises(Told):
                        session.model(
                            model, 'write', [self.ids[model]], {name: None})

    def test_relinks_nothing(self):
        session = self.as_('doctor')
        for model, values in [
                (STUDY, {'patient': self.other_patient.id}),
                (STUDY, {'imaging_test': None}),
                (STUDY, {'patient': None, 'notes': "x"}),
                (PATIENT, {'patient': self.other_patient.id}),
                (HEALTH_PATIENT, {
                        'orthanc_studies': [
                            ('add', [self.unlinked_study.id])]}),
                (HEALTH_PATIENT, {
                        'orthanc_studies': [('remove', [self.study.id])]}),
                (HEALTH_PATIENT, {
                        'orthanc_patients': [
                            ('add', [self.unlinked_patient.id])]}),
                (RESULT, {
                        'orthanc_studies': [
                            ('add', [self.unlinked_study.id])]}),
                ]:
            ids = {
                **self.ids, HEALTH_PATIENT: self.patient.id,
                RESULT: self.result.id}
            with self.subTest(model=model, values=values):
                with self.assertRaises(Refused):
                    session.model(model, 'write', [ids[model]], values)
        self.assertEqual(
            self.stored(STUDY, self.study.id, 'patient'), self.patient.id)

    def test_attaches_images_of_linked_studies_only(self):
        button = 'attach_image_to_imaging_test_report'
        session = self.as_('doctor')
        with self.assertRaises(Refused):
            session.model(INSTANCE, button, [self.unlinked_instance.id])
        # Nobody listens at the server
        with self.assertRaises(Told) as raised:
            session.model(INSTANCE, button, [self.instance.id])
        self.assertNotIsInstance(raised.exception, Refused)

    def test_reads_no_server(self):
        with self.assertRaises(Refused):
            self.as_('doctor').model(
                SERVER, 'read', [self.server.id], ['label'])

    def test_sees_images_without_access_to_the_server(self):
        with FakeOrthanc() as orthanc:
            orthanc.script('/tools/bulk-content', reply_json([{
                            'ID': 'abc-2',
                            'Type': 'Series',
                            'Instances': ['abc-3'],
                            }]))
            orthanc.script(
                '/instances/abc-3/frames/0/rendered',
                reply(PNG, headers={'Content-Type': 'image/png'}))
            self.move_server(orthanc.url)
            session = self.as_('doctor')
            study, = session.model(
                STUDY, 'read', [self.study.id], ['thumbnail'])
            instance, = session.model(
                INSTANCE, 'read', [self.instance.id], ['image'])
        self.assertEqual(study['thumbnail'], PNG)
        self.assertEqual(instance['image'], PNG)

    def move_server(self, url):
        with Transaction().start(self.db_name, 1) as transaction:
            Pool().get(SERVER).write(
                [self.server], {
                    'domain': url, 'password': 'letmein',
                    'client_key': None, 'validated': True})
            transaction.commit()

    def writable(self, model):
        "Return the fields that have a column or a setter"
        with Transaction().start(self.db_name, 1):
            Model = Pool().get(model)
            return {
                name for name, field in Model._fields.items()
                if (not hasattr(field, 'getter') or field.setter)
                and name not in {
                    'id', 'create_uid', 'create_date', 'write_uid',
                    'write_date'}}


class ClerkTestCase(AccessTestCase):
    "Imaging users link, and change nothing of what Orthanc says"

    LOGINS = ['clerk', 'administrator']

    def staff(self):
        for login in self.LOGINS:
            with self.subTest(user=login):
                yield self.as_(login)

    def test_sees_all(self):
        for session in self.staff():
            for model, count in [
                    (PATIENT, 2), (STUDY, 2), (SERIES, 2), (INSTANCE, 2)]:
                with self.subTest(model=model):
                    self.assertEqual(
                        session.model(model, 'search_count', []), count)

    def test_links(self):
        for session in self.staff():
            session.model(
                STUDY, 'write', [self.unlinked_study.id],
                {'patient': self.patient.id, 'merge_comment': "By name"})
            self.assertEqual(
                self.stored(STUDY, self.unlinked_study.id, 'link_status'),
                'manual')
            session.model(
                STUDY, 'write', [self.unlinked_study.id], {'patient': None})
            self.assertEqual(
                self.stored(STUDY, self.unlinked_study.id, 'link_status'),
                'unlinked')
            session.model(
                PATIENT, 'write', [self.unlinked_patient.id],
                {'patient': self.patient.id})
            session.model(
                PATIENT, 'write', [self.unlinked_patient.id],
                {'patient': None})

    def test_cannot_say_who_decided(self):
        for session in self.staff():
            for values in [
                    {'link_status': 'auto_certain'},
                    {'decided_by': self.users['doctor']},
                    {'patient': None, 'link_status': 'manual'},
                    {'patient': None, 'decided_by': None},
                    {'decided_at': dt.datetime(2020, 1, 1)}]:
                with self.subTest(values=values):
                    with self.assertRaises(Told):
                        session.model(
                            STUDY, 'write', [self.study.id], values)

    def hide(self, patient):
        "Hide a patient from everybody by a record rule, until the test ends"
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            group, = pool.get('ir.rule.group').create([{
                        'name': "Hides one", 'global_p': True,
                        'model': pool.get('ir.model').search(
                            [('model', '=', HEALTH_PATIENT)])[0].id,
                        'rules': [('create', [{'domain': json.dumps(
                                            [['id', '!=', patient.id]])}])],
                        }])
            transaction.commit()

        def show():
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.rule.group').delete([group])
                transaction.commit()
        self.addCleanup(show)

    def test_rules_on_patients_hold_for_what_names_them(self):
        names = ['patient_lines', 'gnuhealth_patient_name', 'candidate_lines']
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            Study = pool.get(STUDY)
            seen, hidden = pool.get(HEALTH_PATIENT).browse(
                [create_patient("Zander").id, create_patient("Aal").id])
            server = pool.get(SERVER)(self.server.id)
            studies = {
                kind: [
                    create_study(
                        server, patient_display_name=f"In Images {p.puid}",
                        patient_id=p.puid, **{kind: p.id}).id
                    for p in [seen, hidden]]
                for kind in ['patient', 'candidate']}
            Study.write(
                Study.browse([studies['patient'][1]]),
                {'missing_since': dt.datetime(2026, 3, 4)})
            texts = [(p.rec_name, p.puid) for p in [seen, hidden]]
            transaction.commit()

        def remove():
            with Transaction().start(self.db_name, 1) as transaction:
                Study = Pool().get(STUDY)
                Study.delete(Study.browse(sum(studies.values(), [])))
                transaction.commit()
        self.addCleanup(remove)

        def by_name(session):
            return session.model(
                STUDY, 'search', [('id', 'in', studies['patient'])], 0, None,
                [('patient_lines', 'ASC NULLS LAST')])
        for session in self.staff():
            self.assertEqual(by_name(session), studies['patient'][::-1])
        self.hide(hidden)
        for session in self.staff():
            rows = {
                row['id']: row for row in session.model(
                    STUDY, 'read', sum(studies.values(), []), names)}
            for field, kind in [
                    ('patient_lines', 'patient'),
                    ('gnuhealth_patient_name', 'patient'),
                    ('candidate_lines', 'candidate')]:
                with self.subTest(field=field):
                    told, untold = [
                        rows[id_][field] or '' for id_ in studies[kind]]
                    self.assertIn(texts[0][0], told)
                    for text in texts[1]:
                        self.assertNotIn(text, untold)
            # What is to be known of the images is told
            self.assertIn(
                "Missing", rows[studies['patient'][1]]['patient_lines'])
            # Nor does the order tell the name
            self.assertEqual(by_name(session), studies['patient'])

    def test_writes_nothing_of_orthanc(self):
        writable = PhysicianTestCase.writable
        for session in self.staff():
            for model, names in [
                    (STUDY, writable(self, STUDY) - {
                            'notes', 'series', 'patient', 'imaging_test',
                            'request', 'merge_comment'}),
                    (SERIES, writable(self, SERIES) - {'notes'}),
                    (INSTANCE, writable(self, INSTANCE)),
                    (PATIENT, writable(self, PATIENT) - {'patient'})]:
                for name in names:
                    with self.subTest(model=model, field=name):
                        with self.assertRaises(Told):
                            session.model(
                                model, 'write', [self.ids[model]],
                                {name: None})

    def test_changes_no_series_through_its_study(self):
        new = {'orthanc_UID': 'x', 'modality': 'MR'}
        for session in self.staff():
            for action in [
                    ('write', [self.series.id], {'modality': 'MR'}),
                    ('write', [self.series.id], {
                            'instances': [('delete', [self.instance.id])]}),
                    ('create', [new]),
                    ('delete', [self.series.id]),
                    ('add', [self.unlinked_series.id]),
                    ('remove', [self.series.id]),
                    ('copy', [self.series.id], {})]:
                with self.subTest(action=action[0]):
                    with self.assertRaises(Told):
                        session.model(
                            STUDY, 'write', [self.study.id],
                            {'series': [action]})
            self.assertEqual(
                self.stored(SERIES, self.series.id, 'modality'), 'CT')

    def test_creates_deletes_and_copies_nothing(self):
        for session in self.staff():
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                for method, arguments in [
                        ('create', [[{'notes': "x"}]]),
                        ('create', [[{}]]),
                        ('delete', [[self.ids[model]]]),
                        ('copy', [[self.ids[model]]]),
                        ('import_data', [['rec_name'], [["x"]]])]:
                    with self.subTest(model=model, method=method):
                        with self.assertRaises(Told):
                            session.model(model, method, *arguments)

    def test_clerks_see_what_was_not_imported_and_change_nothing(self):
        session = self.as_('clerk')
        for login in ['doctor', 'radiographer', 'head', 'nobody']:
            with self.subTest(user=login):
                with self.assertRaises(Refused):
                    self.as_(login).model(FAILURE, 'search', [])
        row, = session.model(FAILURE, 'search_read', [
                ('id', '=', self.failure.id)], 0, None, None, ['level'])
        self.assertEqual(row['level'], 'study')
        for method, arguments in [
                ('write', [[self.failure.id], {'reason': "x"}]),
                ('delete', [[self.failure.id]]),
                ('retry', [[self.failure.id]])]:
            with self.subTest(method=method):
                with self.assertRaises(Refused):
                    session.model(FAILURE, method, *arguments)

    def test_runs_are_for_administrators(self):
        for model in [
                RUN, SERVER, PLACEMENT, UPGRADE_NOTE, DATABASE]:
            with self.subTest(model=model):
                with self.assertRaises(Refused):
                    self.as_('clerk').model(model, 'search', [])
                self.assertTrue(
                    self.as_('administrator').model(model, 'search', []))

    def test_upgrade_notes_are_changed_by_nobody(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.upgrade_note.id], {'count': 1}]),
                    ('create', [[{'kind': 'studies'}]]),
                    ('delete', [[self.upgrade_note.id]])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(
                            UPGRADE_NOTE, method, *arguments)

    def test_what_was_sent_where_is_changed_by_nobody(self):
        for login in self.users:
            for method, arguments in [
                    ('write', [[self.placement.id], {'version': 2}]),
                    ('create', [[{
                                    'server': self.server.id,
                                    'study_instance_uid': '1.2',
                                    'step_id': 'S2'}]]),
                    ('copy', [[self.placement.id]]),
                    ('delete', [[self.placement.id]])]:
                with self.subTest(user=login, method=method):
                    with self.assertRaises(Refused):
                        self.as_(login).model(PLACEMENT, method, *arguments)

    def test_server_is_found_by_label(self):
        for session in self.insiders():
            for model in [PATIENT, STUDY, SERIES, INSTANCE]:
                with self.subTest(model=model):
                    self.assertTrue(session.model(
                            model, 'search',
                            [('server_label', '=', "Archive")]))
                    self.assertFalse(session.model(
                            model, 'search', [('server_label', '=', "x")]))

    def test_viewers_are_changed_by_administrators(self):
        for login in ['doctor', 'clerk']:
            with self.subTest(user=login):
                for method, arguments in [
                        ('write', [[self.viewer.id], {'name': "x"}]),
                        ('delete', [[self.viewer.id]]),
                        ('create', [[{'name': "x"}]])]:
                    with self.assertRaises(Refused):
                        self.as_(login).model(VIEWER, method, *arguments)
        self.as_('administrator').model(
            VIEWER, 'write', [self.viewer.id], {'sequence': 61})

    def test_server_buttons_are_for_administrators(self):
        for login in ['doctor', 'clerk']:
            for button in [
                    'check', 'synchronize', 'reconcile',
                    'remove_config_server']:
                with self.subTest(user=login, button=button):
                    with self.assertRaises(Refused):
                        self.as_(login).model(
                            SERVER, button, [self.server.id])
