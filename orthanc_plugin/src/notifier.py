# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The thread that notifies GNU Health of studies."""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from .archive import Archive, ArchiveError
from .back_off import BackOff
from .change_follower import ChangeFollower
from .errors import describe_error, locate_error
from .gnuhealth import HttpError
from .host import Host
from .log import log
from .notification_queue import NotificationQueue
from .notification_sender import NotificationSender
from .settings import SECTION, Settings
from .times import format_iso_time

# Seconds
LOOK = 5
GATHER = 0.2

Result = TypeVar('Result')


class Notifier:
    """The thread that follows Orthanc's changes and notifies GNU Health.

    It logs when notifications fail and when they are sent again.
    """

    def __init__(self, settings: Settings, host: Host):
        self._queue = NotificationQueue(settings.notification_file)
        self._archive = Archive(host)
        self._follower = ChangeFollower(settings, self._queue, self._archive)
        self._sender = NotificationSender(settings, self._queue, self._archive)
        self._back_off = BackOff()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # Problems of Orthanc or the queue, and of GNU Health
        self._local_problem: str | None = None
        self._remote_problem: str | None = None
        self._logged: str | None = ''
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._archive.close()
        self._wake.set()
        if self._thread.is_alive():
            # Orthanc must not wait for an answer of GNU Health.
            self._thread.join(1)

    def retry_now(self) -> None:
        """End the pause after a failure: GNU Health answers again."""
        self._back_off.reset()
        self._wake.set()

    def add_stable(self, study: str) -> None:
        """Take note of a study that Orthanc reports as stable."""
        self._follower.add_stable(study)
        self._wake.set()

    def add_deleted(self, study: str) -> None:
        """Take note of a study that was deleted in Orthanc."""
        try:
            self._follower.add_deleted(study)
        except (OSError, sqlite3.Error):
            # The thread tries again, and logs why it fails.
            pass
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._work()
            if self._stopping.is_set():
                break
            self._log_change()
            if self._wake.wait(pause):
                # Send events together that happen together.
                self._stopping.wait(GATHER)
                self._wake.clear()
        self._queue.close()

    def _work(self) -> float:
        """Read changes and send events; return the seconds until the next.
        """
        self._local_problem = None
        more = self._call(self._follower.follow)
        if not self._back_off.rest:
            # Also if Orthanc's changes cannot be read.
            more = self._call(self._send) or more
        if more:
            return 0
        pause = self._call(self._queue.seconds_until_due)
        if pause is None or self._local_problem:
            return LOOK
        return min(LOOK, max(pause, self._back_off.rest))

    def _call(self, function: Callable[[], Result]) -> Result | None:
        """Return the result of a function, None if it fails."""
        try:
            return function()
        except ArchiveError as error:
            self._local_problem = str(error)
        except (OSError, sqlite3.Error) as error:
            self._local_problem = (
                f"the notification file cannot be used:"
                f" {describe_error(error)}")
        # The thread must go on; the text of the error may hold patient data.
        except Exception as error:
            self._local_problem = locate_error(error)
        return None

    def _send(self) -> bool:
        """Send some events; return whether there may be more."""
        try:
            if not self._sender.send():
                return False
        except HttpError as error:
            self._back_off.start()
            self._remote_problem = str(error)
            return False
        self._back_off.reset()
        self._remote_problem = None
        return True

    def _log_change(self) -> None:
        """Log when a problem begins, changes or ends."""
        problem = self._local_problem or self._remote_problem
        if problem == self._logged:
            return
        self._logged = problem
        if problem:
            log.error(
                "GNU Health cannot be notified of studies: %s%s", problem,
                self._describe_queue())
        else:
            log.warning(
                "GNU Health is notified of studies%s", self._describe_queue())

    def _describe_queue(self) -> str:
        try:
            count, since = self._queue.count()
        except (OSError, sqlite3.Error):
            return ''
        return f"; {count} pending" + (
            f", the oldest since {format_iso_time(since)}"
            if since is not None else '')
