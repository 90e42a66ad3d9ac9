# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all routes of the module have in common."""

import re

from trytond.wsgi import app

from .access import AccessTestCase


def own_routes():
    "Return the path and the method of each route"
    return sorted(
        (rule.rule, method) for rule in app.url_map.iter_rules()
        if rule.endpoint.__module__.startswith(
            'trytond.modules.health_orthanc.')
        for method in rule.methods - {'HEAD', 'OPTIONS'})


def address(rule, database):
    "Return a path of a route"
    path = rule.replace('<database_name>', database)
    return re.sub('<[^<>]*>', '1', re.sub('<path:[^>]*>', 'studies', path))


class RoutesTestCase(AccessTestCase):

    def answers(self, database, **headers):
        "Yield the status of each route for somebody with all rights"
        session = self.as_('administrator')
        for rule, method in own_routes():
            for authorized in [True, False]:
                with self.subTest(
                        rule=rule, method=method, authorized=authorized):
                    response = self.client().open(
                        address(rule, database),
                        method=method, data=b'-', headers={
                            **(session._headers if authorized else {}),
                            **headers})
                    yield response.status_code

    def test_there_are_routes(self):
        self.assertGreaterEqual(len(own_routes()), 6)
        for rule, _ in own_routes():
            self.assertTrue(rule.startswith('/<database_name>/orthanc/'))

    def test_a_database_that_does_not_exist(self):
        for name in ['nosuch', 'x%00y', '%27', 'nosuch.sqlite']:
            for status in self.answers(name):
                self.assertEqual(status, 404)

    def test_a_foreign_origin(self):
        for origin in ['http://evil.example', 'null']:
            for status in self.answers(self.db_name, Origin=origin):
                self.assertEqual(status, 403)

    def test_no_route_fails(self):
        for status in self.answers(self.db_name):
            self.assertLess(status, 500)
