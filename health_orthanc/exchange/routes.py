# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes that take files of an upload."""

import io
import logging
import tempfile
import time
from http import HTTPStatus
from urllib.parse import unquote

from werkzeug.exceptions import abort

from trytond import security
from trytond.model.exceptions import AccessError
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction, without_check_access
from trytond.wsgi import app

from ..common.routes import json_response
from ..core.dicom.archives import (
    Limits, is_archive, list_items, list_parts, shown_name)
from ..core.dicom.headers import HEAD_LIMIT, Unusable, read_header
from ..core.secrets import SecretUnavailable
from . import spool
from . import upload_session as transfer
from .upload import Outcome, send_file, send_items
from .upload_session import TransferItem

__all__ = ['begin_upload', 'read_headers', 'upload']


WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
# Bytes that are read in vain for the client to listen to the answer
DRAINED_SIZE = 2**26
# Bytes of the beginnings of files that are read at once
HEADERS_SIZE = 2**24
# Seconds between two times that a study is announced while it comes in
ANNOUNCED = 20
_CHUNK = 2**18

logger = logging.getLogger('trytond.modules.health_orthanc.routes')


@app.route('/<database_name>/orthanc/upload', methods={'POST'})
@app.auth_required
# How many bytes are taken is configured
@set_max_request_size(0)
@with_pool
def upload(request, pool):
    """Send a file to the server that is named by its id.

    It goes on to Orthanc as it comes in; only archives are kept meanwhile,
    outside of memory.  There is no transaction while it does.
    """
    client = _upload_client(request, pool)
    size = _upload_size(request)
    with client:
        found = list(_forward(client, request.stream, size))
    _announce(request, pool, found)
    _record(request, found)
    # Most of what is told needs no language
    serialize = _serialize_translated if any(
        i.outcome.message for i in found) else _serialize
    files = serialize(request, pool, found)
    _keep_session(request, pool)
    return json_response(request, {'files': files})


@app.route('/<database_name>/orthanc/upload/transfer', methods={'POST'})
@app.auth_required
@with_pool
def begin_upload(request, pool):
    "Return the key under which the files that follow belong together"
    key = _begin(request, pool)
    _keep_session(request, pool)
    return json_response(request, {'transfer': key})


@with_transaction(readonly=True, user='request')
def _begin(request, pool):
    _check_upload(pool)
    return transfer.begin(_upload_server(request, pool).id)


@app.route('/<database_name>/orthanc/upload/headers', methods={'POST'})
@app.auth_required
@set_max_request_size(HEADERS_SIZE)
@with_pool
def read_headers(request, pool):
    "Tell whose files are of which the beginnings are packed together"
    try:
        items = list_parts(io.BytesIO(request.get_data()))
    except Unusable:
        abort(HTTPStatus.BAD_REQUEST)
    files = _described(request, pool, items)
    _keep_session(request, pool)
    return json_response(request, {'files': files})


@with_transaction(readonly=True, user='request')
def _described(request, pool, items):
    _check_upload(pool)
    with _in_their_language(pool):
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
    "Return a client of the server, for those who may upload"
    _check_upload(pool)
    server = _upload_server(request, pool)
    key = request.headers.get('X-Transfer')
    if key:
        try:
            transfer.check(key, server.id)
        except spool.LostUpload:
            abort(HTTPStatus.GONE)
    with without_check_access():
        try:
            return server.get_client()
        except SecretUnavailable:
            abort(HTTPStatus.SERVICE_UNAVAILABLE)


def _check_upload(pool):
    "Let only those pass who may upload"
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
    if size > spool.maximum_size():
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return size


def _forward(client, stream, size):
    "Yield each file with what became of it"
    stream = _Exact(stream, size)
    head = stream.read(HEAD_LIMIT)
    try:
        if is_archive(head):
            yield from _unpack(client, head, stream)
            return
        header = read_header(head)
    except Unusable as error:
        stream.drain(DRAINED_SIZE)
        yield TransferItem('', size, Outcome.unusable(error.reason))
        return
    stream.put_back(head)
    outcome = send_file(client, stream, size, header)
    stream.drain(DRAINED_SIZE)
    yield TransferItem('', size, outcome)


def _unpack(client, head, stream):
    with tempfile.TemporaryFile() as file:
        file.write(head)
        while chunk := stream.read(_CHUNK):
            file.write(chunk)
        items = list_items(
            file, limits=Limits(file_size=spool.maximum_size()))
        for item, outcome in zip(items, send_items(client, items)):
            yield TransferItem(item.name, item.size, outcome)


class _Exact(io.RawIOBase):
    "The body of a request, none of it missing"

    def __init__(self, stream, size):
        self._stream = stream
        self._left = size
        self._head = b''

    def readable(self):
        return True

    def put_back(self, data):
        self._head = data + self._head

    def read(self, size=-1):
        "Return as much as is asked for, unless it is the end"
        if size < 0:
            size = len(self._head) + self._left
        found = [self._head[:size]]
        self._head = self._head[size:]
        wanted = min(size - len(found[0]), self._left)
        while wanted:
            chunk = self._stream.read(min(wanted, _CHUNK))
            if not chunk:
                # Whoever sent it is gone
                abort(HTTPStatus.BAD_REQUEST)
            found.append(chunk)
            self._left -= len(chunk)
            wanted -= len(chunk)
        return b''.join(found)

    def drain(self, limit):
        while limit > 0 and self.read(_CHUNK):
            limit -= _CHUNK


@with_transaction(readonly=True, user='request')
def _serialize_translated(request, pool, found):
    with _in_their_language(pool):
        return _serialize(request, pool, found)


def _serialize(request, pool, found):
    return [{
            'name': item.name,
            'state': item.outcome.state,
            'reason': item.outcome.reason,
            'study': item.outcome.study,
            'hopeless': item.outcome.hopeless,
            } for item in found]


def _in_their_language(pool):
    User = pool.get('res.user')
    return Transaction().set_context(User.get_preferences(context_only=True))


def _record(request, found):
    "Note what became of the files, for the wizard that may follow"
    key = request.headers.get('X-Transfer')
    if not key:
        return
    # Not in the address, which is logged: it may say whose images they are
    given = shown_name(unquote(request.headers.get('X-File-Name', '')))
    for item in found:
        item.name = shown_name('/'.join(filter(None, [given, item.name])))
    try:
        transfer.record(
            key, request.headers.get('X-File', default=0, type=int), found)
    except spool.LostUpload:
        abort(HTTPStatus.GONE)


def _announce(request, pool, found):
    "Have the studies brought in, should no wizard follow"
    studies = {item.outcome.study for item in found if item.outcome.study}
    server = request.args.get('server', type=int)
    fresh = [s for s in studies if _announced.add(
            (pool.database_name, server, s))]
    if fresh:
        _queue(request, pool, server, fresh)


@with_transaction(readonly=False)
def _queue(request, pool, server, studies):
    Notification = pool.get('gnuhealth.orthanc.notification')
    Notification.schedule_uploaded(server, studies)


class _Recent:
    "What was done a short while ago"

    def __init__(self, seconds):
        self._seconds = seconds
        self._moments = {}

    def add(self, key):
        "Return whether it was not done lately, and note it"
        now = time.monotonic()
        if now - self._moments.get(key, -self._seconds) < self._seconds:
            return False
        # The oldest come first
        for old in list(self._moments):
            if now - self._moments[old] < self._seconds:
                break
            self._moments.pop(old, None)
        self._moments.pop(key, None)
        self._moments[key] = now
        return True


_announced = _Recent(ANNOUNCED)


def _keep_session(request, pool):
    "Who waits for a long transfer is not idle"
    if request.authorization.type == 'session':
        security.reset(
            pool.database_name, request.authorization.get('session'),
            context={'_request': request.context})
