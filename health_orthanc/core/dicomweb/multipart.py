# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of several parts (RFC 2387; PS3.18 §8.6.1)."""

import re
import secrets
from collections.abc import Iterable
from email.message import Message

__all__ = ['MultipartError', 'join_parts', 'split_parts']

_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{1,70}")
_MOST_PARTS = 16
_LONGEST_HEAD = 2**12


class MultipartError(ValueError):
    """The body does not consist of DICOM files"""


def split_parts(content_type: str, body: bytes) -> list[bytes]:
    """Return the DICOM files in a body.

    Parameters
    ----------
    content_type : str
        With the boundary.
    body : bytes

    Returns
    -------
    list of bytes

    Raises
    ------
    MultipartError
    """
    delimiter = b'\r\n--' + _boundary(content_type)
    _, *parts = (b'\r\n' + body).split(delimiter)
    if len(parts) < 2 or not parts.pop().startswith(b'--'):
        raise MultipartError("not complete")
    if len(parts) > _MOST_PARTS:
        raise MultipartError("too many parts")
    return [_content(part) for part in parts]


def _boundary(content_type: str) -> bytes:
    header = Message()
    header['Content-Type'] = content_type.translate({10: None, 13: None})
    boundary = header.get_boundary('')
    if header.get_content_type() != 'multipart/related' or (
            header.get_param('type', 'application/dicom')
            != 'application/dicom'):
        raise MultipartError("not DICOM")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError("no boundary")
    return boundary.encode('ascii')


def _content(part: bytes) -> bytes:
    """Return the content of a part that says it is DICOM."""
    end = part.find(b'\r\n\r\n')
    if not 0 <= end <= _LONGEST_HEAD:
        raise MultipartError("no headers")
    for line in part[:end].decode('ascii', 'replace').splitlines():
        name, _, value = line.partition(':')
        if name.strip().lower() == 'content-type' and (
                value.partition(';')[0].strip().lower()
                != 'application/dicom'):
            raise MultipartError("not DICOM")
    return part[end + 4:]


def join_parts(parts: Iterable[bytes]) -> tuple[str, bytes]:
    """Return the content type and the body of DICOM files.

    Parameters
    ----------
    parts : iterable of bytes

    Returns
    -------
    tuple of str and bytes
    """
    boundary = secrets.token_hex(16)
    body = b''.join(
        b'--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n' % (
            boundary.encode(), part)
        for part in parts)
    return (
        'multipart/related; type="application/dicom"; '
        f'boundary={boundary}', body + b'--%s--\r\n' % boundary.encode())
