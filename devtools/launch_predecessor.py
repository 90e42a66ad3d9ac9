# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with the predecessor of our module in place of ours.

Arguments: the folder that the predecessor is installed in, the program, and
the program's own arguments.
"""
import runpy
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = 'trytond.modules.health_orthanc'


class Finder:
    """Finds the predecessor under the name that both modules have."""

    def __init__(self, folder: Path):
        self._folder = folder

    def find_spec(self, name: str, path=None, target=None
            ) -> ModuleSpec | None:
        if name == NAME:
            return PathFinder.find_spec(
                name, [str(self._folder / 'trytond' / 'modules')], target)
        return None


def main(folder: str, program: str, *arguments: str) -> None:
    # The distribution that comes first gives the entry point; this script's
    # own folder would hide other packages.
    sys.path[:1] = [folder, str(ROOT)]
    sys.meta_path.insert(0, Finder(Path(folder)))
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name='__main__')


if __name__ == '__main__':
    main(*sys.argv[1:])
