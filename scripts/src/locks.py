# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of the folder: against other runs, and against queries."""
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .failures import Failure, Unusable

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
