# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd does for services: start them, and start them again."""
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..process import Process, StartError, wait_until
from .units import Unit

__all__ = ['Service', 'Supervisor']

READY_TIMEOUT = 180
LOOK = 0.1  # seconds
_PEAK = re.compile(r'^VmHWM:\s+(\d+) kB$', re.MULTILINE)


class Service:
    """A unit that runs.

    Parameters
    ----------
    start
        Starts its program.
    ready
        Tells whether the program does its work.
    """

    def __init__(
            self, unit: Unit, start: Callable[[], Process],
            ready: Callable[[], bool] = lambda: True):
        self.unit = unit
        self.process: Process | None = None
        self.starts = 0
        self._start = start
        self._ready = ready
        self._due: float | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start it and wait until it works."""
        self._launch()
        self.wait_ready()

    def _launch(self) -> None:
        with self._lock:
            if not self._stopped:
                self.process = self._start()
                self.starts += 1

    def wait_ready(self) -> None:
        """Wait until it works, however often it has to be started for it.

        Raises
        ------
        StartError
        """
        if not wait_until(
                lambda: self._running() and self._ready(), READY_TIMEOUT,
                LOOK):
            log = self.process.log_tail() if self.process else ''
            raise StartError(f"{self.unit.name} does not work:\n{log}")

    def _running(self) -> bool:
        return self.process is not None and self.process.running

    def look_after(self) -> None:
        """Start it again if it has ended and its time has come."""
        if self.process is None or self.process.running:
            return
        if not self.unit.restarts:
            return
        if self._due is None:
            _end_group(self.process)
            self._due = time.monotonic() + self.unit.pause
        elif time.monotonic() > self._due:
            self._due = None
            with suppress(StartError):
                self._launch()

    def kill(self) -> None:
        """Kill its main process, and wait until it works again."""
        self._end(self.process.kill)

    def restart(self) -> None:
        """Let it end, and wait until it works again."""
        self._end(self.process.stop)

    def _end(self, end: Callable[[], None]) -> None:
        before = self.starts
        end()
        if not wait_until(lambda: self.starts > before, READY_TIMEOUT, LOOK):
            raise StartError(f"{self.unit.name} is not started again")
        self.wait_ready()

    @property
    def memory(self) -> int:
        """The most that one of its processes has ever held, in KiB."""
        return max(_peaks(self.process.pid), default=0)

    def pause(self) -> None:
        """Let it end, and do not start it again."""
        self.stop()

    def resume(self) -> None:
        """Start what was paused, and wait until it works."""
        with self._lock:
            self._stopped = False
        if not self.unit.restarts:
            self._launch()
        self.wait_ready()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self.process:
            self.process.stop()
            _end_group(self.process)


def _peaks(group: int) -> Iterator[int]:
    for path in Path('/proc').glob('[0-9]*/status'):
        with suppress(OSError):
            if os.getpgid(int(path.parent.name)) == group:
                # One that has ended holds nothing
                yield from map(int, _PEAK.findall(path.read_text()))


def _end_group(process: Process) -> None:
    """End what a service has left behind, as systemd does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Supervisor:
    """Looks after services; stops them in reverse as a context manager."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> 'Supervisor':
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._stop.set()
        for service in reversed(self.services.values()):
            service.stop()
        # What it has started ends with it: it comes last
        self._thread.join()

    def add(self, name: str, service: Service) -> None:
        """Start a service and look after it."""
        self.services[name] = service
        service.start()

    def _run(self) -> None:
        while not self._stop.wait(LOOK):
            for service in list(self.services.values()):
                service.look_after()
