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
    killed = set()
    for _ in range(4):
        call = hospital.agent.start(
            inside.synchronize_until, server.id, kind, SMALL,
            generator.randrange(20, 150))
        call.wait()
        # None if all was stored already, and only its result was not told
        killed |= in_state(server, 'running')
        assert not hospital.call(inside.doubles, server.id)
    assert killed
    server.done(kind, **SMALL)
    server.assert_equal()
    assert in_state(server, 'interrupted') == killed
    assert not in_state(server, 'running')
    assert server.done()['requests'] == 1


def in_state(server, state):
    "Return the ids of a server's runs"
    return {run['id'] for run in server.runs('state') if run['state'] == state}
