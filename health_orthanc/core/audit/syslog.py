# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages over syslog

RFC 5424 (the message), RFC 5425 and 6587 (its frame over TLS and TCP), as IHE
ITI-20 asks for.
"""

import datetime as dt
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ['Collector', 'CollectorUnavailable', 'frame', 'syslog_message']

# Security messages of severity notice, as IHE ITI-20 names them
FACILITY = 10
SEVERITY = 5
MESSAGE_ID = 'DICOM+RFC3881'
_PORTS = {'tls': 6514, 'tcp': 601}
_TIMEOUT = 10
_CHUNK = 2**12
_BOM = b'\xef\xbb\xbf'


class CollectorUnavailable(Exception):
    """The collector has not received all messages

    Attributes
    ----------
    kind : str
        The type of the error.
    """

    def __init__(self, error: Exception):
        super().__init__()
        self.kind = type(error).__name__


@dataclass(frozen=True)
class Collector:
    """Where messages are sent to

    Attributes
    ----------
    host : str
    port : int
    secure : bool
        Whether TLS is used.
    ca, certificate, key : str or None
        Paths of PEM files: who signs the collector's certificate (by default
        the authorities that the system trusts), and the certificate that the
        collector may ask for.
    """
    host: str
    port: int
    secure: bool = True
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def from_url(cls, url: str, **files: str | None) -> 'Collector':
        """Return the collector at a URL.

        Parameters
        ----------
        url : str
            ``tls://host:port`` or ``tcp://host:port``.
        files : dict
            `ca`, `certificate` and `key`.

        Raises
        ------
        ValueError
            It is not such a URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or (
                parts.path.strip('/') or parts.query or parts.username):
            raise ValueError("not an address of a collector")
        return cls(
            parts.hostname, parts.port or _PORTS[parts.scheme],
            parts.scheme == 'tls', **files)

    def send(self, messages: Iterable[bytes]) -> None:
        """Send messages, and wait until the collector has read them.

        Syslog has no answers.  A collector that has read everything closes
        its side of the connection, too.

        Parameters
        ----------
        messages : iterable of bytes
            From `syslog_message`.

        Raises
        ------
        CollectorUnavailable
            Some of them may not have arrived.
        """
        try:
            with socket.create_connection(
                    (self.host, self.port), _TIMEOUT) as plain:
                if self.secure:
                    self._send_secure(plain, messages)
                else:
                    _send_all(plain, messages)
                    plain.shutdown(socket.SHUT_WR)
                    _await_end(plain)
        except OSError as error:
            raise CollectorUnavailable(error) from error

    def _send_secure(
            self, plain: socket.socket, messages: Iterable[bytes]) -> None:
        with self._context().wrap_socket(
                plain, server_hostname=self.host) as secure:
            _send_all(secure, messages)
            try:
                _await_end(secure.unwrap())
            except ssl.SSLEOFError:
                # Closed without an alert, but after all was read
                pass

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


def _send_all(connection: socket.socket, messages: Iterable[bytes]) -> None:
    for message in messages:
        connection.sendall(frame(message))


def _await_end(connection: socket.socket) -> None:
    while connection.recv(_CHUNK):
        pass


def frame(message: bytes) -> bytes:
    """Return a message with its length (RFC 5425, 4.3.1).

    Parameters
    ----------
    message : bytes

    Returns
    -------
    bytes
    """
    return b'%d %s' % (len(message), message)


def syslog_message(
        body: bytes, at: dt.datetime, hostname: str, process_id: int,
        facility: int = FACILITY) -> bytes:
    """Return a syslog message (RFC 5424, 6).

    Parameters
    ----------
    body : bytes
        In UTF-8.
    at : datetime
        UTC, naive.
    hostname : str
    process_id : int
    facility : int, optional
        From 0 to 23.

    Returns
    -------
    bytes
    """
    header = ' '.join([
            f'<{facility * 8 + SEVERITY}>1',
            f'{at.isoformat(timespec="seconds")}Z',
            _printable(hostname, 255), 'health_orthanc', str(process_id),
            MESSAGE_ID, '-'])
    return header.encode('ascii') + b' ' + _BOM + body


def _printable(text: str, length: int) -> str:
    "Return what a header may hold, never empty"
    return ''.join(c for c in text if '!' <= c <= '~')[:length] or '-'
