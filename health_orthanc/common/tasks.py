# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the queue: each once, urgent ones first"""

import datetime as dt

from sql import Null

from trytond.config import config
from trytond.ir import queue_
from trytond.pool import Pool
from trytond.tools import reduce_ids
from trytond.transaction import Transaction

from .rows import fetch_rows

__all__ = [
    'bulk_queue', 'bulk_tasks', 'have_workers', 'is_bulk', 'is_first_call',
    'is_lost', 'queue_once', 'without_task']


# Without workers, the process that has queued a task runs it at once.  If it
# is killed meanwhile, nobody else does.
LOST_AFTER = dt.timedelta(minutes=10)
# A worker that has taken a task begins with it at once
TAKEN_FOR = dt.timedelta(seconds=30)


def bulk_tasks():
    """Return a context whose tasks wait for those that somebody waits for.

    A worker takes tasks without an expected time first.  The setting
    `bulk_queue` names a queue of their own for them, which needs a worker
    of its own.
    """
    return Transaction().set_context(
        queue_expected_at=dt.timedelta(),
        queue_name=bulk_queue())


def bulk_queue():
    """Return the name of the queue of bulk tasks.

    Returns
    -------
    str
    """
    return config.get('health_orthanc', 'bulk_queue', default='default')


def is_bulk():
    """Return whether it is called within `bulk_tasks`.

    Returns
    -------
    bool
    """
    return 'queue_expected_at' in Transaction().context


def queue_once(records, name, push):
    """Queue a task of each record that has none of this kind waiting.

    Parameters
    ----------
    records : list of ModelSQL
    name : str
        The integer field that holds the id of the last task of this kind.
        It is written by SQL: the write date stays the same.
    push : callable
        Queues the task of a record, and returns a list of its id.
    """
    if not records:
        return
    table = records[0].__table__()
    cursor = Transaction().connection.cursor()
    for record in without_task(records, name):
        task, = push(record)
        cursor.execute(*table.update(
                [getattr(table, name)], [task],
                where=table.id == record.id))


def without_task(records, name):
    """Return the records that have no task of a kind waiting.

    Parameters
    ----------
    records : list of ModelSQL
    name : str
        As for `queue_once`.

    Returns
    -------
    list of ModelSQL
    """
    if not records:
        return []
    table = records[0].__table__()
    queue = Pool().get('ir.queue').__table__()
    # Not from the records: it is written by SQL
    waiting = {id_ for id_, in fetch_rows(
            table.join(
                queue, condition=queue.id == getattr(table, name)).select(
                table.id, where=reduce_ids(table.id, list(map(int, records)))
                & _is_waiting(queue)))}
    return [r for r in records if r.id not in waiting]


def is_lost(task_id, done_at=None):
    """Return whether a task was taken by a worker that did not end it.

    Parameters
    ----------
    task_id : int or None
    done_at : datetime, optional
        When its work was done last, in whole seconds.  A worker ends a task a
        moment after its work.

    Returns
    -------
    bool
    """
    queue = Pool().get('ir.queue').__table__()
    where = (
        (queue.id == task_id) & (queue.finished_at == Null)
        & (queue.dequeued_at < dt.datetime.now() - TAKEN_FOR))
    if done_at:
        where &= queue.dequeued_at > done_at + dt.timedelta(seconds=1)
    return bool(fetch_rows(queue.select(queue.id, where=where)))


def have_workers():
    """Return whether tasks are run by workers, and nobody waits for them.

    Returns
    -------
    bool
    """
    return queue_.has_worker


class _Calls:
    "The calls of a transaction, which it keeps as one of its data managers"

    def __init__(self):
        self.names = set()

    def __eq__(self, other):
        return isinstance(other, _Calls)

    def tpc_begin(self, transaction):
        pass

    commit = tpc_vote = tpc_begin

    def tpc_finish(self, transaction):
        self.names.clear()

    tpc_abort = tpc_finish


def is_first_call(name):
    """Return whether it is called with a name for the first time.

    It is again after the transaction was committed or rolled back.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    names = Transaction().join(_Calls()).names
    if name in names:
        return False
    names.add(name)
    return True


def _is_waiting(queue):
    waiting = queue.dequeued_at == Null
    if not queue_.has_worker:
        waiting &= queue.enqueued_at > dt.datetime.now() - LOST_AFTER
    return waiting
