# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The file of the notifications that GNU Health has not received yet."""
from __future__ import annotations

import math
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .log import log
from .times import format_orthanc_time

QUEUE_VERSION = 1
SCHEMA = [
    """CREATE TABLE state (name TEXT PRIMARY KEY, value)""",
    """CREATE TABLE pending (
        study TEXT NOT NULL PRIMARY KEY,
        number INTEGER NOT NULL,
        reason TEXT NOT NULL,
        first_seen REAL NOT NULL,
        changed REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0)""",
    """CREATE INDEX pending_number ON pending (refused, number)""",
    f"""PRAGMA user_version = {QUEUE_VERSION}""",
    ]
PUT = """
    INSERT INTO pending (number, study, reason, first_seen, changed, due)
        VALUES (:number, :study, :reason, :now, :now, :due)
        ON CONFLICT (study) DO UPDATE SET
            number = :number, reason = :reason, changed = :now, due = :due,
            attempts = 0, refused = 0"""
DAY = 24 * 60 * 60
# Seconds before a notification is sent again
FIRST_PAUSE, LAST_PAUSE = 2, 5 * 60
# Beyond the number of any change in Orthanc
NO_CURSOR = 2**62

Execute = Callable[..., sqlite3.Cursor]


@dataclass(frozen=True)
class PendingEvent:
    """An event that GNU Health has to be notified of; one for each study.

    Attributes
    ----------
    event
        Its identifier, which is the same each time it is sent.
    study
        The id of the study in Orthanc.
    changed
        When it happened, in seconds since 1970.
    attempts
        How often sending it has failed.
    refused
        Whether GNU Health has refused this event.
    """
    event: str
    study: str
    changed: float
    attempts: int
    refused: bool


@dataclass(frozen=True)
class Scan:
    """A search through all studies for those updated since a time.

    Attributes
    ----------
    since
        That time, as Orthanc writes it, in UTC.
    position
        How many studies have been looked at.
    """
    since: str
    position: int


class NotificationQueue:
    """The queue of the events that GNU Health has to be notified of.

    It is an SQLite database that survives a crash of Orthanc and of the
    machine: each method is one transaction that is on disk when it returns.
    It holds ids and times only.  Threads may share it.

    Parameters
    ----------
    path
        Of the file.
    clock
        Returns the time in seconds since 1970.

    Raises
    ------
    OSError, sqlite3.Error
        By every method; the next call opens the file again.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.time):
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    # -- the position in Orthanc's log of changes

    @property
    def cursor(self) -> int | None:
        """The number of the last change that was read, None at first."""
        with self._transaction() as execute:
            return _get_state(execute, 'cursor')

    def add_changes(
            self, cursor: int, contact: str, stable: Iterable[str] = (),
            growing: Iterable[str] = (), quiet: float = 0) -> None:
        """Add the studies of some changes, and advance to `cursor`.

        Parameters
        ----------
        contact
            Orthanc's time of the last of these changes.
        stable
            Studies that are due now.
        growing
            Studies that are due when nothing has been added to them for
            `quiet` seconds.
        """
        with self._transaction() as execute:
            self._add(execute, growing, 'growing', quiet)
            self._add(execute, stable, 'stable')
            _set_state(execute, cursor=cursor, contact=contact)

    def add(self, studies: Iterable[str], reason: str) -> None:
        """Add studies that are due now."""
        with self._transaction() as execute:
            self._add(execute, studies, reason)

    def make_due(self, quiet: float) -> None:
        """Make all events due; those of growing studies after `quiet` seconds.

        For the start of Orthanc, which does not report studies as stable that
        it held before.
        """
        with self._transaction() as execute:
            execute("""
                UPDATE pending SET attempts = 0, refused = 0,
                    due = CASE reason WHEN 'growing' THEN ? ELSE ? END""",
                [self._clock() + quiet, self._clock()])

    # -- the search through all studies

    @property
    def scan(self) -> Scan | None:
        """The search that is not finished."""
        with self._transaction() as execute:
            since = _get_state(execute, 'scan')
            return Scan(since, _get_state(execute, 'position')) \
                if since else None

    def start_scan(self, cursor: int | None = None) -> None:
        """Start a search for studies updated since the last change read.

        Parameters
        ----------
        cursor
            The new position in the log of changes, if it is another one.
        """
        with self._transaction() as execute:
            contact = _get_state(execute, 'contact')
            _set_state(
                execute, position=0,
                scan=min(_get_state(execute, 'scan') or contact, contact))
            if cursor is not None:
                _set_state(execute, cursor=cursor)

    def add_scanned(
            self, position: int | None, stable: Iterable[str],
            growing: Iterable[str], quiet: float) -> None:
        """Add the studies of a page of the search.

        Parameters
        ----------
        position
            Where the next page begins; None after the last page.
        stable, growing, quiet
            As of `add_changes`.
        """
        with self._transaction() as execute:
            self._add(execute, growing, 'growing', quiet)
            self._add(execute, stable, 'found')
            if position is None:
                _set_state(execute, scan=None)
            _set_state(execute, position=position)

    # -- sending

    def due(self, limit: int) -> list[PendingEvent]:
        """Return the events that are due, the oldest first.

        Events that were refused come after all others, one at a time.
        """
        now = self._clock()
        with self._transaction() as execute:
            name = _get_state(execute, 'name')
            # An event is far in the future if the clock was set back.
            rows = execute("""
                SELECT number, study, changed, attempts, refused FROM pending
                    WHERE due <= ? OR due > ?
                    ORDER BY refused, number LIMIT ?""",
                [now, now + 2 * DAY, limit]).fetchall()
        found = [
            PendingEvent(
                f'{name}-{number}', study, changed, attempts, bool(refused))
            for number, study, changed, attempts, refused in rows]
        return [event for event in found if not event.refused] or found[:1]

    def seconds_until_due(self) -> float:
        """Return the seconds until an event is due, infinity without any."""
        with self._transaction() as execute:
            (due,), = execute("SELECT min(due) FROM pending").fetchall()
        return math.inf if due is None else max(due - self._clock(), 0)

    def count(self) -> tuple[int, float | None]:
        """Return the number of events, and when the oldest was added."""
        with self._transaction() as execute:
            row, = execute(
                "SELECT count(*), min(first_seen) FROM pending").fetchall()
        return row

    def remove(self, received: Iterable[PendingEvent]) -> None:
        """Remove events, unless a newer one has replaced them."""
        with self._transaction() as execute:
            for event in received:
                execute("DELETE FROM pending WHERE study = ? AND number = ?",
                    _key_of(event))

    def postpone(self, failed: Iterable[PendingEvent]) -> None:
        """Make events due later, after a pause that doubles each time."""
        self._postpone(failed, 0, FIRST_PAUSE, LAST_PAUSE)

    def mark_refused(self, refused: PendingEvent) -> None:
        """Postpone an event that GNU Health refuses, for a day at most."""
        self._postpone([refused], 1, LAST_PAUSE, DAY)

    def _postpone(
            self, failed: Iterable[PendingEvent], refused: int, first: float,
            last: float) -> None:
        with self._transaction() as execute:
            for event in failed:
                pause = first * 2 ** min(event.attempts, 20)
                execute("""
                    UPDATE pending
                        SET attempts = attempts + 1, refused = ?, due = ?
                        WHERE study = ? AND number = ?""",
                    [refused, self._clock() + min(pause, last),
                        *_key_of(event)])

    # -- the file

    def _add(
            self, execute: Execute, studies: Iterable[str], reason: str,
            quiet: float = 0) -> None:
        number = _get_state(execute, 'number')
        now = self._clock()
        for study in studies:
            number += 1
            execute(PUT, {
                    'number': number, 'study': study, 'reason': reason,
                    'now': now, 'due': now + quiet})
        _set_state(execute, number=number)

    @contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection.execute
            except sqlite3.Error:
                self.close()
                raise

    def _open(self) -> sqlite3.Connection:
        # Before SQLite opens the file: it may write to it.
        used = (
            os.stat(self._path).st_mtime if os.path.exists(self._path)
            else time.time())
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # The file is damaged, or no database.
            self._set_aside()
        connection = self._connect()
        with connection:
            _set_state(connection.execute, cursor=NO_CURSOR,
                contact=format_orthanc_time(used - DAY))
        return connection

    def _connect(self) -> sqlite3.Connection:
        # SQLite gives the files beside it the same mode.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False)
        try:
            _prepare_database(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        damaged = f'{self._path}.damaged'
        os.replace(self._path, damaged)
        for suffix in ['-wal', '-shm']:
            if os.path.exists(self._path + suffix):
                os.unlink(self._path + suffix)
        log.error(
            "the notification file is damaged and kept as %s; GNU Health is"
            " notified again of the studies updated since one day before the"
            " file was last used", os.path.basename(damaged))


def _prepare_database(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (found,), = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != 'ok':
        raise sqlite3.DatabaseError("damaged")
    (version,), = connection.execute("PRAGMA user_version").fetchall()
    if version == 0:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA:
                connection.execute(statement)
            _set_state(
                connection.execute, name=secrets.token_hex(8), number=0)
    elif version != QUEUE_VERSION:
        raise sqlite3.DatabaseError("of another version")


def _get_state(execute: Execute, name: str) -> Any:
    row = execute("SELECT value FROM state WHERE name = ?", [name]).fetchone()
    return row and row[0]


def _set_state(execute: Execute, **values: object) -> None:
    for row in values.items():
        execute("INSERT OR REPLACE INTO state VALUES (?, ?)", row)


def _key_of(event: PendingEvent) -> tuple[str, int]:
    return event.study, int(event.event.rpartition('-')[2])
