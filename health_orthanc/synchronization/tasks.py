# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of a request where no worker runs them

trytond runs them before it answers.  A burst of notifications would take
longer than the plugin waits: what is left after some seconds is run behind the
answer.
"""

import threading
import time
from collections import deque

from trytond.transaction import Transaction
from trytond.worker import run_task

__all__ = ['run_tasks', 'take_tasks']

# Seconds for tasks before the answer; the plugin waits for 10
_PATIENCE = 2

_lock = threading.Lock()
_waiting = deque()
_running = False


def take_tasks():
    """Take the tasks of the current transaction, which trytond would run.

    Returns
    -------
    list of int
        The oldest first; empty if there is a worker.
    """
    tasks = Transaction().tasks
    found = list(tasks)
    tasks.clear()
    return found


def run_tasks(pool, tasks, clock=time.monotonic):
    """Run tasks for some seconds, and the others in a thread.

    If the process ends meanwhile, the scheduler finds their notifications.

    Parameters
    ----------
    pool : Pool
    tasks : list of int
        The transaction that has queued them has been committed.
    clock : callable, optional
        It returns the time in seconds.
    """
    end = clock() + _PATIENCE
    left = deque(tasks)
    while left and clock() < end:
        run_task(pool, left.popleft())
    if left:
        _run_behind((pool, task) for task in left)


def _run_behind(tasks):
    global _running
    with _lock:
        _waiting.extend(tasks)
        if not _running:
            _running = True
            threading.Thread(
                target=_run_waiting, name='orthanc-notifications',
                daemon=True).start()


def _run_waiting():
    "Run what waits, one after the other, until nothing is left"
    global _running
    while True:
        with _lock:
            if not _waiting:
                _running = False
                return
            pool, task = _waiting.popleft()
        # It handles all errors
        run_task(pool, task)
