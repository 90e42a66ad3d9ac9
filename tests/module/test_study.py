# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt

from trytond.model.exceptions import ValidationError
from trytond.model.modelsql import ForeignKeyError
from trytond.modules.health_orthanc.common.exceptions import (
    ResourceAccessError)
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    INSTANCE, MODULE, SERIES, STUDY, OrthancTestCase, create_instance,
    create_patient, create_result, create_series, create_server, create_study,
    create_user, record_id)

MISSING = dt.datetime(2026, 3, 5, 8, 0)


def search(model, *domain, **options):
    return Pool().get(model).search(list(domain), **options)


def write(study, **values):
    Study = Pool().get(STUDY)
    Study.write([study], values)
    return Study(study.id)


def refetched(record):
    return type(record)(record.id)


class DecisionTestCase(OrthancTestCase):
    "What a person decides about a study"

    def assertDecided(self, study, status):
        self.assertEqual(study.link_status, status)
        self.assertEqual(study.decided_by.id, Transaction().user)
        self.assertLess(
            abs(dt.datetime.now() - study.decided_at), dt.timedelta(minutes=5))

    @with_transaction()
    def test_new_studies_are_undecided(self):
        study = create_study(create_server())
        self.assertEqual(study.link_status, 'unlinked')
        self.assertIsNone(study.decided_by)
        self.assertIsNone(study.decided_at)

    @with_transaction()
    def test_a_patient_is_chosen(self):
        patient = create_patient()
        study = write(create_study(create_server()), patient=patient.id)
        self.assertDecided(study, 'manual')
        self.assertEqual(study.gnuhealth_patient_name, patient.rec_name)

    @with_transaction()
    def test_who_decided_is_who_wrote(self):
        user = create_user('clerk', 'health_orthanc.group_imaging_orthanc')
        study = create_study(create_server())
        with Transaction().set_user(user.id):
            study = write(study, patient=create_patient().id)
        self.assertEqual(study.decided_by, user)

    @with_transaction()
    def test_a_suggestion_is_confirmed(self):
        patient = create_patient()
        study = create_study(
            create_server(), patient=patient.id, link_status='auto_unsure')
        study = write(study, patient=patient.id)
        self.assertDecided(study, 'manual')

    @with_transaction()
    def test_a_patient_is_cleared(self):
        patient = create_patient()
        study = create_study(
            create_server(), patient=patient.id, link_status='auto_certain',
            imaging_test=create_result(patient).id)
        study = write(study, patient=None)
        self.assertDecided(study, 'unlinked')
        self.assertIsNone(study.imaging_test)

    @with_transaction()
    def test_a_result_brings_its_patient(self):
        patient = create_patient()
        result = create_result(patient)
        study = write(create_study(create_server()), imaging_test=result.id)
        self.assertDecided(study, 'manual')
        self.assertEqual(study.patient, patient)

    @with_transaction()
    def test_a_result_is_cleared(self):
        patient = create_patient()
        study = create_study(
            create_server(), patient=patient.id,
            imaging_test=create_result(patient).id)
        study = write(study, imaging_test=None)
        self.assertDecided(study, 'manual')
        self.assertEqual(study.patient, patient)

    @with_transaction()
    def test_a_result_of_another_patient_is_refused(self):
        one, other = create_patient(), create_patient()
        study = create_study(create_server())
        with self.assertRaises(ValidationError):
            write(study, patient=one.id, imaging_test=create_result(other).id)

    @with_transaction()
    def test_a_result_alone_does_not_move_a_study(self):
        one, other = create_patient(), create_patient()
        study = create_study(create_server(), patient=one.id)
        with self.assertRaises(ValidationError):
            write(study, imaging_test=create_result(other).id)

    @with_transaction()
    def test_a_study_leaves_the_result_of_its_former_patient(self):
        one, other = create_patient(), create_patient()
        study = create_study(
            create_server(), patient=one.id,
            imaging_test=create_result(one).id)
        write(study, patient=other.id)
        self.assertEqual(study.patient, other)
        self.assertIsNone(study.imaging_test)

    @with_transaction()
    def test_the_form_keeps_patient_and_result_together(self):
        Study = Pool().get(STUDY)
        one, other = create_patient(), create_patient()
        result = create_result(one)
        study = Study(patient=other, imaging_test=result)
        study.on_change_patient()
        self.assertIsNone(study.imaging_test)
        study = Study(patient=other, imaging_test=result)
        study.on_change_imaging_test()
        self.assertEqual(study.patient, one)
        study = Study(patient=one, imaging_test=None)
        study.on_change_imaging_test()
        self.assertEqual(study.patient, one)

    @with_transaction()
    def test_several_are_decided_at_once(self):
        Study = Pool().get(STUDY)
        server, patient = create_server(), create_patient()
        one, two, three = (create_study(server) for _ in range(3))
        Study.write(
            [one, two], {'patient': patient.id}, [three], {'notes': "x"})
        one, two, three = map(refetched, [one, two, three])
        self.assertDecided(one, 'manual')
        self.assertDecided(two, 'manual')
        self.assertEqual(three.link_status, 'unlinked')
        self.assertIsNone(three.decided_by)

    @with_transaction()
    def test_notes_decide_nothing(self):
        study = write(
            create_study(create_server()), notes="x", merge_comment="y")
        self.assertIsNone(study.decided_by)

    @with_transaction()
    def test_machines_say_what_they_decide(self):
        study = write(
            create_study(create_server()), patient=create_patient().id,
            link_status='auto_certain')
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertIsNone(study.decided_by)

    @with_transaction()
    def test_a_patient_with_studies_stays(self):
        patient = create_patient()
        create_study(create_server(), patient=patient.id)
        with self.assertRaises(ForeignKeyError):
            Pool().get('gnuhealth.patient').delete([patient])


class FlagsTestCase(OrthancTestCase):

    @with_transaction()
    def test_historical(self):
        server = create_server(start_date=dt.date(2026, 1, 1))
        old = create_study(server, historical=True)
        # Their dates make no difference
        others = {
            create_study(server, date=date)
            for date in [dt.date(1990, 1, 1), None]}
        self.assertFlag('historical', {old}, others)

    @with_transaction()
    def test_uid_conflict(self):
        server, other = create_server(), create_server()
        twins = {
            create_study(server, study_instance_UID='1.2.3')
            for _ in range(2)}
        single = {
            create_study(server, study_instance_UID='1.2.4'),
            create_study(other, study_instance_UID='1.2.3'),
            create_study(
                server, study_instance_UID='1.2.3', missing_since=MISSING),
            *(create_study(server, study_instance_UID=None)
                for _ in range(2))}
        self.assertFlag('uid_conflict', twins, single)

    def assertFlag(self, name, flagged, others):
        for study in flagged | others:
            self.assertEqual(
                bool(getattr(refetched(study), name)), study in flagged)
        for clause, found in [
                ((name, '=', True), flagged), ((name, '=', False), others),
                ((name, '!=', True), others), ((name, '!=', False), flagged),
                ((name, 'in', [True]), flagged),
                ((name, 'in', [False]), others),
                ((name, 'not in', [True]), others),
                ]:
            with self.subTest(clause=clause):
                self.assertEqual(set(search(STUDY, clause)), found)

    @with_transaction()
    def test_also_on(self):
        one, two, three = (
            create_server(label=label) for label in ["One", "Two", "Three"])
        study = create_study(one, study_instance_UID='1.2.3')
        create_study(one, study_instance_UID='1.2.3')
        create_study(two, study_instance_UID='1.2.3')
        last = create_study(three, study_instance_UID='1.2.3')
        create_study(
            create_server(label="Gone"), study_instance_UID='1.2.3',
            missing_since=MISSING)
        alone = create_study(one, study_instance_UID=None)
        create_study(two, study_instance_UID=None)
        self.assertEqual(refetched(study).also_on, "Three, Two")
        self.assertEqual(refetched(last).also_on, "One, Two")
        self.assertIsNone(refetched(alone).also_on)

    @with_transaction()
    def test_counts(self):
        server = create_server()
        study, empty = create_study(server), create_study(server)
        create_series(study, instances_count=12)
        create_series(study, instances_count=None)
        create_series(study, instances_count=5, missing_since=MISSING)
        study, empty = map(refetched, [study, empty])
        self.assertEqual(study.series_count, 2)
        self.assertEqual(study.instances_count, 12)
        self.assertEqual((empty.series_count, empty.instances_count), (0, 0))


class SearchTestCase(OrthancTestCase):

    @with_transaction()
    def test_names_by_their_words(self):
        server = create_server()
        erika = create_study(
            server, patient_display_name="Muster, Erika Sophie")
        create_study(server, patient_display_name="Muster, Hans")
        for text in [
                "erika muster", "Muster, Erika", "sophie", "MUSTER erika",
                "must eri", "%sophie%muster%"]:
            with self.subTest(text=text):
                self.assertEqual(search(
                        STUDY, ('rec_name', 'ilike', f'%{text}%')), [erika])
        self.assertEqual(
            search(STUDY, ('rec_name', 'ilike', '%erika hans%')), [])

    @with_transaction()
    def test_every_column(self):
        pool = Pool()
        values = {
            'patient_display_name': "Ejemplo, Juan",
            'patient_name': 'Ejemplo^Juan',
            'patient_id': 'ID-4711',
            'patient_birth_date': dt.date(1980, 2, 29),
            'patient_sex': 'M',
            'date': dt.date(2026, 2, 3),
            'study_time': dt.time(11, 30),
            'study_description': "Knee, left",
            'requested_procedure_description': "Knee",
            'study_id': 'S-9',
            'accession_number': 'A-77',
            'modalities': 'CR, MR',
            'institution': "Clinic",
            'referring_physician_name': "Referrer, A",
            'requesting_physician': "Requester, B",
            'performing_physician_name': "Performer, C",
            'study_instance_UID': '9.8.7',
            'orthanc_UID': 'orthanc-9',
            'merge_id': 'M-1',
            'link_status': 'manual',
            'missing_since': MISSING,
            'notes': "Look again",
            }
        patient = create_patient("Ejemplo", "Juan")
        study = create_study(
            create_server(label="Archive"), patient=patient.id, **values)
        create_study(
            create_server(), patient_display_name="Muster, Erika",
            modalities='CT')
        values['server_label'] = "Archive"
        values['gnuhealth_patient_name'] = patient.rec_name
        Study = pool.get(STUDY)
        for name, value in values.items():
            clauses = [(name, '=', value)]
            if name == 'notes':
                # PostgreSQL searches texts by whole words.
                clauses = [(name, 'ilike', '%AGAIN%')]
            elif isinstance(value, str):
                clauses.append((name, 'ilike', f'%{value[1:].upper()}%'))
            if name == 'gnuhealth_patient_name':
                clauses = [(name, 'ilike', '%Ejemplo%')]
            for clause in clauses:
                with self.subTest(clause=clause):
                    self.assertEqual(Study.search([clause]), [study])

    @with_transaction()
    def test_record_by_what_is_known_of_it(self):
        study = create_study(
            create_server(), patient_id='ID-4711', accession_number='A-77',
            study_description="Knee, left", study_instance_UID='9.8.7',
            patient=create_patient("Ejemplo", "Juan").id)
        create_study(create_server())
        for text in ['4711', 'a-77', 'knee', '9.8.7', 'ejemplo']:
            with self.subTest(text=text):
                self.assertEqual(search(
                        STUDY, ('rec_name', 'ilike', f'%{text}%')), [study])

    @with_transaction()
    def test_every_sortable_column_sorts(self):
        server = create_server()
        for _ in range(2):
            study = create_study(server)
            create_instance(create_series(study))
        for model in [STUDY, SERIES, INSTANCE]:
            Model = Pool().get(model)
            definitions = Model.fields_get()
            names = [n for n, d in definitions.items() if d['sortable']]
            self.assertGreater(len(names), 5)
            for name in names:
                with self.subTest(model=model, field=name):
                    self.assertEqual(len(
                            Model.search([], order=[(name, 'ASC')])), 2)

    @with_transaction()
    def test_order_by_server(self):
        last = create_study(create_server(label="B"))
        first = create_study(create_server(label="A"))
        for direction, studies in [
                ('ASC', [first, last]), ('DESC', [last, first])]:
            with self.subTest(direction=direction):
                self.assertEqual(search(
                        STUDY, order=[('server_label', direction)]), studies)

    @with_transaction()
    def test_newest_first(self):
        server = create_server()
        undated = create_study(server, date=None)
        old = create_study(server, date=dt.date(2020, 1, 1))
        day = dt.date(2026, 1, 1)
        untimed = create_study(server, date=day, study_time=None)
        early = create_study(server, date=day, study_time=dt.time(8))
        late = create_study(server, date=day, study_time=dt.time(20))
        self.assertEqual(
            search(STUDY), [late, early, untimed, old, undated])

    @with_transaction()
    def test_tabs(self):
        pool = Pool()
        server = create_server(start_date=dt.date(2026, 1, 1))
        patient = create_patient()
        linked = {'patient': patient.id}
        suggested = {**linked, 'link_status': 'auto_unsure'}
        decided = {**linked, 'link_status': 'manual'}
        today = {**decided, 'date': dt.date.today()}
        studies = {
            create_study(server, **values): names for values, names in [
                ({}, {"Unlinked"}),
                ({'date': dt.date(2020, 1, 1)}, {"Unlinked"}),
                ({'historical': True}, set()),
                (suggested, {"To Review", "Linked"}),
                ({**suggested, 'historical': True}, {"Linked"}),
                (decided, {"Linked"}),
                ({**linked, 'link_status': 'auto_certain'}, {"Linked"}),
                ({'link_status': 'dismissed'}, {"Dismissed"}),
                ({'missing_since': MISSING}, {"Missing"}),
                ({**decided, 'missing_since': MISSING}, {"Missing"}),
                (today, {"Today", "Linked"}),
                ({**today, 'missing_since': MISSING}, {"Missing"}),
                ]}
        tabs = pool.get('ir.action.act_window.domain').search([
                ('act_window.res_model', '=', STUDY),
                ('act_window', 'in', [
                        record_id('act_study_form'),
                        record_id('act_study_review')])])
        # Those of all studies and those of the queue
        self.assertEqual([t.name for t in tabs], [
                "Today", "Unlinked", "To Review", "To Review", "Unlinked",
                "Linked", "Missing", "Dismissed", "All"])
        found = {study: set() for study in studies}
        for tab in tabs:
            for study in search(STUDY, PYSONDecoder().decode(tab.domain)):
                found[study].add(tab.name)
        self.assertEqual(
            found, {s: names | {"All"} for s, names in studies.items()})

    @with_transaction()
    def test_every_tab_can_be_searched(self):
        pool = Pool()
        Tab = pool.get('ir.action.act_window.domain')
        tabs = pool.get('ir.model.data').search([
                ('module', '=', MODULE), ('model', '=', Tab.__name__)])
        self.assertGreater(len(tabs), 10)
        for tab in [Tab(t.db_id) for t in tabs]:
            with self.subTest(action=tab.act_window.name, tab=tab.name):
                domain = PYSONDecoder().decode(tab.domain)
                self.assertEqual(
                    search(tab.act_window.res_model, domain), [])


class RecordTestCase(OrthancTestCase):

    @with_transaction()
    def test_names_of_records(self):
        study = create_study(
            create_server(), date=dt.date(2026, 3, 4), modalities='CT',
            study_description="Head", patient_display_name="Muster, Erika")
        self.assertEqual(
            study.rec_name, "2026-03-04 CT Head Muster, Erika")
        series = create_series(
            study, series_number='2', modality='CT',
            series_description="Axial")
        self.assertEqual(series.rec_name, "2 CT Axial")
        instance = create_instance(series, instance_number=7)
        self.assertEqual(instance.rec_name, "2 CT Axial / 7")

    @with_transaction()
    def test_names_of_records_that_say_nothing(self):
        study = create_study(
            create_server(), date=None, patient_display_name=None,
            patient_id=None, study_instance_UID='1.2')
        series = create_series(study, modality=None, series_UID='1.2.3')
        instance = create_instance(series, sop_instance_UID='1.2.3.4')
        self.assertEqual(
            [r.rec_name for r in [study, series, instance]],
            ['1.2', '1.2.3', '1.2.3.4'])

    @with_transaction()
    def test_records_without_any_text_have_a_name(self):
        study = create_study(
            create_server(), date=None, patient_display_name=None,
            patient_id=None, study_instance_UID=None, orthanc_UID='o-1')
        series = create_series(
            study, modality=None, series_UID=None, orthanc_UID='o-2')
        instance = create_instance(
            series, sop_instance_UID=None, orthanc_UID='o-3')
        self.assertEqual(
            [r.rec_name for r in [study, series, instance]],
            ['o-1', 'o-2', 'o-3'])

    @with_transaction()
    def test_series_are_in_order_of_their_numbers(self):
        study = create_study(create_server())
        for number in ['10', '2', '1']:
            create_series(study, series_number=number)
        self.assertEqual(
            [s.series_number for s in search(SERIES)], ['1', '2', '10'])
        self.assertEqual(
            [s.series_number for s in refetched(study).series],
            ['1', '2', '10'])

    @with_transaction()
    def test_instances_are_in_order_of_their_numbers(self):
        series = create_series(create_study(create_server()))
        for number in [10, 2, 1]:
            create_instance(series, instance_number=number)
        self.assertEqual(
            [i.instance_number for i in refetched(series).instances],
            [1, 2, 10])

    @with_transaction()
    def test_series_and_instances_know_their_server(self):
        server, other = create_server(label="One"), create_server()
        series = create_series(create_study(server))
        instance = create_instance(series)
        create_instance(create_series(create_study(other)))
        for record in [series, instance]:
            with self.subTest(record=record):
                self.assertEqual(record.server, server)
                self.assertEqual(record.server_label, "One")
                for clause in [
                        ('server', '=', server.id),
                        ('server_label', '=', "One"),
                        ('server_label', 'ilike', "%on%")]:
                    self.assertEqual(
                        search(record.__name__, clause), [record])

    @with_transaction()
    def test_series_are_found(self):
        study = create_study(create_server())
        series = create_series(
            study, series_number='3', modality='MR',
            series_description="Sagittal", series_UID='7.7')
        create_series(study)
        for text in ['mr', 'sagi', '7.7', '3']:
            with self.subTest(text=text):
                self.assertIn(series, search(
                        SERIES, ('rec_name', 'ilike', f'%{text}%')))

    @with_transaction()
    def test_nothing_is_copied(self):
        study = create_study(create_server())
        series = create_series(study)
        for record in [study, series, create_instance(series)]:
            with self.subTest(record=record):
                with self.assertRaises(ResourceAccessError):
                    type(record).copy([record])

    @with_transaction()
    def test_deleted_with_what_is_in_it(self):
        study = create_study(create_server())
        create_instance(create_series(study))
        type(study).delete([study])
        for model in [STUDY, SERIES, INSTANCE]:
            self.assertEqual(search(model), [])

    @with_transaction()
    def test_marked_missing_once(self):
        Study = Pool().get(STUDY)
        study = create_study(create_server())
        self.assertEqual(Study.mark_missing([study.id], MISSING), 1)
        self.assertEqual(Study.mark_missing([study.id]), 0)
        self.assertEqual(
            search(STUDY, ('missing_since', '=', MISSING)), [study])

    @with_transaction()
    def test_opens_where_the_settings_of_its_server_are_unusable(self):
        for values in [
                {'domain': 'https://127.0.0.1:9',
                    'ca_certificates': "no certificate"},
                {'domain': 'https://127.0.0.1:10',
                    'client_certificate': "no certificate"},
                ]:
            study = create_study(create_server(**values))
            instance = create_instance(create_series(study))
            with self.subTest(values=values):
                self.assertIsNone(study.thumbnail)
                self.assertIsNone(instance.image)
