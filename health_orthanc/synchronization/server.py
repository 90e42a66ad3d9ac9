# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization status and buttons of servers"""

from sql import Null

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval

from ..common.tasks import bulk_tasks, queue_once
from ..common.turns import Turn, can_share, helping_tasks
from .comparison import WORKERS_LIMIT

__all__ = ['Server']


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    last_changed_index = fields.Integer(
        "Last Changed Index", readonly=True)
    last_known_change = fields.Integer(
        "Last Known Change", readonly=True,
        help="The end of the change log when it was last requested.")
    lag = fields.Function(
        fields.Integer(
            "Changes Not Read",
            help="The changes that the last synchronization found and has not "
            "read yet."),
        'get_lag')
    change_anchors = fields.Text("Change Anchors", readonly=True)
    reconciliation_position = fields.Text(
        "Full Synchronization Position", readonly=True)
    compared_at = fields.DateTime(
        "Completely Compared At", readonly=True,
        help="The time when all that the server holds was last compared. "
        "Empty: the next full synchronization compares all of it.")
    synchronizations = fields.One2Many(
        'gnuhealth.orthanc.synchronization', 'server', "Synchronizations",
        readonly=True)
    last_run = fields.Many2One(
        'gnuhealth.orthanc.synchronization', "Last Run", readonly=True,
        ondelete='SET NULL')
    last_synchronization = fields.DateTime(
        "Last Synchronization", readonly=True,
        help="The time of the last successful synchronization.")
    last_duration = fields.Function(
        fields.TimeDelta("Last Duration"), 'get_last_run')
    last_result = fields.Function(
        fields.Text("Last Import"), 'get_last_run')
    last_error = fields.Function(
        fields.Text("Last Error"), 'get_last_run')
    synchronizing = fields.Function(
        fields.Boolean("Synchronizing"), 'get_last_run')
    # Tasks of the queue: no other is queued while one waits
    synchronization_task = fields.Integer(
        "Synchronization Task", readonly=True)
    reconciliation_task = fields.Integer(
        "Full Synchronization Task", readonly=True)
    notifications_task = fields.Integer("Notifications Task", readonly=True)
    continuation_task = fields.Integer("Continuation Task", readonly=True)
    helper_task = fields.Integer("Helper Task", readonly=True)
    sync_workers = fields.Integer(
        "Workers", required=True,
        domain=[
            ('sync_workers', '>=', 1),
            ('sync_workers', '<=', WORKERS_LIMIT),
            ],
        help="The most workers that synchronize this server at the same "
        "time.")
    failures_count = fields.Function(
        fields.Integer("Failures"), 'get_failures_count')

    @staticmethod
    def default_sync_workers():
        return 2

    @classmethod
    def __setup__(cls):
        super().__setup__()
        states = {
            'readonly': ~Bool(Eval('validated')),
            'invisible': ~Eval('active', True),
            'depends': ['validated', 'active'],
            }
        cls._buttons.update({
                'synchronize': states,
                'reconcile': states.copy(),
                })

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="last_error"]', 'states', {
                    'invisible': ~Bool(Eval('last_error')),
                    }, ['last_error']),
            ]

    @classmethod
    def copy(cls, servers, default=None):
        default = default.copy() if default is not None else {}
        for name in [
                'last_changed_index', 'last_known_change', 'change_anchors',
                'reconciliation_position', 'compared_at',
                'synchronizations', 'last_run',
                'last_synchronization', 'synchronization_task',
                'reconciliation_task', 'notifications_task',
                'continuation_task', 'helper_task']:
            default.setdefault(name, None)
        return super().copy(servers, default=default)

    def get_lag(self, name):
        if self.last_known_change is not None:
            return max(
                self.last_known_change - max(self.last_changed_index or 0, 0),
                0)
        return None if self.last_changed_index is None else 0

    @classmethod
    def get_last_run(cls, servers, names):
        values = {name: {} for name in names}
        for server in servers:
            run = server.last_run
            found = {
                'last_duration': run.duration if run else None,
                'last_result': run.result if run else None,
                'last_error': run.error if run else None,
                'synchronizing': bool(run and run.state == 'running'),
                }
            for name in names:
                values[name][server.id] = found[name]
        return values

    @classmethod
    def get_failures_count(cls, servers, name):
        Failure = Pool().get('gnuhealth.orthanc.synchronization.failure')
        return cls.count_by_server(
            Failure, servers, lambda table: table.resolved == Null)

    @classmethod
    @ModelView.button
    def synchronize(cls, servers):
        "Queue an incremental run of each server"
        cls.synchronize_later(servers)

    @classmethod
    @ModelView.button
    def reconcile(cls, servers):
        "Queue a full run of each server"
        cls.synchronize_later(servers, 'full')

    @classmethod
    def synchronize_later(cls, servers, kind='incremental'):
        """Queue a run of each server, for somebody who waits for it.

        A full one compares everything.

        Parameters
        ----------
        servers : list of Server
        kind : {'incremental', 'full'}
        """
        for server in servers:
            if kind == 'full':
                cls.write_progress(server.id, compared_at=None)
            cls.__queue__.run_synchronization([server], kind)

    @classmethod
    def synchronize_in_turn(cls, servers, kind):
        """Queue a run of each server behind what somebody waits for.

        Parameters
        ----------
        servers : list of Server
        kind : {'incremental', 'full'}
        """
        name = (
            'reconciliation_task' if kind == 'full'
            else 'synchronization_task')
        with bulk_tasks():
            queue_once(servers, name, lambda server:
                cls.__queue__.run_synchronization([server], kind))

    @classmethod
    def process_notifications(cls, servers):
        "Process a batch of the notifications of each server (queue)"
        Notification = Pool().get('gnuhealth.orthanc.notification')
        for server in servers:
            Notification.process_due(server)

    @classmethod
    def run_synchronization(cls, servers, kind='incremental'):
        """Synchronize servers, one after the other (queue).

        Returns
        -------
        list of Synchronization
        """
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        return [
            Synchronization.run(
                server, kind, Turn() if can_share() else None)
            for server in servers]

    @classmethod
    def continue_synchronization(cls, servers, run_id):
        """Continue a run that has given way to other tasks (queue).

        Parameters
        ----------
        servers : list of Server
        run_id : int
        """
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        for server in servers:
            Synchronization.continue_run(server.id, run_id, Turn())

    @classmethod
    def queue_continuation(cls, server_id, run_id):
        """Queue the continuation of a run, behind other tasks.

        Parameters
        ----------
        server_id : int
        run_id : int
        """
        with bulk_tasks():
            queue_once([cls(server_id)], 'continuation_task', lambda server:
                cls.__queue__.continue_synchronization([server], run_id))

    @classmethod
    def help_synchronization(cls, servers):
        "Share the work of a run of each server (queue)"
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        for server in servers:
            Synchronization.help(server.id)

    @classmethod
    def queue_helper(cls, server_id):
        """Queue a task that shares the work of a run, unless one waits.

        Parameters
        ----------
        server_id : int
        """
        server = cls(server_id)
        if server.sync_workers > 1:
            with helping_tasks():
                queue_once([server], 'helper_task', lambda server:
                    cls.__queue__.help_synchronization([server]))

    @classmethod
    def resume_synchronizations(cls):
        "Queue the runs whose worker was lost, or end them (scheduler)"
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        for server in cls.search([('active', '=', False)]):
            Synchronization.end_deactivated(server)
        if can_share():
            for server in cls.search([]):
                Synchronization.resume_lost(server)

    @classmethod
    def synchronize_all(cls):
        "Queue an incremental run of every active server (scheduler)"
        cls.synchronize_in_turn(cls.search([]), 'incremental')

    @classmethod
    def reconcile_all(cls):
        "Queue a full run of every active server (scheduler)"
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        Synchronization.clean()
        cls.synchronize_in_turn(cls.search([]), 'full')
