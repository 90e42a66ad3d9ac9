# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of the worklist that GNU Health sends."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .worklist_item import (
    Decoder, ListError, WorklistItem, is_index, read_item)


@dataclass(frozen=True)
class Page:
    """An answer of GNU Health.

    Attributes
    ----------
    since
        The index after which it has all changes; 0 for a complete worklist.
    index
        Of the last change that is in it.
    more
        Whether another page follows.
    items
        The steps that have changed and are open.
    open
        The ids of all open steps, on the last page.
    """
    since: int
    index: int
    more: bool
    items: Sequence[WorklistItem]
    open: frozenset[str]


def read_page(data: object, since: int, decoder: Decoder) -> Page:
    """Return the answer to a request for the changes after `since`.

    Parameters
    ----------
    data
        The answer, decoded from JSON.
    decoder
        Orthanc's conversion of a DICOM file to JSON.

    Raises
    ------
    ListError
        If it has not the agreed form.
    """
    if not isinstance(data, dict):
        raise ListError("the answer is not an object")
    for name in ['since', 'index']:
        if not is_index(data.get(name)):
            raise ListError(f'the answer has no "{name}"')
    more, entries, opened = (
        data.get('more'), data.get('entries'), data.get('open'))
    if not isinstance(more, bool) or not isinstance(entries, list):
        raise ListError('the answer has no "entries"')
    if not more and not (isinstance(opened, list)
            and all(isinstance(id_, str) for id_ in opened)):
        raise ListError('the answer has no "open"')
    if data['since'] not in {0, since}:
        raise ListError("the answer begins after another index")
    if more and data['index'] <= data['since']:
        raise ListError("the index of the answer does not advance")
    return Page(
        data['since'], data['index'], more,
        [read_item(entry, decoder) for entry in entries],
        frozenset(() if more else opened or ()))
