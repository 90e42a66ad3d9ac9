# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from lxml import etree

from trytond.model.fields.field import get_eval_fields
from trytond.pool import Pool
from trytond.tests.test_tryton import ModuleTestCase, with_transaction
from trytond.wizard import StateView

from .tools import EXTRAS, MODULE


class HealthOrthancTestCase(ModuleTestCase):
    "The checks that every Tryton module passes"
    module = MODULE
    extras = EXTRAS

    @with_transaction()
    def test_lists_show_datetimes_in_parts(self):
        "The web client has no column for a date with a time"
        View = Pool().get('ir.ui.view')
        whole = [
            (view.name, element.get('name'))
            for view in View.search([
                    ('module', '=', self.module), ('type', '=', 'tree')])
            for element in etree.fromstring(
                view.arch.encode()).iter('field')
            if Pool().get(view.model)._fields[
                element.get('name')]._type in {'datetime', 'timestamp'}
            and element.get('widget') not in {'date', 'time'}]
        self.assertEqual(whole, [])

    @with_transaction()
    def test_buttons_of_wizards_depend_on_fields_of_their_form(self):
        "Clients know of a form only what is in its view"
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        missing, found = [], 0
        for name, Wizard in pool.iterobject(type='wizard'):
            for state in Wizard.states.values():
                if not isinstance(state, StateView) or not (
                        state.view or '').startswith(f'{self.module}.'):
                    continue
                view = pool.get(state.model_name).fields_view_get(
                    ModelData.get_id(*state.view.split('.')))
                for button in state.buttons:
                    fields = get_eval_fields(button.states)
                    found += len(fields)
                    missing += [
                        (name, button.string, field)
                        for field in fields - view['fields'].keys()]
        self.assertEqual(missing, [])
        self.assertGreater(found, 5)


del ModuleTestCase
