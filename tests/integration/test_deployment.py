# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up of `deploy/` works, also when its parts are killed."""
import json
import subprocess
import sys

import pytest

from devtools.deployment.walk import KILLED
from devtools.tryton import ROOT

TIMEOUT = 2400
# What an administrator reads of each trouble, in this order
TROUBLES = {
    "Orthanc is down for a day": "The server refused the connection",
    "The password of Orthanc was changed": "rejected the user name",
    "The disk is full": "Less than 1 GB is free for uploads",
    "No worker runs": "trytond-worker",
    "The scheduler does not run": "trytond-cron",
    "The plugin has a wrong key": "press Connect Plugin",
    }

pytestmark = pytest.mark.release


def check(option):
    process = subprocess.run(
        [sys.executable, '-m', 'devtools.deployment', option], cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT)
    result = json.loads(process.stdout.splitlines()[-1])
    assert result['ok'], (result, process.stderr)
    assert process.returncode == 0
    return result


def test_deployment_is_walked_through_while_its_parts_are_killed():
    assert check('--kill')['killed'] == KILLED


def test_what_administrators_see():
    seen = check('--troubles')['troubles']
    assert [s['trouble'] for s in seen] == list(TROUBLES)
    for found, words in zip(seen, TROUBLES.values()):
        assert any(words in line for line in found['page']), found
        assert found['log'], found
        # A disk that is full has no warning of its own
        assert found['mail'] or 'disk' in found['trouble'], found
        assert found['after'] or 'disk' in found['trouble'], found
