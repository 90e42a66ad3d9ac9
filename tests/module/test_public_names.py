# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that databases, scripts and other modules rely on are kept.

``python -m devtools.public_names`` adds a new name to the list.
"""

import unittest

from trytond.tests.test_tryton import with_transaction

from devtools import public_names

from .tools import EXTRAS, OrthancTestCase


class PublicNamesTestCase(OrthancTestCase):

    @with_transaction()
    def test_names_are_kept(self):
        expected = public_names.select(public_names.read(), EXTRAS)
        lines = public_names.differences(expected, public_names.collect())
        self.assertFalse(lines, '\n' + '\n'.join(lines))


class DifferencesTestCase(unittest.TestCase):
    recorded = {
        'models': {'a.model': {
                'fields': {'x': 'char VARCHAR', 'y': 'date DATE'},
                'buttons': ['check']}},
        'loggers': ['one', 'two'],
        }

    def test_none(self):
        self.assertEqual(
            public_names.differences(self.recorded, self.recorded), [])

    def test_gone_new_and_changed(self):
        found = {
            'models': {'a.model': {
                    'fields': {'x': 'char VARCHAR', 'y': 'char VARCHAR'},
                    'buttons': ['examine']}},
            'loggers': ['one', 'two', 'three'],
            }
        self.assertEqual(
            public_names.differences(self.recorded, found), [
                "new: loggers > three",
                "gone: models > a.model > buttons > check",
                "new: models > a.model > buttons > examine",
                "changed: models > a.model > fields > y: "
                "date DATE -> char VARCHAR",
                ])

    def test_a_model_without_names_is_a_name(self):
        self.assertEqual(
            public_names.differences({'models': {'a': {}}}, {'models': {}}),
            ["gone: models > a"])

    def test_names_that_another_module_adds(self):
        recorded = {
            'XML ids': {'ir.cron': ['one']},
            'additional XML ids': {
                'other': {'ir.cron': ['two'], 'ir.ui.menu': ['menu']}},
            }
        self.assertEqual(
            public_names.select(recorded, []),
            {'XML ids': {'ir.cron': ['one']}})
        self.assertEqual(public_names.select(recorded, ['other']), {
                'XML ids': {'ir.cron': ['one', 'two'], 'ir.ui.menu': ['menu']},
                })
