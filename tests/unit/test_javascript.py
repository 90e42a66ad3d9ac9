# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The widget of the web client has a style and tests of its own."""
import re

from devtools import javascript
from devtools.testing import cache_folder
from devtools.tryton import ROOT

TESTS = 'tests/javascript'


def test_style():
    javascript.lint(cache_folder(), 'sao_custom', TESTS)


def test_behavior():
    paths = sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / TESTS).glob('*.test.*js'))
    output = javascript.run_tests(*paths)
    assert re.search(r'pass [1-9]', output)
