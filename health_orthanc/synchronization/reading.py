# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of many resources from Orthanc"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ['ahead', 'find_long_series']

# Instances from which on a series has a request of its own
LONG = 50


def find_long_series(client, by_series):
    """Yield the instances of long series, if the server can list them.

    Such a server takes much longer for a batch of ids.

    Parameters
    ----------
    client : OrthancClient
    by_series : dict of list
        The Orthanc ids that are wanted, by those of their series.  What is
        found is removed.

    Yields
    ------
    list of dict
    """
    long = [id_ for id_, ids in by_series.items() if len(ids) >= LONG]
    if not long or not client.can_find():
        return
    for id_ in long:
        wanted = set(by_series.pop(id_))
        found = [
            r for r in client.find_instances(id_) if r.get('ID') in wanted]
        # LimitFindInstances of Orthanc's configuration cuts the answer
        rest = wanted - {r['ID'] for r in found}
        if rest:
            by_series[id_] = sorted(rest)
        yield found


@contextmanager
def ahead(batches):
    """Read each batch in another thread while the consumer works.

    Reading begins with the context, at whose end nothing is read any more.

    Parameters
    ----------
    batches : iterable

    Yields
    ------
    iterator
        Of the batches.
    """
    batches = iter(batches)
    with ThreadPoolExecutor(1) as pool:
        yield _read(pool, batches, pool.submit(next, batches, None))


def _read(pool, batches, following):
    while (found := following.result()) is not None:
        following = pool.submit(next, batches, None)
        yield found
