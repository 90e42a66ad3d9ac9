# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that has loaded what takes long, and is forked for each use."""
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .process import StartError, die_with_parent
from .tryton import ROOT, environment

__all__ = ['Forks', 'Template', 'load']

STOP_TIMEOUT = 20


class Template:
    """The process that is forked, as a context manager.

    Threads may share it.

    Parameters
    ----------
    module
        It has loaded all and runs `Forks.serve`.
    arguments
        Of its command.
    log
        The file for its standard error.
    """

    def __init__(
            self, module: str, arguments: Sequence[str | os.PathLike],
            log: Path):
        self.log = log
        self._command = [sys.executable, '-m', module, *arguments]
        self._lock = threading.Lock()
        self._popen: subprocess.Popen | None = None

    def __enter__(self) -> 'Template':
        with self.log.open('wb') as stream:
            self._popen = subprocess.Popen(
                self._command, cwd=ROOT, env=environment(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=stream, text=True, start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL))
        if not self._popen.stdout.readline():
            raise StartError(self.log.read_text(errors='replace'))
        return self

    def __exit__(self, *exc_info) -> None:
        self._popen.stdin.close()
        try:
            self._popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()

    def ask(self, *question: Any) -> Any:
        """Call a method of the `Forks` and return what it returns."""
        with self._lock:
            self._popen.stdin.write(json.dumps(question) + '\n')
            self._popen.stdin.flush()
            answer = self._popen.stdout.readline()
        if not answer:
            raise StartError(self.log.read_text(errors='replace'))
        return json.loads(answer)

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a fork, None while it runs."""
        return self.ask('poll', pid)


class Forks:
    """The side that forks."""

    def serve(self) -> None:
        """Do what is asked for, until nobody is there to ask."""
        self.freeze()
        print('ready', flush=True)
        for line in sys.stdin:
            name, *args = json.loads(line)
            print(json.dumps(getattr(self, name)(*args)), flush=True)

    @staticmethod
    def freeze() -> None:
        """Let children share the memory of what there is."""
        gc.collect()
        gc.freeze()

    def fork(self, function: Callable[..., int], *args: Any) -> int:
        """Return the id of a process that ends with what `function` returns.
        """
        die = die_with_parent(signal.SIGKILL)
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            die()
            status = function(*args)
        except BaseException:
            traceback.print_exc()
        finally:
            # Nothing of the parent may be closed or written by us.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a fork, None while it runs."""
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None


def load(configuration: str, database: str) -> None:
    """Make the classes of a database, and what takes long of its caches."""
    from trytond.config import config
    config.update_etc(configuration)
    from trytond.cache import Cache
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    Pool.start()
    with Transaction().start(database, 0, readonly=True):
        Pool(database).init()
    # Nobody tells us of changes: forks shall find none of what changes
    Cache.drop(database)
    for context in [{}, {'_check_access': False}, {'_check_access': True}]:
        with Transaction().start(
                database, 0, readonly=True, context=context):
            # All models' names in the user's language
            Pool().get('ir.model').__names__('name')
