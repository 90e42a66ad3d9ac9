# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files between the pages of the upload wizard.

A database would keep the room that they took.  They lie in a folder that is
for the server's user only; where several machines serve one database, they
need one that they share.
"""

import fcntl
import os
import re
import secrets
import stat
import tempfile
import time
from contextlib import contextmanager, suppress

from trytond.config import config

__all__ = [
    'LostUpload', 'append', 'drop', 'keep', 'maximum_size', 'opened']

# Seconds after which nobody comes back for what was left
KEEP = 24 * 60 * 60
_MAXIMUM_SIZE = 4 * 2**30
_KEY = re.compile('[0-9a-f]{32}')


class LostUpload(LookupError):
    "What was sent is not there any more"


def maximum_size():
    "Return how many bytes one file may have"
    return config.getint(
        'health_orthanc', 'upload_max_size', default=_MAXIMUM_SIZE)


def keep(data):
    "Store what somebody has sent, and return the key to it"
    folder = _folder()
    _clean(folder)
    key = secrets.token_hex(16)
    path = _path(folder, key)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
    except OSError:
        drop(key)
        raise
    return key


def append(key, data):
    """Add to what the key belongs to, all of it at once.

    Raises
    ------
    LostUpload
    """
    try:
        handle = os.open(_path(_folder(), key), os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        raise LostUpload() from None
    with os.fdopen(handle, 'wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(data)


@contextmanager
def opened(key):
    """Open what the key belongs to.

    Raises
    ------
    LostUpload
    """
    try:
        file = open(_path(_folder(), key), 'rb')
    except FileNotFoundError:
        raise LostUpload() from None
    with file:
        yield file


def drop(key):
    "Delete what the key belongs to, if it is there"
    with suppress(FileNotFoundError, LostUpload):
        os.unlink(_path(_folder(), key))


def _path(folder, key):
    # It comes from the client
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise LostUpload()
    return os.path.join(folder, key)


def _folder():
    path = config.get('health_orthanc', 'upload_path') or os.path.join(
        tempfile.gettempdir(), f'health_orthanc-{os.getuid()}')
    os.makedirs(path, mode=0o700, exist_ok=True)
    # In a folder for everybody somebody else may have been first
    found = os.lstat(path)
    if (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()
            or found.st_mode & 0o077):
        raise PermissionError(f"{path} is not for the server only")
    return path


def _clean(folder):
    for name in filter(_KEY.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - KEEP:
                os.unlink(path)
