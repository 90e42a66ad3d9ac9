# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests that notify GNU Health of studies."""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .archive import Archive
from .errors import locate_error
from .gnuhealth import GnuHealth, HttpError
from .log import log
from .notification_queue import NotificationQueue, PendingEvent
from .settings import Settings
from .study_summary import summarize_study
from .times import format_iso_time

NOTIFY_ROUTE = 'orthanc/notify'
NOTIFY_VERSION = 1
MAXIMUM_EVENTS = 20
MAXIMUM_BODY = 1_000_000  # bytes
MAXIMUM_EVENT = 900_000
MAXIMUM_LOGGED = 1000  # studies
SIGN_OF_LIFE = 300  # seconds


class NotificationSender:
    """Send the events of the queue to GNU Health."""

    def __init__(
            self, settings: Settings, queue: NotificationQueue,
            archive: Archive,
            clock: Callable[[], float] = time.monotonic):
        self._server = settings.server
        self._queue = queue
        self._archive = archive
        self._gnuhealth = GnuHealth(settings)
        self._logged: set[str] = set()
        self._clock = clock
        # When something was last posted
        self._posted = clock()

    def send(self) -> bool:
        """Send some of the events that are due; return whether any are.

        Raises
        ------
        HttpError
            If GNU Health does not receive them.
        """
        due = self._queue.due(MAXIMUM_EVENTS)
        if due:
            self._send(self._serialize_all(due))
        elif self._clock() - self._posted >= SIGN_OF_LIFE:
            # GNU Health warns if it does not hear of the plugin.
            self._post([])
        return bool(due)

    def _serialize_all(
            self, due: Sequence[PendingEvent]) -> dict[PendingEvent, bytes]:
        """Return as many events as fit into one request."""
        studies = {
            study['ID']: study
            for study in self._archive.studies(
                [pending.study for pending in due])}
        events: dict[PendingEvent, bytes] = {}
        size = MAXIMUM_BODY - MAXIMUM_EVENT
        for pending in due:
            event = self._serialize(pending, studies.get(pending.study))
            if event is None:
                continue
            size += len(event) + 1
            if events and size > MAXIMUM_BODY:
                break
            events[pending] = event
        return events

    def _serialize(
            self, pending: PendingEvent, study: Mapping[str, Any] | None
            ) -> bytes | None:
        """Return an event in JSON; None if its study cannot be read.

        It describes the study as it is now.
        """
        event: dict[str, Any] = {
            'event': pending.event,
            'kind': 'study' if study else 'deleted',
            'study': pending.study,
            'at': format_iso_time(pending.changed),
            }
        try:
            if study:
                event['facts'] = summarize_study(self._archive, study)
            return _encode_event(event)
        # An unreadable study must not delay the others.
        except Exception as error:
            if self._archive.closed:
                raise
            self._queue.postpone([pending])
            self._log_once(
                pending, f"cannot be made ({locate_error(error)})")
            return None

    def _send(self, events: Mapping[PendingEvent, bytes]) -> None:
        if not events:
            return
        try:
            received = self._post(events.values())
        except HttpError as error:
            if error.status not in {400, 413}:
                raise
            self._send_each(events, error)
            return
        self._queue.remove(
            pending for pending in events if pending.event in received)
        self._queue.postpone(
            pending for pending in events if pending.event not in received)

    def _send_each(
            self, events: Mapping[PendingEvent, bytes], error: HttpError
            ) -> None:
        """Send events one by one to find those that GNU Health refuses."""
        if len(events) > 1:
            for pending, event in events.items():
                self._send({pending: event})
            return
        pending, = events
        self._queue.mark_refused(pending)
        self._log_once(pending, f"is refused: {error}")

    def _post(self, events: Iterable[bytes]) -> list[str]:
        """Return the identifiers of the events that GNU Health received."""
        head = json.dumps(
            {'server': self._server, 'plugin': NOTIFY_VERSION, 'events': 0})
        data = self._gnuhealth.post(
            NOTIFY_ROUTE, b'%s[%s]}' % (
                head[:-2].encode(), b','.join(events))).data
        received = data.get('received') if isinstance(data, dict) else None
        if not isinstance(received, list):
            raise HttpError('the answer has no "received"')
        self._posted = self._clock()
        return received

    def _log_once(self, pending: PendingEvent, text: str) -> None:
        """Log the first failure of each study."""
        if (pending.study not in self._logged
                and len(self._logged) < MAXIMUM_LOGGED):
            self._logged.add(pending.study)
            log.error(
                "the notification of study %s %s; it is sent again later",
                pending.study, text)


def _encode_event(event: dict[str, Any]) -> bytes:
    """Return an event in JSON, with fewer series if it is too large."""
    content = json.dumps(event).encode()
    while len(content) > MAXIMUM_EVENT:
        facts = event['facts']
        facts['Series'] = facts['Series'][:len(facts['Series']) // 2]
        content = json.dumps(event).encode()
    return content
