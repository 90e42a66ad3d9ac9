# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist settings and status of servers"""

import datetime as dt

from sql import Null

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access

from ..common.exceptions import (
    ServerDeleteError, ServerValidationError, describe)
from ..common.tasks import (
    have_workers, is_bulk, is_first_call, queue_once, without_task)

__all__ = ['Server']


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    worklist_api = fields.Boolean("Accepts Worklist Items", readonly=True)
    worklist_mode = fields.Selection([
            ('none', "Disabled"),
            ('rest', "REST API"),
            ], "Worklist", required=True, sort=False,
        states={
            'readonly': (
                ~Eval('worklist_api', False)
                & (Eval('worklist_mode') == 'none')),
            },
        help="How open steps are sent to the worklist of this server. "
        "Requires Orthanc 1.12.10 or later with the plugin orthanc-worklists.")
    placements = fields.One2Many(
        'gnuhealth.imaging.worklist.placement', 'server', "Worklist Items",
        readonly=True)
    # No other update is queued while this one waits
    worklist_task = fields.Integer("Worklist Task", readonly=True)
    worklist_started = fields.Timestamp("Worklist Started", readonly=True)
    last_worklist_update = fields.DateTime(
        "Last Worklist Update", readonly=True,
        help="The time of the last successful worklist update.")
    worklist_error_kind = fields.Char("Worklist Error Type", readonly=True)
    worklist_error_status = fields.Integer(
        "Worklist Error HTTP Status", readonly=True)
    worklist_error = fields.Function(
        fields.Text("Worklist Error"), 'get_worklist_error')
    worklist_count = fields.Function(
        fields.Integer("Steps on Worklist"), 'get_worklist_count')

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="worklist_error"]', 'states', {
                    'invisible': ~Bool(Eval('worklist_error_kind')),
                    }),
            ]

    @classmethod
    def info_values(cls, info):
        return {**super().info_values(info), 'worklist_api': info.worklists}

    @classmethod
    def write(cls, *args):
        super().write(*args)
        if any({'active', 'worklist_mode'} & v.keys() for v in args[1::2]):
            cls._update_worklists_later([
                    s for s in cls.browse(sum(args[::2], []))
                    if s.keeps_worklist or cls._has_entries(s)])

    @classmethod
    def validate_fields(cls, servers, field_names):
        super().validate_fields(servers, field_names)
        if not field_names or 'worklist_mode' in field_names:
            for server in servers:
                if server.worklist_mode == 'rest' and not server.worklist_api:
                    raise ServerValidationError(describe('no_worklists'))

    @classmethod
    def copy(cls, servers, default=None):
        default = default.copy() if default is not None else {}
        for name in [
                'worklist_api', 'placements', 'worklist_task',
                'worklist_started',
                'last_worklist_update', 'worklist_error_kind',
                'worklist_error_status']:
            default.setdefault(name, None)
        default.setdefault('worklist_mode', 'none')
        return super().copy(servers, default=default)

    def check_deletable(self):
        super().check_deletable()
        if self._has_entries(self):
            raise ServerDeleteError(gettext(
                    'health_orthanc.msg_server_delete_worklist',
                    server=self.rec_name))

    @classmethod
    def _is_needed(cls, server):
        return super()._is_needed(server) or cls._has_entries(server)

    @staticmethod
    def default_worklist_mode():
        return 'none'

    def get_worklist_error(self, name):
        if self.worklist_error_kind:
            return describe(
                self.worklist_error_kind,
                status=self.worklist_error_status or '')

    @classmethod
    def get_worklist_count(cls, servers, name):
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        return cls.count_by_server(
            Placement, servers, lambda table: table.orthanc_id != Null)

    @classmethod
    @without_check_access
    def _has_entries(cls, server):
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        return bool(Placement.search(
                [('server', '=', server.id)], limit=1, order=[]))

    @property
    def keeps_worklist(self):
        "Whether open steps are sent to the worklist of the server"
        return self.active and self.worklist_mode == 'rest'

    @classmethod
    def synchronize_worklists(cls):
        "Queue updates of the worklists of all active servers (scheduler)"
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        cls._update_worklists_later(cls.search(['OR',
                    ('worklist_mode', '!=', 'none'),
                    ('id', 'in', Placement.servers()),
                    ]))

    @classmethod
    @without_check_access
    def follow_orders(cls):
        """Queue updates of the worklists, because orders have changed.

        They are then some seconds behind, and not a minute.  Without workers
        nothing is queued: whoever has changed an order would wait for
        Orthanc.  Nor is it within `bulk_tasks`, as when images complete
        steps: the scheduler updates within a minute.

        The server is not written, unlike by `queue_once`: people who change
        orders at the same time would wait for each other.  A task that the
        scheduler has queued keeps others away while no worker runs.
        """
        if is_bulk() or not have_workers() or not is_first_call(
                'follow_orders'):
            return
        servers = cls.search([('worklist_mode', '=', 'rest')])
        for server in without_task(servers, 'worklist_task'):
            cls.__queue__.update_worklist([server])

    @classmethod
    def _update_worklists_later(cls, servers):
        asked_at = dt.datetime.now()
        queue_once(servers, 'worklist_task', lambda server:
            cls.__queue__.update_worklist([server], asked_at))

    @classmethod
    def update_worklist(cls, servers, asked_at=None):
        """Update the worklists of servers (queue).

        Parameters
        ----------
        servers : list of Server
        asked_at : datetime, optional
            When the update was queued.
        """
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        for server in servers:
            Placement.update_server(server, asked_at)
