# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long tasks that give way to others

A worker takes tasks that somebody waits for first, then bulk tasks in the
order in which they were queued, then those that only help with the work of
another.  A long task ends at a place where it can be continued, and is queued
again behind the others.
"""

import datetime as dt
import time

from sql import Null

from trytond import backend
from trytond.pool import Pool
from trytond.transaction import Transaction

from .rows import fetch_rows
from .tasks import bulk_queue, have_workers
from .transaction import in_transaction

__all__ = ['Turn', 'TurnOver', 'can_share', 'helping_tasks']

# Seconds of a task, if others wait
LENGTH = 30
# When the work of a helper is expected: after all bulk tasks
_BEHIND = dt.timedelta(days=365)


class TurnOver(Exception):
    "A task ends, and is to be continued behind others"


def can_share():
    """Return whether several workers may share the work of a task.

    Returns
    -------
    bool
    """
    return have_workers() and backend.name == 'postgresql'


def helping_tasks():
    "Return a context whose tasks are run if there are no others"
    return Transaction().set_context(
        queue_expected_at=_BEHIND, queue_name=bulk_queue())


class Turn:
    """The time that a task has

    Parameters
    ----------
    helps : bool
        Whether it only helps another one, and gives way to all others.
    """

    def __init__(self, helps=False):
        self._helps = helps
        self._start = time.monotonic()

    def check(self):
        """End the task if others are to come first.

        It is called where the task can be continued, outside of transactions.

        Raises
        ------
        TurnOver
        """
        waiting = in_transaction(_first_waiting)
        if waiting and self._gives_way(*waiting):
            raise TurnOver

    def _gives_way(self, expected_at):
        if expected_at is None:
            return True
        is_long = time.monotonic() - self._start > LENGTH
        if expected_at > dt.datetime.now() + _BEHIND / 2:
            return self._helps and is_long
        return self._helps or is_long


def _first_waiting():
    "Return when the next task is expected, as a list, or None"
    queue = Pool().get('ir.queue').__table__()
    # A worker takes those with a time after all others: after the continuation
    # of a task that would give way to them, too
    where = (queue.dequeued_at == Null) & (queue.scheduled_at == Null)
    # Another queue has workers of its own
    where &= queue.name == bulk_queue()
    found = fetch_rows(queue.select(
            queue.expected_at, where=where,
            order_by=queue.expected_at.nulls_first, limit=1))
    return found[0] if found else None
