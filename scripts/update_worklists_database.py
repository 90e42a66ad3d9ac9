#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a folder of worklist files in step with the orders of GNU Health.

Each open procedure step has one file gnuhealth-….wl in the folder, for the
worklists plugin of Orthanc or for wlmscpfs of dcmtk. Only what changed is
written, only what is closed is removed; other files are left alone.
"""

import argparse
import base64
import configparser
import errno
import fcntl
import getpass
import hashlib
import http.client
import io
import itertools
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pydicom
from pydicom.charset import convert_encodings, encode_string
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

EPILOG = """\
What is not given is taken from the environment (TRYTON_URL, TRYTON_DATABASE,
TRYTON_USER, TRYTON_PASSWORD), then from the section [gnuhealth] of a file
(url, database, user, password or password_file) that is named by -c or
GNUHEALTH_CONNECTION, or is /etc/gnuhealth/connection.conf. By default the URL
is http://127.0.0.1:8000 and the user admin. A password given with -P can be
seen by other users of this machine for a moment: prefer one of the others.

An order that is done is on no worklist, so -m changes nothing.

exit codes: 0 the files are in step; 1 some could not be written or removed;
2 wrong usage, or GNU Health refuses; 3 GNU Health cannot be reached, or does
not answer as it should; 4 another run is at work on the folder. Whenever it
is not 0 the last good files are still there.
"""
DONE, NOT_WRITTEN, UNUSABLE, NO_ANSWER, BUSY = range(5)
METHOD = 'model.gnuhealth.imaging.procedure.step.get_worklist'
PREFIX, SUFFIX = 'gnuhealth-', '.wl'
NAME = re.compile(PREFIX + r'[A-Za-z0-9_-]{1,64}')
MANIFEST = '.gnuhealth-worklist.json'
MANIFEST_VERSION = 1
LOCK = '.gnuhealth-worklist.lock'
STAGING = '.gnuhealth-worklist.tmp'
WLMSCPFS_LOCK = 'lockfile'
WLMSCPFS_PATIENCE = 5  # seconds that queries may hold up the new files
CONNECT_TIMEOUT = 10  # seconds
MAXIMUM_ANSWER = 256 * 2 ** 20  # bytes of one page
CONVERSION_TIMEOUT = 30  # seconds for one call of dump2dcm
LONGEST_LINE = 65536  # that dump2dcm accepts
REFUSED_PAUSE = 60  # seconds, for failed logins are counted by GNU Health
NAMED = 5  # files that one message names
CONNECTION_FILE = Path('/etc/gnuhealth/connection.conf')
CONNECTION = {
    'url': 'http://127.0.0.1:8000', 'database': None, 'user': 'admin'}
SECRETS = ['password', 'password_file']
# What the script of this name in GNU Health 4 has left in the folder
FORMER = re.compile(r'[0-9a-f]{32}\.(wl|dump)')
# A line of dump2dcm: everything before the value, the VR, value, the rest
LINE = re.compile(
    r'(\s*\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)\s+([A-Z]{2})\s+\[)(.*)(\].*)')
# What would otherwise print values
logging.getLogger('pydicom').addHandler(logging.NullHandler())
logging.getLogger('pydicom').propagate = False


class Failure(Exception):
    "Nothing is changed but what was; the text says why"
    code = NOT_WRITTEN


class Unusable(Failure):
    code = UNUSABLE


class NoAnswer(Failure):
    code = NO_ANSWER


class Busy(Failure):
    code = BUSY


class Ended(BaseException):
    "A signal asks to end"


def main(arguments=None):
    options = parse(arguments)
    warnings.simplefilter('ignore')
    try:
        with ended_by_signals():
            work(options)
    except Failure as error:
        tell(error)
        return error.code
    except Ended as ended:
        return DONE if options.watch else 128 + ended.args[0]
    return DONE


def work(options):
    folder = Folder(
        options.worklists, options.mode, not options.no_dump2dcm)
    former = len(folder.former())
    if former and not options.regenerate:
        tell(f"{former} files are there from GNU Health 4: -r removes them.")
    with Client(options) as client:
        if options.dry_run:
            update(client, folder, options)
            return
        with folder.locked():
            if options.watch:
                watch(client, folder, options)
            else:
                update(client, folder, options)


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '-w', '--worklists', '--worklists-db', type=Path, metavar='FOLDER',
        default='/var/lib/orthanc/worklists',
        help="the folder of the files; it has to be there "
        "(default: %(default)s)")
    add_connection(parser)
    parser.add_argument(
        '-s', '--watch', '--seconds', type=float, metavar='SECONDS',
        help="go on, looking for changes every so many seconds")
    parser.add_argument(
        '-r', '--regenerate', action='store_true',
        help="write all files anew, and remove those that the script of this "
        "name in GNU Health 4 has left")
    parser.add_argument(
        '-m', '--handle-done-state', action='store_true',
        help=argparse.SUPPRESS)
    parser.add_argument(
        '--full', action='store_true',
        help="ask for all open steps, not only for what changed")
    parser.add_argument(
        '--no-dump2dcm', action='store_true',
        help="write what GNU Health made of the templates as it is: faster, "
        "and dcmtk is not needed")
    parser.add_argument(
        '--mode', type=file_mode, default=0o644, metavar='OCTAL',
        help="permissions of the files (default: 644)")
    parser.add_argument(
        '--timeout', type=float, default=60, metavar='SECONDS',
        help="how long GNU Health may take to answer (default: %(default)s)")
    parser.add_argument(
        '-n', '--dry-run', action='store_true',
        help="tell what would be done, and change nothing")
    parser.add_argument(
        '-v', '--verbose', action='store_true',
        help="name each file; what dump2dcm complains of may hold patient "
        "data")
    options = parser.parse_args(arguments)
    if options.password:
        hide_argument(options.password)
    settle(options, parser)
    if options.watch is not None and not 1 <= options.watch <= 86400:
        parser.error("--watch needs 1 to 86400 seconds")
    if options.watch and options.dry_run:
        parser.error("--watch and --dry-run do not go together")
    if not 0 < options.timeout <= 86400:
        parser.error("--timeout needs a positive number")
    if options.handle_done_state:
        tell("Orders that are done are on no worklist: -m changes nothing.")
    return options


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
    # Children have no use for the password
    environ = {
        name: os.environ.pop(f'TRYTON_{name.upper()}', None)
        if name == 'password' else os.environ.get(f'TRYTON_{name.upper()}')
        for name in names}
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


def file_mode(text):
    mode = int(text, 8)
    if not 0o400 <= mode <= 0o777:
        raise ValueError
    return mode


file_mode.__name__ = 'file mode'  # for the message of argparse


def hide_argument(text):
    "Blank it in what the system shows as the arguments of this process"
    try:
        import ctypes
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2]
        # proc(5): fields 48 and 49, the state being the third
        start, end = map(int, fields.split()[45:47])
        shown = ctypes.string_at(start, end - start) if start else b''
        blank = shown.replace(os.fsencode(text), b'x' * len(os.fsencode(text)))
        ctypes.memmove(start, blank, len(shown))
    except (ImportError, OSError, ValueError):
        pass  # Not Linux: --help warns of -P


def tell(text):
    print(text, file=sys.stderr, flush=True)


@contextmanager
def ended_by_signals():
    def end(number, frame):
        raise Ended(number)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def watch(client, folder, options):
    "Update again and again, telling of a failure when it begins and ends"
    trouble = None
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
        if problem and problem != trouble:
            tell(problem)
        elif trouble and not problem:
            tell("The files are in step again.")
        trouble = problem
        time.sleep(pause)


def update(client, folder, options):
    """Bring the folder in step once

    Raises
    ------
    Failure
        If not all is in step, after what could be done was done.
    """
    manifest = (
        Manifest(client.source) if options.regenerate
        else folder.read_manifest(client.source))
    intact = folder.intact(manifest)
    since = manifest.index if len(intact) == len(manifest.files) else 0
    listing = fetch(client, 0 if options.full else since, set(manifest.files))
    plan = folder.plan(listing, manifest, intact, options.regenerate)
    if options.dry_run:
        report(plan, options, "would be ")
        return
    problems = folder.carry_out(plan, manifest, options.verbose)
    if options.regenerate:
        problems += folder.remove_former()
        options.regenerate = bool(problems)
    if not options.watch or plan.written or plan.removed:
        report(plan, options)
    if problems:
        raise Failure(' '.join(problems))


def report(plan, options, tense=""):
    if options.verbose:
        for what in ['written', 'removed']:
            for name in sorted(getattr(plan, what)):
                print(f"{name}{SUFFIX}: {tense}{what}")
    print(
        f"{len(plan.listing.open)} open: {len(plan.written)} {tense}written, "
        f"{len(plan.removed)} {tense}removed", flush=True)


# What GNU Health says


@dataclass(frozen=True)
class Entry:
    "An open step, and what its file has to hold"
    id: str
    index: int
    name: str
    kind: str
    text: str
    charset: str
    dicom: bytes

    @classmethod
    def from_answer(cls, value):
        "Raise ValueError, KeyError or TypeError if it cannot be one"
        entry = cls(str(value['id']), **{
                name: value[name] for name in cls.__annotations__
                if name != 'id'})
        for name, kind in cls.__annotations__.items():
            if not isinstance(getattr(entry, name), kind):
                raise TypeError
        if not NAME.fullmatch(entry.name):
            raise ValueError
        return entry

    @property
    def digest(self):
        parts = [self.kind, self.text, self.charset]
        digest = hashlib.sha256(self.dicom)
        for part in parts:
            digest.update(b'\0' + part.encode('utf-8', 'surrogatepass'))
        return digest.hexdigest()


@dataclass
class Listing:
    """All open steps

    Attributes
    ----------
    fresh : bool
        Nothing that was known before holds any longer.
    entries : dict
        Those that were asked for, by id.
    open : set
        The ids of all, with or without an entry.
    """
    index: int = 0
    fresh: bool = False
    entries: dict = field(default_factory=dict)
    open: set = field(default_factory=set)


def fetch(client, since, known):
    "Return what changed after the index `since`, or all"
    listing = read_pages(client, since)
    if not listing.fresh and listing.open - known - listing.entries.keys():
        # Steps are open that no file is known of
        listing = read_pages(client, 0)
    if listing.fresh and listing.open - listing.entries.keys():
        raise NoAnswer("The answer of GNU Health is not complete.")
    return listing


def read_pages(client, since):
    listing = Listing(fresh=not since)
    while True:
        page = client.call(METHOD, since, {})
        try:
            more = add_page(listing, page, since)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NoAnswer(
                "GNU Health answered something else than a worklist."
                ) from None
        if not more:
            return listing
        since = listing.index


def add_page(listing, page, since):
    "Return whether there is more after this page"
    if since and not page['since']:
        listing.entries.clear()
        listing.fresh = True
    elif page['since'] != since:
        raise ValueError
    for value in page['entries']:
        entry = Entry.from_answer(value)
        listing.entries[entry.id] = entry
    listing.index = int(page['index'])
    if not page['more']:
        listing.open = set(map(str, page['open']))
        return False
    if listing.index <= page['since']:
        raise ValueError  # It would never end
    return True


class Client:
    """A session with GNU Health, by JSON-RPC

    Each call has a connection of its own and ends, whatever the other side
    does, after the time limit.
    """

    def __init__(self, options):
        parts = urlsplit(options.url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {'http', 'https'} or not host:
            raise Unusable("The URL of GNU Health is none.")
        self._secure = parts.scheme == 'https'
        self._address = host, port
        self._path = f"{parts.path.rstrip('/')}/{quote(options.database)}/"
        self._user = options.user
        self._password = read_password(options)
        self._timeout = options.timeout
        self._session = None
        # Indexes of another database mean nothing
        self.source = f'{host}:{port or parts.scheme}{self._path}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._session:
            try:
                self._post('common.db.logout')
            except Failure:
                pass  # The session ends by itself

    def call(self, method, *parameters):
        if self._session:
            status, result = self._post(method, *parameters)
            if status != 401:
                return result
        # None yet, or it has ended
        self._login()
        status, result = self._post(method, *parameters)
        if status == 401:
            raise Unusable("GNU Health does not accept its own session.")
        return result

    def _login(self):
        self._session = None
        status, result = self._post(
            'common.db.login', self._user, {'password': self._password})
        if status == 401 or not result:
            raise Unusable("GNU Health does not accept user or password.")
        try:
            number, key = result[:2]
            self._session = ':'.join([self._user, str(number), str(key)])
        except (KeyError, TypeError, ValueError):
            raise NoAnswer("GNU Health did not start a session.") from None

    def _post(self, method, *parameters):
        "Return the status, 200 or 401, and the result"
        body = json.dumps({'id': 1, 'method': method, 'params': parameters})
        headers = {'Content-Type': 'application/json', 'Connection': 'close'}
        if self._session:
            token = base64.b64encode(self._session.encode()).decode()
            headers['Authorization'] = 'Session ' + token
        try:
            status, answer = self._exchange(body.encode(), headers)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(
                "GNU Health cannot be reached: "
                f"{type(error).__name__}.") from None
        if status == 401:
            return status, None
        if status != 200:
            raise refusal(status)
        return status, result_of(answer)

    def _exchange(self, body, headers):
        connection = self._connection()
        # The limit of the socket is one for each read
        guard = threading.Timer(self._timeout, hang_up, [connection])
        guard.daemon = True
        guard.start()
        try:
            connection.request('POST', self._path, body, headers)
            connection.sock.settimeout(self._timeout)
            response = connection.getresponse()
            answer = response.read(MAXIMUM_ANSWER + 1)
            if len(answer) > MAXIMUM_ANSWER:
                raise http.client.HTTPException
            if response.length:
                raise http.client.IncompleteRead(b'', response.length)
            return response.status, answer
        finally:
            guard.cancel()
            connection.close()

    def _connection(self):
        timeout = min(CONNECT_TIMEOUT, self._timeout)
        if self._secure:
            return http.client.HTTPSConnection(
                *self._address, timeout=timeout,
                context=ssl.create_default_context())
        return http.client.HTTPConnection(*self._address, timeout=timeout)


def hang_up(connection):
    sock = connection.sock
    if sock:
        try:
            # TLS would wait for the other side
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # It has been closed


def refusal(status):
    if status == 403:
        return Unusable("GNU Health does not show this user the worklist.")
    if status == 404:
        return Unusable("GNU Health has no such database.")
    if 300 <= status < 400:
        return Unusable(
            f"GNU Health answered {status}: it is at another URL.")
    return NoAnswer(f"GNU Health answered {status}.")


def result_of(answer):
    try:
        answer = json.loads(answer, object_hook=decode_bytes)
        if 'error' not in answer:
            return answer['result']
        error = answer['error']
    except (KeyError, TypeError, ValueError, RecursionError):
        raise NoAnswer("GNU Health did not answer in JSON-RPC.") from None
    try:
        kind, (message, *_) = error
    except (TypeError, ValueError):
        kind = message = None
    if kind == 'UserError':
        raise Unusable(f"GNU Health refused: {message}")
    # What else it says may hold data of patients
    raise NoAnswer("GNU Health failed; its log tells why.")


def decode_bytes(value):
    if value.get('__class__') != 'bytes':
        return value
    return base64.b64decode(value['base64'])


def read_password(options):
    if options.password_file:
        try:
            with Path(options.password_file).open() as file:
                return file.readline().rstrip('\r\n')
        except (OSError, UnicodeDecodeError) as error:
            raise Unusable(
                "The password file cannot be read: "
                f"{getattr(error, 'strerror', 'it is no text')}") from None
    if options.password is not None:
        return options.password
    if not sys.stdin.isatty():
        raise Unusable("Give the password: see --help.")
    return getpass.getpass()


# The folder


@dataclass
class Manifest:
    """What a run left for the next one

    Attributes
    ----------
    source : str
        Where the steps come from.
    index : int
        Of the last change that all files are in step with.
    files : dict
        By the step's id: `name`, the digest of the `entry`, the digest of
        the `file`.
    """
    source: str
    index: int = 0
    files: dict = field(default_factory=dict)


@dataclass
class Plan:
    """What has to be done

    Attributes
    ----------
    entries : list
        Those whose files have to be written.
    removed : set
        Names of files.
    files : dict
        Of the manifest, without those of `entries`.
    """
    listing: Listing
    entries: list
    removed: set
    files: dict

    def __post_init__(self):
        self.written = {entry.name for entry in self.entries}


@dataclass
class Staged:
    "A file that waits for its place, or the reason why there is none"
    entry: Entry
    path: Path = None
    digest: str = None
    remark: str = None
    problem: str = None


class Folder:

    def __init__(self, path, mode=0o644, dump2dcm=True):
        if not path.is_dir():
            raise Unusable(f"There is no folder {path}.")
        self._path = path
        self._mode = mode
        self._dump2dcm = dump2dcm
        self._staging = path / STAGING

    def _file(self, name):
        return self._path / (name + SUFFIX)

    @contextmanager
    def locked(self):
        "Keep other runs away; the lock ends with the process"
        try:
            number = os.open(
                self._path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o600)
        except PermissionError as error:
            raise Unusable(f"{self._path}: {error.strerror}.") from None
        except OSError as error:
            raise Failure(f"{self._path}: {error.strerror}.") from None
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy("Another run is at work on the folder.") from None
            # Of a run that was killed
            shutil.rmtree(self._staging, ignore_errors=True)
            yield
        finally:
            os.close(number)

    def read_manifest(self, source):
        "Return an empty one where there is none that can be used"
        manifest = Manifest(source)
        try:
            value = json.loads((self._path / MANIFEST).read_bytes())
            if value['version'] != MANIFEST_VERSION:
                return manifest
            files = {
                id: {key: str(file[key]) for key in FILE_KEYS}
                for id, file in value['files'].items()}
            if all(NAME.fullmatch(file['name']) for file in files.values()):
                manifest.files = files
                if value['source'] == source:
                    manifest.index = int(value['index'])
        except (OSError, AttributeError, KeyError, TypeError, ValueError):
            pass  # All files are compared instead
        return manifest

    def intact(self, manifest):
        "Return the ids of the steps whose files are as they were written"
        return {
            id for id, file in manifest.files.items()
            if self._digest(self._file(file['name'])) == file['file']}

    @staticmethod
    def _digest(path):
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return None

    def plan(self, listing, manifest, intact, anew=False):
        entries, files = [], {}
        for id in sorted(listing.open):
            entry, file = listing.entries.get(id), manifest.files.get(id)
            if entry is None:
                files[id] = file
            elif id in intact and (file['name'], file['entry']) == (
                    entry.name, entry.digest):
                files[id] = file
            elif not anew and self._holds(entry):
                files[id] = record(entry, self._digest(self._file(entry.name)))
            else:
                entries.append(entry)
        names = [entry.name for entry in entries]
        names += [file['name'] for file in files.values()]
        if len(set(names)) < len(names):
            raise NoAnswer("GNU Health answered one name for two files.")
        present = {
            path.name.removesuffix(SUFFIX)
            for path in self._path.glob(f'{PREFIX}*{SUFFIX}')}
        return Plan(listing, entries, present - set(names), files)

    def former(self):
        "Return what the script of GNU Health 4 has left"
        return [
            path for path in self._path.glob('*')
            if FORMER.fullmatch(path.name)]

    def remove_former(self):
        "Return what went wrong"
        try:
            for path in self.former():
                path.unlink()
        except OSError as error:
            return [self._failed(error)]
        return []

    def _holds(self, entry):
        "Tell whether the file is right, although we do not remember it"
        try:
            found = read_dicom(self._file(entry.name).read_bytes())
            return not differences(read_dicom(entry.dicom), found)
        except (OSError, BadDicom):
            return False

    def carry_out(self, plan, manifest, verbose):
        "Do what can be done, and return what went wrong"
        try:
            staged = self._stage(plan.entries)
            tell_remarks(staged, verbose)
            problems = self._publish(staged, plan)
            for file in staged:
                if file.problem:
                    plan.written.discard(file.entry.name)
                    if old := manifest.files.get(file.entry.id):
                        plan.files[file.entry.id] = old
                else:
                    plan.files[file.entry.id] = record(
                        file.entry, file.digest)
            problems += [file.problem for file in staged if file.problem]
            self._allow_reading(plan.files)
            new = Manifest(manifest.source, plan.listing.index, plan.files)
            if problems:
                # To be asked for again
                new.index = 0 if plan.listing.fresh else manifest.index
            if new != manifest:
                problems += self._write_manifest(new)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
        return summary(problems)

    def _stage(self, entries):
        "Write the files beside the folder's own, until the disk is full"
        if not entries:
            return []
        try:
            self._staging.mkdir(mode=0o700)
        except OSError as error:
            return [
                Staged(entry, problem=self._failed(error))
                for entry in entries]
        executor = ThreadPoolExecutor(os.cpu_count())
        full = threading.Event()
        try:
            return list(executor.map(
                    lambda entry: self._stage_one(entry, full), entries))
        finally:
            executor.shutdown(cancel_futures=True)

    def _stage_one(self, entry, full):
        staged = Staged(entry)
        if full.is_set():
            staged.problem = self._failed(OSError(errno.ENOSPC, ''))
            return staged
        path = self._staging / (entry.name + SUFFIX)
        try:
            expected = read_dicom(entry.dicom)
            wanted = self._dump2dcm and entry.kind == 'dump2dcm'
            if wanted:
                staged.remark = convert(entry, expected, path)
            if not wanted or staged.remark:
                path.unlink(missing_ok=True)
                path.write_bytes(entry.dicom)
            path.chmod(self._mode)
            with path.open('rb') as file:
                os.fsync(file)
            staged.digest = self._digest(path)
            staged.path = path
        except BadDicom:
            staged.problem = f"GNU Health sent no DICOM for {entry.name}."
        except OSError as error:
            full.set()
            staged.problem = self._failed(error)
            path.unlink(missing_ok=True)
        return staged

    def _failed(self, error):
        return f"Cannot write in {self._path}: {os.strerror(error.errno)}."

    def _publish(self, staged, plan):
        "Put the files in their places, and remove those of closed steps"
        problems = []
        with self._no_queries():
            for name in sorted(plan.removed):
                try:
                    self._file(name).unlink(missing_ok=True)
                except OSError as error:
                    plan.removed.discard(name)
                    problems.append(
                        f"Cannot remove {name}{SUFFIX}: {error.strerror}.")
            for file in staged:
                if file.problem:
                    continue
                try:
                    file.path.replace(self._file(file.entry.name))
                except OSError as error:
                    file.problem = self._failed(error)
        return problems

    @contextmanager
    def _no_queries(self):
        "Let wlmscpfs wait, but do not wait for ever on it"
        try:
            file = (self._path / WLMSCPFS_LOCK).open('r+b')
        except OSError:
            yield
            return
        with file:
            deadline = time.monotonic() + WLMSCPFS_PATIENCE
            while time.monotonic() < deadline:
                try:
                    # dcmtk locks by fcntl(2), which knows nothing of flock(2)
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in {errno.EAGAIN, errno.EACCES}:
                        break  # A file system without
                    time.sleep(0.05)
            yield

    def _allow_reading(self, files):
        "A file that Orthanc cannot read makes the whole query fail"
        for file in files.values():
            path = self._file(file['name'])
            try:
                if stat.S_IMODE(path.stat().st_mode) != self._mode:
                    path.chmod(self._mode)
            except OSError:
                pass  # Missing, or on a file system that has no modes

    def _write_manifest(self, manifest):
        value = {
            'version': MANIFEST_VERSION, 'source': manifest.source,
            'index': manifest.index, 'files': manifest.files}
        try:
            self._staging.mkdir(mode=0o700, exist_ok=True)
            path = self._staging / MANIFEST
            path.touch(mode=0o600)
            with path.open('w') as file:
                json.dump(value, file, sort_keys=True)
                file.flush()
                os.fsync(file)
            path.replace(self._path / MANIFEST)
        except OSError as error:
            return [self._failed(error)]
        return []


FILE_KEYS = ['name', 'entry', 'file']


def record(entry, digest):
    return dict(zip(FILE_KEYS, [entry.name, entry.digest, digest]))


def summary(problems):
    "Return each problem once, and not too many"
    problems = list(dict.fromkeys(problems))
    if len(problems) > NAMED:
        return problems[:NAMED] + [f"({len(problems) - NAMED} more.)"]
    return problems


def tell_remarks(staged, verbose):
    "Warn of files that were written without dump2dcm, by the reason"
    files = {}
    for file in staged:
        if file.remark:
            reason, _, detail = file.remark.partition('\n')
            files.setdefault(reason, []).append(file.entry.name)
            if verbose and detail:
                tell(f"{file.entry.name}{SUFFIX}: {detail}")
    for reason, names in files.items():
        more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
        tell(
            f"Warning: {reason}. Written without it: "
            f"{', '.join(names[:NAMED])}{more}.")


# DICOM


class BadDicom(ValueError):
    "Not a file of a worklist"


def read_dicom(data):
    "Return the dataset of a file that holds one procedure step"
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        elements = flatten(dataset)
    except Exception:
        # pydicom raises whatever its parts raise on damaged files
        raise BadDicom from None
    _, patient_id = elements.get((PATIENT_ID,), ('', ''))
    if elements.get((STEP,)) != 1 or not patient_id:
        raise BadDicom
    return dataset


TEXTS = {'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT'}
ESCAPE = b'\x1b'
STEP = Tag('ScheduledProcedureStepSequence')
PATIENT_ID = Tag('PatientID')


def flatten(dataset, path=()):
    """Return VR and value by the path of tags

    For a sequence the number of its items. File meta information, group
    lengths and padding say nothing, nor does the way in which a text switches
    between character sets.
    """
    elements = {}
    for tag in dataset.keys():
        if not tag.element:
            continue
        element = dataset.get_item(tag)
        if element.VR == 'SQ':
            items = dataset[tag].value or []
            elements[(*path, tag)] = len(items)
            for number, item in enumerate(items):
                elements.update(flatten(item, (*path, tag, number)))
            continue
        elements[(*path, tag)] = (element.VR, plain(dataset, tag, element))
    return elements


def plain(dataset, tag, element):
    "Return values without padding, decoded if they are text"
    value = element.value
    if not isinstance(value, bytes):
        return str(value)
    if element.VR in TEXTS and (not value.isascii() or ESCAPE in value):
        decoded = dataset[tag].value
        if not isinstance(decoded, MultiValue):
            decoded = [decoded]
        text = '\\'.join(str(one).strip(' ') for one in decoded)
        if '\ufffd' not in text:
            return text
    parts = value.decode('latin-1').split('\\')
    return '\\'.join(part.strip(' \0') for part in parts)


def differences(expected, found):
    "Return keywords of the elements that are not the same in both"
    expected, found = flatten(expected), flatten(found)
    paths = [
        path for path in {**expected, **found}
        if expected.get(path) != found.get(path)]
    return sorted({
            keyword_for_tag(path[-1]) or str(path[-1]) for path in paths})


def convert(entry, expected, path):
    "Let dump2dcm write the file; return why that cannot be used, or None"
    program = shutil.which('dump2dcm')
    if not program:
        return "dump2dcm is not installed"
    try:
        text = encode_dump(entry.text, entry.charset)
    except (LookupError, ValueError):
        return "a text does not fit its character set"
    try:
        ended = subprocess.run(
            [program, '+te', '+l', str(LONGEST_LINE), '/dev/stdin', path],
            input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=CONVERSION_TIMEOUT, start_new_session=True)
        detail = ended.stdout.decode('utf-8', 'replace').strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"dump2dcm does not run\n{type(error).__name__}"
    # It ends with 0 also after errors of the text
    if ended.returncode or not path.exists():
        return f"dump2dcm failed\n{detail}"
    try:
        changed = differences(expected, read_dicom(path.read_bytes()))
    except BadDicom:
        return f"dump2dcm wrote something else\n{detail}"
    if changed:
        return f"dump2dcm changed {', '.join(changed[:NAMED])}\n{detail}"
    return None


def encode_dump(text, charset):
    """Return the input of dump2dcm in DICOM's character set

    Each value is encoded by itself, because code extensions end with it
    (PS3.5 6.1.2.5).
    """
    encodings = convert_encodings(charset.split('\\'))
    lines = []
    for line in text.split('\n'):
        match = LINE.fullmatch(line)
        if not match:
            lines.append(line.encode('ascii', 'replace'))
            continue
        # A comment may hold anything
        before, vr, value, after = match.groups()
        values = b'\\'.join(
            PersonName(part).encode(encodings) if vr == 'PN'
            else encode_string(part, encodings)
            for part in value.split('\\'))
        lines.append(
            before.encode() + values + after.encode('ascii', 'replace'))
    return b'\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
