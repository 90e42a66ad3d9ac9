# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that are easily given to the wrong patient or order."""

import datetime as dt

from trytond.modules.health_orthanc.core.matching.decisions import Doubt
from trytond.modules.health_orthanc.core.matching.score import Veto
from trytond.modules.health_orthanc.linking.explanations import DOUBTS
from trytond.modules.health_orthanc.linking.link import evaluate
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    SERIES, STUDY, OrthancTestCase, create_order, create_patient,
    create_series, create_server, create_study, match_study)

BIRTH = dt.date(1964, 8, 12)
REQUEST = 'gnuhealth.imaging.test.request'


class HardCasesTestCase(OrthancTestCase):

    def order(self, *names, **values):
        "Return the order of a new patient"
        return create_order(
            create_patient(*names, **{'dob': BIRTH, **values}),
            requested=True)

    def study(self, order, **values):
        "Return a study as a modality makes it from the order's entry"
        party = order.patient.party
        study = create_study(create_server(), **{
                'study_instance_UID': order.study_instance_uid,
                'accession_number': order.accession_number,
                'patient_id': party.ref,
                'patient_name': f'{party.lastname}^{party.name}',
                'patient_birth_date': party.dob,
                'patient_sex': (party.gender or '').upper() or None,
                'date': order.date.date(),
                **values})
        create_series(study, modality='CT')
        return study

    def foreign(self, order, **values):
        "Return a study with no key of an order"
        return self.study(order, **{
                'study_instance_UID': None, 'accession_number': None,
                **values})

    def assertLinked(self, study, order):
        self.assertEqual(
            study.link_status, 'auto_certain', evaluate(study).doubt)
        self.assertEqual(study.request, order)
        self.assertEqual(order.state, 'done')

    def assertNotSure(self, study, *orders):
        self.assertIn(study.link_status, {'auto_unsure', 'unlinked'})
        for order in orders:
            self.assertEqual(order.state, 'requested')
            self.assertEqual({s.state for s in order.steps}, {'scheduled'})

    @with_transaction()
    def test_the_right_uid_with_all_of_another_patient(self):
        order = self.order()
        other = self.order("Ejemplo", "Juan", gender='m', dob=dt.date(
                1980, 2, 29))
        study = match_study(self.study(
                other, study_instance_UID=order.study_instance_uid,
                accession_number=order.accession_number))
        self.assertNotSure(study, order, other)
        decision = evaluate(study)
        self.assertEqual(
            decision.candidates[0].candidate.patient.key, other.patient.id)
        wrong = next(
            a for a in decision.candidates
            if a.candidate.order and a.candidate.order.key == order.id)
        self.assertEqual(
            set(wrong.vetoes), {Veto.PATIENT_ID, Veto.BIRTH_DATE})

    @with_transaction()
    def test_the_puid_of_another_patient(self):
        order, other = self.order(), self.order("Ejemplo", "Juan")
        study = match_study(self.foreign(
                order, patient_id=other.patient.party.ref))
        self.assertNotSure(study, order, other)
        self.assertIn(order.patient.id, [
                a.candidate.patient.key for a in evaluate(study).candidates])

    @with_transaction()
    def test_two_patients_with_one_name_and_birth_date(self):
        order, namesake = self.order(), self.order()
        study = match_study(self.foreign(order, patient_id=None))
        self.assertNotSure(study, order, namesake)
        self.assertIsNone(study.patient)
        self.assertEqual(evaluate(study).doubt, Doubt.TIE)
        # Numbers are not enough, either: people pick the wrong entry
        study = match_study(self.study(namesake, patient_id=None))
        self.assertNotSure(study, namesake)
        self.assertEqual(evaluate(study).doubt, Doubt.NAMESAKE)
        self.assertLinked(match_study(self.study(order)), order)

    @with_transaction()
    def test_twins(self):
        order = self.order("Muster", "Hanna")
        twin = self.order("Muster", "Erika")
        study = match_study(self.foreign(order, patient_id=None))
        self.assertNotSure(study, order, twin)
        self.assertEqual(study.patient, order.patient)
        # On the entry of the other one
        study = match_study(self.study(twin, patient_name='Muster^Hanna'))
        self.assertNotSure(study, order, twin)
        self.assertLinked(match_study(self.study(twin)), twin)

    @with_transaction()
    def test_one_surname_is_missing(self):
        order = self.order("García López", "María")
        study = match_study(self.study(order, patient_name='GARCIA^MARIA'))
        self.assertNotSure(study, order)
        self.assertEqual(study.request, order)
        study = match_study(self.foreign(
                order, patient_name='LOPEZ^MARIA', patient_id=None))
        self.assertEqual(study.candidate, order.patient)

    @with_transaction()
    def test_no_patient_id(self):
        order = self.order()
        study = match_study(self.study(order, patient_id=None))
        self.assertLinked(study, order)

    @with_transaction()
    def test_no_patient_id_and_no_order_key(self):
        order = self.order()
        study = match_study(self.foreign(order, patient_id=None))
        self.assertNotSure(study, order)
        self.assertEqual(study.patient, order.patient)

    @with_transaction()
    def test_an_id_of_another_hospital_that_equals_a_step_number(self):
        order = self.order()
        step, = order.steps
        stranger = {
            'patient_name': 'Irrtum^Otto', 'patient_sex': 'M',
            'patient_birth_date': dt.date(1999, 9, 9)}
        study = match_study(
            self.foreign(order, patient_id=step.step_id, **stranger),
            [step.step_id])
        self.assertNotSure(study, order)
        self.assertIsNone(study.patient)

    @with_transaction()
    def test_a_study_without_an_order(self):
        patient = create_patient(dob=BIRTH)
        study = match_study(create_study(
                create_server(), patient_id=patient.party.ref,
                patient_birth_date=BIRTH, patient_sex='F'))
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.patient, patient)
        self.assertIsNone(study.request)
        self.assertIsNone(study.imaging_test)

    @with_transaction()
    def test_a_late_series_finds_the_order_done(self):
        order = self.order()
        study = match_study(self.study(order), [order.steps[0].step_id])
        self.assertLinked(study, order)
        create_series(study, modality='SR')
        study = match_study(study, [order.steps[0].step_id])
        self.assertLinked(study, order)
        self.assertEqual(len(study.decisions), 1)

    @with_transaction()
    def test_the_study_of_a_rejected_step(self):
        order = self.order()
        step, = order.steps
        step.__class__.reject_because([step], "Moved")
        study = match_study(self.study(order), [step.step_id])
        self.assertEqual(study.request, order)
        self.assertEqual(step.state, 'rejected')
        self.assertEqual(order.state, 'requested')
        self.assertTrue(order.to_repeat)

    @with_transaction()
    def test_a_person_says_a_and_the_event_says_b(self):
        Study = Pool().get(STUDY)
        order, other = self.order(), self.order("Ejemplo", "Ana")
        study = self.study(order)
        Study.write([study], {'request': other.id})
        study = match_study(study, [order.steps[0].step_id])
        self.assertEqual(study.link_status, 'manual')
        self.assertEqual(study.patient, other.patient)
        self.assertEqual(study.request, other)
        self.assertEqual(order.state, 'requested')
        self.assertEqual(order.steps[0].state, 'scheduled')

    @with_transaction()
    def test_the_patient_is_renamed_afterwards(self):
        Party = Pool().get('party.party')
        order = self.order()
        study = match_study(self.study(order))
        self.assertLinked(study, order)
        Party.write([order.patient.party], {'lastname': "Beispiel"})
        study = match_study(study, [order.steps[0].step_id])
        self.assertLinked(study, order)
        # Unless the images say something new
        Study = Pool().get(STUDY)
        Study.write([study], {'patient_name': 'Irrtum^Otto'})
        self.assertNotSure(match_study(study), order)

    @with_transaction()
    def test_the_patient_is_merged_afterwards(self):
        Party = Pool().get('party.party')
        order = self.order()
        duplicate = create_patient(dob=BIRTH)
        Party.write([duplicate.party], {
                'active': False, 'replaced_by': order.patient.party.id})
        study = match_study(self.study(
                order, patient_id=duplicate.party.ref))
        self.assertEqual(study.request, order)
        self.assertEqual(study.patient, order.patient)

    @with_transaction()
    def test_all_is_typed_by_hand_with_typos(self):
        order = self.order("Hernández", "Francisca")
        study = match_study(self.foreign(
                order, patient_name='HERNANDES^FRANCISKA', patient_id='123',
                patient_birth_date=BIRTH))
        self.assertNotSure(study, order)
        self.assertEqual(study.candidate or study.patient, order.patient)
        self.assertEqual(
            evaluate(study).candidates[0].candidate.patient.key,
            order.patient.id)

    def series(self, study, *modalities):
        "Give a study series of these modalities and no others"
        Series = Pool().get(SERIES)
        Series.delete(list(study.series))
        for modality in modalities:
            create_series(study, modality=modality)
        return study

    @with_transaction()
    def test_documents_leave_the_step_open(self):
        for modalities in [['DOC'], ['SR'], ['PR', 'KO'], ['OT']]:
            with self.subTest(modalities=modalities):
                order = self.order()
                study = match_study(
                    self.series(self.study(order), *modalities))
                self.assertEqual(study.request, order)
                self.assertEqual(study.link_status, 'auto_certain')
                self.assertEqual(order.state, 'requested')
                self.assertEqual(order.steps[0].state, 'scheduled')
                # The images come to the scanned requisition
                create_series(study, modality='CT')
                match_study(study)
                self.assertEqual(
                    Pool().get(REQUEST)(order.id).state, 'done')

    @with_transaction()
    def test_documents_that_are_ordered_complete_the_step(self):
        order = self.order()
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        Step.write(list(order.steps), {'modality': 'OT'})
        match_study(self.series(self.study(order), 'OT'))
        self.assertEqual(Pool().get(REQUEST)(order.id).state, 'done')

    @with_transaction()
    def test_an_open_order_waits_whatever_number_came(self):
        for number in [
                'X-4711', None, 'SITE-{}', '{}-CT', '{}\\X-4712', 'strip']:
            with self.subTest(number=number):
                order = self.order()
                own = order.accession_number
                if number == 'strip':
                    number = own.lstrip('GH0')
                elif number:
                    number = number.format(own)
                study = match_study(self.foreign(
                        order, accession_number=number))
                if number and own in number.split('\\'):
                    self.assertLinked(study, order)
                    continue
                self.assertNotSure(study, order)
                self.assertEqual(study.link_status, 'auto_unsure')
                self.assertIn(study, Pool().get(STUDY).queue())

    @with_transaction()
    def test_numbers_in_the_request_attributes(self):
        for keyword in ['AccessionNumber', 'StudyInstanceUID']:
            with self.subTest(keyword=keyword):
                order = self.order()
                value = {
                    'AccessionNumber': order.accession_number,
                    'StudyInstanceUID': order.study_instance_uid}[keyword]
                study = match_study(self.foreign(order), Series=[{
                            'RequestAttributes': [{keyword: value}]}])
                self.assertLinked(study, order)

    @with_transaction()
    def test_a_replaced_patient_is_the_replacement(self):
        old, new = self.order(), create_patient(dob=BIRTH)
        Party = Pool().get('party.party')
        former = old.patient
        party = former.party
        Party.write([party], {'replaced_by': new.party.id, 'active': False})
        study = match_study(self.foreign(old, accession_number=None))
        self.assertNotEqual(study.link_status, 'auto_certain')
        found = [a.candidate.patient.key
            for a in evaluate(study).candidates]
        self.assertIn(new.id, found)
        self.assertNotEqual(study.patient, former)

    @with_transaction()
    def test_deactivated_and_deceased_patients(self):
        Party = Pool().get('party.party')
        for values, doubt in [
                ({'active': False}, Doubt.INACTIVE),
                ({'deceased': True}, Doubt.DECEASED)]:
            with self.subTest(doubt=doubt):
                patient = create_patient(dob=BIRTH)
                order = create_order(patient, requested=True)
                Party.write([patient.party], values)
                study = match_study(self.study(order))
                self.assertNotSure(study)
                self.assertEqual(evaluate(study).doubt, doubt)
                self.assertEqual(
                    dict(DOUBTS)[study.doubt], dict(DOUBTS)[doubt.value])

    @with_transaction()
    def test_a_birth_date_in_another_form(self):
        for text, status in [
                ('1964-08-12', 'auto_certain'), ('12.08.1964', 'auto_certain'),
                ('13.08.1964', 'auto_unsure'), ('August', 'auto_unsure')]:
            with self.subTest(text=text):
                order = self.order()
                study = match_study(self.study(
                        order, patient_birth_date=None,
                        malformed_tags=f'PatientBirthDate: {text}'))
                self.assertEqual(study.link_status, status)

    @with_transaction()
    def test_the_owner_of_a_mistyped_puid_is_listed(self):
        patient = create_patient("Muster", "Erika", ref='PAT0001234')
        for typed in ['PAT0001243', 'PAT000123', 'PAT0001235']:
            with self.subTest(typed=typed):
                study = create_study(
                    create_server(), patient_id=typed,
                    patient_name='Kaum^Lesbar')
                self.assertIn(patient.id, [
                        a.candidate.patient.key
                        for a in evaluate(study).candidates])
