# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that is too large for one night is compared in several."""
import pytest

from devtools.samples import make_bulk

from . import inside
from .hospital import ALL, ON_BOTH, contents, study, study_id

SMALL = {'LISTING_LIMIT': 2, 'PART_PAGES': 2}
STUDIES = 9
# In parts of Orthanc's list, or of dates
BY_DATES = pytest.mark.parametrize('dates', [
        pytest.param(False, marks=pytest.mark.release), True])
SHOWN = ['reconciliation_paused_at', 'reconciliation_progress']


@pytest.fixture
def server(hospital, orthanc, dates):
    server = hospital.add_server(orthanc, reconciliation_minutes=1, **ALL)
    if dates:
        orthanc.upload(dated(month) for month in range(1, STUDIES + 1))
    else:
        orthanc.upload_bulk(make_bulk(STUDIES, 1, 1))
    # The first one is not limited
    assert night(server, 1)['state'] == 'done'
    assert shown(server) == (None, None)
    return server


def dated(month):
    found, = study()
    found.StudyDate = f'2020{month:02}17'
    return found


def night(server, pages):
    server.write(reconciliation_minutes=pages)
    return server.hospital.call(inside.synchronize_slowly, server.id, SMALL)


def shown(server):
    values = server.values(*SHOWN)
    return tuple(values[name] for name in SHOWN)


@BY_DATES
@ON_BOTH
def test_several_nights(hospital, orthanc, server):
    gone = orthanc.get('/studies')[STUDIES // 2]
    orthanc.delete('studies', gone)
    nights, before = [], 0
    while not nights or nights[-1]['state'] != 'done':
        nights.append(night(server, 2))
        assert len(nights) < 20 and not nights[-1]['error']
        if nights[-1]['state'] == 'partial':
            paused_at, progress = shown(server)
            assert paused_at and 0 <= before <= progress <= 1
            before = progress
            read = check_day(orthanc, server)
    assert len(nights) > 4 and before > 0.5
    # Nothing begins anew
    compared = sum(run['processed'] or 0 for run in nights)
    assert compared < 1.5 * 2 * (STUDIES + len(nights)), nights
    assert shown(server) == (None, None)
    server.assert_equal()
    assert sum(run['studies_missing'] or 0 for run in nights) == 1
    # The changes of the days are not read again
    assert last_index(server) >= read


def check_day(orthanc, server):
    """What is new is there at once, and the comparison is where it was."""
    new = study_id(orthanc.upload(study()))
    position = shown(server)
    run = server.done(**SMALL)
    assert run['studies_created'] == 1
    assert new in server.contents()['studies']
    assert not [s for s in server.studies('matched_at')
        if not s['matched_at']]
    assert shown(server) == position
    return last_index(server)


def last_index(server):
    return server.values('last_changed_index')['last_changed_index']


@BY_DATES
def test_another_database_does_not_wait(hospital, orthanc, server):
    assert night(server, 1)['state'] == 'partial'
    orthanc.reset()
    orthanc.upload_bulk(make_bulk(4, 1, 1, prefix='N'))
    run = server.done(**SMALL)
    assert (run['studies_created'], run['studies_missing']) == (4, STUDIES)
    assert shown(server) == (None, None)
    server.assert_equal()
    assert len(contents(orthanc)['studies']) == 4


@BY_DATES
def test_no_limit_any_more(hospital, orthanc, server):
    assert night(server, 3)['state'] == 'partial'
    _, progress = shown(server)
    server.write(reconciliation_minutes=None)
    run = server.done('full', **SMALL)
    # What was compared is left out
    assert run['processed'] < 2 * STUDIES and progress > 0
    assert shown(server) == (None, None)
    server.assert_equal()
