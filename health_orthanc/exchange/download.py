# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets by which a browser may download what a client has asked for.

Browsers do not know the session of the client.  A ticket is told once, is
good for one download within minutes, and is kept as a digest only.
"""

import datetime as dt
import hashlib
import secrets

from trytond.model import Index, ModelSQL, fields
from trytond.transaction import Transaction, without_check_access

from ..common.transaction import now

__all__ = ['Download']

VALID = dt.timedelta(minutes=5)


class Download(ModelSQL):
    "Download Ticket"
    __name__ = 'gnuhealth.imaging_orthanc.download'

    digest = fields.Char("Digest", required=True, strip=False)
    user = fields.Many2One(
        'res.user', "User", required=True, ondelete='CASCADE')
    resource = fields.Reference("Resource", [
            ('gnuhealth.imaging_orthanc.study', "Study"),
            ('gnuhealth.imaging_orthanc.study_series', "Series"),
            ], required=True)
    expires_at = fields.DateTime("Expires", required=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (table.digest, Index.Equality())))
        # Nobody has to do with it from outside
        cls.__rpc__.clear()

    @classmethod
    @without_check_access
    def issue(cls, record):
        "Return a ticket for the current user"
        cls.delete(cls.search([('expires_at', '<', now())]))
        ticket = secrets.token_urlsafe(32)
        cls.create([{
                    'digest': _digest(ticket),
                    'user': Transaction().user,
                    'resource': str(record),
                    'expires_at': now() + VALID,
                    }])
        return ticket

    @classmethod
    @without_check_access
    def redeem(cls, ticket):
        "Return user and resource of a ticket, which is good no more"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        found = cls.search([
                ('digest', '=', _digest(ticket)),
                ('expires_at', '>=', now()),
                ], limit=1)
        if not found:
            return None
        user, resource = found[0].user, found[0].resource
        cursor.execute(*table.delete(where=table.id == found[0].id))
        # Of two at once only one has it
        return (user, resource) if cursor.rowcount == 1 else None


def _digest(ticket):
    return hashlib.sha256(ticket.encode()).hexdigest()
