# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the script of the worklist files, and looking at its folder."""
import subprocess
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from devtools.tryton import ROOT

from .fake_gnuhealth import PASSWORD

__all__ = [
    'FULL_DISK', 'SCRIPT', 'TIMEOUT', 'files', 'patient', 'read', 'runner']

SCRIPT = ROOT / 'scripts' / 'update_worklists_database.py'
TIMEOUT = 120
# What to put before a command so that no file gets any content
FULL_DISK = ['bash', '-c', 'ulimit -f 0; exec "$@"', '']
# What nobody may read in a log
SECRETS = ['Müller', 'Änne', 'PUID', '19800229', PASSWORD]


def runner(
        command: Sequence[str | PathLike], variables: Mapping[str, str]
        ) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs the script and returns how it ended."""
    def run(*arguments, expected=0, prefix=(), **changes):
        ended = subprocess.run(
            [*prefix, *command, *arguments], env={**variables, **changes},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=TIMEOUT)
        assert ended.returncode == expected, ended.stderr
        assert 'Traceback' not in ended.stderr
        for secret in SECRETS:
            assert secret not in ended.stdout + ended.stderr
        return ended
    return run


def files(folder: Path) -> list[str]:
    """Return the names of what modalities see."""
    return sorted(path.name for path in folder.glob('*.wl'))


def read(folder: Path, number: int) -> Dataset:
    return pydicom.dcmread(folder / f'gnuhealth-{number}.wl')


def patient(folder: Path, number: int) -> str:
    return str(read(folder, number).PatientName)
