# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access, activation and answers of the HTTP routes"""

import gzip
import json
from http import HTTPStatus

from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from trytond.protocols.wrappers import user_application, with_transaction
from trytond.transaction import Transaction

from .application import APPLICATION

__all__ = ['check_plugin', 'is_active', 'json_response']

MODULE = 'health_orthanc'


@with_transaction(readonly=True)
@user_application(APPLICATION, json=False)
def check_plugin(request, pool):
    """Check that a plugin sends the request.

    Returns
    -------
    int
        The id of the plugin's user.

    Raises
    ------
    HTTPException
        404 in a database without the module, 403 for other users.
    """
    User = pool.get('res.user')
    if not is_active(pool):
        abort(HTTPStatus.NOT_FOUND)
    group = pool.get('ir.model.data').get_id(MODULE, 'group_orthanc_plugin')
    user = User(Transaction().user)
    if not user.active or group not in User.get_groups():
        abort(HTTPStatus.FORBIDDEN)
    return user.id


def is_active(pool):
    "Return whether the module is active in a database"
    try:
        pool.get('gnuhealth.orthanc.config')
    except KeyError:
        return False
    return True


def json_response(request, value):
    """Return a JSON response, compressed if the client accepts gzip.

    Parameters
    ----------
    request : Request
    value : object
        Must be serializable as JSON.

    Returns
    -------
    Response
    """
    body = json.dumps(value, separators=(',', ':')).encode()
    headers = {'Cache-Control': 'no-store'}
    if request.accept_encodings['gzip']:
        # Level 1 is faster, and hardly larger
        body = gzip.compress(body, compresslevel=1)
        headers['Content-Encoding'] = 'gzip'
    return Response(
        body, content_type='application/json', headers=headers)
