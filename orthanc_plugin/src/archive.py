# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The content of Orthanc, read through its REST API."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .host import Host
from .notification_queue import NO_CURSOR


class ArchiveError(Exception):
    """Orthanc does not answer; the text holds no patient data."""


@dataclass(frozen=True)
class Changes:
    """Some of Orthanc's changes, in order.

    Attributes
    ----------
    entries
        As Orthanc lists them.
    last
        The number of the last one; without any, the highest ever given.
    done
        Whether there are no more.
    complete
        Whether none is missing.  Orthanc removes the changes of what was
        deleted, and anybody may clear the log.
    """
    entries: Sequence[Mapping[str, Any]]
    last: int
    done: bool
    complete: bool

    def ids(self, *kinds: str) -> list[str]:
        """Return the resources of changes of these kinds, each once."""
        return list(dict.fromkeys(
                entry['ID'] for entry in self.entries
                if entry['ChangeType'] in kinds))


class Archive:
    """Requests to the REST API of the Orthanc that has loaded the plugin.

    Raises
    ------
    ArchiveError
        By every method if Orthanc fails, and always after `close`.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    def changes(self, since: int, limit: int) -> Changes:
        """Return the changes after the one with the number `since`."""
        data = self._get(f'/changes?since={since}&limit={limit}')
        entries, last = data['Changes'], data['Last']
        return Changes(
            entries, last, data['Done'], last - since == len(entries))

    def last_change(self) -> int:
        """Return the highest number that was ever given to a change."""
        last = self.changes(NO_CURSOR, 1).last
        if last >= NO_CURSOR:
            last = self._get('/changes?last')['Last']
        return last

    def page(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return some of all studies, in the order of their creation."""
        return self._get(f'/studies?expand&since={since}&limit={limit}')

    def studies(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """Return the studies of these resources, each once.

        Resources that were deleted have none.
        """
        return self._get_many({
                'Resources': list(ids), 'Level': 'Study', 'Metadata': False})

    def series(self, ids: Collection[str]) -> list[dict[str, Any]]:
        return self._get_many({'Resources': list(ids), 'Metadata': False})

    def tags(self, instance: str) -> dict[str, Any]:
        """Return the elements of an instance: tag → text, or list of items.

        There are none if it was deleted or cannot be read.
        """
        try:
            return self._get(f'/instances/{instance}/tags?short')
        except ArchiveError:
            return {}

    def _get_many(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        if not question['Resources']:
            return []
        return self._request(
            self._host.post, '/tools/bulk-content', json.dumps(question))

    def _get(self, path: str) -> Any:
        return self._request(self._host.get, path)

    def _request(self, function: Callable[..., bytes], *arguments: str) -> Any:
        if self.closed:
            raise ArchiveError("Orthanc is stopping")
        try:
            return json.loads(
                function(*arguments).decode('utf-8', 'replace'), strict=False)
        # What Orthanc raises depends on its version.
        except Exception as error:
            raise ArchiveError(
                f"Orthanc does not answer ({type(error).__name__})"
                ) from None
