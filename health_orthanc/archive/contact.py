# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server and its plugin were last heard of

The state is kept in the database: all workers together log one line when a
server stops working, and one when it works again.
"""

import datetime as dt
import logging

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import without_check_access

from ..common.exceptions import describe
from ..common.transaction import in_transaction, now

__all__ = ['Server']

logger = logging.getLogger('trytond.modules.health_orthanc.server')

# Seconds for which a contact that was written counts as the last one
PRECISION = 60
# Errors of a call for a single resource that are about the server
_GENERAL = {
    'certificate', 'forbidden', 'invalid_address', 'invalid_certificate',
    'not_orthanc', 'plain_http', 'redirected', 'refused', 'secret', 'too_old',
    'unauthorized', 'unreachable'}


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    last_contact = fields.DateTime(
        "Last Contact", readonly=True,
        help="When the server last answered.")
    failing_since = fields.DateTime(
        "Failing Since", readonly=True,
        help="When the server stopped working.")
    failure_kind = fields.Char("Contact Error Type", readonly=True)
    contact_error = fields.Function(
        fields.Text("Contact Error"), 'get_contact_error')
    last_plugin_contact = fields.DateTime(
        "Last Plugin Contact", readonly=True,
        help="When the plugin in this Orthanc last sent a request.")

    @classmethod
    def copy(cls, servers, default=None):
        default = default.copy() if default is not None else {}
        for name in [
                'last_contact', 'failing_since', 'failure_kind',
                'last_plugin_contact']:
            default.setdefault(name, None)
        return super().copy(servers, default=default)

    def get_contact_error(self, name):
        kind = self.failure_kind or self.check_error_kind
        if kind:
            return describe(kind)

    @classmethod
    def record_contact(cls, server_id):
        """Record that a server works, and log it if it did not before.

        A separate transaction is used.

        Parameters
        ----------
        server_id : int
        """
        cls.log_recovery(
            server_id, in_transaction(cls.store_contact, server_id))

    @classmethod
    def record_failure(cls, server_id, kind, single=False):
        """Record that a server does not work, and log it if it did before.

        A separate transaction is used.

        Parameters
        ----------
        server_id : int
        kind : str
            An `OrthancError.kind` or ``'secret'``.
        single : bool
            Whether the call was for a single resource.  Then only errors that
            concern the server are recorded.
        """
        if not single or kind in _GENERAL:
            label = in_transaction(cls._store_failure, server_id, kind)
            cls._log_failure(server_id, label, kind)

    @classmethod
    def store_outcome(cls, server_id, kind):
        """Record the outcome of a call in the current transaction.

        Parameters
        ----------
        server_id : int
        kind : str or None
            The kind of the error, as in `record_failure`; None if the server
            works.
        """
        if kind:
            label = cls._store_failure(server_id, kind)
            cls._log_failure(server_id, label, kind)
        else:
            cls.log_recovery(server_id, cls.store_contact(server_id))

    @classmethod
    def store_contact(cls, server_id):
        """Record that a server works in the current transaction.

        Parameters
        ----------
        server_id : int

        Returns
        -------
        tuple or None
            The failure that has ended, for `log_recovery`.
        """
        server, = cls.browse([server_id])
        last, since = server.last_contact, server.failing_since
        if since is None and last and (
                now() - last < dt.timedelta(seconds=PRECISION)):
            return None
        cls.write_progress(
            server_id, last_contact=now(), failing_since=None,
            failure_kind=None)
        return (server.label, since) if since else None

    @classmethod
    def _store_failure(cls, server_id, kind):
        "Return the label if the server worked before, else None"
        server, = cls.browse([server_id])
        since = server.failing_since
        cls.write_progress(
            server_id, failing_since=since or now(), failure_kind=kind)
        return server.label if since is None else None

    # Without options trytond logs nothing below ERROR.  Whoever has read
    # that a server stopped working must read that it works again.

    @staticmethod
    def log_recovery(server_id, recovered):
        """Log that a server works again.

        Parameters
        ----------
        server_id : int
        recovered : tuple or None
            From `store_contact`.
        """
        if recovered:
            logger.error(
                "Orthanc server %s (%s) works again; it had failed since %s",
                server_id, *recovered)

    @staticmethod
    def _log_failure(server_id, label, kind):
        if label:
            logger.error(
                "Orthanc server %s (%s) stopped working: %s", server_id,
                label, kind)

    @classmethod
    @without_check_access
    def record_plugin(cls, user_id):
        """Record that a plugin has sent a request.

        Parameters
        ----------
        user_id : int
            The user of the plugin.
        """
        login = Pool().get('res.user')(user_id).login
        for server in cls.search([], order=[]):
            if server.plugin_login == login:
                cls.write_progress(server.id, last_plugin_contact=now())
