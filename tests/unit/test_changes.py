# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of changes and listings are read without gaps."""
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.orthanc.changes import (
    ANCHORS, Cursor, Listing, LogState, change_pages, check_log,
    current_cursor)
from trytond.modules.health_orthanc.core.orthanc.errors import UnexpectedAnswer
from trytond.modules.health_orthanc.core.orthanc.resources import (
    Change, ChangePage)

START = dt.datetime(2026, 1, 1)


class Log:
    "A log of changes that behaves as Orthanc's, and stands for the client"

    def __init__(self, seconds=0):
        self.changes_ = []
        self.counter = 0
        self.asked = 0
        self._now = START + dt.timedelta(seconds=seconds)

    def add(self, number=1, id_='x'):
        for _ in range(number):
            self.counter += 1
            self._now += dt.timedelta(seconds=1)
            self.changes_.append(Change(
                    self.counter, 'NewStudy', 'study',
                    f'{id_}{self.counter}', self._now))
        return self

    def delete(self, *seqs):
        self.changes_ = [c for c in self.changes_ if c.seq not in seqs]
        return self

    def clear(self):
        self.changes_ = []
        return self

    def copy(self, seconds=0):
        log = Log()
        log.changes_ = list(self.changes_)
        log.counter = self.counter
        log._now = self._now + dt.timedelta(seconds=seconds)
        return log

    def changes(self, since, limit):
        self.asked += 1
        found = [c for c in self.changes_ if c.seq > since]
        page = tuple(found[:limit])
        return ChangePage(
            page, len(found) <= limit,
            page[-1].seq if page else self.counter)

    def last_change(self):
        page = tuple(self.changes_[-1:])
        return ChangePage(page, True, page[-1].seq if page else self.counter)


def read(log, cursor=None, limit=5):
    "Return the cursor behind all that a log holds"
    cursor = cursor or Cursor(0)
    page = log.changes(cursor.start, limit)
    for page in change_pages(log, page, limit):
        cursor = cursor.advanced(page)
    return cursor


def state(log, cursor):
    return check_log(log, cursor, log.changes(cursor.start, 100))


def test_cursor_is_kept_as_text():
    cursor = read(Log().add(12))
    assert cursor.index == 12
    assert Cursor.loads(cursor.index, cursor.dumps()) == cursor
    assert Cursor.loads(3, None) == Cursor(3)


def test_cursor_never_goes_back():
    cursor = Cursor(20).advanced(ChangePage((), True, 15))
    assert cursor.index == 20


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_anchors_are_few_and_the_newest_is_one(numbers):
    log, cursor = Log(), Cursor(0)
    for number in numbers:
        log.add(number)
        cursor = cursor.advanced(log.changes(cursor.index, 5000))
        seqs = [a.seq for a in cursor.anchors]
        assert len(seqs) <= ANCHORS
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == cursor.index == log.counter
        assert all(a in log.changes_ for a in cursor.anchors)


def test_anchors_lie_closer_towards_the_end():
    log, cursor = Log(), Cursor(0)
    for _ in range(200):
        cursor = cursor.advanced(log.add().changes(cursor.index, 100))
    distances = [200 - a.seq for a in cursor.anchors]
    assert distances[-1] == 0 and distances[-2] < 10
    assert distances[0] > 30


def test_continued_log_takes_one_request():
    log = Log().add(10)
    cursor = read(log)
    log.asked = 0
    assert state(log, cursor) == LogState.CONTINUED
    assert log.asked == 1
    log.add(30)
    assert state(log, cursor) == LogState.CONTINUED


def test_new_and_empty_log():
    assert state(Log(), Cursor(0)) == LogState.CONTINUED
    assert state(Log().add(3), Cursor(0)) == LogState.CONTINUED
    cleared = Log().add(3).clear()
    assert state(cleared, Cursor(0)) == LogState.DOUBTFUL
    assert state(cleared.add(2), Cursor(0)) == LogState.DOUBTFUL


def test_fresh_database():
    cursor = read(Log().add(50))
    assert state(Log(), cursor) == LogState.REPLACED
    assert state(Log(1000).add(20), cursor) == LogState.REPLACED
    assert state(Log(1000).add(50), cursor) == LogState.REPLACED
    assert state(Log(1000).add(500), cursor) == LogState.REPLACED


def test_restored_database():
    log = Log().add(40)
    backup = log.copy(seconds=1000)
    cursor = read(log, read(log.add(10)))
    assert state(backup, cursor) == LogState.REPLACED
    assert state(backup.copy().add(5), cursor) == LogState.REPLACED
    assert state(backup.copy().add(100), cursor) == LogState.REPLACED
    grown = backup.copy().add(100).delete(50)
    assert state(grown, cursor) == LogState.REPLACED


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 120),
    st.sets(st.integers(1, 240)))
def test_restored_database_is_never_taken_for_the_same(
        before, lost, new, deleted):
    log = Log().add(before)
    backup = log.copy(seconds=10000)
    cursor = read(log.add(lost), limit=7)
    backup.add(new).delete(*deleted)
    survived = [
        c for c in backup.changes_ if before < c.seq <= cursor.index]
    found = state(backup, cursor)
    if survived:
        assert found != LogState.CONTINUED
    elif backup.counter < cursor.index and not [
            c for c in backup.changes_ if c.seq >= cursor.start]:
        assert found == LogState.REPLACED


@given(st.integers(1, 300), st.integers(0, 100), st.sets(
        st.integers(1, 400)))
def test_same_database_is_never_taken_for_another(known, new, deleted):
    log = Log().add(known)
    cursor = read(log, limit=50)
    log.add(new).delete(*deleted)
    assert state(log, cursor) != LogState.REPLACED


def test_deletion_of_the_newest_leaves_no_doubt():
    log, cursor = Log(), Cursor(0)
    for _ in range(10):
        cursor = read(log.add(3), cursor)
    log.delete(28, 29, 30)
    assert state(log, cursor) == LogState.CONTINUED
    assert state(log.add(5), cursor) == LogState.CONTINUED


def test_cleared_log_is_doubtful():
    log = Log().add(10)
    cursor = read(log)
    log.add(3).clear()
    assert state(log, cursor) == LogState.DOUBTFUL
    assert state(log.add(3), cursor) == LogState.DOUBTFUL


def test_log_that_was_empty_when_it_was_read():
    log = Log().add(10).clear()
    cursor = current_cursor(log)
    assert cursor == Cursor(10)
    assert state(log, cursor) == LogState.CONTINUED
    assert state(log.add(1), cursor) == LogState.DOUBTFUL
    assert state(Log().add(4).clear(), cursor) == LogState.REPLACED


def test_entries_without_date_are_doubtful():
    log = Log().add(20)
    cursor = read(log)
    undated = Cursor(cursor.index, tuple(
            Change(a.seq, a.change_type, a.level, a.orthanc_id, None)
            for a in cursor.anchors))
    log.changes_ = [
        Change(c.seq, c.change_type, c.level, c.orthanc_id, None)
        for c in log.changes_]
    assert state(log, undated) == LogState.CONTINUED
    assert state(log.delete(20), undated) == LogState.DOUBTFUL


def test_current_cursor_has_several_anchors():
    cursor = current_cursor(Log().add(1000))
    assert cursor.index == 1000 and len(cursor.anchors) > 3
    assert current_cursor(Log()) == Cursor(0)


@pytest.mark.parametrize('limit', [1, 3, 10, 100])
def test_pages_hold_every_entry_once(limit):
    log = Log().add(10)
    pages = list(change_pages(log, log.changes(0, limit), limit))
    assert [c.seq for p in pages for c in p.changes] == list(range(1, 11))


class Archive:
    "Resources in the order in which they came"

    def __init__(self, number):
        self.resources = []
        self.fetched = 0
        self.before = lambda: None
        self.add(*range(number))

    def add(self, *ids):
        for id_ in ids:
            self.resources.append(
                {'ID': f'r{id_}', 'LastUpdate': str(self.fetched)})

    def delete(self, *positions):
        self.resources = [
            r for i, r in enumerate(self.resources) if i not in positions]

    def fetch(self, since, limit):
        self.before()
        self.fetched += 1
        return [dict(r) for r in self.resources[since:since + limit]]


def listed(archive, limit, since=0, tail=()):
    return [
        r['ID'] for page in Listing(archive.fetch, limit, since, tail)
        for r in page.resources]


def test_a_listing_that_never_stays_as_it_is_ends():
    archive = Archive(9)
    archive.before = lambda: archive.resources.reverse()
    with pytest.raises(UnexpectedAnswer):
        listed(archive, 4)
    assert archive.fetched < 1000


@pytest.mark.parametrize('number', [0, 1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize('limit', [1, 3, 4])
def test_listing_holds_all_once(number, limit):
    archive = Archive(number)
    assert listed(archive, limit) == [f'r{i}' for i in range(number)]
    assert archive.fetched <= number // limit + 1


@pytest.mark.parametrize('number', [1, 3, 4, 7, 8])
@pytest.mark.parametrize('cap', [None, 2])
@pytest.mark.parametrize('end', [None, 2, 6])
def test_only_the_last_page_is_the_last_one(number, cap, end):
    archive = Archive(number)

    def fetch(since, limit):
        # Orthanc may return fewer than it was asked for
        return archive.fetch(since, min(limit, cap or limit))
    pages = list(Listing(fetch, 4, cut=cap is not None, end=end))
    *others, last = pages
    assert not any(page.is_last for page in others)
    read = [r['ID'] for page in pages for r in page.resources]
    wanted = min(number, end or number)
    assert read[:wanted] == [f'r{i}' for i in range(wanted)]
    # Behind a full page, or one that was cut, there may be another one
    is_certain = end is not None and len(read) >= end or (
        cap is None and len(last.resources) < 4)
    assert last.is_last == is_certain


@given(st.integers(1, 40), st.integers(1, 6), st.lists(
        st.sets(st.integers(0, 40), max_size=15), max_size=10),
    st.lists(st.integers(100, 200), unique=True, max_size=5))
def test_deletions_between_pages_skip_nothing(
        number, limit, deletions, additions):
    archive = Archive(number)
    deletions = iter(deletions)

    def change():
        archive.delete(*next(deletions, ()))
        if additions:
            archive.add(additions.pop())

    archive.before = change
    found = listed(archive, limit)
    assert {r['ID'] for r in archive.resources} <= set(found)


@given(st.integers(1, 30), st.integers(1, 5), st.lists(
        st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
def test_what_is_sent_again_between_pages_hides_nothing(
        number, limit, changes):
    archive = Archive(number)
    changes = iter(changes)

    def change():
        position, again = next(changes, (None, False))
        gone = archive.resources[position:position + 1] if (
            position is not None) else []
        if gone:
            archive.delete(position)
        if gone and again:
            archive.resources.append(
                {'ID': gone[0]['ID'], 'LastUpdate': f'+{archive.fetched}'})

    archive.before = change
    found = listed(archive, limit)
    assert {r['ID'] for r in archive.resources} <= set(found)


@given(st.integers(2, 40), st.integers(1, 6), st.data())
def test_listing_is_carried_on_after_deletions(number, limit, data):
    archive = Archive(number)
    pages = iter(Listing(archive.fetch, limit))
    found = []
    for _ in range(data.draw(st.integers(1, 4))):
        page = next(pages, None)
        if page is None:
            break
        found += [r['ID'] for r in page.resources]
        last = page
    archive.delete(*data.draw(st.sets(st.integers(0, 40))))
    found += listed(archive, limit, last.since, last.tail)
    assert {r['ID'] for r in archive.resources} <= set(found)


def test_one_deletion_does_not_start_a_listing_over():
    archive = Archive(1000)
    pages = iter(Listing(archive.fetch, 100))
    for _ in range(6):
        next(pages)
    archive.delete(3)
    before = archive.fetched
    assert sum(1 for _ in pages) == 4
    assert archive.fetched - before < 8
