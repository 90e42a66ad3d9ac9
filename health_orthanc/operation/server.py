# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of servers on the page Health"""

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.transaction import without_check_access

from .figures import NOTIFICATION, waiting

__all__ = ['Server', 'next_run']

SYNCHRONIZE = 'gnuhealth.orthanc.config|synchronize_all'


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    next_run = fields.Function(
        fields.DateTime(
            "Next Run", help="When the scheduler next synchronizes."),
        'get_next_run')
    notifications_waiting = fields.Function(
        fields.Integer("Notifications Waiting"), 'get_notifications')
    oldest_notification = fields.Function(
        fields.DateTime(
            "Oldest Notification",
            help="When the oldest notification that waits was received."),
        'get_notifications')

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Bool(Eval('copy_notice')), 'warning',
                    If(Bool(Eval('failing_since'))
                        | Bool(Eval('check_error_kind')), 'danger', '')),
                ['copy_notice', 'failing_since', 'check_error_kind']),
            ]

    @classmethod
    def get_next_run(cls, servers, name):
        moment = next_run(SYNCHRONIZE)
        return dict.fromkeys(map(int, servers), moment)

    @classmethod
    def get_notifications(cls, servers, names):
        found = waiting(NOTIFICATION, 'processed_at', 'received_at')
        values = [found.get(s.id, (0, None)) for s in servers]
        return {
            name: {s.id: v[name == 'oldest_notification']
                for s, v in zip(servers, values)}
            for name in names}


@without_check_access
def next_run(method):
    """Return when the scheduler next runs a job, None if it is not active.

    Parameters
    ----------
    method : str
        Of the job.

    Returns
    -------
    datetime or None
    """
    Cron = Pool().get('ir.cron')
    return min(
        (c.next_call for c in Cron.search([('method', '=', method)])
            if c.next_call), default=None)
