# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limit of full synchronizations

An archive may be too large to be compared in one night.  When the time is
over, the comparison pauses, and the next full run continues it.  Meanwhile
incremental runs read the change log: without a pause they would go on with
the comparison.
"""

import datetime as dt
import json

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval

from ..common.transaction import now

__all__ = ['Server', 'TimeOver', 'is_time_over', 'whole_percent']

# Seconds
MINUTE = 60


class TimeOver(Exception):
    "The time of a comparison is over"


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    reconciliation_minutes = fields.Integer(
        "Minutes per Full Synchronization",
        domain=['OR',
            ('reconciliation_minutes', '=', None),
            ('reconciliation_minutes', '>=', 1),
            ],
        help="A full synchronization pauses after this time, and the next "
        "one continues it. Leave it empty for no limit. The first "
        "synchronization of a server has none.")
    reconciliation_until = fields.DateTime(
        "Full Synchronization Until", readonly=True)
    reconciliation_paused_at = fields.DateTime(
        "Full Synchronization Paused At", readonly=True,
        states={'invisible': ~Bool(Eval('reconciliation_paused_at'))},
        help="Its time was over. The next full synchronization continues it.")
    reconciliation_progress = fields.Function(
        fields.Float(
            "Full Synchronization",
            states={
                'invisible': ~Bool(Eval('reconciliation_progress'))
                & ~Bool(Eval('reconciliation_paused_at')),
                },
            help="How much of the server the full synchronization that is "
            "under way has compared."),
        'get_reconciliation_progress')

    @classmethod
    def copy(cls, servers, default=None):
        default = default.copy() if default is not None else {}
        for name in ['reconciliation_until', 'reconciliation_paused_at']:
            default.setdefault(name, None)
        return super().copy(servers, default=default)

    @classmethod
    def get_reconciliation_progress(cls, servers, name):
        "Return numbers between 0 and 1; None if nothing is compared"
        positions = {
            s.id: json.loads(s.reconciliation_position)
            for s in servers if s.reconciliation_position}
        Part = Pool().get('gnuhealth.orthanc.synchronization.part')
        counts = Part.count_done(positions)
        values = dict.fromkeys(map(int, servers))
        for id_, position in positions.items():
            done, count = counts.get(id_, (0, 1))
            values[id_] = whole_percent(_progress(position, done / count))
        return values

    @classmethod
    def reconciliation_times(cls, server_id):
        """Return until when a full run that begins may compare.

        One that continues the run of a lost worker has what is left of its
        time.

        Parameters
        ----------
        server_id : int

        Returns
        -------
        dict
            For `write_progress`.
        """
        server = cls(server_id)
        until, minutes = None, server.reconciliation_minutes
        # Before the first one is done, there is nothing else to do
        if minutes and server.last_changed_index is not None and (
                server.last_changed_index >= 0):
            until = server.reconciliation_until
            if not until or until <= now() or server.reconciliation_paused_at:
                until = now() + dt.timedelta(seconds=minutes * MINUTE)
        return {
            'reconciliation_until': until, 'reconciliation_paused_at': None}

    @classmethod
    def pause_reconciliation(cls, server_id, run_id):
        """Leave the comparison to the next full run.

        Helpers store nothing more of what they have read: it would be older
        than what an incremental run stores meanwhile.

        Parameters
        ----------
        server_id, run_id : int
        """
        Part = Pool().get('gnuhealth.orthanc.synchronization.part')
        Part.move_counts(server_id, run_id, only_done=False)
        Part.release(server_id)
        cls.write_progress(
            server_id, reconciliation_until=None,
            reconciliation_paused_at=now())

    @classmethod
    def resume_reconciliation(cls, server_id):
        """Continue the comparison without a limit.

        Parameters
        ----------
        server_id : int
        """
        cls.write_progress(
            server_id, reconciliation_until=None,
            reconciliation_paused_at=None)


def is_time_over(server):
    "Return whether the comparison of a server, or of its row, has to pause"
    return bool(
        server.reconciliation_position and server.reconciliation_until
        and server.reconciliation_until <= now())


def whole_percent(share):
    "Return a share without the fractions of a percent that clients show"
    # Not less by what a float lacks
    return int(share * 100 + 1e-6) / 100


def _progress(position, share):
    """Return how much is compared.

    Parameters
    ----------
    position : dict
    share : float
        Of the parts of its level that are done.
    """
    studies, series = (
        position.get(name) or 0 for name in ['studies_count', 'series_count'])
    if position['level'] == 'study' and not position.get('lists_series', True):
        # Perhaps they need not be listed
        series = 0
    first = studies / ((studies + series) or 1)
    if position['level'] == 'study':
        return first * share
    return first + (1 - first) * share
