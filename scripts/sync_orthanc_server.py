#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# gnuhealth-orthanc 5.0.50
# Built from scripts/src by ./dev build; do not edit
"""Synchronize Orthanc servers with GNU Health from the shell or from cron.

GNU Health does the work, with its task queue if it has one.  This script
starts the synchronizations, waits until they have ended and prints their
results.
"""
import argparse
import base64
import configparser
import getpass
import os
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import proteus

# --- failures ---------------------------------------------------------
# Failures that end a script with a message and an exit code.


class Failure(Exception):
    """The work could not be done; the text says why.

    Attributes
    ----------
    code : int
        The exit code.
    """
    code = 1


class Unusable(Failure):
    """Nothing could be started."""
    code = 2


# --- connection -------------------------------------------------------
# The connection to GNU Health: options, environment and file.

CONNECTION_FILE = Path('/etc/gnuhealth/connection.conf')
CONNECTION = {
    'url': 'http://127.0.0.1:8000', 'database': None, 'user': 'admin'}
SECRETS = ['password', 'password_file']
CONNECTION_HELP = """\
Options that are not given are taken from the environment (TRYTON_URL,
TRYTON_DATABASE, TRYTON_USER, TRYTON_PASSWORD), then from the section
[gnuhealth] of a file (url, database, user, password or password_file). This
file is named by -c or GNUHEALTH_CONNECTION, or is
/etc/gnuhealth/connection.conf. By default the URL is http://127.0.0.1:8000
and the user is admin.\
"""


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--url', '--server-url', metavar='URL',
        help="the URL of GNU Health's server")
    parser.add_argument(
        '-H', '--hostname', metavar='HOST',
        help="host name, instead of a URL (default: localhost)")
    parser.add_argument(
        '-p', '--port', type=int,
        help="port, instead of a URL (default: 8000)")
    parser.add_argument(
        '-d', '--database', help="the database of GNU Health")
    parser.add_argument('-u', '--user', help="the login (default: admin)")
    parser.add_argument(
        '-P', '--password', '--passwd', help="the password; see below")
    parser.add_argument(
        '--password-file', type=Path, metavar='FILE',
        help="a file whose first line is the password")
    parser.add_argument(
        '-c', '--connection', type=Path, metavar='FILE',
        help="a file with these options")


def complete_connection(
        options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Complete the options from the environment, then from the file.

    The password is removed from the environment, so that the programs that
    the script starts do not receive it.
    """
    if options.hostname or options.port:
        if options.url:
            parser.error("give either a URL or host and port")
        host = options.hostname or 'localhost'
        options.url = f'http://{host}:{options.port or 8000}'
    environ = {
        name: os.environ.get(f'TRYTON_{name.upper()}')
        for name in [*CONNECTION, *SECRETS]}
    os.environ.pop('TRYTON_PASSWORD', None)
    sources = [
        vars(options).copy(), environ, read_connection_file(options, parser)]
    for name, default in CONNECTION.items():
        values = [source.get(name) for source in sources]
        setattr(options, name, next(filter(None, values), default))
    # Both come from the same source: a password of one source must not be
    # replaced by the file of another.
    chosen = next((s for s in sources if any(map(s.get, SECRETS))), {})
    for name in SECRETS:
        setattr(options, name, chosen.get(name))
    if not options.database:
        parser.error(
            "give the database with -d, TRYTON_DATABASE or in a file")


def read_connection_file(
        options: argparse.Namespace, parser: argparse.ArgumentParser
        ) -> dict[str, str]:
    """Return the values of the file, none if there is no file."""
    path = options.connection or os.environ.get('GNUHEALTH_CONNECTION')
    file = configparser.ConfigParser(interpolation=None)
    try:
        with Path(path or CONNECTION_FILE).open(encoding='utf-8') as stream:
            file.read_file(stream)
        return dict(file['gnuhealth'])
    except FileNotFoundError:
        if path:
            parser.error(f"there is no file {path}")
        return {}
    except OSError as error:
        parser.error(f"{path or CONNECTION_FILE}: {error.strerror}")
    except (KeyError, UnicodeDecodeError, configparser.Error):
        # The text of the error may hold the password.
        parser.error(
            f"{path or CONNECTION_FILE} has no usable section [gnuhealth]")


def read_password(options: argparse.Namespace) -> str:
    """Return the password of the options, of its file, or typed in."""
    if options.password_file:
        try:
            with Path(options.password_file).open() as file:
                return file.readline().rstrip('\r\n')
        except (OSError, UnicodeDecodeError) as error:
            raise Unusable(
                "The password file cannot be read: "
                f"{getattr(error, 'strerror', 'it is not text')}.") from None
    if options.password is not None:
        return options.password
    if not sys.stdin.isatty():
        raise Unusable("Give the password: see --help.")
    return getpass.getpass()


# --- sync_orthanc_server ----------------------------------------------

EPILOG = f"""\
{CONNECTION_HELP} A password given with -P is visible to other
users of this machine: prefer another way.

The call of GNU Health 4.0 also works, and shows the password as -P does:
sync_orthanc_server.py HOST PORT USER PASSWORD DATABASE LABEL

exit codes: 0 all servers are synchronized; 1 some servers failed, or were
already being synchronized; 2 wrong usage, no connection or no such server; 3
some synchronizations did not end in time and continue. With -s it is the code
of the last round.
"""
DONE, FAILED, UNFINISHED = 0, 1, 3
CALL_TIMEOUT = 60  # seconds for one call to GNU Health
PAUSE = 1  # seconds between two looks at the runs
FORMER_CALL = 6  # arguments


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    code = UNFINISHED
    try:
        while True:
            code = synchronize(options)
            if not options.seconds:
                return code
            time.sleep(options.seconds)
    except KeyboardInterrupt:
        return code


def synchronize(options: argparse.Namespace) -> int:
    """Return the exit code of one round."""
    try:
        with connect(options):
            servers = find_servers(options.servers)
            started = start(servers, options.full)
            return wait(started, options)
    except Failure as error:
        print(error, file=sys.stderr)
        return error.code


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'servers', nargs='*', metavar='LABEL',
        help="the labels of the servers (default: all active servers)")
    parser.add_argument(
        '-l', '--label', action='append', default=[],
        help="the same; may be given several times")
    add_connection_options(parser)
    parser.add_argument(
        '--full', action='store_true',
        help="compare everything instead of importing only what is new")
    parser.add_argument(
        '-s', '--seconds', type=float,
        help="repeat, pausing for so many seconds")
    parser.add_argument(
        '--timeout', type=float, default=3600, metavar='SECONDS',
        help="how long to wait for the end (default: %(default)s)")
    parser.add_argument(
        '-v', '--verbose', action='store_true', help="show the progress")
    options = parser.parse_args(arguments)
    if options.seconds is not None and not 1 <= options.seconds <= 86400:
        parser.error("--seconds needs 1 to 86400 seconds")
    if not options.database and is_former_call(options.servers):
        (options.hostname, options.port, options.user, options.password,
            options.database, *options.servers) = options.servers
    options.servers += options.label
    complete_connection(options, parser)
    return options


def is_former_call(arguments: Sequence[str]) -> bool:
    """Return whether the script was called as that of GNU Health 4.0."""
    return len(arguments) == FORMER_CALL and arguments[1].isdecimal()


@contextmanager
def connect(options: argparse.Namespace) -> Iterator[None]:
    """Connect proteus in a session that is closed at the end."""
    url = f"{options.url.rstrip('/')}/{options.database}/"
    transport = Transport(url)
    # Importing proteus.config has registered the types of Tryton.
    server: Any = xmlrpc.client.ServerProxy(
        url, transport=transport, allow_none=True, use_builtin_types=True)
    try:
        session = server.common.db.login(
            options.user, {'password': read_password(options)})
        if not session:
            raise Unusable("GNU Health does not accept the user or password.")
        transport.authorize([options.user, *session])
        proteus.config.set_xmlrpc(url, transport=transport)
    except xmlrpc.client.ProtocolError as error:
        raise Unusable(
            f"GNU Health answered {error.errcode} {error.errmsg}: check the "
            "URL, database, user and password.") from None
    except xmlrpc.client.Fault as error:
        raise Unusable(
            f"GNU Health refused: {describe_fault(error)}") from None
    except OSError as error:
        raise Unusable(
            f"GNU Health cannot be reached: {type(error).__name__}.") from None
    try:
        yield
    finally:
        server.common.db.logout()


class Transport(xmlrpc.client.SafeTransport):
    """HTTP or HTTPS with a time limit, and a session of Tryton."""

    def __init__(self, url: str):
        super().__init__(use_builtin_types=True)
        self._secure = url.startswith('https:')

    def authorize(self, parts: Sequence[object]) -> None:
        token = ':'.join(map(str, parts)).encode()
        self._headers = [
            ('Authorization', 'Session ' + base64.b64encode(token).decode())]

    def make_connection(self, host: Any) -> Any:
        base = (
            xmlrpc.client.SafeTransport if self._secure
            else xmlrpc.client.Transport)
        connection = base.make_connection(self, host)
        connection.timeout = CALL_TIMEOUT
        return connection


def describe_fault(fault: xmlrpc.client.Fault) -> str:
    """Return the message of Tryton without the traceback."""
    return str(fault.faultString).strip().splitlines()[-1]


def find_servers(labels: Sequence[str]) -> list[Any]:
    Server = proteus.Model.get('gnuhealth.orthanc.config')
    try:
        servers = {server.label: server for server in Server.find([])}
    except xmlrpc.client.Fault as error:
        raise Unusable(
            f"The servers cannot be read: {describe_fault(error)}") from None
    unknown = set(labels) - servers.keys()
    if unknown:
        raise Unusable(
            f"There is no active server {', '.join(sorted(unknown))}.")
    found = [servers[label] for label in labels] or list(servers.values())
    if not found:
        raise Unusable("There is no active server.")
    return found


def start(servers: Sequence[Any], full: bool) -> list[tuple[Any, int]]:
    """Start the runs; return each server with the id of its last run before.
    """
    started = [(server, find_newest_run(server)) for server in servers]
    for server in servers:
        try:
            server.click('reconcile' if full else 'synchronize')
        except TimeoutError:
            # Without a task queue the call lasts as long as the run.
            continue
    return started


def find_newest_run(server: Any) -> int:
    Run = proteus.Model.get('gnuhealth.orthanc.synchronization')
    runs = Run.find(
        [('server', '=', server.id)], order=[('id', 'DESC')], limit=1)
    return runs[0].id if runs else 0


def wait(
        started: Sequence[tuple[Any, int]], options: argparse.Namespace
        ) -> int:
    """Return the exit code when all runs have ended or time is over."""
    deadline = time.monotonic() + options.timeout
    code, running = DONE, list(started)
    while running:
        for server, before in list(running):
            run = find_run_after(server, before)
            if run is None or run.state == 'running':
                print_progress(server, run, options.verbose)
                continue
            running.remove((server, before))
            if not print_result(server, run):
                code = FAILED
        if running and time.monotonic() > deadline:
            names = ', '.join(server.label for server, _ in running)
            print(f"Not finished in time: {names}", file=sys.stderr)
            return UNFINISHED
        if running:
            time.sleep(PAUSE)
    return code


def find_run_after(server: Any, before: int) -> Any:
    Run = proteus.Model.get('gnuhealth.orthanc.synchronization')
    runs = Run.find(
        [('server', '=', server.id), ('id', '>', before)],
        order=[('id', 'ASC')], limit=1)
    return runs[0] if runs else None


def print_progress(server: Any, run: Any, verbose: bool) -> None:
    if verbose:
        done = f"{run.progress:.0%}" if run and run.progress else "waiting"
        print(f"{server.label}: {done}", file=sys.stderr)


def print_result(server: Any, run: Any) -> bool:
    """Print how a run ended; return whether it did its work."""
    if run.state == 'done':
        print(f"{server.label}: {run.result}", flush=True)
        return True
    print(f"{server.label}: {run.error or run.state}", file=sys.stderr)
    return False


if __name__ == '__main__':
    sys.exit(main())
