# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP connections with verified certificates and limits."""

import http.client
import io
import os
import ssl
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests.adapters
import urllib3

from .errors import InvalidCertificate, UnexpectedAnswer

__all__ = [
    'Adapter', 'limit_pieces', 'read_body', 'tls_context', 'unpack']

_CHUNK = 2**16
# Of zlib: gzip or deflate, found out from the header
_ANY_FORMAT = zlib.MAX_WBITS | 32
_COMPRESSED = {'gzip', 'x-gzip', 'deflate'}


def tls_context(
        ca_certificates: str | None = None,
        client_certificate: str | None = None,
        client_key: str | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name.

    Parameters
    ----------
    ca_certificates : str, optional
        PEM; trusted in addition to the authorities of the system. It may be
        the certificate of the server itself.
    client_certificate, client_key : str, optional
        PEM; the key without a passphrase.

    Raises
    ------
    InvalidCertificate
    """
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_certificates and ca_certificates.strip():
        # There may be comments in any language between certificates
        data = ca_certificates.encode('ascii', 'ignore').decode()
        try:
            context.load_verify_locations(cadata=data)
        except (OSError, ValueError):
            raise InvalidCertificate('authorities') from None
    if client_certificate or client_key:
        _load_client(context, client_certificate or '', client_key or '')
    return context


def _load_client(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # OpenSSL needs a file; only this user can read that of mkstemp
    handle, path = tempfile.mkstemp(suffix='.pem')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(f"{certificate}\n{key}\n")
        # Without a password it would ask on the terminal
        context.load_cert_chain(path, password='')
    except (OSError, ValueError):
        raise InvalidCertificate('client') from None
    finally:
        os.unlink(path)


class Adapter(requests.adapters.HTTPAdapter):
    """An adapter of requests with a TLS context of its own

    The read timeout applies to the whole answer, not to the next bytes of it.

    Parameters
    ----------
    context : SSLContext, optional
    **kwargs
        As for `requests.adapters.HTTPAdapter`.
    """

    def __init__(self, context: ssl.SSLContext | None = None, **kwargs: Any):
        self._context = context
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use the TLS context and connections with a deadline."""
        if self._context:
            kwargs['ssl_context'] = self._context
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            'http': _HTTPPool, 'https': _HTTPSPool}

    def cert_verify(
            self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave verification to the context; requests would add authorities.
        """
        conn.cert_reqs = 'CERT_REQUIRED'


class _DeadlineReader(io.RawIOBase):
    """A socket that is read until a point in time"""

    def __init__(self, raw: io.RawIOBase, sock: Any):
        self._raw = raw
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._deadline = time.monotonic() + self._timeout
        self.piecewise = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.piecewise:
            self._deadline = time.monotonic() + self._timeout
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):

    def __init__(self, sock: Any, *args: Any, **kwargs: Any):
        super().__init__(sock, *args, **kwargs)
        self._reader = _DeadlineReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def limit_pieces(self) -> None:
        self._reader.piecewise = True


# Bytes that are read and sent at once; smaller blocks are slow in Python
_BLOCK = 2**18


class _HTTPConnection(urllib3.connection.HTTPConnection):
    response_class = _Response

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.blocksize = _BLOCK


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.blocksize = _BLOCK


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def limit_pieces(response: requests.Response) -> None:
    """Let the read timeout apply to each piece of a streamed answer.

    How long the whole answer takes depends on who receives the pieces.

    Parameters
    ----------
    response : Response
    """
    answer = getattr(response.raw, '_fp', None)
    if isinstance(answer, _Response):
        answer.limit_pieces()


def read_body(response: requests.Response, limit: int, name: str) -> bytes:
    """Return the body of a streamed answer.

    What is compressed is unpacked in pieces: a few kilobytes can hold
    gigabytes.

    Parameters
    ----------
    response : Response
    limit : int
        Bytes, unpacked.
    name : str
        The call, for errors.

    Raises
    ------
    UnexpectedAnswer
        ``'too large'``, or ``'encoding'``.
    """
    try:
        return unpack(
            response.raw.stream(_CHUNK, decode_content=False),
            response.headers, limit, name)
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error


def unpack(
        pieces: Iterable[bytes], headers: Mapping[str, str], limit: int,
        name: str) -> bytes:
    """Return a body that arrives in pieces, as `read_body` does."""
    body = bytearray()
    unpack_piece = _unpacker(
        headers.get('Content-Encoding', '').strip().lower(), name)
    for piece in pieces:
        body += unpack_piece(piece, limit + 1 - len(body))
        if len(body) > limit:
            raise UnexpectedAnswer('too large', name)
    return bytes(body)


def _unpacker(encoding: str, name: str) -> Callable[[bytes, int], bytes]:
    if encoding in {'', 'identity'}:
        return lambda chunk, limit: chunk
    if encoding not in _COMPRESSED:
        raise UnexpectedAnswer('encoding', name)
    decompressor = zlib.decompressobj(_ANY_FORMAT)

    def unpack(chunk: bytes, limit: int) -> bytes:
        try:
            return decompressor.decompress(chunk, max(limit, 1))
        except zlib.error:
            raise UnexpectedAnswer('encoding', name) from None
    return unpack
