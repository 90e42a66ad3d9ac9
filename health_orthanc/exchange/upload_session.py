# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and sessions of uploads, between requests and wizard pages

The files lie in a folder that only the server's user can read: the database
would keep the space that they took.  Several machines that serve one database
need a common folder (`upload_path`).

A client may also send its files one by one, in a session.  Its file only holds
JSON: a line with the user and the server, and one with the results of the
files of each request.
"""

import datetime as dt
import fcntl
import json
import os
import re
import secrets
import stat
import tempfile
import time
from contextlib import contextmanager, suppress

from trytond.config import config
from trytond.transaction import Transaction

from ..core.dicom.file_header import Header
from .upload import Outcome

__all__ = [
    'SentFile', 'UploadLost', 'begin_session', 'check_session', 'delete_file',
    'load_session', 'maximum_size', 'open_file', 'parse_reference',
    'record_files', 'store_file']

# Seconds after which files that nobody has used are deleted
_KEEP = 24 * 60 * 60
_MAXIMUM_SIZE = 4 * 2**30
_KEY = re.compile('[0-9a-f]{32}')
# What clients send to the wizard in place of files: the key of the session,
# and the number of files that could not be sent
_REFERENCE = re.compile(rb'TRANSFER ([0-9a-f]{32}) ([0-9]{1,9})')
# The longest line with user and server, in bytes
_LINE_LIMIT = 1024
# The attributes of a header that are the same for all files of a study
_IDENTITY = [
    'study_uid', 'patient_id', 'issuer', 'patient_name', 'birth_date', 'sex',
    'accession_number', 'modality']


class UploadLost(LookupError):
    "The file or session does not exist, or belongs to another user"


def maximum_size():
    "Return the largest size of a file in bytes, from the configuration"
    return config.getint(
        'health_orthanc', 'upload_max_size', default=_MAXIMUM_SIZE)


def store_file(data):
    """Store a file.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    str
        The key of the file.
    """
    folder = _folder()
    _delete_old(folder)
    key = secrets.token_hex(16)
    path = _path(folder, key)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
    except OSError:
        delete_file(key)
        raise
    return key


def _append(key, data):
    "Append to a file; the data of concurrent calls are not mixed"
    try:
        handle = os.open(_path(_folder(), key), os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        raise UploadLost() from None
    with os.fdopen(handle, 'wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(data)


@contextmanager
def open_file(key):
    """Open a file for reading.

    Parameters
    ----------
    key : str

    Yields
    ------
    BufferedReader

    Raises
    ------
    UploadLost
    """
    try:
        file = open(_path(_folder(), key), 'rb')
    except FileNotFoundError:
        raise UploadLost() from None
    with file:
        yield file


def delete_file(key):
    "Delete the file or session with the key, if it exists"
    with suppress(FileNotFoundError, UploadLost):
        os.unlink(_path(_folder(), key))


def _path(folder, key):
    # The key comes from the client
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise UploadLost()
    return os.path.join(folder, key)


def _folder():
    path = config.get('health_orthanc', 'upload_path') or os.path.join(
        tempfile.gettempdir(), f'health_orthanc-{os.getuid()}')
    os.makedirs(path, mode=0o700, exist_ok=True)
    # In a public folder another user may have created it before
    found = os.lstat(path)
    if (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()
            or found.st_mode & 0o077):
        raise PermissionError(f"{path} is not for the server only")
    return path


def _delete_old(folder):
    for name in filter(_KEY.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - _KEEP:
                os.unlink(path)


# Sessions


class SentFile:
    """A file of a session, whether or not it could be sent

    Attributes
    ----------
    name : str
    size : int
    outcome : Outcome
    """
    __slots__ = ('name', 'size', 'outcome')

    def __init__(self, name, size, outcome):
        self.name = name
        self.size = size
        self.outcome = outcome


def begin_session(server_id):
    """Begin a session of the current user.

    Parameters
    ----------
    server_id : int

    Returns
    -------
    str
        The key of the session.
    """
    return store_file(_line(_owner(server_id)))


def check_session(key, server_id):
    """Check that a session belongs to the current user and the server.

    Parameters
    ----------
    key : str
    server_id : int

    Raises
    ------
    UploadLost
    """
    with open_file(key) as file:
        _check_owner(file, server_id)


def record_files(key, number, items):
    """Record the results of the files of a request.

    Parameters
    ----------
    key : str
    number : int
        The number of the client's file; former results with the same number
        are replaced.
    items : list of SentFile

    Raises
    ------
    UploadLost
    """
    # Another request may have left an incomplete line
    _append(
        key, b'\n' + _line([number, list(map(_to_json, items))]))


def load_session(key, server_id):
    """Return the files of a session of the current user.

    Parameters
    ----------
    key : str
    server_id : int

    Returns
    -------
    list of SentFile

    Raises
    ------
    UploadLost
    """
    found, headers = {}, {}
    with open_file(key) as file:
        _check_owner(file, server_id)
        for line in file:
            try:
                number, items = json.loads(line)
            except ValueError:
                # The line is empty, or its process was stopped
                continue
            found[number] = [_from_json(item, headers) for item in items]
    return [item for number in sorted(found) for item in found[number]]


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


def _owner(server_id):
    transaction = Transaction()
    return [transaction.database.name, transaction.user, server_id]


def _check_owner(file, server_id):
    line = file.readline(_LINE_LIMIT)
    # The key may be that of a file
    try:
        owner = json.loads(line)
    except ValueError:
        owner = None
    if owner != _owner(server_id):
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
        outcome.detail, outcome.study, header]


def _from_json(values, headers):
    "Return a file; equal headers are shared through `headers`"
    *values, header = values
    name, size, state, message, status, detail, study = values
    if header:
        key = tuple(header)
        if key not in headers:
            headers[key] = _header(key)
        header = headers[key]
    return SentFile(name, size, Outcome(
            state, message, status, detail, study, header=header))


def _header(values):
    values = dict(zip(_IDENTITY, values))
    date = values['birth_date']
    return Header(**{
            # Not recorded: these differ in each file
            'sop_class': '', 'instance_uid': '', 'series_uid': '',
            **values, 'birth_date': date and dt.date.fromisoformat(date)})
