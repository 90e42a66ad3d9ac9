# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server held before it was added waits for nobody."""

import datetime as dt

from trytond.modules.health_orthanc.core.orthanc.resources import (
    PatientResource, StudyResource)
from trytond.modules.health_orthanc.linking.link import match_received
from trytond.modules.health_orthanc.linking.queue import (
    count_historical, mark_arrived, queue_historical)
from trytond.modules.health_orthanc.migration.studies import mark_historical
from trytond.modules.health_orthanc.synchronization.store import (
    store_patients, store_studies)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import AccessTestCase
from .tools import (
    STUDY, OrthancTestCase, Refused, create_patient, create_series,
    create_server, create_study)

WIZARD = 'gnuhealth.imaging_orthanc.review_historical'


class ArrivalTestCase(OrthancTestCase):
    "It goes by arrival, never by the date of the study"

    def store(self, server, historical=False, update='20260601T120000'):
        "Store a study as Orthanc tells of it, and return it"
        store_patients(server, [PatientResource.from_json({
                        'ID': 'p1', 'Type': 'Patient',
                        'MainDicomTags': {'PatientID': 'X'}})])
        store_studies(server, [StudyResource.from_json({
                        'ID': 's1', 'Type': 'Study', 'ParentPatient': 'p1',
                        'LastUpdate': update, 'Series': [],
                        'MainDicomTags': {'StudyDate': '20150101'}})],
            historical=historical)
        Transaction().cache.clear()
        study, = Pool().get(STUDY).search([('server', '=', server.id)])
        return study

    def waits(self, study):
        return study in study.__class__.queue()

    @with_transaction()
    def test_what_was_there(self):
        study = self.store(create_server(), historical=True)
        self.assertTrue(study.historical)
        self.assertFalse(self.waits(study))

    @with_transaction()
    def test_what_arrives(self):
        study = self.store(create_server())
        self.assertFalse(study.historical)
        self.assertTrue(self.waits(study))

    @with_transaction()
    def test_it_stays_so_as_long_as_nothing_arrives(self):
        server = create_server()
        self.store(server, historical=True)
        self.assertTrue(self.store(server).historical)

    @with_transaction()
    def test_images_are_added(self):
        server = create_server()
        self.store(server, historical=True)
        study = self.store(server, update='20260601T130000')
        self.assertFalse(study.historical)
        self.assertTrue(self.waits(study))

    @with_transaction()
    def test_the_update_from_5_0_is_no_arrival(self):
        server = create_server()
        study = self.store(server, historical=True)
        study.__class__.write([study], {'last_update': None})
        self.assertTrue(self.store(server).historical)

    @with_transaction()
    def test_the_change_log_tells_of_it(self):
        server, other = create_server(), create_server()
        study = self.store(server, historical=True)
        elsewhere = self.store(other, historical=True)
        series = create_series(elsewhere)
        Study = study.__class__
        mark_arrived(server.id, {'s1'})
        self.assertFalse(Study(study.id).historical)
        self.assertTrue(Study(elsewhere.id).historical)
        mark_arrived(other.id, (), {series.orthanc_UID})
        Transaction().cache.clear()
        self.assertFalse(Study(elsewhere.id).historical)

    @with_transaction()
    def test_an_upload_waits_even_if_it_was_there(self):
        server = create_server()
        study = self.store(server, historical=True)
        match_received(server.id, ['s1'])
        Transaction().cache.clear()
        self.assertTrue(self.waits(study.__class__(study.id)))

    @with_transaction()
    def test_known_studies_keep_their_status_at_the_update(self):
        Study = Pool().get(STUDY)
        server = create_server(start_date=dt.date(2026, 1, 1))
        before, after, undated = (
            create_study(server, date=date) for date in [
                dt.date(2025, 12, 31), dt.date(2026, 1, 1), None])
        mark_historical(Study)
        Transaction().cache.clear()
        self.assertEqual(
            Study.search([('historical', '=', True)]), [before])
        self.assertEqual(
            set(Study.search([('historical', '=', False)])),
            {after, undated})

    @with_transaction()
    def test_a_copied_server_has_another_position(self):
        Server = create_server().__class__
        server = create_server(initial_index=7)
        copy, = Server.copy([server], {
                'label': "Copy", 'domain': 'http://127.0.0.1:9/copy'})
        self.assertIsNone(copy.initial_index)


class YearsTestCase(OrthancTestCase):
    "The administrator puts old ones up for review, by year"

    def studies(self, server, *dates, **values):
        return [
            create_study(server, date=date, historical=True, **values)
            for date in dates]

    @with_transaction()
    def test_count(self):
        server, other = create_server(), create_server()
        days = [
            dt.date(2019, 1, 1), dt.date(2019, 12, 31), dt.date(2020, 1, 1),
            None]
        self.studies(server, *days)
        self.studies(other, dt.date(2019, 6, 1))
        # Nobody is needed for these
        self.studies(
            server, days[0], link_status='manual',
            patient=create_patient().id)
        self.studies(server, days[0], link_status='dismissed')
        create_study(server, date=days[0])
        self.assertEqual(
            dict(count_historical(server)), {2019: 2, 2020: 1, None: 1})
        self.assertEqual(
            dict(count_historical()), {2019: 3, 2020: 1, None: 1})

    @with_transaction()
    def test_put_up_for_review(self):
        Study = Pool().get(STUDY)
        server, other = create_server(), create_server()
        first, last, next_, undated = self.studies(
            server, dt.date(2019, 1, 1), dt.date(2019, 12, 31),
            dt.date(2020, 1, 1), None)
        elsewhere, = self.studies(other, dt.date(2019, 6, 1))
        self.assertEqual(Study.queue(), [])
        self.assertEqual(queue_historical(2019, server), 2)
        Transaction().cache.clear()
        self.assertEqual(Study.queue(), [first, last])
        self.assertEqual(queue_historical(None, server), 1)
        self.assertEqual(queue_historical(2019), 1)
        Transaction().cache.clear()
        self.assertEqual(
            set(Study.queue()), {first, last, undated, elsewhere})
        self.assertEqual(queue_historical(2019), 0)


class AdministratorTestCase(AccessTestCase):
    "The dialog, and whom it is for"

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.old = create_study(
            cls.server, date=dt.date(2019, 3, 4), historical=True)

    def run_wizard(self, login, year, **context):
        session = self.as_(login)
        id_, state, _ = session.wizard(WIZARD, 'create', **context)
        self.assertEqual(state, 'start')
        return session.wizard(WIZARD, 'execute', id_, {
                'start': {'server': None, 'year': year}}, 'queue', **context)

    def test_years(self):
        years = self.as_('administrator').model(
            f'{WIZARD}.start', 'get_years', {'server': self.server.id})
        self.assertIn(['2019', "2019 (1 studies)"], list(map(list, years)))

    def test_others_are_refused(self):
        for login in self.users.keys() - {'administrator'}:
            with self.subTest(user=login):
                for context in [
                        {}, {'active_model': 'ir.ui.menu', 'active_id': 1}]:
                    with self.assertRaises(Refused):
                        self.run_wizard(login, '2019', **context)
                with self.assertRaises(Refused):
                    self.as_(login).model(
                        f'{WIZARD}.start', 'get_years', {'server': None})
        self.assertTrue(self.stored(STUDY, self.old.id, 'historical'))

    def test_who_may(self):
        result = self.run_wizard('administrator', '2019')
        self.assertIn("review: 1.", result['view']['defaults']['message'])
        self.assertFalse(self.stored(STUDY, self.old.id, 'historical'))
        with Transaction().start(self.db_name, 1) as transaction:
            Study = Pool().get(STUDY)
            Study.write([Study(self.old.id)], {'historical': True})
            transaction.commit()
