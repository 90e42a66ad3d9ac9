# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the set-up of `deploy/` in a folder, and walk through it.

The last line is JSON.
"""
import argparse
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..process import stopping_on_signals
from .site import Site
from .walk import KILLED, Walk

# Of each log, if something is wrong
LINES = 40
# Set for the process whose mounts nobody else sees
_OWN_MOUNTS = 'DEPLOY_CHECK_OWN_MOUNTS'


def say(text: str) -> None:
    print(f'{dt.datetime.now():%H:%M:%S} {text}', file=sys.stderr, flush=True)


def print_logs(folder: Path) -> None:
    """Print the ends of all logs."""
    for path in sorted((folder / 'log').glob('*')):
        lines = path.read_text(errors='replace').splitlines()[-LINES:]
        print(f'== {path.name}', *lines, sep='\n', file=sys.stderr)


def check(options: argparse.Namespace) -> int:
    """Build, walk, stop, and print what it came to as JSON."""
    folder = Path(tempfile.mkdtemp(prefix='deployment-'))
    result: dict[str, object] = {'ok': False}
    try:
        say(f"Set-up in {folder}")
        with Site(folder, small_disk=options.troubles) as site:
            units = result['units'] = site.verify_units()
            walk = Walk(site, options.kill, say)
            if options.troubles:
                _look_at_troubles(site, walk, result)
                done = True
            else:
                _walk(walk, result)
                done = walk.killed == (KILLED if options.kill else [])
            result['ok'] = done and units.startswith(('ok', 'not checked'))
    except Exception as error:
        # The last line is for a machine to read, whatever happens
        result['error'] = f'{type(error).__name__}: {error}'
        print_logs(folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder)
        print(json.dumps(result), flush=True)
    return 0 if result['ok'] else 1


def _walk(walk: Walk, result: dict[str, object]) -> None:
    try:
        walk.run()
    finally:
        result['seconds'] = walk.seconds
        result['killed'] = walk.killed
        result['uploaded'] = walk.uploaded
        result['viewed'] = walk.viewed


def _look_at_troubles(
        site: Site, walk: Walk, result: dict[str, object]) -> None:
    # It needs a mail server, which is for tests only
    from .troubles import MailBox, Troubles
    with MailBox(site.smtp_port) as mailbox:
        walk.introduce()
        troubles = Troubles(site, mailbox, say)
        try:
            troubles.run()
        finally:
            result['troubles'] = [seen.as_dict() for seen in troubles.seen]


def _own_mounts() -> None:
    """Go on with mounts of one's own: the small disk ends with this."""
    if os.geteuid():
        sys.exit("deploy-check: only root can mount the disk of --troubles")
    if _OWN_MOUNTS not in os.environ:
        os.environ[_OWN_MOUNTS] = '1'
        os.execvp('unshare', [
                'unshare', '--mount', '--', sys.executable, '-m',
                'devtools.deployment', *sys.argv[1:]])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev deploy-check', description=__doc__)
    parser.add_argument(
        '--kill', action='store_true',
        help="kill each part once on the way")
    parser.add_argument(
        '--troubles', action='store_true',
        help="instead of the walk, make what administrators are warned of, "
        "and print what they see (as root)")
    parser.add_argument(
        '--keep', action='store_true',
        help="keep the folder, with configuration and logs")
    options = parser.parse_args()
    if options.troubles:
        _own_mounts()
    return check(options)


if __name__ == '__main__':
    with stopping_on_signals():
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit("deploy-check: stopped")
