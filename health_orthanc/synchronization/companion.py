# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second thread of a run that no worker can help

Whoever stores and matches waits for the database half of the time.  Meanwhile
the other thread works.  It shares the parts of the run as another worker does.
"""

import logging
import threading
from contextlib import contextmanager

from trytond import backend
from trytond.transaction import Transaction

from ..common.diagnostics import log_unexpected
from ..common.tasks import have_workers
from ..common.turns import TurnOver

__all__ = ['accompanied', 'may_be_accompanied']

logger = logging.getLogger('trytond.modules.health_orthanc.companion')


class _Turn:
    "The time until the run ends, or needs no help any more"

    def __init__(self):
        self._over = threading.Event()

    def end(self):
        self._over.set()

    def check(self):
        """End the help if it is not wanted any more.

        Raises
        ------
        TurnOver
        """
        if self._over.is_set():
            raise TurnOver


def may_be_accompanied():
    """Return whether a run may have a second thread.

    SQLite has one writer, and with workers it is they who help.

    Returns
    -------
    bool
    """
    return backend.name == 'postgresql' and not have_workers()


@contextmanager
def accompanied(help_, server_id):
    """Let another thread help with the active run during the context.

    What it cannot do is left to the run.  Tasks that it queues are run by
    whoever runs those of the caller.

    Parameters
    ----------
    help_ : callable
        It gets the server and a turn, which it checks between pages.
    server_id : int
    """
    turn, tasks = _Turn(), []
    # The process may end without it
    thread = threading.Thread(
        target=_work, daemon=True, args=(
            help_, server_id, turn, tasks, Transaction().database.name,
            Transaction().context))
    try:
        thread.start()
    except RuntimeError as error:
        log_unexpected(logger, error, "Orthanc server %s: no help", server_id)
        thread = None
    try:
        yield
    finally:
        turn.end()
        if thread:
            thread.join()
        Transaction().tasks.extend(tasks)


def _work(help_, server_id, turn, tasks, database, context):
    try:
        with Transaction().start(
                database, 0, context=context, readonly=True) as transaction:
            try:
                help_(server_id, turn)
            finally:
                tasks.extend(transaction.tasks)
    except Exception as error:
        # The run itself meets the same, and shows it
        log_unexpected(logger, error, "Orthanc server %s: no help", server_id)
