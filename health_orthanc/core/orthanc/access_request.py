# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of Orthanc's authorization plugin to its web service.

https://orthanc.uclouvain.be/book/plugins/authorization.html
"""

import base64
import binascii
import datetime as dt
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    'LEVELS', 'METHODS', 'AccessRequest', 'Credentials', 'RequestError',
    'TokenRequest', 'parse_body', 'parse_credentials']

METHODS = {'get', 'post', 'put', 'delete'}
LEVELS = {'patient', 'study', 'series', 'instance', 'system'}
# Characters of what a request may hold
_TEXT_SIZE = 4096
_MOST_SECONDS = 10**9


class RequestError(ValueError):
    """A request that the plugin does not send."""


@dataclass(frozen=True)
class Credentials:
    """What somebody has shown to Orthanc.

    Attributes
    ----------
    token : str or None
        In an HTTP header or an argument of the URL.
    basic : bytes or None
        User and password, of HTTP Basic authentication.
    """
    token: str | None = None
    basic: bytes | None = None

    def are_of(self, user: str | None, password: str | None) -> bool:
        """Return whether these are a user and their password.

        Parameters
        ----------
        user, password : str or None
            Without either nobody is recognized.
        """
        if self.basic is None or not user or not password:
            return False
        return hmac.compare_digest(self.basic, f'{user}:{password}'.encode())


@dataclass(frozen=True)
class AccessRequest:
    """What somebody wants to do in Orthanc.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    level : str
        One of `LEVELS`; all that is not about one resource is of the system.
    orthanc_id, dicom_uid : str or None
        Of the resource, if it is known.
    """
    method: str
    level: str
    orthanc_id: str | None = None
    dicom_uid: str | None = None

    @classmethod
    def from_body(cls, body: Mapping) -> 'AccessRequest':
        """Return what a body asks for.

        Raises
        ------
        RequestError
        """
        method, level = _text(body, 'method'), _text(body, 'level')
        if method not in METHODS or level not in LEVELS:
            raise RequestError("unknown method or level")
        return cls(
            method, level, _text(body, 'orthanc-id'),
            _text(body, 'dicom-uid'))


@dataclass(frozen=True)
class TokenRequest:
    """A token that is asked for.

    Attributes
    ----------
    id : str or None
    resources : tuple of AccessRequest
    seconds : int or None
        For how long it is to be valid.
    until : datetime or None
        In UTC, naive.
    """
    id: str | None
    resources: tuple[AccessRequest, ...]
    seconds: int | None = None
    until: dt.datetime | None = None

    @classmethod
    def from_body(cls, body: Mapping) -> 'TokenRequest':
        """Return what a body asks for.

        Raises
        ------
        RequestError
        """
        resources = body.get('resources')
        if not isinstance(resources, list) or not resources:
            raise RequestError("no resources")
        seconds = body.get('validity-duration')
        if seconds is not None and (type(seconds) is not int
                or not 0 < seconds <= _MOST_SECONDS):
            raise RequestError("validity-duration is no number of seconds")
        return cls(
            _text(body, 'id'), tuple(map(_resource, resources)), seconds,
            _time(_text(body, 'expiration-date')))

    def ends_before(self, now: dt.datetime) -> dt.datetime | None:
        """Return when the token is to end, None if this is not said.

        Parameters
        ----------
        now : datetime
            In UTC, naive.
        """
        times = [self.until] if self.until else []
        if self.seconds is not None:
            times.append(now + dt.timedelta(seconds=self.seconds))
        return min(times, default=None)


def _time(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text.replace('Z', '+00:00'))
        return time.astimezone(dt.timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise RequestError("expiration-date is no time") from None


def _resource(value: object) -> AccessRequest:
    if not isinstance(value, dict):
        raise RequestError("a resource is no object")
    return AccessRequest.from_body(
        {**value, 'method': 'get', 'level': value.get('level', 'study')})


def parse_body(content: bytes) -> dict:
    """Return the object in the body of a request.

    Raises
    ------
    RequestError
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise RequestError("not JSON") from None
    if not isinstance(body, dict):
        raise RequestError("no object")
    return body


def parse_credentials(body: Mapping) -> Credentials | None:
    """Return what somebody has shown, None if they are anonymous.

    Raises
    ------
    RequestError
    """
    key, value = _text(body, 'token-key'), _text(body, 'token-value')
    if not key or not value:
        return None
    scheme, _, rest = value.partition(' ')
    if key.lower() == 'authorization' and rest:
        if scheme.lower() == 'basic':
            return Credentials(basic=_decode(rest))
        if scheme.lower() == 'bearer':
            value = rest.strip()
    return Credentials(token=value)


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(body: Mapping, name: str) -> str | None:
    value = body.get(name)
    if value is None or value == '':
        return None
    if not isinstance(value, str) or len(value) > _TEXT_SIZE:
        raise RequestError(f"{name} is no text, or too long")
    return value
