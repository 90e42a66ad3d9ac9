# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest that writes down how many tests came to what."""
import json
import os
from pathlib import Path

__all__ = ['COUNTS_VARIABLE', 'KINDS']

# Names the file to write
COUNTS_VARIABLE = 'DEV_TEST_COUNTS'
KINDS = ['failed', 'passed', 'skipped', 'xfailed', 'xpassed', 'errors']
# pytest's own name of a kind, where it differs
_CATEGORIES = {'errors': 'error'}


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    counts = {
        kind: len(stats.get(_CATEGORIES.get(kind, kind), []))
        for kind in KINDS}
    Path(os.environ[COUNTS_VARIABLE]).write_text(json.dumps(counts))
