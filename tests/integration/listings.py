# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Orthanc is asked to list, by the calls of old and of new versions."""
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from devtools.orthanc import Orthanc
from devtools.proxy import Answer, Request

__all__ = ['BULK', 'Asked', 'altering', 'answer_of', 'asked_for']

FIND = '/tools/find'
BULK = '/tools/bulk-content'
_LEVELS = {'/studies': 'Study', '/series': 'Series'}


class Asked(NamedTuple):
    """Part of a listing.

    Attributes
    ----------
    level
        Orthanc's name of it.
    since
        How many resources were listed before; None if all of them are
        listed at once.
    """
    level: str
    since: int | None


def asked_for(request: Request) -> Asked | None:
    """Return what a request wants to be listed, None if it is another one."""
    parts = urlsplit(request.path)
    if parts.path == FIND:
        body = json.loads(request.body)
        if not body['Expand']:
            return None
        return Asked(body['Level'], body.get('Since'))
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.path not in _LEVELS or 'expand' not in query:
        return None
    return Asked(_LEVELS[parts.path], int(query['since'][0]))


def answer_of(orthanc: Orthanc, request: Request) -> list[dict]:
    """Return what Orthanc answers to a request for resources."""
    if request.method == 'POST':
        return orthanc.post(request.path, json.loads(request.body))
    return orthanc.get(request.path)


def altering(
        orthanc: Orthanc, alter: Callable[[dict], dict | None]
        ) -> Callable[[Request], Answer | None]:
    """Return what lets a proxy change every resource in an answer.

    Parameters
    ----------
    alter
        Returns what takes the place of a resource, None to leave it out.
    """
    def before(request: Request) -> Answer | None:
        if not request.path.startswith(BULK) and not (
                asked_for(request) or 'expand' in request.path):
            return None
        altered: list[Any] = list(map(alter, answer_of(orthanc, request)))
        return Answer(
            200, json.dumps([r for r in altered if r is not None]).encode())
    return before
