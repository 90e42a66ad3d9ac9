# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""trytond's programs, where they have to start often.

What takes them seconds is to import GNU Health's modules and to make the
classes of a database from them.  A process that has done so is forked for each
start: what is forked runs the program from its first line, and is killed like
any other.
"""
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .process import Process, StartError, die_with_parent
from .tryton import ROOT, Tryton, environment, program

__all__ = ['ForkingTryton', 'Programs']

STOP_TIMEOUT = 20


class Programs:
    """The process that is forked, as a context manager.

    Threads may share it.

    Parameters
    ----------
    configuration
        That of trytond.
    database
        The name of the one that the programs work on.
    """

    def __init__(self, configuration: Path, database: str):
        self._configuration = configuration
        self._database = database
        self._lock = threading.Lock()
        self._popen: subprocess.Popen | None = None

    def __enter__(self) -> 'Programs':
        log = self._configuration.with_name('programs.log')
        with log.open('wb') as stream:
            self._popen = subprocess.Popen(
                [sys.executable, '-m', __name__, self._configuration,
                    self._database],
                cwd=ROOT, env=environment(), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=stream, text=True,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL))
        if not self._popen.stdout.readline():
            raise StartError(log.read_text())
        return self

    def __exit__(self, *exc_info) -> None:
        self._popen.stdin.close()
        try:
            self._popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()

    def start(self, command: Sequence[str | os.PathLike], log: Path
            ) -> Process:
        """Run a program written in Python, the first part of `command`."""
        return _Forked(self, list(map(os.fspath, command)), log)

    def ask(self, *question: Any) -> Any:
        with self._lock:
            self._popen.stdin.write(json.dumps(question) + '\n')
            self._popen.stdin.flush()
            return json.loads(self._popen.stdout.readline())


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
            self._status = self._programs.ask('poll', self.pid)
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
            os.killpg(self.pid, number)

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


class _Server:
    """The side that forks."""

    def serve(self) -> None:
        print('ready', flush=True)
        for line in sys.stdin:
            name, *args = json.loads(line)
            print(json.dumps(getattr(self, name)(*args)), flush=True)

    def start(self, command: Sequence[str], log: str) -> int:
        die = die_with_parent(signal.SIGKILL)
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            die()
            status = _become(command, log)
        except BaseException:
            traceback.print_exc()
        finally:
            # Nothing of the parent may be closed or written by us.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self, pid: int) -> int | None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None


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


def main(configuration: str, database: str) -> None:
    from trytond.config import config
    config.update_etc(configuration)
    import trytond.commandline  # noqa: F401
    import trytond.cron  # noqa: F401
    import trytond.worker  # noqa: F401
    import trytond.wsgi  # noqa: F401
    from trytond.cache import Cache
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    Pool.start()
    with Transaction().start(database, 0, readonly=True):
        Pool(database).init()
    # Nobody tells us of changes.
    Cache.drop(database)
    # Children share the memory of what is never collected
    gc.collect()
    gc.freeze()
    _Server().serve()


if __name__ == '__main__':
    main(*sys.argv[1:])
