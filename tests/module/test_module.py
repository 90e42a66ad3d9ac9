# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from lxml import etree

from trytond.pool import Pool
from trytond.tests.test_tryton import ModuleTestCase, with_transaction

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


del ModuleTestCase
