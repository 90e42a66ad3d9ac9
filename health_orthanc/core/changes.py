# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the change log of an Orthanc and its listings without gaps.

Orthanc 1.10 has no identity of its own.  A few entries of its log are kept as
anchors: an entry that is found again as it was proves that the log goes on
where it was left; another entry under its number, or a counter that is lower
than before, proves that the database is another one.
"""

import datetime as dt
import enum
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .client import OrthancClient
from .resources import Change, ChangePage

__all__ = [
    'Cursor', 'Listing', 'ListingPage', 'LogState', 'change_pages',
    'check_log', 'current_cursor']

# How many anchors are kept
ANCHORS = 6


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the change log was read

    Attributes
    ----------
    index : int
        The highest sequence number that was dealt with.
    anchors : tuple of Change
        Some entries up to it, the oldest first.
    """
    index: int
    anchors: tuple[Change, ...] = ()

    def advanced(self, page: ChangePage) -> 'Cursor':
        "Return the cursor behind a page"
        anchors = self.anchors
        if page.changes:
            anchors = _thinned((*anchors, page.changes[-1]))
        return Cursor(max(self.index, page.last), anchors)

    def dumps(self) -> str:
        "Return the anchors as text"
        return json.dumps([
                [a.seq, a.change_type, a.level, a.orthanc_id,
                    a.date.isoformat() if a.date else None]
                for a in self.anchors])

    @classmethod
    def loads(cls, index: int, text: str | None) -> 'Cursor':
        "Return the cursor whose anchors `dumps` has written"
        return cls(index, tuple(
                Change(seq, type_, level, id_,
                    dt.datetime.fromisoformat(date) if date else None)
                for seq, type_, level, id_, date in json.loads(text or '[]')))


def _thinned(anchors: tuple[Change, ...]) -> tuple[Change, ...]:
    "Return anchors with the most crowded ones left out"
    found = sorted({a.seq: a for a in anchors}.values(), key=_seq)
    while len(found) > ANCHORS:
        # The newest always stays: it costs no request to check
        crowded = min(
            range(len(found) - 1),
            key=lambda i: found[i + 1].seq - found[i].seq)
        del found[crowded]
    return tuple(found)


def _seq(change: Change) -> int:
    return change.seq


class LogState(enum.Enum):
    CONTINUED = 'continued'
    REPLACED = 'replaced'
    DOUBTFUL = 'doubtful'


def check_log(
        client: OrthancClient, cursor: Cursor,
        page: ChangePage) -> LogState:
    """Return whether the log is the one that the cursor was read from.

    Parameters
    ----------
    page : ChangePage
        What follows ``cursor.index - 1``: the entry of the cursor itself,
        if it is still there, comes first.

    Raises
    ------
    OrthancError
        Of up to `ANCHORS` further requests.
    """
    if not page.changes and page.last <= cursor.index:
        if page.last < cursor.index:
            return LogState.REPLACED
        if not cursor.anchors:
            return LogState.CONTINUED
    for anchor in reversed(cursor.anchors):
        state = _check_anchor(client, cursor, anchor, page)
        if state is not None:
            return state
    if not page.changes and page.last == cursor.index:
        return LogState.CONTINUED
    # Cleared, or all that was known is deleted: entries may have gone with
    # it before they were read.
    return LogState.DOUBTFUL


def _check_anchor(client, cursor, anchor, page):
    if anchor.seq != cursor.index:
        page = client.changes(since=anchor.seq - 1, limit=1)
    found = next((c for c in page.changes if c.seq == anchor.seq), None)
    if found is None:
        return None
    return LogState.CONTINUED if found == anchor else LogState.REPLACED


def current_cursor(client: OrthancClient) -> Cursor:
    "Return the cursor behind all that has happened up to now"
    page = client.last_change()
    if page.changes:
        # The newest entries may have vanished with their resource
        behind = client.changes(since=page.last, limit=1)
        if not behind.changes:
            page = replace(page, last=max(page.last, behind.last))
    return Cursor(0).advanced(page)


def change_pages(
        client: OrthancClient, page: ChangePage,
        limit: int) -> Iterator[ChangePage]:
    """Yield a page and those that follow it, the next read ahead.

    The consumer may take its time: the next page is fetched meanwhile.
    """
    with ThreadPoolExecutor(1) as pool:
        while True:
            following = None
            if not page.done and page.changes:
                following = pool.submit(
                    client.changes, since=page.last, limit=limit)
            yield page
            if following is None:
                return
            page = following.result()


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Resources of a listing

    Attributes
    ----------
    resources : list of dict
        As Orthanc expands them.
    since : int
        How many stand before the next page.
    last : str or None
        Orthanc id of the last resource before the next page.
    """
    resources: list[dict[str, Any]]
    since: int
    last: str | None


@dataclass
class Listing:
    """A listing that is read page by page, from where it was left

    Orthanc shifts the rest of a listing to the front when something is
    deleted.  Each page is asked for with the last resource of the page before
    it; if that has moved, reading goes back by a page: nothing is skipped, and
    some resources come twice.

    Parameters
    ----------
    fetch : callable
        Takes the number to pass over and the number to return.
    """
    fetch: Callable[[int, int], Sequence[dict[str, Any]]]
    limit: int
    since: int = 0
    last: str | None = None

    def __iter__(self) -> Iterator[ListingPage]:
        with ThreadPoolExecutor(1) as pool:
            page = self._read(self.since, self.last)
            while page.resources:
                following = None
                if len(page.resources) >= self.limit:
                    following = pool.submit(
                        self._read, page.since, page.last)
                yield page
                if following is None:
                    return
                page = following.result()

    def _read(self, since: int, last: str | None) -> ListingPage:
        "Return the page behind a position, empty at the end"
        while since > 0:
            found = self.fetch(since - 1, self.limit + 1)
            if found and found[0].get('ID') == last:
                return self._page(found[1:], since, last)
            since, last = self._back(since)
        return self._page(self.fetch(0, self.limit), 0, None)

    def _back(self, since: int) -> tuple[int, str | None]:
        "Return the position a page earlier"
        since -= self.limit
        while since > 0:
            found = self.fetch(since - 1, 1)
            if found:
                return since, found[0].get('ID')
            since -= self.limit
        return 0, None

    @staticmethod
    def _page(found, since, last):
        return ListingPage(
            list(found), since + len(found),
            found[-1].get('ID') if found else last)
