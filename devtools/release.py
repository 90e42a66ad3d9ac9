# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checklist of doc/release.md."""
import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from .process import die_with_parent, stopping_on_signals
from .tryton import MODULE, ROOT

__all__ = ['CHECKLIST', 'find_version_troubles', 'read_commands']

CHECKLIST = ROOT / 'doc' / 'release.md'
_COMMAND = re.compile(r'^\d+\. `([^`]+)`', re.MULTILINE)
_HEAD = re.compile(r'Version (\S+) - (\d{4}-\d{2}-\d{2})\n')
_VERSION = re.compile(r'^version ?= ?"?([\d.]+)"?$', re.MULTILINE)


def read_commands(text: str) -> list[list[str]]:
    """Return the commands of a checklist, in its order."""
    return [shlex.split(command) for command in _COMMAND.findall(text)]


def find_version_troubles(root: Path = ROOT) -> list[str]:
    """Return what is wrong with version and date of a release."""
    versions = {
        name: _VERSION.search((root / name).read_text()).group(1)
        for name in ['pyproject.toml', f'{MODULE}/tryton.cfg']}
    head = _HEAD.match((root / 'CHANGELOG').read_text())
    if not head:
        return ["CHANGELOG: the first version has no date"]
    versions['CHANGELOG'] = head.group(1)
    if len(set(versions.values())) > 1:
        return [f"{name}: {version}" for name, version in versions.items()]
    return []


def run(commands: list[list[str]], first: int = 1) -> int:
    """Run commands until one fails, and print how long each took.

    Parameters
    ----------
    first
        The number of the command to begin with.
    """
    for number, command in enumerate(commands, 1):
        if number < first:
            continue
        start = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent())
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        print(
            f"{'failed' if code else 'ok':6} {time.monotonic() - start:6.0f} s"
            f"  {number}. {shlex.join(command)}", flush=True)
        if code:
            return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev release-check', description=__doc__)
    parser.add_argument(
        '--version', action='store_true',
        help="only compare the version and look for its date")
    commands = read_commands(CHECKLIST.read_text())
    parser.add_argument(
        '--from', dest='first', type=int, metavar='NUMBER', default=1,
        choices=range(1, len(commands) + 1),
        help="begin with this command: those before it have succeeded")
    options = parser.parse_args()
    if options.version:
        troubles = find_version_troubles()
        print('\n'.join(troubles), end='\n' if troubles else '')
        return bool(troubles)
    return run(commands, options.first)


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
