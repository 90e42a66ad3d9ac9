# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies find patients and orders that come after them."""

import datetime as dt

from trytond import backend
from trytond.modules.health_orthanc.common.rows import insert_rows
from trytond.modules.health_orthanc.linking.link import match_orders
from trytond.modules.health_orthanc.linking.plain import (
    _due_links_query, match_plain)
from trytond.modules.health_orthanc.linking.queue import (
    _due_query, due_studies, queue_overdue, without_due)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    STUDY, OrthancTestCase, create_order, create_patient, create_result,
    create_series, create_server, create_study)

QUEUE = 'ir.queue'
BIRTH = dt.date(1964, 8, 12)


class QueueTestCase(OrthancTestCase):

    def study(self, **values):
        "Return a study of Erika Muster that was matched"
        study = create_study(create_server(), **{
                'patient_id': 'FOREIGN', 'patient_birth_date': BIRTH,
                'patient_sex': 'F', 'date': dt.date.today(), **values})
        self.match()
        return study

    def match(self):
        "Match what is due, and return it"
        due = due_studies()
        match_orders(due)
        self.assertEqual(due_studies(), [])
        return [Pool().get(STUDY)(id_) for id_ in due]

    def tasks(self):
        return [
            set(task.data['instances']) for task in Pool().get(QUEUE).search(
                []) if task.data['method'] == 'match_again']

    @with_transaction()
    def test_what_is_new_or_has_changed_is_due(self):
        server = create_server()
        study = create_study(server)
        self.assertEqual(due_studies(server), [study.id])
        self.assertEqual(due_studies(create_server()), [])
        self.match()
        self.assertEqual(due_studies(server, [study.id]), [])

    @with_transaction()
    def test_it_is_not_searched_among_all_studies(self):
        if backend.name != 'postgresql':
            return
        server = create_server()
        at, patient = dt.datetime(2026, 1, 1), create_patient().id
        insert_rows(Pool().get(STUDY), [{
                    'server': server.id, 'orthanc_UID': f'queue{number}',
                    'link_status': 'unlinked',
                    'matched_at': at if number % 2 else None,
                    'patient': patient if number % 3 else None,
                    } for number in range(3000)])
        cursor = Transaction().connection.cursor()
        # When most of what was in the queue has left it
        cursor.execute('ANALYZE gnuhealth_imaging_orthanc_study')
        for query, direction in [
                (_due_query(server, None, 1000, None), 'Backward'),
                (_due_links_query(server.id), 'using')]:
            statement, parameters = query
            cursor.execute(f'EXPLAIN {statement}', parameters)
            plan = '\n'.join(line for line, in cursor)
            self.assertNotIn('_pkey', plan)
            self.assertNotIn('Seq Scan', plan)
            self.assertIn(f'Index Scan {direction}', plan)

    @with_transaction()
    def test_what_leaves_the_queue_has_modalities(self):
        server = create_server()
        ids = [create_study(server).id for _ in range(3)]
        for id_ in ids[:2]:
            for modality in ['MR', 'CT', 'MR']:
                create_series(Pool().get(STUDY)(id_), modality=modality)
        self.assertEqual(self.modalities(ids), [None] * 3)
        self.assertEqual(without_due(ids), set())
        match_orders(ids[:1])
        self.assertEqual(without_due(ids), set(ids[:1]))
        self.assertEqual(match_plain(ids[1:]), [])
        self.assertEqual(without_due(ids), set(ids))
        self.assertEqual(self.modalities(ids), ["CT, MR", "CT, MR", None])

    @staticmethod
    def modalities(ids):
        table = Pool().get(STUDY).__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(
                table.modalities, where=table.id.in_(ids), order_by=table.id))
        return [modalities for modalities, in cursor]

    @with_transaction()
    def test_a_patient_who_is_registered_afterwards(self):
        study = self.study()
        self.assertEqual(study.link_status, 'unlinked')
        create_patient("Muster", "Otto")
        self.assertEqual(due_studies(), [])
        patient = create_patient(dob=BIRTH)
        self.assertEqual(self.tasks(), [{study.id}])
        study, = self.match()
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.patient, patient)

    @with_transaction()
    def test_a_puid_that_is_entered_afterwards(self):
        Party = Pool().get('party.party')
        self.study()
        patient = create_patient(dob=BIRTH)
        self.match()
        Party.write([patient.party], {'ref': 'FOREIGN'})
        study, = self.match()
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.patient, patient)

    @with_transaction()
    def test_a_name_that_is_corrected_afterwards(self):
        Party = Pool().get('party.party')
        patient = create_patient("Irrtum", "Otto", dob=dt.date(1964, 12, 8))
        study = self.study()
        self.assertIsNone(study.candidate)
        Party.write([patient.party], {'lastname': "Muster", 'name': "Erika"})
        study, = self.match()
        self.assertEqual(study.candidate, patient)

    @with_transaction()
    def test_an_order_that_is_placed_afterwards(self):
        patient = create_patient(dob=BIRTH)
        study = self.study(patient_id=patient.party.ref)
        self.assertEqual(study.link_status, 'auto_certain')
        order = create_order(patient)
        self.assertEqual(due_studies(), [])
        order.__class__.requested([order])
        study, = self.match()
        self.assertEqual(study.link_status, 'auto_unsure')
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_an_order_with_the_number_in_the_images(self):
        study = self.study(accession_number='4711')
        patient = create_patient("Muster", "Erika Maria")
        self.match()
        order = create_order(
            patient, requested=True, accession_number='4711')
        study, = self.match()
        self.assertEqual(study.request, order)

    @with_transaction()
    def test_what_persons_decided_is_not_matched(self):
        Study = Pool().get(STUDY)
        study, other = self.study(), create_patient()
        self.match()
        Study.write([study], {'patient': other.id})
        Study.write([study], {'patient': None})
        create_patient(dob=BIRTH)
        self.assertEqual(due_studies(), [])

    @with_transaction()
    def test_a_result_that_was_chosen_is_kept(self):
        "As by 5.0, which did not tell who"
        Study = Pool().get(STUDY)
        patient = create_patient(dob=BIRTH)
        result = create_result(patient)
        study = self.study(patient_id=patient.party.ref)
        Study.write([study], {
                'patient': patient.id, 'imaging_test': result.id,
                'link_status': 'auto_unsure', 'matched_at': None})
        study, = self.match()
        self.assertEqual(study.imaging_test, result)
        self.assertEqual(study.link_status, 'auto_unsure')

    @with_transaction()
    def test_forgotten_studies_are_matched_now_and_then(self):
        study = self.study()
        queue_overdue(study.server)
        self.assertEqual(due_studies(), [])
        table = study.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.matched_at],
                [dt.datetime.now() - dt.timedelta(days=1)]))
        queue_overdue(study.server)
        self.assertEqual(due_studies(), [study.id])
