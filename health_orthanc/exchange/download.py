# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets for downloads by the user's browser

The browser does not have the session of the client.  A ticket is valid for one
download within a few minutes.  Only its digest is stored.
"""

import datetime as dt
import hashlib
import secrets

from trytond.model import Index, ModelSQL, fields
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import record_events
from ..common.transaction import now
from .deletion import LEVELS, get_study

__all__ = ['Download']

VALID = dt.timedelta(minutes=5)


class Download(ModelSQL):
    "Download Ticket"
    __name__ = 'gnuhealth.imaging_orthanc.download'
    _kept_patients = frozenset({'resource'})

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
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    @without_check_access
    def issue(cls, record):
        """Return a new ticket for the current user.

        Parameters
        ----------
        record : Study or Series

        Returns
        -------
        str
        """
        cls.delete(cls.search([('expires_at', '<', now())]))
        ticket = secrets.token_urlsafe(32)
        cls.create([{
                    'digest': _digest(ticket),
                    'user': Transaction().user,
                    'resource': str(record),
                    'expires_at': now() + VALID,
                    }])
        record_events(study_events(
                'token', [get_study(record.__class__(record.id))],
                detail=f'download, {LEVELS[record.__name__]}'))
        return ticket

    @classmethod
    @without_check_access
    def redeem(cls, ticket):
        """Invalidate a ticket, and return its user and record.

        Parameters
        ----------
        ticket : str

        Returns
        -------
        tuple or None
            None if the ticket is not valid.
        """
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
        # Of two concurrent requests only one deletes the row
        return (user, resource) if cursor.rowcount == 1 else None


def _digest(ticket):
    return hashlib.sha256(ticket.encode()).hexdigest()
