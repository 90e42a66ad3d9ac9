# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of the viewer in the user's browser

The browser does not have the session of the client.  *View* issues a ticket
that is valid once.  The page that it opens exchanges it for a cookie, which is
valid as long as the session of the client.  Only digests of both are stored.
"""

import datetime as dt
import hashlib
import json
import secrets
from urllib.parse import quote

from sql import Null

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import AuditEvent, record_event, record_events
from ..common.client_session import get_session_key
from ..common.exceptions import OrthancUserError
from ..common.transaction import now
from .rights import check_viewable
from .session_lookup import fetch_one

__all__ = [
    'COOKIE', 'ViewerSession', 'current_session', 'cookie_path', 'digest',
    'find_live', 'max_age', 'viewer_path']

COOKIE = 'health_orthanc_viewer'
VALID = dt.timedelta(minutes=2)
# Studies that a session remembers as opened, the last ones
_MOST_OPENED = 100


class ViewerSession(ModelSQL):
    "Viewer Session"
    __name__ = 'gnuhealth.imaging_orthanc.viewer_session'
    # The text of the statement of `look_up`
    _lookup = None

    user = fields.Many2One(
        'res.user', "User", required=True, ondelete='CASCADE')
    # Ends with it: at logout, deactivation and change of the password
    session = fields.Many2One(
        'ir.session', "Session", required=True, ondelete='CASCADE')
    ticket_digest = fields.Char("Ticket Digest", strip=False)
    cookie_digest = fields.Char("Cookie Digest", strip=False)
    expires_at = fields.DateTime(
        "Expires", required=True, help="Until when the ticket is valid.")
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True,
        ondelete='CASCADE')
    opened = fields.Text(
        "Opened Studies", required=True,
        help="Their ids as JSON, the last ones first.")
    first_series = fields.Char(
        "First Series", strip=False,
        help="UID of the series that the viewer shows first.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.update({
                Index(table, (table.ticket_digest, Index.Equality())),
                Index(table, (table.cookie_digest, Index.Equality())),
                Index(table, (table.session, Index.Equality())),
                })
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    @without_check_access
    def issue_ticket(cls, studies, first_series=None):
        """Return a new ticket that opens studies in the viewer.

        The current user must have sent the request with the session of a
        client.

        Parameters
        ----------
        studies : list of Study
            All of one server.
        first_series : Series, optional
            What the viewer shows first; by default it chooses itself.

        Returns
        -------
        str
            Valid once, for two minutes.

        Raises
        ------
        AccessError
            The user may not read the studies.
        QuarantineError
        UnconfirmedStudyWarning
            The images may belong to somebody else.
        OrthancUserError
            There are no images to see, or they are on several servers.
        """
        check_viewable(studies)
        session = current_session()
        ticket = secrets.token_urlsafe(32)
        cls.create([{
                    'user': Transaction().user,
                    'session': session.id,
                    'ticket_digest': digest(ticket),
                    'expires_at': now() + VALID,
                    'server': studies[0].server.id,
                    'opened': json.dumps([s.id for s in studies]),
                    'first_series': first_series and first_series.series_UID,
                    }])
        record_events(study_events('token', studies, detail='viewer'))
        return ticket

    @classmethod
    @without_check_access
    def open_ticket(cls, ticket, cookie=None):
        """Exchange a ticket for a cookie.

        Parameters
        ----------
        ticket : str
        cookie : str, optional
            The one that the browser has. If it is of the same session, what
            was opened with it stays known.

        Returns
        -------
        tuple of str and dict, or None
            Cookie, and the ``server`` (id), ``studies`` (Study Instance
            UIDs) and ``series`` (Series Instance UID of what is shown first,
            or None). None if the ticket is not valid any more.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table = cls.__table__()
        found = cls._find(
            (table.ticket_digest == digest(ticket))
            & (table.expires_at >= now()), table)
        if found is None:
            record_event(AuditEvent('token', 'refused', detail='viewer'))
            return None
        id_, _ = found
        value = secrets.token_urlsafe(32)
        cursor = Transaction().connection.cursor()
        # Of two concurrent requests only one finds the ticket
        cursor.execute(*table.update(
                [table.ticket_digest, table.cookie_digest],
                [Null, digest(value)],
                where=(table.id == id_)
                & (table.ticket_digest == digest(ticket))))
        if cursor.rowcount != 1:
            return None
        record = cls(id_)
        studies = Study.search([('id', 'in', record.opened_ids)])
        studies.sort(key=lambda s: record.opened_ids.index(s.id))
        record._take_over(cls.find(cookie) if cookie else None)
        return value, {
            'server': record.server.id,
            'studies': [s.study_instance_UID for s in studies],
            'series': record.first_series,
            }

    @property
    def opened_ids(self):
        "The ids of the studies that were opened"
        return json.loads(self.opened)

    def _take_over(self, former):
        "Replace the session that the browser had before"
        if not former or former.session != self.session:
            return
        ids = list(dict.fromkeys(self.opened_ids + former.opened_ids))
        self.opened = json.dumps(ids[:_MOST_OPENED])
        self.save()
        self.__class__.delete([former])

    @classmethod
    def check(cls, cookie):
        """Return the user of a cookie.

        Parameters
        ----------
        cookie : str

        Returns
        -------
        int or None
            The id; None if the cookie, or the session of the client that it
            comes from, is not valid any more.
        """
        found = cls.identify(cookie)
        return found[1] if found else None

    @classmethod
    def find(cls, cookie):
        """Return the session of a cookie.

        Parameters
        ----------
        cookie : str

        Returns
        -------
        ViewerSession or None
        """
        found = cls.identify(cookie)
        return cls(found[0]) if found else None

    @classmethod
    def identify(cls, cookie):
        """Return the session of a cookie and its user, with one statement.

        Parameters
        ----------
        cookie : str

        Returns
        -------
        tuple of int, or None
            The ids.
        """
        table = cls.__table__()
        return cls._find(table.cookie_digest == digest(cookie), table)

    @classmethod
    def look_up(cls, database_name, cookie):
        """Do as `identify`, without a transaction.

        Parameters
        ----------
        database_name, cookie : str

        Returns
        -------
        tuple of int, or None
        """
        if cls._lookup is None:
            with Transaction().start(database_name, 0, readonly=True):
                table = cls.__table__()
                cls._lookup, _ = _select_live(
                    table, table.cookie_digest == '', table.id, table.user)
        return fetch_one(
            database_name, cls._lookup, (digest(cookie), now() - max_age()))

    @classmethod
    def _find(cls, where, table):
        "Return ids of session and user, if it has not ended"
        return find_live(table, where, table.id, table.user)

    @classmethod
    @without_check_access
    def delete_expired(cls):
        "Delete unused tickets and sessions that have ended (scheduled)"
        sessions = cls.search([
                ['OR',
                    [
                        ('cookie_digest', '=', None),
                        ('expires_at', '<', now()),
                        ],
                    ('session.create_date', '<=', now() - max_age()),
                    ],
                ])
        for sub_sessions in grouped_slice(sessions):
            cls.delete(list(sub_sessions))


@without_check_access
def current_session():
    """Return the session of the client, which must be the user's.

    Returns
    -------
    ir.session

    Raises
    ------
    OrthancUserError
        The request was sent without one.
    """
    Session = Pool().get('ir.session')
    key = get_session_key()
    found = Session.search([
            ('key', '=', key),
            ('create_uid', '=', Transaction().user),
            ], limit=1) if key else []
    if not found:
        raise OrthancUserError(
            gettext('health_orthanc.msg_viewing_no_session'))
    return found[0]


def find_live(table, where, *columns):
    """Return columns of the row whose user is still logged in.

    Parameters
    ----------
    table : Table
        Of a model with ``user`` and ``session``.
    where : Expression
    columns : Column

    Returns
    -------
    tuple or None
        None also if the session of the client has ended.
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*_select_live(table, where, *columns))
    return cursor.fetchone()


def _select_live(table, where, *columns):
    pool = Pool()
    session = pool.get('ir.session').__table__()
    user = pool.get('res.user').__table__()
    return table.join(
        session, condition=table.session == session.id).join(
        user, condition=table.user == user.id).select(
        *columns, where=where
        & (session.create_uid == table.user)
        & (session.create_date > now() - max_age())
        & user.active)


def digest(secret):
    "Return the digest of a random secret, in hexadecimal digits"
    return hashlib.sha256(secret.encode()).hexdigest()


def max_age():
    "Return for how long sessions of clients are valid"
    return dt.timedelta(seconds=config.getint('session', 'max_age'))


def cookie_path(database):
    """Return the path below which the browser sends the cookie.

    Parameters
    ----------
    database : str
        The name.

    Returns
    -------
    str
    """
    return f"/{quote(database, safe='')}/orthanc/"


def viewer_path(database, server, uids, series=None):
    """Return the path of the viewer with studies.

    Parameters
    ----------
    database : str
        The name.
    server : int
        The id.
    uids : list of str
        Study Instance UIDs.
    series : str, optional
        Series Instance UID of what is shown first.

    Returns
    -------
    str
    """
    path = (
        f'{cookie_path(database)}viewer/{server}/viewer'
        f"?StudyInstanceUIDs={','.join(uids)}")
    if series:
        path += f"&initialSeriesInstanceUID={quote(series, safe='')}"
    return path
