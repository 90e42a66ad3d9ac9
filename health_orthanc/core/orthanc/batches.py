# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches that are fetched ahead of their consumer."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ['read_ahead']

T = TypeVar('T')


def read_ahead(
        fetch: Callable[[Sequence[str]], T], ids: Sequence[str],
        size: int) -> Iterator[T]:
    """Yield what is fetched for the ids, batch by batch.

    The next batch is fetched in another thread while the consumer works.

    Parameters
    ----------
    fetch : callable
        Takes a sequence of ids.
    ids : sequence of str
    size : int
        Ids in a batch.
    """
    batches = [ids[i:i + size] for i in range(0, len(ids), size)]
    if len(batches) <= 1:
        yield from map(fetch, batches)
        return
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(fetch, batches[0])
        for batch in batches[1:]:
            found = following.result()
            following = pool.submit(fetch, batch)
            yield found
        yield following.result()
