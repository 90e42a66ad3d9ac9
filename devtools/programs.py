# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""trytond's programs, where they have to start often.

What takes them seconds is to import GNU Health's modules and to make the
classes of a database from them.  A process that has done so is forked for each
start: what is forked runs the program from its first line, and is killed like
any other.
"""
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .forks import STOP_TIMEOUT, Forks, Template, load
from .process import Process
from .tryton import Tryton, program

__all__ = ['ForkingTryton', 'Programs']


class Programs(Template):
    """What `ForkingTryton` has its daemons from.

    Parameters
    ----------
    configuration
        That of trytond.
    database
        The name of the one that the programs work on.
    values
        Of names in modules (``'module:NAME'``) that the programs have
        instead of their own.
    """

    def __init__(
            self, configuration: Path, database: str,
            values: Mapping[str, float] | None = None):
        super().__init__(
            __name__, [configuration, database, json.dumps(values or {})],
            configuration.with_name('programs.log'))

    def start(self, command: Sequence[str | os.PathLike], log: Path
            ) -> Process:
        """Run a program written in Python, the first part of `command`."""
        return _Forked(self, list(map(os.fspath, command)), log)


class _Forked(Process):
    """A program with all its children, as a service manager handles them.
    """

    def __init__(self, programs: Programs, command: list[str], log: Path):
        self.log = log
        self._stop_signal = signal.SIGTERM
        self._popen = _Group(
            programs, programs.ask('start', command, str(log)))


class _Group:
    """What `subprocess.Popen` offers, for the fork and its group."""

    def __init__(self, programs: Programs, pid: int):
        self.pid = pid
        self._programs = programs
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._programs.poll(self.pid)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or STOP_TIMEOUT)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self._status

    def send_signal(self, number: int) -> None:
        # It is not reaped before `poll`, so that the number is still its.
        if self.poll() is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                # It has not made a group of its own yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkingTryton(Tryton):
    """A database whose daemons are forked from `programs`."""

    programs: Programs

    def _daemon(self, name: str, *arguments: str) -> Process:
        return self.programs.start(
            [program(name), '-v', '-c', self.configuration,
                '-d', self.name, *arguments],
            self.folder / f'{name}.log')


class _Server(Forks):

    def start(self, command: Sequence[str], log: str) -> int:
        return self.fork(_become, command, log)


def _become(command: Sequence[str], log: str) -> int:
    """Run a program to its end and return its exit code."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = list(command)
    try:
        runpy.run_path(command[0], run_name='__main__')
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def main(configuration: str, database: str, values: str) -> None:
    load(configuration, database)
    for path, value in json.loads(values).items():
        module, name = path.split(':')
        assert hasattr(importlib.import_module(module), name)
        setattr(importlib.import_module(module), name, value)
    import trytond.commandline  # noqa: F401
    import trytond.cron  # noqa: F401
    import trytond.worker  # noqa: F401
    import trytond.wsgi  # noqa: F401
    _Server().serve()


if __name__ == '__main__':
    main(*sys.argv[1:])
