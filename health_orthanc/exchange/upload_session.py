# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and sessions of uploads, between requests and wizard pages

The files lie in a folder that only the server's user can read: the database
would keep the space that they took.  Several machines that serve one database
need a common folder (`upload_path`).

Each session has a file of JSON lines: its user, and the outcomes of its files,
of which the last one counts.  Each file that has been received lies beside it
until it is stored in Orthanc.
"""

import datetime as dt
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress

from trytond.config import config
from trytond.transaction import Transaction

from ..core.dicom.file_header import Header
from .upload import Outcome

__all__ = [
    'SentFile', 'UploadFull', 'UploadLost', 'begin_session', 'check_session',
    'delete_file', 'delete_session', 'free_space', 'load_session',
    'maximum_size', 'open_file', 'parse_reference', 'record_files',
    'record_outcome', 'temporary_file', 'write_file']

logger = logging.getLogger('trytond.modules.health_orthanc.upload')

_DISK = '/var/tmp'
# Seconds after which files that nobody has used are deleted
_KEEP = 24 * 60 * 60
_MAXIMUM_SIZE = 4 * 2**30
_CHUNK = 2**18
_KEY = re.compile('[0-9a-f]{32}')
_NAME = re.compile(r'[0-9a-f]{32}(\.[0-9]{1,9})?')
# What clients send to the wizard in place of files: the key of the session,
# and the number of files that could not be sent
_REFERENCE = re.compile(rb'TRANSFER ([0-9a-f]{32}) ([0-9]{1,9})')
# The longest line with the user, in bytes
_LINE_LIMIT = 1024
# The attributes of a header that are the same for all files of a study
_IDENTITY = [
    'study_uid', 'patient_id', 'issuer', 'patient_name', 'birth_date', 'sex',
    'accession_number', 'modality']
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class UploadLost(LookupError):
    "The file or session does not exist, or belongs to another user"


class UploadFull(Exception):
    "There is no space for the files of uploads"


class SentFile:
    """A file of a session

    Attributes
    ----------
    name : str
    size : int
    outcome : Outcome
    number, index : int
        The number of the file that was received, and the position of this one
        in it: an archive holds several.
    """
    __slots__ = ('name', 'size', 'outcome', 'number', 'index')

    def __init__(self, name, size, outcome, number=0, index=0):
        self.name = name
        self.size = size
        self.outcome = outcome
        self.number = number
        self.index = index


def maximum_size():
    "Return the largest size of a file in bytes, from the configuration"
    return config.getint(
        'health_orthanc', 'upload_max_size', default=_MAXIMUM_SIZE)


# Files


@contextmanager
def _noticing_full():
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            logger.error("The disk of the upload folder is full")
            raise UploadFull() from error
        raise


def free_space():
    """Return the free space in the upload folder.

    Returns
    -------
    int or None
        In bytes; None if the folder cannot be used.
    """
    try:
        return shutil.disk_usage(_folder()).free
    except (OSError, UploadFull):
        return None


def _parent():
    "Return the folder for temporary files that is on a disk"
    # /tmp may be in memory
    if 'TMPDIR' not in os.environ and os.access(_DISK, os.W_OK | os.X_OK):
        return _DISK
    return tempfile.gettempdir()


def _folder():
    path = config.get('health_orthanc', 'upload_path') or os.path.join(
        _parent(), f'health_orthanc-{os.getuid()}')
    with _noticing_full():
        os.makedirs(path, mode=0o700, exist_ok=True)
    # In a public folder another user may have created it before
    found = os.lstat(path)
    if (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()
            or found.st_mode & 0o077):
        raise PermissionError(f"{path} is not for the server only")
    return path


def _path(key, number=None):
    # The key comes from the client
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise UploadLost()
    name = key if number is None else f'{key}.{int(number)}'
    return os.path.join(_folder(), name)


def _delete_old():
    folder = _folder()
    for name in filter(_NAME.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - _KEEP:
                os.unlink(path)


def _write(path, chunks, mode=os.O_EXCL):
    "Write a file as a whole, or not at all"
    try:
        with _noticing_full():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
            with os.fdopen(handle, 'wb') as file:
                for chunk in chunks:
                    file.write(chunk)
                return file.tell()
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


def write_file(key, number, chunks):
    """Store a file of a session; a former one with its number is replaced.

    Parameters
    ----------
    key : str
    number : int
    chunks : iterable of bytes

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    UploadFull, UploadLost
    """
    return _write(_path(key, number), chunks, os.O_TRUNC)


@contextmanager
def open_file(key, number=None):
    """Open a file of a session, or the one of its outcomes, for reading.

    Parameters
    ----------
    key : str
    number : int, optional

    Yields
    ------
    BufferedReader

    Raises
    ------
    UploadLost
    """
    try:
        file = open(_path(key, number), 'rb')
    except FileNotFoundError:
        raise UploadLost() from None
    with file:
        yield file


def delete_file(key, number):
    "Delete a file of a session, if it exists"
    with suppress(FileNotFoundError, UploadLost):
        os.unlink(_path(key, number))


@contextmanager
def temporary_file():
    """Open a file for the time of a request.

    Yields
    ------
    BufferedRandom

    Raises
    ------
    UploadFull
    """
    with _noticing_full(), tempfile.TemporaryFile(dir=_folder()) as file:
        yield file


# Sessions


def begin_session():
    """Begin a session of the current user.

    Returns
    -------
    str
        The key of the session.

    Raises
    ------
    UploadFull
    """
    _delete_old()
    key = secrets.token_hex(16)
    _write(_path(key), [_line(_owner())])
    return key


def delete_session(key):
    "Delete a session and its files, if it exists"
    with suppress(UploadLost):
        path = _path(key)
        folder, name = os.path.split(path)
        for other in os.listdir(folder):
            if other == name or other.startswith(f'{name}.'):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, other))


def check_session(key):
    """Check that a session belongs to the current user.

    Parameters
    ----------
    key : str

    Raises
    ------
    UploadLost
    """
    with open_file(key) as file:
        _check_owner(file)


def record_files(key, number, items):
    """Record the files in a file that was received.

    Parameters
    ----------
    key : str
    number : int
        The number of the client's file; former results with the same number
        are replaced.
    items : list of SentFile

    Raises
    ------
    UploadFull, UploadLost
    """
    _append(key, [number, list(map(_to_json, items))])


def record_outcome(key, item):
    """Record what has become of a file.

    Parameters
    ----------
    key : str
    item : SentFile

    Raises
    ------
    UploadFull, UploadLost
    """
    _append(key, [item.number, item.index, _to_json(item)])


def _append(key, value):
    "Append to a session; the data of concurrent calls are not mixed"
    try:
        handle = os.open(_path(key), os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        raise UploadLost() from None
    with _noticing_full(), os.fdopen(handle, 'wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Another request may have left an incomplete line
        file.write(b'\n' + _line(value))


def load_session(key):
    """Return the files of a session of the current user.

    Parameters
    ----------
    key : str

    Returns
    -------
    list of SentFile

    Raises
    ------
    UploadLost
    """
    found, headers = {}, {}
    with open_file(key) as file:
        _check_owner(file)
        for line in file:
            try:
                number, *rest = json.loads(line)
            except ValueError:
                # The line is empty, or its process was stopped
                continue
            if len(rest) == 1:
                found[number] = rest[0]
            else:
                index, item = rest
                found[number][index] = item
    return [
        _from_json(item, number, index, headers)
        for number in sorted(found)
        for index, item in enumerate(found[number])]


def parse_reference(data):
    """Return the key of a session that a client sends in place of files.

    Parameters
    ----------
    data : bytes or None

    Returns
    -------
    key : str or None
        None if the data are files.
    left : int or None
        The number of files that could not be sent.
    """
    match = _REFERENCE.fullmatch(data or b'')
    if not match:
        return None, None
    return match[1].decode(), int(match[2])


def _owner():
    transaction = Transaction()
    return [transaction.database.name, transaction.user]


def _check_owner(file):
    line = file.readline(_LINE_LIMIT)
    try:
        owner = json.loads(line)
    except ValueError:
        owner = None
    if owner != _owner():
        raise UploadLost()


def _line(value):
    return json.dumps(value, separators=(',', ':')).encode() + b'\n'


def _to_json(item):
    outcome = item.outcome
    header = outcome.header and [
        value.isoformat() if isinstance(value, dt.date) else value
        for value in (getattr(outcome.header, name) for name in _IDENTITY)]
    return [
        item.name, item.size, outcome.state, outcome.message, outcome.status,
        outcome.detail, outcome.study, outcome.instance, header]


def _from_json(values, number, index, headers):
    "Return a file; equal headers are shared through `headers`"
    *values, header = values
    name, size, state, message, status, detail, study, instance = values
    if header:
        key = tuple(header)
        if key not in headers:
            headers[key] = _header(key)
        header = headers[key]
    outcome = Outcome(
        state, message, status, detail, study, instance, header=header)
    return SentFile(name, size, outcome, number, index)


def _header(values):
    values = dict(zip(_IDENTITY, values))
    date = values['birth_date']
    return Header(**{
            # Not recorded: these differ in each file
            'sop_class': '', 'instance_uid': '', 'series_uid': '',
            **values, 'birth_date': date and dt.date.fromisoformat(date)})
