# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags that an Orthanc lists with its resources (1.11 and later).

``ExtraMainDicomTags`` in its configuration adds to them.
"""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword

__all__ = ['WANTED', 'unlisted_tags']

# What `resources` reads, if it is listed, and Orthanc does not list by
# default.  The issuer is one of the patient's, but Orthanc keeps the patient's
# tags of the first study with a PatientID for all of them.
WANTED = {
    'Study': ['IssuerOfPatientID', 'PerformingPhysicianName'],
    'Series': ['RequestAttributesSequence'],
    }


def unlisted_tags(system: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the tags that a server should list besides those that it does.

    Parameters
    ----------
    system : mapping
        The answer to ``GET /system``.

    Returns
    -------
    dict of list of str
        Keywords by the level of the resource, as in the configuration of
        Orthanc; empty for servers that cannot list others.
    """
    listed = system.get('MainDicomTags')
    if not isinstance(listed, dict):
        return {}
    found = {}
    for level, keywords in WANTED.items():
        tags = listed.get(level)
        present = set(tags.lower().split(';')) if isinstance(tags, str) else ()
        missing = [
            keyword for keyword in keywords if _format(keyword) not in present]
        if missing:
            found[level] = missing
    return found


def _format(keyword: str) -> str:
    """Return the tag as Orthanc writes it, as in ``0010,0021``."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return f'{tag >> 16:04x},{tag & 0xffff:04x}'
