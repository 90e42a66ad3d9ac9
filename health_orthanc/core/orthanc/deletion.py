# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletion of resources from an Orthanc."""

from collections.abc import Collection, Sequence

from .client import OrthancClient
from .errors import ConnectionRefused, NotFound, OrthancError

__all__ = ['delete', 'find_gone', 'is_open']


def delete(
        client: OrthancClient, level: str, orthanc_id: str,
        ancestors: Sequence[str] = ()) -> set[str]:
    """Delete a resource, and return the ids of all that is deleted.

    Orthanc deletes a series with its last instance, and a study with its last
    series.  A resource that does not exist counts as deleted.

    Parameters
    ----------
    client : OrthancClient
    level : {'study', 'series', 'instance'}
    orthanc_id : str
    ancestors : sequence of str
        The ids of its study and series.

    Raises
    ------
    OrthancError
        It was not deleted, unless `is_open` is true for the error.
    """
    try:
        client.delete(level, orthanc_id)
    except NotFound:
        # A proxy without this path answers the same
        return find_gone(client, [orthanc_id, *ancestors])
    except OrthancError as error:
        if not is_open(error) or not _is_gone(client, orthanc_id):
            raise
    try:
        return {orthanc_id} | find_gone(client, ancestors)
    except OrthancError:
        # The next synchronization will find what else is gone
        return {orthanc_id}


def find_gone(client: OrthancClient, ids: Collection[str]) -> set[str]:
    """Return those of the ids that the server does not hold.

    Raises
    ------
    OrthancError
    """
    present = {r.get('ID') for r in client.bulk_content(ids)}
    return {id_ for id_ in ids if id_ not in present}


def is_open(error: OrthancError) -> bool:
    """Return whether a call may have succeeded in spite of its error.

    Its answer was lost, for example.
    """
    return error.transient and not isinstance(error, ConnectionRefused)


def _is_gone(client: OrthancClient, orthanc_id: str) -> bool:
    try:
        return bool(find_gone(client, [orthanc_id]))
    except OrthancError:
        return False
