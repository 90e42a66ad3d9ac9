# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several workers store and decide what a single one does, killed or not."""
import random
from collections.abc import Iterator

import pytest

from devtools.process import wait_until
from devtools.tryton import MODULE, Tryton

from . import inside
from .sharing import RUN_TIMEOUT, STATES, Archive, Site, fill

STUDIES, PATIENTS, ORDERS = 230, 60, 12
# Kinds of runs, and what the archive holds then
RUNS = [
    ('full', {}),
    ('incremental', {'studies': STUDIES + 60}),
    ('full', {'deleted_every': 20})]
# How many workers are killed in each run
KILLS = 5
# What is as small in a run without workers
SMALL = {
    'LISTING_LIMIT': 10, 'PART_PAGES': 2, 'MATCH_LIMIT': 20, 'PAUSE': .05,
    'CHANGES_LIMIT': 50, 'DUE_LIMIT': 10}
FULL = """
    SELECT id FROM gnuhealth_orthanc_synchronization WHERE kind = 'full'"""
# Whether the comparison has paused, and whether it is under way
POSITION = """
    SELECT reconciliation_paused_at IS NOT NULL,
        reconciliation_position IS NOT NULL
    FROM gnuhealth_orthanc_config WHERE id = %s"""


@pytest.fixture(scope='module')
def origin(prepared_tryton) -> Iterator[Tryton]:
    filled = fill(
        prepared_tryton('postgresql', MODULE), 'filled', PATIENTS, ORDERS)
    yield filled
    filled.drop()


@pytest.fixture
def archive(tmp_path) -> Iterator[Archive]:
    archive = Archive(tmp_path, STUDIES, PATIENTS)
    yield archive
    archive.stop()


def outcome(
        origin: Tryton, name: str, archive: Archive, workers: int,
        kills: int = 0) -> list[dict]:
    """Return the rows after each of several runs."""
    archive.change(studies=STUDIES, deleted_every=0)
    found = []
    with Site(origin, name, workers) as site:
        server = site.add_server(archive)
        site.start()
        for number, (kind, changes) in enumerate(RUNS):
            archive.change(**changes)
            site.synchronize([server], kind, kills, seed=number)
            found.append(site.rows())
        assert site.kills or not kills
        check_states(site.wait_ended([server]))
        if not kills:
            check_counts(site)
    return found


def check_states(states: list[str]) -> None:
    assert set(states) <= {'done', 'interrupted', 'skipped'}, states
    assert states.count('done') >= 3, states


def check_counts(site: Site) -> None:
    """The runs have counted each thing once."""
    # There may be more runs: one is skipped if the run before it is done but
    # has not let go yet
    runs = site.query("""
        SELECT studies_created, series_created, studies_missing
        FROM gnuhealth_orthanc_synchronization ORDER BY id""")
    studies, series, missing = (
        [count for count in counts if count] for counts in zip(*runs))
    assert studies == [STUDIES, 60], runs
    assert series == [2 * STUDIES, 120], runs
    assert missing == [(STUDIES + 60) // 20], runs


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    for number, (ours, theirs) in enumerate(zip(found, expected)):
        for table in theirs:
            assert ours[table] - theirs[table] == {}, (number, table)
            assert theirs[table] - ours[table] == {}, (number, table)


@pytest.fixture(scope='module')
def expected(origin, tmp_path_factory) -> list[dict]:
    """What a single worker makes of it."""
    archive = Archive(tmp_path_factory.mktemp('archive'), STUDIES, PATIENTS)
    try:
        found = outcome(origin, 'alone', archive, 1)
    finally:
        archive.stop()
    statuses = {
        dict(row)['link_status'] for row in
        found[0]['gnuhealth_imaging_orthanc_study']}
    assert {'auto_certain', 'unlinked', 'auto_unsure'} <= statuses
    return found


@pytest.mark.release
def test_two_workers(origin, archive, expected):
    assert_equal(outcome(origin, 'two', archive, 2), expected)


def test_workers_are_killed(origin, archive, expected):
    assert_equal(outcome(origin, 'killed', archive, 2, KILLS), expected)


@pytest.mark.parametrize('kills', [
        0, *(pytest.param(k, marks=pytest.mark.release) for k in range(1, 7))])
def test_without_workers(origin, archive, expected, kills):
    """A second thread of the run is one."""
    generator = random.Random(kills)
    found, killed = [], 0
    with Site(origin, f'in_place{kills}', 0) as site:
        server = site.add_server(archive)
        for kind, changes in RUNS:
            archive.change(**changes)
            for _ in range(kills):
                call = site.agent.start(
                    inside.synchronize_accompanied, server, kind, SMALL,
                    generator.randrange(20, 600))
                call.wait()
                killed += site.query(
                    STATES, [server])[-1] == ('running',)
            run = site.agent.call(
                inside.synchronize_accompanied, server, kind, SMALL)
            assert run['state'] == 'done', run['error']
            # Of the changes, little is to be shared
            assert run['accompanied'] or kills or kind == 'incremental'
            found.append(site.rows())
        check_states(site.wait_ended([server]))
        if not kills:
            check_counts(site)
    assert bool(killed) == bool(kills)
    assert_equal(found, expected)


@pytest.mark.parametrize('in_run', [False, True])
def test_a_mistake_in_one_of_two_threads(origin, archive, expected, in_run):
    with Site(origin, f'mistake{in_run}', 0) as site:
        server = site.add_server(archive)
        run = site.agent.call(
            inside.synchronize_with_mistake, server, SMALL, in_run)
        assert run['failed']
        # What the second thread does not do, the run does
        assert run['state'] == ('failed' if in_run else 'done'), run['error']
        if in_run:
            run = site.agent.call(
                inside.synchronize_accompanied, server, 'full', SMALL)
            assert run['state'] == 'done', run['error']
        assert_equal([site.rows()], expected[:1])


def test_one_request_at_a_time(origin, archive, expected):
    with Site(origin, 'one_thread', 0) as site:
        server = site.add_server(archive, sync_workers=1)
        run = site.agent.call(
            inside.synchronize_accompanied, server, 'full', SMALL)
        assert run['state'] == 'done' and not run['accompanied']
        assert_equal([site.rows()], expected[:1])


@pytest.mark.release
def test_four_workers(origin, archive, expected):
    assert_equal(outcome(origin, 'four', archive, 4), expected)


@pytest.mark.release
@pytest.mark.parametrize('seed', range(9))
def test_many_workers_are_killed(origin, archive, expected, seed):
    assert_equal(
        outcome(origin, f'killed{seed}', archive, 4, 4 + seed % 3), expected)


@pytest.mark.release
@pytest.mark.parametrize('kills', [0, 2])
def test_nights_are_too_short(origin, archive, expected, kills):
    with Site(origin, f'nights{kills}', 2, minute=1) as site:
        server = site.add_server(archive, reconciliation_minutes=2)
        site.start()
        # The first one has no limit
        site.synchronize([server])
        archive.change(studies=STUDIES + 60)
        site.synchronize([server], 'incremental')
        assert_equal([site.rows()], expected[1:2])
        archive.change(deleted_every=20, delay=.2)
        nights = [night(site, server, kills)]
        while nights[-1] == 'partial':
            # Meanwhile the day goes on
            site.synchronize([server], 'incremental')
            nights.append(night(site, server, kills))
        assert nights[-1] == 'done' and len(nights) > 2, nights
        assert_equal([site.rows()], expected[2:])
        assert not site.query(
            'SELECT id FROM gnuhealth_orthanc_synchronization_part')


def night(site: Site, server: int, kills: int) -> str:
    """Run a full synchronization; return how far the comparison is."""
    before = len(site.query(FULL))
    site.begin([server])
    assert wait_until(lambda: len(site.query(FULL)) > before, RUN_TIMEOUT, .1)
    for number in range(kills):
        site.kill(number)

    def has_ended():
        site.wait_ended([server])
        return site.query(POSITION, server) != [(False, True)]
    assert wait_until(has_ended, RUN_TIMEOUT, .3), site.report()
    # Whatever goes on after a kill, an incremental one as well
    assert 'failed' not in site.wait_ended([server])
    (is_paused, _), = site.query(POSITION, server)
    return 'partial' if is_paused else 'done'


@pytest.mark.release
def test_fifty_servers_have_their_turns(origin, tmp_path):
    studies = 30
    archive = Archive(tmp_path, studies, 10, count=50)
    try:
        # It gives way after each page
        with Site(origin, 'fifty', 3, length=0) as site:
            servers = [site.add_address(url) for url in archive.urls]
            # All wait before the first one has a turn
            site.begin(servers)
            site.start()
            assert wait_until(
                lambda: all(map(site.count_done, servers)), RUN_TIMEOUT, 1
                ), site.report()
            stored = site.query("""
                SELECT count(*) FROM gnuhealth_imaging_orthanc_study
                GROUP BY server""")
            assert stored == [(studies,)] * len(servers)
            counts = archive.counts()
    finally:
        archive.stop()
    # Nobody was half done before everybody had a turn
    assert 2 * max(c['first_round'] for c in counts) < min(
        c['requests'] for c in counts), counts
    # Two workers, of which each reads one page ahead
    assert max(c['most'] for c in counts) <= 4, counts


def test_a_slow_server_does_not_hold_the_workers(origin, archive, tmp_path):
    slow = Archive(tmp_path, STUDIES, PATIENTS)
    # It is not done with its first few answers before the other one is
    slow.change(delay=50)
    try:
        with Site(origin, 'slow', 2) as site:
            first = site.add_server(slow)
            other = site.add_server(archive)
            site.start()
            site.begin([first])
            site.synchronize([other])
            assert not site.count_done(first)
    finally:
        slow.stop()
