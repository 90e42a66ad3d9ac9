# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notifications of the plugin, against a scripted GNU Health."""
import dataclasses
import json
import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.process import wait_until
from orthanc_plugin.src import change_follower
from orthanc_plugin.src.archive import Archive
from orthanc_plugin.src.back_off import BackOff
from orthanc_plugin.src.change_follower import ChangeFollower
from orthanc_plugin.src.gnuhealth import HttpError
from orthanc_plugin.src.notification_queue import NO_CURSOR, NotificationQueue
from orthanc_plugin.src.notification_sender import NotificationSender
from orthanc_plugin.src.notifier import Notifier
from orthanc_plugin.src.plugin import Plugin
from orthanc_plugin.src.settings import Settings
from orthanc_plugin.src.study_summary import summarize_study
from orthanc_plugin.src.times import format_orthanc_time
from tests.integration.fake_plugin_routes import FakePluginRoutes
from tests.unit import fake_orthanc as wire

from .plugin_host import SECRET, Host

DAY = 24 * 60 * 60
QUIET = 30


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeArchive(Host):
    """An Orthanc that the plugin asks.

    Attributes
    ----------
    studies
        Orthanc's own JSON of them, by id, in the order of their creation.
    asked
        The paths, in order.
    """

    def __init__(self, clock: Clock):
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        self.log: list[dict] = []
        self.counter = 0
        self.studies: dict[str, dict] = {}
        self.resources: dict[str, dict] = {}
        self.tags: dict[str, dict] = {}
        self.asked: list[str] = []
        self.broken = False

    def get(self, path: str) -> bytes:
        self.asked.append(path)
        if self.broken:
            raise RuntimeError('Doe^Jane')
        path, _, query = path.partition('?')
        asked = dict(part.partition('=')[::2] for part in query.split('&'))
        if path == '/changes':
            answer = self._changes(int(asked['since']), int(asked['limit']))
        elif path == '/studies':
            first = int(asked['since'])
            answer = list(self.studies.values())[
                first:first + int(asked['limit'])]
        else:
            answer = self.tags[path.split('/')[2]]
        return json.dumps(answer).encode()

    def post(self, path: str, body: str) -> bytes:
        assert path == '/tools/bulk-content'
        if self.broken:
            raise RuntimeError('Doe^Jane')
        asked = json.loads(body)
        if asked.get('Level') == 'Study':
            ids = dict.fromkeys(
                one.partition('.')[0] for one in asked['Resources'])
            found = [self.studies[id_] for id_ in ids if id_ in self.studies]
        else:
            found = [self.resources[id_] for id_ in asked['Resources']
                if id_ in self.resources]
        return json.dumps(found).encode()

    def _changes(self, since: int, limit: int) -> dict:
        entries = [entry for entry in self.log if entry['Seq'] > since]
        page = entries[:limit]
        return {
            'Changes': page, 'Done': len(page) == len(entries),
            'Last': page[-1]['Seq'] if page else self.counter}

    @property
    def time(self) -> str:
        return time.strftime('%Y%m%dT%H%M%S', time.gmtime(self.clock.now))

    def change(self, kind: str, id_: str) -> None:
        self.counter += 1
        self.log.append({
                'Seq': self.counter, 'ChangeType': kind, 'ID': id_,
                'Date': self.time})

    def add(self, study: str, series: int = 1) -> None:
        """Let an image arrive, which makes all the series anew."""
        ids = [f'{study}.{number}' for number in range(series)]
        if study not in self.studies:
            self.change('NewStudy', study)
        self.studies[study] = {
            'ID': study, 'IsStable': False, 'LastUpdate': self.time,
            'MainDicomTags': {'StudyInstanceUID': study},
            'PatientMainDicomTags': {'PatientName': "Doe^Jane"},
            'Series': ids}
        for one in ids:
            self.resources[one] = {
                'ID': one, 'Instances': [f'{one}.0'],
                'MainDicomTags': {'Modality': 'CT'}}
            self.tags[f'{one}.0'] = {'0010,0021': 'GNU'}
            self.change('NewInstance', f'{one}.0')

    def make_stable(self, study: str) -> None:
        self.studies[study]['IsStable'] = True
        self.change('StableStudy', study)

    def arrive(self, study: str, series: int = 1) -> None:
        self.add(study, series)
        self.make_stable(study)

    def delete(self, study: str) -> None:
        del self.studies[study]
        self.log = [
            entry for entry in self.log
            if entry['ID'].partition('.')[0] != study]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def archive(plugin_log, clock) -> FakeArchive:
    return FakeArchive(clock)


@pytest.fixture
def his() -> Iterator[FakePluginRoutes]:
    with FakePluginRoutes(key=SECRET) as his:
        yield his


class Site:
    """An Orthanc with its queue, and GNU Health."""

    def __init__(
            self, archive: FakeArchive, his: FakePluginRoutes, path: Path):
        self.archive = archive
        self.his = his
        self.settings = Settings(
            url=his.url, database=his.database, key=SECRET, server='main',
            timeout=2, stable_age=60, notification_file=str(path))
        self.restart()

    def restart(self) -> None:
        """Start the plugin anew; the one before is as if killed."""
        clock = self.archive.clock
        self.queue = NotificationQueue(self.settings.notification_file, clock)
        archive = Archive(self.archive)
        self.follower = ChangeFollower(
            self.settings, self.queue, archive, clock)
        self.sender = NotificationSender(
            self.settings, self.queue, archive, clock)

    def follow(self) -> None:
        while self.follower.follow():
            pass

    def work(self) -> list[tuple[str, str]]:
        """Follow and send; return kind and study of what was received."""
        before = len(self.his.events)
        self.follow()
        while self.sender.send():
            pass
        return [(event['kind'], event['study'])
            for event in self.his.events[before:]]

    def pass_time(self, seconds: float) -> None:
        self.archive.clock.now += seconds


@pytest.fixture
def site(archive, his, tmp_path) -> Iterator[Site]:
    site = Site(archive, his, tmp_path / 'queue.db')
    site.follow()
    yield site
    site.queue.close()


@pytest.fixture
def queue(clock, tmp_path):
    queue = NotificationQueue(str(tmp_path / 'queue.db'), clock)
    yield queue
    queue.close()


def studies(waiting) -> list[str]:
    return [one.study for one in waiting]


# --- The queue ----------------------------------------------------------

def test_a_queue_outlives_its_process(queue, clock, tmp_path):
    assert queue.cursor is None and queue.due(20) == []
    queue.add_changes(7, 'T', ['a', 'b'], ['c'], QUIET)
    other = NotificationQueue(str(tmp_path / 'queue.db'), clock)
    assert other.cursor == 7
    assert studies(other.due(20)) == ['a', 'b']
    assert other.due(20) == queue.due(20)
    other.close()


def test_a_study_has_one_event(queue, clock):
    queue.add(['a', 'b'], 'stable')
    first, _ = queue.due(20)
    clock.now += 1
    queue.add(['a'], 'deleted')
    b, second = queue.due(20)
    assert (b.study, second.study) == ('b', 'a')
    assert second.event != first.event
    assert second.changed == first.changed + 1
    # What was sent in the meantime is not the newest.
    queue.remove([first])
    queue.postpone([first])
    assert studies(queue.due(20)) == ['b', 'a']
    queue.remove([b, second])
    assert queue.due(20) == []
    assert queue.count() == (0, None)


def test_events_are_named_apart(queue, clock, tmp_path):
    other = NotificationQueue(str(tmp_path / 'other.db'), clock)
    for one in [queue, other]:
        one.add(['a'], 'stable')
    (first,), (second,) = queue.due(1), other.due(1)
    assert first.event != second.event
    assert first.event.endswith('-1') and second.event.endswith('-1')
    queue.remove([first])
    queue.add(['a'], 'stable')
    assert queue.due(1)[0].event != first.event
    other.close()


def test_what_grows_waits(queue, clock):
    queue.add_changes(1, 'T', [], ['a'], QUIET)
    assert queue.due(20) == [] and queue.seconds_until_due() == QUIET
    clock.now += QUIET - 1
    queue.add_changes(2, 'T', [], ['a'], QUIET)
    clock.now += QUIET - 1
    assert queue.due(20) == []
    clock.now += 1
    assert studies(queue.due(20)) == ['a']
    assert queue.count() == (1, clock.now - 2 * QUIET + 1)


def test_a_late_image_holds_a_stable_study_back(queue, clock):
    queue.add(['a'], 'stable')
    queue.add_changes(1, 'T', [], ['a'], QUIET)
    assert queue.due(20) == []
    queue.add_changes(2, 'T', ['a'])
    assert studies(queue.due(20)) == ['a']


def test_order_is_kept(queue):
    queue.add(['a', 'b', 'c'], 'stable')
    queue.add(['a'], 'stable')
    assert studies(queue.due(20)) == ['b', 'c', 'a']
    assert studies(queue.due(2)) == ['b', 'c']


def test_failures_are_tried_later_and_later(queue, clock):
    queue.add(['a'], 'stable')
    pauses = []
    for _ in range(12):
        waiting = queue.due(20)
        queue.postpone(waiting)
        assert queue.due(20) == []
        pauses.append(queue.seconds_until_due())
        clock.now += queue.seconds_until_due()
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    assert queue.due(20)[0].attempts == 12
    # Something newer begins anew.
    queue.add(['a'], 'stable')
    assert queue.due(20)[0].attempts == 0


def test_what_is_refused_comes_last_and_alone(queue, clock):
    queue.add(['a', 'b'], 'stable')
    pauses = []
    for _ in range(10):
        while waiting := queue.due(20):
            for one in waiting:
                queue.mark_refused(one)
        pauses.append(queue.seconds_until_due())
        clock.now += queue.seconds_until_due()
    assert pauses[:3] == [300, 600, 1200] and pauses[-1] == DAY
    queue.add(['c'], 'stable')
    assert studies(queue.due(20)) == ['c']
    queue.remove(queue.due(20))
    one, = queue.due(20)
    assert one.study == 'a' and one.refused
    # A start tries all of them, and at once.
    queue.mark_refused(one)
    queue.make_due(5)
    assert studies(queue.due(20)) == ['a', 'b']


def test_a_start_waits_only_for_what_grows(queue, clock):
    queue.add_changes(1, 'T', ['a'], ['b'], 1000)
    queue.postpone(queue.due(20))
    queue.make_due(5)
    assert studies(queue.due(20)) == ['a'] and queue.seconds_until_due() == 0
    clock.now += 5
    assert set(studies(queue.due(20))) == {'a', 'b'}


def test_a_clock_that_is_set_back(queue, clock):
    queue.add(['a'], 'stable')
    queue.postpone(queue.due(20))
    clock.now -= 365 * DAY
    assert studies(queue.due(20)) == ['a']


def test_a_scan_keeps_its_place(queue):
    queue.add_changes(7, 'T7')
    assert queue.scan is None
    queue.start_scan(3)
    assert queue.cursor == 3
    assert (queue.scan.since, queue.scan.position) == ('T7', 0)
    queue.add_scanned(100, ['a'], ['b'], QUIET)
    assert queue.scan.position == 100
    assert studies(queue.due(20)) == ['a']
    # One more reason: the earlier time, from the start
    queue.add_changes(9, 'T9')
    queue.start_scan()
    assert (queue.scan.since, queue.scan.position) == ('T7', 0)
    assert queue.cursor == 9
    queue.add_scanned(None, [], [], QUIET)
    assert queue.scan is None


def test_only_orthanc_can_read_the_file(clock, tmp_path):
    path = tmp_path / 'queue.db'
    path.touch(0o666)
    path.chmod(0o666)
    queue = NotificationQueue(str(path), clock)
    queue.add(['a'], 'stable')
    files = list(tmp_path.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 3
    queue.close()


@pytest.mark.parametrize('content', [b'garbage' * 1000, None])
def test_a_damaged_file_is_kept_aside(
        plugin_log, clock, tmp_path, content):
    path = tmp_path / 'queue.db'
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        path.write_bytes(content)
    # Orthanc was down for a week
    used = path.stat().st_mtime - 7 * DAY
    os.utime(path, (used, used))
    queue = NotificationQueue(str(path), clock)
    assert queue.cursor == NO_CURSOR
    assert (tmp_path / 'queue.db.damaged').exists()
    assert 'is damaged' in plugin_log[-1]
    queue.start_scan(5)
    assert queue.scan.since == format_orthanc_time(used - DAY)
    queue.close()


def test_a_file_that_cannot_be_used_is_tried_again(clock, tmp_path):
    folder = tmp_path / 'folder'
    queue = NotificationQueue(str(folder / 'queue.db'), clock)
    with pytest.raises(OSError):
        queue.add(['a'], 'stable')
    folder.mkdir()
    queue.add(['a'], 'stable')
    assert studies(queue.due(20)) == ['a']
    with pytest.raises(sqlite3.Error):
        queue.add([None], 'stable')
    assert studies(queue.due(20)) == ['a']
    queue.close()


def test_threads_share_a_queue(queue):
    def put(letter: str) -> None:
        for number in range(50):
            queue.add([f'{letter}{number}'], 'deleted')
    threads = [threading.Thread(target=put, args=[letter]) for letter in 'ab']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting = queue.due(1000)
    assert len({one.event for one in waiting}) == 100
    assert queue.count()[0] == 100


# --- Following Orthanc --------------------------------------------------

def test_the_first_start_ever_begins_now(archive, his, tmp_path):
    archive.arrive('old')
    site = Site(archive, his, tmp_path / 'queue.db')
    assert site.work() == []
    archive.arrive('new')
    assert site.work() == [('study', 'new')]
    site.queue.close()


def test_a_stable_study_is_sent_at_once(site):
    site.archive.add('a')
    assert site.work() == []
    site.archive.make_stable('a')
    assert site.work() == [('study', 'a')]
    assert site.work() == []
    # A late image, in the same page as what makes it stable
    site.archive.arrive('a')
    assert site.work() == [('study', 'a')]


def test_images_after_the_stable_study_are_waited_for(site):
    site.archive.arrive('a')
    site.archive.add('a')
    assert site.work() == []
    site.archive.make_stable('a')
    assert site.work() == [('study', 'a')]


def test_a_study_never_called_stable_is_sent_when_it_stops_to_grow(site):
    for _ in range(4):
        site.archive.add('a')
        assert site.work() == []
        site.pass_time(60)
    site.pass_time(29)
    assert site.work() == []
    site.pass_time(1)
    assert site.work() == [('study', 'a')]
    assert site.his.events[0]['facts']['IsStable'] is False


def test_a_killed_orthanc_waits_less(site):
    site.archive.add('seen')
    site.work()
    site.archive.add('unseen')
    site.restart()
    site.archive.studies['seen']['IsStable'] = True
    assert site.work() == []
    site.pass_time(61)
    assert site.work() == []
    site.pass_time(1)
    assert site.work() == [('study', 'seen'), ('study', 'unseen')]
    assert site.work() == []


def test_many_changes_are_read_in_pages(site, monkeypatch):
    monkeypatch.setattr(change_follower, 'CHANGES_PAGE', 4)
    monkeypatch.setattr(change_follower, 'PAGES_AT_ONCE', 3)
    for number in range(20):
        site.archive.arrive(f's{number}')
    asked = len(site.archive.asked)
    assert site.follower.follow() is True
    assert len(site.archive.asked) - asked == 3
    assert site.queue.cursor == 12
    assert len(site.work()) == 20


def test_deletions_are_sent(site):
    site.archive.arrive('a')
    site.archive.arrive('b')
    site.work()
    site.archive.delete('a')
    site.follower.add_deleted('a')
    assert site.work() == [('deleted', 'a')]
    # Deleted before we have looked: nothing of it is left in the log.
    site.archive.arrive('c')
    site.archive.delete('c')
    assert site.work() == []
    # Deleted after
    site.archive.arrive('d')
    site.follow()
    site.archive.delete('d')
    assert site.work() == [('deleted', 'd')]
    # And back again
    site.archive.delete('b')
    site.archive.add('b')
    site.follower.add_deleted('b')
    assert site.work() == []
    site.archive.make_stable('b')
    assert site.work() == [('study', 'b')]


def test_a_deletion_that_cannot_be_written_is_kept(
        site, monkeypatch):
    add = site.queue.add

    def fail(*args):
        raise sqlite3.OperationalError("disk full")
    monkeypatch.setattr(site.queue, 'add', fail)
    with pytest.raises(sqlite3.Error):
        site.follower.add_deleted('a')
    with pytest.raises(sqlite3.Error):
        site.follow()
    monkeypatch.setattr(site.queue, 'add', add)
    assert site.work() == [('deleted', 'a')]
    assert site.work() == []


def test_a_log_that_is_cleared_while_we_look(site):
    site.archive.arrive('a')
    site.follower.add_stable('a')
    site.archive.log.clear()
    assert site.work() == [('study', 'a')]
    assert site.work() == []
    assert not any('/studies' in path for path in site.archive.asked)


def test_a_log_that_is_cleared_while_we_do_not(site):
    site.archive.add('before')
    site.pass_time(60)
    site.archive.make_stable('before')
    site.work()
    site.pass_time(10)
    site.archive.arrive('a')
    site.archive.log.clear()
    site.restart()
    site.archive.arrive('b')
    assert sorted(site.work()) == [('study', 'a'), ('study', 'b')]
    assert site.work() == []


def test_another_database_of_orthanc(site, monkeypatch):
    monkeypatch.setattr(change_follower, 'SCAN_PAGE', 15)
    for number in range(3):
        site.archive.arrive(f'old{number}')
    site.work()
    site.pass_time(100)
    site.archive.reset()
    site.archive.arrive('restored')
    site.archive.studies['restored']['LastUpdate'] = '20200101T000000'
    for number in range(50):
        site.archive.studies[f'new{number}'] = {
            **site.archive.studies['restored'], 'ID': f'new{number}',
            'LastUpdate': site.archive.time}
    site.restart()
    found = site.work()
    assert {study for _, study in found} == {
        f'new{number}' for number in range(50)}
    assert site.queue.cursor == site.archive.counter
    assert site.work() == []
    site.archive.arrive('later')
    assert site.work() == [('study', 'later')]


def test_a_scan_misses_none_where_others_are_deleted(
        site, monkeypatch):
    monkeypatch.setattr(change_follower, 'SCAN_PAGE', 20)
    for number in range(45):
        site.archive.arrive(f's{number}')
    site.archive.log.clear()
    site.restart()
    # A read of the changes and of one page
    assert site.follower.follow() is True
    for number in range(10):
        site.archive.delete(f's{number}')
    site.follow()
    assert {one.study for one in site.queue.due(100)} >= set(
        site.archive.studies)


def test_the_log_may_lack_what_was_deleted(site):
    """No reason to look at all studies while we run."""
    site.archive.arrive('a')
    site.archive.arrive('b')
    site.archive.delete('a')
    assert site.work() == [('study', 'b')]
    site.archive.arrive('c')
    site.archive.delete('c')
    assert site.work() == []
    assert site.queue.cursor == site.archive.counter
    assert not any('/studies' in path for path in site.archive.asked)


@pytest.mark.parametrize('last', [7, 2**62])
def test_the_counter_of_other_versions(last):
    answers = {
        'since': {'Changes': [], 'Done': True, 'Last': last},
        'last': {'Changes': [], 'Done': True, 'Last': 7},
        }
    host = Host()
    host.get = lambda path: json.dumps(
        answers[re.split('[?=]', path)[1]]).encode()
    assert Archive(host).last_change() == 7


# --- The summary of a study --------------------------------------------

def test_facts_are_those_of_orthanc_and_of_the_images(archive):
    archive.add('1.2', series=2)
    archive.tags['1.2.0.0'] = {
        '0010,0020': 'not the one of Orthanc', '0010,0021': 'GNU',
        '0010,1000': 'A\\B', '0028,0004': 'MONOCHROME2',
        '0040,0275': [{'0040,0009': 'S1', '0040,1001': ''}, {}],
        '0040,1001': 'x' * 129, '0009,1001': None, '0020,0010': ''}
    archive.studies['1.2']['PatientMainDicomTags']['PatientID'] = 'P1'
    facts = summarize_study(
        Archive(archive), archive.studies['1.2'])
    assert facts == {
        'StudyInstanceUID': '1.2', 'PatientName': "Doe^Jane",
        'PatientID': 'P1', 'IssuerOfPatientID': 'GNU',
        'OtherPatientIDs': 'A\\B', 'IsStable': False,
        'LastUpdate': archive.time,
        'Texts': ['not the one of Orthanc', 'GNU', 'A\\B'],
        'Series': [
            {'ID': '1.2.0', 'Modality': 'CT', 'Instances': 1,
                'RequestAttributes': [
                    {'ScheduledProcedureStepID': 'S1'}, {}]},
            {'ID': '1.2.1', 'Modality': 'CT', 'Instances': 1,
                'RequestAttributes': []}]}


@pytest.mark.parametrize('tags', [
        None, {}, {'0040,0275': 'Doe'}, {'0040,0275': None}])
def test_facts_of_images_that_cannot_be_read(archive, tags):
    archive.add('1.2')
    if tags is None:
        del archive.tags['1.2.0.0']
    else:
        archive.tags['1.2.0.0'] = tags
    facts = summarize_study(
        Archive(archive), archive.studies['1.2'])
    assert facts['PatientName'] == "Doe^Jane"
    assert facts['Series'][0]['RequestAttributes'] == []


def test_facts_are_bounded(site):
    site.archive.add('a', series=600)
    for number in range(600):
        site.archive.tags[f'a.{number}.0'] = {
            **{f'0009,{tag:04x}': f'{number} {tag} ' + '\0' * 100
                for tag in range(20)},
            '0010,1000': 'x' * 100_000,
            '0008,1010': '\U0001f600' * 5000,
            }
    site.archive.make_stable('a')
    assert site.work() == [('study', 'a')]
    request, = site.his.told
    assert request.size <= 1_000_000
    facts = request.events[0]['facts']
    assert len(facts['Texts']) == 300
    assert len(facts['OtherPatientIDs']) == 1024
    assert 10 < len(facts['Series']) < 500


# --- Sending --------------------------------------------------------------

def test_requests_are_bounded(site):
    for number in range(50):
        site.archive.arrive(f's{number}')
    assert len(site.work()) == 50
    assert [len(request.events) for request in site.his.told] == [20, 20, 10]
    # Large ones are fewer at once.
    site.his.told.clear()
    for number in range(10):
        site.archive.arrive(f'l{number}', series=250)
        for tags in site.archive.tags.values():
            tags['0008,1010'] = 'x' * 1000
    assert len(site.work()) == 10
    assert len(site.his.told) == 4
    assert all(request.size <= 1_000_000 for request in site.his.told)


TROUBLES = {
    'status 401': wire.status(401),
    'status 403': wire.status(403),
    'status 404': wire.status(404),
    'status 500': wire.status(500),
    'status 503': wire.status(503),
    'status 302': wire.redirect('http://127.0.0.1:9/'),
    'status 304': wire.status(304),
    'not JSON': wire.reply(b'<html>Doe^Jane'),
    'has no "received"': wire.reply_json([]),
    'no "received"': wire.reply_json({'received': None}),
    'incomplete': wire.cut,
    'not HTTP': wire.raw(b'Doe^Jane\r\n\r\n'),
    }


@pytest.mark.parametrize('words', TROUBLES)
def test_trouble_keeps_the_event(site, words):
    site.archive.arrive('a')
    site.his.notify_trouble = TROUBLES[words]
    with pytest.raises(HttpError, match=words):
        site.work()
    event, = site.queue.due(20)
    site.his.notify_trouble = None
    assert site.work() == [('study', 'a')]
    assert site.his.events[0]['event'] == event.event


def test_a_stopped_server_keeps_the_event(site):
    site.archive.arrive('a')
    site.his.stop()
    with pytest.raises(HttpError, match='refused'):
        site.work()
    site.his.start()
    assert site.work() == [('study', 'a')]


@pytest.mark.parametrize('status', [400, 413])
def test_what_is_refused_is_found_out(site, plugin_log, status):
    for study in 'abc':
        site.archive.arrive(study)
    site.his.refuses = lambda event: event['study'] == 'b'
    receive = site.his.receive
    site.his.receive = lambda *args: (
        lambda answer: (status, None) if answer[0] == 400 else answer)(
            receive(*args))
    assert site.work() == [('study', 'a'), ('study', 'c')]
    assert [len(request.events) for request in site.his.told] == [3, 1, 1, 1]
    assert [line for line in plugin_log if 'of study b' in line]
    assert site.work() == []
    # Later it does not bother the others, and is not said again.
    site.pass_time(300)
    site.archive.arrive('d')
    assert site.work() == [('study', 'd')]
    assert [len(request.events) for request in site.his.told[4:]] == [1, 1]
    assert len([line for line in plugin_log if 'refused' in line]) \
        == 1
    # A newer event is sent at once.
    site.his.refuses = lambda event: False
    site.archive.arrive('b')
    assert site.work() == [('study', 'b')]


def test_an_event_that_is_not_acknowledged_is_sent_later(site):
    site.archive.arrive('a')
    site.archive.arrive('b')
    site.his.ignores = lambda event: event['study'] == 'a'
    assert site.work() == [('study', 'b')]
    assert len(site.his.told) == 1
    site.his.ignores = lambda event: False
    site.pass_time(2)
    assert site.work() == [('study', 'a')]


def test_a_lost_answer_does_not_change_the_event(site):
    site.archive.arrive('a')
    site.his.losing = 3
    for _ in range(3):
        with pytest.raises(HttpError):
            site.work()
        site.restart()
    assert site.work() == [('study', 'a')]
    assert len(site.his.events) == 4
    assert len(site.his.events_of('a')) == 1


def test_a_newer_event_while_one_is_sent(site):
    """The answer to the older event does not remove it."""
    site.archive.arrive('a')
    receive = site.his.receive

    def slow(*args):
        site.archive.arrive('a')
        site.follow()
        site.his.receive = receive
        return receive(*args)
    site.his.receive = slow
    assert site.work() == [('study', 'a')] * 2
    assert len(site.his.events_of('a')) == 2


def test_a_study_that_cannot_be_read_does_not_hold_up_others(site, plugin_log):
    for study in 'ab':
        site.archive.arrive(study)
    site.archive.resources['a.0'] = {'Doe': 'Jane'}
    assert site.work() == [('study', 'b')]
    line, = [line for line in plugin_log if 'cannot be made' in line]
    assert 'of study a cannot be made (KeyError in ' in line
    site.pass_time(2)
    assert site.work() == []
    site.archive.arrive('a')
    assert site.work() == [('study', 'a')]


# --- The thread ---------------------------------------------------------

def test_the_back_off_doubles(clock):
    back_off = BackOff(clock)
    assert back_off.rest == 0
    rests = []
    for _ in range(10):
        back_off.start()
        rests.append(back_off.rest)
    assert rests == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    clock.now += 299
    assert back_off.rest == 1
    clock.now += 1
    assert back_off.rest == 0
    back_off.reset()
    back_off.start()
    assert back_off.rest == 2


@pytest.fixture
def notifier(site, archive):
    return Notifier(site.settings, archive)


def rounds(notifier, count: int = 3) -> None:
    for _ in range(count):
        notifier._work()
        notifier._log_change()


def test_problems_are_logged_when_they_begin_and_end(
        plugin_log, archive, his, notifier):
    log = plugin_log
    rounds(notifier)
    assert log == [
        'GNU Health is notified of studies; 0 pending']
    log.clear()
    his.notify_trouble = wire.status(500)
    archive.arrive('a')
    rounds(notifier)
    line, = log
    assert 'cannot be notified of studies: GNU Health reports an error ' \
        '(status 500); 1 pending, the oldest since 20' in line
    log.clear()
    # It is not asked again before its time, but Orthanc is followed.
    his.notify_trouble = None
    archive.arrive('b')
    rounds(notifier)
    assert not log and not his.events
    assert notifier._queue.count()[0] == 2
    notifier.retry_now()
    rounds(notifier)
    line, = log
    assert line.endswith('GNU Health is notified of studies; 0 pending')
    assert len(his.events) == 2
    notifier._queue.close()


def test_faults_do_not_end_the_thread(
        plugin_log, archive, his, notifier, monkeypatch):
    log = plugin_log
    rounds(notifier)
    log.clear()
    archive.broken = True
    rounds(notifier)
    assert 'Orthanc does not answer (RuntimeError)' in log[-1]
    archive.broken = False

    def fail(error):
        def follow():
            raise type(error)(*error.args)
        monkeypatch.setattr(notifier._follower, 'follow', follow)
    fail(sqlite3.OperationalError("disk is full"))
    rounds(notifier)
    assert 'the notification file cannot be used: disk is full' in log[-1]
    fail(KeyError('Doe^Jane'))
    notifier._queue.add(['a'], 'deleted')
    rounds(notifier)
    # What is known is sent nevertheless.
    assert his.events_of('a')
    assert re.search(r'KeyError in \S+:\d+ \w+ > .*:\d+ \w+', log[-1])
    monkeypatch.undo()
    rounds(notifier)
    assert len(log) == 4
    notifier._queue.close()


def test_studies_are_taken_note_of(site, his, archive):
    plugin = Plugin(
        dataclasses.replace(site.settings, notify=True), archive)
    plugin.add_deleted('a')
    plugin.add_stable('c')
    notifier = plugin._notifier
    assert notifier._wake.is_set()
    assert notifier._follower._stable == {'c'}
    assert studies(notifier._queue.due(20)) == ['a']
    notifier._queue.close()


def test_a_deletion_that_cannot_be_written_is_no_error_of_orthanc(
        site, archive, monkeypatch):
    notifier = Notifier(site.settings, archive)

    def fail(*args):
        raise sqlite3.OperationalError("disk full")
    with monkeypatch.context() as patch:
        patch.setattr(notifier._queue, 'add', fail)
        notifier.add_deleted('a')
    assert notifier._wake.is_set()
    notifier._work()
    assert site.his.events_of('a')
    notifier._queue.close()


def test_the_thread_starts_and_ends(site, his, archive):
    notifier = Notifier(site.settings, archive)
    notifier.start()
    archive.arrive('a')
    notifier.add_stable('a')
    assert wait_until(lambda: his.events_of('a'), 20)
    notifier.stop()
    assert not notifier._thread.is_alive()


# --- Signs of life ------------------------------------------------------

def test_a_quiet_plugin_shows_that_it_runs(site):
    site.work()
    told = len(site.his.told)
    site.pass_time(299)
    site.work()
    assert len(site.his.told) == told
    site.pass_time(1)
    site.work()
    site.work()
    assert [sign.events for sign in site.his.told[told:]] == [[]]
