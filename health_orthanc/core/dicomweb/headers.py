# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that pass between browser and Orthanc."""

import re
from collections.abc import Mapping

__all__ = ['forwarded', 'request_headers', 'response_headers']

# Kinds of resources that are described in JSON
_DESCRIBED = {'search_series', 'search_instances', 'metadata', 'store'}
_ACCEPT = re.compile(r'[\x20-\x7e]{1,1000}')
_RANGE = re.compile(r'bytes=[0-9]{0,15}-[0-9]{0,15}')
_HOST = re.compile(
    r'(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])'
    r'(?::[0-9]{1,5})?')
# All other types could be run by a browser
_TYPES = re.compile(
    r'(application/(dicom(\+json)?|json|octet-stream|pdf)'
    r'|image/(bmp|gif|jls|jp2|jpeg|jpx|png|x-jls|dicom-rle|x-dicom-rle)'
    r'|multipart/related|video/(mp4|mpeg|mpeg2))( *;.*)?', re.IGNORECASE)
_LINES = re.compile(r'[\x20-\x7e]{0,1000}')
_PASSED = ['Accept-Ranges', 'Content-Length', 'Content-Range']


def forwarded(host: str, path: str, secure: bool) -> str | None:
    """Return the value of ``Forwarded`` (RFC 7239) for Orthanc.

    Orthanc begins the addresses in its answers with it.

    Parameters
    ----------
    host : str
        As the browser has sent it.
    path : str
        Encoded, without the ``/dicom-web`` that Orthanc adds.
    secure : bool

    Returns
    -------
    str or None
        None if the host has another form than a name and port.
    """
    if not _HOST.fullmatch(host):
        return None
    return f"host={host}{path};proto={'https' if secure else 'http'}"


def request_headers(kind: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request to Orthanc.

    Parameters
    ----------
    kind : str
        Of a `Resource`.
    headers : mapping
        Of the browser's request.

    Returns
    -------
    dict
    """
    accept = headers.get('Accept', '')
    passed = {
        'Accept': accept if _ACCEPT.fullmatch(accept) else '*/*',
        # Orthanc 1.10 takes ten times as long for a frame with gzip
        'Accept-Encoding': 'identity',
        }
    if kind in _DESCRIBED:
        if accept in {'', '*/*'}:
            passed['Accept'] = 'application/dicom+json'
        if re.search(r'\bgzip\b', headers.get('Accept-Encoding', '')):
            passed['Accept-Encoding'] = 'gzip'
    elif _RANGE.fullmatch(headers.get('Range', '')):
        passed['Range'] = headers['Range']
    return passed


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that reach the browser.

    Parameters
    ----------
    headers : mapping
        Of Orthanc's answer.

    Returns
    -------
    dict
    """
    passed = {
        name: headers[name] for name in _PASSED
        if name in headers and _LINES.fullmatch(headers[name])}
    type_ = headers.get('Content-Type', '')
    passed['Content-Type'] = type_ if (
        _TYPES.fullmatch(type_) and _LINES.fullmatch(type_)
        ) else 'application/octet-stream'
    if headers.get('Content-Encoding', '') == 'gzip':
        passed['Content-Encoding'] = 'gzip'
    return passed
