# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to GNU Health: options, environment and file."""
import argparse
import configparser
import getpass
import os
import sys
from pathlib import Path

from .failures import Unusable

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
