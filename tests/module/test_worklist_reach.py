# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What worklist templates may read is checked when they are saved."""

import unittest
from pathlib import Path
from unittest.mock import patch

from trytond.modules.health_orthanc.common.exceptions import (
    WorklistTemplateError)
from trytond.modules.health_orthanc.worklist import variables
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import OrthancTestCase, create_order, create_test

NAME = '(0010,0010) PN [$PatientName]\n'
REFUSED = [
    ('${my.patient.diseases}', 'my.patient.diseases'),
    ('{% for d in my.patient.diseases %}${d.rec_name} ${d.short_comment}'
        '{% end %}', 'my.patient.diseases'),
    ('{% if PatientName == "never" %}${my.patient.party.photo}{% end %}',
        'my.patient.party.photo'),
    ('{% for s in my.steps %}$s.study{% end %}', 's.study'),
    ('${my.doctor.party.internal_user.login}',
        'my.doctor.party.internal_user'),
    ('${my.worklist_text}', 'my.worklist_text'),
    ('${my.create_uid.login}', 'my.create_uid'),
    ('${my.context.code} ${my.context.info}', 'my.context.info'),
    ]
READ = [
    '${my.patient.party.name}', '{% for s in my.steps %}$s.modality{% end %}',
    '${my.requested_test.test_type.code}', '$my', '${my.context.name}',
    "${my.date.strftime('%Y%m%d')}"]


def template_model():
    return Pool().get('gnuhealth.imaging_worklist.worklist_template')


def values(expression, **others):
    return {
        'name': "Head", **others,
        'template': f'{NAME}(0008,1030) LO [{expression}]'}


def store(expression):
    "Store a template of before, past all checks, and return it"
    template, = template_model().create([values('x')])
    table = template.__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.template], [values(expression)['template']],
            where=table.id == template.id))
    Transaction().cache.clear()
    return template_model()(template.id)


def extended(**more):
    "Return a patch that adds to what templates may reach"
    Request = Pool().get('gnuhealth.imaging.test.request')
    original = Request.get_worklist_template_data

    def get_worklist_template_data(self):
        return {**original(self), 'reachable': more}

    return patch.object(
        Request, 'get_worklist_template_data', get_worklist_template_data)


class ReachTestCase(OrthancTestCase):

    @with_transaction()
    def test_saving_names_what_is_refused(self):
        Template = template_model()
        template, = Template.create([values('x')])
        for expression, detail in REFUSED:
            for action, arguments in [
                    (Template.create, ([values(expression)],)),
                    (Template.write, ([template], values(expression)))]:
                with self.subTest(expression=expression, action=action):
                    with self.assertRaises(WorklistTemplateError) as raised:
                        action(*arguments)
                    self.assertIn(f'"{detail}"', raised.exception.message)
                    self.assertIn("2", raised.exception.message)

    @with_transaction()
    def test_what_may_be_read_is_saved(self):
        for expression in READ:
            with self.subTest(expression=expression):
                template_model().create([values(expression)])

    @with_transaction()
    def test_what_was_stored_before_is_not_rendered(self):
        for expression, detail in REFUSED:
            if 'never' in expression:
                continue
            with self.subTest(expression=expression):
                template = store(expression)
                test = create_test()
                table = test.__table__()
                Transaction().connection.cursor().execute(*table.update(
                        [table.imaging_worklist_template], [template.id],
                        where=table.id == test.id))
                test = Pool().get('gnuhealth.imaging.test')(test.id)
                order = create_order(requested=True, requested_test=test.id)
                if 'context' in expression:
                    continue
                self.assertIn(f'{detail}', order.worklist_text)
                self.assertNotIn('(0008,1030)', order.worklist_text)
                self.assertIsNone(template.completed)

    @with_transaction()
    def test_a_study_type_gets_no_such_template(self):
        Test = Pool().get('gnuhealth.imaging.test')
        template = store('${my.patient.diseases}')
        test = create_test()
        with self.assertRaises(WorklistTemplateError) as raised:
            Test.write([test], {'imaging_worklist_template': template.id})
        self.assertIn('my.patient.diseases', raised.exception.message)
        with self.assertRaises(WorklistTemplateError):
            create_test(imaging_worklist_template=template.id)
        # Its other fields do not matter
        table = test.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.imaging_worklist_template], [template.id],
                where=table.id == test.id))
        Test.write([test], {'name': "Other"})

    @with_transaction()
    def test_an_inactive_template_is_checked_when_it_becomes_active(self):
        Template = template_model()
        template, = Template.create([
                values('${my.patient.diseases}', active=False)])
        with self.assertRaises(WorklistTemplateError):
            Template.write([template], {'active': True})

    @with_transaction()
    def test_a_module_adds_what_templates_reach(self):
        order = create_order(requested=True)
        expression = '${my.patient.party.name} ${my.patient.party.code}'
        party = {'party.party': {'code'}}
        with extended(**party):
            template, = template_model().create([values(expression)])
            Pool().get('gnuhealth.imaging.test').write(
                [order.requested_test],
                {'imaging_worklist_template': template.id})
            order = order.__class__(order.id)
            self.assertIn(order.patient.party.code, order.worklist_text)
            with self.assertRaises(WorklistTemplateError):
                template_model().create([values('${my.patient.diseases}')])
        with self.assertRaises(WorklistTemplateError) as raised:
            template_model().create([values(expression)])
        self.assertIn('my.patient.party.code', raised.exception.message)

    @with_transaction()
    def test_a_template_needs_no_order_to_be_checked(self):
        template_model().create([values('${my.patient.party.name}')])
        with self.assertRaises(WorklistTemplateError):
            template_model().create([values('${my.patient.diseases}')])

    @with_transaction()
    def test_memory_and_time_are_limited_at_saving(self):
        for expression in [
                "${len('%s'.replace('a', '%s').replace('b', '%s'))}" % (
                    'a' * 1200, 'b' * 1200, 'c' * 1200),
                '{% for a in PatientName * 9 %}{% end %}',
                '${round(1, -999999999)}']:
            with self.subTest(expression=expression[:40]):
                with self.assertRaises(WorklistTemplateError):
                    template_model().create([values(expression)])

    @with_transaction()
    def test_the_documentation_lists_what_is_reached(self):
        path = next(
            p for p in [Path.cwd(), *Path(__file__).resolve().parents]
            if (p / 'doc').is_dir()) / 'doc' / 'worklist_templates.md'
        rows = {}
        for line in path.read_text().splitlines():
            if line.startswith('| `') and line.count('|') == 3:
                model, names = line.strip('| ').split(' | ')
                rows[model.strip('`')] = set(
                    names.replace('`', '').split(', '))
        self.assertEqual(rows, variables.REACHABLE)


if __name__ == '__main__':
    unittest.main()
