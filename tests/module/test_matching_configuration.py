# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hospital may set of the matching."""

import datetime as dt
import json

from trytond.model.exceptions import DomainValidationError
from trytond.modules.health_orthanc.core.matching.decisions import Thresholds
from trytond.modules.health_orthanc.linking.link import evaluate
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    OrthancTestCase, create_order, create_patient, create_server, create_study)

CONFIGURATION = 'gnuhealth.orthanc.matching.configuration'
BIRTH = dt.date(1964, 8, 12)


class MatchingConfigurationTestCase(OrthancTestCase):

    def configure(self, **values):
        Configuration = Pool().get(CONFIGURATION)
        Configuration.write([Configuration(1)], values)

    def evaluate(self, patient, **values):
        return evaluate(create_study(create_server(), **{
                    'patient_id': patient.party.ref,
                    'patient_name': 'Muster^Erika',
                    'patient_birth_date': BIRTH,
                    'patient_sex': 'F',
                    **values}))

    @with_transaction()
    def test_defaults_are_those_of_the_core(self):
        configuration = Pool().get(CONFIGURATION)(1)
        for name in [
                'review_score', 'margin', 'order_identity',
                'patient_identity', 'candidates']:
            self.assertEqual(
                getattr(configuration, name), getattr(Thresholds(), name))

    @with_transaction()
    def test_no_machine_gets_more_certain(self):
        for values in [
                {'review_score': 49}, {'review_score': 101}, {'margin': 14},
                {'order_identity': 1}, {'patient_identity': 2},
                {'candidates': 0}, {'candidates': 51},
                {'date_window': dt.timedelta(-1)},
                {'date_window': dt.timedelta(32)},
                {'order_window': dt.timedelta(0)},
                {'order_window': dt.timedelta(367)}]:
            with self.subTest(values=values):
                with self.assertRaises(DomainValidationError):
                    self.configure(**values)

    @with_transaction()
    def test_what_is_set_decides(self):
        patient = create_patient(dob=BIRTH)
        self.assertEqual(
            self.evaluate(patient).status.value, 'auto_certain')
        self.configure(patient_identity=4)
        without_sex = {'patient_sex': None}
        self.assertEqual(
            self.evaluate(patient, **without_sex).status.value, 'auto_unsure')
        slip = {'patient_birth_date': dt.date(1964, 12, 8)}
        self.assertEqual(
            self.evaluate(patient, **slip).status.value, 'auto_unsure')
        self.configure(review_score=100)
        self.assertEqual(
            self.evaluate(patient, **slip).status.value, 'unlinked')

    @with_transaction()
    def test_windows(self):
        patient = create_patient(dob=BIRTH)
        order = create_order(patient, requested=True)
        day = order.date.date() + dt.timedelta(20)

        def found():
            "Return what is proposed with the order, if it is considered"
            candidates = self.evaluate(patient, date=day).candidates
            return next((c for c in candidates if c.candidate.order), None)
        self.assertEqual(found().candidate.order.key, order.id)
        self.assertFalse(found().is_equal('date'))
        self.configure(date_window=dt.timedelta(21))
        self.assertTrue(found().is_equal('date'))
        self.configure(order_window=dt.timedelta(10))
        self.assertIsNone(found())

    @with_transaction()
    def test_another_hospital_may_use_the_same_ids(self):
        patient = create_patient(dob=BIRTH)
        foreign = {
            'patient_name': 'Irrtum^Otto',
            'patient_birth_date': None, 'patient_sex': None,
            'notified_facts': json.dumps({'IssuerOfPatientID': 'ELSEWHERE'})}
        self.assertTrue(
            self.evaluate(patient, **foreign).candidates[0].is_equal(
                'patient_id'))
        self.configure(issuers="OURS\n  THIS CLINIC ")
        self.assertFalse(self.evaluate(patient, **foreign).candidates)
        for issuer in ['THIS CLINIC', '']:
            own = {'notified_facts': json.dumps(
                    {'IssuerOfPatientID': issuer})}
            self.assertTrue(
                self.evaluate(patient, **own).best.is_equal('patient_id'))

    @with_transaction()
    def test_the_issuer_that_orthanc_lists(self):
        patient = create_patient(dob=BIRTH)
        self.configure(issuers="OURS")
        for issuer, is_ours in [('ELSEWHERE', False), ('OURS', True)]:
            found = self.evaluate(
                patient, issuer_of_patient_id=issuer).candidates[0]
            self.assertEqual(found.is_equal('patient_id'), is_ours)

    @with_transaction()
    def test_other_ids_that_orthanc_lists(self):
        patient = create_patient(dob=BIRTH)
        values = {
            'patient_id': 'ELSEWHERE1', 'patient_name': 'Irrtum^Otto',
            'patient_birth_date': None, 'patient_sex': None}
        self.assertFalse(self.evaluate(patient, **values).candidates)
        found = self.evaluate(
            patient, other_patient_ids=f'X\\{patient.puid}', **values)
        self.assertEqual(
            [c.candidate.patient.key for c in found.candidates], [patient.id])
