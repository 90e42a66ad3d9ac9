# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that were made with the module that ours is the successor of."""
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .tryton import MODULE, Tryton, _digest, _prune, _run, program

__all__ = ['OLD_VERSION', 'Predecessor', 'install']

OLD_VERSION = '5.0.4'
LAUNCHER = Path(__file__).with_name('launch_predecessor.py')
# What it imports that ours does not need
REQUIREMENT = 'pyorthanc'
PIP_TIMEOUT = 300
SCRIPT_TIMEOUT = 300


def install(folder: Path, wheel: Path) -> None:
    """Install the predecessor's wheel where nothing else finds it."""
    part = folder.with_suffix('.part')
    shutil.rmtree(part, ignore_errors=True)
    for arguments in [[REQUIREMENT], ['--no-deps', wheel]]:
        subprocess.run(
            [sys.executable, '-m', 'pip', 'install', '--quiet',
                '--only-binary', ':all:', '--target', part, *arguments],
            check=True, timeout=PIP_TIMEOUT)
    # It relies on lying among trytond's own modules.
    information, = part.glob('gnuhealth_orthanc-*.dist-info')
    (information / 'entry_points.txt').write_text(
        f'[trytond.modules]\n{MODULE} = trytond.modules.{MODULE}\n')
    part.rename(folder)


class Predecessor(Tryton):
    """A Tryton database with the predecessor of our module.

    Parameters
    ----------
    files
        The folder that it is installed in.
    """

    def __init__(self, folder: Path, files: Path, **options):
        self._files = files
        super().__init__(folder, **options)

    def _command(self, name: str) -> list[str | os.PathLike]:
        return self._launch(program(name))

    def _launch(self, path: Path) -> list[str | os.PathLike]:
        return [sys.executable, LAUNCHER, self._files, path]

    def run_script(self, script: Path, *arguments: str) -> None:
        """Run a Python script with the predecessor in place of our module.

        It is given `arguments` after the database, as proteus names it, and
        the configuration file.
        """
        _run(
            [*self._launch(script), self.uri, self.configuration, *arguments],
            SCRIPT_TIMEOUT)

    def create_filled(
            self, modules: Sequence[str], cache: Path, fill:
            Callable[['Predecessor'], None], version: str) -> None:
        """Make the database with `modules` besides the predecessor.

        Parameters
        ----------
        fill
            What puts the data in.
        version
            Tells one state of the data from others in the `cache`.
        """
        cache.mkdir(parents=True, exist_ok=True)
        foreign = sorted({'health_imaging', *modules} - {MODULE})
        base = cache / f'base-{_digest(foreign)}-{self._suffix}'
        image = cache / (
            f'old-{_digest(foreign, OLD_VERSION, version)}-{self._suffix}')
        with self._locked(cache):
            if image.exists():
                self._restore(image)
                return
            self._create_base(base, foreign)
            self.update(MODULE)
            fill(self)
            self._save(image)
            _prune(cache, f'old-*-{self._suffix}')
