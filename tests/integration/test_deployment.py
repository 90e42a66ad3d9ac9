# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up of `deploy/` works, also when its parts are killed."""
import json
import subprocess
import sys

import pytest

from devtools.deployment.walk import KILLED
from devtools.tryton import ROOT

TIMEOUT = 1200


@pytest.mark.release
def test_deployment_is_walked_through_while_its_parts_are_killed():
    process = subprocess.run(
        [sys.executable, '-m', 'devtools.deployment', '--kill'], cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT)
    result = json.loads(process.stdout.splitlines()[-1])
    assert result['ok'], (result, process.stderr)
    assert result['killed'] == KILLED
    assert process.returncode == 0
