# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the synchronization, and their failures"""

import datetime as dt
import logging

from sql import Literal, Null
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin
from ..common.diagnostics import log_unexpected
from ..common.exceptions import SynchronizationError, describe
from ..common.locks import named_lock
from ..common.transaction import in_transaction, now
from ..core.orthanc.errors import OrthancError
from ..core.orthanc.resources import InstanceResource, MalformedResource
from ..core.secrets import SecretUnavailable
from .engine import Engine
from .instances import store_study_instances

__all__ = ['Failure', 'Synchronization']

logger = logging.getLogger('trytond.modules.health_orthanc.synchronization')

KINDS = [
    ('incremental', "Incremental"),
    ('full', "Full"),
    ]
LEVELS = [
    ('patient', "Patient"),
    ('study', "Study"),
    ('series', "Series"),
    ('instance', "Instance"),
    ]
COUNTS = [
    'patients_created', 'patients_updated', 'studies_created',
    'studies_updated', 'studies_missing', 'series_created', 'series_updated',
    'series_missing', 'instances_created', 'instances_updated',
    'instances_missing', 'failures_count']
# Days after which a run is deleted
KEEP = 30


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
                        'muted', ''))),
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
            return min(1., (self.processed or 0) / self.total)

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
    def run(cls, server, kind='incremental'):
        """Synchronize a server now, unless another run is active.

        Parameters
        ----------
        server : Server
        kind : {'incremental', 'full'}

        Returns
        -------
        Synchronization
            The record of the run, with the final state.
        """
        with named_lock('synchronization', server.id) as free:
            if not free:
                run_id = in_transaction(cls._create_skipped, server.id, kind)
            else:
                run_id = in_transaction(cls._create_running, server.id, kind)
                cls._run(server.id, run_id, kind)
        # The caller's transaction may not see the run
        with Transaction().new_transaction(readonly=True), \
                without_check_access():
            values, = cls.read(
                [run_id], ['kind', 'state', 'error', 'result'])
        return cls(server=server, **values)

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
        failed = [run for run in runs if run.state != 'done']
        if failed:
            raise SynchronizationError(
                gettext('health_orthanc.msg_synchronization_failed'),
                '\n'.join(
                    f'{run.server.label}: {run.error}' for run in failed))
        return runs

    @classmethod
    def _create_skipped(cls, server_id, kind):
        logger.info("Orthanc server %s: another run is at work", server_id)
        run, = cls.create([{
                    'server': server_id,
                    'kind': kind,
                    'state': 'skipped',
                    'started_at': now(),
                    'ended_at': now(),
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
        Server.write_progress(server_id, last_run=run.id)
        return run.id

    @classmethod
    def _run(cls, server_id, run_id, kind):
        Server = Pool().get('gnuhealth.orthanc.config')
        client, values = None, {'error_kind': 'internal'}
        try:
            client, with_instances = in_transaction(cls._connect, server_id)
            with client:
                cls._probe_unvalidated(client, server_id)
                engine = Engine(server_id, run_id, client, with_instances)
                getattr(engine, kind)()
                cls.resume(server_id, client)
                cls.follow_up(server_id, client)
            values = {}
            Server.record_contact(server_id)
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
            values['requests'] = client.requests if client else 0
            in_transaction(cls._record_outcome, server_id, run_id, values)

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
        return server.get_client(), server.instances_mode == 'always'

    @classmethod
    def _probe_unvalidated(cls, client, server_id):
        "Check the connection of a server that is not validated"
        if in_transaction(cls._is_validated, server_id):
            return
        info = client.probe()
        in_transaction(cls._save_info, server_id, info)

    @classmethod
    def _is_validated(cls, server_id):
        server = Pool().get('gnuhealth.orthanc.config')(server_id)
        # The version is unknown if the server is from before the upgrade
        return bool(server.validated and server.version)

    @classmethod
    def _save_info(cls, server_id, info):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.write([Server(server_id)], Server.info_values(info))

    @classmethod
    def _record_outcome(cls, server_id, run_id, values):
        Server = Pool().get('gnuhealth.orthanc.config')
        failed = bool(values.get('error_kind'))
        cls.write([cls(run_id)], {
                **values,
                'state': 'failed' if failed else 'done',
                'ended_at': now(),
                })
        if not failed:
            Server.write_progress(server_id, last_synchronization=now())

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


class Failure(GuardedMixin, ModelSQL, ModelView):
    "Orthanc Synchronization Failure"
    __name__ = 'gnuhealth.orthanc.synchronization.failure'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    run = fields.Many2One(
        'gnuhealth.orthanc.synchronization', "Last Run", readonly=True,
        ondelete='SET NULL')
    level = fields.Selection(
        LEVELS, "Level", required=True, readonly=True, sort=False)
    orthanc_UID = fields.Char("Orthanc ID", readonly=True)
    reason = fields.Char(
        "Error Type", readonly=True, help="The type of the last error.")
    first_seen = fields.DateTime("First Seen", readonly=True)
    last_seen = fields.DateTime("Last Seen", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    resolved = fields.DateTime(
        "Resolved", readonly=True,
        help="The time when the resource was imported after the failure.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(table, (table.server, Index.Equality()),
                where=table.resolved == Null))
        cls._order = [('last_seen', 'DESC'), ('id', 'DESC')]

    def get_rec_name(self, name):
        return f'{self.level_string} {self.orthanc_UID}'

    level_string = level.translated('level')

    @classmethod
    def record(cls, server_id, run_id, level, orthanc_id, error):
        """Record that a resource could not be stored.

        Parameters
        ----------
        server_id : int
        run_id : int or None
        level : str
            ``'patient'``, ``'study'``, ``'series'`` or ``'instance'``.
        orthanc_id : str
        error : Exception
        """
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        Synchronization.add_counts(run_id, {'failures_count': 1})
        known = cls.search([
                ('server', '=', server_id),
                ('orthanc_UID', '=', orthanc_id),
                ('resolved', '=', None),
                ], limit=1)
        values = {
            'run': run_id,
            'reason': type(error).__name__,
            'last_seen': now(),
            }
        if known:
            failure, = known
            cls.write(known, {**values, 'attempts': failure.attempts + 1})
        else:
            cls.create([{
                        **values,
                        'server': server_id,
                        'level': level,
                        'orthanc_UID': orthanc_id,
                        'first_seen': now(),
                        'attempts': 1,
                        }])

    @classmethod
    def resolve(cls, server_id, orthanc_ids):
        "Mark the failures of resources of a server as resolved"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.resolved], [CurrentTimestamp()],
                where=(table.server == server_id)
                & table.orthanc_UID.in_(list(orthanc_ids))
                & (table.resolved == Null)))
