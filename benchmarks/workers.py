# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the benchmark `scale` that workers of Tryton's queue share."""
import re
import time
from contextlib import ExitStack, closing
from pathlib import Path

from devtools.postgresql import PostgreSQL
from devtools.tryton import Tryton

from .processor import processor_seconds

__all__ = ['Workers']

# Seconds between two looks at the run, which cost a statement
PAUSE = 0.05
_RUNS = """
    SELECT id, state, requests, server FROM gnuhealth_orthanc_synchronization
    WHERE kind = %s AND ended_at IS NOT NULL ORDER BY id"""
# When it was queued: the process that does so has not ended then
_SINCE = """
    SELECT extract(
        epoch FROM timezone('UTC', clock_timestamp()) - max(enqueued_at))
    FROM ir_queue WHERE data::json->>'method' = 'run_synchronization'"""


class Workers:
    """Processes that take tasks, as a context manager.

    Parameters
    ----------
    tryton
        Its configuration has the queue switched on.
    postgresql
    count
        How many processes.
    servers
        How many are synchronized at once.
    """

    def __init__(
            self, tryton: Tryton, postgresql: PostgreSQL, count: int,
            servers: int = 1):
        self._tryton, self._postgresql = tryton, postgresql
        self._count, self._servers = count, servers
        self._stack = ExitStack()

    def __enter__(self) -> 'Workers':
        with ExitStack() as stack:
            self._connection = stack.enter_context(closing(
                    self._postgresql.connect(self._tryton.name)))
            self._processes = []
            for _ in range(self._count):
                self._processes.append(self._tryton.worker(1))
                stack.callback(self._processes[-1].stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    def wait(self, kind: str, begin, timeout: float) -> dict:
        """Begin runs and wait for their ends; return their figures."""
        before = {id_ for id_, *_ in self._query(_RUNS, kind)}
        used = self._processor_seconds()
        begin()
        deadline = time.perf_counter() + timeout
        first = None
        while len(runs := self._runs(kind, before)) < self._servers:
            if runs and first is None:
                first = self._seconds()
            if time.perf_counter() > deadline:
                raise TimeoutError(kind)
            time.sleep(PAUSE)
        figures = {
            'seconds': self._seconds(),
            'cpu': self._processor_seconds() - used,
            'memory': max(map(_memory, self._pids())),
            'requests': sum(runs.values()), 'stored': self._stored(),
            }
        if self._servers > 1:
            figures['first_done'] = first or figures['seconds']
        return figures

    def _runs(self, kind: str, before: set[int]) -> dict[int, int]:
        "Return the requests of the runs that have ended since, by server"
        found = {}
        for id_, state, requests, server in self._query(_RUNS, kind):
            if id_ in before or state == 'skipped':
                continue
            if state != 'done':
                raise RuntimeError(f"the run of server {server} is {state}")
            found[server] = requests
        return found

    def _seconds(self) -> float:
        (seconds,), = self._query(_SINCE)
        return float(seconds)

    def _stored(self) -> int:
        (count,), = self._query(
            'SELECT count(*) FROM gnuhealth_imaging_orthanc_study '
            'WHERE missing_since IS NULL')
        return count

    def _query(self, text: str, *values: str) -> list[tuple]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall()

    def _processor_seconds(self) -> float:
        return sum(processor_seconds(p.pid) for p in self._processes)

    def _pids(self) -> list[int]:
        return [
            int(pid) for process in self._processes for pid in Path(
                f'/proc/{process.pid}/task/{process.pid}/children'
                ).read_text().split()]


def _memory(pid: int) -> int:
    "Return the most memory that a process has had, in bytes"
    status = Path(f'/proc/{pid}/status').read_text()
    kilobytes, = re.findall(r'^VmHWM:\s+(\d+) kB$', status, re.M)
    return int(kilobytes) * 1024
