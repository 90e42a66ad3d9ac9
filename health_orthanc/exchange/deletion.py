# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletion of images from Orthanc

The record of a study is kept, with its link, notes and history; its instances
are deleted.  The network is only used outside of transactions.  Each deletion
is recorded before: if the process is killed, the next synchronization finds
out whether Orthanc has deleted the images.
"""

import logging

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..archive.audited import study_events
from ..archive.study_modalities import update_modalities
from ..audit.trail import record_events
from ..common.access import ReadonlyMixin
from ..common.exceptions import describe
from ..common.locks import named_lock
from ..common.transaction import in_transaction, now
from ..core.orthanc.deletion import delete, find_gone, is_open
from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable
from ..linking.fulfilment import fulfil_orders
from ..synchronization.store import mark_missing_patients

__all__ = [
    'Deletion', 'Instance', 'LEVELS', 'Series', 'Study', 'Synchronization',
    'count_images', 'get_study']

logger = logging.getLogger('trytond.modules.health_orthanc.deletion')

LEVELS = {
    'gnuhealth.imaging_orthanc.study': 'study',
    'gnuhealth.imaging_orthanc.study_series': 'series',
    'gnuhealth.imaging_orthanc.series_instances': 'instance',
    }
# Unanswered deletions that a synchronization checks at once
OPEN_LIMIT = 1000
# Errors that would affect the next record too
_UNREACHABLE = {'plain_http', 'refused', 'timeout', 'unreachable'}
_OWN_REASONS = {'busy', 'correcting', 'interrupted'}


class _Refused(Exception):
    "A record must not be deleted; the reason is a suffix of a message id"

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Deletion(ReadonlyMixin, ModelSQL, ModelView):
    """Image Deletion

    The images, user and outcome of a deletion from an Orthanc server.
    """
    __name__ = 'gnuhealth.imaging_orthanc.deletion'
    _kept_patients = frozenset({'patient'})

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='RESTRICT')
    level = fields.Selection([
            ('study', "Study"),
            ('series', "Series"),
            ('instance', "Instance"),
            ], "Level", required=True, readonly=True, sort=False)
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='RESTRICT')
    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", readonly=True,
        ondelete='RESTRICT')
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", readonly=True, ondelete='SET NULL',
        help="The patient of the study at the time of the deletion.")
    what = fields.Char("Resource", readonly=True)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    dicom_UID = fields.Char("UID", readonly=True)
    series_count = fields.Integer("Number of Series", readonly=True)
    instances_count = fields.Integer("Images", readonly=True)
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='RESTRICT')
    reason = fields.Char("Reason", readonly=True)
    asked_at = fields.DateTime("Requested At", required=True, readonly=True)
    ended_at = fields.DateTime("Ended At", readonly=True)
    state = fields.Selection([
            ('asked', "Not Confirmed Yet"),
            ('done', "Deleted"),
            ('failed', "Not Deleted"),
            ], "State", required=True, readonly=True, sort=False)
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
        return 'asked'

    def get_rec_name(self, name):
        return f'{self.what} {self.asked_at}'

    def get_message(self, name):
        return self.describe_state(self.state, self.error_kind)

    @staticmethod
    def describe_state(state, kind):
        """Return the message for a deletion.

        Parameters
        ----------
        state : str
        kind : str or None
            The kind of the error.

        Returns
        -------
        str or None
            None if the images are deleted, or there is no error.
        """
        if state == 'done':
            return None
        parts = []
        if kind in _OWN_REASONS:
            parts.append(gettext(f'health_orthanc.msg_deletion_{kind}'))
        elif kind:
            parts.append(describe(kind))
        if state == 'asked':
            parts.append(gettext('health_orthanc.msg_deletion_open'))
        return '\n'.join(parts) or None

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state') == 'failed', 'muted',
                    If(Eval('state') == 'asked', 'warning', '')), ['state']),
            ]

    # Deleting

    @classmethod
    @without_check_access
    def find_obstacle(cls, record):
        "Return the reason why a record must not be deleted, or None"
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        if Correction.is_pending(get_study(record)):
            return 'correcting'

    @classmethod
    def delete_records(cls, records, reason=None):
        """Delete studies, series or instances, one after the other.

        Separate transactions are used for each.

        Parameters
        ----------
        records : list of Study, Series or Instance
        reason : str, optional

        Returns
        -------
        list of tuple
            The state and the message of each deletion.
        """
        user = Transaction().user or None
        outcomes, unreachable = [], {}
        for model, id_, server_id in [
                (r.__name__, r.id, get_study(r).server.id) for r in records]:
            kind = unreachable.get(server_id)
            state = 'failed'
            if not kind:
                state, kind = cls._delete_record(
                    server_id, model, id_, user, reason)
            if kind in _UNREACHABLE:
                # Do not wait for the timeout again
                unreachable[server_id] = kind
            outcomes.append((state, cls.describe_state(state, kind)))
        return outcomes

    @classmethod
    def _delete_record(cls, server_id, model, id_, user, reason):
        "Delete a record; return the state and the kind of the error"
        with named_lock('deletion', server_id) as free:
            if not free:
                return 'failed', 'busy'
            try:
                deletion_id, client, *resource = in_transaction(
                    cls._record_request, model, id_, user, reason)
            except _Refused as error:
                return 'failed', error.reason
            except SecretUnavailable:
                return 'failed', 'secret'
            try:
                with client:
                    gone = delete(client, *resource)
            except OrthancError as error:
                logger.warning(
                    "Orthanc deletion %s: %s", deletion_id, error.kind)
                state = 'asked' if is_open(error) else 'failed'
                in_transaction(cls._fail, deletion_id, state, error.kind)
                return state, error.kind
            in_transaction(cls._finish, deletion_id, gone)
            return 'done', None

    @classmethod
    def _record_request(cls, model, id_, user, reason):
        record = Pool().get(model)(id_)
        obstacle = cls.find_obstacle(record)
        if obstacle:
            raise _Refused(obstacle)
        study, series = get_study(record), _series(record)
        client = study.server.get_client()
        level = LEVELS[model]
        deletion, = cls.create([{
                    'server': study.server.id,
                    'level': level,
                    'study': study.id,
                    'series': series.id if series else None,
                    'patient': study.patient.id if study.patient else None,
                    'what': record.rec_name,
                    'orthanc_UID': record.orthanc_UID,
                    'dicom_UID': _uid(record),
                    **dict(zip(
                            ['series_count', 'instances_count'],
                            count_images(record))),
                    'user': user,
                    'reason': (reason or '').strip() or None,
                    'asked_at': now(),
                    }])
        ancestors = [
            r.orthanc_UID for r in [study, series] if r and r != record]
        return deletion.id, client, level, record.orthanc_UID, ancestors

    @classmethod
    def _fail(cls, id_, state, kind):
        cls.write([cls(id_)], {
                'state': state,
                'error_kind': kind,
                'ended_at': now() if state == 'failed' else None,
                })
        if state == 'failed':
            cls(id_)._record_audit('failure')

    def _record_audit(self, outcome):
        record_events(study_events(
                'delete', [self.study], outcome=outcome,
                user_id=self.user.id if self.user else None,
                detail=f'{self.level} {self.dicom_UID or self.orthanc_UID}'))

    @classmethod
    def _finish(cls, id_, gone):
        """Update the records after Orthanc has deleted the images.

        Parameters
        ----------
        id_ : int
            Of the deletion.
        gone : set of str
            The deleted Orthanc ids, including emptied parents.
        """
        deletion = cls(id_)
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        Study.lock([deletion.study])
        study, series = deletion.study, deletion.series
        if study.orthanc_UID in gone:
            cls._mark_study_deleted(deletion)
        elif series and series.orthanc_UID in gone:
            cls._mark_series_deleted(series)
        elif series:
            cls._delete_instance(series, deletion.orthanc_UID)
        cls.write([deletion], {
                'state': 'done', 'error_kind': None, 'ended_at': now()})
        deletion._record_audit('success')

    @classmethod
    def _mark_study_deleted(cls, deletion):
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        study = deletion.study
        series = [s.id for s in Series.search([('study', '=', study.id)])]
        _delete_instances(series)
        Series.mark_missing(series)
        Study.mark_missing([study.id])
        Study.write([study], {
                'deleted_at': now(),
                'deleted_by': deletion.user.id if deletion.user else None,
                })
        fulfil_orders([study])
        mark_missing_patients(deletion.server)

    @classmethod
    def _mark_series_deleted(cls, series):
        Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
        _delete_instances([series.id])
        Series.mark_missing([series.id])
        update_modalities([series.study.id])

    @classmethod
    def _delete_instance(cls, series, orthanc_id):
        pool = Pool()
        Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
        Instance.delete(Instance.search([
                    ('series', '=', series.id),
                    ('orthanc_UID', '=', orthanc_id),
                    ]))
        if series.instances_count:
            Series.write([series], {
                    'instances_count': series.instances_count - 1})

    # Deletions of killed processes

    @classmethod
    def resume_pending(cls, server_id, client):
        """Finish the deletions whose response was not received.

        Parameters
        ----------
        server_id : int
        client : OrthancClient
        """
        with named_lock('deletion', server_id) as free:
            waiting = in_transaction(
                cls._load_unanswered, server_id) if free else {}
            if not waiting:
                return
            gone = find_gone(client, {
                    id_ for ids in waiting.values() for id_ in ids})
            for id_, (orthanc_id, *ancestors) in waiting.items():
                if orthanc_id in gone:
                    in_transaction(
                        cls._finish, id_,
                        gone.intersection([orthanc_id, *ancestors]))
                else:
                    in_transaction(cls._fail_unanswered, id_)

    @classmethod
    def _load_unanswered(cls, server_id):
        "Return the Orthanc ids of unanswered deletions and of their parents"
        return {
            d.id: [d.orthanc_UID, *(
                    r.orthanc_UID for r in [d.series, d.study]
                    if r and r.orthanc_UID != d.orthanc_UID)]
            for d in cls.search([
                    ('server', '=', server_id),
                    ('state', '=', 'asked'),
                    ], order=[('id', 'ASC')], limit=OPEN_LIMIT)}

    @classmethod
    def _fail_unanswered(cls, id_):
        deletion = cls(id_)
        cls._fail(id_, 'failed', deletion.error_kind or 'interrupted')


def count_images(record):
    """Return the numbers of series and instances in a record.

    Parameters
    ----------
    record : Study, Series or Instance

    Returns
    -------
    tuple of int
    """
    level = LEVELS[record.__name__]
    if level == 'study':
        return record.series_count, record.instances_count
    return 1, record.instances_count if level == 'series' else 1


def get_study(record):
    "Return the study of a study, series or instance"
    level = LEVELS[record.__name__]
    if level == 'study':
        return record
    return record.study if level == 'series' else record.series.study


def _series(record):
    level = LEVELS[record.__name__]
    if level == 'series':
        return record
    return record.series if level == 'instance' else None


def _uid(record):
    return getattr(record, {
            'study': 'study_instance_UID',
            'series': 'series_UID',
            'instance': 'sop_instance_UID',
            }[LEVELS[record.__name__]])


def _delete_instances(series_ids):
    "Delete the instances of series in one statement for many series"
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    table = Instance.__table__()
    cursor = Transaction().connection.cursor()
    for sub_ids in grouped_slice(series_ids):
        cursor.execute(*table.delete(
                where=reduce_ids(table.series, sub_ids)))


class Synchronization(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.synchronization'

    @classmethod
    def resume(cls, server_id, client):
        super().resume(server_id, client)
        Deletion = Pool().get('gnuhealth.imaging_orthanc.deletion')
        Deletion.resume_pending(server_id, client)


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'delete_study': {},
                })

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_images')
    def delete_study(cls, studies):
        "Open the wizard that deletes studies from Orthanc"
        pass


class Series(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study_series'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'delete_series': {},
                })

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_images')
    def delete_series(cls, series):
        "Open the wizard that deletes series from Orthanc"
        pass


class Instance(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'delete_instance': {},
                })

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_images')
    def delete_instance(cls, instances):
        "Open the wizard that deletes instances from Orthanc"
        pass
