# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empty lists say what would be in them, and what to do."""

import json

from lxml import etree

from trytond.modules.health_orthanc.common.empty_lists import empty_texts
from trytond.modules.health_orthanc.common.views import CLIENT
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .access import AccessTestCase
from .tools import MODULE, STUDY, OrthancTestCase, record_id

STEP = 'gnuhealth.imaging.procedure.step'
PREFIX = 'msg_empty_'
# Of whom the text of the list tells enough
GENERAL = {"All", "Linked", "Today", "Open"}


def texts_in(arch):
    text = etree.fromstring(arch).get(f'{{{CLIENT}}}empty')
    return json.loads(text) if text else None


class EmptyListTestCase(OrthancTestCase):

    @staticmethod
    def actions():
        "Yield our actions that open with a list, with their XML ids"
        ActWindow = Pool().get('ir.action.act_window')
        for data in Pool().get('ir.model.data').search([
                    ('module', '=', MODULE),
                    ('model', '=', ActWindow.__name__)]):
            action = ActWindow(data.db_id)
            views = [v.view for v in action.act_window_views]
            if views and views[0].rng_type == 'tree':
                yield data.fs_id, action

    @with_transaction()
    def test_each_list_says_what_would_be_in_it(self):
        names = set()
        for fs_id, action in self.actions():
            texts = empty_texts(action.res_model)
            with self.subTest(action=action.name):
                if fs_id.startswith('act_board_'):
                    self.assertIn(
                        action.name, {*texts['titles'], 'Servers',
                            "Images That Were Not Imported"})
                self.assertTrue(texts.get('list'))
                self.assertTrue(texts['search'])
                for tab in action.act_window_domains:
                    if tab.name not in GENERAL and (
                            not fs_id.startswith('act_board_')):
                        self.assertIn(tab.name, texts['titles'])
                names.add(action.name)
        self.assertLessEqual({"Studies", "Scheduled Steps"}, names)

    @with_transaction()
    def test_each_text_is_shown_somewhere(self):
        ModelData = Pool().get('ir.model.data')
        used = {PREFIX + 'search'}
        models = {model.model for model in Pool().get('ir.model').search([])}
        known = {data.fs_id for data in ModelData.search([])}
        for data in ModelData.search([
                    ('model', '=', 'ir.message'),
                    ('fs_id', 'like', PREFIX + '%')]):
            name = data.fs_id.removeprefix(PREFIX)
            with self.subTest(message=data.fs_id):
                self.assertTrue(
                    data.fs_id in used or name in known
                    or name.removeprefix('list_') in {
                        model.replace('.', '_') for model in models})

    @with_transaction()
    def test_views_carry_the_texts(self):
        View = Pool().get('ir.ui.view')
        arch = View(record_id('step_view_list')).view_get(STEP)['arch']
        self.assertEqual(texts_in(arch), empty_texts(STEP))
        self.assertIn("Rejected", texts_in(arch)['titles'])
        # What others have, and forms, stay as they are
        arch = View(record_id('step_view_form')).view_get(STEP)['arch']
        self.assertIsNone(texts_in(arch))
        arch = Pool().get('party.party').fields_view_get(
            view_type='tree')['arch']
        self.assertIsNone(texts_in(arch))

    @with_transaction()
    def test_a_shown_list_has_them(self):
        arch = Pool().get(STUDY).fields_view_get(view_type='tree')['arch']
        self.assertIn("imported", texts_in(arch)['list'])


class ReadersTestCase(AccessTestCase):

    def test_only_who_sees_the_list_gets_its_texts(self):
        for login in ['clerk', 'doctor', 'radiographer', 'nobody']:
            with self.subTest(user=login):
                arch = self.as_(login).model(
                    STUDY, 'fields_view_get', None, 'tree')['arch']
                self.assertEqual(
                    bool(texts_in(arch)), login in {'clerk', 'doctor'})
