# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of Orthanc servers."""

import ipaddress
import re
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from .errors import InvalidAddress

__all__ = ['normalize_url', 'public_url']

_DEFAULT_PORTS = {'http': 80, 'https': 443}
_HOST = re.compile(r'[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?'
    r'(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?')


def normalize_url(text: str) -> str:
    """Return the URL of an Orthanc in its normal form.

    It has a scheme, a host in lower case, a port if it is not the default of
    the scheme, the path prefix of a reverse proxy if there is one, and no
    trailing slash.

    Raises
    ------
    InvalidAddress
        The scheme is not HTTP or HTTPS, or there are credentials, a query or a
        fragment.
    """
    text = text.strip()
    if not text.isprintable() or re.search(r'[\s\\]', text):
        raise InvalidAddress('character')
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidAddress('host') from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidAddress('scheme')
    if '@' in parts.netloc:
        raise InvalidAddress('credentials')
    if '?' in text or '#' in text:
        raise InvalidAddress('query')
    return urlunsplit([
            parts.scheme, _host(parts) + _port(parts), _prefix(parts.path),
            '', ''])


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ''
    try:
        # Python 3.10 takes any text in brackets for an address
        if ':' in host or '[' in parts.netloc:
            return f'[{ipaddress.IPv6Address(host)}]'
        host = host.encode('idna').decode('ascii').lower()
    except ValueError:
        raise InvalidAddress('host') from None
    if not _HOST.fullmatch(host):
        raise InvalidAddress('host')
    return host


def _port(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        raise InvalidAddress('port') from None
    if port == 0:
        raise InvalidAddress('port')
    if port in {None, _DEFAULT_PORTS[parts.scheme]}:
        return ''
    return f':{port}'


def _prefix(path: str) -> str:
    names = [name for name in path.split('/') if name]
    if {'.', '..'}.intersection(names):
        raise InvalidAddress('path')
    return ''.join(
        '/' + quote(name, safe="%:@!$&'()*+,;=~") for name in names)


def public_url(location: str) -> str:
    """Return a URL without credentials, query and fragment.

    Returns
    -------
    str
        Empty if it cannot be parsed.
    """
    try:
        parts = urlsplit(location)
    except ValueError:
        return ''
    return urlunsplit([
            parts.scheme, parts.netloc.rpartition('@')[2], parts.path, '', ''])
