# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""trytond under gunicorn, with the settings of `deploy/`."""
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from .cache import ROOT
from .deployment.files import DEPLOY
from .process import LOOPBACK, Process, free_port
from .tryton import Tryton, environment, program

__all__ = ['Gunicorn', 'group_pids']

START_TIMEOUT = 180


class Gunicorn:
    """A running gunicorn, stopped as a context manager.

    Parameters
    ----------
    tryton
        Whose configuration trytond has.
    application
        What it serves.
    variables
        Of the environment.

    Attributes
    ----------
    url : str
    port : int
    """

    def __init__(
            self, tryton: Tryton,
            application: str = 'trytond.application:app',
            variables: Mapping[str, str] | None = None):
        self.port = free_port()
        self._tryton = tryton
        self._application = application
        self._variables = variables or {}
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self.port}'

    def __enter__(self) -> 'Gunicorn':
        settings = DEPLOY / 'etc' / 'gnuhealth' / 'gunicorn.conf.py'
        tryton = self._tryton
        self.process = Process(
            [program('gunicorn'), '--config', settings, '--bind',
                f'{LOOPBACK}:{self.port}', self._application],
            tryton.folder / f'gunicorn-{self.port}.log', folder=ROOT,
            environment={
                **environment(), **self._variables,
                'TRYTOND_CONFIG': str(tryton.configuration),
                'TRYTOND_DATABASE_NAMES': tryton.name})
        try:
            self.process.wait_ready(
                lambda: len(list(self.pids())) > 1
                and self.process.listens(self.port),
                START_TIMEOUT, f"gunicorn on port {self.port}")
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self.process.stop()

    def pids(self) -> Iterator[int]:
        """Yield the ids of its processes."""
        return group_pids(self.process.pid)


def group_pids(group: int) -> Iterator[int]:
    """Yield the ids of the processes of a group."""
    for path in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if os.getpgid(int(path.name)) == group:
                yield int(path.name)
