# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest of a study is dropped by whoever writes what it stands for."""

from trytond.modules.health_orthanc.common.rows import fetch_rows
from trytond.modules.health_orthanc.core.orthanc.resources import (
    PatientResource, SeriesResource, StudyResource)
from trytond.modules.health_orthanc.synchronization import store
from trytond.modules.health_orthanc.synchronization.store import (
    mark_missing_patients, store_patients, store_series, store_studies)
from trytond.modules.health_orthanc.synchronization.study_digests import (
    PATIENT_FIELDS, SERIES_FIELDS, STUDY_FIELDS, confirm_digests,
    count_present, find_known, unconfirmed, write_digests)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    PATIENT, SERIES, STUDY, OrthancTestCase, create_orthanc_patient,
    create_patient, create_server)

TAGS = {'PatientID': 'P', 'PatientName': 'Muster^Erika'}


def listed(**values):
    "Return what Orthanc lists: a patient, a study and a series"
    study = {
        'ID': 'study', 'ParentPatient': 'patient', 'Series': ['series'],
        'MainDicomTags': {'StudyInstanceUID': '1.2'},
        'PatientMainDicomTags': TAGS, 'IsStable': True,
        'LastUpdate': '20260101T000000', **values}
    return (
        PatientResource.from_json({
                'ID': 'patient',
                'MainDicomTags': study['PatientMainDicomTags'],
                'Studies': ['study']}),
        StudyResource.from_json(study),
        SeriesResource.from_json({
                'ID': 'series', 'ParentStudy': 'study',
                'MainDicomTags': {'Modality': 'CT'},
                'Instances': ['one', 'two']}))


class DigestTestCase(OrthancTestCase):
    "A study that was compared, and what is written to its records"

    def make(self, digest='digest', **values):
        self.server = create_server()
        patient, study, series = listed(**values)
        store_patients(self.server, [patient])
        store_studies(self.server, [study], digests={'study': digest})
        store_series(self.server, [series])
        self.study, = Pool().get(STUDY).search(
            [('server', '=', self.server.id)])
        self.series, = self.study.series
        self.patient = self.study.orthanc_patient

    @property
    def stored(self):
        "The digest in the database, past the cache"
        table = Pool().get(STUDY).__table__()
        (digest,), = fetch_rows(table.select(
                table.listed_digest, where=table.id == self.study.id))
        return digest

    @property
    def known(self):
        return find_known(self.server.id, ['study', 'other'])

    @with_transaction()
    def test_fields_are_those_that_are_stored(self):
        self.make()
        patient, study, series = listed()
        for values, names, own in [
                (store._patient_values(patient), PATIENT_FIELDS,
                    {'server', 'uuid'}),
                (store.study_values(study, None), STUDY_FIELDS,
                    {'server', 'orthanc_UID', 'modalities'}),
                (store._series_values(series, 1), SERIES_FIELDS,
                    {'orthanc_UID'})]:
            self.assertEqual(values.keys() | own, names)

    @with_transaction()
    def test_a_study_is_known_with_all_it_has(self):
        self.make()
        self.assertEqual(self.known, {'study': ('digest', 'patient', 1)})
        self.assertEqual(count_present(self.server.id), (1, 2))
        self.assertFalse(find_known(create_server().id, ['study']))

    @with_transaction()
    def test_each_stored_value_counts(self):
        self.make()
        relations = {
            'server': create_server().id, 'study': self.study.id,
            'orthanc_patient': create_orthanc_patient(self.server).id}
        for record, names in [
                (self.patient, PATIENT_FIELDS), (self.study, STUDY_FIELDS),
                (self.series, SERIES_FIELDS)]:
            for name in sorted(names):
                with self.subTest(model=record.__name__, name=name):
                    write_digests({self.study.id: 'digest'})
                    Model = Pool().get(record.__name__)
                    before = getattr(Model(record.id), name)
                    before = getattr(before, 'id', before)
                    Model.write([Model(record.id)], {
                            name: relations.get(name, before)})
                    self.assertIsNone(self.stored)
                    Model.write([Model(record.id)], {name: before})

    @with_transaction()
    def test_what_people_write_does_not_count(self):
        self.make()
        pool = Pool()
        pool.get(STUDY).write([self.study], {
                'notes': "Seen", 'patient': create_patient().id})
        pool.get(SERIES).write([self.series], {'notes': "Seen"})
        self.assertEqual(self.stored, 'digest')

    @with_transaction()
    def test_what_is_missing_is_not_known(self):
        pool = Pool()
        for model in [STUDY, PATIENT]:
            self.make()
            record = self.study if model == STUDY else self.patient
            pool.get(model).mark_missing([record.id])
            self.assertFalse(self.known)
        self.make()
        pool.get(SERIES).mark_missing([self.series.id])
        self.assertEqual(self.known, {'study': ('digest', 'patient', 0)})
        self.assertEqual(count_present(self.server.id), (0, 0))
        pool.get(STUDY).mark_missing([self.study.id])
        mark_missing_patients(self.server)
        self.assertFalse(self.known)

    @with_transaction()
    def test_a_series_that_is_deleted_counts(self):
        self.make()
        Pool().get(SERIES).delete([self.series])
        self.assertIsNone(self.stored)

    @with_transaction()
    def test_studies_are_stored_with_digests(self):
        self.make()
        _, study, _ = listed()
        # Of what is unchanged, only the digest is written
        store_studies(self.server, [study], digests={'study': 'second'})
        self.assertEqual(self.stored, 'second')
        # A changed one has none, or that of what it was changed to
        _, changed, _ = listed(LastUpdate='20260101T000001')
        store_studies(self.server, [changed])
        self.assertIsNone(self.stored)
        store_studies(self.server, [study], digests={'study': 'third'})
        self.assertEqual(self.stored, 'third')
        # Who does not know a digest leaves it
        store_studies(self.server, [study])
        self.assertEqual(self.stored, 'third')

    @with_transaction()
    def test_series_drop_the_digest_only_if_they_change(self):
        self.make()
        *_, series = listed()
        store_series(self.server, [series])
        self.assertEqual(self.stored, 'digest')
        store_series(self.server, [SeriesResource.from_json({
                        'ID': 'series', 'ParentStudy': 'study',
                        'MainDicomTags': {'Modality': 'CT'},
                        'Instances': ['one']})])
        self.assertIsNone(self.stored)

    @with_transaction()
    def test_names_that_are_to_be_read_have_no_digest(self):
        damaged = {**TAGS, 'PatientName': '?^?'}
        self.make(PatientMainDicomTags=damaged)
        self.assertIsNone(self.stored)
        Pool().get(STUDY).write([self.study], {
                'patient_name': "Read", 'listed_name': '?^?'})
        _, study, _ = listed(PatientMainDicomTags=damaged)
        store_studies(self.server, [study], digests={'study': 'digest'})
        self.assertEqual(self.stored, 'digest')

    @with_transaction()
    def test_a_digest_is_confirmed_once_the_series_are_stored(self):
        waiting = unconfirmed({'study': 'digest'})
        self.make(waiting['study'])
        self.assertNotEqual(self.stored, 'digest')
        # Of another server
        confirm_digests(create_server().id, waiting)
        self.assertNotEqual(self.stored, 'digest')
        confirm_digests(self.server.id, unconfirmed({'study': 'other'}))
        self.assertNotEqual(self.stored, 'digest')
        confirm_digests(self.server.id, waiting)
        self.assertEqual(self.stored, 'digest')
        confirm_digests(self.server.id, waiting)
        self.assertEqual(self.stored, 'digest')

    @with_transaction()
    def test_what_was_written_meanwhile_is_not_confirmed(self):
        waiting = unconfirmed({'study': 'digest'})
        self.make(waiting['study'])
        Pool().get(STUDY).write([self.study], {'patient_sex': 'O'})
        confirm_digests(self.server.id, waiting)
        self.assertIsNone(self.stored)
