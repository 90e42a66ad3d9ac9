# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the operation, read from the database

The number of statements does not grow with the number of servers, and the
network is not used.
"""

import datetime as dt
from dataclasses import dataclass, field

from sql import Null
from sql.aggregate import Count, Max, Min
from sql.conditionals import Coalesce

from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from ..common.application import APPLICATION, MODULE
from ..common.transaction import now

__all__ = ['Figures', 'ServerFigures', 'collect_figures', 'waiting']

SERVER = 'gnuhealth.orthanc.config'
NOTIFICATION = 'gnuhealth.orthanc.notification'
FAILURE = 'gnuhealth.orthanc.synchronization.failure'


@dataclass
class ServerFigures:
    """The figures of an active server

    Attributes
    ----------
    server : Server
    failures : int
        Resources that could not be stored.
    notifications : int
        Those that have not been processed.
    oldest_notification : datetime or None
        When the oldest of them was received.
    has_plugin : bool
        Whether a plugin has got a key for this server.
    """
    server: object
    failures: int = 0
    notifications: int = 0
    oldest_notification: dt.datetime | None = None
    has_plugin: bool = False


@dataclass
class Figures:
    """The figures of the whole, at one moment

    Attributes
    ----------
    moment : datetime
    servers : list of ServerFigures
    tasks : int
        Tasks of this module that could start now.
    oldest_task : datetime or None
        Since when the oldest of them could start.
    worker_run : datetime or None
        When a task of any module was last taken from the queue.
    scheduler_run : datetime or None
        When the scheduler last ran.
    oldest_audit : datetime or None
        Since when the oldest entry of the audit trail waits to be sent.
    """
    moment: dt.datetime
    servers: list[ServerFigures] = field(default_factory=list)
    tasks: int = 0
    oldest_task: dt.datetime | None = None
    worker_run: dt.datetime | None = None
    scheduler_run: dt.datetime | None = None
    oldest_audit: dt.datetime | None = None


@without_check_access
def collect_figures():
    """Return the figures as they are now.

    Returns
    -------
    Figures
    """
    pool = Pool()
    servers = pool.get(SERVER).search([('active', '=', True)])
    notifications = waiting(NOTIFICATION, 'processed_at', 'received_at')
    failures = waiting(FAILURE, 'resolved', 'first_seen')
    logins = _plugin_logins()
    figures = Figures(now(), [
            ServerFigures(
                server, failures.get(server.id, (0, None))[0],
                *notifications.get(server.id, (0, None)),
                server.plugin_login in logins)
            for server in servers])
    figures.tasks, figures.oldest_task = _waiting_tasks(figures.moment)
    figures.worker_run = _last_taken_task()
    figures.scheduler_run = pool.get(
        'gnuhealth.orthanc.operation').get_stamp('checked_at')
    figures.oldest_audit = pool.get(
        'gnuhealth.imaging_orthanc.audit').unsent_since()
    return figures


def waiting(model, end, start):
    """Return how many records of each server wait, and since when.

    Parameters
    ----------
    model : str
    end : str
        The field that is set when a record does not wait any more.
    start : str
        The field with the time since when it waits.

    Returns
    -------
    dict of tuple
        Count and earliest time, by the id of the server.
    """
    table = Pool().get(model).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            table.server, Count(table.id), Min(getattr(table, start)),
            where=getattr(table, end) == Null, group_by=table.server))
    return {
        server: (count, _moment(since)) for server, count, since in cursor}


def _plugin_logins():
    "Return the logins of the plugins that have a key"
    Application = Pool().get('res.user.application')
    return {a.user.login for a in Application.search([
                ('application', '=', APPLICATION),
                ('state', '=', 'validated'),
                ], order=[])}


def _waiting_tasks(moment):
    "Return the number of our tasks that could start, and since when"
    transaction = Transaction()
    table = Pool().get('ir.queue').__table__()
    model = transaction.database.json_get(table.data, 'model')
    start = Coalesce(table.scheduled_at, table.enqueued_at)
    cursor = transaction.connection.cursor()
    cursor.execute(*table.select(
            model, Count(table.id), Min(start),
            where=(table.dequeued_at == Null) & (start <= moment),
            group_by=model))
    own = _own_models()
    found = [
        (count, _moment(since)) for name, count, since in cursor
        if (name or '').strip('"') in own]
    return sum(count for count, _ in found), min(
        (since for _, since in found), default=None)


def _own_models():
    return {
        cls.__name__ for cls in Pool().classes['model'][MODULE]
        if not cls.__name__.startswith(('ir.', 'res.'))}


def _last_taken_task():
    table = Pool().get('ir.queue').__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(Max(table.dequeued_at)))
    moment, = cursor.fetchone()
    return _moment(moment)


def _moment(value):
    "Return a time; SQLite returns the result of an aggregate as text"
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    return value and value.replace(microsecond=0)
