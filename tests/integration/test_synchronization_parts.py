# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a listing that moves meanwhile leave no gap."""
import pytest

from devtools.samples import make_bulk

from . import inside
from .hospital import study

SMALL = {'LISTING_LIMIT': 2, 'PART_PAGES': 2}
ON_POSTGRESQL = pytest.mark.parametrize(
    'hospital', ['postgresql'], indirect=True)


@ON_POSTGRESQL
@pytest.mark.parametrize('seed', [
        1, 2, *(pytest.param(seed, marks=pytest.mark.release)
            for seed in range(3, 13))])
def test_parts_in_any_order(hospital, orthanc, seed):
    orthanc.upload_bulk(make_bulk(26, 1, 1))
    server = hospital.add_server(orthanc)
    ids = orthanc.get('/studies')
    # The oldest ones: all others move
    gone = [
        orthanc.url.replace('://', f'://{orthanc.user}:{orthanc.password}@')
        + f'/studies/{id_}' for id_ in ids[:9]]
    run = hospital.call(
        inside.synchronize_shuffled, server.id, SMALL, seed, gone)
    assert run['state'] == 'done', run
    assert not set(ids[9:]) - set(server.contents()['studies'])
    # What was deleted after it was listed is found by the next one
    server.done('full', **SMALL)
    assert server.contents()['studies'] == sorted(ids[9:])
    assert not hospital.call(inside.doubles, server.id)


@ON_POSTGRESQL
def test_a_part_that_was_begun_elsewhere_is_counted_once(hospital, orthanc):
    server = hospital.add_server(orthanc)
    server.done()
    orthanc.upload_bulk(make_bulk(9, 1, 1))
    run = server.done('full', **SMALL)
    assert (run['studies_created'], run['series_created']) == (9, 9)
    assert run['processed'] == 18
    orthanc.upload(study())
    assert server.done('full', **SMALL)['studies_created'] == 1
    assert not hospital.read(
        'gnuhealth.orthanc.synchronization.part', [], 'level')
