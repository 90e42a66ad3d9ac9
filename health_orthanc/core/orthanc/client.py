# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of Orthanc's REST API."""

import hashlib
import ipaddress
import json
import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException, RemoteDisconnected
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import requests
import urllib3

from .errors import (
    CertificateRejected, ConnectionFailed, ConnectionRefused, Forbidden,
    InstanceRefused, InvalidAddress, NoImage, NotFound, NotOrthanc,
    NoWorklists, OrthancError, Redirected, ServerFault, TimedOut, TooOld,
    Unauthorized, UnexpectedAnswer)
from .resources import ChangePage, MalformedResource
from .transport import Adapter, tls_context
from .worklists import MINIMUM_VERSION as WORKLISTS_VERSION
from .worklists import PLUGINS as WORKLISTS_PLUGINS
from .worklists import Identity, identities

__all__ = [
    'MAXIMUM_IMAGE_SIZE', 'MINIMUM_VERSION', 'OrthancClient', 'ServerInfo',
    'StoredInstance', 'Unreadable', 'normalize_url']

MINIMUM_VERSION = (1, 10, 0)
# Orthanc 1.10 crashes on sizes whose product overflows
MAXIMUM_IMAGE_SIZE = 4096

_JSON, _PNG = 'application/json', 'image/png'
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_LEVELS = {
    'patient': 'patients', 'study': 'studies', 'series': 'series',
    'instance': 'instances'}
_STATUS = {
    401: Unauthorized, 403: Forbidden, 404: NotFound, 415: NoImage}
_DEFAULT_PORTS = {'http': 80, 'https': 443}
_HOST = re.compile(r'[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?'
    r'(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?')
_PATH_NAME = re.compile(r'[A-Za-z0-9_-]+')
_BEYOND_ANY_CHANGE = 2**62
# What Orthanc says of an instance that it takes
_STORED = {'Success': True, 'AlreadyStored': False}
# Bytes per second that an archive stores at least
_STORING = 10 * 2**20
_NETWORK_ERRORS = OSError, HTTPException, urllib3.exceptions.HTTPError
_PHRASE = re.compile(r'[A-Za-z][A-Za-z ,.()/-]{0,99}')


def normalize_url(text: str) -> str:
    """Return the one way to write the address of an Orthanc.

    It has a scheme, a host in lower case, a port unless it is the scheme's
    own, the path prefix of a reverse proxy if there is one, and no slash at
    the end.

    Raises
    ------
    InvalidAddress
        For any other scheme than HTTP and HTTPS, and for credentials, a
        query or a fragment in it.
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


def _host(parts: Any) -> str:
    host = parts.hostname or ''
    try:
        if ':' in host:
            return f'[{ipaddress.IPv6Address(host)}]'
        host = host.encode('idna').decode('ascii').lower()
    except ValueError:
        raise InvalidAddress('host') from None
    if not _HOST.fullmatch(host):
        raise InvalidAddress('host')
    return host


def _port(parts: Any) -> str:
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


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What an Orthanc says about itself

    None of it identifies its database: `name` is what its administrator
    has configured, mostly nothing.  `worklists` tells whether entries of
    worklists can be sent to it.
    """
    version: str
    api_version: int | None
    dicom_aet: str
    name: str
    plugins: tuple[str, ...]
    database_version: int | None
    database_plugin: str
    storage_plugin: str
    worklists: bool = False

    @classmethod
    def from_json(cls, system: Any, plugins: Iterable[Any]) -> 'ServerInfo':
        """
        Raises
        ------
        NotOrthanc
            If `system` is not what an Orthanc answers.
        TooOld
        """
        if not _is_orthanc(system):
            raise NotOrthanc()
        version = system['Version']
        if _version_numbers(version) < MINIMUM_VERSION:
            raise TooOld(version)
        return cls(
            version=version,
            api_version=system.get('ApiVersion'),
            dicom_aet=system['DicomAet'],
            name=system.get('Name') or '',
            plugins=tuple(p for p in plugins if isinstance(p, str)),
            database_version=system.get('DatabaseVersion'),
            database_plugin=system.get('DatabaseBackendPlugin') or '',
            storage_plugin=system.get('StorageAreaPlugin') or '')

    @property
    def may_have_worklists(self) -> bool:
        return (
            _version_numbers(self.version) >= WORKLISTS_VERSION
            and not WORKLISTS_PLUGINS.isdisjoint(self.plugins))


def _is_orthanc(system: Any) -> bool:
    return isinstance(system, dict) and all(
        isinstance(system.get(key), str) for key in ['Version', 'DicomAet'])


def _version_numbers(version: str) -> tuple[int, ...]:
    "Return the numbers of a release; others are built from newer sources."
    match = re.match(r'([0-9]{1,5})\.([0-9]{1,5})(?:\.([0-9]{1,5}))?', version)
    if not match:
        return (10**6,)
    return tuple(int(number or 0) for number in match.groups())


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where an instance is that was sent

    Attributes
    ----------
    orthanc_id, study_orthanc_id : str
    is_new : bool
        Whether it was not there before.
    """
    orthanc_id: str
    study_orthanc_id: str
    is_new: bool

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> 'StoredInstance':
        """
        Raises
        ------
        InstanceRefused
            A rule of the server keeps it out.
        UnexpectedAnswer
        """
        name = 'POST /instances'
        status = str(answer.get('Status'))
        ids = [answer.get(key) for key in ['ID', 'ParentStudy']]
        if status == 'FilteredOut':
            raise InstanceRefused('filtered', name, 200)
        if status not in _STORED or not all(
                isinstance(id_, str) and _PATH_NAME.fullmatch(id_)
                for id_ in ids):
            raise UnexpectedAnswer('shape', name)
        return cls(*ids, is_new=_STORED[status])


class Unreadable(Exception):
    "What was to be sent cannot be read to its end"


class _Content:
    """What is sent as it is read

    To requests it has a length, without which it would be sent in chunks.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.len = size
        self._file = file
        self._start = file.tell() if file.seekable() else None
        self._left = size

    @property
    def repeatable(self) -> bool:
        return self._start is not None

    def rewind(self) -> None:
        if self._start is not None:
            self._file.seek(self._start)
            self._left = self.len

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(2**16):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        if not size:
            return b''
        try:
            data = self._file.read(size)
        except Exception as error:
            # Nothing of it is the connection's fault
            raise Unreadable("cannot be read") from error
        if not data:
            raise Unreadable("shorter than told")
        self._left -= len(data)
        return data


class OrthancClient:
    """A client of one Orthanc

    All methods raise an `OrthancError`; what is meant to be there and is not
    raises `NotFound`. Calls that only read are repeated after transient
    errors, others never.

    Parameters
    ----------
    url : str
    user, password : str, optional
    ca_certificates : str, optional
        PEM; trusted besides the authorities of the system.
    client_certificate, client_key : str, optional
        PEM.
    connect_timeout : float
        Seconds.
    read_timeout : float
        Seconds for a whole answer. All attempts of a call together have
        `connect_timeout` + `read_timeout`.
    retries : int
        How often a call is repeated.

    Attributes
    ----------
    url : str
    requests : int
        HTTP requests sent so far.
    maximum_size : int
        Of the body of an answer, in bytes.
    """
    maximum_size = 256 * 2**20
    _pause = 0.25

    def __init__(
            self, url: str, user: str | None = None,
            password: str | None = None, *,
            ca_certificates: str | None = None,
            client_certificate: str | None = None,
            client_key: str | None = None,
            connect_timeout: float = 5.0, read_timeout: float = 60.0,
            retries: int = 2):
        self.url = normalize_url(url)
        self.requests = 0
        self._timeouts = connect_timeout, read_timeout
        self._retries = retries
        self._lock = threading.Lock()
        context = None
        if self.url.startswith('https:'):
            context = tls_context(
                ca_certificates, client_certificate, client_key)
        self._session = _session(Adapter(context), user, password)

    def __enter__(self) -> 'OrthancClient':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def probe(self) -> ServerInfo:
        """Return what the server is.

        Raises
        ------
        NotOrthanc
        TooOld
        """
        try:
            system = self.system()
        except NotFound as error:
            raise NotOrthanc(request=error.request) from error
        except UnexpectedAnswer as error:
            if error.detail == 'cut':
                raise
            raise NotOrthanc(error.detail, error.request) from error
        except ServerFault as error:
            # Orthanc never says so of its own page
            if error.status >= 500:
                raise
            raise NotOrthanc('', error.request, error.status) from error
        # A version that is too old is told before any other call fails.
        ServerInfo.from_json(system, [])
        info = ServerInfo.from_json(system, self.plugins())
        if info.may_have_worklists:
            info = replace(info, worklists=self._has_worklists())
        return info

    def _has_worklists(self) -> bool:
        try:
            self.worklists()
        except (Forbidden, NoWorklists):
            return False
        except OrthancError:
            # What is wrong will be told when it is used
            pass
        return True

    def system(self) -> dict[str, Any]:
        return self._get_json(dict, 'system')

    def plugins(self) -> list[str]:
        return self._get_json(list, 'plugins')

    def statistics(self) -> dict[str, Any]:
        return self._get_json(dict, 'statistics')

    def changes(self, since: int, limit: int) -> ChangePage:
        """Return the entries of the log of changes after a number.

        Deletions are no changes: the entries of what was deleted vanish.

        Parameters
        ----------
        limit : int
            At least 1.
        """
        _check_range(limit, 1)
        return self._page(f'since={since}&limit={limit}')

    def last_change(self) -> ChangePage:
        """Return the newest entry that is left in the log of changes.

        It may be older than one that was seen before and whose resource is
        gone.
        """
        return self._page('last')

    def change_counter(self) -> int:
        """Return the highest number that was ever given to a change.

        It never falls, but with another database.
        """
        return self._page(f'since={_BEYOND_ANY_CHANGE}&limit=1').last

    def list_studies(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return some studies, the oldest first.

        Where one is deleted between two calls, the second passes over one.
        """
        return self._list('studies', since, limit)

    def list_series(self, since: int, limit: int) -> list[dict[str, Any]]:
        "Return some series, the oldest first, as `list_studies` does."
        return self._list('series', since, limit)

    def bulk_content(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return resources of any level in one request.

        They come in the order asked for; those that are not there are left
        out.
        """
        ids = list(ids)
        if not ids:
            return []
        body = json.dumps({'Resources': ids, 'Metadata': False}).encode()
        answer = self._call('POST', ['tools', 'bulk-content'], body=body)
        return _resources(answer, 'POST /tools')

    def study(self, orthanc_id: str) -> dict[str, Any]:
        return self._get_json(dict, 'studies', orthanc_id)

    def study_instances(self, orthanc_id: str) -> list[dict[str, Any]]:
        return self._get_resources('studies', orthanc_id, 'instances')

    def series_instances(self, orthanc_id: str) -> list[dict[str, Any]]:
        return self._get_resources('series', orthanc_id, 'instances')

    def frames(self, instance_id: str) -> int:
        "Return how many frames there are: 1 also where there is no image."
        return len(self._get_json(list, 'instances', instance_id, 'frames'))

    def rendered(
            self, instance_id: str, frame: int = 0,
            width: int | None = None, height: int | None = None) -> bytes:
        """Return a frame as PNG, windowed as the instance says.

        Parameters
        ----------
        frame : int
            From 0.
        width, height : int, optional
            To fit in, in pixels, up to `MAXIMUM_IMAGE_SIZE`; the image keeps
            its proportions and may be enlarged.

        Raises
        ------
        NoImage
        NotFound
            If there is no such instance or frame.
        """
        _check_range(frame, 0)
        size = [('width', width), ('height', height)]
        size = [(name, value) for name, value in size if value is not None]
        for _, value in size:
            _check_range(value, 1, MAXIMUM_IMAGE_SIZE)
        image = self._call(
            'GET',
            ['instances', instance_id, 'frames', str(frame), 'rendered'],
            query=urlencode(size), accept=_PNG)
        if not image.startswith(_PNG_SIGNATURE):
            raise UnexpectedAnswer('not PNG', 'GET /instances')
        return image

    def archive(self, level: str, orthanc_id: str) -> Iterator[bytes]:
        """Return a ZIP of a resource piece by piece, as it comes.

        The read timeout is that between two pieces.  What goes wrong after
        the first one is raised by the iterator.

        Parameters
        ----------
        level : {'patient', 'study', 'series'}
        """
        path = [_LEVELS[level], orthanc_id, 'archive']
        name = _name('GET', path)
        request = self._session.prepare_request(requests.Request(
                'GET', self._address('GET', path), headers={'Accept': '*/*'}))
        with self._lock:
            self.requests += 1
        try:
            response = self._session.send(
                request, timeout=self._timeouts, allow_redirects=False,
                stream=True)
        except _NETWORK_ERRORS as error:
            raise _translate(error, name) from error
        try:
            _check_status(response, name)
        except OrthancError:
            response.close()
            raise
        return _pieces(response, name)

    def delete(self, level: str, orthanc_id: str) -> None:
        """Delete a resource and all below it.

        After an error other than `NotFound` it may be there or not.

        Parameters
        ----------
        level : {'patient', 'study', 'series', 'instance'}
        """
        # A kept connection may just have been closed at the other end, and
        # this call has one attempt only.
        self._session.close()
        self._call('DELETE', [_LEVELS[level], orthanc_id], repeat=False)

    def store_instance(self, file: BinaryIO, size: int) -> StoredInstance:
        """Send an instance, as it is read from a file.

        Parameters
        ----------
        file : binary file
            From where it stands. If it can be sought, the call is repeated
            after transient errors; that of which no answer came is then
            already there.
        size : int
            Bytes that are sent. Fewer in the file, or an error while it is
            read, leave nothing in the archive.

        Raises
        ------
        InstanceRefused
        Unreadable
        """
        content = _Content(file, size)
        if not content.repeatable:
            # A kept connection may just have been closed at the other end
            self._session.close()
        path = ['instances']
        answer = self._call(
            'POST', path, body=content, repeat=content.repeatable,
            patience=size / _STORING)
        return StoredInstance.from_json(
            _of_type(dict, answer, _name('POST', path)))

    def patient(self, orthanc_id: str) -> dict[str, Any]:
        return self._get_json(dict, 'patients', orthanc_id)

    def find_studies(self, study_uid: str, limit: int = 100) -> list[str]:
        "Return the Orthanc ids of the studies with a StudyInstanceUID."
        body = json.dumps({
                'Level': 'Study', 'Query': {'StudyInstanceUID': study_uid},
                'Expand': False, 'Since': 0, 'Limit': limit}).encode()
        path = ['tools', 'find']
        answer = _of_type(
            list, self._call('POST', path, body=body), _name('POST', path))
        return [id_ for id_ in answer if isinstance(id_, str)]

    def series_tags(self, orthanc_id: str) -> dict[str, dict[str, Any]]:
        "Return the tags of all instances of a series, by their Orthanc ids."
        return self._get_json(dict, 'series', orthanc_id, 'instances-tags')

    def frame_digest(self, instance_id: str) -> str | None:
        """Return a digest of the first frame as it is stored.

        It is None where there is no image.
        """
        path = ['instances', instance_id, 'frames', '0', 'raw']
        try:
            frame = self._call('GET', path, accept='*/*')
        except (NoImage, NotFound):
            return None
        except ServerFault as error:
            if error.transient or error.status > 500:
                raise
            # What Orthanc answers where it finds no pixels
            return None
        return hashlib.sha256(frame).hexdigest()

    def copy_instances(
            self, ids: Iterable[str], replace: Mapping[str, str],
            remove: Iterable[str] = ()) -> str:
        """Start to copy instances under other tags, with all their UIDs.

        After an error it may be under way or not.

        Parameters
        ----------
        replace : mapping
            Values by keyword, PatientID among them: an instance keeps its
            Orthanc id otherwise and would be overwritten.
        remove : iterable of str
            Keywords.

        Returns
        -------
        str
            The id of the job.
        """
        path = ['tools', 'bulk-modify']
        body = json.dumps({
                'Resources': list(ids), 'Level': 'Patient',
                'Replace': dict(replace), 'Remove': list(remove),
                'Keep': [
                    'StudyInstanceUID', 'SeriesInstanceUID',
                    'SOPInstanceUID'],
                'Force': True, 'KeepSource': True, 'Asynchronous': True,
                }).encode()
        self._session.close()
        answer = self._call('POST', path, body=body, repeat=False)
        return _identifier(answer, _name('POST', path))

    def job(self, id_: str) -> dict[str, Any]:
        "Return how far a job is: `State` and `Progress`, in percent."
        return self._get_json(dict, 'jobs', id_)

    def delete_instances(self, ids: Iterable[str]) -> None:
        "Delete instances; those that are not there are passed over."
        self._session.close()
        self._call(
            'POST', ['tools', 'bulk-delete'], repeat=False,
            body=json.dumps({'Resources': list(ids)}).encode())

    def worklists(self) -> Mapping[str, Identity | None]:
        """Return what all entries of the worklist stand for, by their ids.

        Raises
        ------
        NoWorklists
        """
        try:
            answer = self._get_json(
                list, 'worklists', query='format=Simplify')
        except NotFound as error:
            raise NoWorklists(request=error.request) from error
        try:
            return identities(answer)
        except ValueError:
            raise UnexpectedAnswer('shape', 'GET /worklists') from None

    def create_worklist(self, tags: Mapping[str, Any]) -> str:
        """Make an entry of the worklist and return its id.

        After an error it may be there or not.

        Parameters
        ----------
        tags : mapping
            As `worklists_api.to_tags` returns.

        Raises
        ------
        NoWorklists
        """
        path = ['worklists', 'create']
        try:
            body = self._call(
                'POST', path, body=_worklist(tags), repeat=False)
        except NotFound as error:
            raise NoWorklists(request=error.request) from error
        return _identifier(body, _name('POST', path))

    def replace_worklist(
            self, orthanc_id: str, tags: Mapping[str, Any]) -> None:
        """Give an entry of the worklist another content.

        Raises
        ------
        NotFound
            There is no such entry.  Plugins may make it in place of that.
        """
        self._call('PUT', ['worklists', orthanc_id], body=_worklist(tags))

    def delete_worklist(self, orthanc_id: str) -> None:
        """Delete an entry of the worklist.

        Raises
        ------
        NotFound
            There is none, not any more perhaps.
        """
        self._call('DELETE', ['worklists', orthanc_id])

    def _list(
            self, kind: str, since: int, limit: int) -> list[dict[str, Any]]:
        _check_range(limit, 1)
        return self._get_resources(
            kind, query=f'expand&since={since}&limit={limit}')

    def _page(self, query: str) -> ChangePage:
        answer = self._get_json(dict, 'changes', query=query)
        try:
            return ChangePage.from_json(answer)
        except MalformedResource:
            raise UnexpectedAnswer('shape', 'GET /changes') from None

    def _get_json(
            self, type_: type, *path: str, query: str = '') -> Any:
        body = self._call('GET', path, query=query)
        return _of_type(type_, body, _name('GET', path))

    def _get_resources(
            self, *path: str, query: str = '') -> list[dict[str, Any]]:
        body = self._call('GET', path, query=query)
        return _resources(body, _name('GET', path))

    def _call(
            self, method: str, path: Sequence[str], *, query: str = '',
            body: bytes | _Content | None = None, accept: str = _JSON,
            repeat: bool = True, patience: float = 0) -> bytes:
        request = requests.Request(
            method, self._address(method, path), params=query, data=body,
            headers={'Accept': accept})
        name = _name(method, path)
        end = time.monotonic() + sum(self._timeouts) + patience
        pauses = list(self._pauses()) if repeat else []
        for pause in pauses:
            try:
                return self._attempt(request, name, end)
            except OrthancError as error:
                if not error.transient or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)
        return self._attempt(request, name, end)

    def _pauses(self) -> Iterator[float]:
        for attempt in range(self._retries):
            yield self._pause * 2**attempt

    def _attempt(
            self, request: requests.Request, name: str, end: float) -> bytes:
        with self._lock:
            self.requests += 1
        left = max(end - time.monotonic(), 0.001)
        connect, read = self._timeouts
        if isinstance(request.data, _Content):
            request.data.rewind()
            # The end leaves time for all of it, however the time is spent
            read = left
        try:
            with self._session.send(
                    self._session.prepare_request(request),
                    timeout=(min(connect, left), min(read, left)),
                    allow_redirects=False, stream=True) as response:
                if response.status_code == 400 and isinstance(
                        request.data, _Content):
                    raise InstanceRefused(
                        _said(self._body(response, name)), name)
                _check_status(response, name)
                return self._body(response, name)
        except _NETWORK_ERRORS as error:
            raise _translate(error, name) from error

    def _body(self, response: requests.Response, name: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(2**16):
            body += chunk
            if len(body) > self.maximum_size:
                raise UnexpectedAnswer('too large', name)
        return bytes(body)

    def _address(self, method: str, path: Sequence[str]) -> str:
        # Anything else could lead to another resource.
        if not all(_PATH_NAME.fullmatch(name) for name in path):
            raise NotFound(request=_name(method, path))
        return '/'.join([self.url, *path])


def _session(
        adapter: Adapter, user: str | None,
        password: str | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers['User-Agent'] = 'health_orthanc'
    for scheme in ['http://', 'https://']:
        session.mount(scheme, adapter)
    if user:
        # Given text, requests would make it Latin-1.
        session.auth = user.encode(), (password or '').encode()
    return session


def _name(method: str, path: Sequence[str]) -> str:
    "Return a call without the identifiers in it."
    return f"{method} /{path[0]}"


def _check_range(value: int, minimum: int, maximum: int = 2**31) -> None:
    if not minimum <= value <= maximum:
        raise ValueError(f"not within {minimum} and {maximum}")


def _check_status(response: requests.Response, name: str) -> None:
    status = response.status_code
    if 300 <= status < 400:
        raise Redirected(
            request=name, status=status,
            location=_public(response.headers.get('Location', '')))
    if not 200 <= status < 300:
        raise _STATUS.get(status, ServerFault)(request=name, status=status)


def _pieces(response: requests.Response, name: str) -> Iterator[bytes]:
    try:
        with response:
            yield from response.iter_content(2**16)
    except _NETWORK_ERRORS as error:
        raise _translate(error, name) from error


def _said(body: bytes) -> str:
    "Return what Orthanc says is wrong, one of its own phrases"
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ''
    message = answer.get('Message') if isinstance(answer, dict) else None
    if isinstance(message, str) and _PHRASE.fullmatch(message):
        return message
    return ''


def _worklist(tags: Mapping[str, Any]) -> bytes:
    return json.dumps({'Tags': tags}, ensure_ascii=False).encode()


def _public(location: str) -> str:
    try:
        parts = urlsplit(location)
    except ValueError:
        return ''
    return urlunsplit([
            parts.scheme, parts.netloc.rpartition('@')[2], parts.path, '', ''])


def _of_type(type_: type, body: bytes, name: str) -> Any:
    try:
        value = json.loads(body.decode('utf-8'))
    except (ValueError, RecursionError):
        # The error holds the body.
        raise UnexpectedAnswer('not JSON', name) from None
    if not isinstance(value, type_):
        raise UnexpectedAnswer('shape', name)
    return value


def _identifier(body: bytes, name: str) -> str:
    id_ = _of_type(dict, body, name).get('ID')
    if not isinstance(id_, str) or not _PATH_NAME.fullmatch(id_):
        raise UnexpectedAnswer('shape', name)
    return id_


def _resources(body: bytes, name: str) -> list[dict[str, Any]]:
    values = _of_type(list, body, name)
    if not all(isinstance(value, dict) for value in values):
        raise UnexpectedAnswer('shape', name)
    return values


def _translate(error: BaseException, name: str) -> OrthancError:
    causes = list(_causes(error))
    for types, translate in _TRANSLATIONS:
        for cause in causes:
            if isinstance(cause, types):
                return translate(cause, name)
    return ConnectionFailed(request=name)


def _causes(error: BaseException) -> Iterator[BaseException]:
    "Yield an error and those that it wraps."
    todo, seen = [error], set()
    while todo:
        cause = todo.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = cause.__cause__, getattr(cause, 'reason', None), *cause.args
        todo.extend(w for w in wrapped if isinstance(w, BaseException))


def _tls_error(error: Any, name: str) -> OrthancError:
    reason = str(getattr(error, 'reason', None) or '')
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRejected(error.verify_message, name)
    if re.search('CERT|UNKNOWN_CA', reason):
        return CertificateRejected(reason, name)
    return ConnectionFailed(reason, name)


# In order: the first type that is found among the causes tells.
_TRANSLATIONS = [
    (ssl.SSLError, _tls_error),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError),
        lambda _, name: InvalidAddress('host', name)),
    (TimeoutError, lambda _, name: TimedOut(request=name)),
    (ConnectionRefusedError, lambda _, name: ConnectionRefused(request=name)),
    # A kind of timeout to urllib3
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
