# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patient reconciliation (IHE PIR) in the images of a study

Orthanc copies the study with the identity of GNU Health, then the original is
deleted.  The network is only used outside of transactions.  Meanwhile both
Orthanc ids of the study are reserved: the synchronization creates no other
record for them.
"""

import datetime as dt
import json
import logging

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..audit.trail import record_events
from ..common.access import ReadonlyMixin
from ..common.diagnostics import log_unexpected
from ..common.exceptions import describe
from ..common.locks import named_lock
from ..common.rows import load_rows, write_column
from ..common.transaction import in_transaction, now
from ..core.orthanc import reconciliation as core
from ..core.orthanc.errors import JobFailed, NotFound, OrthancError
from ..core.orthanc.resources import (
    MalformedResource, PatientResource, SeriesResource, StudyResource)
from ..core.secrets import SecretUnavailable
from ..linking.history import CONFIRMED
from ..synchronization.store import (
    mark_missing_patients, store_patients, store_series, study_values)
from ..synchronization.study_digests import drop_digests
from ..worklist.variables import patient_identity

__all__ = ['StudyCorrection', 'describe_refusal']

logger = logging.getLogger('trytond.modules.health_orthanc.correction')

KINDS = [
    ('correct', "Patient Data of GNU Health"),
    ('restore', "Original Patient Data"),
    ]
_OPEN = ['waiting', 'copying', 'removing']
# States in which both Orthanc ids are reserved
_RESERVED_STATES = ['copying', 'removing']
# The names of the attributes in matching
_FIELDS = {
    'PatientID': 'patient_id',
    'PatientName': 'name',
    'PatientBirthDate': 'birth_date',
    'PatientSex': 'sex',
    }
# The events in the history of the study
_EVENTS = {
    'correct': 'corrected', 'restore': 'restored', 'move': 'moved',
    'move_back': 'moved_back'}
# A synchronization stores what it has fetched within this time
_STALE = dt.timedelta(hours=1)
# Failed copies after which a reconciliation is refused
_FAILURES = 10


def describe_refusal(reason):
    "Return the message for the reason of a refusal"
    return gettext(f'health_orthanc.msg_correction_{reason}')


class StudyCorrection(ReadonlyMixin, ModelSQL, ModelView):
    """Patient Reconciliation

    A reconciliation of the identity in the images of a study.  It keeps the
    former identity.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study.correction'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    kind = fields.Selection(
        KINDS, "Type", required=True, readonly=True, sort=False)
    state = fields.Selection([
            ('waiting', "Pending"),
            ('copying', "Copying"),
            ('removing', "Removing Original"),
            ('done', "Done"),
            ('kept', "Done, Original Kept"),
            ('refused', "Refused"),
            ], "State", required=True, readonly=True, sort=False)
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='RESTRICT')
    asked_at = fields.DateTime("Requested At", required=True, readonly=True)
    ended_at = fields.DateTime("Ended At", readonly=True)
    source_UID = fields.Char("Original Orthanc ID", readonly=True)
    target_UID = fields.Char("Orthanc ID", readonly=True)
    wanted = fields.Text("New Tags", readonly=True, strip=False)
    before = fields.Text("Original Tags", readonly=True, strip=False)
    instances_count = fields.Integer("Images", readonly=True)
    source_update = fields.DateTime("Last Update of Original", readonly=True)
    failures = fields.Integer("Failed Attempts", readonly=True)
    reason = fields.Char("Reason", readonly=True)
    error_kind = fields.Char("Error Type", readonly=True)
    message = fields.Function(fields.Text(
            "Error", states={'invisible': ~Bool(Eval('message'))}),
        'get_message')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('id', 'DESC')]

    @staticmethod
    def default_state():
        return 'waiting'

    @staticmethod
    def default_failures():
        return 0

    def get_rec_name(self, name):
        return f'{self.study.rec_name} {self.asked_at}'

    def get_message(self, name):
        if self.reason:
            return describe_refusal(self.reason)
        if self.error_kind:
            return describe(self.error_kind)

    # Requests

    @classmethod
    @without_check_access
    def find_obstacle(cls, study, kind, excluding=None):
        """Return the reason why a study must not be reconciled, or None.

        Parameters
        ----------
        study : Study
        kind : {'correct', 'restore'}
        excluding : StudyCorrection, optional
            A pending reconciliation that does not count.

        Returns
        -------
        str or None
            See `describe_refusal`.
        """
        if not study.server.correct_identity:
            return 'off'
        if study.missing_since:
            return 'missing'
        if cls.is_pending(study, excluding):
            return 'open'
        if study.quarantined:
            return 'quarantined'
        if kind == 'restore':
            return None if cls._first_correction(study) else 'never'
        if not study.patient or study.link_status not in CONFIRMED:
            return 'not_linked'
        if not cls._identity(study)['PatientID']:
            return 'no_puid'

    @classmethod
    def is_pending(cls, study, excluding=None):
        "Return whether a reconciliation of a study is pending"
        return bool(cls.search([
                    ('study', '=', study.id), ('state', 'in', _OPEN),
                    ('id', '!=', excluding.id if excluding else None),
                    ], limit=1))

    @classmethod
    @without_check_access
    def plan(cls, study, kind, client):
        """Return the plan of a reconciliation, without changing anything.

        Parameters
        ----------
        study : Study
        kind : {'correct', 'restore'}
        client : OrthancClient

        Returns
        -------
        Plan

        Raises
        ------
        Refused
        OrthancError
        """
        reason = cls.find_obstacle(study, kind)
        if reason:
            raise core.Refused(reason)
        return cls._make_plan(client, *cls._plan_arguments(study, kind))

    @classmethod
    @without_check_access
    def get_client(cls, study):
        "Return a client with the short timeouts for a waiting user"
        return study.server.get_client(interactive=True)

    @classmethod
    def _plan_arguments(cls, study, kind):
        "Return the arguments of `_make_plan` after the client"
        if kind == 'correct':
            return study.orthanc_UID, cls._identity(study), None, None
        former = cls._first_correction(study)
        return (
            study.orthanc_UID, None, former.source_UID,
            core.Wanted.loads(former.before))

    @classmethod
    def _make_plan(cls, client, orthanc_id, identity, former_id, before):
        if identity:
            return core.plan_correction(client, orthanc_id, identity)
        return core.plan_restoration(client, orthanc_id, former_id, before)

    @staticmethod
    def _identity(study):
        "Return the identity of the patient; unknown values are emptied"
        identity = patient_identity(study.patient)
        return {k: identity[k] or '' for k in core.IDENTITY}

    @classmethod
    def _first_correction(cls, study):
        "Return the correction that replaced the original identity"
        first = None
        for correction in cls.search([
                    ('study', '=', study.id),
                    ('state', 'in', ['done', 'kept']),
                    ]):
            if correction.kind != 'correct':
                break
            first = correction
        return first

    @classmethod
    @without_check_access
    def queue_corrections(cls, studies, kind):
        """Queue the reconciliation of studies.

        Parameters
        ----------
        studies : list of Study
        kind : {'correct', 'restore'}

        Returns
        -------
        list of Study
            Those for which it is possible.
        """
        studies = [s for s in studies if not cls.find_obstacle(s, kind)]
        corrections = cls.create([{
                    'study': study.id,
                    'server': study.server.id,
                    'kind': kind,
                    'user': Transaction().user or None,
                    'asked_at': now(),
                    } for study in studies])
        cls._process_later(corrections)
        return studies

    @classmethod
    def process_pending(cls):
        "Queue the pending reconciliations again (scheduler)"
        cls._process_later(cls.search([('state', 'in', _OPEN)]))

    @classmethod
    def _process_later(cls, corrections):
        # A task processes all reconciliations of its server
        for correction in {c.server: c for c in corrections}.values():
            cls.__queue__.process([correction])

    # Processing

    @classmethod
    def process(cls, corrections):
        "Process the pending reconciliations of the servers (queue)"
        for server_id in {c.server.id for c in corrections}:
            with named_lock('reconciliation', server_id) as free:
                tried = []
                while free and (id_ := in_transaction(
                            cls._next, server_id, tried)):
                    tried.append(id_)
                    cls._process(id_)

    @classmethod
    def _next(cls, server_id, tried):
        found = cls.search([
                ('server', '=', server_id),
                ('state', 'in', _OPEN),
                ('id', 'not in', tried),
                ], order=[('id', 'ASC')], limit=1)
        return found[0].id if found else None

    @classmethod
    def _process(cls, id_):
        try:
            with in_transaction(cls._client, id_) as client:
                cls._resume(id_, client)
        except core.Refused as error:
            in_transaction(cls._refuse, id_, error.reason)
        except (NotFound, MalformedResource):
            in_transaction(cls._refuse, id_, 'vanished')
        except OrthancError as error:
            logger.warning("Orthanc correction %s: %s", id_, error.kind)
            in_transaction(cls._fail, id_, error.kind)
        except SecretUnavailable:
            logger.warning("Orthanc correction %s: secret unavailable", id_)
            in_transaction(cls._fail, id_, 'secret')
        except Exception as error:
            # The scheduler tries again; other studies continue
            log_unexpected(logger, error, "Orthanc correction %s", id_)
            in_transaction(cls._fail, id_, 'internal')

    @classmethod
    def _client(cls, id_):
        return cls(id_).server.get_client()

    @classmethod
    def _resume(cls, id_, client):
        planned = in_transaction(cls._start, id_)
        if planned:
            plan = cls._make_plan(client, *planned)
            in_transaction(cls._reserve, id_, plan)
        state, values = in_transaction(cls._load_reserved, id_)
        correction = core.Correction(client, **values)
        if state == 'copying':
            cls._copy(id_, client, correction)
        source = correction.remove_source()
        in_transaction(cls._finish, id_, _last_update(source))

    @classmethod
    def _start(cls, id_):
        "Return the arguments for a plan, None if there is one already"
        correction = cls(id_)
        if correction.state != 'waiting':
            return None
        reason = cls.find_obstacle(
            correction.study, correction.kind, correction)
        if reason:
            raise core.Refused(reason)
        return cls._plan_arguments(correction.study, correction.kind)

    @classmethod
    def _reserve(cls, id_, plan):
        correction = cls(id_)
        if correction._is_recorded(plan.target_id):
            raise core.Refused('recorded')
        cls.write([correction], {
                'state': 'copying',
                'source_UID': correction.study.orthanc_UID,
                'target_UID': plan.target_id,
                'wanted': plan.wanted.dumps(),
                'before': plan.before.dumps(),
                'instances_count': plan.instances,
                'error_kind': None,
                })

    def _is_recorded(self, target_id):
        "Return whether another study is recorded under an Orthanc id"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return bool(Study.search([
                    ('server', '=', self.server.id),
                    ('orthanc_UID', '=', target_id)], limit=1))

    @classmethod
    def _load_reserved(cls, id_):
        correction = cls(id_)
        return correction.state, {
            'source_id': correction.source_UID,
            'target_id': correction.target_UID,
            'wanted': core.Wanted.loads(correction.wanted),
            'instances': correction.instances_count,
            }

    @classmethod
    def _copy(cls, id_, client, correction):
        try:
            source, copy = correction.copy()
        except core.Refused:
            correction.discard_copy()
            raise
        except JobFailed:
            if in_transaction(cls._has_failed_often, id_):
                correction.discard_copy()
                raise core.Refused('failed') from None
            raise
        resources = [
            StudyResource.from_json(copy.study),
            PatientResource.from_json(
                client.patient(copy.study['ParentPatient'])),
            [SeriesResource.from_json(json)
                for json in client.bulk_content(copy.study['Series'])],
            ]
        in_transaction(
            cls._update_records, id_, *resources,
            {key: i.orthanc_id for key, i in copy.images.items()},
            _last_update(source))

    @classmethod
    def _has_failed_often(cls, id_):
        return cls(id_).failures + 1 >= _FAILURES

    @classmethod
    def _fail(cls, id_, kind):
        correction = cls(id_)
        cls.write([correction], {
                'error_kind': kind,
                'failures': correction.failures + (kind == JobFailed.kind),
                })

    @classmethod
    def _refuse(cls, id_, reason):
        correction = cls(id_)
        updated = correction.state == 'removing'
        cls.write([correction], {
                'state': 'kept' if updated else 'refused',
                'reason': reason,
                'error_kind': None,
                'ended_at': now(),
                })
        correction._record_audit('success' if updated else 'failure')

    @classmethod
    def _finish(cls, id_, last_update):
        correction = cls(id_)
        values = {'state': 'done', 'error_kind': None, 'ended_at': now()}
        if last_update:
            values['source_update'] = last_update
        cls.write([correction], values)
        mark_missing_patients(correction.server)
        correction._record_audit('success')

    def _record_audit(self, outcome):
        record_events(study_events(
                'reconcile', [self.study], outcome=outcome,
                user_id=self.user.id if self.user else None,
                detail=self.kind))

    # Records

    @classmethod
    def _update_records(cls, id_, study, patient, series, images, last_update):
        """Give the records the Orthanc ids and attributes of the copy.

        Parameters
        ----------
        study : StudyResource
        patient : PatientResource
        series : list of SeriesResource
        images : dict
            Orthanc ids by SeriesInstanceUID and SOPInstanceUID.
        """
        correction = cls(id_)
        server, record = correction.server, correction.study
        store_patients(server, [patient])
        cls._update_study(correction, study)
        cls._update_series(record, series)
        cls._update_instances(record, images)
        store_series(server, series)
        if correction.kind == 'correct':
            cls._link_patient(record)
        cls._record_history(correction)
        cls.write([correction], {
                'state': 'removing', 'source_update': last_update})

    @classmethod
    def _update_study(cls, correction, resource):
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        patients = load_rows(
            pool.get('gnuhealth.orthanc.patient'), 'uuid',
            {resource.patient_orthanc_id}, server=[correction.server.id])
        Study.write([correction.study], {
                'orthanc_UID': resource.orthanc_id,
                **study_values(
                    resource, patients[resource.patient_orthanc_id])})

    @classmethod
    def _update_series(cls, study, resources):
        Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
        ids = {r.series_instance_uid: r.orthanc_id for r in resources}
        write_column(Series, 'orthanc_UID', {
                ids[s.series_UID]: [s.id] for s in Series.search(
                    [('study', '=', study.id)]) if s.series_UID in ids})
        drop_digests([study.id])

    @classmethod
    def _update_instances(cls, study, ids):
        Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
        found = {}
        for instance in Instance.search([('series.study', '=', study.id)]):
            key = instance.series.series_UID, instance.sop_instance_UID
            if key in ids:
                found[ids[key]] = [instance.id]
        write_column(Instance, 'orthanc_UID', found)

    @classmethod
    def _link_patient(cls, study):
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        Patient = pool.get('gnuhealth.orthanc.patient')
        current = Study(study.id).orthanc_patient
        if not current.patient and not current.decided_by:
            Patient.write(
                [current], {'patient': study.patient, 'decided_by': None})

    @classmethod
    def _record_history(cls, correction):
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        study = correction.study
        before, _ = json.loads(correction.before)
        wanted, _ = json.loads(correction.wanted)
        Decision.create([{
                    'study': study.id,
                    'at': now(),
                    'user': correction.user,
                    'status_from': study.link_status,
                    'status_to': study.link_status,
                    'patient_from': study.patient,
                    'patient_to': study.patient,
                    'request_from': study.request,
                    'request_to': study.request,
                    'event': _EVENTS[correction.kind],
                    'comparisons': json.dumps([{
                                'field': field,
                                'ours': wanted[keyword] or '',
                                'theirs': before.get(keyword) or '',
                                'verdict': 'differs',
                                'reason': 'written',
                                } for keyword, field in _FIELDS.items()
                            if wanted[keyword] != before.get(keyword)]),
                    }])

    # Synchronization

    @classmethod
    def without_superseded(cls, server, resources):
        """Leave out the studies that a reconciliation creates or has deleted.

        Between copying and deleting, Orthanc holds the study twice.  A run
        may still store the original that it has fetched before.

        Parameters
        ----------
        server : Server
        resources : iterable of StudyResource

        Returns
        -------
        list of StudyResource
        """
        resources = list(resources)
        superseded = {}
        for sub in grouped_slice(resources):
            ids = [r.orthanc_id for r in sub]
            for correction in cls.search([
                        ('server', '=', server.id),
                        ['OR',
                            ('source_UID', 'in', ids),
                            ('target_UID', 'in', ids)],
                        ['OR',
                            ('state', 'in', _RESERVED_STATES),
                            [
                                ('state', '=', 'done'),
                                ('ended_at', '>=', now() - _STALE)]],
                        ]):
                superseded.update(correction._superseded_ids())
        return [
            r for r in resources
            if r.orthanc_id not in superseded or (
                superseded[r.orthanc_id] and r.last_update
                and r.last_update > superseded[r.orthanc_id])]

    def _superseded_ids(self):
        """Return the Orthanc ids that are not another study.

        Returns
        -------
        dict
            The last update until which this holds, by id; None: always.
        """
        if self.state in _RESERVED_STATES:
            return {
                id_: None for id_ in [self.source_UID, self.target_UID]
                if id_ != self.study.orthanc_UID}
        if self.source_UID == self.study.orthanc_UID:
            return {}
        return {self.source_UID: self.source_update}


def _last_update(holding):
    if holding is not None:
        return StudyResource.from_json(holding.study).last_update


class Synchronization(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.synchronization'

    @classmethod
    def without_superseded(cls, server, resources):
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        return Correction.without_superseded(
            server, super().without_superseded(server, resources))
