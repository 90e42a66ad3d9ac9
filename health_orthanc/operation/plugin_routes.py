# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each request of a plugin shows: that the plugin runs

The process that answers plugins also watches the scheduler, which cannot tell
that it does not run.
"""

import threading
import time

from trytond import backend
from trytond.transaction import Transaction

from ..archive.contact import PRECISION
from ..common import routes
from ..common.transaction import in_transaction

__all__ = ['check_plugin']

_lock = threading.Lock()
# When each plugin's user was last noted by this process, by database
_noted = {}


def check_plugin(request, pool):
    """Check that a plugin sends the request, and note that it has spoken.

    It is noted once a minute, because a plugin sends a request every two
    seconds.

    Returns
    -------
    int
        The id of the plugin's user.

    Raises
    ------
    HTTPException
        As `common.routes.check_plugin`.
    """
    user = routes.check_plugin(request, pool)
    if _is_due((pool.database_name, user)):
        _note(pool, user)
    return user


def _is_due(key):
    moment = time.monotonic()
    with _lock:
        before = _noted.get(key)
        if before is not None and moment - before < PRECISION:
            return False
        _noted[key] = moment
        return True


def _note(pool, user):
    try:
        with Transaction().start(pool.database_name, 0, readonly=True):
            in_transaction(
                pool.get('gnuhealth.orthanc.config').record_plugin, user)
            in_transaction(
                pool.get('gnuhealth.orthanc.operation').check_scheduler)
    except backend.DatabaseOperationalError:
        # Another process notes the same; the plugin must get its answer
        pass
