# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route to which plugins send notifications"""

import json
import logging
from http import HTTPStatus

from werkzeug.exceptions import abort

from trytond.model.modelsql import SQLConstraintError
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.wsgi import app

from ..common.routes import check_plugin, json_response, known_database
from .notification import NotificationError
from .tasks import run_tasks, take_tasks

__all__ = ['notify']

# The largest request of a plugin, in bytes
NOTIFICATION_SIZE = 2 * 2**20

logger = logging.getLogger('trytond.modules.health_orthanc.routes')


@app.route('/<database_name>/orthanc/notify', methods={'POST'})
@known_database
@set_max_request_size(NOTIFICATION_SIZE)
@with_pool
def notify(request, pool):
    """Store notifications of a plugin.

    ``POST /<database>/orthanc/notify``, with JSON as in
    `Notification.receive`.

    Parameters
    ----------
    request : Request
    pool : Pool

    Returns
    -------
    Response
        JSON: ``received``, the events that need not be sent again.  400 if
        the content is not valid.
    """
    user = check_plugin(request, pool)
    try:
        try:
            received, tasks = _receive(request, pool, user)
        except SQLConstraintError:
            # A concurrent request has stored the same event
            received, tasks = _receive(request, pool, user)
    except (ValueError, RecursionError) as error:
        logger.warning("Notification refused: %s", _reason(error))
        abort(HTTPStatus.BAD_REQUEST)
    run_tasks(pool, tasks)
    return json_response(request, {'received': received})


@with_transaction(readonly=False)
def _receive(request, pool, user):
    Notification = pool.get('gnuhealth.orthanc.notification')
    received = Notification.receive(json.loads(request.get_data()), user)
    return received, take_tasks()


def _reason(error):
    # The message of a parser may hold patient data
    return str(error) if isinstance(error, NotificationError) else (
        type(error).__name__)
