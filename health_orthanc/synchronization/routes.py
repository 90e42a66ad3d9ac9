# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Route to which plugins send notifications"""

import json
import logging
import threading
from collections import deque
from http import HTTPStatus

from werkzeug.exceptions import abort

from trytond.model.modelsql import SQLConstraintError
from trytond.protocols.wrappers import (
    set_max_request_size, with_pool, with_transaction)
from trytond.transaction import Transaction
from trytond.worker import run_task
from trytond.wsgi import app

from ..common.routes import check_plugin, json_response, known_database
from .notification import NotificationError

__all__ = ['notify', 'run_tasks', 'take_tasks']

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


# --- Tasks ----------------------------------------------------------------

# Where no worker runs them, trytond runs the tasks of a request before it
# answers.  They could take longer than the plugin waits: a thread runs them,
# and the answer waits only for some seconds.

# Seconds before the answer; the plugin waits for 10
_PATIENCE = 2

_lock = threading.Lock()
_waiting = deque()
_running = False


def take_tasks():
    """Take the tasks of the thread, which trytond would run.

    Returns
    -------
    list of int
        The oldest first; empty if there is a worker.
    """
    tasks = Transaction().tasks
    found = list(tasks)
    tasks.clear()
    return found


def run_tasks(pool, tasks, patience=_PATIENCE):
    """Run tasks in a thread, and wait for them for some seconds.

    If the process ends meanwhile, the scheduler finds their notifications.

    Parameters
    ----------
    pool : Pool
    tasks : list of int
        The transaction that has queued them has been committed.
    patience : float
        Seconds.
    """
    global _running
    if not tasks:
        return
    done = threading.Event()
    with _lock:
        _waiting.extend((pool, task, None) for task in tasks[:-1])
        _waiting.append((pool, tasks[-1], done))
        if not _running:
            _running = True
            threading.Thread(
                target=_run_waiting, name='orthanc-notifications',
                daemon=True).start()
    done.wait(patience)


def _run_waiting():
    "Run what waits, one after the other, until nothing is left"
    global _running
    while True:
        with _lock:
            if not _waiting:
                _running = False
                return
            pool, task, done = _waiting.popleft()
        # It handles all errors
        run_task(pool, task)
        # What the task itself has queued
        with _lock:
            _waiting.extend((pool, task, None) for task in take_tasks())
        if done:
            done.set()
