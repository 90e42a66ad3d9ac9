# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.tests.test_tryton import ModuleTestCase


class HealthOrthancTestCase(ModuleTestCase):
    "The checks that every Tryton module passes"
    module = 'health_orthanc'


del ModuleTestCase
