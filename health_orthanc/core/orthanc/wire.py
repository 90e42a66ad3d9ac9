# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET requests whose answers are passed on as they arrive.

For each image requests, urllib3 and http.client take six times as long as to
read it from its socket: most of it goes into a few headers.  Here is what an
answer to GET consists of (RFC 9112).  urllib3 makes the connections, with TLS.
"""

import base64
import re
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from http.client import RemoteDisconnected
from typing import NoReturn
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import wait_for_read

from .errors import UnexpectedAnswer

__all__ = ['Wire', 'WireAnswer']

# Bytes that are passed on at once; a CT or MR image is one piece
_PIECE = 5 * 2**17
_RECEIVED = 2**16
_LONGEST_HEAD = 2**16
# Connections that are kept
_KEPT = 32
_STATUS = re.compile(rb'HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?')
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_SIZE = re.compile(rb'([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?')
_TARGET = re.compile('[!-~]+')
_VALUE = re.compile('[ -~]*')
_BODILESS = {204, 304}


class Wire:
    """Connections to a server, which are kept

    It may be used by several threads.

    Parameters
    ----------
    url : str
        Normalized, with the path prefix of the server.
    context : SSLContext or None
        For HTTPS.
    user, password : str or None
    timeouts : tuple of float
        Seconds to connect, and for each piece of an answer.
    """

    def __init__(
            self, url: str, context: ssl.SSLContext | None,
            user: str | None, password: str | None,
            timeouts: tuple[float, float]):
        parts = urlsplit(url)
        self._host = parts.hostname or ''
        self._port = parts.port
        self._prefix = parts.path
        self._context = context
        self._timeouts = timeouts
        self._kept: deque[HTTPConnection] = deque()
        self._fields = {'Host': parts.netloc, 'User-Agent': 'health_orthanc'}
        if user:
            secret = f"{user}:{password or ''}".encode()
            self._fields['Authorization'] = (
                f'Basic {base64.b64encode(secret).decode()}')

    def get(
            self, target: str, headers: Mapping[str, str],
            name: str) -> 'WireAnswer':
        """Send a request, and return its answer before the body is read.

        Parameters
        ----------
        target : str
            Path and query, relative to the URL.
        headers : mapping
        name : str
            The call, for errors.
        """
        request = self._request(f'{self._prefix}/{target}', headers)
        connection = self._take() or self._connect()
        try:
            connection.sock.sendall(request)
            return WireAnswer(self, connection, self._timeouts[1], name)
        except BaseException:
            connection.close()
            raise

    def _request(self, target: str, headers: Mapping[str, str]) -> bytes:
        fields = {**self._fields, **headers}
        if not _TARGET.fullmatch(target) or not all(
                map(_VALUE.fullmatch, fields.values())):
            raise ValueError("a character that HTTP does not allow")
        lines = [
            f'GET {target} HTTP/1.1',
            *(f'{name}: {value}' for name, value in fields.items()), '', '']
        return '\r\n'.join(lines).encode()

    def _take(self) -> HTTPConnection | None:
        """Return a kept connection that the server has not closed."""
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            if not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()

    def _connect(self) -> HTTPConnection:
        connect, read = self._timeouts
        connection = HTTPConnection(
            self._host, self._port, timeout=connect) if (
            self._context is None) else HTTPSConnection(
            self._host, self._port, timeout=connect,
            ssl_context=self._context)
        connection.connect()
        if self._context:
            connection.sock.settimeout(read)
        else:
            _let_system_wait(connection.sock, read)
        return connection

    def keep(self, connection: HTTPConnection) -> None:
        """Keep a connection for the next request."""
        if len(self._kept) < _KEPT:
            self._kept.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all kept connections."""
        while self._kept:
            try:
                self._kept.pop().close()
            except IndexError:
                break


def _let_system_wait(sock: socket.socket, seconds: float) -> None:
    """Set the timeout in the system.

    Python waits by a call of its own before each that receives, and gives its
    lock away for both.
    """
    sock.settimeout(None)
    value = struct.pack(
        '@ll', int(seconds), max(int(seconds % 1 * 1e6), int(seconds < 1)))
    for option in [socket.SO_RCVTIMEO, socket.SO_SNDTIMEO]:
        sock.setsockopt(socket.SOL_SOCKET, option, value)


class WireAnswer:
    """An answer whose head was read

    Parameters
    ----------
    wire : Wire
    connection : HTTPConnection
    timeout : float
        Seconds for the head.
    name : str
        The call, for errors.

    Attributes
    ----------
    status : int
    headers : mapping
        Their names are compared without case.
    """

    def __init__(
            self, wire: Wire, connection: HTTPConnection, timeout: float,
            name: str):
        self._wire = wire
        self._connection: HTTPConnection | None = connection
        self._socket = connection.sock
        # TLS knows no flags
        self._flags = 0 if isinstance(
            connection, HTTPSConnection) else socket.MSG_WAITALL
        self._name = name
        self._buffer = bytearray()
        self._complete = False
        deadline = time.monotonic() + timeout
        # Those below 200 come before the answer
        self.status = 100
        while self.status < 200:
            self._read_head(deadline)

    def _read_head(self, deadline: float) -> None:
        while (end := self._buffer.find(b'\r\n\r\n')) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise UnexpectedAnswer('not HTTP', self._name)
            if time.monotonic() > deadline:
                raise TimeoutError("the answer took too long")
            received = self._receive(_RECEIVED)
            if not received:
                if not self._buffer:
                    raise RemoteDisconnected("no answer")
                self._cut()
            self._buffer += received
        first, *lines = bytes(self._buffer[:end]).split(b'\r\n')
        del self._buffer[:end + 4]
        status = _STATUS.fullmatch(first)
        fields = list(map(_FIELD.fullmatch, lines))
        if not status or not all(fields):
            raise UnexpectedAnswer('not HTTP', self._name)
        self.status = int(status[2])
        self.headers: Mapping[str, str] = CaseInsensitiveDict(
            (f[1].decode('ascii'), f[2].decode('latin-1'))
            for f in fields if f)
        self._kept = status[1] == b'1' and (
            'close' not in self.headers.get('Connection', '').lower())

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the body as it arrives, not unpacked.

        Raises
        ------
        UnexpectedAnswer
        OSError
        """
        coding = self.headers.get('Transfer-Encoding', '').lower()
        length = self.headers.get('Content-Length')
        if self.status in _BODILESS:
            pass
        elif coding == 'chunked':
            yield from self._chunks()
        elif coding or length and not re.fullmatch('[0-9]{1,15}', length):
            raise UnexpectedAnswer('not HTTP', self._name)
        elif length:
            yield from self._exactly(int(length))
        else:
            self._kept = False
            yield from self._rest()
        self._complete = not self._buffer

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = bytearray(min(size, _PIECE))
            filled = min(len(piece), len(self._buffer))
            piece[:filled] = self._buffer[:filled]
            del self._buffer[:filled]
            with memoryview(piece) as view:
                while filled < len(piece):
                    filled += self._fill(view[filled:])
            size -= len(piece)
            # WSGI servers take nothing else
            yield bytes(piece)

    def _receive(self, most: int) -> bytes:
        try:
            return self._socket.recv(most)
        except BlockingIOError:
            raise TimeoutError("no answer in time") from None

    def _fill(self, view: memoryview) -> int:
        """Receive as much as there is place for, or arrives in time."""
        try:
            received = self._socket.recv_into(view, len(view), self._flags)
        except BlockingIOError:
            raise TimeoutError("no answer in time") from None
        return received or self._cut()

    def _cut(self) -> NoReturn:
        raise UnexpectedAnswer('cut', self._name)

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = _SIZE.fullmatch(self._line())
            if not size:
                raise UnexpectedAnswer('not HTTP', self._name)
            if not int(size[1], 16):
                break
            yield from self._exactly(int(size[1], 16))
            if self._line():
                raise UnexpectedAnswer('not HTTP', self._name)
        # Fields may follow
        while self._line():
            pass

    def _line(self) -> bytes:
        while (end := self._buffer.find(b'\r\n')) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise UnexpectedAnswer('not HTTP', self._name)
            received = self._receive(_RECEIVED)
            if not received:
                self._cut()
            self._buffer += received
        line = bytes(self._buffer[:end])
        del self._buffer[:end + 2]
        return line

    def _rest(self) -> Iterator[bytes]:
        if self._buffer:
            yield bytes(self._buffer)
            self._buffer.clear()
        while piece := self._receive(_PIECE):
            yield piece

    def close(self) -> None:
        """Give back the connection, or close it if the body was not read."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._complete and self._kept:
            self._wire.keep(connection)
        else:
            connection.close()
