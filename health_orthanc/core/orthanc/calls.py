# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the client have in common: their calls, and limits."""

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from .errors import (
    Forbidden, NoImage, NotFound, Redirected, ServerFault, Unauthorized)
from .upload import InstanceContent
from .url import public_url
from .wire import Wire

__all__ = [
    'CHANGE', 'ClientPart', 'ID', 'IDS', 'PAGE', 'REFUSAL', 'RESOURCE',
    'SHORT', 'call_name', 'check_range', 'check_status']

# The largest answers, in bytes: of calls with a short one, of lists of ids, of
# the description of a resource, and of pages besides
SHORT, IDS, RESOURCE, PAGE = 2**20, 2**22, 2**16, 2**23
CHANGE, ID, REFUSAL = 2**10, 2**7, 2**16


class ClientPart:
    """What `OrthancClient` offers to its parts"""
    url: str
    maximum_size: int
    _wire: Wire

    def system(self) -> dict[str, Any]:
        """Return the description of the server (``/system``)."""
        raise NotImplementedError

    def _get_json(
            self, type_: type, *path: str, query: str = '',
            most: int = SHORT) -> Any:
        raise NotImplementedError

    def _get_resources(
            self, *path: str, query: str = '',
            most: int = SHORT) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _call(
            self, method: str, path: Sequence[str], *, query: str = '',
            body: bytes | InstanceContent | None = None,
            accept: str = 'application/json', repeat: bool = True,
            patience: float = 0, most: int = SHORT) -> bytes:
        raise NotImplementedError

    def _open(
            self, prepared: requests.Request, name: str) -> requests.Response:
        raise NotImplementedError

    def _begin(self) -> None:
        """Release what must not be held, and count the request."""
        raise NotImplementedError

    def _close_kept(self) -> None:
        raise NotImplementedError


def call_name(method: str, path: Sequence[str]) -> str:
    """Return the name of a call, without the identifiers in it."""
    return f"{method} /{path[0]}"


# NoImage: Orthanc does not decode it
_STATUS = {
    401: Unauthorized, 403: Forbidden, 404: NotFound, 415: NoImage}


def check_status(status: int, headers: Mapping[str, str], name: str) -> None:
    """Check the status of an answer.

    Raises
    ------
    OrthancError
    """
    if 300 <= status < 400:
        raise Redirected(
            request=name, status=status,
            location=public_url(headers.get('Location', '')))
    if not 200 <= status < 300:
        raise _STATUS.get(status, ServerFault)(request=name, status=status)


def check_range(value: int, minimum: int, maximum: int = 2**31) -> None:
    """Check an argument of a call.

    Raises
    ------
    ValueError
    """
    if not minimum <= value <= maximum:
        raise ValueError(f"not within {minimum} and {maximum}")
