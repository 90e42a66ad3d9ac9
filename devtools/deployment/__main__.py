# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the set-up of `deploy/` in a folder, and walk through it.

The last line is JSON.
"""
import argparse
import datetime as dt
import json
import shutil
import sys
import tempfile
from pathlib import Path

from ..process import stopping_on_signals
from .site import Site
from .walk import KILLED, Walk

# Of each log, if something is wrong
LINES = 40


def say(text: str) -> None:
    print(f'{dt.datetime.now():%H:%M:%S} {text}', file=sys.stderr, flush=True)


def print_logs(folder: Path) -> None:
    """Print the ends of all logs."""
    for path in sorted((folder / 'log').glob('*')):
        lines = path.read_text(errors='replace').splitlines()[-LINES:]
        print(f'== {path.name}', *lines, sep='\n', file=sys.stderr)


def check(kill: bool, keep: bool) -> int:
    """Build, walk, stop, and print what it came to as JSON."""
    folder = Path(tempfile.mkdtemp(prefix='deployment-'))
    result: dict[str, object] = {'ok': False}
    try:
        say(f"Set-up in {folder}")
        with Site(folder) as site:
            units = result['units'] = site.verify_units()
            walk = Walk(site, kill, say)
            try:
                walk.run()
            finally:
                result['seconds'] = walk.seconds
                result['killed'] = walk.killed
                result['uploaded'] = walk.uploaded
            result['ok'] = units.startswith(('ok', 'not checked')) and (
                walk.killed == (KILLED if kill else []))
    except Exception as error:
        # The last line is for a machine to read, whatever happens
        result['error'] = f'{type(error).__name__}: {error}'
        print_logs(folder)
    finally:
        if not keep:
            shutil.rmtree(folder)
        print(json.dumps(result), flush=True)
    return 0 if result['ok'] else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev deploy-check', description=__doc__)
    parser.add_argument(
        '--kill', action='store_true',
        help="kill each part once on the way")
    parser.add_argument(
        '--keep', action='store_true',
        help="keep the folder, with configuration and logs")
    options = parser.parse_args()
    return check(options.kill, options.keep)


if __name__ == '__main__':
    with stopping_on_signals():
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit("deploy-check: stopped")
