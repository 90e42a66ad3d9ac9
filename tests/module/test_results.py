# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results: who has read them, and how they are printed."""

import datetime as dt
import io
import json
import subprocess
import zipfile
from contextlib import nullcontext
from unittest.mock import patch

from trytond.modules.company.tests import create_company, set_company
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    OrthancTestCase, create_order, create_server, create_study, create_user,
    record_id)

RESULT = 'gnuhealth.imaging.test.result'
REQUEST = 'gnuhealth.imaging.test.request'
STATE = 'orthanc_report_state'


def create_physician(login, name="House"):
    "Return a user who is a health professional, and the professional"
    pool = Pool()
    user = create_user(login, 'health.group_health_doctor')
    party, = pool.get('party.party').create([{
                'name': "Gregory", 'lastname': name, 'is_person': True,
                'is_healthprof': True, 'internal_user': user.id,
                'ref': f'PROF-{login}', 'gender': 'm', 'fed_country': None}])
    professional, = pool.get('gnuhealth.healthprofessional').create(
        [{'party': party.id}])
    return user, professional


def write_as(user, result, **values):
    with Transaction().set_user(user.id), Transaction().set_context(
            _check_access=True):
        Pool().get(RESULT).write([Pool().get(RESULT)(result.id)], values)
    return Pool().get(RESULT)(result.id)


class ResultsTestCase(OrthancTestCase):
    "Tests of who has read a result"

    def arrived(self, **values):
        "Return the result that is made when the images of an order arrive"
        order = create_order(requested=True)
        Pool().get(REQUEST).write([order], values)
        study = create_study(create_server())
        Pool().get(study.__name__).write([study], {'request': order.id})
        result, = Pool().get(RESULT).search([('request', '=', order.id)])
        return result

    @with_transaction()
    def test_nobody_has_read_what_has_just_arrived(self):
        result = self.arrived()
        self.assertIsNone(result.doctor)
        self.assertTrue(result.orthanc_unreported)
        self.assertEqual(result.orthanc_report_state, 'unreported')
        self.assertEqual(
            result.orthanc_accession_number, result.request.accession_number)
        self.assertIsNone(result.orthanc_reported_by)

    @with_transaction()
    def test_who_writes_the_finding_has_read_it(self):
        result = self.arrived()
        user, professional = create_physician('reader')
        result = write_as(user, result, comment="No fracture")
        self.assertEqual(result.doctor, professional)
        self.assertEqual(result.orthanc_reported_by, user)
        self.assertIsNotNone(result.orthanc_reported_at)
        self.assertEqual(result.orthanc_report_state, 'reported')
        other, _ = create_physician('other', "Wilson")
        result = write_as(other, result, comment="No fracture seen")
        self.assertEqual(result.doctor, professional)

    @with_transaction()
    def test_another_reader_may_be_named(self):
        result = self.arrived()
        user, _ = create_physician('reader')
        _, professional = create_physician('other', "Wilson")
        result = write_as(
            user, result, comment="Dictated", doctor=professional.id)
        self.assertEqual(result.doctor, professional)
        self.assertEqual(result.orthanc_reported_by, user)

    @with_transaction()
    def test_what_is_no_finding(self):
        result = self.arrived()
        user, _ = create_physician('reader')
        for values in [
                {'report_style': 'no_images'}, {'comment': "  "},
                {'date': dt.datetime(2026, 3, 4)}, {'doctor': None},
                {'images': [('create', [{'name': "a", 'data': b'b'}])]}]:
            with self.subTest(values=values):
                result = write_as(user, result, **values)
                self.assertIsNone(result.doctor)
                self.assertTrue(result.orthanc_unreported)

    @with_transaction()
    def test_a_finding_is_withdrawn(self):
        result = self.arrived()
        user, _ = create_physician('reader')
        write_as(user, result, comment="Somebody else's finding")
        result = write_as(user, result, comment=None, doctor=None)
        self.assertTrue(result.orthanc_unreported)
        self.assertIsNone(result.orthanc_reported_by)

    @with_transaction()
    def test_the_finding_of_somebody_who_is_no_professional(self):
        result = self.arrived()
        user = create_user('typist', 'health.group_health_doctor')
        result = write_as(user, result, comment="Typed")
        self.assertEqual(result.orthanc_report_state, 'reported')
        self.assertEqual(result.orthanc_reported_by, user)

    @with_transaction()
    def test_who_had_been_put_in_by_a_former_version(self):
        result = self.arrived()
        Pool().get(RESULT).write(
            [result], {'doctor': result.request.doctor.id})
        self.assertEqual(result.doctor, result.request.doctor)
        user, professional = create_physician('reader')
        result = write_as(user, result, comment="No fracture")
        self.assertEqual(result.doctor, professional)

    @with_transaction()
    def test_results_of_before_stay(self):
        order = create_order(requested=True)
        result, = Pool().get(RESULT).create([{
                    'patient': order.patient.id, 'date': order.date,
                    'requested_test': order.requested_test.id,
                    'request': order.id, 'doctor': order.doctor.id,
                    'comment': "Written"}])
        user, _ = create_physician('reader')
        result = write_as(user, result, comment="Written, and corrected")
        self.assertEqual(result.doctor, order.doctor)

    @with_transaction()
    def test_results_that_gnu_health_generates(self):
        order = create_order(requested=True)
        Wizard = Pool().get('wizard.generate.result', type='wizard')
        with Transaction().set_context(
                active_model=REQUEST, active_id=order.id,
                active_ids=[order.id]):
            session, _, _ = Wizard.create()
            action = Wizard.execute(session, {}, 'open_')['actions'][0][0]
        (_, _, (id_,)), = PYSONDecoder().decode(action['pyson_domain'])
        result = Pool().get(RESULT)(id_)
        self.assertIsNone(result.doctor)
        self.assertEqual(result.orthanc_report_state, 'unreported')

    @with_transaction()
    def test_the_list_of_what_is_to_be_reported(self):
        Result = Pool().get(RESULT)
        results = [self.arrived(urgent=urgent) for urgent in [
                False, True, False, True]]
        user, _ = create_physician('reader')
        write_as(user, results[3], comment="Read at once")
        window = Pool().get('ir.action.act_window')(
            record_id('act_imaging_test_result_unreported'))
        order = json.loads(window.order)
        domain = json.loads(window.act_window_domains[0].domain)
        self.assertEqual(
            [r for r in Result.search(domain, order=order) if r in results],
            [results[1], results[0], results[2]])
        self.assertTrue(window.act_window_domains[0].count)

    @with_transaction()
    def test_searching(self):
        Result = Pool().get(RESULT)
        result = self.arrived(urgent=True)
        for clause in [
                (STATE, '=', 'unreported'), (STATE, '!=', 'reported'),
                (STATE, 'in', ['unreported']), ('orthanc_urgent', '=', True),
                ('orthanc_accession_number', '=',
                    result.request.accession_number)]:
            with self.subTest(clause=clause):
                self.assertIn(result, Result.search([clause]))
        for clause in [
                (STATE, '=', 'reported'), ('orthanc_urgent', '=', False),
                ('orthanc_accession_number', '=', 'nothing')]:
            with self.subTest(clause=clause):
                self.assertNotIn(result, Result.search([clause]))


class ResultReportTestCase(OrthancTestCase):
    "Tests of the print"

    def report(self):
        return Pool().get('patient.imaging_report_results', type='report')

    def render(self, result):
        "Return the XML of the print"
        Report = Pool().get('patient.imaging_report_results', type='report')
        action = Pool().get('ir.action.report')(
            record_id('imaging_result_report', 'health_imaging'))
        with patch.object(
                Report, 'convert',
                classmethod(lambda cls, report, data: ('odt', data))):
            with set_company(create_company()):
                _, content, *_ = Report.execute(
                    [result.id], {'action_id': action.id})
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return file.read('content.xml').decode()

    @with_transaction()
    def test_a_result_that_is_not_yet_reported(self):
        result = ResultsTestCase.arrived(self)
        text = self.render(result)
        self.assertEqual(text.lower().count("not yet reported"), 2)
        for value in [
                result.request.accession_number, result.number,
                result.requested_test.name, result.order,
                result.request.doctor.rec_name]:
            self.assertIn(value, text)

    @with_transaction()
    def test_a_result_that_is_reported(self):
        result = ResultsTestCase.arrived(self)
        user, professional = create_physician('reader')
        result = write_as(user, result, comment="No fracture\nsecond line")
        text = self.render(result)
        self.assertNotIn("not yet reported", text.lower())
        self.assertIn(professional.rec_name, text)
        self.assertIn("No fracture", text)
        self.assertIn("second line", text)

    @with_transaction()
    def test_a_finding_of_somebody_who_is_no_professional(self):
        result = ResultsTestCase.arrived(self)
        user = create_user('typist', 'health.group_health_doctor')
        result = write_as(user, result, comment="Typed")
        self.assertIn(user.rec_name, self.render(result))

    @with_transaction()
    def test_a_template_that_the_hospital_has_changed(self):
        "GNU Health's own template, which asks for the name of the reader"
        from trytond.tools import file_open
        with file_open(
                'health_imaging/report/imaging_study_report.fodt',
                mode='rb') as template:
            Pool().get('ir.action.report').write([
                    Pool().get('ir.action.report')(record_id(
                            'imaging_result_report', 'health_imaging'))],
                {'report_content_custom': template.read()})
        result = ResultsTestCase.arrived(self)
        self.assertIn("Not yet reported", self.render(result))

    @with_transaction()
    def test_the_converter_is_missing(self):
        result = ResultsTestCase.arrived(self)
        with patch.object(
                subprocess, 'check_call', side_effect=FileNotFoundError(
                    2, "No such file or directory", 'soffice')):
            with self.assertUserError('msg_report_no_converter'):
                self.report().execute([result.id], {})

    @with_transaction()
    def test_the_converter_fails(self):
        result = ResultsTestCase.arrived(self)
        for error in [
                subprocess.CalledProcessError(1, 'soffice'),
                subprocess.TimeoutExpired('soffice', 300)]:
            with self.subTest(error=type(error).__name__), patch.object(
                    subprocess, 'check_call', side_effect=error), (
                    self.assertUserError('msg_report_not_converted')), (
                    self.assertLogs('trytond.report.report', 'ERROR')
                    if isinstance(error, subprocess.CalledProcessError)
                    else nullcontext()):
                self.report().execute([result.id], {})
