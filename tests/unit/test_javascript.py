# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The widget of the web client has a style and tests of its own."""
import re

from devtools import javascript
from devtools.testing import cache_folder


def test_style():
    javascript.lint(cache_folder(), 'sao_custom', 'tests/javascript')


def test_behaviour():
    told = javascript.run_tests('tests/javascript/custom.test.js')
    assert re.search(r'pass [1-9]', told)
