# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run functions inside of Tryton, each in a process of its own.

trytond works on one kind of database in a process, and takes seconds to
start.  An agent is a process that has done so and is forked for each call:
calls can run side by side, be killed at any point, and change what they like
in the modules without a trace.
"""
import os
import pickle
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from devtools.forks import Forks, Template, load
from devtools.tryton import Tryton

__all__ = ['Agent', 'Call', 'CallFailed']

TIMEOUT = 120


class CallFailed(Exception):
    """What was called raised an error, whose traceback this holds."""


class Agent:
    """A process that knows a database, as a context manager."""

    def __init__(self, tryton: Tryton):
        self.tryton = tryton
        self._folder = tempfile.TemporaryDirectory(prefix='agent-')
        self.template = Template(
            __name__, [tryton.configuration, tryton.name],
            Path(self._folder.name, 'log'))
        self._calls = 0

    def __enter__(self) -> 'Agent':
        self.template.__enter__()
        return self

    def __exit__(self, *exc_info) -> None:
        self.template.__exit__(*exc_info)
        self._folder.cleanup()

    def call(self, function: Callable, *args: Any, **options: Any) -> Any:
        """Return what the function returns inside of a transaction.

        Raises
        ------
        CallFailed
        """
        return self.start(function, *args, **options).result()

    def start(self, function: Callable, *args: Any, user: int = 0,
            access: bool = False) -> 'Call':
        """Start a call and do not wait for its end.

        Parameters
        ----------
        function
            Of a module; what it takes and returns can be pickled.
        user
            The id of the user of the transaction.
        access
            Check what the user may do, as for a client.
        """
        self._calls += 1
        path = Path(self._folder.name, f'call{self._calls}')
        path.write_bytes(pickle.dumps(args))
        pid = self.template.ask(
            'start', f'{function.__module__}:{function.__qualname__}',
            str(path), user, access)
        return Call(self, pid, path)


class Call:
    """A function that runs in a process of its own."""

    def __init__(self, agent: Agent, pid: int, path: Path):
        self._agent = agent
        self._path = path
        self._status: int | None = None
        self.pid = pid

    @property
    def running(self) -> bool:
        if self._status is None:
            self._status = self._agent.template.poll(self.pid)
        return self._status is None

    @property
    def killed(self) -> bool:
        """Whether it has ended by SIGKILL."""
        return not self.running and self._status == -signal.SIGKILL

    def kill(self) -> None:
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self, timeout: float = TIMEOUT) -> None:
        if not self.running:
            return
        # It is not reaped before `running` asks for it, so that the number is
        # still its
        end = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            ended = poll.poll(timeout * 1000)
        finally:
            os.close(end)
        if not ended:
            self.kill()
            raise CallFailed(f"did not end within {timeout} s")
        assert not self.running

    def result(self, timeout: float = TIMEOUT) -> Any:
        self.wait(timeout)
        if self._status:
            log = self._agent.template.log.read_text()
            raise CallFailed(f"ended with {self._status}\n{log[-2000:]}")
        error, result = pickle.loads(self._path.read_bytes())
        if error:
            raise CallFailed(error)
        return result


class _Server(Forks):

    def __init__(self, database: str):
        self._database = database

    def start(
            self, function: str, path: str, user: int, access: bool) -> int:
        module, _, name = function.partition(':')
        if module not in sys.modules:
            # Once, and not again in each fork
            import_module(module)
            self.freeze()
        return self.fork(
            self._run, getattr(sys.modules[module], name), path, user, access)

    def _run(
            self, function: Callable, path: str, user: int, access: bool
            ) -> int:
        args = pickle.loads(Path(path).read_bytes())
        error = result = None
        try:
            result = self._call(function, args, user, access)
        except Exception:
            error = traceback.format_exc()
        Path(path).write_bytes(pickle.dumps((error, result)))
        return 0

    def _call(
            self, function: Callable, args: tuple, user: int,
            access: bool) -> Any:
        from trytond.transaction import Transaction
        from trytond.worker import run_task
        context = {'_check_access': access}
        with Transaction().start(
                self._database, user, context=context) as transaction:
            result = function(*args)
        # As trytond does after a request where there is no queue
        while transaction.tasks:
            run_task(self._database, transaction.tasks.pop())
        return result


def main(configuration: str, database: str) -> None:
    load(configuration, database)
    _Server(database).serve()


if __name__ == '__main__':
    main(*sys.argv[1:])
