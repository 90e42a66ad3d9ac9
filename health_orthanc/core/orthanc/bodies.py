# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of answers, of a limited size also when they are unpacked."""

import zlib
from collections.abc import Callable

import requests
import urllib3

from .errors import UnexpectedAnswer

__all__ = ['read_body']

_CHUNK = 2**16
# Of zlib: gzip or deflate, found out from the header
_ANY_FORMAT = zlib.MAX_WBITS | 32
_COMPRESSED = {'gzip', 'x-gzip', 'deflate'}


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
    body = bytearray()
    unpack = _unpacker(
        response.headers.get('Content-Encoding', '').strip().lower(), name)
    try:
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            body += unpack(chunk, limit + 1 - len(body))
            if len(body) > limit:
                raise UnexpectedAnswer('too large', name)
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
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
