# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of Orthanc ids, small enough to be stored and compared."""

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable

__all__ = ['IdSet']


class IdSet:
    """A set of ids, of which eight bytes each are kept

    Parameters
    ----------
    text : str, optional
        What `dumps` has returned.
    share, shares : int
        Only the ids of one share are kept, as if the others were in the set:
        a set that is too large is compared in several passes.
    """

    def __init__(self, text: str | None = None, share: int = 0,
                 shares: int = 1):
        self._share, self._shares = share, shares
        self._numbers = array('Q')
        self._is_sorted = True
        self.merge(text)

    def __len__(self) -> int:
        self._sort()
        return len(self._numbers)

    def add(self, ids: Iterable[str]) -> None:
        """Add ids; those that are in the set already are kept once."""
        self._extend(map(_digest, ids))

    def merge(self, text: str | None) -> None:
        """Add a set as `dumps` has returned it."""
        numbers = array('Q')
        numbers.frombytes(base64.b64decode(text or ''))
        if sys.byteorder == 'big':
            numbers.byteswap()
        self._extend(numbers)

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the ids that are not in the set."""
        self._sort()
        return [id_ for id_ in ids if not self._holds(_digest(id_))]

    def dumps(self) -> str:
        """Return the set as text."""
        self._sort()
        numbers = array('Q', self._numbers)
        if sys.byteorder == 'big':
            numbers.byteswap()
        return base64.b64encode(numbers.tobytes()).decode()

    def _extend(self, numbers: Iterable[int]) -> None:
        self._numbers.extend(
            n for n in numbers if n % self._shares == self._share)
        self._is_sorted = False

    def _sort(self) -> None:
        if not self._is_sorted:
            self._numbers = array('Q', sorted(set(self._numbers)))
            self._is_sorted = True

    def _holds(self, number: int) -> bool:
        if number % self._shares != self._share:
            return True
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number


def _digest(id_: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(id_.encode(), digest_size=8).digest(), 'big')
