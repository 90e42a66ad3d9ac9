# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The copy of GNU Health's worklist that queries are answered from."""
from __future__ import annotations

import time
from collections.abc import Sequence

from .gnuhealth import GnuHealth
from .log import log
from .matching import (
    HANDED_OVER, STATION, STEPS, Dataset, compile_query, split_values)
from .orthanc_matching import compile_orthanc_filter
from .settings import Settings
from .worklist_cache import Cache, Snapshot
from .worklist_item import Decoder, ListError, WorklistItem
from .worklist_page import read_page

LIST_ROUTE = 'orthanc/worklist'
MAXIMUM_PAGES = 1000


class Unavailable(Exception):
    """A query cannot be answered; Orthanc logs the text, and the modality
    receives a failure.
    """


class Worklist:
    """The worklist of GNU Health: fetched, stored in a file and searched.

    Parameters
    ----------
    decoder
        Orthanc's conversion of a DICOM file to JSON.
    """

    def __init__(self, settings: Settings, decoder: Decoder):
        self._settings = settings
        self._decoder = decoder
        self._gnuhealth = GnuHealth(settings)
        self._snapshot: Snapshot | None = None
        self._etag: str | None = None
        self._unreadable: frozenset[tuple[str, int]] = frozenset()
        self._cache = (
            Cache(settings, decoder) if settings.cache_file else None)

    # -- called by the thread that updates it

    def load(self) -> None:
        """Take the worklist of the file, if there is one."""
        self._snapshot = self._cache.load() if self._cache else None
        if self._snapshot:
            log.warning(
                "%d worklist items loaded from the cache file, %.0f s old",
                len(self._snapshot.items), self._snapshot.age)

    def save(self) -> None:
        if self._cache and self._snapshot:
            self._cache.save(self._snapshot)

    def refresh(self) -> None:
        """Fetch what has changed in GNU Health.

        Raises
        ------
        HttpError, ListError
            If GNU Health does not answer as it should; the worklist is not
            changed.
        """
        asked = time.monotonic()
        served = self._snapshot
        items, index = (served.items, served.index) if served else ([], 0)
        fetched = self._fetch({item.id: item for item in items}, index)
        if fetched is not None:
            changed, index = fetched
            self._log_unreadable(changed)
            items = sorted(changed, key=lambda item: item.order)
        self._snapshot = Snapshot(items, index, asked)
        if self._cache:
            self._cache.save_if_due(self._snapshot, fetched is not None)

    @property
    def state(self) -> str:
        """How queries are answered, for the log."""
        try:
            count = len(self._usable().items)
        except Unavailable as error:
            return f"queries fail: {error}"
        return ("1 worklist item is served" if count == 1
            else f"{count} worklist items are served")

    def _fetch(
            self, known: dict[str, WorklistItem], since: int
            ) -> tuple[list[WorklistItem], int] | None:
        """Return all open items with the index, None if nothing changed."""
        etag = self._etag if self._snapshot is not None else None
        complete = since == 0
        for _ in range(MAXIMUM_PAGES):
            answer = self._gnuhealth.get(LIST_ROUTE, {'since': since}, etag)
            if answer is None:
                return None
            page = read_page(answer.data, since, self._decoder)
            if page.since == 0:
                # Also if GNU Health was restored, with its numbering.
                known, complete = {}, True
            known.update({item.id: item for item in page.items})
            if page.more:
                since, etag = page.index, None
                continue
            if page.open - set(known):
                if complete:
                    raise ListError("items of open steps are missing")
                # A change was missed: fetch the complete worklist.
                since, etag = 0, None
                continue
            self._etag = answer.etag
            return [
                item for item in known.values()
                if item.id in page.open], page.index
        raise ListError("the answer has too many pages")

    def _log_unreadable(self, items: Sequence[WorklistItem]) -> None:
        """Log once which steps no modality can see."""
        unreadable = frozenset(
            (item.id, item.index) for item in items if item.keys is None)
        for identifier, _ in sorted(unreadable - self._unreadable):
            log.error(
                "the worklist item of step %s is not a DICOM file; it is not"
                " served", identifier)
        self._unreadable = unreadable

    # -- called for queries of modalities

    def find(
            self, query: Dataset, calling: str
            ) -> tuple[list[WorklistItem], int]:
        """Return the items that match, and how many Orthanc would remove.

        Parameters
        ----------
        query
            Tag → value, for sequences a list of items.
        calling
            The AE title of the modality.

        Raises
        ------
        Unavailable
            If there is no worklist, or it is too old.
        QueryError
            If the query is not valid.
        """
        snapshot = self._usable()
        asked, step = _add_handed_over(query)
        names = self._settings.case_sensitive_names
        matches = compile_query(asked, names, _log_ignored)
        kept = compile_orthanc_filter(step, names)
        found = [
            item for item in snapshot.items
            if item.keys is not None and matches(item.keys)]
        if self._settings.filter_calling_aet:
            found = [
                item for item in found
                if any(_is_for(step, calling) for step in item.steps)]
        whole = [
            item for item in found
            if not item.steps or any(map(kept, item.steps))]
        return whole, len(found) - len(whole)

    def has_steps_for(self, calling: str) -> bool:
        """Return whether a modality is the station of any step."""
        return any(
            _is_for(step, calling)
            for item in self._usable().items for step in item.steps)

    def _usable(self) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable("there is no worklist from GNU Health yet")
        if snapshot.age > self._settings.maximum_age:
            raise Unavailable("the worklist is older than MaximumAge")
        return snapshot


def _add_handed_over(query: Dataset) -> tuple[Dataset, Dataset]:
    """Return the whole query, and the item of the step as Orthanc sees it."""
    items = query.get(STEPS)
    step = items[0] if isinstance(items, list) and items else {}
    query = dict(query)
    handed_over = query.pop(HANDED_OVER, None)
    if isinstance(handed_over, list) and handed_over:
        query[STEPS] = [{**step, **handed_over[0]}]
    return query, step


def _is_for(step: Dataset, calling: str) -> bool:
    return calling.strip() in split_values('AE', step.get(STATION))


def _log_ignored(tag: str) -> None:
    log.info("query key %s is not supported and is ignored", tag)
