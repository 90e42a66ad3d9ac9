# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chained digests of the audit trail

The digest of a row covers its values and the digest of the row before.  A row
that was changed, inserted or removed does not fit its neighbors any more.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    'Break', 'CHAINED', 'Link', 'RECORDED', 'find_break', 'row_digest']

# The columns of a row that its digest covers; the order is part of it
CHAINED = (
    'number', 'at', 'user_id', 'action', 'outcome', 'patient_id', 'puid',
    'study_id', 'study_uid', 'server_id', 'address', 'detail')
# Those of them that are known before the row has its place
RECORDED = tuple(
    name for name in CHAINED if name not in {'number', 'puid'})


@dataclass(frozen=True)
class Link:
    """The place of a row in the chain

    Attributes
    ----------
    number : int
        Rows are numbered without gaps, beginning with 1.
    digest : str
        Empty before the first row.
    """
    number: int = 0
    digest: str = ''


@dataclass(frozen=True)
class Break:
    """Where a chain is broken

    Attributes
    ----------
    number : int
        The first number at which the chain is not as it was written.
    reason : {'missing', 'changed', 'end'}
        No row has the number; the row, or the one before, was changed; the
        chain goes on after its recorded end.
    """
    number: int
    reason: str


def row_digest(previous: str, values: Mapping[str, Any]) -> str:
    """Return the digest of a row.

    Parameters
    ----------
    previous : str
        The digest of the row before.
    values : mapping
        The values of the columns in `CHAINED`; dates and times in whole
        seconds.

    Returns
    -------
    str
        SHA-256, as hexadecimal digits.
    """
    row = [_plain(values[name]) for name in CHAINED]
    text = json.dumps([previous, *row], separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec='seconds')
    return value


def find_break(
        rows: Iterable[Mapping[str, Any]], start: Link, end: Link
        ) -> Iterator[Link | Break]:
    """Yield the place of each row, and at last where the chain is broken.

    Parameters
    ----------
    rows : iterable of mapping
        The rows in the order of their numbers, each with `CHAINED` and
        ``digest``.
    start : Link
        The place of the last row that was removed, or the beginning.
    end : Link
        The place of the last row that was written.

    Yields
    ------
    Link or Break
        A `Break` is the last one.
    """
    place = start
    for values in rows:
        number = values['number']
        if number > place.number + 1:
            yield Break(place.number + 1, 'missing')
            return
        digest = row_digest(place.digest, values)
        if number <= place.number or digest != values['digest']:
            yield Break(number, 'changed')
            return
        place = Link(number, digest)
        yield place
    if place.number < end.number:
        yield Break(place.number + 1, 'missing')
    elif place != end:
        yield Break(place.number, 'end')
