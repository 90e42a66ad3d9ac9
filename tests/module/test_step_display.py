# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lists show of steps and studies in few columns."""

import datetime as dt

from dateutil.relativedelta import relativedelta

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_order import STEP
from .tools import (
    STUDY, OrthancTestCase, create_order, create_orthanc_patient,
    create_patient, create_server, create_study, create_test, create_user)

TODAY = dt.date.today()


def born(**ago):
    return TODAY - relativedelta(**ago)


def add_condition(patient, name, **values):
    pool = Pool()
    pathology, = pool.get('gnuhealth.pathology').create(
        [{'name': name, 'code': name[:4]}])
    pool.get('gnuhealth.patient.disease').create([{
                'patient': patient.id, 'pathology': pathology.id, **values}])
    return pathology.rec_name


class StepTestCase(OrthancTestCase):
    "The list of steps"

    def step(self, patient=None, **values):
        step, = create_order(patient, requested=True, **values).steps
        return step

    @with_transaction()
    def test_patient_with_puid_and_age(self):
        for dob, age in [
                (born(years=62, months=3), '62y'),
                (born(years=1, months=2, days=1), '1y 2m 1d'),
                (born(days=5), '5d')]:
            patient = create_patient(dob=dob)
            with self.subTest(age=age):
                step = self.step(patient)
                text = f'{patient.rec_name}\n{patient.puid} · {age}'
                self.assertEqual(step.patient_lines, text)
                # In the lists of orders as well
                self.assertEqual(step.request.patient_lines, text)
        patient = create_patient(dob=None)
        self.assertEqual(
            self.step(patient).patient_lines,
            f'{patient.rec_name}\n{patient.puid}')

    @with_transaction()
    def test_study_with_laterality_and_clinical_information(self):
        step = self.step(comment="Fell on the ice\nTwice")
        step.laterality = 'L'
        step.save()
        self.assertEqual(
            step.study_lines,
            f"{step.requested_test.name}, Left\nFell on the ice")
        self.assertEqual(
            step.clinical_information, "Fell on the ice\nTwice")

    @with_transaction()
    def test_device(self):
        step = self.step(requested_test=create_test(
                aetitle='CT1\\CT2', orthanc_modality='CT').id)
        self.assertEqual(step.device_lines, 'CT\nCT1\nCT2')

    @with_transaction()
    def test_status_tells_why_it_is_not_on_the_worklist(self):
        self.assertEqual(self.step().status_lines, "Scheduled")
        step = self.step(requested_test=create_test(aetitle=None).id)
        self.assertEqual(
            step.status_lines, "Scheduled\nFill in: Station AE Title.")
        step = self.step(date=dt.datetime.now() - dt.timedelta(days=30))
        self.assertEqual(step.status_lines, "Scheduled\nOverdue")

    @with_transaction()
    def test_status_tells_why_it_was_rejected(self):
        step = self.step()
        Step = Pool().get(STEP)
        Step.reject_because([step], "The patient moved")
        self.assertEqual(
            Step(step.id).status_lines, "Rejected\nThe patient moved")

    @with_transaction()
    def test_allergies(self):
        patient = create_patient()
        add_condition(patient, "Fracture")
        step = self.step(patient)
        self.assertIsNone(step.patient_warnings)
        patient.crit_allergic = True
        patient.save()
        self.assertEqual(
            self.step(patient).patient_warnings, "Known serious allergy")
        iodine = add_condition(patient, "Iodine", is_allergy=True)
        metal = add_condition(patient, "Pacemaker", allergy_type='mc')
        add_condition(patient, "Nuts", is_allergy=True, status='h')
        patient.critical_info = "Pregnant"
        patient.save()
        step = self.step(patient)
        self.assertEqual(
            step.patient_warnings,
            f"Allergies: {iodine}, {metal}\nPregnant")
        self.assertIn(f"Allergies: {iodine}", step.status_lines)

    @with_transaction()
    def test_reviewers_do_not_see_allergies(self):
        patient = create_patient()
        iodine = add_condition(patient, "Iodine", is_allergy=True)
        step = self.step(patient)
        for group, seen in [
                ('health_imaging.group_health_imaging', True),
                ('health.group_health_doctor', True),
                ('health_orthanc.group_imaging_orthanc', False)]:
            user = create_user(group.partition('.')[2], group)
            with self.subTest(group=group), \
                    Transaction().set_user(user.id), \
                    Transaction().set_context(_check_access=True):
                read, = Pool().get(STEP).read(
                    [step.id], ['status_lines', 'patient_warnings'])
                self.assertEqual(iodine in read['status_lines'], seen)
                self.assertEqual(bool(read['patient_warnings']), seen)

    @with_transaction()
    def test_time_without_seconds(self):
        step = self.step(date=dt.datetime(2026, 3, 4, 10, 30, 59))
        self.assertEqual(
            step.start_time, dt.datetime(2026, 3, 4, 10, 30))

    @with_transaction()
    def test_a_bare_birth_date_finds(self):
        step = self.step(create_patient(dob=dt.date(1964, 8, 12)))
        self.step(create_patient(dob=dt.date(1964, 8, 13)))
        Step = Pool().get(STEP)
        for text in ['08/12/1964', '1964-08-12', '19640812']:
            with self.subTest(text=text):
                self.assertEqual(
                    Step.search([('rec_name', 'ilike', f'%{text}%')]),
                    [step])


class StudyTestCase(OrthancTestCase):
    "The list of studies"

    @with_transaction()
    def test_patient(self):
        server = create_server()
        orthanc_patient = create_orthanc_patient(server)
        named = {
            'orthanc_patient': orthanc_patient.id,
            'patient_display_name': "MUSTER, ERIKA", 'patient_id': 'X',
            'patient_birth_date': dt.date(1964, 8, 12)}
        patient = create_patient(dob=dt.date(1964, 8, 13))
        unlinked = create_study(server, **named)
        same = create_study(server, **named, patient=patient.id)
        other = create_study(
            server, **{**named, 'patient_display_name': "Mustér, Erika"},
            patient=patient.id)
        linked = f'{patient.puid} · 08/13/1964'
        self.assertEqual(
            unlinked.patient_lines, "MUSTER, ERIKA\nX · 08/12/1964")
        self.assertEqual(same.patient_lines, f'{patient.rec_name}\n{linked}')
        self.assertEqual(
            other.patient_lines,
            f'{patient.rec_name}\nImages: Mustér, Erika\n{linked}')

    @with_transaction()
    def test_where_the_images_are_not(self):
        patient, server = create_patient(), create_server()
        linked = f'{patient.rec_name}\n{patient.puid}'
        when = dt.datetime(2026, 3, 4)
        for values, marks in [
                ({}, []),
                ({'missing_since': when}, ["Missing on Server"]),
                ({'quarantined_at': when}, ["In Quarantine"]),
                ({'missing_since': when, 'quarantined_at': when},
                    ["Missing on Server", "In Quarantine"])]:
            study = create_study(server, patient=patient.id, **values)
            with self.subTest(values=values):
                self.assertEqual(
                    study.patient_lines, '\n'.join([linked, *marks]))
        # Of nobody
        study = create_study(
            server, patient_display_name=None, patient_id=None,
            patient_birth_date=None, missing_since=when)
        self.assertEqual(study.patient_lines, "Missing on Server")

    @with_transaction()
    def test_sorted_by_who_is_shown(self):
        server = create_server()
        # The images name her differently
        first = create_study(
            server, patient_display_name="Zzz, Ada",
            patient=create_patient("Aaa", "Ada").id)
        second = create_study(server, patient_display_name="Bbb, Ben")
        third = create_study(
            server, patient_display_name="Aaa, Cleo",
            patient=create_patient("Ccc", "Cleo").id)
        Study = Pool().get(STUDY)
        self.assertEqual(
            Study.search([], order=[('patient_lines', 'ASC')]),
            [first, second, third])

    @with_transaction()
    def test_a_bare_date_finds(self):
        Study = Pool().get(STUDY)
        server = create_server()
        first = create_study(server, date=dt.date(2026, 3, 4))
        second = create_study(
            server, date=dt.date(2026, 3, 5),
            patient_birth_date=dt.date(1964, 8, 12))
        for text, found in [
                ('03/04/2026', first), ('2026-03-04', first),
                ('19640812', second)]:
            with self.subTest(text=text):
                self.assertEqual(
                    Study.search([('rec_name', 'ilike', f'%{text}%')]),
                    [found])
                self.assertNotIn(found, Study.search(
                        [('rec_name', 'not ilike', f'%{text}%')]))
