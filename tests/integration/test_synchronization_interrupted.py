# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed, cut off or doubled leave no gap and no double."""
import random

import pytest

from devtools.samples import make_bulk

from . import inside
from .hospital import ALL, ON_BOTH, study

SMALL = {'CHANGES_LIMIT': 7, 'LISTING_LIMIT': 3, 'BULK_LIMIT': 5}


@ON_BOTH
@pytest.mark.parametrize('kind', ['full', 'incremental'])
def test_killed_run_is_carried_on(hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    server.done()
    orthanc.upload_bulk(make_bulk(8, 2, 2))
    # As many statements as a whole run takes, roughly
    generator = random.Random(kind)
    interrupted = 0
    for _ in range(4):
        call = hospital.agent.start(
            inside.synchronize_until, server.id, kind, SMALL,
            generator.randrange(20, 150))
        call.wait()
        interrupted += call.killed
        assert not hospital.call(inside.doubles, server.id)
    assert interrupted
    server.done(kind, **SMALL)
    server.assert_equal()
    states = [run['state'] for run in server.runs('state')]
    # A run may be killed when all is stored, and only its result is told
    assert 1 <= states.count('interrupted') <= interrupted
    assert 'running' not in states
    assert server.done()['requests'] == 1
