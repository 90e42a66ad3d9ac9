# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest that writes down how many tests came to what.

And how long each of them took, with what was started and ended for it.
"""
import json
import os
from collections import Counter
from pathlib import Path

from pytest import TestReport

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
    seconds = Counter()
    for reports in stats.values():
        for report in reports:
            if isinstance(report, TestReport):
                seconds[report.nodeid] += report.duration
    Path(os.environ[COUNTS_VARIABLE]).write_text(
        json.dumps({'counts': counts, 'seconds': seconds}))
