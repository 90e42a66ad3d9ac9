# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deleted from an Orthanc, and what goes with it."""

from collections.abc import Collection, Sequence

from .client import OrthancClient
from .errors import ConnectionRefused, NotFound, OrthancError

__all__ = ['delete', 'find_gone', 'is_open']


def delete(
        client: OrthancClient, level: str, orthanc_id: str,
        ancestors: Sequence[str] = ()) -> set[str]:
    """Delete a resource, and return which ids are gone.

    Orthanc deletes a series with its last instance, and a study with its last
    series.  What is not there any more counts as deleted.

    Parameters
    ----------
    level : {'study', 'series', 'instance'}
    ancestors : sequence of str
        The ids of the study and series that it is in.

    Raises
    ------
    OrthancError
        It is still there, unless `is_open` says otherwise.
    """
    try:
        client.delete(level, orthanc_id)
    except NotFound:
        # A proxy that knows no path says the same: look again
        return find_gone(client, [orthanc_id, *ancestors])
    except OrthancError as error:
        if not is_open(error) or not _is_gone(client, orthanc_id):
            raise
    try:
        return {orthanc_id} | find_gone(client, ancestors)
    except OrthancError:
        # The next synchronisation tells
        return {orthanc_id}


def find_gone(client: OrthancClient, ids: Collection[str]) -> set[str]:
    "Return the ids that the server does not hold."
    present = {r.get('ID') for r in client.bulk_content(ids)}
    return {id_ for id_ in ids if id_ not in present}


def is_open(error: OrthancError) -> bool:
    "Return whether what was asked for may be done all the same."
    return error.transient and not isinstance(error, ConnectionRefused)


def _is_gone(client: OrthancClient, orthanc_id: str) -> bool:
    try:
        return bool(find_gone(client, [orthanc_id]))
    except OrthancError:
        return False
