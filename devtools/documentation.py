# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the site of the documentation: ``./dev docs [FOLDER]``."""
import argparse
import subprocess
import sys
from pathlib import Path

from .tryton import ROOT

__all__ = ['INDEX', 'build']

CONFIGURATION = ROOT / 'doc'
INDEX = Path('doc', 'index.html')
DEFAULT = ROOT / 'build' / 'site'
TIMEOUT = 300


def build(folder: Path) -> None:
    """Make the site in a folder.

    Raises
    ------
    subprocess.CalledProcessError
        A page has an error, or a link leads nowhere.  Sphinx has printed
        which.
    """
    subprocess.run(
        [sys.executable, '-m', 'sphinx', '--builder', 'html', '--quiet',
            '--fresh-env', '--fail-on-warning', '--keep-going', '--nitpicky',
            '--conf-dir', CONFIGURATION, ROOT, folder],
        check=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', nargs='?', type=Path, default=DEFAULT)
    folder = parser.parse_args().folder
    try:
        build(folder)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    print(folder / INDEX)
