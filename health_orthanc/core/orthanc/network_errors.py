# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Translation of network errors into those of the client."""

import re
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPException, RemoteDisconnected
from typing import Any

import requests
import urllib3

from .errors import (
    CertificateRejected, ConnectionFailed, ConnectionRefused, InvalidAddress,
    OrthancError, PlainHttp, TimedOut, UnexpectedAnswer)

__all__ = ['NETWORK_ERRORS', 'translate_error']

# What requests, urllib3 and Python raise when a call fails
NETWORK_ERRORS = OSError, HTTPException, urllib3.exceptions.HTTPError


def translate_error(error: BaseException, name: str) -> OrthancError:
    """Return the error of ours for one of `NETWORK_ERRORS`.

    Parameters
    ----------
    error : BaseException
        Errors that it wraps are considered, too.
    name : str
        The call, as in ``'GET /studies'``.
    """
    causes = list(_causes(error))
    for types, translate in _TRANSLATIONS:
        for cause in causes:
            if isinstance(cause, types):
                return translate(cause, name)
    return ConnectionFailed(request=name)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps."""
    todo, seen = [error], set[int]()
    while todo:
        cause = todo.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = cause.__cause__, getattr(cause, 'reason', None), *cause.args
        todo.extend(w for w in wrapped if isinstance(w, BaseException))


# How versions of OpenSSL call an answer in plain text
_NOT_TLS = {
    'HTTP_REQUEST', 'UNKNOWN_PROTOCOL', 'WRONG_VERSION_NUMBER',
    'RECORD_LAYER_FAILURE'}


def _tls_error(error: Any, name: str) -> OrthancError:
    reason = str(getattr(error, 'reason', None) or '')
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRejected(error.verify_message, name)
    if re.search('CERT|UNKNOWN_CA', reason):
        return CertificateRejected(reason, name)
    if reason in _NOT_TLS:
        return PlainHttp(reason, name)
    return ConnectionFailed(reason, name)


# The first type in this order that is among the causes
_TRANSLATIONS: list[tuple[
        type[BaseException] | tuple[type[BaseException], ...],
        Callable[[Any, str], OrthancError]]] = [
    (ssl.SSLError, _tls_error),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError),
        lambda _, name: InvalidAddress('host', name)),
    (TimeoutError, lambda _, name: TimedOut(request=name)),
    (ConnectionRefusedError, lambda _, name: ConnectionRefused(request=name)),
    # For urllib3, it is a kind of timeout
    (urllib3.exceptions.NewConnectionError,
        lambda _, name: ConnectionFailed(request=name)),
    (urllib3.exceptions.TimeoutError, lambda _, name: TimedOut(request=name)),
    (requests.exceptions.ContentDecodingError,
        lambda _, name: UnexpectedAnswer('encoding', name)),
    (requests.exceptions.ChunkedEncodingError,
        lambda _, name: UnexpectedAnswer('cut', name)),
    (RemoteDisconnected, lambda _, name: ConnectionFailed(request=name)),
    (HTTPException, lambda _, name: UnexpectedAnswer('not HTTP', name)),
    ]
