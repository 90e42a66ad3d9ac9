#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronise Orthanc servers with GNU Health from the shell or from cron.

The runs are done by GNU Health itself, by its task queue where it has one.
This script starts them, waits for their end and tells what they brought.
"""

import argparse
import base64
import configparser
import getpass
import os
import sys
import time
import xmlrpc.client
from contextlib import contextmanager
from pathlib import Path

import proteus

EPILOG = """\
What is not given is taken from the environment (TRYTON_URL, TRYTON_DATABASE,
TRYTON_USER, TRYTON_PASSWORD), then from the section [gnuhealth] of a file
(url, database, user, password or password_file) that is named by -c or
GNUHEALTH_CONNECTION, or is /etc/gnuhealth/connection.conf. By default the URL
is http://127.0.0.1:8000 and the user admin. A password given with -P is seen
by other users of this machine: prefer one of the others.

The call of GNU Health 4.0 works, too, and shows the password as -P does:
sync_orthanc_server.py HOST PORT USER PASSWORD DATABASE LABEL

exit codes: 0 everything is synchronised; 1 some servers failed, or others
were at work on them; 2 wrong usage, no connection or no such server; 3 the
runs did not end in time and go on. With -s that of the last round counts.
"""
DONE, FAILED, UNUSABLE, UNFINISHED = range(4)
CALL_TIMEOUT = 60  # seconds for one call to GNU Health
PAUSE = 1  # seconds between two looks at the runs
CONNECTION_FILE = Path('/etc/gnuhealth/connection.conf')
CONNECTION = {
    'url': 'http://127.0.0.1:8000', 'database': None, 'user': 'admin'}
SECRETS = ['password', 'password_file']
FORMER_CALL = 6  # arguments


class Unusable(Exception):
    "Nothing can be started; the text says why"


def main(arguments=None):
    options = parse(arguments)
    code = UNFINISHED
    try:
        while True:
            code = synchronize(options)
            if not options.seconds:
                return code
            time.sleep(options.seconds)
    except KeyboardInterrupt:
        return code


def synchronize(options):
    "Return the exit code of one round"
    try:
        with connection(options):
            servers = find_servers(options.servers)
            started = start(servers, options.full)
            return wait(started, options)
    except Unusable as error:
        print(error, file=sys.stderr)
        return UNUSABLE


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'servers', nargs='*', metavar='LABEL',
        help="labels of the servers, by default all that are active")
    parser.add_argument(
        '-l', '--label', action='append', default=[],
        help="the same; may be given several times")
    add_connection(parser)
    parser.add_argument(
        '--full', action='store_true',
        help="compare everything instead of bringing in what is new")
    parser.add_argument(
        '-s', '--seconds', type=float,
        help="go on, starting anew every so many seconds")
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
    settle(options, parser)
    return options


def is_former_call(arguments):
    return len(arguments) == FORMER_CALL and arguments[1].isdecimal()


def add_connection(parser):
    parser.add_argument(
        '--url', '--server-url', metavar='URL',
        help="where GNU Health's server is")
    parser.add_argument(
        '-H', '--hostname', metavar='HOST',
        help="in place of a URL (default: localhost)")
    parser.add_argument(
        '-p', '--port', type=int, help="in place of a URL (default: 8000)")
    parser.add_argument('-d', '--database')
    parser.add_argument('-u', '--user')
    parser.add_argument('-P', '--password', '--passwd')
    parser.add_argument(
        '--password-file', type=Path, metavar='FILE',
        help="a file whose first line is the password")
    parser.add_argument(
        '-c', '--connection', type=Path, metavar='FILE',
        help="a file that tells all of these")


def settle(options, parser):
    "Complete the connection from the environment, then from a file"
    if options.hostname or options.port:
        if options.url:
            parser.error("give a URL, or host and port")
        host = options.hostname or 'localhost'
        options.url = f'http://{host}:{options.port or 8000}'
    names = [*CONNECTION, *SECRETS]
    environ = {
        name: os.environ.get(f'TRYTON_{name.upper()}') for name in names}
    sources = [vars(options).copy(), environ, read_connection(options, parser)]
    for name, default in CONNECTION.items():
        values = [source.get(name) for source in sources]
        setattr(options, name, next(filter(None, values), default))
    # A password is not mixed with the file of another source
    chosen = next((s for s in sources if any(map(s.get, SECRETS))), {})
    for name in SECRETS:
        setattr(options, name, chosen.get(name))
    if not options.database:
        parser.error(
            "name the database with -d, TRYTON_DATABASE or in a file")


def read_connection(options, parser):
    "Return what the file of the connection tells, if there is one"
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
        # What it says may hold the password
        parser.error(
            f"{path or CONNECTION_FILE} has no usable section [gnuhealth]")


@contextmanager
def connection(options):
    "Let proteus work in a session of its own"
    url = f"{options.url.rstrip('/')}/{options.database}/"
    transport = Transport(url)
    # proteus.config registers how dates and numbers are written
    server = xmlrpc.client.ServerProxy(
        url, transport=transport, allow_none=True, use_builtin_types=True)
    try:
        session = server.common.db.login(
            options.user, {'password': read_password(options)})
        if not session:
            raise Unusable("GNU Health does not accept user or password.")
        transport.authorize([options.user, *session])
        proteus.config.set_xmlrpc(url, transport=transport)
    except xmlrpc.client.ProtocolError as error:
        raise Unusable(
            f"GNU Health answered {error.errcode} {error.errmsg}: check "
            "URL, database, user and password.") from None
    except xmlrpc.client.Fault as error:
        raise Unusable(f"GNU Health refused: {fault_text(error)}") from None
    except OSError as error:
        raise Unusable(
            f"GNU Health cannot be reached: {type(error).__name__}") from None
    try:
        yield
    finally:
        server.common.db.logout()


class Transport(xmlrpc.client.Transport):
    "HTTP or HTTPS with a time limit, and a session instead of credentials"

    def __init__(self, url):
        super().__init__(use_builtin_types=True)
        self._secure = url.startswith('https:')

    def authorize(self, parts):
        token = ':'.join(map(str, parts)).encode()
        self._headers = [
            ('Authorization', 'Session ' + base64.b64encode(token).decode())]

    def make_connection(self, host):
        if self._connection and host == self._connection[0]:
            return self._connection[1]
        base = (
            xmlrpc.client.SafeTransport if self._secure
            else xmlrpc.client.Transport)
        connection = base.make_connection(self, host)
        connection.timeout = CALL_TIMEOUT
        return connection

    context = None  # of SafeTransport: certificates are verified


def read_password(options):
    if options.password_file:
        try:
            with Path(options.password_file).open() as file:
                return file.readline().rstrip('\n')
        except OSError as error:
            raise Unusable(
                f"The password file cannot be read: {error.strerror}")
    if options.password is not None:
        return options.password
    if not sys.stdin.isatty():
        raise Unusable("Give the password: see --help.")
    return getpass.getpass()


def fault_text(fault):
    "Return what Tryton says without the traceback"
    return str(fault.faultString).strip().splitlines()[-1]


def find_servers(labels):
    Server = proteus.Model.get('gnuhealth.orthanc.config')
    try:
        servers = {server.label: server for server in Server.find([])}
    except xmlrpc.client.Fault as error:
        raise Unusable(
            f"The servers cannot be read: {fault_text(error)}") from None
    unknown = set(labels) - servers.keys()
    if unknown:
        raise Unusable(
            f"No active server is called {', '.join(sorted(unknown))}.")
    found = [servers[label] for label in labels] or list(servers.values())
    if not found:
        raise Unusable("There is no active server.")
    return found


def start(servers, full):
    "Ask for the runs; return the servers with the last run before"
    started = [(server, newest_run(server)) for server in servers]
    for server in servers:
        try:
            server.click('reconcile' if full else 'synchronize')
        except TimeoutError:
            # Without a task queue the call lasts as long as the run
            continue
    return started


def newest_run(server):
    Run = proteus.Model.get('gnuhealth.orthanc.synchronization')
    runs = Run.find(
        [('server', '=', server.id)], order=[('id', 'DESC')], limit=1)
    return runs[0].id if runs else 0


def wait(started, options):
    "Return the exit code when all runs have ended or time is over"
    deadline = time.monotonic() + options.timeout
    code, waiting = DONE, list(started)
    while waiting:
        for server, before in list(waiting):
            run = run_after(server, before)
            if run is None or run.state == 'running':
                show_progress(server, run, options.verbose)
                continue
            waiting.remove((server, before))
            if not report(server, run):
                code = FAILED
        if waiting and time.monotonic() > deadline:
            names = ', '.join(server.label for server, _ in waiting)
            print(f"Not ended in time: {names}", file=sys.stderr)
            return UNFINISHED
        if waiting:
            time.sleep(PAUSE)
    return code


def run_after(server, before):
    Run = proteus.Model.get('gnuhealth.orthanc.synchronization')
    runs = Run.find(
        [('server', '=', server.id), ('id', '>', before)],
        order=[('id', 'ASC')], limit=1)
    return runs[0] if runs else None


def show_progress(server, run, verbose):
    if verbose:
        done = f"{run.progress:.0%}" if run and run.progress else "waiting"
        print(f"{server.label}: {done}", file=sys.stderr)


def report(server, run):
    "Print how a run ended; return whether it did its work"
    if run.state == 'done':
        print(f"{server.label}: {run.result}")
        return True
    print(f"{server.label}: {run.error or run.state}", file=sys.stderr)
    return False


if __name__ == '__main__':
    sys.exit(main())
