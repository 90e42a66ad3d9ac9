# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that are killed, and what stands between them."""
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..orthanc import Orthanc
from ..process import Process, StartError
from ..proxy import Answer, Proxy, Request
from ..tryton import Tryton

__all__ = ['Archive', 'Courier', 'GnuHealth']

WORKERS = 2
# Seconds after which they look at the queue again: they miss what is put into
# it between their first look and when they begin to listen.
LOOK = 3
CRON_TIMEOUT = 60
TIMES = 5
# How many answers are lost in a row
LOST = 2
LATE = 0.4  # seconds


class GnuHealth:
    """trytond and the workers of its queue, which live and die together.

    Threads may share it.
    """

    def __init__(self, tryton: Tryton):
        self.tryton = tryton
        self.server = tryton.server()
        self.worker: Process | None = None
        self.lock = threading.RLock()

    @property
    def running(self) -> bool:
        process = self.server.process
        return process is not None and process.running

    def start(self) -> None:
        with self.lock:
            if self.running:
                return
            self._start_worker()
            self.server.start(self.server.port)

    def _start_worker(self) -> None:
        self.worker = self.tryton.worker(WORKERS, '--timeout', str(LOOK))

    def kill(self) -> None:
        with self.lock:
            if self.running:
                self.server.process.kill()
                self.worker.kill()

    def stop(self) -> None:
        with self.lock:
            if self.running:
                self.server.stop()
                self.worker.stop()

    def kill_worker(self) -> None:
        """Kill the workers, and start others as a service manager does."""
        with self.lock:
            if self.running:
                self.worker.kill()
                self._start_worker()

    def run_scheduler(self) -> None:
        """Run once what is due."""
        process = self.tryton.cron('--once')
        try:
            if process.wait(CRON_TIMEOUT):
                raise StartError(f"trytond-cron:\n{process.log_tail()}")
        finally:
            process.kill()


class Archive:
    """Orthanc, which threads may share."""

    def __init__(self, orthanc: Orthanc):
        self.orthanc = orthanc
        self.lock = threading.RLock()

    @property
    def running(self) -> bool:
        return self.orthanc.running

    def start(self) -> None:
        with self.lock:
            if not self.running:
                self.orthanc.start()

    def kill(self) -> None:
        with self.lock:
            self.orthanc.kill()

    def stop(self) -> None:
        with self.lock:
            self.orthanc.stop()


@dataclass(frozen=True)
class Told:
    """A notification, as the plugin has sent it."""
    request: Request
    headers: object

    @property
    def studies(self) -> list[str]:
        """Return the Orthanc id that each of the events is about."""
        return [
            event['study'] for event in json.loads(self.request.body)['events']
            ]


class Courier(Proxy):
    """Brings the notifications of the plugin to GNU Health.

    Attributes
    ----------
    way : str
        How: ``once``; ``five`` times one after the other, or all five
        ``together``; ``lost``: GNU Health has them and the plugin hears
        nothing of it; ``late``.
    trap : callable or None
        What the next notification sets off.
    told : list of Told
    brought : list of tuple
        The study of each event that was brought, and the answer's status.
    """

    def __init__(self, target: str):
        super().__init__(target)
        self.told: list[Told] = []
        self.brought: list[tuple[str, int]] = []
        self.trap: Callable[[], None] | None = None
        self.use('once')

    def use(self, way: str) -> None:
        self.way = way
        self._to_lose = LOST

    def answer(self, request: Request, headers) -> Answer:
        if not request.path.endswith('/orthanc/notify'):
            return super().answer(request, headers)
        told = Told(request, headers)
        self.told.append(told)
        trap, self.trap = self.trap, None
        if trap:
            trap()
        return getattr(self, '_bring_' + self.way)(told)

    def repeat(self, told: list[Told]) -> None:
        """Bring once more what was told before."""
        for one in told:
            self._bring_once(one)

    def _bring_once(self, told: Told) -> Answer:
        answer = self._forward(told.request, told.headers)
        self.brought += [(study, answer.status) for study in told.studies]
        return answer

    def _bring_five(self, told: Told) -> Answer:
        return [self._bring_once(told) for _ in range(TIMES)][-1]

    def _bring_together(self, told: Told) -> Answer:
        with ThreadPoolExecutor(TIMES) as executor:
            return list(executor.map(self._bring_once, [told] * TIMES))[0]

    def _bring_lost(self, told: Told) -> Answer:
        answer = self._bring_once(told)
        if self._to_lose:
            self._to_lose -= 1
            return Answer(answer.status, answer.body, answer.headers, cut=0)
        return answer

    def _bring_late(self, told: Told) -> Answer:
        time.sleep(LATE)
        answer = self._bring_once(told)
        time.sleep(LATE)
        return answer
