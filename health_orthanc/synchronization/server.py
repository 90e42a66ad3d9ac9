# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization status and buttons of servers"""

from sql import Null

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval

from ..common.tasks import bulk_tasks, queue_once

__all__ = ['Server']


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    last_changed_index = fields.Integer(
        "Last Changed Index", readonly=True)
    change_anchors = fields.Text("Change Anchors", readonly=True)
    reconciliation_position = fields.Text(
        "Full Synchronization Position", readonly=True)
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
    failures_count = fields.Function(
        fields.Integer("Failures"), 'get_failures_count')

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
                'last_changed_index', 'change_anchors',
                'reconciliation_position', 'synchronizations', 'last_run',
                'last_synchronization', 'synchronization_task',
                'reconciliation_task', 'notifications_task']:
            default.setdefault(name, None)
        return super().copy(servers, default=default)

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
        """Queue a run of each server.

        Parameters
        ----------
        servers : list of Server
        kind : {'incremental', 'full'}
        """
        for server in servers:
            cls.__queue__.run_synchronization([server], kind)

    @classmethod
    def _synchronize_in_turn(cls, servers, kind, name):
        "Queue a run of each server behind what somebody waits for"
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
        return [Synchronization.run(server, kind) for server in servers]

    @classmethod
    def synchronize_all(cls):
        "Queue an incremental run of every active server (scheduler)"
        cls._synchronize_in_turn(
            cls.search([]), 'incremental', 'synchronization_task')

    @classmethod
    def reconcile_all(cls):
        "Queue a full run of every active server (scheduler)"
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        Synchronization.clean()
        cls._synchronize_in_turn(
            cls.search([]), 'full', 'reconciliation_task')
