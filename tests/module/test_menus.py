# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the menus of the toolbar offer."""

from collections import Counter

from lxml import etree

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import INSTANCE, PATIENT, SERIES, STUDY, OrthancTestCase

REQUEST = 'gnuhealth.imaging.test.request'
STEP = 'gnuhealth.imaging.procedure.step'
# The most that a person reads through
LONGEST = 12


class ActionMenuTestCase(OrthancTestCase):
    "The menu of a form, for somebody who may do all"

    @staticmethod
    def entries(model):
        "Return the names of wizards, and what the buttons of the form call"
        pool = Pool()
        wizards = {
            action['wiz_name']: action['name']
            for action in pool.get('ir.action.keyword').get_keyword(
                'form_action', (model, -1))
            if 'wiz_name' in action}
        form = etree.fromstring(
            pool.get(model).fields_view_get(view_type='form')['arch'])
        buttons = {
            button.get('name'): button.get('string')
            for button in form.iter('button')
            if button.get('keyword', 'action') == 'action'}
        return wizards, buttons

    @with_transaction()
    def test_nothing_is_there_twice(self):
        for model in [STUDY, SERIES, INSTANCE, PATIENT, STEP]:
            wizards, buttons = self.entries(model)
            with self.subTest(model=model):
                names = Counter([*wizards.values(), *buttons.values()])
                self.assertEqual(
                    [name for name, count in names.items() if count > 1], [])
                # A button that only opens one of the wizards
                self.assertFalse(buttons.keys() & {
                        name.rpartition('.')[2] for name in wizards})

    @with_transaction()
    def test_it_is_not_too_long(self):
        wizards, buttons = self.entries(STUDY)
        self.assertLessEqual(len(wizards) + len(buttons), LONGEST)
