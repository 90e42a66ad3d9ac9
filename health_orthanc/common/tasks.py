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

__all__ = ['bulk_tasks', 'queue_once']


# Without workers, the process that has queued a task runs it at once.  If it
# is killed meanwhile, nobody else does.
LOST_AFTER = dt.timedelta(minutes=10)


def bulk_tasks():
    """Return a context whose tasks wait for those that somebody waits for.

    A worker takes tasks without an expected time first.  The setting
    `bulk_queue` names a queue of their own for them, which needs a worker
    of its own.
    """
    return Transaction().set_context(
        queue_expected_at=dt.timedelta(),
        queue_name=config.get(
            'health_orthanc', 'bulk_queue', default='default'))


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
    column = getattr(table, name)
    queue = Pool().get('ir.queue').__table__()
    # Not from the records: it is written by SQL
    waiting = {id_ for id_, in fetch_rows(
            table.join(queue, condition=queue.id == column).select(
                table.id, where=reduce_ids(table.id, list(map(int, records)))
                & _is_waiting(queue)))}
    cursor = Transaction().connection.cursor()
    for record in records:
        if record.id not in waiting:
            task, = push(record)
            cursor.execute(*table.update(
                    [column], [task], where=table.id == record.id))


def _is_waiting(queue):
    waiting = queue.dequeued_at == Null
    if not queue_.has_worker:
        waiting &= queue.enqueued_at > dt.datetime.now() - LOST_AFTER
    return waiting
