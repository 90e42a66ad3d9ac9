# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings: what has not worked for its time"""

import datetime as dt
import logging
from collections import defaultdict
from email.message import EmailMessage

from sql import Null

from trytond.bus import notify
from trytond.config import config
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.sendmail import sendmail_transactional
from trytond.transaction import Transaction, without_check_access

from ..common.access import ReadonlyMixin
from ..common.application import MODULE
from ..common.transaction import now

__all__ = ['OperationWarning']

logger = logging.getLogger('trytond.modules.health_orthanc.operation')

# Days after which a warning that has ended is deleted
KEEP = 90
# Those that are in the log from the beginning
_LOGGED = {'contact', 'worklist'}


class OperationWarning(ReadonlyMixin, ModelSQL, ModelView):
    "Imaging Warning"
    __name__ = 'gnuhealth.orthanc.operation.warning'

    kind = fields.Selection([
            ('contact', "Server Not Working"),
            ('synchronization', "No Synchronization"),
            ('notifications', "Notifications Waiting"),
            ('worklist', "Worklist Not Updated"),
            ('plugin', "Plugin Silent"),
            ('queue', "Tasks Waiting"),
            ('scheduler', "Scheduler Not Running"),
            ('audit', "Audit Messages Waiting"),
            ], "Type", required=True, readonly=True, sort=False)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", readonly=True,
        ondelete='CASCADE')
    since = fields.DateTime("Since", required=True, readonly=True)
    noticed_at = fields.DateTime("Noticed At", required=True, readonly=True)
    ended_at = fields.DateTime("Ended At", readonly=True)
    message = fields.Function(fields.Text("Message"), 'get_message')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(table, (table.kind, Index.Equality()),
                where=table.ended_at == Null))
        cls._order = [('ended_at', 'DESC NULLS FIRST'), ('id', 'DESC')]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Bool(Eval('ended_at')), 'muted', 'danger'), ['ended_at']),
            ]

    def get_rec_name(self, name):
        return f'{self.kind_string} {self.server.rec_name}' if (
            self.server) else self.kind_string

    kind_string = kind.translated('kind')

    def get_message(self, name):
        "Return what does not work, and what to do"
        server = self.server
        text = gettext(
            f'health_orthanc.msg_warning_{self.kind}',
            server=server.rec_name if server else '')
        reasons = {
            'contact': lambda: server.contact_error,
            'synchronization': lambda: server.last_error,
            'worklist': lambda: server.worklist_error,
            }
        reason = self.kind in reasons and not self.ended_at and (
            reasons[self.kind]())
        return f'{text}\n{reason}' if reason else text

    @classmethod
    @without_check_access
    def update(cls, troubles, kinds=None):
        """Open a warning for each new trouble, and end those that are over.

        Administrators are warned once of each.

        Parameters
        ----------
        troubles : dict of datetime
            Since when, by kind and id of the server (None for the whole).
        kinds : set of str, optional
            Those that were looked for; all by default.
        """
        opened = {
            (w.kind, w.server.id if w.server else None): w
            for w in cls.search([('ended_at', '=', None)])
            if kinds is None or w.kind in kinds}
        ended = [w for key, w in opened.items() if key not in troubles]
        fresh = cls.create([{
                    'kind': kind,
                    'server': server,
                    'since': since,
                    'noticed_at': now(),
                    } for (kind, server), since in troubles.items()
                if (kind, server) not in opened])
        cls.write(ended, {'ended_at': now()})
        for warning in fresh + ended:
            warning._log()
        if fresh or ended:
            cls._tell(fresh, ended)

    def _log(self):
        if self.kind in _LOGGED:
            return
        server = f' of Orthanc server {self.server.id}' if self.server else ''
        # Without options trytond logs nothing below ERROR
        if self.ended_at:
            logger.error("Warning ended: %s%s", self.kind, server)
        else:
            logger.error(
                "Warning: %s%s since %s", self.kind, server, self.since)

    @classmethod
    def _tell(cls, fresh, ended):
        "Tell the administrators who are logged in, and by e-mail"
        languages = defaultdict(list)
        for user in cls._administrators():
            languages[user.language.code if user.language else None].append(
                user)
        for language, users in languages.items():
            with Transaction().set_context(language=language):
                texts = [w.message for w in cls.browse(fresh)]
                for text in texts:
                    for user in users:
                        notify(
                            gettext('health_orthanc.msg_warning_title'), text,
                            user=user.id)
        cls._send_mail(fresh, ended)

    @classmethod
    def _administrators(cls):
        pool = Pool()
        group = pool.get('ir.model.data').get_id(
            MODULE, 'group_imaging_orthanc_admin')
        return pool.get('res.user').search([('groups', '=', group)])

    @classmethod
    def _send_mail(cls, fresh, ended):
        pool = Pool()
        recipients = pool.get('gnuhealth.orthanc.operation').get_recipients()
        sender = config.get('email', 'from')
        if not recipients or not sender:
            return
        language = pool.get('ir.configuration').get_language()
        with Transaction().set_context(language=language):
            message = EmailMessage()
            message['From'] = sender
            message['To'] = ', '.join(recipients)
            message['Subject'] = gettext('health_orthanc.msg_warning_title')
            message.set_content(cls._mail_text(
                    cls.browse(fresh), cls.browse(ended)))
        sendmail_transactional(sender, recipients, message)

    @classmethod
    def _mail_text(cls, fresh, ended):
        lines = [f'{w.since} UTC: {w.message}' for w in fresh]
        lines += [
            gettext('health_orthanc.msg_warning_ended', warning=w.rec_name)
            for w in ended]
        return '\n\n'.join(lines) + '\n'

    @classmethod
    @without_check_access
    def clean(cls):
        "Delete warnings that ended long ago"
        cls.delete(cls.search([
                    ('ended_at', '<', now() - dt.timedelta(days=KEEP)),
                    ]))
