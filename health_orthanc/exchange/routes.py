# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that receive the files of an upload"""

import io
import time
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import unquote

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond import security
from trytond.model.exceptions import AccessError
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction, without_check_access
from trytond.wsgi import app

from ..common.routes import json_response, known_database, limit_silence
from ..core.dicom.archives import (
    Limits, is_archive, list_items, list_parts, shown_name)
from ..core.dicom.file_header import HEAD_LIMIT, Unusable, read_header
from ..core.secrets import SecretUnavailable
from . import upload_session
from .reception import receive
from .upload import Outcome, record_uploads, send_items
from .upload_session import SentFile, UploadFull, UploadLost

__all__ = ['begin_upload', 'read_headers', 'upload']


WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
# Bytes that are read and discarded, so that the client reads the response
DRAINED_SIZE = 2**26
# The largest request without a file, and with beginnings of files, in bytes
_SHORT_SIZE = 2**16
HEADERS_SIZE = 2**24
# Seconds between two schedulings of a study during its upload
SCHEDULE_PAUSE = 20
_CHUNK = 2**18

# The states of files in a session, as they are answered
_ANSWERED = {'ready': 'received'}


@app.route('/<database_name>/orthanc/upload', methods={'POST'})
@known_database
@app.auth_required
# The largest size is configured, see `maximum_size`
@set_max_request_size(0)
@with_pool
def upload(request, pool):
    """Receive a DICOM file or archive.

    ``POST /<database>/orthanc/upload?server=<id>`` sends it to an Orthanc
    server, when all of it has arrived.  With the header X-Transfer, which
    names a session, it is kept for the wizard instead: X-File is the number
    and X-File-Name the name of the file.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON: ``files``, with ``name``, ``state``, ``reason``, ``study`` and
        ``hopeless`` of each.
    """
    handle = _receive if request.headers.get('X-Transfer') else _forward
    with limit_silence(request), _full_as_status():
        found = handle(request, pool)
    # Without messages no transaction is needed for the language
    serialize = _serialize_translated if any(
        i.outcome.message for i in found) else _serialize
    files = serialize(request, pool, found)
    _extend_session(request, pool)
    return json_response(request, {'files': files})


def _receive(request, pool):
    "Keep a file for the wizard, and return the files in it"
    key = _transfer(request, pool)
    size = _upload_size(request)
    # A header, because URLs are logged: the name may identify the patient
    name = shown_name(unquote(request.headers.get('X-File-Name', '')))
    number = request.headers.get('X-File', default=0, type=int)
    try:
        return receive(
            key, abs(number), name, _RequestBody(request.stream, size))
    except UploadLost:
        abort(HTTPStatus.GONE)


@with_transaction(readonly=True, user='request')
def _transfer(request, pool):
    "Check the access, and return the key of the session"
    _check_upload(pool)
    key = request.headers['X-Transfer']
    try:
        upload_session.check_session(key)
    except UploadLost:
        abort(HTTPStatus.GONE)
    return key


def _forward(request, pool):
    "Send a file to Orthanc, and return the files in it with their results"
    client = _upload_client(request, pool)
    size = _upload_size(request)
    found = list(_send_body(client, request.stream, size))
    _schedule_import(request, pool, found)
    return found


@contextmanager
def _full_as_status():
    try:
        yield
    except UploadFull:
        # werkzeug has no exception for it
        abort(Response(status=HTTPStatus.INSUFFICIENT_STORAGE))


@app.route('/<database_name>/orthanc/upload/transfer', methods={'POST'})
@known_database
@app.auth_required
# Without a limit of its own, trytond looks for the user before the route
@set_max_request_size(_SHORT_SIZE)
@with_pool
def begin_upload(request, pool):
    """Begin a session for the files that follow.

    ``POST /<database>/orthanc/upload/transfer``

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON: ``transfer``, the key for the header X-Transfer.
    """
    key = _begin(request, pool)
    _extend_session(request, pool)
    return json_response(request, {'transfer': key})


@with_transaction(readonly=True, user='request')
def _begin(request, pool):
    _check_upload(pool)
    with _full_as_status():
        return upload_session.begin_session()


@app.route('/<database_name>/orthanc/upload/headers', methods={'POST'})
@known_database
@app.auth_required
@set_max_request_size(HEADERS_SIZE)
@with_pool
def read_headers(request, pool):
    """Return the identity in files, before they are sent.

    ``POST /<database>/orthanc/upload/headers``, with the beginnings of the
    files packed as the upload field packs files.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON: ``files``, with the state and the identity of each.
    """
    _check_access(request, pool)
    try:
        with limit_silence(request):
            items = list_parts(io.BytesIO(request.get_data()))
    except Unusable:
        abort(HTTPStatus.BAD_REQUEST)
    files = _describe_items(request, pool, items)
    _extend_session(request, pool)
    return json_response(request, {'files': files})


@with_transaction(readonly=True, user='request')
def _check_access(request, pool):
    _check_upload(pool)


@with_transaction(readonly=True, user='request')
def _describe_items(request, pool, items):
    with _user_language(pool):
        return list(map(_describe, items))


def _describe(item):
    head = item.head()
    if is_archive(head):
        return {'state': 'archive'}
    try:
        header = read_header(head)
    except Unusable as error:
        outcome = Outcome.unusable(error.reason)
        return {'state': outcome.state, 'reason': outcome.reason}
    date = header.birth_date
    return {
        'state': 'ready',
        'patient_name': header.display_name,
        'patient_id': header.patient_id,
        'birth_date': date.isoformat() if date else '',
        'sex': header.sex,
        'modality': header.modality,
        }


@with_transaction(readonly=True, user='request')
def _upload_client(request, pool):
    "Check the access, and return a client of the server"
    _check_upload(pool)
    server = _upload_server(request, pool)
    with without_check_access():
        try:
            return server.get_client()
        except SecretUnavailable:
            abort(HTTPStatus.SERVICE_UNAVAILABLE)


def _check_upload(pool):
    "Check that the user may run the upload wizard"
    try:
        Wizard = pool.get(WIZARD, type='wizard')
    except KeyError:
        abort(HTTPStatus.NOT_FOUND)
    try:
        Wizard.check_access()
    except AccessError:
        abort(HTTPStatus.FORBIDDEN)


def _upload_server(request, pool):
    Server = pool.get('gnuhealth.orthanc.config')
    with without_check_access():
        servers = Server.search([
                ('id', '=', request.args.get('server', type=int))])
    if not servers:
        abort(HTTPStatus.NOT_FOUND)
    return servers[0]


def _upload_size(request):
    size = request.content_length
    if size is None:
        abort(HTTPStatus.LENGTH_REQUIRED)
    if size > upload_session.maximum_size():
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return size


def _send_body(client, stream, size):
    """Send the body of a request, and yield each file with its result.

    The body is received first: a client that stops in the middle holds no
    connection to Orthanc.
    """
    stream = _RequestBody(stream, size)
    head = stream.read(HEAD_LIMIT)
    try:
        if not is_archive(head):
            read_header(head)
    except Unusable as error:
        if not error.reason.needs_more:
            stream.drain(DRAINED_SIZE)
            yield SentFile('', size, Outcome.unusable(error.reason))
            return
    with upload_session.temporary_file() as file:
        file.write(head)
        for chunk in stream:
            file.write(chunk)
        try:
            items = list_items(file, limits=Limits(
                    file_size=upload_session.maximum_size()))
        except Unusable as error:
            yield SentFile('', size, Outcome.unusable(error.reason))
            return
        if not is_archive(head):
            items[0].name = ''
        with client:
            for item, outcome in zip(items, send_items(client, items)):
                yield SentFile(item.name, item.size, outcome)


class _RequestBody:
    "The body of a request; a premature end aborts the request"

    def __init__(self, stream, size):
        self._stream = stream
        self._left = size

    def __iter__(self):
        while chunk := self.read(_CHUNK):
            yield chunk

    def read(self, size):
        "Return `size` bytes, less only at the end"
        found = []
        wanted = min(size, self._left)
        while wanted:
            chunk = self._read(min(wanted, _CHUNK))
            found.append(chunk)
            self._left -= len(chunk)
            wanted -= len(chunk)
        return b''.join(found)

    def _read(self, size):
        try:
            chunk = self._stream.read(size)
        except TimeoutError:
            abort(HTTPStatus.REQUEST_TIMEOUT)
        if not chunk:
            # The client has closed the connection
            abort(HTTPStatus.BAD_REQUEST)
        return chunk

    def drain(self, limit):
        "Read and discard at most about `limit` bytes"
        while limit > 0 and self.read(_CHUNK):
            limit -= _CHUNK


@with_transaction(readonly=True, user='request')
def _serialize_translated(request, pool, found):
    with _user_language(pool):
        return _serialize(request, pool, found)


def _serialize(request, pool, found):
    return [{
            'name': item.name,
            'state': _ANSWERED.get(item.outcome.state, item.outcome.state),
            'reason': item.outcome.reason,
            'study': item.outcome.study,
            'hopeless': item.outcome.hopeless,
            } for item in found]


def _user_language(pool):
    User = pool.get('res.user')
    return Transaction().set_context(User.get_preferences(context_only=True))


def _schedule_import(request, pool, found):
    "Schedule the synchronization of the studies, if no wizard follows"
    studies = {item.outcome.study for item in found if item.outcome.study}
    server = request.args.get('server', type=int)
    fresh = [s for s in studies if _scheduled.add(
            (pool.database_name, server, s))]
    if fresh:
        _record(request, pool, server, [
                item for item in found if item.outcome.study in fresh])
        _schedule(request, pool, server, fresh)


@with_transaction(readonly=True, user='request')
def _record(request, pool, server, found):
    record_uploads(server, found)


@with_transaction(readonly=False)
def _schedule(request, pool, server, studies):
    Notification = pool.get('gnuhealth.orthanc.notification')
    Notification.schedule_uploaded(server, studies)


class _RecentKeys:
    "The keys that were added within the last seconds"

    def __init__(self, seconds):
        self._seconds = seconds
        self._moments = {}

    def add(self, key):
        "Add a key, and return whether it was not there"
        now = time.monotonic()
        if now - self._moments.get(key, -self._seconds) < self._seconds:
            return False
        # The order is that of the moments
        for old in list(self._moments):
            if now - self._moments[old] < self._seconds:
                break
            self._moments.pop(old, None)
        self._moments.pop(key, None)
        self._moments[key] = now
        return True


_scheduled = _RecentKeys(SCHEDULE_PAUSE)


def _extend_session(request, pool):
    "Extend the session of the user, who is not idle during an upload"
    if request.authorization.type == 'session':
        security.reset(
            pool.database_name, request.authorization.get('session'),
            context={'_request': request.context})
