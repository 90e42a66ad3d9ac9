# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed: the daily schedule, and the studies of a result."""

import datetime as dt
import io
import re
import subprocess
import zipfile
from contextlib import contextmanager
from unittest.mock import patch

from trytond.modules.company.tests import create_company, set_company
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from devtools.translations import LANGUAGES

from .access import AccessTestCase
from .test_step_display import add_condition
from .test_translations import load
from .test_worklist import counted
from .tools import (
    STUDY, OrthancTestCase, Refused, Told, create_order, create_patient,
    create_series, create_server, create_study, create_test, create_user,
    record_id)

SCHEDULE = 'gnuhealth.imaging.daily_schedule'
WIZARD = 'gnuhealth.imaging.print_daily_schedule'
RESULTS = 'patient.imaging_report_results'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STEP = 'gnuhealth.imaging.procedure.step'
DAY = dt.date(2026, 3, 4)
NOON = dt.datetime(2026, 3, 4, 12)


@contextmanager
def unconverted(name):
    "Have a report in the format of its template, which takes no LibreOffice"
    Report = Pool().get(name, type='report')
    with patch.object(
            Report, 'convert',
            classmethod(lambda cls, report, data: ('odt', data))):
        yield Report


def read_odt(content):
    "Return the XML of the pages, and that of their headers and footers"
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return tuple(
            file.read(name).decode() for name in ['content.xml', 'styles.xml'])


def print_schedule(**data):
    with unconverted(SCHEDULE) as Report:
        _, content, _, name = Report.execute([], {'day': DAY, **data})
    action = Pool().get('ir.action.report')(
        record_id('report_daily_schedule'))
    # Nothing else is in the name of the file
    assert name == action.name
    return read_odt(content)[0]


class DailyScheduleTestCase(OrthancTestCase):
    "The steps of a day, a page for each device"

    def order(self, patient=None, **values):
        return create_order(
            patient, requested=True, **{'date': NOON, **values})

    @with_transaction()
    def test_what_is_printed_of_a_step(self):
        patient = create_patient(
            "Ejemplo Núñez", "Zoé", dob=dt.date(1980, 2, 29))
        test = create_test(name="CT of the Head", aetitle='CT1')
        order = self.order(
            patient, requested_test=test.id, urgent=True,
            comment="Fell on the ice\nSecond line")
        allergy = add_condition(patient, "Iodine", is_allergy=True)
        with set_company(create_company()):
            text = print_schedule()
        lang = Pool().get('ir.lang').get()
        for value in [
                '12:00', patient.rec_name, patient.puid,
                lang.strftime(dt.date(1980, 2, 29)), "CT of the Head",
                order.accession_number, order.request, "Urgent",
                "Fell on the ice", "Second line", allergy, "Wednesday",
                'CT1 · CT']:
            with self.subTest(value=value):
                self.assertIn(value, text)

    @with_transaction()
    def test_a_page_for_each_device(self):
        tests = [
            create_test(aetitle=aetitle) for aetitle in [
                'CT1\\CT2', 'MR1', 'EMPTY', None]]
        for test in tests[:2] + tests[3:]:
            self.order(requested_test=test.id)
        text = print_schedule()
        self.assertEqual(text.count('table:table-header-rows>'), 2 * 4)
        self.assertEqual(text.count("No steps are scheduled"), 1)
        places = [text.index(t) for t in ['CT1', 'CT2', 'EMPTY', 'MR1']]
        self.assertEqual(places, sorted(places))
        # What no device sees comes last
        self.assertGreater(text.index("No device"), places[-1])
        self.assertNotIn('CT2', print_schedule(device='CT1'))
        self.assertIn(
            "No steps are scheduled", print_schedule(device='OTHER'))

    @with_transaction()
    def test_nothing_to_print(self):
        Test = Pool().get('gnuhealth.imaging.test')
        Test.write(Test.search([]), {'aetitle': None})
        self.assertIn("no study type has an AE title", print_schedule())

    @with_transaction()
    def test_which_steps_are_printed(self):
        Step = Pool().get(STEP)
        names = ["Scheduled", "Started", "Completed", "Rejected", "Canceled"]
        steps = {
            name: self.order(create_patient(f"Family{name}")).steps[0]
            for name in names}
        create_order(create_patient("FamilyDraft"), date=NOON)
        for hours in [-13, 12]:
            self.order(
                create_patient("FamilyOther"),
                date=NOON + dt.timedelta(hours=hours))
        Step.start([steps["Started"]])
        Step.complete([steps["Completed"]])
        Step.reject_because([steps["Rejected"]], "Moved")
        Step.cancel([steps["Canceled"]])
        for data, expected in [
                ({}, {"Scheduled", "Started"}),
                ({'closed': True},
                    {"Scheduled", "Started", "Completed", "Rejected"})]:
            text = print_schedule(**data)
            with self.subTest(data=data):
                self.assertEqual(
                    {n for n in [*names, "Draft", "Other"]
                        if f"Family{n}" in text}, expected)
        self.assertIn("In Progress", text)
        # Beside the urgency, under the same heading
        self.assertEqual(text.count(">Status<"), 1)

    @with_transaction()
    def test_the_day_is_that_of_the_users_time_zone(self):
        company = create_company()
        company.timezone = 'America/Sao_Paulo'
        company.save()
        patient = create_patient()
        self.order(patient, date=dt.datetime(2026, 3, 5, 1))
        with set_company(company):
            text = print_schedule()
        self.assertIn(patient.puid, text)
        self.assertIn('22:00', text)

    @with_transaction()
    def test_each_language(self):
        create_test(aetitle='EMPTY')
        self.order(urgent=True, date=NOON)
        found = set()
        for language in LANGUAGES:
            load(language)
            with Transaction().set_context(language=language):
                text = print_schedule()
            with self.subTest(language=language):
                for word in [
                        ">Status<", "Clinical Information", "Birth Date",
                        "No steps", "03/04/2026"]:
                    # It may be long
                    self.assertFalse(word in text, word)
                self.assertTrue(re.search('04.03.2026', text))
            found.add(text)
        self.assertEqual(len(found), len(LANGUAGES))

    @with_transaction()
    def test_statements_do_not_grow_with_the_steps(self):
        counts = []
        for number in [3, 20]:
            for _ in range(number):
                self.order(urgent=True, comment="Text")
            Transaction().counter += 1
            with counted() as count:
                text = print_schedule()
                counts.append(count())
        self.assertEqual(text.count('12:00'), 23)
        self.assertGreater(counts[0], 0)
        self.assertLessEqual(counts[1], counts[0] + 2)

    @with_transaction()
    def test_without_a_day(self):
        for day in [None, '2026-03-04', NOON]:
            with self.subTest(day=day), self.assertUserError(
                    'msg_schedule_day'):
                print_schedule(day=day)

    @with_transaction()
    def test_the_converter_is_missing(self):
        Report = Pool().get(SCHEDULE, type='report')
        with patch.object(
                subprocess, 'check_call', side_effect=FileNotFoundError(
                    2, "No such file or directory", 'soffice')), (
                self.assertUserError('msg_report_no_converter')):
            Report.execute([], {'day': DAY})

    @with_transaction()
    def test_record_rules_hide_rows(self):
        user = create_user(
            'radiographer', 'health_imaging.group_health_imaging')
        pool = Pool()
        Model, Group = pool.get('ir.model'), pool.get('ir.rule.group')
        patients = [create_patient(f"Family{i}") for i in range(2)]
        orders = [self.order(p) for p in patients]
        for name, field, record in [
                (STEP, 'id', orders[1].steps[0]), (REQUEST, 'id', orders[1]),
                ('gnuhealth.patient', 'id', patients[1])]:
            model, = Model.search([('model', '=', name)])
            rule, = Group.create([{
                        'name': "Hides one", 'model': model.id,
                        'global_p': True, 'rules': [('create', [{
                                        'domain':
                                        f'[["{field}", "!=", {record.id}]]',
                                        }])]}])
            with self.subTest(model=name), Transaction().set_user(
                    user.id), Transaction().set_context(_check_access=True):
                text = print_schedule()
                self.assertIn("Family0", text)
                self.assertNotIn("Family1", text)
            Group.delete([rule])
            with Transaction().set_user(user.id), Transaction().set_context(
                    _check_access=True):
                self.assertIn("Family1", print_schedule())


class ResultStudiesTestCase(OrthancTestCase):
    "The studies that the print of a result lists"

    def arrived(self, patient=None, **values):
        "Return a result, its study and the user who reads it"
        order = create_order(patient, requested=True)
        study = create_study(create_server(), **{
                'study_description': "CT Schädel", 'modalities': 'CT',
                **values})
        create_series(study, instances_count=1234)
        Pool().get(STUDY).write([study], {'request': order.id})
        result, = Pool().get(RESULT).search([('request', '=', order.id)])
        return result, study

    def print_as(self, user, *results):
        "Return what a user prints, and the name of the file"
        action = record_id('imaging_result_report', 'health_imaging')
        with Transaction().set_user(user.id), Transaction().set_context(
                _check_access=True), unconverted(RESULTS) as Report:
            _, content, _, name = Report.execute(
                [r.id for r in results], {'action_id': action})
        return read_odt(content), name

    @with_transaction()
    def test_studies_and_who_may_see_them(self):
        result, _ = self.arrived(study_time=dt.time(9, 4))
        doctor = create_user('doctor', 'health.group_health_doctor')
        (text, styles), name = self.print_as(doctor, result)
        lang = Pool().get('ir.lang').get()
        for value in [
                lang.strftime(DAY) + ' 09:04', "CT Schädel", '1,234',
                result.orthanc_accession_number, result.patient.rec_name]:
            self.assertIn(value, text)
        self.assertIn("Not yet reported", styles)
        self.assertIn(result.number, name)
        self.assertNotIn(result.patient.party.lastname, name)
        # Who may not see studies
        radiographer = create_user(
            'radiographer', 'health_imaging.group_health_imaging')
        (text, _), _ = self.print_as(radiographer, result)
        self.assertNotIn("CT Schädel", text)

    @with_transaction()
    def test_not_yet_reported_stands_across_the_page(self):
        unread, _ = self.arrived()
        read, _ = self.arrived()
        Pool().get(RESULT).write([read], {
                'comment': "No fracture", 'orthanc_unreported': False})
        doctor = create_user('doctor', 'health.group_health_doctor')
        for result, style in [(unread, 'TitleUnread'), (read, 'TitleRead')]:
            (text, _), _ = self.print_as(doctor, result)
            used = text[text.index('<office:body>'):]
            with self.subTest(style=style):
                self.assertEqual(used.count(f'"{style}"'), 1)
                self.assertEqual(used.count('text:style-name="Title'), 1)

    @with_transaction()
    def test_studies_that_may_be_somebody_elses(self):
        Study = Pool().get(STUDY)
        doctor = create_user('doctor', 'health.group_health_doctor')
        for values in [
                {'quarantined_at': NOON}, {'missing_since': NOON},
                {'link_status': 'auto_unsure'}]:
            result, study = self.arrived()
            (text, _), _ = self.print_as(doctor, result)
            self.assertIn("CT Schädel", text)
            with Transaction().set_user(0):
                Study.write([Study(study.id)], values)
            with self.subTest(values=values):
                (text, _), _ = self.print_as(doctor, result)
                self.assertNotIn("CT Schädel", text)

    @with_transaction()
    def test_several_results_keep_their_studies(self):
        results = [
            self.arrived(
                create_patient(f"Family{i}"), study_description=f"Study{i}")
            for i in range(3)]
        doctor = create_user('doctor', 'health.group_health_doctor')
        (text, _), _ = self.print_as(doctor, *(r for r, _ in results))
        places = [
            text.index(part) for i in range(3)
            for part in [f"Family{i}", f"Study{i}"]]
        self.assertEqual(places, sorted(places))

    @with_transaction()
    def test_each_language(self):
        result, _ = self.arrived()
        doctor = create_user('doctor', 'health.group_health_doctor')
        for language in LANGUAGES:
            load(language)
            with Transaction().set_context(language=language):
                (text, styles), _ = self.print_as(doctor, result)
            with self.subTest(language=language):
                for word in [
                        "Not yet reported", "Number of images",
                        "Requested by", "Imaging study report"]:
                    # They may be long
                    self.assertFalse(word in text + styles, word)


class PrintingAccessTestCase(AccessTestCase):
    "Who may print, from outside"

    MAY = {'radiographer', 'head', 'clerk', 'administrator'}

    def test_who_prints_the_schedule(self):
        for login in self.users:
            session = self.as_(login)
            for call in [
                    lambda: session.report(
                        SCHEDULE, 'execute', [], {'day': DAY}),
                    lambda: session.wizard(WIZARD, 'create'),
                    lambda: session.model(
                        f'{WIZARD}.start', 'get_devices', {'day': DAY})]:
                with self.subTest(login=login):
                    if login in self.MAY:
                        with patch.object(
                                subprocess, 'check_call',
                                side_effect=FileNotFoundError):
                            try:
                                call()
                            except Told as told:
                                self.assertNotIsInstance(told, Refused)
                    else:
                        self.assertRaises(Refused, call)

    def test_who_prints_a_result(self):
        for login in [*self.OUTSIDERS, 'privacy']:
            with self.subTest(login=login), self.assertRaises(Refused):
                self.as_(login).report(
                    RESULTS, 'execute', [self.result.id], {})

    def test_the_wizard_proposes_the_day_of_the_step(self):
        session = self.as_('radiographer')
        id_, start, _ = session.wizard(WIZARD, 'create')
        context = {
            'active_model': STEP, 'active_id': self.step.id,
            'active_ids': [self.step.id]}
        view = session.wizard(WIZARD, 'execute', id_, {}, start, **context)
        scheduled, = session.model(
            STEP, 'read', [self.step.id], ['scheduled_at'])
        self.assertEqual(
            view['view']['defaults']['day'],
            scheduled['scheduled_at'].date())
        values = {'day': DAY, 'device': 'CT1', 'closed': False}
        result = session.wizard(
            WIZARD, 'execute', id_, {'start': values}, 'print_')
        (action, data), = result['actions']
        self.assertEqual(action['report_name'], SCHEDULE)
        self.assertEqual(data, values)


del AccessTestCase
