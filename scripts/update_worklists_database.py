#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# gnuhealth-orthanc 5.0.50
# Built from scripts/src by ./dev build; do not edit
"""Keep a folder of worklist files up to date with the orders in GNU Health.

Each open procedure step has one file gnuhealth-….wl in the folder, for the
worklists plugin of Orthanc or for wlmscpfs of dcmtk. Only files that have
changed are written, only those of closed steps are removed; all other files
are left alone.
"""
import argparse
import base64
import configparser
import errno
import fcntl
import getpass
import grp
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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pydicom
from pydicom.charset import convert_encodings, encode_string
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName

# --- command_line -----------------------------------------------------
# The password in the command line of a process.


def hide_argument(text: str) -> None:
    """Overwrite a text in the arguments that the system shows of the process.

    It does so on Linux only.
    """
    try:
        import ctypes
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2]
        # proc(5): fields 48 and 49; the first one here is the third.
        start, end = map(int, fields.split()[45:47])
        shown = ctypes.string_at(start, end - start) if start else b''
        blank = shown.replace(os.fsencode(text), b'x' * len(os.fsencode(text)))
        ctypes.memmove(start, blank, len(shown))
    except (ImportError, OSError, ValueError):
        pass  # --help warns of -P


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


# --- dicom_file -------------------------------------------------------
# Worklist files read and compared.

TEXTS = {'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT'}
ESCAPE = b'\x1b'
STEP = Tag('ScheduledProcedureStepSequence')
PATIENT_ID = Tag('PatientID')

# pydicom would log values that hold patient data.
logging.getLogger('pydicom').addHandler(logging.NullHandler())
logging.getLogger('pydicom').propagate = False


class BadDicom(ValueError):
    """A file is not a worklist file."""


def read_dicom(data: bytes) -> Dataset:
    """Return the dataset of a worklist file.

    Raises
    ------
    BadDicom
        If it has not one scheduled procedure step and a Patient ID.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        elements = flatten(dataset)
    except Exception:
        # pydicom raises many types of errors for damaged files.
        raise BadDicom from None
    _, patient_id = elements.get((PATIENT_ID,), ('', ''))
    if elements.get((STEP,)) != 1 or not patient_id:
        raise BadDicom
    return dataset


def flatten(
        dataset: Dataset, path: tuple[int, ...] = ()
        ) -> dict[tuple[int, ...], Any]:
    """Return VR and value of each element by its path of tags.

    For a sequence it is the number of its items.  File meta information,
    group lengths, padding and the way in which a text switches between
    character sets are no part of it.
    """
    elements: dict[tuple[int, ...], Any] = {}
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
        elements[(*path, tag)] = (
            element.VR, normalize_value(dataset, tag, element))
    return elements


def normalize_value(dataset: Dataset, tag: BaseTag, element: Any) -> str:
    """Return the values without padding, decoded if they are text."""
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


def differences(expected: Dataset, found: Dataset) -> list[str]:
    """Return the keywords of the elements that differ."""
    left, right = flatten(expected), flatten(found)
    tags = {
        BaseTag(path[-1]) for path in {**left, **right}
        if left.get(path) != right.get(path)}
    return sorted({keyword_for_tag(tag) or str(tag) for tag in tags})


# --- json_rpc ---------------------------------------------------------
# A client of Tryton's JSON-RPC that needs nothing of Tryton.
#
# Answers are limited in size and time, so that a server or proxy that fails
# cannot stop the script.

CONNECT_TIMEOUT = 10  # seconds
MAXIMUM_ANSWER = 256 * 2 ** 20  # bytes


class NoAnswer(Failure):
    """GNU Health cannot be reached, or does not answer as it should."""
    code = 3


class Client:
    """A session with GNU Health.

    Each call has a connection of its own, which is closed after the time
    limit at the latest.

    Attributes
    ----------
    source : str
        Identifies the database; indexes of another one are meaningless.
    """

    def __init__(self, options: argparse.Namespace):
        parts = urlsplit(options.url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {'http', 'https'} or not host:
            raise Unusable("The URL of GNU Health is not valid.")
        self._secure = parts.scheme == 'https'
        self._host, self._port = host, port
        self._path = f"{parts.path.rstrip('/')}/{quote(options.database)}/"
        self._user = options.user
        self._password = read_password(options)
        self._timeout = options.timeout
        self._session: str | None = None
        self.source = f'{host}:{port or parts.scheme}{self._path}'

    def __enter__(self) -> 'Client':
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            try:
                self._post('common.db.logout')
            except Failure:
                pass  # GNU Health ends the session after a while.

    def call(self, method: str, *parameters: Any) -> Any:
        """Return the result of a method, after a login if one is needed.

        Raises
        ------
        Unusable
            If GNU Health refuses the user or the call.
        NoAnswer
            If there is no complete answer, or an internal error.
        """
        if self._session:
            status, result = self._post(method, *parameters)
            if status != 401:
                return result
        # There is no session yet, or it has ended.
        self._login()
        status, result = self._post(method, *parameters)
        if status == 401:
            raise Unusable("GNU Health does not accept its own session.")
        return result

    def _login(self) -> None:
        self._session = None
        status, result = self._post(
            'common.db.login', self._user, {'password': self._password})
        if status == 401 or not result:
            raise Unusable("GNU Health does not accept the user or password.")
        try:
            number, key = result[:2]
            self._session = ':'.join([self._user, str(number), str(key)])
        except (KeyError, TypeError, ValueError):
            raise NoAnswer("GNU Health did not start a session.") from None

    def _post(self, method: str, *parameters: Any) -> tuple[int, Any]:
        """Return the HTTP status, 200 or 401, and the result."""
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
        return status, parse_result(answer)

    def _exchange(
            self, body: bytes, headers: Mapping[str, str]
            ) -> tuple[int, bytes]:
        connection = self._connect()
        # The time limit of a socket applies to each read.
        guard = threading.Timer(self._timeout, shut_down, [connection])
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

    def _connect(self) -> http.client.HTTPConnection:
        timeout = min(CONNECT_TIMEOUT, self._timeout)
        if self._secure:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout,
                context=ssl.create_default_context())
        return http.client.HTTPConnection(
            self._host, self._port, timeout=timeout)


def shut_down(connection: http.client.HTTPConnection) -> None:
    """End a connection at once, whatever another thread waits for."""
    sock = connection.sock
    if sock:
        try:
            # The method of a TLS socket would wait for the other side.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # It is closed already.


def refusal(status: int) -> Failure:
    """Return the failure of an HTTP status."""
    if status == 403:
        return Unusable(
            "GNU Health does not allow this user to read the worklist.")
    if status == 404:
        return Unusable("GNU Health has no such database.")
    if 300 <= status < 400:
        return Unusable(
            f"GNU Health answered {status}: it has another URL.")
    return NoAnswer(f"GNU Health answered {status}.")


def parse_result(answer: bytes) -> Any:
    """Return the result of a call.

    Raises
    ------
    Unusable, NoAnswer
        If the answer is an error, or no JSON-RPC.
    """
    try:
        data = json.loads(answer, object_hook=decode_bytes)
        if 'error' not in data:
            return data['result']
        error = data['error']
    except (KeyError, TypeError, ValueError, RecursionError):
        raise NoAnswer("GNU Health did not answer in JSON-RPC.") from None
    try:
        kind, (message, *_) = error
    except (TypeError, ValueError):
        kind = message = None
    if kind == 'UserError':
        raise Unusable(f"GNU Health refused: {message}")
    # Other errors may hold patient data.
    raise NoAnswer("GNU Health reported an error; see its log.")


def decode_bytes(value: dict[str, Any]) -> Any:
    """Decode Tryton's JSON object for bytes."""
    if value.get('__class__') != 'bytes':
        return value
    return base64.b64decode(value['base64'])


# --- locks ------------------------------------------------------------
# Locks of the folder: against other runs, and against queries.

LOCK = '.gnuhealth-worklist.lock'
WLMSCPFS_LOCK = 'lockfile'
WLMSCPFS_PATIENCE = 5  # seconds that queries may delay the new files


class Busy(Failure):
    """Another run is using the folder."""
    code = 4


@contextmanager
def exclude_other_runs(folder: Path) -> Iterator[None]:
    """Lock the folder; the lock ends with the process.

    Raises
    ------
    Busy, Unusable, Failure
        If the folder is locked, or its file cannot be opened.
    """
    try:
        number = os.open(
            folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise Unusable(f"{folder}: {error.strerror}.") from None
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("Another run is using the folder.") from None
        yield
    finally:
        os.close(number)


@contextmanager
def pause_queries(folder: Path) -> Iterator[None]:
    """Let wlmscpfs wait, if it uses the folder.

    A query that takes too long is not waited for.
    """
    try:
        file = (folder / WLMSCPFS_LOCK).open('r+b')
    except OSError:
        yield
        return
    with file:
        deadline = time.monotonic() + WLMSCPFS_PATIENCE
        while time.monotonic() < deadline:
            try:
                # dcmtk locks with fcntl(2), which does not notice flock(2).
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.EACCES}:
                    break  # The file system has no locks.
                time.sleep(0.05)
        yield


# --- worklist ---------------------------------------------------------
# The worklist as GNU Health sends it.

METHOD = 'model.gnuhealth.imaging.procedure.step.get_worklist'
PREFIX, SUFFIX = 'gnuhealth-', '.wl'
NAME = re.compile(PREFIX + r'[A-Za-z0-9_-]{1,64}')


@dataclass(frozen=True)
class WorklistItem:
    """An open step, and the content of its file.

    Attributes
    ----------
    id
        Of the step in GNU Health.
    index
        Of its last change, in GNU Health's numbering of all changes.
    name
        Of the file, without its suffix.
    kind
        Of the template: ``dump2dcm`` or ``json``.
    text, charset
        The filled-in template, and its Specific Character Set.
    dicom
        The file as GNU Health has made it.
    """
    id: str
    index: int
    name: str
    kind: str
    text: str
    charset: str
    dicom: bytes

    @classmethod
    def from_answer(cls, value: Any) -> 'WorklistItem':
        """Return the item of a decoded JSON object.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the object is not a worklist item.
        """
        item = cls(
            str(value['id']), value['index'], value['name'], value['kind'],
            value['text'], value['charset'], value['dicom'])
        texts = [item.name, item.kind, item.text, item.charset]
        if not all(isinstance(text, str) for text in texts) \
                or not isinstance(item.index, int) \
                or not isinstance(item.dicom, bytes):
            raise TypeError
        if not NAME.fullmatch(item.name):
            raise ValueError
        return item

    @property
    def digest(self) -> str:
        """Of all that its file is made from."""
        digest = hashlib.sha256(self.dicom)
        for part in [self.kind, self.text, self.charset]:
            digest.update(b'\0' + part.encode('utf-8', 'surrogatepass'))
        return digest.hexdigest()


@dataclass
class Listing:
    """The open steps, and those items that have changed.

    Attributes
    ----------
    index : int
        Of the last change that is included.
    complete : bool
        Whether the items are those of all open steps.
    items : dict
        Changed items by the id of the step.
    open : set
        The ids of all open steps.
    """
    index: int = 0
    complete: bool = False
    items: dict[str, WorklistItem] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)


def fetch(client: Client, since: int, known: Collection[str]) -> Listing:
    """Return the changes after the index `since`, or the complete worklist.

    Parameters
    ----------
    known
        The ids of the steps whose files are known.  If others are open and
        have not changed, the worklist is complete.

    Raises
    ------
    NoAnswer
        If GNU Health's answer is not a worklist.
    """
    listing = read_pages(client, since)
    if not listing.complete and listing.open - set(known) - set(listing.items):
        listing = read_pages(client, 0)
    if listing.complete and listing.open - set(listing.items):
        raise NoAnswer("The answer of GNU Health is not complete.")
    return listing


def read_pages(client: Client, since: int) -> Listing:
    listing = Listing(complete=not since)
    while True:
        page = client.call(METHOD, since, {})
        try:
            more = add_page(listing, page, since)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NoAnswer(
                "The answer of GNU Health is not a worklist.") from None
        if not more:
            return listing
        since = listing.index


def add_page(listing: Listing, page: Any, since: int) -> bool:
    """Add a page of the answer; return whether another one follows."""
    if since and not page['since']:
        listing.items.clear()
        listing.complete = True
    elif page['since'] != since:
        raise ValueError
    for value in page['entries']:
        item = WorklistItem.from_answer(value)
        listing.items[item.id] = item
    listing.index = int(page['index'])
    if not page['more']:
        listing.open = set(map(str, page['open']))
        return False
    if listing.index <= page['since']:
        raise ValueError  # The pages would never end.
    return True


# --- manifest ---------------------------------------------------------
# The record of the files that a run has written.

MANIFEST = '.gnuhealth-worklist.json'
MANIFEST_VERSION = 1
FILE_KEYS = ['name', 'entry', 'file']

FileRecord = dict[str, str]


@dataclass
class Manifest:
    """The files of a folder.

    Attributes
    ----------
    source : str
        Identifies the database of GNU Health.
    index : int
        Of the last change in GNU Health that all files include.
    files : dict
        Records by the id of the step: the `name`, the digest of the worklist
        item (`entry`) and that of the `file`.
    """
    source: str
    index: int = 0
    files: dict[str, FileRecord] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({
                'version': MANIFEST_VERSION, 'source': self.source,
                'index': self.index, 'files': self.files}, sort_keys=True)


def read_manifest(folder: Path, source: str) -> Manifest:
    """Return the manifest of a folder, an empty one if it cannot be used.

    The index of another database is not used.
    """
    manifest = Manifest(source)
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
        if value['version'] != MANIFEST_VERSION:
            return manifest
        files = {
            id_: {key: str(file[key]) for key in FILE_KEYS}
            for id_, file in value['files'].items()}
        if all(NAME.fullmatch(file['name']) for file in files.values()):
            manifest.files = files
            if value['source'] == source:
                manifest.index = int(value['index'])
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        pass  # Without a manifest all files are compared.
    return manifest


def make_record(item: WorklistItem, digest: str | None) -> FileRecord:
    """Return the record of a file with this digest."""
    return {'name': item.name, 'entry': item.digest, 'file': digest or ''}


# --- dump2dcm ---------------------------------------------------------
# The program dump2dcm of dcmtk, which makes files from templates.

CONVERSION_TIMEOUT = 30  # seconds for one call
LONGEST_LINE = 65536  # that dump2dcm accepts
MAXIMUM_KEYWORDS = 5  # in one message
# A line of dump2dcm: everything before the value, the VR, value, the rest
LINE = re.compile(
    r'(\s*\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)\s+([A-Z]{2})\s+\[)(.*)(\].*)')


def convert(item: WorklistItem, expected: Dataset, path: Path) -> str | None:
    """Let dump2dcm write a file, and compare it with the expected dataset.

    Returns
    -------
    str or None
        Why the file cannot be used, in one line; what follows in other lines
        may hold patient data.  None if it can be used.
    """
    program = shutil.which('dump2dcm')
    if not program:
        return "dump2dcm is not installed"
    try:
        text = encode_dump(item.text, item.charset)
    except (LookupError, ValueError):
        return "a text cannot be written in its character set"
    try:
        ended = subprocess.run(
            [program, '+te', '+l', str(LONGEST_LINE), '/dev/stdin', path],
            input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=CONVERSION_TIMEOUT, start_new_session=True)
        detail = ended.stdout.decode('utf-8', 'replace').strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"dump2dcm cannot be run\n{type(error).__name__}"
    # Its exit code is 0 also after errors in the text.
    if ended.returncode or not path.exists():
        return f"dump2dcm failed\n{detail}"
    try:
        changed = differences(expected, read_dicom(path.read_bytes()))
    except BadDicom:
        return f"dump2dcm did not write a worklist file\n{detail}"
    if changed:
        keywords = ', '.join(changed[:MAXIMUM_KEYWORDS])
        return f"dump2dcm changed {keywords}\n{detail}"
    return None


def encode_dump(text: str, charset: str) -> bytes:
    """Return the input of dump2dcm in a Specific Character Set.

    Each value is encoded on its own, because code extensions end with it
    (PS3.5 6.1.2.5).

    Raises
    ------
    LookupError, ValueError
        If the character set is unknown, or lacks a character.
    """
    encodings = convert_encodings(charset.split('\\'))
    lines = []
    for line in text.split('\n'):
        match = LINE.fullmatch(line)
        if not match:
            lines.append(line.encode('ascii', 'replace'))
            continue
        # A comment after the value may hold any character.
        before, vr, value, after = match.groups()
        values = b'\\'.join(
            PersonName(part).encode(encodings) if vr == 'PN'
            else encode_string(part, encodings)
            for part in value.split('\\'))
        lines.append(
            before.encode() + values + after.encode('ascii', 'replace'))
    return b'\n'.join(lines)


# --- permissions ------------------------------------------------------
# Who may read the worklist files, which hold data of patients.


@dataclass(frozen=True)
class Permissions:
    """The group and the permissions of files.

    Attributes
    ----------
    mode
        The permissions.
    group
        A number; None for the group of the folder, so that a server that
        belongs to it can read the files.
    """
    mode: int = 0o640
    group: int | None = None

    def apply(self, path: Path, folder: Path) -> None:
        """Set those of a file, if it has others.

        Raises
        ------
        OSError
            If they cannot be set: only a member of a group can give files to
            it.
        """
        found = path.stat()
        group = self.group
        if group is None:
            group = folder.stat().st_gid
        if found.st_gid != group and self.mode & stat.S_IRWXG:
            os.chown(path, -1, group)
        if stat.S_IMODE(found.st_mode) != self.mode:
            path.chmod(self.mode)


def parse_group(text: str) -> int:
    """Return the number of a group from its name or number."""
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(text) from None


parse_group.__name__ = 'group'  # for the message of argparse


# --- staging ----------------------------------------------------------
# New files, written in a folder of their own before they are published.

STAGING = '.gnuhealth-worklist.tmp'


@dataclass
class StagedFile:
    """A new file, or the reason why there is none.

    Attributes
    ----------
    path, digest
        Of the file, if there is one.
    remark
        Why dump2dcm did not write it, as `convert` says.
    problem
        Why there is no file.
    """
    item: WorklistItem
    path: Path | None = None
    digest: str | None = None
    remark: str | None = None
    problem: str | None = None


class Staging:
    """The folder of the new files, below that of the worklist.

    Parameters
    ----------
    folder
        Of the worklist.
    permissions
        Of new files.
    dump2dcm
        Whether dump2dcm writes the files of its templates.
    """

    def __init__(
            self, folder: Path, permissions: Permissions, dump2dcm: bool):
        self._folder = folder
        self._path = folder / STAGING
        self._permissions = permissions
        self._dump2dcm = dump2dcm

    def remove(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

    def write_files(self, items: Sequence[WorklistItem]) -> list[StagedFile]:
        """Write the files of items; no more after the disk is full."""
        if not items:
            return []
        try:
            self._path.mkdir(mode=0o700)
        except OSError as error:
            problem = describe_write_error(self._folder, error)
            return [StagedFile(item, problem=problem) for item in items]
        executor = ThreadPoolExecutor(os.cpu_count())
        full = threading.Event()
        try:
            return list(executor.map(
                    lambda item: self._write_file(item, full), items))
        finally:
            executor.shutdown(cancel_futures=True)

    def _write_file(
            self, item: WorklistItem, full: threading.Event) -> StagedFile:
        staged = StagedFile(item)
        if full.is_set():
            staged.problem = describe_write_error(
                self._folder, OSError(errno.ENOSPC, ''))
            return staged
        path = self._path / (item.name + SUFFIX)
        try:
            expected = read_dicom(item.dicom)
            wanted = self._dump2dcm and item.kind == 'dump2dcm'
            if wanted:
                staged.remark = convert(item, expected, path)
            if not wanted or staged.remark:
                path.unlink(missing_ok=True)
                path.write_bytes(item.dicom)
            self._permissions.apply(path, self._folder)
            with path.open('rb') as file:
                os.fsync(file)
            staged.digest = digest_file(path)
            staged.path = path
        except BadDicom:
            staged.problem = (
                f"GNU Health sent no DICOM file for {item.name}.")
        except PermissionError:
            full.set()
            staged.problem = (
                f"Cannot give files in {self._folder} to its group: run as a"
                " member of this group, or use --group or --mode.")
            path.unlink(missing_ok=True)
        except OSError as error:
            full.set()
            staged.problem = describe_write_error(self._folder, error)
            path.unlink(missing_ok=True)
        return staged

    def write_text(self, text: str, target: Path) -> None:
        """Replace a file that only its owner can read.

        Raises
        ------
        OSError
            If it cannot be written; the former file is unchanged.
        """
        self._path.mkdir(mode=0o700, exist_ok=True)
        path = self._path / target.name
        path.touch(mode=0o600)
        with path.open('w') as file:
            file.write(text)
            file.flush()
            os.fsync(file)
        path.replace(target)


def digest_file(path: Path) -> str | None:
    """Return the digest of a file, None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def describe_write_error(folder: Path, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"Cannot write in {folder}: {reason}."


# --- messages ---------------------------------------------------------
# Messages for the user, on standard error.

MAXIMUM_NAMED = 5  # files or problems that one message names


def print_error(text: object) -> None:
    print(text, file=sys.stderr, flush=True)


def shorten(problems: Iterable[str]) -> list[str]:
    """Return each problem once, and only some of many."""
    different = list(dict.fromkeys(problems))
    if len(different) > MAXIMUM_NAMED:
        more = len(different) - MAXIMUM_NAMED
        return different[:MAXIMUM_NAMED] + [f"({more} more.)"]
    return different


def warn_of_remarks(staged: Sequence[StagedFile], verbose: bool) -> None:
    """Print why files were written without dump2dcm.

    Parameters
    ----------
    verbose
        Whether to print details too, which may hold patient data.
    """
    files: dict[str, list[str]] = {}
    for file in staged:
        if file.remark:
            reason, _, detail = file.remark.partition('\n')
            files.setdefault(reason, []).append(file.item.name)
            if verbose and detail:
                print_error(f"{file.item.name}{SUFFIX}: {detail}")
    for reason, names in files.items():
        more = f" and {len(names) - MAXIMUM_NAMED} more" \
            * (len(names) > MAXIMUM_NAMED)
        print_error(
            f"Warning: {reason}. Written without it: "
            f"{', '.join(names[:MAXIMUM_NAMED])}{more}.")


# --- folder -----------------------------------------------------------
# The folder of the worklist files.

# Files of the script of this name in GNU Health 4
FORMER = re.compile(r'[0-9a-f]{32}\.(wl|dump)')


@dataclass
class Plan:
    """The changes that a folder needs.

    Attributes
    ----------
    listing
        What GNU Health has sent.
    items
        Those whose files have to be written.
    removed
        The names of files that have to be removed.
    files
        The records of files that stay as they are.
    written
        The names of files that are written.
    """
    listing: Listing
    items: list[WorklistItem]
    removed: set[str]
    files: dict[str, FileRecord]
    written: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.written = {item.name for item in self.items}


class Folder:
    """The folder of the worklist files.

    Parameters
    ----------
    path
        Of the folder, which must exist.
    permissions
        Of the files.
    dump2dcm
        Whether dump2dcm writes the files of its templates.
    """

    def __init__(
            self, path: Path, permissions: Permissions = Permissions(),
            dump2dcm: bool = True):
        if not path.is_dir():
            raise Unusable(f"There is no folder {path}.")
        self._path = path
        self._permissions = permissions
        self._staging = Staging(path, permissions, dump2dcm)

    def _file(self, name: str) -> Path:
        return self._path / (name + SUFFIX)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder."""
        with exclude_other_runs(self._path):
            # A run that was killed may have left it.
            self._staging.remove()
            yield

    def read_manifest(self, source: str) -> Manifest:
        return read_manifest(self._path, source)

    def find_intact(self, manifest: Manifest) -> set[str]:
        """Return the ids of the steps whose files have not been changed."""
        return {
            id_ for id_, file in manifest.files.items()
            if digest_file(self._file(file['name'])) == file['file']}

    def make_plan(
            self, listing: Listing, manifest: Manifest, intact: set[str],
            regenerate: bool = False) -> Plan:
        """Compare the folder with the open steps.

        Parameters
        ----------
        intact
            The ids of the steps whose files have not been changed.
        regenerate
            Whether files are written again that are right.

        Raises
        ------
        NoAnswer
            If two steps have the same file.
        """
        items = []
        files: dict[str, FileRecord] = {}
        for id_ in sorted(listing.open):
            item, file = listing.items.get(id_), manifest.files.get(id_)
            if item is None:
                files[id_] = manifest.files[id_]
            elif file and id_ in intact and (file['name'], file['entry']) == (
                    item.name, item.digest):
                files[id_] = file
            elif not regenerate and self._holds(item):
                files[id_] = make_record(
                    item, digest_file(self._file(item.name)))
            else:
                items.append(item)
        names = [item.name for item in items]
        names += [file['name'] for file in files.values()]
        if len(set(names)) < len(names):
            raise NoAnswer("GNU Health sent the same name for two files.")
        present = {
            path.name.removesuffix(SUFFIX)
            for path in self._path.glob(f'{PREFIX}*{SUFFIX}')}
        return Plan(listing, items, present - set(names), files)

    def find_former(self) -> list[Path]:
        """Return the files of the script of GNU Health 4."""
        return [
            path for path in self._path.glob('*')
            if FORMER.fullmatch(path.name)]

    def remove_former(self) -> list[str]:
        """Remove the files of GNU Health 4; return what failed."""
        try:
            for path in self.find_former():
                path.unlink()
        except OSError as error:
            return [describe_write_error(self._path, error)]
        return []

    def _holds(self, item: WorklistItem) -> bool:
        """Return whether a file is right that is not in the manifest."""
        try:
            found = read_dicom(self._file(item.name).read_bytes())
            return not differences(read_dicom(item.dicom), found)
        except (OSError, BadDicom):
            return False

    def carry_out(
            self, plan: Plan, manifest: Manifest, verbose: bool) -> list[str]:
        """Make the changes that can be made; return what failed.

        The sets of the plan are left with what was written and removed.
        """
        try:
            staged = self._staging.write_files(plan.items)
            warn_of_remarks(staged, verbose)
            problems = self._publish(staged, plan)
            for file in staged:
                if file.problem:
                    plan.written.discard(file.item.name)
                    if old := manifest.files.get(file.item.id):
                        plan.files[file.item.id] = old
                else:
                    plan.files[file.item.id] = make_record(
                        file.item, file.digest)
            problems += [file.problem for file in staged if file.problem]
            self._restore_modes(plan.files)
            new = Manifest(manifest.source, plan.listing.index, plan.files)
            if problems:
                # The next run asks for the same changes.
                new.index = 0 if plan.listing.complete else manifest.index
            if new != manifest:
                problems += self._write_manifest(new)
        finally:
            self._staging.remove()
        return shorten(problems)

    def _publish(
            self, staged: Sequence[StagedFile], plan: Plan) -> list[str]:
        """Replace files, and remove those of closed steps."""
        problems = []
        with pause_queries(self._path):
            for name in sorted(plan.removed):
                try:
                    self._file(name).unlink(missing_ok=True)
                except OSError as error:
                    plan.removed.discard(name)
                    problems.append(
                        f"Cannot remove {name}{SUFFIX}: {error.strerror}.")
            for file in staged:
                if file.path is None:
                    continue
                try:
                    file.path.replace(self._file(file.item.name))
                except OSError as error:
                    file.problem = describe_write_error(self._path, error)
        return problems

    def _restore_modes(self, files: dict[str, FileRecord]) -> None:
        """Set the permissions of files where they were changed.

        A query fails if Orthanc cannot read one of the files.
        """
        for file in files.values():
            path = self._file(file['name'])
            try:
                self._permissions.apply(path, self._path)
            except OSError:
                pass  # It is missing, or the file system has no modes.

    def _write_manifest(self, manifest: Manifest) -> list[str]:
        try:
            self._staging.write_text(
                manifest.to_json(), self._path / MANIFEST)
        except OSError as error:
            return [describe_write_error(self._path, error)]
        return []


# --- signals ----------------------------------------------------------
# Signals that end the script in an orderly way.


class Terminated(BaseException):
    """A signal asks the script to end.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGINT, SIGTERM and SIGHUP.

    Afterwards these are ignored, so that the process ends with its exit code.
    """
    def terminate(number: int, frame: object) -> None:
        raise Terminated(number)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


# --- update_worklists_database ----------------------------------------

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
