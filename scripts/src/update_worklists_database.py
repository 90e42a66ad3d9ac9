# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a folder of worklist files up to date with the orders in GNU Health.

Each open procedure step has one file gnuhealth-….wl in the folder, for the
worklists plugin of Orthanc or for wlmscpfs of dcmtk. Only files that have
changed are written, only those of closed steps are removed; all other files
are left alone.
"""
import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from .command_line import hide_argument
from .connection import (
    CONNECTION_HELP, add_connection_options, complete_connection)
from .failures import Failure, Unusable
from .folder import Folder, Plan
from .json_rpc import Client
from .manifest import Manifest
from .messages import print_error
from .permissions import Permissions, parse_group
from .signals import Terminated, raise_on_signals
from .worklist import SUFFIX, fetch

EPILOG = f"""\
{CONNECTION_HELP} A password given with -P is visible to other
users of this machine for a moment: prefer another way.

Orders that are done are not on a worklist, so -m changes nothing.

exit codes: 0 the files are up to date; 1 some files could not be written or
removed; 2 wrong usage, or GNU Health refuses; 3 GNU Health cannot be reached,
or does not answer as it should; 4 another run is using the folder. With any
code but 0 the last good files are still there.
"""
REFUSED_PAUSE = 60  # seconds, for GNU Health counts failed logins


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    warnings.simplefilter('ignore')
    try:
        with raise_on_signals():
            run(options)
    except Failure as error:
        print_error(error)
        return error.code
    except Terminated as terminated:
        return 0 if options.watch else 128 + terminated.number
    return 0


def run(options: argparse.Namespace) -> None:
    """Update the folder once, or until a signal."""
    folder = Folder(
        options.worklists, Permissions(options.mode, options.group),
        not options.no_dump2dcm)
    former = len(folder.find_former())
    if former and not options.regenerate:
        print_error(
            f"{former} files are there from GNU Health 4: -r removes them.")
    with Client(options) as client:
        if options.dry_run:
            update(client, folder, options)
            return
        with folder.locked():
            if options.watch:
                watch(client, folder, options)
            else:
                update(client, folder, options)


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '-w', '--worklists', '--worklists-db', type=Path, metavar='FOLDER',
        default='/var/lib/orthanc/worklists',
        help="the folder of the files, which must exist "
        "(default: %(default)s)")
    add_connection_options(parser)
    parser.add_argument(
        '-s', '--watch', '--seconds', type=float, metavar='SECONDS',
        help="repeat, pausing for so many seconds")
    parser.add_argument(
        '-r', '--regenerate', action='store_true',
        help="write all files again, and remove those of the script of this "
        "name in GNU Health 4")
    parser.add_argument(
        '-m', '--handle-done-state', action='store_true',
        help=argparse.SUPPRESS)
    parser.add_argument(
        '--full', action='store_true',
        help="request all open steps, not only those that have changed")
    parser.add_argument(
        '--no-dump2dcm', action='store_true',
        help="write the files as GNU Health has made them from the "
        "templates: this is faster and does not need dcmtk")
    parser.add_argument(
        '--mode', type=parse_mode, default=0o640, metavar='OCTAL',
        help="permissions of the files (default: 640)")
    parser.add_argument(
        '--group', type=parse_group, metavar='GROUP',
        help="group of the files (default: that of the folder)")
    parser.add_argument(
        '--timeout', type=float, default=60, metavar='SECONDS',
        help="how long to wait for an answer of GNU Health "
        "(default: %(default)s)")
    parser.add_argument(
        '-n', '--dry-run', action='store_true',
        help="print what would be done, and change nothing")
    parser.add_argument(
        '-v', '--verbose', action='store_true',
        help="name each file, and print the messages of dump2dcm, which may "
        "hold patient data")
    options = parser.parse_args(arguments)
    if options.password:
        hide_argument(options.password)
    complete_connection(options, parser)
    if options.watch is not None and not 1 <= options.watch <= 86400:
        parser.error("--watch needs 1 to 86400 seconds")
    if options.watch and options.dry_run:
        parser.error("--watch and --dry-run cannot be combined")
    if not 0 < options.timeout <= 86400:
        parser.error("--timeout needs a positive number of seconds")
    if options.handle_done_state:
        print_error(
            "Orders that are done are not on a worklist: -m changes nothing.")
    return options


def parse_mode(text: str) -> int:
    mode = int(text, 8)
    if not 0o400 <= mode <= 0o777:
        raise ValueError
    return mode


parse_mode.__name__ = 'file mode'  # for the message of argparse


def watch(
        client: Client, folder: Folder, options: argparse.Namespace) -> None:
    """Update the folder again and again.

    A failure is printed when it begins or changes, and when it has ended.
    """
    printed = None
    for number in itertools.count():
        pause, problem = options.watch, None
        try:
            update(client, folder, options)
        except Unusable as error:
            if not number:
                raise
            problem, pause = str(error), max(pause, REFUSED_PAUSE)
        except Failure as error:
            problem = str(error)
        if problem and problem != printed:
            print_error(problem)
        elif printed and not problem:
            print_error("The files are up to date again.")
        printed = problem
        time.sleep(pause)


def update(
        client: Client, folder: Folder, options: argparse.Namespace) -> None:
    """Update the folder once.

    Raises
    ------
    Failure
        If a file is not up to date, after all others were updated.
    """
    manifest = (
        Manifest(client.source) if options.regenerate
        else folder.read_manifest(client.source))
    intact = folder.find_intact(manifest)
    since = manifest.index if len(intact) == len(manifest.files) else 0
    listing = fetch(
        client, 0 if options.full else since, manifest.files.keys())
    plan = folder.make_plan(listing, manifest, intact, options.regenerate)
    if options.dry_run:
        print_summary(plan, options, "would be ")
        return
    problems = folder.carry_out(plan, manifest, options.verbose)
    if options.regenerate:
        problems += folder.remove_former()
        options.regenerate = bool(problems)
    if not options.watch or plan.written or plan.removed:
        print_summary(plan, options)
    if problems:
        raise Failure(' '.join(problems))


def print_summary(
        plan: Plan, options: argparse.Namespace, tense: str = "") -> None:
    if options.verbose:
        for what in ['written', 'removed']:
            for name in sorted(getattr(plan, what)):
                print(f"{name}{SUFFIX}: {tense}{what}")
    print(
        f"{len(plan.listing.open)} open: {len(plan.written)} {tense}written, "
        f"{len(plan.removed)} {tense}removed", flush=True)


if __name__ == '__main__':
    sys.exit(main())
