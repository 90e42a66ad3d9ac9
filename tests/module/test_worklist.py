# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates, and what devices are told of orders."""

import datetime as dt
import re
import time
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from lxml import etree
from pydicom import dcmread

from trytond import backend
from trytond.exceptions import UserError
from trytond.modules import health_imaging_worklist
from trytond.modules.health_orthanc.core.dicom import charsets
from trytond.modules.health_orthanc.core.worklist import item as core
from trytond.modules.health_orthanc.core.worklist.dump import parse_dump
from trytond.modules.health_orthanc.worklist import item as worklist_entry
from trytond.modules.health_orthanc.worklist import variables as worklist_data
from trytond.modules.health_orthanc.worklist.step_rows import (
    find_step_rows, variables_of)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_order import CONFIGURATION, REQUEST, STEP, add_step
from .tools import (
    EXTRAS, OrthancTestCase, create_order, create_patient, create_server,
    create_study, create_test, create_user, record_id)

TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
ENTRY = 'gnuhealth.imaging.worklist.entry'
TEST = 'gnuhealth.imaging.test'
NAME = '(0010,0010) PN [$PatientName]\n'


def create_template(**values):
    template, = Pool().get(TEMPLATE).create([{'name': "Head", **values}])
    return template


def order_with(template, **values):
    "Create a requested order whose study type has the template"
    if isinstance(template, str):
        template = create_template(template=template)
    test = create_test(imaging_worklist_template=template.id)
    return create_order(requested=True, requested_test=test.id, **values)


def create_company(zone):
    "Create an institution that is a company in the time zone"
    pool = Pool()
    Currency = pool.get('currency.currency')
    currencies = Currency.search([], limit=1) or Currency.create([{
                'name': "Euro", 'code': 'EUR', 'symbol': '€'}])
    party, = pool.get('party.party').create([{
                'name': f"Hospital of {zone}", 'is_institution': True}])
    pool.get('company.company').create([{
                'party': party.id, 'currency': currencies[0].id,
                'timezone': zone}])
    institution, = pool.get('gnuhealth.institution').create([{
                'party': party.id, 'code': zone,
                'institution_type': 'hospital',
                'public_level': 'public'}])
    return institution


def variables(order, step=None):
    "Return the variables of an order, which are the same from rows"
    order = Pool().get(REQUEST)(order.id)
    step = step or order.steps[0]
    with worklist_data.rendering(step):
        data = order.get_worklist_template_data()
    rows = find_step_rows([step.id])
    if rows is not None:
        row, = rows
        assert variables_of(row) == data
    return data


class MessagesTestCase(OrthancTestCase):

    @with_transaction()
    def test_there_is_one_for_each_kind_of_problem(self):
        kinds = self.kinds()
        self.assertGreater(len(kinds), 25)
        self.assertLessEqual({
                'template_python', 'template_call', 'result_twice',
                'missing', 'too_long', 'zone'}, kinds)
        for kind in kinds:
            with self.subTest(kind=kind):
                text = Pool().get('ir.message')(
                    record_id(f'msg_worklist_{kind}')).text
                self.assertTrue(text % {'detail': 'x', 'keyword': 'x'})

    @staticmethod
    def kinds():
        "Return what core calls the problems that it finds"
        source = '\n'.join(
            path.read_text()
            for path in [
                *Path(core.__file__).parent.glob('*.py'),
                Path(charsets.__file__)])
        calls = re.findall(
            r"""(?:(?:Template|Worklist)Error\(|_error\(|append\(|return\s)"""
            r"""\s*\(?'([a-z_]+)'[,)]"""
            r"""|kind\s=\s'([a-z_]+)'\sif\s.*?else\s'([a-z_]+)'""", source)
        return {kind for found in calls for kind in found if kind}


class TemplateTestCase(OrthancTestCase):
    "Templates are checked when they are saved"

    def told(self, **values):
        "Return what somebody is told who saves a template"
        with self.assertRaises(UserError) as raised:
            create_template(**values)
        return str(raised.exception)

    def assertTold(self, told, kind, line='', detail='', keyword=''):
        text = Pool().get('ir.message')(
            record_id(f'msg_worklist_{kind}')).text
        self.assertIn(text % {'detail': detail, 'keyword': keyword}, told)
        self.assertIn('"Head"', told)
        self.assertIn(detail, told)
        self.assertEqual(bool(line), 'Line ' in told)
        if line:
            self.assertIn(f'Line {line} ', told)

    @with_transaction()
    def test_the_shipped_one_is_complete(self):
        template = Pool().get(TEMPLATE)(record_id(
                'worklist_template_default'))
        self.assertEqual(template.completed, '')
        self.assertEqual(template.charset, 'ISO_IR 192')
        for kind in ['dump2dcm', 'json']:
            with self.subTest(kind=kind):
                template = create_template(template_type=kind)
                self.assertEqual(template.completed, '')
                self.assertEqual(template.charset, 'ISO_IR 192')

    @with_transaction()
    def test_what_is_missing_is_named(self):
        completed = create_template(template=NAME).completed.split(', ')
        for keyword in [
                'PatientID', 'StudyInstanceUID', 'Modality',
                'ScheduledProcedureStepID']:
            self.assertIn(keyword, completed)
        self.assertNotIn('PatientName', completed)

    @with_transaction()
    def test_mistakes_in_templates(self):
        for kind, line, detail, source in [
                ('python', 2, '', NAME + '{% python import os %}'),
                ('python', 1, '', '{% include "/etc/passwd" %}'),
                ('python', 1, '', "{% def f(x) %}{% end %}"),
                ('python', 1, '', '${[x for x in PatientName]}'),
                ('python', 1, '', '${(lambda: 1)}'),
                ('call', 1, 'open', "${open('/etc/passwd')}"),
                ('call', 1, 'system', "${my.system('x')}"),
                ('name', 2, 'Nobody', NAME + '$Nobody'),
                ('name', 1, '__class__', '${my.__class__}'),
                ('syntax', 1, '', '{% if True %}x'),
                ('syntax', 2, '', NAME + '${PatientName'),
                ('character', 1, 'U+0001', 'x\x01x'),
                ('value', 1, 'PatientName.zfill', '${PatientName.zfill}'),
                ('length', '', '', 'x' * 10**6),
                ]:
            with self.subTest(kind=kind, source=source[:40]):
                self.assertTold(
                    self.told(template=source), f'template_{kind}', line,
                    detail)

    @with_transaction()
    def test_mistakes_in_dumps(self):
        for kind, line, detail, source in [
                ('syntax', 2, '', NAME + 'x'),
                ('sequence', '', '', '(0040,0100) SQ'),
                ('twice', 2, 'PatientName', NAME + NAME),
                ('private', 1, '(0009,0010)', '(0009,0010) LO [x]'),
                ('tag', 1, '(0002,0010)', '(0002,0010) UI [1.2]'),
                ('vr', 1, '(7fe0,0010)', '(7fe0,0010) OW [1]'),
                ('path', 1, '', '(0010,0010) PN =/etc/passwd'),
                ('comment', 1, '', '(0010,0010) PN [x] # [y]'),
                ]:
            with self.subTest(kind=kind, source=source):
                self.assertTold(
                    self.told(template=source), f'result_{kind}', line,
                    detail)

    @with_transaction()
    def test_mistakes_in_json(self):
        for kind, line, detail, source in [
                ('syntax', 1, '', '{'),
                ('syntax', 1, '', '[]'),
                ('keyword', '', 'Nam', '{"Nam": "x"}'),
                ('number', '', '', '{"PatientName": NaN}'),
                ('value', '', 'PatientName', '{"PatientName": {}}'),
                ('twice', '', 'PatientName',
                    '{"PatientName": "x", "PatientName": "y"}'),
                ]:
            with self.subTest(kind=kind, source=source):
                self.assertTold(
                    self.told(template=source, template_type='json'),
                    f'result_{kind}', line, detail)

    @with_transaction()
    def test_values_that_are_no_entry(self):
        sequence = 'ScheduledProcedureStepSequence'
        item = '(fffe,e000) na\n(0040,0001) AE [A]\n(fffe,e00d) na\n'
        for kind, keyword, source in [
                ('differs', 'PatientID', '(0010,0020) LO [x]'),
                ('differs', 'AccessionNumber', '(0008,0050) SH [x]'),
                ('invalid', 'Modality', '(0008,0060) CS [a?b]'),
                ('many', 'PatientID', r'(0010,0020) LO [a\b]'),
                ('many', sequence,
                    f'(0040,0100) SQ\n{item}{item}(fffe,e0dd) na'),
                ('too_long', 'StudyInstanceUID',
                    f'(0020,000d) UI [1.{"2" * 70}]')]:
            with self.subTest(kind=kind, keyword=keyword):
                self.assertTold(
                    self.told(template=source), kind, keyword=keyword)

    @with_transaction()
    def test_character_sets(self):
        for charset in [
                'ISO_IR 192', 'ISO_IR 100', 'GB18030',
                r'ISO 2022 IR 6\ISO 2022 IR 87']:
            with self.subTest(charset=charset):
                create_template(charset=charset)
        for charset in ['latin-9', 'ISO_IR 1', r'ISO_IR 192\ISO_IR 100']:
            with self.subTest(charset=charset):
                self.assertTold(
                    self.told(charset=charset), 'charset')

    @with_transaction()
    def test_the_misspelt_character_set_of_5_0(self):
        order = order_with(create_template(charset='IS0_IR 192'))
        text = order.worklist_text
        self.assertIn('(0008,0005) CS [ISO_IR 192]', text)

    @with_transaction()
    def test_a_template_that_is_out_of_use_may_be_wrong(self):
        template = create_template(template='x', active=False)
        self.assertIsNone(template.completed)
        with self.assertUserError('msg_worklist_template'):
            Pool().get(TEMPLATE).write([template], {'active': True})
        for values in [
                {'template': 'x'}, {'charset': 'x'},
                {'template_type': 'json', 'template': NAME}]:
            template = create_template()
            with self.subTest(values=values):
                with self.assertUserError('msg_worklist_template'):
                    Pool().get(TEMPLATE).write([template], values)

    @with_transaction()
    def test_a_study_type_goes_on_without_its_template(self):
        template = create_template(template='(0008,1030) LO [Of its own]')
        order = order_with(template)
        self.assertIn("Of its own", order.worklist_text)
        Pool().get(TEMPLATE).write([template], {'active': False})
        order = Pool().get(REQUEST)(order.id)
        self.assertNotIn("Of its own", order.worklist_text)
        self.assertIn('[CT]', order.worklist_text)
        Pool().get(TEMPLATE).delete([template])
        test = Pool().get(TEST)(order.requested_test.id)
        self.assertIsNone(test.imaging_worklist_template)


class PreviewTestCase(OrthancTestCase):
    "The order shows what devices are told"

    @with_transaction()
    def test_it_is_what_is_served(self):
        order = create_order(
            create_patient("O'Hara] (0010,0020) LO [X", "Zoë"),
            requested=True)
        entry = Pool().get(ENTRY)
        values = entry._entry_values(order.steps[0])
        self.assertEqual(order.worklist_text, values['text'])
        dataset = dcmread(BytesIO(values['dicom']))
        self.assertEqual(
            str(dataset.PatientName), "O'Hara] (0010,0020) LO [X^Zoë")
        self.assertEqual(dataset.PatientID, order.patient.puid)
        self.assertEqual(core.differences(
                dataset, parse_dump(values['text'])), ())

    @with_transaction()
    def test_all_open_steps_are_shown(self):
        order = create_order(requested=True)
        second = add_step(order, modality='MR', station_aetitle='MR1')
        order = Pool().get(REQUEST)(order.id)
        self.assertEqual(
            re.findall(r'\(0040,0009\) SH \[(.*)\]', order.worklist_text),
            [order.steps[0].step_id, second.step_id])
        Pool().get(STEP).complete([order.steps[0]])
        order = Pool().get(REQUEST)(order.id)
        self.assertEqual(
            re.findall(r'\(0040,0009\) SH \[(.*)\]', order.worklist_text),
            [second.step_id])
        Pool().get(STEP).complete([second])
        order = Pool().get(REQUEST)(order.id)
        self.assertEqual(order.worklist_text.count('(0040,0009)'), 2)

    @with_transaction()
    def test_a_problem_is_told(self):
        order = order_with(
            '(0010,0040) CS [${my.patient.party.lastname}]',
            patient=create_patient("Muster"))
        self.assertIn("PatientSex", order.worklist_text)
        self.assertIn("conform", order.worklist_text)

    @with_transaction()
    def test_it_is_the_same_in_each_language(self):
        pool = Pool()
        Lang = pool.get('ir.lang')
        language, = Lang.search([('code', '=', 'de')])
        language.translatable = True
        language.save()
        order = create_order(requested=True)
        Test = pool.get(TEST)
        with Transaction().set_context(language='de'):
            Test.write([Test(order.requested_test.id)], {'name': "Kopf"})
            order = pool.get(REQUEST)(order.id)
            self.assertEqual(order.requested_test.name, "Kopf")
            self.assertIn(" [Study ", order.worklist_text)

    @with_transaction()
    def test_a_mistake_of_another_module_does_not_close_the_order(self):
        order = create_order(requested=True)
        with extended(lambda data: data['Nothing']), \
                self.assertLogs('trytond.modules.health_orthanc') as logs:
            text = Pool().get(REQUEST)(order.id).worklist_text
        self.assertEqual(text, Pool().get('ir.message')(
                record_id('msg_worklist_internal')).text)
        self.assertNotIn(order.patient.party.lastname, repr(logs.output))


@contextmanager
def extended(change):
    "Have another module extend the variables"
    Request = Pool().get(REQUEST)
    original = Request.get_worklist_template_data

    def extend(self):
        data = original(self)
        change(data)
        return data
    with patch.object(Request, 'get_worklist_template_data', extend):
        yield


class VariablesTestCase(OrthancTestCase):
    "What templates know of an order"

    def assertVariables(self, order, step=None, **expected):
        data = variables(order, step)
        self.assertEqual(
            {name: data.get(name) for name in expected}, expected)

    @with_transaction()
    def test_all_are_there(self):
        data = variables(create_order())
        self.assertLessEqual(data.keys(), core.VARIABLES | {'my'})
        # What GNU Health does not know
        unknown = {
            'AdmissionID', 'CurrentPatientLocation', 'PatientState',
            'PreMedication', 'RequestedContrastAgent',
            'SpecialNeeds', 'PatientTransportArrangements',
            'ConfidentialityConstraintOnPatientDataDescription'}
        self.assertLessEqual(core.VARIABLES - data.keys(), unknown)
        self.assertEqual(data['my'].__name__, REQUEST)

    @with_transaction()
    def test_of_the_order(self):
        pool = Pool()
        pathology, = pool.get('gnuhealth.pathology').create([{
                    'name': "Headache", 'code': 'R51'}])
        order = create_order(
            urgent=True, comment="Claustrophobic", context=pathology.id)
        doctor = order.doctor
        self.assertVariables(
            order,
            SpecificCharacterSet='ISO_IR 192',
            template_type='dump2dcm',
            AccessionNumber=order.accession_number,
            StudyInstanceUID=order.study_instance_uid,
            MergeID=order.merge_id,
            RequestedProcedureDescription=order.requested_test.rec_name,
            RequestedProcedurePriority='STAT',
            RequestedProcedureComments="Claustrophobic",
            ReasonForTheRequestedProcedure=pathology.rec_name,
            RequestingPhysician=(
                f'{doctor.party.lastname}^{doctor.party.name}'),
            ReferringPhysicianName=(
                f'{doctor.party.lastname}^{doctor.party.name}'),
            RequestingService=None)
        order = create_order()
        self.assertVariables(
            order, RequestedProcedurePriority='ROUTINE',
            ReasonForTheRequestedProcedure=None)

    @with_transaction()
    def test_the_procedure_id_is_the_order_line_if_it_fits(self):
        order = create_order(request='REQ1', request_line='REQ1-01-01')
        self.assertVariables(order, RequestedProcedureID='REQ1-01-01')
        order = create_order(request_line='REQUEST-0000001-01-01')
        self.assertVariables(
            order, RequestedProcedureID=order.accession_number)

    @with_transaction()
    def test_of_the_template(self):
        order = order_with(create_template(
                charset='ISO_IR 100', template_type='json'))
        self.assertVariables(
            order, SpecificCharacterSet='ISO_IR 100', template_type='json')

    @with_transaction()
    def test_specialty_of_who_orders(self):
        pool = Pool()
        order = create_order()
        Doctor = pool.get('gnuhealth.healthprofessional')
        specialty, = pool.get('gnuhealth.specialty').create([{
                    'name': "Neurology", 'code': 'NEU'}])
        Doctor.write([Doctor(order.doctor.id)], {
                'specialties': [('create', [{'specialty': specialty.id}])]})
        self.assertVariables(order, RequestingService="Neurology")

    @with_transaction()
    def test_names(self):
        pool = Pool()
        Party = pool.get('party.party')
        patient = create_patient("Muster", "Erika Maria")
        party = Party(patient.party.id)
        order = create_order(patient)
        self.assertVariables(order, PatientName='Muster^Erika Maria')
        official, = party.person_names
        Party.write([party], {
                'person_names': [
                    ('write', [official.id], {
                            'prefix': 'Dr', 'suffix': "MSc"}),
                    ('create', [
                            {'use': 'maiden', 'family': "Gabler",
                                'given': "Erika"},
                            {'use': 'nickname', 'given': "Kiki"}])]})
        self.assertVariables(
            order, PatientName='Muster^Erika Maria^^Dr^MSc')
        Party.write([party], {
                'person_names': [('delete', [
                            n.id for n in Party(party.id).person_names])]})
        self.assertVariables(order, PatientName='Muster^Erika Maria')
        for family, given, expected in [
                (None, "Pelé", '^Pelé'), ("Ö^A=B", "C\\D", 'Ö A B^C/D'),
                ("李", "明", '李^明')]:
            order = create_order(create_patient(family, given))
            with self.subTest(family=family):
                self.assertVariables(order, PatientName=expected)

    @with_transaction()
    def test_sexes(self):
        Patient = Pool().get('gnuhealth.patient')
        for gender, sex, expected in [
                ('f', None, 'F'), ('m', None, 'M'), ('nb', None, 'O'),
                ('other', None, 'O'), ('nd', None, 'O'), ('m', 'f', 'F'),
                ('nb', 'm', 'M'), ('f', 'm', 'M')]:
            patient = create_patient(gender=gender)
            Patient.write([patient], {'biological_sex': sex})
            with self.subTest(gender=gender, sex=sex):
                self.assertVariables(
                    create_order(Patient(patient.id)), PatientSex=expected)

    @with_transaction()
    def test_birth_dates_and_ages(self):
        start = dt.datetime(2026, 3, 10, 9)
        for birth, expected in [
                (dt.date(1980, 3, 10), '046Y'), (dt.date(1980, 3, 11), '045Y'),
                (dt.date(2026, 3, 1), '009D'), (dt.date(2026, 3, 10), '000D'),
                (dt.date(2025, 3, 10), '012M'), (dt.date(2024, 3, 10), '002Y'),
                (dt.date(1919, 1, 1), '107Y'), (None, '')]:
            order = create_order(create_patient(dob=birth), date=start)
            with self.subTest(birth=birth):
                self.assertVariables(
                    order, PatientAge=expected,
                    PatientBirthDate=(
                        birth.strftime('%Y%m%d') if birth else None))

    @with_transaction()
    def test_the_age_is_that_of_the_day_there(self):
        institution = create_company('Pacific/Auckland')
        patient = create_patient(dob=dt.date(1980, 3, 11))
        order = create_order(patient, date=dt.datetime(2026, 3, 10, 20))
        Pool().get(STEP).write(
            list(order.steps), {'institution': institution.id})
        self.assertVariables(
            order, PatientAge='046Y',
            ScheduledProcedureStepStartDate='20260311')

    @with_transaction()
    def test_the_last_weight(self):
        pool = Pool()
        Evaluation = pool.get('gnuhealth.patient.evaluation')
        order = create_order()
        self.assertVariables(order, PatientWeight=None)
        Evaluation.create([{
                    'patient': order.patient.id, 'weight': weight,
                    'healthprof': order.doctor.id,
                    'evaluation_start': dt.datetime(2026, 1, day)}
                for day, weight in [
                    (1, 70), (3, 71.5), (2, 90), (4, None), (5, 0)]])
        self.assertVariables(order, PatientWeight='71.5')

    @with_transaction()
    def test_they_are_made_from_rows(self):
        orders = [create_order(), create_order(create_patient())]
        ids = [step.id for order in orders for step in order.steps]
        rows = find_step_rows([ids[1], -1, ids[0]])
        self.assertEqual([row.id for row in rows], [ids[1], ids[0]])
        known = worklist_data.Known()
        known.read(rows)
        for row, order in zip(rows, reversed(orders)):
            self.assertEqual(variables_of(row, known), variables(order))
        with extended(lambda data: None):
            self.assertIsNone(find_step_rows(ids))

    @with_transaction()
    def test_items_of_rows_are_those_of_records(self):
        pool = Pool()
        Entry, Step = pool.get(ENTRY), pool.get(STEP)
        pathology, = pool.get('gnuhealth.pathology').create(
            [{'code': 'R51', 'name': "Headache"}])
        inactive = create_template(template=NAME, active=False)
        orders = [
            create_order(
                create_patient("Núñez", "José"), comment="Two\nlines",
                context=pathology.id, urgent=True),
            order_with(inactive),
            order_with(NAME + '(0010,4000) LT [$my.request_line]'),
            order_with(create_template(
                    template='{"PatientName": "$PatientName"}',
                    template_type='json', charset='ISO_IR 100')),
            order_with(NAME + '(0008,0060) CS []')]
        Step.write([orders[0].steps[0]], {
                'performing_physician': orders[0].doctor.id,
                'institution': create_company('Asia/Tokyo').id,
                'station_aetitle': 'CT1\\CT2', 'description': "Skull",
                'laterality': 'L'})
        Step.write([orders[1].steps[0]], {
                'station_aetitle': None, 'location': "Röntgen 2"})
        steps = Step.browse([o.steps[0].id for o in orders])
        found = [
            Entry._entry_values(row)
            for row in find_step_rows([step.id for step in steps])]
        self.assertEqual(
            found, [Entry._entry_values(step) for step in steps])
        self.assertEqual(
            [bool(values['problem']) for values in found],
            [False, True, False, False, False])
        self.assertIn(orders[2].request_line, found[2]['text'])

    @with_transaction()
    def test_modules_may_change_the_variables_of_one_order(self):
        patient = create_patient()
        orders = [create_order(patient) for _ in range(2)]
        known = worklist_data.Known()
        for order in orders:
            with worklist_data.rendering(order.steps[0], known):
                data = order.get_worklist_template_data()
            self.assertEqual(data['Allergies'], [])
            data['Allergies'].append("Latex")

    @with_transaction()
    def test_allergies_and_alerts(self):
        pool = Pool()
        Pathology = pool.get('gnuhealth.pathology')
        pathologies = Pathology.create([
                {'name': name, 'code': name} for name in [
                    'Penicillin', 'Asthma', 'Latex', 'Flu']])
        order = create_order()
        pool.get('gnuhealth.patient.disease').create([{
                    'patient': order.patient.id, 'pathology': p.id,
                    'is_allergy': p.name in {'Penicillin', 'Latex'},
                    'is_active': p.name != 'Flu'}
                for p in pathologies])
        data = variables(order)
        self.assertEqual(data['Allergies'], sorted(
                p.rec_name for p in pathologies
                if p.name in {'Penicillin', 'Latex'}))
        self.assertIn(pathologies[1].rec_name, data['MedicalAlerts'])
        self.assertNotIn(pathologies[3].rec_name, data['MedicalAlerts'])
        other = variables(create_order())
        self.assertEqual(other['Allergies'], [])
        self.assertEqual(other['MedicalAlerts'], [])

    @with_transaction()
    def test_pregnancy(self):
        for gender, birth, expected in [
                ('m', dt.date(1990, 1, 1), None),
                ('f', dt.date(1990, 1, 1), '4'),
                ('f', dt.date(1930, 1, 1), None)]:
            patient = create_patient(gender=gender, dob=birth)
            Pool().get('gnuhealth.patient').write(
                [patient], {'biological_sex': gender})
            with self.subTest(gender=gender, birth=birth):
                self.assertVariables(
                    create_order(patient), PregnancyStatus=expected)

    @with_transaction()
    def test_of_the_step(self):
        order = create_order(requested=True)
        step = add_step(
            order, modality='MR', station_aetitle='MR1',
            station_name="Tesla", location="Room 3", laterality='L',
            description="Left knee", performing_physician=order.doctor.id,
            scheduled_at=dt.datetime(2026, 3, 4, 10, 30))
        self.assertVariables(
            order, step,
            Modality='MR', ScheduledStationAETitle='MR1',
            ScheduledStationName="Tesla",
            ScheduledProcedureStepLocation="Room 3", Laterality='L',
            ScheduledProcedureStepDescription="Left knee",
            ScheduledProcedureStepID=step.step_id,
            ScheduledProcedureStepStatus='SCHEDULED',
            ScheduledProcedureStepStartDate='20260304',
            ScheduledProcedureStepStartTime='103000',
            TimezoneOffsetFromUTC='+0000',
            ScheduledPerformingPhysicianName='Musterfrau^Cora')
        Pool().get(STEP).start([step])
        self.assertVariables(
            order, step, ScheduledProcedureStepStatus='STARTED')

    @with_transaction()
    def test_without_a_step_they_are_those_of_the_first_open_one(self):
        order = create_order(requested=True)
        add_step(order, modality='MR')
        Pool().get(STEP).complete([order.steps[0]])
        data = Pool().get(REQUEST)(order.id).get_worklist_template_data()
        self.assertEqual(data['Modality'], 'MR')
        # Of another order while one is rendered
        other = create_order()
        with worklist_data.rendering(order.steps[0]):
            data = other.get_worklist_template_data()
        self.assertEqual(
            data['ScheduledProcedureStepID'], other.steps[0].step_id)

    @with_transaction(context={'company': None})
    def test_local_time_on_both_sides_of_a_clock_change(self):
        create_company('Asia/Tokyo')
        berlin = create_company('Europe/Berlin')
        for start, date, time_, offset in [
                ((2026, 3, 29, 0, 30), '20260329', '013000', '+0100'),
                ((2026, 3, 29, 1, 30), '20260329', '033000', '+0200'),
                ((2026, 10, 25, 0, 30), '20261025', '023000', '+0200'),
                ((2026, 10, 25, 1, 30), '20261025', '023000', '+0100'),
                ((2026, 12, 31, 23, 30), '20270101', '003000', '+0100')]:
            order = create_order(date=dt.datetime(*start))
            Pool().get(STEP).write(
                list(order.steps), {'institution': berlin.id})
            with self.subTest(start=start):
                self.assertVariables(
                    order, ScheduledProcedureStepStartDate=date,
                    ScheduledProcedureStepStartTime=time_,
                    TimezoneOffsetFromUTC=offset,
                    InstitutionName=berlin.rec_name)
                self.assertIn(
                    f'(0040,0003) TM [{time_}]', order.worklist_text)

    @with_transaction()
    def test_the_institution_of_the_step_decides(self):
        pool = Pool()
        tokyo = create_company('Asia/Tokyo')
        berlin = create_company('Europe/Berlin')
        company, = pool.get('company.company').search([
                ('party', '=', tokyo.party.id)])
        order = create_order(date=dt.datetime(2026, 3, 4, 10))
        Step = pool.get(STEP)
        Step.write(list(order.steps), {'institution': berlin.id})
        with Transaction().set_context(company=company.id):
            self.assertVariables(
                order, ScheduledProcedureStepStartTime='110000')
        Step.write(list(order.steps), {'institution': tokyo.id})
        self.assertVariables(
            order, ScheduledProcedureStepStartTime='190000')

    @with_transaction()
    def test_an_only_zone_is_that_of_all(self):
        institution = create_company('Europe/Berlin')
        party, = Pool().get('party.party').create([{
                    'name': "Branch", 'is_institution': True}])
        branch, = Pool().get('gnuhealth.institution').create([{
                    'party': party.id, 'code': 'B',
                    'institution_type': 'clinic',
                    'public_level': 'public'}])
        for place in [institution, branch, None]:
            order = create_order(date=dt.datetime(2026, 7, 4, 10))
            Pool().get(STEP).write(
                list(order.steps),
                {'institution': place.id if place else None})
            with self.subTest(place=place):
                self.assertVariables(
                    order, ScheduledProcedureStepStartTime='120000',
                    TimezoneOffsetFromUTC='+0200')

    @with_transaction()
    def test_another_module_adds_one(self):
        order = create_order(requested=True)
        with extended(lambda data: data.update(
                    Ward="Ward 7] \n(0010,0020) LO [X",
                    AdmissionID="V-17")):
            template = create_template(template=(
                    NAME + '(0008,1040) LO [$Ward]\n'
                    '(0038,0010) LO [$AdmissionID]'))
            Pool().get(TEST).write(
                [order.requested_test],
                {'imaging_worklist_template': template.id})
            order = Pool().get(REQUEST)(order.id)
            text = order.worklist_text
        self.assertIn('(0038,0010) LO [V-17]', text)
        dataset = parse_dump(text)
        self.assertEqual(
            dataset.InstitutionalDepartmentName, "Ward 7]  (0010,0020) LO [X")
        self.assertEqual(dataset.PatientID, order.patient.puid)


class MyTestCase(OrthancTestCase):
    "The order as templates see it"

    def view(self, **values):
        order = create_order(requested=True, **values)
        create_study(create_server(user='reader'), patient=order.patient.id)
        return worklist_data.RecordView(order, 'dump2dcm'), order

    def shown(self, expression):
        order = order_with(
            NAME + '(0008,1030) LO [${%s}]' % expression,
            patient=create_patient("Muster", "Erika"), comment="A\nB \\ C")
        return parse_dump(order.worklist_text)

    @with_transaction()
    def test_fields_are_shown(self):
        for expression, expected in [
                ('my.patient.party.name', "Erika"),
                ('my.patient.party.lastname', "Muster"),
                ('my.comment', "A B / C"),
                ("'x' if my.urgent else 'y'", 'y'),
                ('my.date.year', str(dt.date.today().year)),
                ('my.steps[0].modality', 'CT'),
                ('my.requested_test.test_type.code', 'CT'),
                ("'x' if my.context else 'y'", 'y')]:
            with self.subTest(expression=expression):
                self.assertEqual(
                    self.shown(expression).StudyDescription, expected)

    @with_transaction()
    def test_a_record_is_its_name(self):
        view, order = self.view()
        self.assertEqual(str(view.patient), order.patient.rec_name)
        self.assertEqual(view.patient.id, order.patient.id)
        self.assertEqual(
            str(view.requested_test), order.requested_test.rec_name)

    @with_transaction()
    def test_all_else_is_hidden(self):
        view, order = self.view()
        for name in [
                '__class__', '_values', '_record', '_transaction', 'write',
                'delete', 'search', 'browse', 'save', 'requested', 'pool',
                '__name__', '_fields', 'get_worklist_template_data']:
            with self.subTest(name=name):
                if name in {'__class__', '_record'}:
                    # Templates cannot name them, and Python needs them
                    self.assertNotEqual(type(view), type(order))
                else:
                    with self.assertRaises(AttributeError):
                        getattr(view, name)

    @with_transaction()
    def test_what_is_no_matter_of_an_order_is_hidden(self):
        view, order = self.view()
        for record, names in [
                (view, [
                        'worklist_text', 'create_uid', 'write_uid',
                        'replaces']),
                (view.patient, [
                        'orthanc_studies', 'orthanc_patients', 'diseases',
                        'medications', 'lab_test_ids', 'create_uid']),
                (view.patient.party, [
                        'photo', 'internal_user', 'addresses',
                        'contact_mechanisms', 'alternative_ids']),
                (view.doctor.party, ['internal_user']),
                (view.steps[0], ['study', 'rejected_by'])]:
            for name in names:
                with self.subTest(record=str(record), name=name):
                    with self.assertRaises(AttributeError):
                        getattr(record, name)

    @with_transaction()
    def test_all_that_is_reachable_is_there(self):
        pool = Pool()
        for model, names in worklist_data.REACHABLE.items():
            with self.subTest(model=model):
                self.assertLessEqual(names, pool.get(model)._fields.keys())
                self.assertFalse({
                        n for n in names
                        if pool.get(model)._fields[n]._type == 'binary'})


class EntryTestCase(OrthancTestCase):
    """What is served follows what is recorded

    Changes within one transaction have one time: each is committed.
    """

    def setUp(self):
        self.do(self.close_all)

    @staticmethod
    def close_all():
        step = Pool().get(STEP).__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*step.update([step.state], ['canceled']))

    def do(self, function, *args, **values):
        "Call the function in a transaction of its own"
        with Transaction().start(self.db_name, 1) as transaction:
            result = function(*args, **values)
            transaction.commit()
            return result

    def order(self, **values):
        return self.do(create_order, requested=True, **values)

    def refresh(self):
        self.do(lambda: Pool().get(ENTRY).refresh())

    def find_stale(self):
        return self.do(lambda: Pool().get(ENTRY)._find_stale())

    def render(self, stamps, known):
        self.do(lambda: Pool().get(ENTRY)._render_steps(stamps, known))

    def page(self, since=0, texts=False, etag=None, refresh=True):
        if refresh:
            self.refresh()
        return self.do(lambda: Pool().get(ENTRY)._page(since, texts, etag))

    def datasets(self):
        "Return what is served by the id of the step"
        return {
            int(e['id'].partition('.')[0]): dcmread(BytesIO(e['dicom']))
            for e in self.page()['entries']}

    def write(self, name, record, **values):
        self.do(lambda: Pool().get(name).write(
                [Pool().get(name)(record.id)], values))

    def step_of(self, order):
        return self.do(
            lambda: Pool().get(REQUEST)(order.id).steps[0].id)

    def press(self, button, id_):
        self.do(lambda: getattr(Pool().get(STEP), button)(
                [Pool().get(STEP)(id_)]))

    def test_an_order_is_served(self):
        order = self.order(patient=self.do(create_patient, "Muster", "Erika"))
        page = self.page(texts=True)
        entry, = page['entries']
        id_ = self.step_of(order)
        self.assertEqual(page['since'], 0)
        self.assertEqual(page['index'], entry['index'])
        self.assertFalse(page['more'])
        self.assertEqual(page['open'], [entry['id']])
        self.assertEqual(entry['name'], f'gnuhealth-{id_}')
        self.assertEqual(entry['kind'], 'dump2dcm')
        self.assertEqual(entry['charset'], 'ISO_IR 192')
        dataset = dcmread(BytesIO(entry['dicom']))
        self.assertEqual(dataset.PatientName, "Muster^Erika")
        self.assertEqual(core.differences(
                dataset, parse_dump(entry['text'])), ())
        item, = dataset.ScheduledProcedureStepSequence
        self.assertEqual(item.ScheduledProcedureStepID, entry['step_id'])

    def test_drafts_are_not(self):
        self.do(create_order)
        self.assertEqual(self.page()['entries'], [])

    def test_what_has_not_changed_costs_nothing(self):
        self.order()
        page = self.page()
        with patch.object(Pool(self.db_name).get(ENTRY), '_render') as render:
            self.assertIsNone(self.page(page['index'], etag=page['etag']))
            again = self.page(page['index'])
        render.assert_not_called()
        self.assertEqual(again['entries'], [])
        self.assertEqual(again['open'], page['open'])
        self.assertEqual(again['etag'], page['etag'])
        self.assertEqual(again['index'], page['index'])

    def test_what_changes_without_being_seen_is_no_new_version(self):
        patient = self.do(create_patient)
        self.order(patient=patient)
        page = self.page()
        self.write('gnuhealth.patient', patient, general_info="x")
        self.assertIsNone(self.page(page['index'], etag=page['etag']))

    def test_each_record_counts(self):
        order = self.order()
        template = self.do(create_template, template=NAME)
        with Transaction().start(self.db_name, 1):
            order = Pool().get(REQUEST)(order.id)
            patient, doctor, test = (
                order.patient, order.doctor, order.requested_test)
            party, doctor_party = patient.party, doctor.party
            step, = order.steps
            start = step.scheduled_at

        def prefix():
            Name = Pool().get('gnuhealth.person_name')
            Name.write(
                Name.search([('party', '=', party.id)]), {'prefix': 'Dr'})

        def weight():
            Pool().get('gnuhealth.patient.evaluation').create([{
                        'patient': patient.id, 'weight': 70,
                        'healthprof': doctor.id,
                        'evaluation_start': dt.datetime.now()}])

        def allergy():
            pathology, = Pool().get('gnuhealth.pathology').create([{
                        'name': "Latex", 'code': "LATEX"}])
            Pool().get('gnuhealth.patient.disease').create([{
                        'patient': patient.id, 'pathology': pathology.id,
                        'is_allergy': True}])

        def rename():
            pathology, = Pool().get('gnuhealth.pathology').search([
                    ('code', '=', "LATEX")])
            pathology.name = "Rubber"
            pathology.save()

        def company():
            create_company('Europe/Berlin')

        def change(model, record, **values):
            def act():
                Pool().get(model).write(
                    [Pool().get(model)(record.id)], values)
            return act

        for what, act in [
                ('birth date', change('party.party', party,
                        dob=dt.date(1980, 1, 2))),
                ('PUID', change('party.party', party, ref='OTHER-ID')),
                ('last name', change('party.party', party, lastname="New")),
                ('prefix', prefix),
                ('sex', change('gnuhealth.patient', patient,
                        biological_sex='m')),
                ('weight', weight),
                ('allergy', allergy),
                ('pathology', rename),
                ('doctor', change('party.party', doctor_party,
                        lastname="Other")),
                ('comment', change(REQUEST, order, comment="Careful")),
                ('urgent', change(REQUEST, order, urgent=True)),
                ('study', change(TEST, test, name="New name")),
                ('step', change(STEP, step, description="New")),
                ('start', change(STEP, step, scheduled_at=(
                            start + dt.timedelta(hours=1)))),
                ('performer', change(
                        STEP, step, performing_physician=doctor.id)),
                ('time zone', company),
                ('template', change(TEST, test,
                        imaging_worklist_template=template.id)),
                ('text', change(TEMPLATE, template,
                        template=NAME + '(0008,1030) LO [x]')),
                ('character set', change(
                        TEMPLATE, template, charset='ISO_IR 100')),
                ('out of use', change(TEMPLATE, template, active=False)),
                ]:
            before = self.page()
            self.do(act)
            with self.subTest(what=what):
                after = self.page(before['index'])
                entry, = after['entries']
                self.assertGreater(after['index'], before['index'])
                self.assertNotIn(entry['id'], before['open'])
                self.assertEqual(after['open'], [entry['id']])
                self.assertNotEqual(after['etag'], before['etag'])

    def test_another_patient(self):
        order = self.order(patient=self.do(create_patient, "Muster", "Erika"))
        self.page()
        other = self.do(create_patient, "Ejemplo", "Juan")
        self.write(REQUEST, order, patient=other.id)
        dataset, = self.datasets().values()
        self.assertEqual(dataset.PatientName, "Ejemplo^Juan")
        with Transaction().start(self.db_name, 1):
            self.assertEqual(
                dataset.PatientID,
                Pool().get('gnuhealth.patient')(other.id).puid)

    def test_closed_steps_are_gone_at_once(self):
        for button in ['complete', 'cancel']:
            with self.subTest(button=button):
                id_ = self.step_of(self.order())
                page = self.page()
                self.press(button, id_)
                # Before anything is rendered anew
                after = self.page(
                    page['index'], etag=page['etag'], refresh=False)
                self.assertEqual(after['open'], [])
                self.assertEqual(after['entries'], [])

    def test_started_steps_stay(self):
        id_ = self.step_of(self.order())
        self.press('start', id_)
        dataset = self.datasets()[id_]
        item, = dataset.ScheduledProcedureStepSequence
        self.assertEqual(item.ScheduledProcedureStepStatus, 'STARTED')

    def test_what_is_reopened_comes_back(self):
        id_ = self.step_of(self.order())
        first = self.page()
        self.press('cancel', id_)
        gone = self.page(first['index'])
        self.press('reopen', id_)
        again = self.page(gone['index'])
        known = {e['id'] for e in first['entries'] + again['entries']}
        self.assertEqual(len(again['open']), 1)
        self.assertLessEqual(set(again['open']), known)

    def test_the_window(self):
        id_ = self.step_of(self.order())
        self.assertIn(id_, self.datasets())
        now = dt.datetime.now()
        for delta, served in [
                (dt.timedelta(days=-6), True), (dt.timedelta(days=-8), False),
                (dt.timedelta(days=29), True), (dt.timedelta(days=31), False)]:
            self.do(lambda: Pool().get(STEP).write(
                    [Pool().get(STEP)(id_)], {'scheduled_at': now + delta}))
            with self.subTest(delta=delta):
                self.assertEqual(id_ in self.datasets(), served)

    def test_the_window_is_configured(self):
        id_ = self.step_of(self.order(
                date=dt.datetime.now() - dt.timedelta(days=2)))
        self.assertIn(id_, self.datasets())
        configuration = self.do(
            lambda: Pool().get(CONFIGURATION).get_singleton())
        self.write(
            CONFIGURATION, configuration, window_after=dt.timedelta(days=1))
        try:
            self.assertNotIn(id_, self.datasets())
        finally:
            self.write(
                CONFIGURATION, configuration,
                window_after=dt.timedelta(days=7))

    def test_one_that_fails_keeps_no_other_away(self):
        good = self.step_of(self.order())
        bad = self.do(
            order_with, '(0010,0040) CS [${my.patient.party.lastname}]',
            patient=self.do(create_patient, "Muster"))
        bad_id = self.step_of(bad)
        self.assertEqual(set(self.datasets()), {good})
        with Transaction().start(self.db_name, 1):
            step = Pool().get(STEP)(bad_id)
            self.assertIn("PatientSex", step.problem)
            self.assertFalse(step.on_worklist)
            self.assertTrue(Pool().get(STEP)(good).on_worklist)
        with Transaction().start(self.db_name, 1):
            template = Pool().get(
                REQUEST)(bad.id).requested_test.imaging_worklist_template
        self.write(TEMPLATE, template, template=NAME)
        self.assertEqual(set(self.datasets()), {good, bad_id})
        with Transaction().start(self.db_name, 1):
            self.assertIsNone(Pool().get(STEP)(bad_id).problem)

    def test_what_lacks_is_told(self):
        order = self.order()
        id_ = self.step_of(order)
        self.do(lambda: Pool().get(STEP).write(
                [Pool().get(STEP)(id_)], {'station_aetitle': None}))
        self.assertEqual(self.datasets(), {})
        with Transaction().start(self.db_name, 1):
            self.assertIn("Station AE Title", Pool().get(STEP)(id_).problem)

    def test_a_mistake_of_another_module_is_logged_without_a_name(self):
        good = self.order()
        bad = self.order(patient=self.do(create_patient, "Secretname"))
        number = self.do(
            lambda: Pool().get(REQUEST)(bad.id).accession_number)

        def fail(data):
            if data['AccessionNumber'] == number:
                raise RuntimeError(data['PatientName'])
        with Transaction().start(self.db_name, 1):
            Request = Pool().get(REQUEST)
        original = Request.get_worklist_template_data

        def extend(order):
            data = original(order)
            fail(data)
            return data
        with patch.object(Request, 'get_worklist_template_data', extend), \
                self.assertLogs('trytond.modules.health_orthanc') as logs:
            self.assertEqual(set(self.datasets()), {self.step_of(good)})
        self.assertNotIn('Secretname', '\n'.join(logs.output))

    def test_pages(self):
        ids = {self.step_of(self.order()) for _ in range(5)}
        self.refresh()
        since, seen, pages = 0, [], []
        with patch.object(worklist_entry, 'PAGE_LIMIT', 2):
            while not pages or pages[-1]['more']:
                pages.append(self.page(since, refresh=False))
                since = pages[-1]['index']
                seen.extend(pages[-1]['entries'])
        self.assertEqual([len(p['entries']) for p in pages], [2, 2, 1])
        self.assertEqual(
            [e['index'] for e in seen], sorted(e['index'] for e in seen))
        self.assertEqual(
            {int(e['id'].partition('.')[0]) for e in seen}, ids)
        for page in pages[:-1]:
            self.assertNotIn('open', page)
            self.assertNotIn('etag', page)
        self.assertEqual(
            set(pages[-1]['open']), {e['id'] for e in seen})

    def test_a_page_ends_when_it_is_long_enough(self):
        for _ in range(3):
            self.order()
        self.refresh()
        with patch.object(worklist_entry, 'READ_LIMIT', 2), \
                patch.object(worklist_entry, 'PAGE_BYTES', 1):
            for texts in [False, True]:
                first = self.page(0, texts, refresh=False)
                last = self.page(first['index'], texts, refresh=False)
                self.assertEqual(
                    [(len(p['entries']), p['more']) for p in [first, last]],
                    [(2, True), (1, False)])
                self.assertEqual(len(last['open']), 3)

    def test_an_index_that_no_version_can_have(self):
        id_ = self.step_of(self.order())
        for since, number in [(10**30, 0), (-10**30, 1)]:
            page = self.page(since)
            self.assertEqual(page['index'] == since, not number)
            self.assertEqual(len(page['entries']), number)
            self.assertEqual(
                [e.partition('.')[0] for e in page['open']], [str(id_)])

    def test_a_step_that_is_deleted_while_others_are_rendered(self):
        gone, kept = [self.step_of(self.order()) for _ in range(2)]
        stale = self.find_stale()
        self.do(lambda: Pool().get(STEP).delete([Pool().get(STEP)(gone)]))
        self.render(stale, worklist_data.Known())
        page = self.page(refresh=False)
        self.assertEqual(
            [e['id'].partition('.')[0] for e in page['entries']], [str(kept)])

    def test_what_changes_while_it_is_rendered_is_rendered_again(self):
        patient = self.do(create_patient, "Muster", "Erika")
        ids = [self.step_of(self.order(patient=patient)) for _ in range(2)]
        known = worklist_data.Known()
        stale = self.find_stale()
        self.render({ids[0]: stale[ids[0]]}, known)
        self.do(lambda: Pool().get('party.party').write(
                [Pool().get('gnuhealth.patient')(patient.id).party],
                {'name': "Erna"}))
        self.render({ids[1]: stale[ids[1]]}, known)
        self.assertEqual(
            {str(d.PatientName) for d in self.datasets().values()},
            {'Muster^Erna'})

    def test_a_refresh_goes_on_where_it_stopped(self):
        ids = {self.step_of(self.order()) for _ in range(5)}
        served = []
        with patch.object(worklist_entry, 'RENDER_LIMIT', 2), \
                patch.object(worklist_entry, 'REFRESH_SECONDS', -1):
            for _ in range(3):
                self.refresh()
                served.append(len(self.page(refresh=False)['open']))
        self.assertEqual(served, [2, 4, 5])
        self.assertEqual(set(self.datasets()), ids)

    def test_versions_are_unique_and_grow(self):
        orders = [self.order() for _ in range(3)]
        versions = [e['index'] for e in self.page()['entries']]
        for order in orders:
            self.write(REQUEST, order, comment="x")
        page = self.page()
        later = [e['index'] for e in page['entries']]
        self.assertEqual(len(set(versions + later)), 6)
        self.assertGreater(min(later), max(versions))

    def test_a_database_that_was_restored_gives_new_versions(self):
        "What a plugin knows of the lost time never stands for other content"
        id_ = self.step_of(self.order())
        page = self.page()
        with patch.object(worklist_entry.time, 'time',
                return_value=time.time() + 3600):
            self.do(lambda: Pool().get(STEP).write(
                    [Pool().get(STEP)(id_)], {'description': "Other"}))
            later = self.page()
        self.assertGreaterEqual(
            later['index'], page['index'] + 3600)

    def test_entries_of_closed_steps_are_forgotten(self):
        id_ = self.step_of(self.order())
        other = self.step_of(self.order())
        self.refresh()
        self.press('complete', id_)

        def kept():
            Entry = Pool().get(ENTRY)
            return {e.step.id for e in Entry.search([
                        ('step', 'in', [id_, other])])}
        self.refresh()
        self.assertEqual(self.do(kept), {id_, other})
        with patch.object(worklist_entry.time, 'time',
                return_value=time.time() + 2 * 24 * 3600):
            self.refresh()
        self.assertEqual(self.do(kept), {other})

    def test_a_name_is_in_the_language_of_the_database(self):
        id_ = self.step_of(self.order())
        self.do(self.translate, id_)
        with Transaction().start(
                self.db_name, 1, context={'language': 'de'}) as transaction:
            Pool().get(ENTRY).refresh()
            transaction.commit()
        dataset = self.datasets()[id_]
        self.assertIn('Study', dataset.RequestedProcedureDescription)

    @staticmethod
    def translate(id_):
        Lang = Pool().get('ir.lang')
        language, = Lang.search([('code', '=', 'de')])
        language.translatable = True
        language.save()
        Test = Pool().get(TEST)
        test = Pool().get(STEP)(id_).requested_test
        with Transaction().set_context(language='de'):
            Test.write([Test(test.id)], {'name': "Kopf"})

    def test_statements_do_not_grow_with_steps(self):
        test = self.do(create_test)
        self.add(3, test)
        self.refresh()
        few = self.statements()
        self.add(30, test)
        self.refresh()
        many = self.statements()
        self.assertEqual(len(self.datasets()), 33)
        self.assertEqual(many, few)

    def add(self, number, test):
        def create():
            for _ in range(number):
                create_order(requested=True, requested_test=test.id)
        self.do(create)

    def statements(self):
        "Return how many it takes to see that nothing has changed"
        with counted() as count:
            page = self.page()
            self.page(page['index'], etag=page['etag'])
        return count()

    def test_statements_of_rendering_are_bounded(self):
        test = self.do(create_test)
        numbers = {}
        for steps in [5, 25]:
            self.setUp()
            self.add(steps, test)
            with counted() as count:
                self.refresh()
            numbers[steps] = count()
        each = (numbers[25] - numbers[5]) / 20
        self.assertLessEqual(each, 12 if EXTRAS else 6)


@contextmanager
def counted():
    "Yield what returns the number of SQL statements so far"
    number = 0

    def counting(self, *args):
        nonlocal number
        number += 1
        return execute(self, *args)

    Cursor = getattr(
        import_module(backend.Database.__module__),
        'SQLiteCursor' if backend.name == 'sqlite' else 'LoggingCursor')
    execute = Cursor.execute
    with patch.object(Cursor, 'execute', counting, create=True):
        yield lambda: number


def old_template():
    "Return the template that health_imaging_worklist gives to new records"
    source = Path(
        health_imaging_worklist.__file__).with_name(
            'health_imaging_worklist.py').read_text()
    literal, = re.findall(
        r'template = """\\\n(.*?)"""', source, flags=re.DOTALL)
    return literal.replace('\\\\', '\\')


class TemplatePreviewTestCase(OrthancTestCase):
    "What is shown beside a template while it is edited"

    @with_transaction()
    def test_the_item_of_a_sample(self):
        Template = Pool().get(TEMPLATE)
        template = Template(
            template='(0010,0010) PN [$PatientName]',
            template_type='dump2dcm', charset='ISO_IR 192')
        self.assertIn(
            '(0010,0010) PN [SAMPLE^ANNA', template.on_change_with_preview())
        # With what DICOM requires
        self.assertIn('(0020,000d)', template.on_change_with_preview())

    @with_transaction()
    def test_what_is_wrong_with_which_line(self):
        Template = Pool().get(TEMPLATE)
        for text, line in [
                ('(0010,0010) PN [$PatientNane]', 1),
                ('# A comment\n(0010,0010) PN [$PatientNane]', 2)]:
            preview = Template(
                template=text, template_type='dump2dcm',
                charset='ISO_IR 192').on_change_with_preview()
            self.assertIn('PatientNane', preview)
            self.assertIn(f'{line}', preview)

    @with_transaction()
    def test_nobody_else_has_templates_rendered(self):
        Template = Pool().get(TEMPLATE)
        for group, allowed in [
                ('health_orthanc.group_imaging_orthanc_admin', True),
                ('health_orthanc.group_imaging_orthanc', False),
                ('health.group_health_doctor', False)]:
            user = create_user(group.partition('.')[2], group)
            with self.subTest(group=group), \
                    Transaction().set_user(user.id), \
                    Transaction().set_context(_check_access=True):
                preview = Template(
                    template='(0010,0010) PN [$PatientName]',
                    template_type='dump2dcm',
                    charset='ISO_IR 192').on_change_with_preview()
                self.assertEqual(bool(preview), allowed)


class ViewsTestCase(OrthancTestCase):
    "With and without health_imaging_worklist"

    @with_transaction()
    def test_each_field_is_shown_once(self):
        for model, names in [
                (REQUEST, [
                        'merge_id', 'worklist_status', 'worklist_text',
                        'accession_number', 'steps']),
                (TEST, [
                        'aetitle', 'imaging_worklist_template',
                        'orthanc_modality'])]:
            view = Pool().get(model).fields_view_get(view_type='form')
            form = etree.fromstring(view['arch'])
            for name in names:
                with self.subTest(model=model, field=name):
                    self.assertEqual(
                        len(form.findall(f'.//field[@name="{name}"]')), 1)
                    self.assertLessEqual(
                        len(form.findall(f'.//label[@name="{name}"]')), 1)

    @with_transaction()
    def test_templates_of_5_0(self):
        "Those that were made with health_imaging_worklist go on working"
        source = old_template()
        for kind in ['dump2dcm', 'json']:
            with self.subTest(kind=kind):
                template = create_template(
                    template=source, template_type=kind,
                    charset='IS0_IR 192')
                order = order_with(template)
                self.assertIn('ISO_IR 192', order.worklist_text)
                self.assertIn(order.accession_number, order.worklist_text)
                self.assertIn(
                    'ScheduledProcedureStepID' if kind == 'json'
                    else '(0040,0009) SH [PS', order.worklist_text)

    @with_transaction()
    def test_it_has_one_menu(self):
        Action = Pool().get('ir.action.act_window')
        self.assertTrue(Action.search([
                    ('res_model', '=', TEMPLATE),
                    ('id', '=', record_id('act_worklist_template_form'))]))
