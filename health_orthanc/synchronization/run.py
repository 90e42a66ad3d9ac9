# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the synchronization, and their failures"""

import datetime as dt
import logging
import time
from functools import partial

from sql import Literal
from sql.conditionals import Coalesce

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction

from ..common.access import GuardedMixin
from ..common.diagnostics import log_unexpected
from ..common.exceptions import SynchronizationError, describe
from ..common.garbage import rare_collections
from ..common.locks import named_lock
from ..common.rows import read_columns
from ..common.tasks import is_lost, without_task
from ..common.transaction import end_reading, in_transaction, now
from ..common.turns import Turn, TurnOver
from ..core.orthanc.errors import OrthancError
from ..core.orthanc.resources import InstanceResource, MalformedResource
from ..core.secrets import SecretUnavailable
from .companion import accompanied
from .comparison import helper_lock
from .engine import Engine
from .instances import store_study_instances
from .time_limit import TimeOver, is_time_over, whole_percent

__all__ = ['Synchronization']

logger = logging.getLogger('trytond.modules.health_orthanc.synchronization')

KINDS = [
    ('incremental', "Incremental"),
    ('full', "Full"),
    ]
# For the lock that somebody else may hold for a moment
LOCK_ATTEMPTS = 10
LOCK_PAUSE = 0.1
COUNTS = [
    'patients_created', 'patients_updated', 'studies_created',
    'studies_updated', 'studies_missing', 'series_created', 'series_updated',
    'series_missing', 'instances_created', 'instances_updated',
    'instances_missing', 'failures_count']
# Days after which a run is deleted
KEEP = 30
_ENDED_WELL = {'done', 'partial'}
# How the run of a server that was deactivated ends
_DEACTIVATED = {'state': 'interrupted', 'error_kind': 'deactivated'}


class _Deactivated(Exception):
    "The server of a run was deactivated"


class _Check:
    """What a run asks where it can end

    Parameters
    ----------
    server_id : int
    turn : Turn or None
    """

    def __init__(self, server_id, turn):
        self._server_id = server_id
        self._turn = turn

    def check(self):
        """End the run of an inactive server, or one whose turn is over.

        Raises
        ------
        _Deactivated, TimeOver, TurnOver
        """
        is_active, is_over = in_transaction(_read_state, self._server_id)
        if not is_active:
            raise _Deactivated
        if is_over:
            raise TimeOver
        if self._turn:
            self._turn.check()


def _read_state(server_id):
    "Return whether a server is active, and whether its time is over"
    server = read_columns(
        Pool().get('gnuhealth.orthanc.config'), server_id, 'active',
        'reconciliation_position', 'reconciliation_until')
    return server.active, is_time_over(server)


def _count(string):
    return fields.Integer(string, readonly=True)


class Synchronization(GuardedMixin, ModelSQL, ModelView):
    "Orthanc Synchronization"
    __name__ = 'gnuhealth.orthanc.synchronization'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    kind = fields.Selection(
        KINDS, "Type", required=True, readonly=True, sort=False)
    state = fields.Selection([
            ('running', "Running"),
            ('done', "Done"),
            ('partial', "Done in Part"),
            ('failed', "Failed"),
            ('interrupted', "Interrupted"),
            ('skipped', "Skipped"),
            ], "State", required=True, readonly=True, sort=False)
    started_at = fields.DateTime("Started At", readonly=True)
    ended_at = fields.DateTime("Ended At", readonly=True)
    duration = fields.Function(fields.TimeDelta("Duration"), 'get_duration')
    requests = _count("HTTP Requests")
    patients_created = _count("New Patients")
    patients_updated = _count("Updated Patients")
    studies_created = _count("New Studies")
    studies_updated = _count("Updated Studies")
    studies_missing = _count("Missing Studies")
    series_created = _count("New Series")
    series_updated = _count("Updated Series")
    series_missing = _count("Missing Series")
    instances_created = _count("New Instances")
    instances_updated = _count("Updated Instances")
    instances_missing = _count("Missing Instances")
    failures_count = _count("Failures")
    processed = _count("Processed")
    total = _count("Total")
    progress = fields.Function(fields.Float("Progress"), 'get_progress')
    error_kind = fields.Char("Error Type", readonly=True)
    error_status = fields.Integer("HTTP Status", readonly=True)
    error = fields.Function(
        fields.Text("Error", states={'invisible': ~Bool(Eval('error'))}),
        'get_error')
    result = fields.Function(fields.Text("Imported"), 'get_result')
    failures = fields.One2Many(
        'gnuhealth.orthanc.synchronization.failure', 'run', "Failures",
        readonly=True,
        states={'invisible': ~Bool(Eval('failures_count', 0))})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('id', 'DESC')]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state') == 'failed', 'danger',
                    If(Eval('state').in_(['skipped', 'interrupted']),
                        'muted', '')), ['state']),
            ]

    def get_rec_name(self, name):
        return f'{self.server.rec_name} {self.started_at}'

    def get_duration(self, name):
        if self.started_at:
            return (self.ended_at or now()) - self.started_at

    def get_progress(self, name):
        "Return a number between 0 and 1, None if the total is not known"
        if self.state == 'done':
            return 1.
        if self.total:
            return min(1., whole_percent((self.processed or 0) / self.total))

    def get_error(self, name):
        if self.error_kind:
            return describe(
                self.error_kind, status=self.error_status or '')
        if self.state in {'skipped', 'interrupted'}:
            return gettext(f'health_orthanc.msg_run_{self.state}')

    def get_result(self, name):
        parts = [
            f"{self.__names__(name)['field']}: {getattr(self, name)}"
            for name in COUNTS if getattr(self, name)]
        return ', '.join(parts) or gettext(
            'health_orthanc.msg_run_nothing_new')

    @classmethod
    def add_counts(cls, run_id, counts):
        """Add to the counts of a run in one statement.

        Parameters
        ----------
        run_id : int or None
        counts : dict of int
            By field.
        """
        if not counts:
            return
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        columns = [getattr(table, name) for name in counts]
        cursor.execute(*table.update(
                columns, [
                    Coalesce(column, Literal(0)) + count
                    for column, count in zip(columns, counts.values())],
                where=table.id == run_id))

    @classmethod
    def run(cls, server, kind='incremental', turn=None):
        """Synchronize a server now, unless another run is active.

        Parameters
        ----------
        server : Server
        kind : {'incremental', 'full'}
        turn : Turn, optional
            When it is over, the run is continued by another task; by default
            the run takes as long as it needs.

        Returns
        -------
        Synchronization
            The record of the run, with the final state.
        """
        with named_lock('synchronization', server.id) as free:
            values = in_transaction(cls._begin, server.id, kind, free)
            if values['state'] == 'running':
                values = cls._run(server.id, values['id'], kind, turn)
        # The caller's transaction may not see the run
        run = cls(server=server, **values)
        run.error = run.get_error('error')
        return run

    @classmethod
    def _begin(cls, server_id, kind, free):
        "Create a run, and return the values that tell whether it goes on"
        if not Pool().get('gnuhealth.orthanc.config')(server_id).active:
            run_id = cls._create_inactive(server_id, kind)
        elif not free or cls._find_paused(server_id):
            run_id = cls._create_skipped(server_id, kind)
        else:
            run_id = cls._create_running(server_id, kind)
        return cls._read_state(run_id)

    @classmethod
    def _read_state(cls, run_id):
        values, = cls.read(
            [run_id], ['kind', 'state', 'error_kind', 'error_status'])
        return values

    @classmethod
    def _find_paused(cls, server_id):
        "Return the run that waits for its continuation, or None"
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        run = server.last_run
        if run and run.state == 'running' and not without_task(
                [server], 'continuation_task'):
            return run

    @classmethod
    def continue_run(cls, server_id, run_id, turn):
        """Continue a run that has given way to other tasks.

        Nothing is done if another run has taken its place.

        Parameters
        ----------
        server_id : int
        run_id : int
        turn : Turn
        """
        # What only is matched waits for no network that would end it
        end_reading()
        # Who has given way, or the scheduler, may hold the lock for a moment
        for _ in range(LOCK_ATTEMPTS):
            with named_lock('synchronization', server_id) as free:
                if free:
                    method = in_transaction(
                        cls._begin_continuation, server_id, run_id)
                    if method:
                        cls._run(server_id, run_id, method, turn)
                    return
            time.sleep(LOCK_PAUSE)

    @classmethod
    def _begin_continuation(cls, server_id, run_id):
        "Return how the engine continues a run, or None"
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        run = server.last_run
        if not run or run.id != run_id or run.state != 'running':
            return
        if not server.active:
            cls.write([run], {**_DEACTIVATED, 'ended_at': now()})
            return
        return 'finish' if (
            run.kind == 'full' and run.total is not None) else run.kind

    @classmethod
    def help(cls, server_id, turn=None):
        """Share the work of the active run of a server.

        Parameters
        ----------
        server_id : int
        turn : Turn, optional
            By default it gives way to other tasks, and is continued.
        """
        end_reading()
        is_over = False
        limit = in_transaction(cls._count_helpers, server_id)
        for number in range(limit):
            with helper_lock(server_id, number) as free:
                if free:
                    is_over = cls._help(server_id, turn or Turn(helps=True))
                    break
        if is_over and not turn:
            # When its place is free again
            Server = Pool().get('gnuhealth.orthanc.config')
            in_transaction(Server.queue_helper, server_id)

    @classmethod
    def _count_helpers(cls, server_id):
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        run = server.last_run
        if not server.active or not run or run.state != 'running':
            return 0
        return server.sync_workers - 1

    @classmethod
    def _help(cls, server_id, turn):
        "Process parts; return whether it has given way to other tasks"
        Part = Pool().get('gnuhealth.orthanc.synchronization.part')
        if not in_transaction(Part.find_open, server_id, 1):
            return False
        try:
            run_id, client, with_instances, _ = in_transaction(
                cls._connect_helper, server_id)
            with client, rare_collections():
                try:
                    Engine(
                        server_id, run_id, client, with_instances,
                        turn).help()
                finally:
                    in_transaction(
                        cls.add_counts, run_id, {'requests': client.requests})
        except TurnOver:
            return True
        except (OrthancError, SecretUnavailable) as error:
            # The run itself meets the same, and shows it
            log_unexpected(
                logger, error, "Orthanc server %s: no help", server_id)
        return False

    @classmethod
    def _connect_helper(cls, server_id):
        run = Pool().get('gnuhealth.orthanc.config')(server_id).last_run
        return run.id, *cls._connect(server_id)

    @classmethod
    def resume_lost(cls, server):
        """Queue a run of a server if the worker of the last one was lost.

        Parameters
        ----------
        server : Server
        """
        if not cls._find_lost(server):
            return
        with named_lock('synchronization', server.id) as free:
            # What was read before may be older than the end of a run
            if free:
                in_transaction(cls._queue_lost, server.id)

    @classmethod
    def _queue_lost(cls, server_id):
        Server = Pool().get('gnuhealth.orthanc.config')
        server = Server(server_id)
        kind = not cls._find_paused(server_id) and cls._find_lost(server)
        if kind:
            if kind == 'incremental' and is_lost(server.reconciliation_task):
                # The run that is queued completes the comparison
                Server.write_progress(server_id, reconciliation_task=None)
            Server.synchronize_in_turn([server], kind)

    @classmethod
    def end_deactivated(cls, server):
        """End the run of an inactive server whose worker was lost.

        It is resumed when the server is active again.

        Parameters
        ----------
        server : Server
        """
        if not server.last_run or server.last_run.state != 'running':
            return
        with named_lock('synchronization', server.id) as free:
            # Who has the lock ends it after the next page
            if free:
                in_transaction(cls._end_deactivated, server.id)

    @classmethod
    def _end_deactivated(cls, server_id):
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        run = server.last_run
        if not server.active and run and run.state == 'running':
            cls.write([run], {**_DEACTIVATED, 'ended_at': now()})

    @classmethod
    def _find_lost(cls, server):
        "Return the kind of the run that was lost, or None"
        run = server.last_run
        if run and run.state == 'running':
            # What was begun is continued by an incremental one as well
            return 'full' if (
                run.kind == 'full' and run.total is None
                and not server.reconciliation_paused_at) else 'incremental'
        done_at = run.ended_at if run and run.state in _ENDED_WELL else None
        if is_lost(
                server.reconciliation_task,
                done_at if run and run.kind == 'full' else None):
            return 'full'
        if is_lost(server.synchronization_task, done_at):
            return 'incremental'

    @classmethod
    def run_all(cls, servers, kind='incremental'):
        """Synchronize servers now, one after the other.

        Parameters
        ----------
        servers : list of Server
        kind : {'incremental', 'full'}

        Returns
        -------
        list of Synchronization

        Raises
        ------
        SynchronizationError
            After all servers, if some have failed.
        """
        runs = [cls.run(server, kind) for server in servers]
        failed = [run for run in runs if run.state not in _ENDED_WELL]
        if failed:
            raise SynchronizationError(
                gettext('health_orthanc.msg_synchronization_failed'),
                '\n'.join(
                    f'{run.server.label}: {run.error}' for run in failed))
        return runs

    @classmethod
    def _create_skipped(cls, server_id, kind):
        logger.info("Orthanc server %s: another run is at work", server_id)
        return cls._create_ended(server_id, kind, {'state': 'skipped'})

    @classmethod
    def _create_inactive(cls, server_id, kind):
        logger.info("Orthanc server %s: it is deactivated", server_id)
        return cls._create_ended(server_id, kind, _DEACTIVATED)

    @classmethod
    def _create_ended(cls, server_id, kind, values):
        run, = cls.create([{
                    'server': server_id,
                    'kind': kind,
                    'started_at': now(),
                    'ended_at': now(),
                    **values,
                    }])
        return run.id

    @classmethod
    def _create_running(cls, server_id, kind):
        Server = Pool().get('gnuhealth.orthanc.config')
        # We hold the lock: other runs in this state were killed
        cls.write(cls.search([
                    ('server', '=', server_id),
                    ('state', '=', 'running'),
                    ]), {'state': 'interrupted', 'ended_at': now()})
        run, = cls.create([{
                    'server': server_id,
                    'kind': kind,
                    'state': 'running',
                    'started_at': now(),
                    }])
        Server.write_progress(
            server_id, last_run=run.id,
            **Server.reconciliation_times(server_id) if kind == 'full' else {})
        return run.id

    @classmethod
    def _run(cls, server_id, run_id, method, turn):
        "Synchronize, and return the values that tell the outcome"
        Server = Pool().get('gnuhealth.orthanc.config')
        client, values = None, {'error_kind': 'internal'}
        try:
            client, with_instances, is_validated = in_transaction(
                cls._connect, server_id)
            with client:
                if not is_validated:
                    in_transaction(cls._save_info, server_id, client.probe())
                engine = Engine(
                    server_id, run_id, client, with_instances,
                    _Check(server_id, turn),
                    partial(accompanied, cls.help, server_id))
                with rare_collections():
                    getattr(engine, method)()
                cls.resume(server_id, client)
                cls.follow_up(server_id, client)
            values = {}
        except TurnOver:
            values = None
        except _Deactivated:
            values = dict(_DEACTIVATED)
        except OrthancError as error:
            values = {'error_kind': error.kind, 'error_status': error.status}
            Server.record_failure(server_id, error.kind)
        except SecretUnavailable:
            values = {'error_kind': 'secret'}
            Server.record_failure(server_id, 'secret')
        except Exception as error:
            # The record shows the failure; other servers continue
            log_unexpected(logger, error, "Orthanc server %s", server_id)
        finally:
            outcome, recovered = in_transaction(
                cls._record_outcome, server_id, run_id, values,
                client.requests if client else 0)
            Server.log_recovery(server_id, recovered)
        return outcome

    @classmethod
    def resume(cls, server_id, client):
        """Finish the work of processes that were killed.

        A hook for upper rooms.  Like `follow_up`, it is called outside of
        transactions.

        Parameters
        ----------
        server_id : int
        client : OrthancClient
        """

    @classmethod
    def without_superseded(cls, server, resources):
        """Return the resources that are to be stored.

        A hook for upper rooms that replace studies in Orthanc.

        Parameters
        ----------
        server : Server
        resources : iterable of StudyResource

        Returns
        -------
        list of StudyResource
        """
        return list(resources)

    @classmethod
    def follow_up(cls, server_id, client, limit=None):
        """Process the studies that have been stored.

        A hook for upper rooms.

        Parameters
        ----------
        server_id : int
        client : OrthancClient
        limit : int, optional
            The most studies to process.
        """

    @classmethod
    def _connect(cls, server_id):
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        return (
            server.get_client(), server.instances_mode == 'always',
            # The version is unknown if the server is from before the upgrade
            bool(server.validated and server.version))

    @classmethod
    def _save_info(cls, server_id, info):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.write([Server(server_id)], Server.info_values(info))

    @classmethod
    def _record_outcome(cls, server_id, run_id, values, requests):
        "Return the values that tell the outcome, and what to log"
        Server = Pool().get('gnuhealth.orthanc.config')
        cls.add_counts(run_id, {'requests': requests})
        if values is None:
            Server.queue_continuation(server_id, run_id)
            return cls._read_state(run_id), None
        recovered = None if values else Server.store_contact(server_id)
        run = cls(run_id)
        state = 'done'
        if values.get('error_kind'):
            state = 'failed'
        elif run.kind == 'full' and run.server.reconciliation_paused_at:
            state = 'partial'
        values = {'state': state, 'ended_at': now(), **values}
        cls.write([run], values)
        if values['state'] == 'done':
            Server.write_progress(server_id, last_synchronization=now())
        return {
            'id': run_id, 'kind': run.kind, 'state': values['state'],
            **{name: values.get(name) for name in [
                    'error_kind', 'error_status']}}, recovered

    @classmethod
    def load_instances(cls, study):
        """Fetch and record the instances of a study.

        Parameters
        ----------
        study : Study

        Raises
        ------
        OrthancError, SecretUnavailable
        """
        orthanc_id = study.orthanc_UID
        with study.server.get_client(interactive=True) as client:
            found = client.study_instances(orthanc_id)
        instances = []
        for json in found:
            try:
                instances.append(InstanceResource.from_json(json))
            except MalformedResource:
                logger.warning(
                    "Orthanc server %s: instance %s not stored",
                    study.server.id, json.get('ID'))
        in_transaction(cls._store_instances, study.id, orthanc_id, instances)

    @classmethod
    def _store_instances(cls, study_id, orthanc_id, instances):
        study = Pool().get('gnuhealth.imaging_orthanc.study')(study_id)
        # A reconciliation may have given the study another id meanwhile
        if study.orthanc_UID == orthanc_id:
            store_study_instances(study.server, study, instances)

    @classmethod
    def clean(cls):
        "Delete old runs, except the last one of each server"
        Server = Pool().get('gnuhealth.orthanc.config')
        last = [s.last_run.id for s in Server.search([]) if s.last_run]
        cls.delete(cls.search([
                    ('started_at', '<', now() - dt.timedelta(days=KEEP)),
                    ('state', '!=', 'running'),
                    ('id', 'not in', last),
                    ]))
