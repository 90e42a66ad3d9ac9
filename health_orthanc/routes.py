# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin inside Orthanc asks for and tells."""

import base64
import gzip
import json
import logging
from http import HTTPStatus

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond.model.modelsql import SQLConstraintError
from trytond.protocols.wrappers import (
    set_max_request_size, user_application, with_pool, with_transaction)
from trytond.transaction import Transaction, without_check_access
from trytond.wsgi import app

from .notification import NotificationError
from .res import APPLICATION

__all__ = ['notify', 'worklist']

MODULE = 'health_orthanc'
# Bytes that a plugin may tell at once
NOTIFICATION_SIZE = 2 * 2**20

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
