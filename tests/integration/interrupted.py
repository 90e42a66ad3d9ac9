# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program of trytond that is killed when it comes to a function.

Arguments: the function as module:name, the program, and the program's own
arguments.
"""
import importlib
import os
import runpy
import signal
import sys


def main(function: str, program: str, *arguments: str) -> None:
    # Its own folder would hide other packages
    del sys.path[0]
    # What is imported depends on the kind of database
    from trytond.config import config
    config.update_etc(arguments[arguments.index('-c') + 1])
    module, _, path = function.partition(':')
    *owners, name = path.split('.')
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)

    def kill(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    assert hasattr(owner, name)
    setattr(owner, name, kill)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name='__main__')


if __name__ == '__main__':
    main(*sys.argv[1:])
