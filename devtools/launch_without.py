# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program as if a module of GNU Health were not installed.

Arguments: the module, the program, and the program's own arguments.
"""
import runpy
import sys
from pathlib import Path

import trytond.modules

ROOT = Path(__file__).resolve().parent.parent


def main(module: str, program: str, *arguments: str) -> None:
    # This script's own folder would hide other packages
    sys.path[0] = str(ROOT)
    found = trytond.modules.get_modules
    opened = trytond.modules.get_module_info

    def get_modules(with_test=False):
        return found(with_test) - {module}

    def get_module_info(name):
        if name == module:
            raise FileNotFoundError(f'{name}/tryton.cfg')
        return opened(name)

    trytond.modules.get_modules = get_modules
    trytond.modules.get_module_info = get_module_info
    sys.modules[f'trytond.modules.{module}'] = None
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name='__main__')


if __name__ == '__main__':
    main(*sys.argv[1:])
