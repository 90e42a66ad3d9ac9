# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of the synchronization: what could not be stored"""

from sql import Null
from sql.functions import CurrentTimestamp

from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.access import GuardedMixin
from ..common.transaction import now

__all__ = ['Failure']

LEVELS = [
    ('patient', "Patient"),
    ('study', "Study"),
    ('series', "Series"),
    ('instance', "Instance"),
    ]


class Failure(GuardedMixin, ModelSQL, ModelView):
    "Orthanc Synchronization Failure"
    __name__ = 'gnuhealth.orthanc.synchronization.failure'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    run = fields.Many2One(
        'gnuhealth.orthanc.synchronization', "Last Run", readonly=True,
        ondelete='SET NULL')
    level = fields.Selection(
        LEVELS, "Level", required=True, readonly=True, sort=False)
    orthanc_UID = fields.Char("Orthanc ID", readonly=True)
    reason = fields.Char(
        "Error Type", readonly=True, help="The type of the last error.")
    first_seen = fields.DateTime("First Seen", readonly=True)
    last_seen = fields.DateTime("Last Seen", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    resolved = fields.DateTime(
        "Resolved", readonly=True,
        help="The time when the resource was imported after the failure.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(table, (table.server, Index.Equality()),
                where=table.resolved == Null))
        cls._order = [('last_seen', 'DESC'), ('id', 'DESC')]

    def get_rec_name(self, name):
        return f'{self.level_string} {self.orthanc_UID}'

    level_string = level.translated('level')

    @classmethod
    def record(cls, server_id, run_id, level, orthanc_id, error):
        """Record that a resource could not be stored.

        Parameters
        ----------
        server_id : int
        run_id : int or None
        level : str
            ``'patient'``, ``'study'``, ``'series'`` or ``'instance'``.
        orthanc_id : str
        error : Exception
        """
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        Synchronization.add_counts(run_id, {'failures_count': 1})
        known = cls.search([
                ('server', '=', server_id),
                ('orthanc_UID', '=', orthanc_id),
                ('resolved', '=', None),
                ], limit=1)
        values = {
            'run': run_id,
            'reason': type(error).__name__,
            'last_seen': now(),
            }
        if known:
            failure, = known
            cls.write(known, {**values, 'attempts': failure.attempts + 1})
        else:
            cls.create([{
                        **values,
                        'server': server_id,
                        'level': level,
                        'orthanc_UID': orthanc_id,
                        'first_seen': now(),
                        'attempts': 1,
                        }])

    @classmethod
    def resolve(cls, server_id, orthanc_ids):
        "Mark the failures of resources of a server as resolved"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.resolved], [CurrentTimestamp()],
                where=(table.server == server_id)
                & table.orthanc_UID.in_(list(orthanc_ids))
                & (table.resolved == Null)))
