# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The search for studies in Orthanc that GNU Health has to be notified of."""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from .archive import Archive, Changes
from .notification_queue import NotificationQueue
from .settings import Settings
from .times import format_orthanc_time

CHANGES_PAGE = 500
SCAN_PAGE = 100
# How many studies of a page are read again: where some were deleted in the
# meantime, those that follow them have moved.
SCAN_OVERLAP = 10
PAGES_AT_ONCE = 20
MAXIMUM_UNSAVED = 100_000
# Seconds
QUIET = 30
QUIET_AT_START = 2


class ChangeFollower:
    """Follow Orthanc's log of changes, and add studies to the queue.

    Parameters
    ----------
    clock
        Returns the time in seconds since 1970.
    """

    def __init__(
            self, settings: Settings, queue: NotificationQueue,
            archive: Archive, clock: Callable[[], float] = time.time):
        self._stable_age = settings.stable_age
        self._queue = queue
        self._archive = archive
        self._clock = clock
        self._starting = True
        self._lock = threading.Lock()
        self._stable: set[str] = set()
        self._deleted: deque[str] = deque(maxlen=MAXIMUM_UNSAVED)

    # -- called by Orthanc

    def add_stable(self, study: str) -> None:
        """Remember a stable study in case the log of changes is cleared."""
        with self._lock:
            self._stable.add(study)

    def add_deleted(self, study: str) -> None:
        """Add a deleted study at once: Orthanc's log does not hold it."""
        with self._lock:
            self._deleted.append(study)
        self._save_deleted()

    def _save_deleted(self) -> None:
        with self._lock:
            if self._deleted:
                self._queue.add(self._deleted, 'deleted')
                self._deleted.clear()

    # -- called by the thread of the plugin

    def follow(self) -> bool:
        """Add what has changed; return whether there is more to be read."""
        self._save_deleted()
        if self._starting:
            self._queue.make_due(self._quiet)
        with self._lock:
            stable = set(self._stable)
        more = self._read_changes(stable) or self._scan()
        with self._lock:
            self._stable -= stable
        return more

    @property
    def _quiet(self) -> float:
        """The seconds after which a growing study is due.

        Orthanc reports a study as stable after StableAge, but never one that
        it held when it was killed.
        """
        return self._stable_age + (
            QUIET_AT_START if self._starting else QUIET)

    def _read_changes(self, stable: set[str]) -> bool:
        cursor = self._get_cursor()
        for _ in range(PAGES_AT_ONCE):
            changes = self._archive.changes(cursor, CHANGES_PAGE)
            if changes.last < cursor:
                # Another database, or an older state of it
                self._queue.start_scan(changes.last)
                break
            if not changes.complete:
                self._replace_missing(stable)
            if changes.last > cursor:
                self._add(changes)
            cursor = changes.last
            if changes.done:
                break
        else:
            return True
        self._starting = False
        return False

    def _get_cursor(self) -> int:
        """Return the position in the log; its end the very first time."""
        cursor = self._queue.cursor
        if cursor is None:
            cursor = self._archive.last_change()
            self._queue.add_changes(
                cursor, format_orthanc_time(self._clock()))
        return cursor

    def _replace_missing(self, stable: set[str]) -> None:
        """Find the studies of changes that are missing in the log."""
        if self._starting:
            self._queue.start_scan()
        elif stable:
            self._queue.add(stable, 'stable')

    def _add(self, changes: Changes) -> None:
        stable = changes.ids('StableStudy')
        grown = self._archive.studies(
            changes.ids('NewInstance', 'NewSeries', 'NewStudy'))
        growing = [
            study['ID'] for study in grown
            if not (study['IsStable'] and study['ID'] in stable)]
        self._queue.add_changes(
            changes.last,
            changes.entries[-1]['Date'] if changes.entries
            else format_orthanc_time(self._clock()),
            [study for study in stable if study not in growing],
            growing, self._quiet)

    def _scan(self) -> bool:
        """Read one page of all studies, if a search is under way."""
        scan = self._queue.scan
        if not scan:
            return False
        start = max(scan.position - SCAN_OVERLAP, 0)
        page = self._archive.page(start, SCAN_PAGE)
        updated = [
            study for study in page
            if study.get('LastUpdate', '') >= scan.since]
        more = len(page) == SCAN_PAGE
        self._queue.add_scanned(
            start + len(page) if more else None,
            [study['ID'] for study in updated if study['IsStable']],
            [study['ID'] for study in updated if not study['IsStable']],
            self._quiet)
        return more
