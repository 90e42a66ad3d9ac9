# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image stands for a study."""

from collections.abc import Sequence

from .client import OrthancClient
from .errors import NoImage, NotFound

__all__ = ['study_thumbnail']

# How many series are tried for one that has pixels
_TRIES = 3


def study_thumbnail(
        client: OrthancClient, series_ids: Sequence[str],
        size: int) -> bytes | None:
    """Return a PNG of the middle image of the first series that has one.

    Parameters
    ----------
    series_ids : sequence of str
        Orthanc ids in the order to try.
    size : int
        Width and height at most, in pixels.

    Raises
    ------
    OrthancError
    """
    for series in client.bulk_content(list(series_ids[:_TRIES])):
        instances = series.get('Instances') or []
        if not instances:
            continue
        try:
            return client.rendered(
                instances[len(instances) // 2], width=size, height=size)
        except (NoImage, NotFound):
            continue
    return None
