# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients that studies may be of are found by what they are called."""

import datetime as dt

from trytond import backend
from trytond.modules.health_orthanc.common.indexes import has_trigrams
from trytond.modules.health_orthanc.common.rows import insert_rows
from trytond.modules.health_orthanc.core.matching.attributes import (
    StudyAttributes)
from trytond.modules.health_orthanc.linking.candidates import (
    _key_queries, find_candidates)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import OrthancTestCase, create_order, create_patient

KEY = 'gnuhealth.imaging_orthanc.patient_key'
NAME = 'gnuhealth.person_name'
OTHER_ID = 'gnuhealth.person_alternative_identification'
BIRTH = dt.date(1964, 8, 12)


class CandidatesTestCase(OrthancTestCase):

    def find(self, name='', birth_date=None, **values):
        "Return the patients that are found"
        candidates, = find_candidates([StudyAttributes(
                    patient_name=name, birth_date=birth_date, **values)])
        return {c.patient.key for c in candidates}

    def assertFound(self, patient, *args, **values):
        self.assertIn(patient.id, self.find(*args, **values))

    def assertNotFound(self, patient, *args, **values):
        self.assertNotIn(patient.id, self.find(*args, **values))

    def flood(self, number, **values):
        "Create patients past all models, as another program may"
        pool = Pool()
        Party, Patient = pool.get('party.party'), pool.get('gnuhealth.patient')
        insert_rows(Party, [{
                    'code': f'F{i}', 'ref': f'F{i}', 'active': True,
                    'is_person': True, 'is_patient': True, **values}
                for i in range(number)])
        parties = Party.search([('ref', 'like', 'F%')])
        insert_rows(Patient, [
                {'party': p.id, 'active': True} for p in parties])

    @with_transaction()
    def test_a_name_that_is_written_otherwise(self):
        patient = create_patient("García López", "Juan Carlos", dob=BIRTH)
        self.assertFound(patient, 'LOPEZ^JUAN', BIRTH)
        self.assertFound(patient, 'LOPEZ^JUAN')
        self.assertFound(patient, 'Garcia^Juan', dt.date(1964, 12, 8))
        self.assertNotFound(patient, 'Garcia^Juan', dt.date(1991, 3, 4))
        self.assertNotFound(patient, 'Lopez^Miguel')

    @with_transaction()
    def test_identifiers_are_not_searched_by_parts_of_a_text(self):
        "The index for these takes milliseconds for each identifier"
        if backend.name != 'postgresql' or not has_trigrams():
            return
        self.flood(3000)
        cursor = Transaction().connection.cursor()
        cursor.execute('ANALYZE party_party')
        query = _key_queries()['puid'](
            'puid', [f'F{i}' for i in range(500)])
        statement, parameters = query
        cursor.execute(f'EXPLAIN {statement}', parameters)
        plan = '\n'.join(line for line, in cursor)
        self.assertNotIn('Bitmap Index Scan', plan)
        cursor.execute(*query)
        self.assertEqual(len(cursor.fetchall()), 500)

    @with_transaction()
    def test_the_birth_date_alone(self):
        patient = create_patient(dob=BIRTH)
        self.assertFound(patient, 'Mutzer^Erkia', BIRTH)
        self.assertNotFound(patient, 'Mutzer^Erkia', dt.date(1964, 12, 8))

    @with_transaction()
    def test_an_unknown_or_estimated_birth_date_narrows_nothing(self):
        unknown = create_patient()
        estimated = create_patient(dob=BIRTH, est_dob=True)
        for patient in [unknown, estimated]:
            self.assertFound(patient, 'Muster^Erika', dt.date(1967, 2, 3))

    @with_transaction()
    def test_keys_follow_the_names(self):
        pool = Pool()
        Party, Name = pool.get('party.party'), pool.get(NAME)
        patient = create_patient()
        party = patient.party
        maiden, = Name.create([{
                    'party': party.id, 'use': 'maiden',
                    'family': "Beispiel", 'given': "Erika"}])
        self.assertFound(patient, 'Beispiel^Erika')
        Name.write([maiden], {'family': "Vorname"})
        self.assertNotFound(patient, 'Beispiel^Erika')
        self.assertFound(patient, 'Vorname^Erika')
        Name.write([maiden], {'use': 'anonymous'})
        self.assertNotFound(patient, 'Vorname^Erika')
        Party.write([party], {'lastname': "Sommer"})
        self.assertFound(patient, 'Sommer^Erika')
        self.assertNotFound(patient, 'Muster^Erika')
        Party.write([party], {'dob': BIRTH})
        self.assertNotFound(patient, 'Sommer^Erika', dt.date(1999, 9, 9))
        Name.delete(Name.search([('party', '=', party.id)]))
        self.assertFound(patient, 'Sommer^Erika')

    @with_transaction()
    def test_who_is_not_active_is_found_by_the_puid_only(self):
        Patient = Pool().get('gnuhealth.patient')
        patient = create_patient(dob=BIRTH)
        Patient.write([patient], {'active': False})
        self.assertNotFound(patient, 'Muster^Erika', BIRTH)
        self.assertFound(patient, patient_id=patient.party.ref)
        Patient.write([patient], {'active': True})
        self.assertFound(patient, 'Muster^Erika', BIRTH)

    @with_transaction()
    def test_deleted_patients_leave_nothing(self):
        pool = Pool()
        patient = create_patient()
        Key = pool.get(KEY)
        self.assertTrue(Key.search([('patient', '=', patient.id)]))
        pool.get('gnuhealth.patient').delete([patient])
        self.assertFalse(Key.search([('patient', '=', patient.id)]))

    @with_transaction()
    def test_other_identifiers(self):
        pool = Pool()
        patient = create_patient()
        pool.get(OTHER_ID).create([{
                    'party': patient.party.id, 'code': 'P-4711',
                    'alternative_id_type': 'passport'}])
        self.assertFound(patient, patient_id='P-4711')
        self.assertFound(
            patient, patient_id='X',
            other_patient_ids=frozenset({patient.party.ref}))

    @with_transaction()
    def test_the_puid_of_a_duplicate_finds_who_replaces_it(self):
        duplicate, patient = create_patient(), create_patient()
        duplicate.party.__class__.write([duplicate.party], {
                'active': False, 'replaced_by': patient.party.id})
        self.assertFound(patient, patient_id=duplicate.party.ref)
        candidates, = find_candidates([
                StudyAttributes(patient_id=duplicate.party.ref)])
        self.assertIn(duplicate.party.ref, next(
                c.patient.other_ids for c in candidates
                if c.patient.key == patient.id))

    @with_transaction()
    def test_namesakes_do_not_hide_the_right_one(self):
        self.flood(500, name="María", lastname="García")
        Key = Pool().get(KEY)
        Key.create_missing()
        patient = create_patient("García", "María", dob=BIRTH)
        found = self.find('GARCIA^MARIA', BIRTH)
        self.assertIn(patient.id, found)
        self.assertLessEqual(len(found), 101)
        self.assertFound(patient, 'GARCIA^MARIA', dt.date(1964, 12, 8))

    @with_transaction()
    def test_keys_are_completed(self):
        pool = Pool()
        Key, Patient = pool.get(KEY), pool.get('gnuhealth.patient')
        self.flood(3, name="Otto", lastname="Irrtum", dob=BIRTH)
        self.assertFalse(self.find('Irrtum^Otto', BIRTH))
        for _ in range(2):
            Key.create_missing()
            self.assertEqual(len(self.find('Irrtum^Otto', BIRTH)), 3)
            self.assertEqual(Key.search([], count=True), 6)
        # Of another way to make them
        table = Key.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.key], ['#0'], where=table.key == '#1'))
        Key.create_missing()
        self.assertEqual(Key.search([], count=True), 6)
        self.assertEqual(Patient.search([], count=True), 3)

    @with_transaction()
    def test_who_is_identified_is_not_looked_for_by_name(self):
        patient, other = create_patient(dob=BIRTH), create_patient(dob=BIRTH)
        study = {
            'name': 'Muster^Erika', 'birth_date': BIRTH,
            'patient_id': patient.party.ref}
        self.assertEqual(self.find(**study), {patient.id})
        self.assertEqual(
            self.find(**{**study, 'birth_date': dt.date(1964, 8, 21)}),
            {patient.id, other.id})
        self.assertEqual(
            self.find(**{**study, 'patient_id': 'FOREIGN'}),
            {patient.id, other.id})

    @with_transaction()
    def test_orders_of_whom_is_found(self):
        patient = create_patient(dob=BIRTH)
        order = create_order(patient, requested=True)
        create_order(patient)
        candidates, = find_candidates([StudyAttributes(
                    patient_name='Muster^Erika', birth_date=BIRTH,
                    date=order.date.date())])
        self.assertEqual(
            [c.order.key for c in candidates if c.order], [order.id])
        candidates, = find_candidates([StudyAttributes(
                    patient_name='Muster^Erika', birth_date=BIRTH,
                    date=order.date.date() - dt.timedelta(90))])
        self.assertEqual([c.order for c in candidates], [None])

    @with_transaction()
    def test_names_as_long_as_they_may_be(self):
        patient = create_patient("Muster " * 300, "Erika" * 2000)
        self.assertFound(patient, "Muster^" + "Erika" * 2000)

    @with_transaction()
    def test_many_studies_are_searched_for_at_once(self):
        patients = [
            create_patient(f"Muster{c}", "Erika", dob=BIRTH) for c in 'kprt']
        studies = [StudyAttributes(
                patient_name=f'Muster{c}^Erika',
                birth_date=dt.date(1964, 12, 8)) for c in 'kprt']
        found = find_candidates(studies)
        self.assertEqual(
            [[c.patient.key for c in candidates] for candidates in found],
            [[p.id] for p in patients])
