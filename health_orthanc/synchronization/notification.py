# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications of the plugins inside Orthanc"""

import datetime as dt
import json
import logging
import uuid

from sql import Null

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..common.diagnostics import log_unexpected
from ..common.exceptions import describe
from ..common.transaction import in_transaction, now
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from ..linking.link import match_notified, match_received
from .engine import Engine

__all__ = ['Notification', 'NotificationError']

logger = logging.getLogger('trytond.modules.health_orthanc.notification')

# Days after which processed notifications are deleted
KEEP = 7
# Seconds after the last uploaded file of a study
_PAUSE = 60
# Minutes between the attempts of the scheduler; the pause doubles
_RETRY, _LONGEST_RETRY = 1, 60
# Minutes that a task may wait before the scheduler queues another one
_QUEUED = 5
_TEXT_LIMIT = 256
# Studies that get their key image after a notification
KEY_IMAGES_LIMIT = 3


class NotificationError(ValueError):
    "The content of a notification is not valid"


class Notification(GuardedMixin, ModelSQL, ModelView):
    "Orthanc Notification"
    __name__ = 'gnuhealth.orthanc.notification'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    event = fields.Char(
        "Event", required=True, readonly=True,
        help="Identifier assigned by the plugin. A notification sent twice is "
        "recorded once.")
    kind = fields.Selection([
            ('study', "Study"),
            ('deleted', "Deleted Study"),
            ('upload', "Uploaded Study"),
            ], "Type", required=True, readonly=True, sort=False)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    facts = fields.Text("Data", readonly=True, strip=False)
    received_at = fields.DateTime("Received At", required=True, readonly=True)
    processed_at = fields.DateTime("Processed At", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    next_attempt = fields.DateTime("Next Attempt", readonly=True)
    error_kind = fields.Char("Error Type", readonly=True)
    error = fields.Function(fields.Text("Error"), 'get_error')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('event_unique', Unique(table, table.server, table.event),
                'health_orthanc.msg_notification_event_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.event, Index.Equality())),
                Index(
                    table, (table.server, Index.Equality()),
                    where=table.processed_at == Null),
                })
        cls._order = [('id', 'DESC')]

    @staticmethod
    def default_attempts():
        return 0

    def get_error(self, name):
        if self.error_kind:
            return describe(self.error_kind)

    # Receiving

    @classmethod
    @without_check_access
    def receive(cls, content, user_id):
        """Store notifications of a plugin, and queue their processing.

        Parameters
        ----------
        content : dict
            ``server``, and ``events`` of ``event``, ``kind``, ``study`` and
            ``facts``.
        user_id : int
            The plugin's user, who may only notify of its own server.

        Returns
        -------
        list of str
            The events that the plugin need not send again.

        Raises
        ------
        NotificationError
        """
        server = cls._server(content, user_id)
        events = [cls._parse(server, event) for event in _events(content)]
        known = {
            n.event for n in cls.search([
                    ('server', '=', server.id),
                    ('event', 'in', [values['event'] for values in events]),
                    ])}
        # An event may be sent twice, in one request or in several
        fresh = {
            values['event']: values for values in events
            if values['event'] not in known}
        notifications = cls.create(list(fresh.values()))
        server.write_progress(server.id, last_notification=now())
        for notification in notifications:
            cls.__queue__.process([notification])
        return [values['event'] for values in events]

    @classmethod
    def _server(cls, content, user_id):
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        user = pool.get('res.user')(user_id)
        identifier = content.get('server') if isinstance(
            content, dict) else None
        servers = Server.search([('identifier', '=', identifier)]) if (
            isinstance(identifier, str) and identifier) else []
        if len(servers) != 1 or servers[0].plugin_login != user.login:
            raise NotificationError("unknown server")
        return servers[0]

    @classmethod
    def _parse(cls, server, event):
        facts = event.get('facts')
        if event.get('kind') not in {'study', 'deleted'}:
            raise NotificationError("unknown kind of event")
        for name in ['event', 'study']:
            text = event.get(name)
            if not isinstance(text, str) or not 0 < len(text) <= _TEXT_LIMIT:
                raise NotificationError(f"no {name}")
        if event['kind'] == 'study' and not isinstance(facts, dict):
            raise NotificationError("no facts")
        return {
            'server': server.id,
            'event': event['event'],
            'kind': event['kind'],
            'orthanc_UID': event['study'],
            'facts': json.dumps(facts) if facts else None,
            'received_at': now(),
            }

    @classmethod
    @without_check_access
    def schedule_uploaded(cls, server_id, orthanc_ids):
        """Schedule the synchronization of studies after their last file.

        Each further call for a study postpones it.

        Parameters
        ----------
        server_id : int
        orthanc_ids : iterable of str
        """
        moment = now() + dt.timedelta(seconds=_PAUSE)
        waiting = cls.search([
                ('server', '=', server_id),
                ('kind', '=', 'upload'),
                ('processed_at', '=', None),
                ('orthanc_UID', 'in', list(orthanc_ids)),
                ])
        cls.write(waiting, {'next_attempt': moment})
        known = {n.orthanc_UID for n in waiting}
        cls.create([{
                    'server': server_id,
                    'event': f'upload-{uuid.uuid4().hex}',
                    'kind': 'upload',
                    'orthanc_UID': id_,
                    'received_at': now(),
                    'next_attempt': moment,
                    } for id_ in orthanc_ids if id_ not in known])

    # Processing

    @classmethod
    def process(cls, notifications):
        "Synchronize the studies, each in separate transactions (queue)"
        for id_ in [n.id for n in notifications]:
            cls._process(id_)

    @classmethod
    def process_pending(cls):
        "Queue the notifications that are due (scheduler)"
        cls.clean()
        pending = cls.search([
                ('processed_at', '=', None),
                ['OR',
                    ('next_attempt', '=', None),
                    ('next_attempt', '<=', now())],
                ('received_at', '<', now() - dt.timedelta(minutes=_RETRY)),
                ], order=[('id', 'ASC')])
        # Without a worker the tasks must not accumulate
        cls.write(pending, {
                'next_attempt': now() + dt.timedelta(minutes=_QUEUED)})
        for notification in pending:
            cls.__queue__.process([notification])

    @classmethod
    def _process(cls, id_):
        found = in_transaction(cls._prepare, id_)
        if not found:
            return
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Synchronization = pool.get('gnuhealth.orthanc.synchronization')
        server_id, orthanc_id, client, with_instances = found
        values = {'processed_at': now(), 'error_kind': None}
        try:
            with client:
                engine = Engine(server_id, None, client, with_instances)
                engine.study(orthanc_id)
                in_transaction(cls._match, id_)
                Synchronization.follow_up(server_id, client, KEY_IMAGES_LIMIT)
            Server.record_contact(server_id)
        except OrthancError as error:
            values = {'error_kind': error.kind}
            Server.record_failure(server_id, error.kind, single=True)
        except SecretUnavailable:
            values = {'error_kind': 'secret'}
            Server.record_failure(server_id, 'secret')
        except Exception as error:
            # The scheduler tries again; other notifications continue
            log_unexpected(
                logger, error, "Orthanc server %s: notification %s",
                server_id, id_)
            values = {'error_kind': 'internal'}
        in_transaction(cls._record_outcome, id_, values)

    @classmethod
    def _prepare(cls, id_):
        "Return the data to process a notification, None if nothing is to do"
        notification = cls(id_)
        if notification.processed_at:
            return None
        if cls._is_superseded(notification):
            cls.write([notification], {'processed_at': now()})
            return None
        server = notification.server
        return (server.id, notification.orthanc_UID, server.get_client(),
            server.instances_mode == 'always')

    @classmethod
    def _is_superseded(cls, notification):
        "Return whether the plugin has sent a later one for the same study"
        return bool(cls.search([
                    ('server', '=', notification.server.id),
                    ('orthanc_UID', '=', notification.orthanc_UID),
                    ('id', '>', notification.id),
                    ('kind', '!=', 'upload'),
                    ], limit=1, order=[]))

    @classmethod
    def _match(cls, id_):
        notification = cls(id_)
        if notification.kind == 'upload':
            match_received(
                notification.server.id, [notification.orthanc_UID])
        # Another worker may have processed a later notification
        elif notification.kind == 'study' and not cls._is_superseded(
                notification):
            match_notified(
                notification.server.id, notification.orthanc_UID,
                notification.facts)

    @classmethod
    def _record_outcome(cls, id_, values):
        notification = cls(id_)
        attempts = notification.attempts + 1
        pause = min(_RETRY * 2 ** (attempts - 1), _LONGEST_RETRY)
        cls.write([notification], {
                'attempts': attempts,
                'next_attempt': now() + dt.timedelta(minutes=pause),
                **values})

    @classmethod
    def clean(cls):
        "Delete notifications that were processed long ago"
        cls.delete(cls.search([
                    ('processed_at', '<', now() - dt.timedelta(days=KEEP)),
                    ]))


def _events(content):
    events = content.get('events')
    if not isinstance(events, list) or not all(
            isinstance(event, dict) for event in events):
        raise NotificationError("no events")
    return events
