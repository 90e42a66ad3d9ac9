# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of Tryton's JSON-RPC that needs nothing of Tryton.

Answers are limited in size and time, so that a server or proxy that fails
cannot stop the script.
"""
import argparse
import base64
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from .connection import read_password
from .failures import Failure, Unusable

CONNECT_TIMEOUT = 10  # seconds
MAXIMUM_ANSWER = 256 * 2 ** 20  # bytes


class NoAnswer(Failure):
    """GNU Health cannot be reached, or does not answer as it should."""
    code = 3


class Client:
    """A session with GNU Health.

    Each call has a connection of its own, which is closed after the time
    limit at the latest.

    Attributes
    ----------
    source : str
        Identifies the database; indexes of another one are meaningless.
    """

    def __init__(self, options: argparse.Namespace):
        parts = urlsplit(options.url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {'http', 'https'} or not host:
            raise Unusable("The URL of GNU Health is not valid.")
        self._secure = parts.scheme == 'https'
        self._host, self._port = host, port
        self._path = f"{parts.path.rstrip('/')}/{quote(options.database)}/"
        self._user = options.user
        self._password = read_password(options)
        self._timeout = options.timeout
        self._session: str | None = None
        self.source = f'{host}:{port or parts.scheme}{self._path}'

    def __enter__(self) -> 'Client':
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            try:
                self._post('common.db.logout')
            except Failure:
                pass  # GNU Health ends the session after a while.

    def call(self, method: str, *parameters: Any) -> Any:
        """Return the result of a method, after a login if one is needed.

        Raises
        ------
        Unusable
            If GNU Health refuses the user or the call.
        NoAnswer
            If there is no complete answer, or an internal error.
        """
        if self._session:
            status, result = self._post(method, *parameters)
            if status != 401:
                return result
        # There is no session yet, or it has ended.
        self._login()
        status, result = self._post(method, *parameters)
        if status == 401:
            raise Unusable("GNU Health does not accept its own session.")
        return result

    def _login(self) -> None:
        self._session = None
        status, result = self._post(
            'common.db.login', self._user, {'password': self._password})
        if status == 401 or not result:
            raise Unusable("GNU Health does not accept the user or password.")
        try:
            number, key = result[:2]
            self._session = ':'.join([self._user, str(number), str(key)])
        except (KeyError, TypeError, ValueError):
            raise NoAnswer("GNU Health did not start a session.") from None

    def _post(self, method: str, *parameters: Any) -> tuple[int, Any]:
        """Return the HTTP status, 200 or 401, and the result."""
        body = json.dumps({'id': 1, 'method': method, 'params': parameters})
        headers = {'Content-Type': 'application/json', 'Connection': 'close'}
        if self._session:
            token = base64.b64encode(self._session.encode()).decode()
            headers['Authorization'] = 'Session ' + token
        try:
            status, answer = self._exchange(body.encode(), headers)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(
                "GNU Health cannot be reached: "
                f"{type(error).__name__}.") from None
        if status == 401:
            return status, None
        if status != 200:
            raise refusal(status)
        return status, parse_result(answer)

    def _exchange(
            self, body: bytes, headers: Mapping[str, str]
            ) -> tuple[int, bytes]:
        connection = self._connect()
        # The time limit of a socket applies to each read.
        guard = threading.Timer(self._timeout, shut_down, [connection])
        guard.daemon = True
        guard.start()
        try:
            connection.request('POST', self._path, body, headers)
            connection.sock.settimeout(self._timeout)
            response = connection.getresponse()
            answer = response.read(MAXIMUM_ANSWER + 1)
            if len(answer) > MAXIMUM_ANSWER:
                raise http.client.HTTPException
            if response.length:
                raise http.client.IncompleteRead(b'', response.length)
            return response.status, answer
        finally:
            guard.cancel()
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        timeout = min(CONNECT_TIMEOUT, self._timeout)
        if self._secure:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout,
                context=ssl.create_default_context())
        return http.client.HTTPConnection(
            self._host, self._port, timeout=timeout)


def shut_down(connection: http.client.HTTPConnection) -> None:
    """End a connection at once, whatever another thread waits for."""
    sock = connection.sock
    if sock:
        try:
            # The method of a TLS socket would wait for the other side.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # It is closed already.


def refusal(status: int) -> Failure:
    """Return the failure of an HTTP status."""
    if status == 403:
        return Unusable(
            "GNU Health does not allow this user to read the worklist.")
    if status == 404:
        return Unusable("GNU Health has no such database.")
    if 300 <= status < 400:
        return Unusable(
            f"GNU Health answered {status}: it has another URL.")
    return NoAnswer(f"GNU Health answered {status}.")


def parse_result(answer: bytes) -> Any:
    """Return the result of a call.

    Raises
    ------
    Unusable, NoAnswer
        If the answer is an error, or no JSON-RPC.
    """
    try:
        data = json.loads(answer, object_hook=decode_bytes)
        if 'error' not in data:
            return data['result']
        error = data['error']
    except (KeyError, TypeError, ValueError, RecursionError):
        raise NoAnswer("GNU Health did not answer in JSON-RPC.") from None
    try:
        kind, (message, *_) = error
    except (TypeError, ValueError):
        kind = message = None
    if kind == 'UserError':
        raise Unusable(f"GNU Health refused: {message}")
    # Other errors may hold patient data.
    raise NoAnswer("GNU Health reported an error; see its log.")


def decode_bytes(value: dict[str, Any]) -> Any:
    """Decode Tryton's JSON object for bytes."""
    if value.get('__class__') != 'bytes':
        return value
    return base64.b64decode(value['base64'])
