# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up archive that several workers synchronize, and may be killed."""
import datetime as dt
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import requests

from devtools.process import Process, free_port
from devtools.programs import ForkingTryton, Programs
from devtools.tryton import ROOT, Tryton, environment

from . import inside
from .agent import Agent
from .tables import connect, dump

__all__ = ['Archive', 'Site', 'fill']

TIMEOUT = 60
# Of a run, with all that is killed meanwhile
RUN_TIMEOUT = 900
_MODULE = 'trytond.modules.health_orthanc.'
# Many small parts, and short turns
SMALL = {
    _MODULE + 'synchronization.comparison:LISTING_LIMIT': 10,
    _MODULE + 'synchronization.comparison:PART_PAGES': 2,
    _MODULE + 'synchronization.comparison:MATCH_LIMIT': 20,
    _MODULE + 'synchronization.comparison:PAUSE': 0.05,
    _MODULE + 'synchronization.storing:CHANGES_LIMIT': 50,
    _MODULE + 'linking.link:DUE_LIMIT': 10,
    }
PATIENT = 'gnuhealth_orthanc_patient'
STUDY = 'gnuhealth_imaging_orthanc_study'
SERIES = 'gnuhealth_imaging_orthanc_study_series'
# Tables whose rows are compared, and how a row is named without its id
NAMES = {PATIENT: 'uuid', STUDY: 'orthanc_UID', SERIES: 'orthanc_UID'}
COMPARED = [
    *NAMES, 'gnuhealth_imaging_orthanc_study_decision',
    'gnuhealth_imaging_orthanc_study_key',
    'gnuhealth_imaging_orthanc_study_order', 'gnuhealth_imaging_test_request',
    'gnuhealth_imaging_procedure_step']
RELATIONS = {'orthanc_patient': PATIENT, 'study': STUDY, 'series': SERIES}
# What only saves time may be lost with a worker
LEFT_OUT = {'id', 'create_date', 'write_date', 'listed_digest'}
STATE = """
    SELECT count(*) FILTER (WHERE state = 'done'),
        count(*) FILTER (WHERE state = 'failed')
    FROM gnuhealth_orthanc_synchronization WHERE server = %s"""
# Of the runs that were begun after another one
NEWER = """
    SELECT id, state FROM gnuhealth_orthanc_synchronization
    WHERE server = %s AND kind = %s AND id > %s ORDER BY id"""
LAST = 'SELECT coalesce(max(id), 0) FROM gnuhealth_orthanc_synchronization'
STATES = """
    SELECT state FROM gnuhealth_orthanc_synchronization
    WHERE server = ANY(%s) ORDER BY id"""


class Archive:
    """A process that answers like an Orthanc of so many studies.

    With `count`, it answers like several, whose `urls` differ in their paths.
    """

    def __init__(
            self, folder: Path, studies: int, patients: int, count: int = 1):
        port = free_port()
        self.url = f'http://127.0.0.1:{port}'
        self.urls = [f'{self.url}/{number}' for number in range(count)]
        self._process = Process(
            [sys.executable, '-m', 'benchmarks.archive', f'--port={port}',
                f'--studies={studies}', f'--patients={patients}',
                f'--archives={count}'],
            folder / f'archive{port}.log', folder=ROOT,
            environment=environment())
        self._process.wait_ready(
            lambda: self._process.listens(port), TIMEOUT, "the archive")

    def change(self, **values: float) -> dict:
        """Set what it holds, or how slow it is."""
        answer = requests.post(
            f'{self.url}/made-up', json=values, timeout=TIMEOUT)
        return answer.json()

    def counts(self) -> list[dict]:
        """Return how often each of several was asked."""
        return [
            requests.post(f'{url}/made-up', timeout=TIMEOUT).json()
            for url in self.urls]

    def stop(self) -> None:
        self._process.stop()


def fill(origin: Tryton, name: str, patients: int, orders: int) -> Tryton:
    """Return a copy of a database that knows patients of the archive."""
    copied = origin.copy(name)
    with Agent(copied) as agent:
        agent.call(inside.register_archive, patients, orders)
    return copied


class Site:
    """A GNU Health with workers that are killed, as a context manager.

    Parameters
    ----------
    origin
        A prepared database in PostgreSQL, which is copied.
    name
        Of the copy.
    workers
        How many there are.
    length
        Seconds of a turn.
    minute
        Seconds of a minute of *Minutes per Full Synchronization*.
    """

    def __init__(
            self, origin: Tryton, name: str, workers: int, length: float = 1,
            minute: float = 60):
        self._origin, self._name, self._count = origin, name, workers
        self._limits = {
            **SMALL, _MODULE + 'common.turns:LENGTH': length,
            _MODULE + 'synchronization.time_limit:MINUTE': minute}
        self._stack = ExitStack()
        self._workers: list[Process] = []
        self.kills = 0

    def __enter__(self) -> 'Site':
        with ExitStack() as stack:
            copied = self._origin.copy(self._name)
            stack.callback(copied.drop)
            self._tryton = ForkingTryton(
                copied.folder, postgresql=copied.postgresql, name=self._name)
            self._tryton.programs = stack.enter_context(Programs(
                    self._tryton.configuration, self._name, self._limits))
            self.agent = stack.enter_context(Agent(self._tryton))
            self._connection = stack.enter_context(
                closing(connect(self._tryton)))
            self._connection.autocommit = True
            stack.callback(self.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    def add_server(self, archive: Archive, **values) -> int:
        return self.add_address(archive.url, **values)

    def add_address(self, url: str, **values) -> int:
        return self.agent.call(inside.add_server, {
                'label': url, 'domain': url, 'retries': 0, **values})

    def start(self) -> None:
        self._workers = [self._start_worker() for _ in range(self._count)]

    def stop(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def _start_worker(self) -> Process:
        return self._tryton.worker(1, '--timeout', '1')

    def begin(self, servers: list[int], kind: str = 'full') -> None:
        """Queue runs."""
        for server in servers:
            self.agent.call(inside.begin_synchronization, server, kind)

    def synchronize(
            self, servers: list[int], kind: str = 'full', kills: int = 0,
            seed: int = 0) -> None:
        """Queue runs and wait for their end; kill workers meanwhile."""
        generator = random.Random(seed)
        before = {server: self.count_done(server) for server in servers}
        begun = {server: self._last_run() for server in servers}
        self.begin(servers, kind)
        deadline = time.monotonic() + RUN_TIMEOUT
        while any(self.count_done(s) == n for s, n in before.items()) or (
                kind == 'full' and not all(
                    self._has_begun(s, kind, begun) for s in servers)):
            assert time.monotonic() < deadline, self.report()
            time.sleep(generator.uniform(0.1, 1))
            if kills > 0:
                kills -= 1
                self.kill(generator.randrange(self._count))
            self.agent.call(inside.resume_synchronizations)
        self.wait_ended(servers)

    def _last_run(self) -> int:
        (last,), = self.query(LAST)
        return last

    def _has_begun(
            self, server: int, kind: str, begun: dict[int, int]) -> bool:
        """Return whether a run that was queued has begun.

        The one that is done may be one of before, which was put back although
        another had done its work.  A run that meets it is skipped, and queued
        again here.
        """
        runs = self.query(NEWER, server, kind, begun[server])
        if any(state != 'skipped' for _, state in runs):
            return True
        if runs:
            begun[server] = runs[-1][0]
            self.begin([server], kind)
        return False

    def wait_ended(self, servers: list[int]) -> list[str]:
        """Wait until no run of servers is active; return all states."""
        deadline = time.monotonic() + RUN_TIMEOUT
        # A lost one may have been put back that was done by another
        while 'running' in (
                states := [s for s, in self.query(STATES, servers)]):
            assert time.monotonic() < deadline, self.report()
            time.sleep(0.3)
            self.agent.call(inside.resume_synchronizations)
        return states

    def kill(self, number: int) -> None:
        self._workers[number].kill()
        self._workers[number] = self._start_worker()
        self.kills += 1

    def count_done(self, server: int) -> int:
        """Return how many runs of a server have succeeded, and none failed."""
        (done, failed), = self.query(STATE, server)
        assert not failed, self.report()
        return done

    def query(self, text: str, *values) -> list[tuple]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall()

    def report(self) -> str:
        """What the workers have written."""
        log = self._tryton.folder / 'trytond-worker.log'
        return log.read_text()[-5000:] if log.exists() else ''

    def rows(self) -> dict[str, Counter]:
        """Return the rows without their ids and times, by their tables."""
        tables = dump(self._tryton)
        names = {
            table: {id_: row[name] for id_, row in tables[table].items()}
            for table, name in NAMES.items()}
        return {
            table: Counter(
                _comparable(row, names) for row in tables[table].values())
            for table in COMPARED}


def _comparable(row: dict, names: dict[str, dict]) -> tuple:
    values = {}
    for name, value in row.items():
        if name in LEFT_OUT:
            continue
        if name in RELATIONS:
            value = names[RELATIONS[name]].get(value)
        elif isinstance(value, dt.datetime) and name != 'last_update':
            value = 'set'
        values[name] = value
    return tuple(sorted(values.items()))
