# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the script of the worklist files, and looking at its folder."""
import contextlib
import importlib.util
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from types import ModuleType
from unittest import mock

import pydicom
from pydicom.dataset import Dataset

from devtools.tryton import ROOT

from .fake_worklist_rpc import PASSWORD

__all__ = [
    'FULL_DISK', 'SCRIPT', 'TIMEOUT', 'files', 'patient', 'read', 'runner']

SCRIPT = ROOT / 'scripts' / 'update_worklists_database.py'
TIMEOUT = 120
# What to put before a command so that no file gets any content
FULL_DISK = ['bash', '-c', 'ulimit -f 0; exec "$@"', '']
# What nobody may read in a log
SECRETS = ['Müller', 'Änne', 'PUID', '19800229', PASSWORD]


@cache
def _load() -> ModuleType:
    """Return the script as a module, from the file that is called."""
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


def runner(
        options: Sequence[str | PathLike], variables: Mapping[str, str]
        ) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs the script and returns how it ended.

    The script runs in this process, because a process of its own takes longer
    to start than most tests.  It has one if that is asked for by `alone`, or
    because of a `prefix`.

    Parameters
    ----------
    options
        What each call begins with.
    variables
        The whole environment.
    """
    def run(*arguments, expected=0, prefix=(), alone=False, **changes):
        arguments = list(map(os.fspath, [*options, *arguments]))
        environment = {**variables, **changes}
        if prefix or alone:
            ended = subprocess.run(
                [*prefix, sys.executable, SCRIPT, *arguments],
                env=environment, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=TIMEOUT)
        else:
            ended = _call(arguments, environment)
        assert ended.returncode == expected, ended.stderr
        assert 'Traceback' not in ended.stderr
        for secret in SECRETS:
            assert secret not in ended.stdout + ended.stderr
        return ended
    return run


def _call(
        arguments: list[str], environment: Mapping[str, str]
        ) -> subprocess.CompletedProcess:
    """Call the script's `main`, and leave nothing of it behind."""
    script = _load()
    output, errors = io.StringIO(), io.StringIO()
    with (
            open(os.devnull) as nothing,
            mock.patch.object(sys, 'stdin', nothing),
            mock.patch.dict(os.environ, environment, clear=True),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(), _kept_signals()):
        try:
            code = script.main(arguments)
        except SystemExit as end:
            # argparse ends so
            code = end.code
    return subprocess.CompletedProcess(
        arguments, code, output.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _kept_signals():
    """Give signals back to whom they went before."""
    handlers = {
        number: signal.getsignal(number)
        for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def files(folder: Path) -> list[str]:
    """Return the names of what modalities see."""
    return sorted(path.name for path in folder.glob('*.wl'))


def read(folder: Path, number: int) -> Dataset:
    return pydicom.dcmread(folder / f'gnuhealth-{number}.wl')


def patient(folder: Path, number: int) -> str:
    return str(read(folder, number).PatientName)
