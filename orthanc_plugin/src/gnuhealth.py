# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP requests to GNU Health."""
from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .settings import (
    Settings, create_tls_context, describe_key_error, read_key)

MAXIMUM_ANSWER = 64 * 1024 * 1024
CHUNK = 64 * 1024


class HttpError(Exception):
    """A request to GNU Health failed; the text says why.

    Attributes
    ----------
    status : int or None
        HTTP status of the answer, if there was one.
    """

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An answer of GNU Health, decoded from JSON."""
    data: Any
    etag: str | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: the key must not be sent to another server."""

    def redirect_request(self, *_: object) -> None:
        return None


class GnuHealth:
    """A client of the routes that GNU Health has for this plugin."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirect,
            urllib.request.HTTPSHandler(context=create_tls_context(settings)))

    def get(
            self, path: str, query: Mapping[str, object],
            etag: str | None = None) -> Answer | None:
        """Return the answer to a GET request.

        Parameters
        ----------
        etag
            Of an earlier answer: None is returned if nothing has changed
            since then.

        Raises
        ------
        HttpError
            As `post` does.
        """
        request = self._request(f'{path}?{urllib.parse.urlencode(query)}')
        if etag is not None:
            request.add_header('If-None-Match', etag)
        try:
            return self._open(request)
        except HttpError as error:
            if error.status == 304 and etag is not None:
                return None
            raise

    def post(self, path: str, content: bytes) -> Answer:
        """Return the answer to a POST request.

        Raises
        ------
        HttpError
            If GNU Health does not send a complete answer in JSON, of at
            most `MAXIMUM_ANSWER` bytes, within the time limit.
        """
        request = self._request(path)
        request.data = content
        # Tryton would take JSON for a call of its own protocol.
        request.add_header('Content-Type', 'text/plain; charset=utf-8')
        return self._open(request)

    def _request(self, path: str) -> urllib.request.Request:
        database = urllib.parse.quote(self._settings.database, safe='')
        return urllib.request.Request(
            f'{self._settings.url}/{database}/{path}',
            headers={
                'Authorization': f'bearer {self._key()}',
                'Accept': 'application/json',
                'Accept-Encoding': 'gzip',
                })

    def _open(self, request: urllib.request.Request) -> Answer:
        deadline = time.monotonic() + self._settings.timeout
        try:
            with self._opener.open(
                    request, timeout=self._settings.timeout) as response:
                body = _read_body(response, deadline)
                return Answer(_parse_json(body), response.headers.get('ETag'))
        except urllib.error.HTTPError as error:
            error.close()
            raise HttpError(_describe_status(error.code), error.code) from None
        except (OSError, ValueError, http.client.HTTPException,
                zlib.error) as error:
            raise HttpError(_describe_network_error(error)) from None

    def _key(self) -> str:
        # It is read each time, for it can be changed while Orthanc runs.
        try:
            return read_key(self._settings)
        except (OSError, ValueError) as error:
            raise HttpError(
                describe_key_error(self._settings, error)) from None


def _read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the whole body, decompressed.

    The time limit of a socket applies to each read; the deadline applies to
    the body, also if it comes byte by byte.
    """
    expected = response.headers.get('Content-Length')
    zipped = response.headers.get('Content-Encoding', '') == 'gzip'
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if zipped else None
    received, parts, size = 0, [], 0
    while True:
        chunk = response.read1(CHUNK)
        if time.monotonic() > deadline:
            raise socket.timeout
        if not chunk:
            break
        received += len(chunk)
        if inflate:
            chunk = inflate.decompress(chunk, MAXIMUM_ANSWER + 1 - size)
        size += len(chunk)
        if size > MAXIMUM_ANSWER:
            raise HttpError("the answer is too large")
        parts.append(chunk)
    if (expected is not None and received != int(expected)
            or inflate and not inflate.eof):
        raise HttpError("the answer is incomplete")
    return b''.join(parts)


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError("the answer is not JSON") from None


def _describe_status(code: int) -> str:
    texts = {
        400: "GNU Health rejects the request",
        401: "GNU Health rejects the key",
        403: "GNU Health rejects the key or its user",
        404: "GNU Health has no such database or route",
        }
    text = texts.get(code, "GNU Health reports an error")
    return f'{text} (status {code})'


def _describe_network_error(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError):
        error = getattr(error, 'reason', error)
    if isinstance(error, socket.timeout):
        return "GNU Health does not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer is incomplete"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return str(getattr(error, 'strerror', None) or type(error).__name__)
