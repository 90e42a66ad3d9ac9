# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No list, tab, count or search reads a large table from begin to end."""
import json
import subprocess
import sys

import pytest

from devtools.process import die_with_parent
from devtools.tryton import ROOT, environment

TIMEOUT = 900
STUDIES = 100_000
ROLES = ['radiographer', 'doctor', 'clerk', 'administrator']
EXCEPT = {
    # A list that a user orders by another column than those of most searches
    'study_description ASC', 'study_description DESC',
    # Urgent ones come first, which their orders know
    'Results to Report / All',
    }

pytestmark = pytest.mark.release


@pytest.fixture(scope='module')
def screens() -> list[dict]:
    process = subprocess.run(
        [sys.executable, '-m', 'benchmarks.screens', '--plans',
            f'--studies={STUDIES}'],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True,
        timeout=TIMEOUT, preexec_fn=die_with_parent())
    return json.loads(process.stdout)


@pytest.mark.parametrize('role', ROLES)
def test_every_statement_uses_an_index(screens, role):
    found = {
        f"{screen['kind']} {screen['model']} {screen['name']}":
            screen['scans']
        for screen in screens
        if screen['role'] == role and screen['name'] not in EXCEPT}
    assert len(found) > 20
    assert {name: scans for name, scans in found.items() if scans} == {}


def test_a_read_table_is_noticed(screens):
    "What no index has is read as a whole, and said to be"
    assert any(
        screen['scans'] for screen in screens if screen['name'] in EXCEPT)
