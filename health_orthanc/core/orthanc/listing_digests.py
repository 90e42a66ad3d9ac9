# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of resources, as an Orthanc lists them.

Whoever has stored a resource recognizes by its digest that it is listed as it
was then, without reading its tags.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

__all__ = ['listed_digests']

# Bytes of a digest
_SIZE = 8
# What is listed in no particular order
_SETS = ['Series', 'Labels']


def listed_digests(
        resources: Iterable[dict[str, Any]], form: str) -> dict[str, str]:
    """Return the digests of resources.

    Parameters
    ----------
    resources : iterable of dict
    form : str
        What the same content may be listed, or understood, differently by:
        all digests differ if this does.

    Returns
    -------
    dict of str
        By Orthanc id; resources without one are left out.
    """
    start = hashlib.blake2b(form.encode(), digest_size=_SIZE)
    found = {}
    for resource in resources:
        id_ = resource.get('ID')
        if isinstance(id_, str):
            digest = start.copy()
            digest.update(_text(resource).encode())
            found[id_] = digest.hexdigest()
    return found


def _text(resource: dict[str, Any]) -> str:
    # repr() escapes what cannot be encoded, and keeps the order of the server
    sorted_ = {
        key: sorted(map(str, value)) for key in _SETS
        if isinstance(value := resource.get(key), list)}
    return repr({**resource, **sorted_})
