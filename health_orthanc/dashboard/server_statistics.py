# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of servers"""

from sql.aggregate import Count
from sql.conditionals import Coalesce

from trytond.model import fields
from trytond.pool import Pool

from .statistics import StatisticsMixin, readable

__all__ = ['ServerLag']

SERVER = 'gnuhealth.orthanc.config'
NOTIFICATION = 'gnuhealth.orthanc.notification'
FAILURE = 'gnuhealth.orthanc.synchronization.failure'


class ServerLag(StatisticsMixin):
    "Work That Waits by Server"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.server'
    _counted_models = (SERVER, NOTIFICATION, FAILURE)

    server = fields.Char("Server")
    changes = fields.Integer(
        "Changes Not Read",
        help="Of the change log of Orthanc, at the last synchronization.")
    notifications = fields.Integer("Notifications Waiting")
    failures = fields.Integer("Failures")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('server', 'ASC')]

    @classmethod
    def table_query(cls):
        query, server = readable(
            Pool().get(SERVER), [('active', '=', True)])
        query.columns = cls._columns(
            id=server.id, server=server.label,
            changes=Coalesce(
                server.last_known_change - server.last_changed_index, 0),
            notifications=_waiting(NOTIFICATION, 'processed_at', server),
            failures=_waiting(FAILURE, 'resolved', server))
        return query


def _waiting(model, end, server):
    "Return the number of records of the server that have no end"
    query, table = readable(Pool().get(model), [(end, '=', None)])
    query.columns = [Count(table.id)]
    query.where &= table.server == server.id
    return query
