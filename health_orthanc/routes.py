# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin inside Orthanc asks for and tells, and files for it."""

import base64
import gzip
import io
import json
import logging
import tempfile
from http import HTTPStatus

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond import security
from trytond.model.exceptions import AccessError
from trytond.model.modelsql import SQLConstraintError
from trytond.protocols.wrappers import (
    set_max_request_size, user_application, with_pool, with_transaction)
from trytond.transaction import Transaction, without_check_access
from trytond.wsgi import app

from . import spool
from .core.headers import HEAD_LIMIT, Unusable, read_header
from .core.secrets import SecretUnavailable
from .core.uploads import Limits, is_archive, list_items
from .notification import NotificationError
from .res import APPLICATION
from .upload import Outcome, send_file, send_items

__all__ = ['notify', 'upload', 'worklist']

MODULE = 'health_orthanc'
# Bytes that a plugin may tell at once
NOTIFICATION_SIZE = 2 * 2**20

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
# Bytes that are read in vain for the client to listen to the answer
DRAINED_SIZE = 2**26
_CHUNK = 2**16

logger = logging.getLogger(__name__)


@with_transaction(readonly=True)
@user_application(APPLICATION, json=False)
def _check_plugin(request, pool):
    "Let only the users of plugins pass, and return who it is"
    User = pool.get('res.user')
    if not _is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    group = pool.get('ir.model.data').get_id(MODULE, 'group_orthanc_plugin')
    user = User(Transaction().user)
    if not user.active or group not in User.get_groups():
        abort(HTTPStatus.FORBIDDEN)
    return user.id


def _is_active(pool):
    try:
        pool.get('gnuhealth.imaging.worklist.entry')
    except KeyError:
        return False
    return True


@app.route('/<database_name>/orthanc/worklist', methods={'GET'})
@with_pool
def worklist(request, pool):
    "Tell what is on the worklist; see `WorklistEntry.page`"
    # Nobody else is told even which modules are active
    _check_plugin(request, pool)
    page = _page(request, pool)
    if page is None:
        return Response(status=HTTPStatus.NOT_MODIFIED)
    etag = page.pop('etag', None)
    for entry in page['entries']:
        entry['dicom'] = base64.b64encode(entry['dicom']).decode()
    response = _json(request, page)
    if etag:
        response.set_etag(etag)
    return response


@app.route('/<database_name>/orthanc/notify', methods={'POST'})
@set_max_request_size(NOTIFICATION_SIZE)
@with_pool
def notify(request, pool):
    "Keep what the plugin tells; see `Notification.receive`"
    user = _check_plugin(request, pool)
    try:
        try:
            received = _receive(request, pool, user)
        except SQLConstraintError:
            # The same was told twice at once: by now it is known
            received = _receive(request, pool, user)
    except (ValueError, RecursionError) as error:
        logger.warning("Notification refused: %s", _reason(error))
        abort(HTTPStatus.BAD_REQUEST)
    return _json(request, {'received': received})


@with_transaction(readonly=False)
def _receive(request, pool, user):
    Notification = pool.get('gnuhealth.orthanc.notification')
    return Notification.receive(json.loads(request.get_data()), user)


def _reason(error):
    # What cannot be parsed may hold data of patients
    return str(error) if isinstance(error, NotificationError) else (
        type(error).__name__)


def _page(request, pool):
    since = request.args.get('since', default=0, type=int)
    # Proxies that compress make it a weak one
    etag = next(iter(request.if_none_match.as_set(include_weak=True)), None)
    with Transaction().start(pool.database_name, 0, readonly=True):
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        with without_check_access():
            # The pages after the first tell what was found for that
            if not since or etag:
                Entry.refresh()
            return Entry.page(since, etag=etag)


def _json(request, value):
    body = json.dumps(value, separators=(',', ':')).encode()
    headers = {'Cache-Control': 'no-store'}
    if request.accept_encodings['gzip']:
        # Time is worth more than size here
        body = gzip.compress(body, compresslevel=1)
        headers['Content-Encoding'] = 'gzip'
    return Response(
        body, content_type='application/json', headers=headers)


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
    files = _told(request, pool, found)
    _keep_session(request, pool)
    return _json(request, {'files': files})


@with_transaction(readonly=True, user='request')
def _upload_client(request, pool):
    "Return a client of the server, for those who may upload"
    try:
        Wizard = pool.get(WIZARD, type='wizard')
    except KeyError:
        abort(HTTPStatus.NOT_FOUND)
    try:
        Wizard.check_access()
    except AccessError:
        abort(HTTPStatus.FORBIDDEN)
    Server = pool.get('gnuhealth.orthanc.config')
    id_ = request.args.get('server', type=int)
    with without_check_access():
        servers = Server.search([('id', '=', id_)])
        if not servers:
            abort(HTTPStatus.NOT_FOUND)
        try:
            return servers[0].get_client()
        except SecretUnavailable:
            abort(HTTPStatus.SERVICE_UNAVAILABLE)


def _upload_size(request):
    size = request.content_length
    if size is None:
        abort(HTTPStatus.LENGTH_REQUIRED)
    if size > spool.maximum_size():
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return size


def _forward(client, stream, size):
    "Yield the name of each file, and what became of it"
    stream = _Exact(stream, size)
    head = stream.read(HEAD_LIMIT)
    try:
        if is_archive(head):
            yield from _unpack(client, head, stream)
            return
        read_header(head)
    except Unusable as error:
        stream.drain(DRAINED_SIZE)
        yield '', Outcome.unusable(error.reason)
        return
    stream.put_back(head)
    yield '', send_file(client, stream, size)


def _unpack(client, head, stream):
    with tempfile.TemporaryFile() as file:
        file.write(head)
        while chunk := stream.read(_CHUNK):
            file.write(chunk)
        items = list_items(
            file, limits=Limits(file_size=spool.maximum_size()))
        for item, outcome in zip(items, send_items(client, items)):
            yield item.name, outcome


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
def _told(request, pool, found):
    User = pool.get('res.user')
    with Transaction().set_context(User.get_preferences(context_only=True)):
        return [{
                'name': name,
                'state': outcome.state,
                'reason': outcome.reason,
                'study': outcome.study,
                } for name, outcome in found]


def _keep_session(request, pool):
    "Who waits for a long transfer is not idle"
    if request.authorization.type == 'session':
        security.reset(
            pool.database_name, request.authorization.get('session'),
            context={'_request': request.context})
