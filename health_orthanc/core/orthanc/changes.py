# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change log and listings of an Orthanc, read without gaps.

Orthanc 1.10 does not identify its database.  A few entries of its log are kept
as anchors: if an anchor is found unchanged, and nothing new before the saved
position, the log continues there; if another entry has its number, or the
counter is lower than before, the database is another one.
"""

import datetime as dt
import enum
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from .client import OrthancClient
from .errors import UnexpectedAnswer
from .resources import Change, ChangePage

__all__ = [
    'Cursor', 'Listing', 'ListingPage', 'LogState', 'Token',
    'change_pages', 'check_log', 'current_cursor', 'token_of']

# Number of anchors that are kept
ANCHORS = 8
# Number of entries after an anchor that are read
_BEHIND = 200
# How often a listing may go back without getting any further
_REWINDS = 100


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position up to which the change log was read

    Attributes
    ----------
    index : int
        The highest sequence number that was processed.
    anchors : tuple of Change
        Some entries up to it, the oldest first.
    """
    index: int
    anchors: tuple[Change, ...] = ()

    @property
    def start(self) -> int:
        """int : the number after which to read on

        The first entry after it is the newest anchor.
        """
        return self.anchors[-1].seq - 1 if self.anchors else self.index

    def advanced(self, page: ChangePage) -> 'Cursor':
        """Return the cursor at the end of a page."""
        found = page.changes
        some = found[::max(len(found) // 4, 1)] + found[-1:]
        return Cursor(
            max(self.index, page.last), _thinned((*self.anchors, *some)))

    def dumps(self) -> str:
        """Return the anchors as JSON."""
        return json.dumps([
                [a.seq, a.change_type, a.level, a.orthanc_id,
                    a.date.isoformat() if a.date else None]
                for a in self.anchors])

    @classmethod
    def loads(cls, index: int, text: str | None) -> 'Cursor':
        """Return a cursor from its index and what `dumps` has returned.

        Parameters
        ----------
        index : int
        text : str or None
            None for no anchors.
        """
        return cls(index, tuple(
                Change(seq, type_, level, id_,
                    dt.datetime.fromisoformat(date) if date else None)
                for seq, type_, level, id_, date in json.loads(text or '[]')))


def _thinned(anchors: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return some of the anchors, more of the new than of the old ones."""
    found = sorted({a.seq: a for a in anchors}.values(), key=_seq)
    while len(found) > ANCHORS:
        distances = [found[-1].seq - a.seq + 1 for a in found]
        # The oldest and the newest are always kept
        crowded = min(
            range(1, len(found) - 1),
            key=lambda i: distances[i - 1] / distances[i + 1])
        del found[crowded]
    return tuple(found)


def _seq(change: Change) -> int:
    return change.seq


class LogState(enum.Enum):
    """The state of a change log since it was read last"""
    CONTINUED = 'continued'
    REPLACED = 'replaced'
    DOUBTFUL = 'doubtful'


def check_log(
        client: OrthancClient, cursor: Cursor,
        page: ChangePage) -> LogState:
    """Return whether the log is still the one of the cursor.

    Parameters
    ----------
    client : OrthancClient
    cursor : Cursor
    page : ChangePage
        The page after `cursor.start`.

    Returns
    -------
    LogState

    Raises
    ------
    OrthancError
        Of further requests, which are made if the newest anchor is gone.
    """
    if not page.changes and page.last < cursor.index:
        return LogState.REPLACED
    if not cursor.anchors:
        return _check_without_anchors(cursor, page)
    newest = cursor.anchors[-1]
    for anchor in reversed(cursor.anchors):
        if anchor is not newest:
            page = client.changes(since=anchor.seq - 1, limit=_BEHIND)
        if page.changes and page.changes[0].seq == anchor.seq:
            return _check_anchor(cursor, anchor, page)
    # The log was cleared, or all known resources were deleted: entries may
    # be lost that were never read
    return LogState.DOUBTFUL


def _check_without_anchors(cursor: Cursor, page: ChangePage) -> LogState:
    if page.changes:
        # A cursor without anchors proves nothing, except for a new log
        known = cursor.index == 0 and page.changes[0].seq == 1
    else:
        known = page.last == cursor.index
    return LogState.CONTINUED if known else LogState.DOUBTFUL


def _check_anchor(
        cursor: Cursor, anchor: Change, page: ChangePage) -> LogState:
    newest = cursor.anchors[-1]
    if page.changes[0] != anchor:
        return LogState.REPLACED
    between = [c for c in page.changes[1:] if c.seq <= cursor.index]
    if anchor is newest:
        # Nothing followed the newest anchor when the cursor was saved
        return LogState.REPLACED if between else LogState.CONTINUED
    if not page.done and page.last < cursor.index:
        return LogState.DOUBTFUL
    dates = [change.date for change in between if change.date is not None]
    if newest.date is None or len(dates) < len(between):
        return LogState.DOUBTFUL
    # A restored database has used the numbers again, later
    if any(date > newest.date for date in dates):
        return LogState.REPLACED
    return LogState.CONTINUED


def current_cursor(client: OrthancClient) -> Cursor:
    """Return the cursor at the end of the log.

    Raises
    ------
    OrthancError
    """
    page = client.last_change()
    cursor = Cursor(0).advanced(page)
    if page.changes:
        since = max(page.last - _BEHIND, 0)
        cursor = cursor.advanced(client.changes(since=since, limit=_BEHIND))
    return cursor


def change_pages(
        client: OrthancClient, page: ChangePage,
        limit: int) -> Iterator[ChangePage]:
    """Yield a page and those that follow it.

    The next page is fetched in another thread while the consumer works.

    Parameters
    ----------
    client : OrthancClient
    page : ChangePage
    limit : int
        Entries on a page.

    Raises
    ------
    OrthancError
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


Token = tuple[str, str]

# Number of tokens that are kept, of the last ones of some pages
_TOKENS_OF_PAGE = 3
_TOKENS = 12


def token_of(resource: dict[str, Any]) -> Token:
    """Return what identifies an upload of a resource.

    A resource that is uploaded again moves to the end of the listing.
    """
    return str(resource.get('ID')), str(resource.get('LastUpdate'))


@dataclass(frozen=True, slots=True)
class ListingPage:
    """A page of a listing

    Attributes
    ----------
    resources : list of dict
        As Orthanc expands them.
    since : int
        The number of resources before the next page.
    tail : tuple of Token
        Some of the last resources before the next page.
    is_last : bool
        Whether no page follows.  If it is false, the next one may be empty.
    """
    resources: list[dict[str, Any]]
    since: int
    tail: tuple[Token, ...]
    is_last: bool = False


@dataclass
class Listing:
    """A listing that is read page by page, and can be resumed

    Orthanc 1.10 lists resources in the order in which they came, 1.12.5 by
    their ids; when one is deleted, the rest move up, and when one comes, those
    behind it move down.  Each page is requested together with the last
    resource of the page before it.  If that has moved, it is searched further
    up: nothing is skipped, and some resources come twice.

    Parameters
    ----------
    fetch : callable
        Takes the number of resources to skip and the number to return.
    cut : bool
        Whether a short page may be followed by others: ``LimitFindResults``
        of Orthanc's configuration cuts the answers of ``/tools/find``.

    Raises
    ------
    UnexpectedAnswer
        The listing is in another order each time, and would not end.
    """
    fetch: Callable[[int, int], Sequence[dict[str, Any]]]
    limit: int
    since: int = 0
    tail: tuple[Token, ...] = ()
    cut: bool = False
    end: int | None = None
    head: Token | None = field(default=None, init=False)
    _furthest: int = field(default=0, init=False)
    _rewinds: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[ListingPage]:
        with ThreadPoolExecutor(1) as pool:
            page = self._read(self.since, self.tail)
            while page.resources:
                following = None
                if not self._is_at_end(page) and (
                        self.cut or len(page.resources) >= self.limit):
                    following = pool.submit(
                        self._read, page.since, page.tail)
                if following is None:
                    yield replace(page, is_last=True)
                    return
                yield page
                page = following.result()

    def _is_at_end(self, page: ListingPage) -> bool:
        return self.end is not None and page.since >= self.end

    def _read(self, since: int, tail: tuple[Token, ...]) -> ListingPage:
        """Return the page after a position, empty at the end."""
        if since > 0 and not tail:
            found = self.fetch(since - 1, self._size(since) + 1)
            self.head = token_of(found[0]) if found else None
            return self._page(
                found[1:], since, (self.head,) if self.head else ())
        while since > 0:
            found = self.fetch(since - 1, self._size(since) + 1)
            if found and token_of(found[0]) == tail[-1]:
                return self._page(found[1:], since, tail)
            self._rewinds += 1
            if self._rewinds > _REWINDS:
                raise UnexpectedAnswer('shape', 'listing')
            since, tail = self._rewound(since, tail)
        return self._page(self.fetch(0, self._size(0)), 0, ())

    def _size(self, since: int) -> int:
        return self.limit if self.end is None else min(
            self.limit, max(self.end - since, 1))

    def _rewound(
            self, since: int, tail: tuple[Token, ...]
            ) -> tuple[int, tuple[Token, ...]]:
        """Return the last position before which everything was read."""
        while since > 0:
            start = max(since - self.limit, 0)
            tokens = list(map(token_of, self.fetch(start, since - start)))
            for index in reversed(range(len(tokens))):
                if tokens[index] in tail:
                    return start + index + 1, (tokens[index],)
            since = start
        return 0, ()

    def _page(
            self, found: Sequence[dict[str, Any]], since: int,
            tail: tuple[Token, ...]) -> ListingPage:
        if since + len(found) > self._furthest:
            self._furthest = since + len(found)
            self._rewinds = 0
        tokens = tuple(map(token_of, found[-_TOKENS_OF_PAGE:]))
        return ListingPage(
            list(found), since + len(found), (*tail, *tokens)[-_TOKENS:])
