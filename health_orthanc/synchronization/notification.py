# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications of the plugins inside Orthanc"""

import datetime as dt
import json
import logging
import uuid
from collections import defaultdict

from sql import Null
from sql.aggregate import Max

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..common.diagnostics import log_unexpected
from ..common.exceptions import describe
from ..common.rows import fetch_rows, write_rows
from ..common.tasks import bulk_tasks, queue_once
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
# Minutes for which a task reserves its notifications
_RESERVED = 5
_TEXT_LIMIT = 256
# Notifications in one task, and those that are processed together
BATCH_LIMIT, SLICE_LIMIT = 50, 10
# Studies that get their key image after a notification, at least
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
        cls.create(list(fresh.values()))
        server.write_progress(server.id, last_notification=now())
        if fresh:
            cls._process_later([server])
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
    def process_pending(cls):
        "Queue the notifications that are due (scheduler)"
        cls.clean()
        Server = Pool().get('gnuhealth.orthanc.config')
        table = cls.__table__()
        # Not the records: after a failure of days they are many
        cls._process_later(Server.browse([server for server, in fetch_rows(
                        table.select(
                            table.server,
                            where=(table.processed_at == Null)
                            & ((table.next_attempt == Null)
                                | (table.next_attempt <= now())),
                            group_by=table.server))]))

    @classmethod
    def _process_later(cls, servers):
        """Queue a task of each server that has none.

        It takes what is due when it begins, however much has come meanwhile.
        """
        Server = Pool().get('gnuhealth.orthanc.config')
        with bulk_tasks():
            queue_once(servers, 'notifications_task', lambda server:
                Server.__queue__.process_notifications([server]))

    @classmethod
    def _due(cls):
        return [
            ('processed_at', '=', None),
            ['OR',
                ('next_attempt', '=', None),
                ('next_attempt', '<=', now())],
            ]

    @classmethod
    def process_due(cls, server):
        """Process the oldest notifications of a server that are due.

        A task for the others is queued first: tasks that somebody waits for
        are between the two, and several workers share the work.

        Parameters
        ----------
        server : Server
        """
        ids = in_transaction(cls._take_due, server.id)
        cls._process_all(server.id, ids)

    @classmethod
    def _take_due(cls, server_id):
        Server = Pool().get('gnuhealth.orthanc.config')
        # A conflict with what is received at the same time: its notifications
        # are seen here, or this task is seen there
        Server.write_progress(server_id, notifications_task=None)
        due = cls.search([('server', '=', server_id), *cls._due()],
            order=[('id', 'ASC')], limit=BATCH_LIMIT + 1)
        if len(due) > BATCH_LIMIT:
            cls._process_later([Server(server_id)])
        ids = [n.id for n in due[:BATCH_LIMIT]]
        cls._reserve(ids)
        return ids

    @classmethod
    def _reserve(cls, ids):
        "Keep other tasks from notifications for some minutes"
        cls.write(cls.browse(ids), {
                'next_attempt': now() + dt.timedelta(minutes=_RESERVED)})

    @classmethod
    def process(cls, notifications):
        "Process the notifications (queue)"
        by_server = defaultdict(list)
        for notification in notifications:
            by_server[notification.server.id].append(notification.id)
        for server_id, ids in by_server.items():
            cls._process_all(server_id, ids)

    @classmethod
    def _process_all(cls, server_id, ids):
        for start in range(0, len(ids), SLICE_LIMIT):
            in_transaction(cls._reserve, ids[start:])
            cls._process(server_id, ids[start:start + SLICE_LIMIT])

    @classmethod
    def _process(cls, server_id, ids):
        """Synchronize and match the studies of some notifications.

        A failure of one does not affect the others.
        """
        orthanc_ids, client, with_instances, error_kind = in_transaction(
            cls._prepare, server_id, ids)
        if error_kind:
            Server = Pool().get('gnuhealth.orthanc.config')
            Server.record_failure(server_id, error_kind)
        if client:
            with client:
                outcomes = cls._synchronize(
                    server_id, client, with_instances, orthanc_ids)
        else:
            outcomes = dict.fromkeys(orthanc_ids, error_kind)
        if outcomes:
            in_transaction(cls._record_outcomes, outcomes)

    @classmethod
    def _synchronize(cls, server_id, client, with_instances, orthanc_ids):
        "Return the kind of the error, or None, for each notification"
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Synchronization = pool.get('gnuhealth.orthanc.synchronization')
        outcomes = {}
        try:
            Engine(server_id, None, client, with_instances).studies(
                set(orthanc_ids.values()))
            for id_ in orthanc_ids:
                outcomes[id_] = cls._match_separately(server_id, id_)
            Synchronization.follow_up(
                server_id, client, max(KEY_IMAGES_LIMIT, len(orthanc_ids)))
            Server.record_contact(server_id)
        except OrthancError as error:
            Server.record_failure(server_id, error.kind, single=True)
            return {id_: outcomes.get(id_, error.kind) for id_ in orthanc_ids}
        except Exception as error:
            cls._log(server_id, orthanc_ids, error)
            if len(orthanc_ids) > 1:
                return {
                    id_: kind for item in orthanc_ids.items()
                    for id_, kind in cls._synchronize(
                        server_id, client, with_instances,
                        dict([item])).items()}
            return dict.fromkeys(orthanc_ids, 'internal')
        return outcomes

    @classmethod
    def _match_separately(cls, server_id, id_):
        try:
            in_transaction(cls._match, id_)
        except Exception as error:
            # The scheduler tries again; other notifications continue
            cls._log(server_id, [id_], error)
            return 'internal'

    @staticmethod
    def _log(server_id, ids, error):
        log_unexpected(
            logger, error, "Orthanc server %s: notifications %s", server_id,
            ', '.join(map(str, ids)))

    @classmethod
    def _prepare(cls, server_id, ids):
        """Return what is needed to process notifications.

        Returns
        -------
        orthanc_ids : dict of str
            The study of each notification for which something is to do.
        client : OrthancClient or None
        with_instances : bool
        error_kind : str or None
            Why there is no client.
        """
        notifications = [n for n in cls.browse(ids) if not n.processed_at]
        superseded = cls._find_superseded(notifications)
        cls.write(superseded, {'processed_at': now()})
        orthanc_ids = {
            n.id: n.orthanc_UID for n in notifications if n not in superseded}
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        client = kind = None
        if orthanc_ids:
            try:
                client = server.get_client()
            except (OrthancError, SecretUnavailable) as error:
                kind = getattr(error, 'kind', 'secret')
        return orthanc_ids, client, server.instances_mode == 'always', kind

    @classmethod
    def _find_superseded(cls, notifications):
        "Return those of which the plugin has sent a later one for the study"
        if not notifications:
            return []
        table = cls.__table__()
        servers = {n.server.id for n in notifications}
        last = {
            (server, orthanc_id): id_
            for server, orthanc_id, id_ in fetch_rows(table.select(
                    table.server, table.orthanc_UID, Max(table.id),
                    where=table.server.in_(list(servers))
                    & table.orthanc_UID.in_(
                        [n.orthanc_UID for n in notifications])
                    & (table.kind != 'upload'),
                    group_by=[table.server, table.orthanc_UID]))}
        return [
            n for n in notifications
            if n.id < last.get((n.server.id, n.orthanc_UID), 0)]

    @classmethod
    def _match(cls, id_):
        notification = cls(id_)
        if notification.kind == 'upload':
            match_received(
                notification.server.id, [notification.orthanc_UID])
        # Another worker may have processed a later notification
        elif notification.kind == 'study' and not cls._find_superseded(
                [notification]):
            match_notified(
                notification.server.id, notification.orthanc_UID,
                notification.facts)

    @classmethod
    def _record_outcomes(cls, outcomes):
        moment = now()
        updated = []
        for notification in cls.browse(list(outcomes)):
            kind = outcomes[notification.id]
            attempts = notification.attempts + 1
            pause = min(_RETRY * 2 ** (attempts - 1), _LONGEST_RETRY)
            updated.append((notification, {
                        'attempts': attempts,
                        'error_kind': kind,
                        'processed_at': None if kind else moment,
                        'next_attempt': moment + dt.timedelta(minutes=pause),
                        }))
        write_rows(cls, updated)

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
