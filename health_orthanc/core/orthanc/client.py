# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of Orthanc's REST API."""

import hashlib
import json
import threading
import time
from collections.abc import (
    Callable, Generator, Iterable, Iterator, Mapping, Sequence)
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO
from urllib.parse import urlencode

import requests
from requests.auth import HTTPBasicAuth

from ..dicom.file_header import HEAD_LIMIT, Header, Unusable, read_header
from .calls import (
    IDS, PAGE, REFUSAL, SHORT, call_name, check_range, check_status)
from .dicom_web import DicomWeb
from .errors import (
    Forbidden, InstanceRefused, NoImage, NotFound, NotOrthanc, NoWorklists,
    OrthancError, ServerFault, TimedOut, UnexpectedAnswer)
from .listing import Listings
from .network_errors import NETWORK_ERRORS, translate_error
from .resources import (
    error_message, is_identifier, parse_identifier, parse_json,
    parse_resources)
from .server_info import ServerInfo
from .transport import Adapter, limit_pieces, read_body, tls_context
from .upload import InstanceContent, StoredInstance
from .url import normalize_url
from .wire import Wire
from .worklist_items import WorklistItems

__all__ = ['MAXIMUM_IMAGE_SIZE', 'OrthancClient']

# Orthanc 1.10 crashes on sizes whose product overflows
MAXIMUM_IMAGE_SIZE = 4096

_JSON, _PNG, _JPEG = 'application/json', 'image/png', 'image/jpeg'
_UIDS = ['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID']
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_JPEG_SIGNATURE = b'\xff\xd8\xff'
_LEVELS = {
    'patient': 'patients', 'study': 'studies', 'series': 'series',
    'instance': 'instances'}
# Bytes of a file that mostly hold its header
_SHORT_HEAD = 2**14
# Bytes of a pixel in an image that is not compressed
_PIXEL = 8
# Bytes per second that a server stores at least
_STORING = 10 * 2**20


class OrthancClient(Listings, WorklistItems, DicomWeb):
    """A client of one Orthanc server

    All methods raise `OrthancError`; `NotFound` if the resource does not
    exist. Calls that only read are repeated after transient errors, others are
    not.  It may be used by several threads.

    Parameters
    ----------
    url : str
    user, password : str, optional
    ca_certificates : str, optional
        PEM; trusted in addition to the authorities of the system.
    client_certificate, client_key : str, optional
        PEM.
    connect_timeout : float
        Seconds.
    read_timeout : float
        Seconds for a whole answer. All attempts of a call together have
        `connect_timeout` + `read_timeout`.
    retries : int
        How often a call is repeated.
    before_waiting : callable, optional
        Called before each request, and when the context is entered: what
        must not be held while the network is waited for is released there.

    Attributes
    ----------
    url : str
    requests : int
        HTTP requests sent so far.
    maximum_size : int
        The largest body of any answer, in bytes. Most calls have a lower
        limit.

    Raises
    ------
    InvalidAddress
        Of the URL.
    InvalidCertificate
        Of the PEM texts.
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
            retries: int = 2,
            before_waiting: Callable[[], None] | None = None):
        self.url = normalize_url(url)
        self.requests = 0
        self._before_waiting = before_waiting
        self._timeouts = connect_timeout, read_timeout
        self._retries = retries
        self._lock = threading.Lock()
        context = None
        if self.url.startswith('https:'):
            context = tls_context(
                ca_certificates, client_certificate, client_key)
        self._has_certificate = bool(client_certificate)
        self._session = _session(Adapter(context), user, password)
        self._wire = Wire(self.url, context, user, password, self._timeouts)

    def __enter__(self) -> 'OrthancClient':
        # The requests may be sent by other threads
        self._release()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the client stays usable."""
        self._session.close()
        self._wire.close()

    def _begin(self) -> None:
        self._release()
        with self._lock:
            self.requests += 1

    def _release(self) -> None:
        if self._before_waiting:
            self._before_waiting()

    def probe(self) -> ServerInfo:
        """Return version, plugins and abilities of the server.

        Raises
        ------
        NotOrthanc
        TooOld
        OrthancError
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
            # Orthanc never answers so for this page
            if error.status >= 500:
                raise
            raise NotOrthanc('', error.request, error.status) from error
        # Report a version that is too old before another call fails
        ServerInfo.from_json(system, [])
        info = ServerInfo.from_json(system, self.plugins())
        if info.may_have_worklists:
            info = replace(info, worklists=self._has_worklists())
        return replace(
            info, last_change=self._last_position(),
            unprotected=self._is_unprotected())

    def _is_unprotected(self) -> bool:
        """Return whether studies are listed without user and password.

        Not `/system`, which an authorization plugin may leave open.
        """
        if self._has_certificate:
            # It is shown with every request
            return False
        try:
            body = self._call(
                'GET', ['studies'], query='since=0&limit=1', repeat=False,
                anonymous=True)
            parse_json(list, body, call_name('GET', ['studies']))
        except OrthancError:
            return False
        return True

    def _last_position(self) -> int | None:
        try:
            return self.last_change().last
        except OrthancError:
            # The error will be reported when the log is read
            return None

    def _has_worklists(self) -> bool:
        try:
            self.worklists()
        except (Forbidden, NoWorklists):
            return False
        except OrthancError:
            # The error will be reported when it is used
            pass
        return True

    def system(self) -> dict[str, Any]:
        """Return the description of the server (``/system``)."""
        return self._get_json(dict, 'system')

    def plugins(self) -> list[str]:
        """Return the names of the plugins."""
        return self._get_json(list, 'plugins')

    def statistics(self) -> dict[str, Any]:
        """Return numbers of resources and disk space (``/statistics``)."""
        return self._get_json(dict, 'statistics')

    def study_instances(self, orthanc_id: str) -> list[dict[str, Any]]:
        """Return the instances of a study."""
        return self._get_resources(
            'studies', orthanc_id, 'instances', most=self.maximum_size)

    def series_instances(self, orthanc_id: str) -> list[dict[str, Any]]:
        """Return the instances of a series."""
        return self._get_resources(
            'series', orthanc_id, 'instances', most=self.maximum_size)

    def frames(self, instance_id: str) -> int:
        """Return the number of frames, 1 for an instance without image."""
        return len(self._get_json(
                list, 'instances', instance_id, 'frames', most=IDS))

    def simplified_tags(self, instance_id: str) -> dict[str, Any]:
        """Return the tags of an instance but its pixels, by keyword."""
        return self._get_json(
            dict, 'instances', instance_id, 'simplified-tags', most=PAGE)

    def transfer_syntax(self, instance_id: str) -> str:
        """Return the UID of the transfer syntax, empty if it is unknown."""
        path = ['instances', instance_id, 'metadata', 'TransferSyntax']
        try:
            body = self._call('GET', path, accept='*/*')
        except NotFound:
            return ''
        return body.decode('ascii', 'replace').strip('\0 \r\n')

    def rendered(
            self, instance_id: str, frame: int = 0,
            width: int | None = None, height: int | None = None) -> bytes:
        """Return a frame as PNG, with the window of the instance.

        Parameters
        ----------
        instance_id : str
        frame : int
            From 0.
        width, height : int, optional
            Pixels, up to `MAXIMUM_IMAGE_SIZE`. The image is scaled to fit, and
            keeps its proportions.

        Raises
        ------
        NoImage
            From Orthanc 1.12 on also if there is no such frame.
        NotFound
            There is no such instance or frame.
        """
        check_range(frame, 0)
        size = {
            name: value for name, value in [
                ('width', width), ('height', height)]
            if value is not None}
        for value in size.values():
            check_range(value, 1, MAXIMUM_IMAGE_SIZE)
        image = self._call(
            'GET',
            ['instances', instance_id, 'frames', str(frame), 'rendered'],
            query=urlencode(size), accept=_PNG,
            most=self._image_size(width, height))
        if not image.startswith(_PNG_SIGNATURE):
            raise UnexpectedAnswer('not PNG', 'GET /instances')
        return image

    def thumbnail(self, instance_id: str, size: int, quality: int) -> bytes:
        """Return the first frame as JPEG, with the window of the instance.

        Parameters
        ----------
        instance_id : str
        size : int
            The largest width and height, in pixels.
        quality : int
            Of the compression, from 1 to 100.

        Raises
        ------
        NoImage
        NotFound
            There is no such instance.
        """
        check_range(size, 1, MAXIMUM_IMAGE_SIZE)
        check_range(quality, 1, 100)
        image = self._call(
            'GET', ['instances', instance_id, 'frames', '0', 'rendered'],
            query=urlencode(
                {'width': size, 'height': size, 'quality': quality}),
            accept=_JPEG, most=self._image_size(size, size))
        if not image.startswith(_JPEG_SIGNATURE):
            raise UnexpectedAnswer('not JPEG', 'GET /instances')
        return image

    def _image_size(self, width: int | None, height: int | None) -> int:
        if width is None and height is None:
            return self.maximum_size
        return SHORT + _PIXEL * (
            width or MAXIMUM_IMAGE_SIZE) * (height or MAXIMUM_IMAGE_SIZE)

    def archive(self, level: str, orthanc_id: str) -> Iterator[bytes]:
        """Return a ZIP of a resource, piece by piece.

        The read timeout applies to each piece.  Errors after the first piece
        are raised by the iterator.

        Parameters
        ----------
        level : {'patient', 'study', 'series'}
        orthanc_id : str

        Returns
        -------
        iterator of bytes
        """
        return self._stream([_LEVELS[level], orthanc_id, 'archive'])

    def instance_header(self, instance_id: str) -> Header:
        """Return the header of an instance.

        Only the beginning of its file is read.

        Parameters
        ----------
        instance_id : str

        Raises
        ------
        Unusable
            The header cannot be read.
        """
        pieces = self._stream(['instances', instance_id, 'file'])
        end = time.monotonic() + sum(self._timeouts)
        head, tried = bytearray(), _SHORT_HEAD
        try:
            for piece in pieces:
                head += piece
                if len(head) >= HEAD_LIMIT:
                    break
                if time.monotonic() > end:
                    raise TimedOut(request='GET /instances')
                if len(head) >= tried:
                    tried = 2 * len(head)
                    # The patient may come later
                    with suppress(Unusable):
                        return read_header(bytes(head))
        finally:
            pieces.close()
        return read_header(bytes(head))

    def _stream(self, path: Sequence[str]) -> Generator[bytes, None, None]:
        name = call_name('GET', path)
        return _pieces(self._open(requests.Request(
                    'GET', self._address('GET', path),
                    headers={'Accept': '*/*'}), name), name)

    def _close_kept(self) -> None:
        """Close kept connections before a call that has only one attempt.

        The server may just have closed them.
        """
        self._session.close()

    def _open(
            self, prepared: requests.Request, name: str) -> requests.Response:
        """Send a request, and return its answer before the body is read."""
        request = self._session.prepare_request(prepared)
        self._begin()
        try:
            response = self._session.send(
                request, timeout=self._timeouts, allow_redirects=False,
                stream=True)
        except NETWORK_ERRORS as error:
            raise translate_error(error, name) from error
        try:
            check_status(response.status_code, response.headers, name)
        except OrthancError:
            response.close()
            raise
        limit_pieces(response)
        return response

    def delete(self, level: str, orthanc_id: str) -> None:
        """Delete a resource and all below it.

        After an error other than `NotFound` it may be deleted or not.

        Parameters
        ----------
        level : {'patient', 'study', 'series', 'instance'}
        orthanc_id : str
        """
        self._close_kept()
        self._call('DELETE', [_LEVELS[level], orthanc_id], repeat=False)

    def store_instance(self, file: BinaryIO, size: int) -> StoredInstance:
        """Upload an instance from a file.

        Parameters
        ----------
        file : binary file
            Read from its position. If it is seekable, the call is repeated
            after transient errors; an instance whose answer was lost is then
            reported as already stored.
        size : int
            Bytes to send. If the file is shorter or cannot be read, nothing is
            stored.

        Returns
        -------
        StoredInstance

        Raises
        ------
        InstanceRefused
        Unreadable
        """
        content = InstanceContent(file, size)
        if not content.repeatable:
            self._close_kept()
        path = ['instances']
        answer = self._call(
            'POST', path, body=content, repeat=content.repeatable,
            patience=size / _STORING)
        return StoredInstance.from_json(
            parse_json(dict, answer, call_name('POST', path)))

    def series_tags(self, orthanc_id: str) -> dict[str, dict[str, Any]]:
        """Return the tags of all instances of a series, by Orthanc id."""
        return self._get_json(
            dict, 'series', orthanc_id, 'instances-tags',
            most=self.maximum_size)

    def frame_digest(self, instance_id: str) -> str | None:
        """Return the SHA-256 of the first frame as it is stored.

        Returns
        -------
        str or None
            Hexadecimal; None if there is no image.
        """
        path = ['instances', instance_id, 'frames', '0', 'raw']
        try:
            frame = self._call(
                'GET', path, accept='*/*', most=self.maximum_size)
        except (NoImage, NotFound):
            return None
        except ServerFault as error:
            if error.transient or error.status > 500:
                raise
            # Orthanc's answer if there are no pixels
            return None
        return hashlib.sha256(frame).hexdigest()

    def copy_instances(
            self, ids: Iterable[str], replace: Mapping[str, str],
            remove: Iterable[str] = ()) -> str:
        """Start a job that copies instances with other tags and the same UIDs.

        After an error the job may run or not.

        Parameters
        ----------
        ids : iterable of str
        replace : mapping
            Values by keyword. PatientID must be among them, and it or
            StudyInstanceUID must change: the copy would have the same Orthanc
            id otherwise, and overwrite its source.
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
                'Keep': [uid for uid in _UIDS if uid not in replace],
                'Force': True, 'KeepSource': True, 'Asynchronous': True,
                }).encode()
        self._close_kept()
        answer = self._call('POST', path, body=body, repeat=False)
        return parse_identifier(answer, call_name('POST', path))

    def job(self, id_: str) -> dict[str, Any]:
        """Return the `State` of a job and its `Progress`, in percent."""
        return self._get_json(dict, 'jobs', id_)

    def delete_instances(self, ids: Iterable[str]) -> None:
        """Delete instances; those that do not exist are ignored."""
        self._close_kept()
        self._call(
            'POST', ['tools', 'bulk-delete'], repeat=False,
            body=json.dumps({'Resources': list(ids)}).encode())

    def _get_json(
            self, type_: type, *path: str, query: str = '',
            most: int = SHORT) -> Any:
        body = self._call('GET', path, query=query, most=most)
        return parse_json(type_, body, call_name('GET', path))

    def _get_resources(
            self, *path: str, query: str = '',
            most: int = SHORT) -> list[dict[str, Any]]:
        body = self._call('GET', path, query=query, most=most)
        return parse_resources(body, call_name('GET', path))

    def _call(
            self, method: str, path: Sequence[str], *, query: str = '',
            body: bytes | InstanceContent | None = None, accept: str = _JSON,
            repeat: bool = True, patience: float = 0,
            most: int = SHORT, anonymous: bool = False) -> bytes:
        request = requests.Request(
            method, self._address(method, path), params=query, data=body,
            headers={'Accept': accept},
            # In place of that of the session
            auth=_leave_alone if anonymous else None)
        name = call_name(method, path)
        end = time.monotonic() + sum(self._timeouts) + patience
        # Not urllib3's Retry: it has no deadline for all attempts together,
        # and has returned before the body is read, which may be cut
        pauses = list(self._pauses()) if repeat else []
        for pause in pauses:
            try:
                return self._attempt(request, name, end, most)
            except OrthancError as error:
                if not error.transient or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)
        return self._attempt(request, name, end, most)

    def _pauses(self) -> Iterator[float]:
        for attempt in range(self._retries):
            yield self._pause * 2**attempt

    def _attempt(
            self, request: requests.Request, name: str, end: float,
            most: int) -> bytes:
        self._begin()
        left = max(end - time.monotonic(), 0.001)
        connect, read = self._timeouts
        if isinstance(request.data, InstanceContent):
            request.data.rewind()
            # The deadline includes the time for sending
            read = left
        try:
            with self._session.send(
                    self._session.prepare_request(request),
                    timeout=(min(connect, left), min(read, left)),
                    allow_redirects=False, stream=True) as response:
                if isinstance(request.data, InstanceContent) and (
                        _is_refusal(response.status_code)):
                    raise InstanceRefused(
                        _refusal(response, name), name,
                        response.status_code)
                check_status(response.status_code, response.headers, name)
                return read_body(
                    response, min(most, self.maximum_size), name)
        except NETWORK_ERRORS as error:
            raise translate_error(error, name) from error

    def _address(self, method: str, path: Sequence[str]) -> str:
        # Anything else could lead to another resource
        if not all(is_identifier(name) for name in path):
            raise NotFound(request=call_name(method, path))
        return '/'.join([self.url, *path])


def _session(
        adapter: Adapter, user: str | None,
        password: str | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers['User-Agent'] = 'health_orthanc'
    # What `read_body` unpacks
    session.headers['Accept-Encoding'] = 'gzip, deflate'
    for scheme in ['http://', 'https://']:
        session.mount(scheme, adapter)
    if user:
        # requests would encode text as Latin-1
        session.auth = HTTPBasicAuth(
            user.encode(), (password or '').encode())
    return session


def _leave_alone(
        request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send a request as it is: without credentials."""
    return request


# Of a client error, these concern the call and not the instance
_OF_CALL = {401, 403, 407, 408, 413, 429}


def _is_refusal(status: int) -> bool:
    """Return whether a status means that an instance is not taken.

    Orthanc answers 404 ("Inexistent tag"), 415 and others, not only 400.
    """
    return 400 <= status < 500 and status not in _OF_CALL


def _refusal(response: requests.Response, name: str) -> str:
    try:
        return error_message(read_body(response, REFUSAL, name))
    except UnexpectedAnswer:
        # That it is refused is known all the same
        return ''


def _pieces(
        response: requests.Response, name: str
        ) -> Generator[bytes, None, None]:
    try:
        with response:
            yield from response.iter_content(2**16)
    except NETWORK_ERRORS as error:
        raise translate_error(error, name) from error
