# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out plans, and judge what has come of them."""
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import requests
from pydicom.dataset import Dataset

from ..dicom import FindFailed, StoreFailed, find_worklist, send_images
from ..process import wait_until
from ..samples import make_series
from ..tryton import Tryton
from .oracle import (
    Order, completed_steps, find_troubles, last_run, last_task, notifications,
    tasks_after, waiting_tasks)
from .plan import GNUHEALTH, ORTHANC, SERIES, WORKER, Plan, Step, make_plan
from .site import NOTIFICATION, STABLE_AGE, Site, open_template

__all__ = ['Result', 'run_plans']

# Seconds in which all must be right once all runs, minutes of the scheduler
# included
LIMIT = 60
WORKLIST_TIMEOUT = 20
STORE_TIMEOUT = 30
STABLE_TIMEOUT = STABLE_AGE + 4
TOLD_TIMEOUT = 4
# Seconds of nothing, after which one of the scheduler's minutes has passed
MINUTE = 2.5
SYNCHRONIZE = 'gnuhealth.orthanc.config|synchronize_all'
RECONCILE = 'gnuhealth.orthanc.config|reconcile_all'
PROCESS = f'{NOTIFICATION}|process_pending'


@dataclass
class Result:
    """What has come of a plan.

    Attributes
    ----------
    told, brought
        How many events the plugin has sent, and how often GNU Health was
        brought one.
    kept, processed
        How many GNU Health has written down and worked off.
    kills
        What was killed, as ``OGW``, also by ``cut`` and ``trap``.
    minutes
        How often the scheduler was needed in the end.
    seconds, settled
        In all, and after everything ran again.
    troubles
        What was not right in the end.
    complaints
        What the logs say, if there were troubles.
    """
    plan: Plan
    told: int = 0
    brought: int = 0
    kept: int = 0
    processed: int = 0
    kills: list[str] = field(default_factory=list)
    minutes: int = 0
    seconds: float = 0
    settled: float = 0
    troubles: list[str] = field(default_factory=list)
    complaints: str = ''


class Run:
    """One plan, carried out once."""

    def __init__(self, site: Site, plan: Plan):
        self._site = site
        self._plan = plan
        self._timers: list[threading.Timer] = []
        self._parts = {ORTHANC: site.archive, GNUHEALTH: site.gnuhealth}
        self._series: dict[str, list[Dataset]] = {}
        # The steps' records whose series is not made yet
        self._unmade: dict[str, int] = {}
        # What Orthanc has not taken
        self._unsent: list[Dataset] = []
        self._sent: set[str] = set()
        self._first = len(site.courier.told)
        self.orders: list[Order] = []
        self.result = Result(plan)

    def run(self) -> Result:
        start = time.monotonic()
        self._place_orders()
        for step in self._plan.steps:
            getattr(self, f'_{step.action}')(step)
            self._check_steps()
        self._finish()
        self._count()
        if self.result.troubles:
            self.result.complaints = self._site.complaints
        self.result.seconds = time.monotonic() - start
        return self.result

    def _count(self) -> None:
        courier, result = self._site.courier, self.result
        studies = {order.study for order in self.orders}
        result.told = sum(
            len(studies.intersection(one.studies))
            for one in courier.told[self._first:])
        statuses = [
            status for study, status in courier.brought if study in studies]
        result.brought = len(statuses)
        if refused := {status for status in statuses if 400 <= status < 500}:
            result.troubles.append(f"GNU Health has answered {refused}")

    # -- the order and its images

    def _place_orders(self) -> None:
        for number in range(1, self._plan.orders + 1):
            order = self._site.place_order()
            self.orders.append(order)
            entries = self._entries(order)
            for index, (letter, entry) in enumerate(zip(SERIES, entries), 1):
                series = f'{number}{letter}'
                self._series[series] = make_series(entry, index)
                self._unmade[series] = order.steps[
                    entry.ScheduledProcedureStepSequence[0]
                    .ScheduledProcedureStepID]

    def _entries(self, order: Order) -> list[Dataset]:
        entries: list[Dataset] = []

        def found() -> bool:
            entries[:] = self._listed(order)
            return len(entries) == len(SERIES)
        if not wait_until(found, WORKLIST_TIMEOUT, 0.1):
            raise RuntimeError(
                f"the worklist has {len(entries)} steps of an order")
        return entries

    def _listed(self, order: Order) -> list[Dataset]:
        return find_worklist(
            self._site.orthanc.dicom_port,
            {'AccessionNumber': order.accession})

    def _check_steps(self) -> None:
        completed = {
            id_ for order in self.orders
            for id_ in completed_steps(self._site.connection, order)}
        for series, id_ in list(self._unmade.items()):
            if id_ in completed:
                # Whoever makes it does not find it on the worklist any more.
                self.result.troubles.append(
                    f"the step of {series} is completed before it is made")

    # -- steps

    def _send(self, step: Step) -> None:
        for name in step.what:
            self._unsent += self._series[name]
            del self._unmade[name]
            self._sent.add(self.orders[int(name[0]) - 1].study)
        self._send_again()

    def _send_again(self) -> None:
        """A modality keeps what was not taken, and sends it again."""
        if not (self._unsent and self._site.archive.running):
            return
        try:
            send_images(
                self._site.orthanc.dicom_port, self._unsent,
                timeout=STORE_TIMEOUT)
        except (StoreFailed, subprocess.TimeoutExpired):
            return
        self._unsent.clear()

    def _cut(self, step: Step) -> None:
        timer = self._later(step.seconds, ORTHANC)
        self._send(step)
        timer.join()

    def _kill(self, step: Step) -> None:
        self._strike(*step.what)

    def _stop(self, step: Step) -> None:
        part, = step.what
        self._parts[part].stop()

    def _start(self, step: Step) -> None:
        part, = step.what
        self._parts[part].start()
        if part == GNUHEALTH:
            self._site.courier.target = self._site.gnuhealth.server.url

    def _trap(self, step: Step) -> None:
        part, = step.what
        self._site.courier.trap = lambda: self._later(step.seconds, part)

    def _later(self, seconds: float, part: str) -> threading.Timer:
        timer = threading.Timer(seconds, self._strike, [part])
        self._timers.append(timer)
        timer.start()
        return timer

    def _strike(self, part: str) -> None:
        site = self._site
        if part == WORKER:
            running, kill = site.gnuhealth.running, site.gnuhealth.kill_worker
        else:
            running, kill = self._parts[part].running, self._parts[part].kill
        if running:
            self.result.kills.append(part)
            kill()

    def _wait(self, step: Step) -> None:
        match step.what:
            case ('stable',):
                wait_until(
                    lambda: not self._site.archive.running or self._stable(),
                    STABLE_TIMEOUT, 0.1)
            case ('told',):
                count = len(self._site.courier.told)
                wait_until(
                    lambda: len(self._site.courier.told) > count,
                    TOLD_TIMEOUT, 0.01)
            case _:
                time.sleep(step.seconds)

    def _stable(self) -> bool:
        try:
            return all(
                self._site.orthanc.get(f'/studies/{study}')['IsStable']
                for study in self._sent)
        except requests.RequestException:
            return False

    def _courier(self, step: Step) -> None:
        self._site.courier.use(*step.what)

    def _replay(self, step: Step) -> None:
        self._site.courier.repeat(self._site.courier.told[self._first:])

    def _minute(self, step: Step) -> None:
        self._site.let_pass_a_minute(PROCESS)

    def _synchronize(self, step: Step) -> None:
        self._site.let_pass_a_minute(SYNCHRONIZE)

    # -- the end

    def _finish(self) -> None:
        """Let everything run, and wait until all is right."""
        self._site.courier.trap = None
        for timer in self._timers:
            timer.join()
        for part in self._parts:
            self._start(Step('start', (part,)))
        start = time.monotonic()
        idle_since = None
        while troubles := list(self._troubles()):
            now = time.monotonic()
            if now > start + LIMIT:
                break
            self._send_again()
            if not self._waits_for_scheduler():
                idle_since = None
            elif idle_since is None:
                idle_since = now
            elif now > idle_since + MINUTE:
                self._minute(Step('minute'))
                self.result.minutes += 1
                idle_since = None
            time.sleep(0.1)
        self.result.settled = time.monotonic() - start
        self.result.troubles += troubles

    def _waits_for_scheduler(self) -> bool:
        """Tell whether a notification waits that nobody works on."""
        connection = self._site.connection
        _, kept, processed = notifications(connection, self.orders)
        return processed < kept and not waiting_tasks(connection)

    def _troubles(self) -> Iterator[str]:
        """Yield what is not right, the quickest to see first."""
        if self._unsent:
            yield f"{len(self._unsent)} images are not sent"
        untold = self._site.untold() & {order.study for order in self.orders}
        if untold:
            yield f"{len(untold)} studies are not told"
        connection = self._site.connection
        result = self.result
        known, result.kept, result.processed = notifications(
            connection, self.orders)
        if known < len(self.orders):
            yield f"GNU Health is told of {known} studies"
        if result.processed < result.kept:
            yield f"{result.kept - result.processed} notifications wait"
        if count := waiting_tasks(connection):
            yield f"{count} tasks wait"
        found = [
            trouble for order in self.orders
            for trouble in find_troubles(connection, order)]
        yield from found
        # Only then, because it takes a while
        if not found:
            for order in self.orders:
                yield from self._worklist_troubles(order)

    def _worklist_troubles(self, order: Order) -> Iterator[str]:
        try:
            listed = self._listed(order)
        except FindFailed:
            yield "the worklist is not served"
        else:
            if listed:
                yield f"{len(listed)} steps are still on the worklist"


def run_plans(
        origin: Tryton, seeds: Sequence[int], jobs: int
        ) -> Iterator[Result]:
    """Yield the results of plans as they come, at several sites.

    Afterwards everything is told once more and reconciled, and must stay as
    it is: what is yielded before may get further troubles.

    Parameters
    ----------
    origin
        A database in PostgreSQL that has only our module.
    """
    todo: SimpleQueue[int] = SimpleQueue()
    for seed in seeds:
        todo.put(seed)
    done: SimpleQueue[Result | BaseException | None] = SimpleQueue()
    with open_template(origin) as template:
        with ThreadPoolExecutor(jobs) as executor:
            for number in range(jobs):
                executor.submit(
                    _work, Site(template, f'site{number}'), todo, done)
            try:
                yield from _gather(done, jobs)
            finally:
                # Whatever ends us: they end after the plan at hand.
                while not todo.empty():
                    todo.get_nowait()


def _gather(done: SimpleQueue, jobs: int) -> Iterator[Result]:
    for _ in range(jobs):
        while (result := done.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result


def _work(site: Site, todo: SimpleQueue, done: SimpleQueue) -> None:
    runs: list[Run] = []
    try:
        with site:
            while True:
                try:
                    run = Run(site, make_plan(todo.get_nowait()))
                except Empty:
                    break
                runs.append(run)
                done.put(run.run())
            _reconcile(site, runs)
    except BaseException as error:
        done.put(error)
    finally:
        done.put(None)


def _reconcile(site: Site, runs: Sequence[Run]) -> None:
    """Let all events come once more, and everything be compared."""
    last = last_task(site.connection)
    site.courier.repeat(list(site.courier.told))
    site.let_pass_a_minute(RECONCILE)
    wait_until(lambda: not tasks_after(site.connection, last), LIMIT)
    kind, state = last_run(site.connection)
    for run in runs:
        if (kind, state) != ('full', 'done'):
            run.result.troubles.append(
                f"the {kind} run in the end is {state}")
        run.result.troubles += [
            f"{trouble} afterwards"
            for order in run.orders
            for trouble in find_troubles(site.connection, order)]
