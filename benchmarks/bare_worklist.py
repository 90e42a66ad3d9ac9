# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The least that a plugin of Orthanc does for a worklist.

Orthanc loads this script.  It answers every query with all files of the
folder `BareWorklist` of its configuration, which it reads once, whatever is
asked for.
"""
import json
from pathlib import Path

import orthanc

FOLDER = Path(json.loads(orthanc.GetConfiguration())['BareWorklist'])
items: list[bytes] = []


def answer(answers, query, calling, called):
    if not items:
        items.extend(path.read_bytes() for path in FOLDER.glob('*.wl'))
    for item in items:
        answers.WorklistAddAnswer(query, item)


orthanc.RegisterWorklistCallback(answer)
