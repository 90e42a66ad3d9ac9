# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that open one study in a viewer of Orthanc

Such a viewer talks to Orthanc, whose authorization plugin asks GNU Health what
the token allows.  It allows what its user may see at that moment, and ends
with the session of the client.  Only its digest is stored.
"""

import datetime as dt
import secrets
from dataclasses import dataclass

from sql import Null

from trytond.config import config
from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import record_events
from ..common.rows import fetch_rows
from ..common.transaction import now
from .rights import check_viewable
from .session import current_session, digest, find_live

__all__ = ['LiveToken', 'ViewerToken']

_HOURS = 8
_MOST_HOURS = 7 * 24
# For how long it is said of a token that it has ended
_KEPT = dt.timedelta(days=1)


@dataclass(frozen=True)
class LiveToken:
    """A token that has not ended.

    Attributes
    ----------
    id, user, study, session : int
        The ids.
    expires_at : datetime
    """
    id: int
    user: int
    study: int
    session: int
    expires_at: dt.datetime


class ViewerToken(ModelSQL):
    "Viewer Token"
    __name__ = 'gnuhealth.imaging_orthanc.viewer_token'

    user = fields.Many2One(
        'res.user', "User", required=True, ondelete='CASCADE')
    # It ends with it: at logout, deactivation and change of the password
    session = fields.Many2One(
        'ir.session', "Session", required=True,
        ondelete='CASCADE')
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True,
        ondelete='CASCADE')
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    digest = fields.Char(
        "Digest", required=True, strip=False)
    made_at = fields.DateTime("Made", required=True)
    expires_at = fields.DateTime("Valid Until", required=True)
    revoked_at = fields.DateTime("Revoked")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.digest, Index.Equality())),
                Index(table, (table.expires_at, Index.Range())),
                })
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    @without_check_access
    def issue(cls, study, viewer):
        """Return a new token that opens a study in a viewer.

        The current user must have sent the request with the session of a
        client.

        Parameters
        ----------
        study : Study
        viewer : str
            Its name, for the audit trail.

        Returns
        -------
        str

        Raises
        ------
        AccessError
        QuarantineError
        UnconfirmedStudyWarning
        OrthancUserError
            As `check_viewable`, or the request was sent without a session.
        """
        check_viewable([study])
        return cls._issue(
            study, Transaction().user, current_session().id,
            now() + _validity(), viewer)

    @classmethod
    @without_check_access
    def renew(cls, live, until):
        """Return a further token for the same person and study.

        Parameters
        ----------
        live : LiveToken
        until : datetime or None
            It ends then, but not later than the first one.

        Returns
        -------
        str
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        until = min(filter(None, [until, live.expires_at]))
        return cls._issue(
            Study(live.study), live.user, live.session, until,
            f'of token {live.id}')

    @classmethod
    def _issue(cls, study, user, session, until, detail):
        token = secrets.token_urlsafe(32)
        record, = cls.create([{
                    'user': user,
                    'session': session,
                    'server': study.server.id,
                    'study': study.id,
                    'digest': digest(token),
                    'made_at': now(),
                    'expires_at': until,
                    }])
        record_events(study_events(
                'token', [study], user_id=user,
                detail=f'token {record.id}, {detail}'))
        return token

    @classmethod
    def find_live(cls, token, server):
        """Return a token of a server, if it has not ended.

        Parameters
        ----------
        token : str
            Any text.
        server : int
            The id.

        Returns
        -------
        LiveToken or None
        """
        if not token or not token.isascii():
            return None
        table = cls.__table__()
        found = find_live(
            table,
            (table.digest == digest(token))
            & (table.server == server)
            & (table.revoked_at == Null)
            & (table.expires_at > now()),
            table.id, table.user, table.study, table.session,
            table.expires_at)
        if found is None:
            return None
        return LiveToken(*found)

    @classmethod
    def is_known(cls, token, server):
        """Return whether there was such a token of a server.

        Parameters
        ----------
        token : str
        server : int

        Returns
        -------
        bool
        """
        if not token or not token.isascii():
            return False
        table = cls.__table__()
        return bool(fetch_rows(table.select(
                    table.id, where=(table.digest == digest(token))
                    & (table.server == server))))

    @classmethod
    @without_check_access
    def revoke(cls, servers):
        """Let the tokens of servers end now.

        Parameters
        ----------
        servers : list of Server
        """
        cls.write(cls.search([
                    ('server', 'in', [s.id for s in servers]),
                    ('revoked_at', '=', None),
                    ]), {'revoked_at': now()})

    @classmethod
    @without_check_access
    def delete_expired(cls):
        "Delete tokens that have ended a while ago (scheduled)"
        before = now() - _KEPT
        tokens = cls.search([
                ['OR',
                    ('expires_at', '<', before),
                    ('revoked_at', '<', before),
                    ],
                ])
        for sub_tokens in grouped_slice(tokens):
            cls.delete(list(sub_tokens))


def _validity():
    hours = config.getint(
        'health_orthanc', 'viewer_token_hours', default=_HOURS)
    return dt.timedelta(hours=min(max(hours, 1), _MOST_HOURS))
