# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves of images to the right patient in Orthanc, and back

A move is carried out as a patient reconciliation, which is resumed after an
interruption.  Some series of a study become a study of their own.  Links,
steps and results follow in the transaction that records the copies.
"""

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from ..archive.study_modalities import update_modalities
from ..common.rows import load_rows
from ..common.transaction import now
from ..core.dicom.values import new_uid
from ..core.orthanc import reconciliation as core
from ..core.orthanc.relocation import plan_move, plan_move_back
from ..synchronization.store import store_patients, store_series, study_values
from ..worklist.variables import patient_identity

__all__ = ['StudyCorrection']

_MOVES = {'move', 'move_back'}
# Orthanc has nothing to do: only the links are changed
_RIGHT_ALREADY = {'unchanged', 'same_id'}
# What a study of its own takes over
_INHERITED = [
    'server', 'quarantined_at', 'quarantined_by', 'quarantine_reason']


class StudyCorrection(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study.correction'

    wrong_patient = fields.Many2One(
        'gnuhealth.imaging_orthanc.wrong_patient', "Wrong Patient",
        readonly=True, ondelete='CASCADE')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.kind.selection = [
            *cls.kind.selection,
            ('move', "Patient and Order of the Images"),
            ('move_back', "Former Patient and Order"),
            ]

    @property
    def _moved_series(self):
        "The UIDs of the series of a move, None for the whole study"
        return self.wrong_patient.chosen_series

    @classmethod
    def queue_move(cls, wrong, kind):
        """Queue a move of images.

        Parameters
        ----------
        wrong : WrongPatient
        kind : {'move', 'move_back'}
        """
        cls._process_later(cls.create([{
                        'study': wrong.study.id,
                        'server': wrong.study.server.id,
                        'kind': kind,
                        'user': Transaction().user or None,
                        'asked_at': now(),
                        'wrong_patient': wrong.id,
                        }]))

    @classmethod
    def _start(cls, id_):
        correction = cls(id_)
        if correction.kind not in _MOVES or correction.state != 'waiting':
            return super()._start(id_)
        study = correction.study
        if not study.server.correct_identity:
            raise core.Refused('off')
        if study.missing_since:
            raise core.Refused('missing')
        if cls.is_pending(study, correction):
            raise core.Refused('open')
        if correction.kind == 'move':
            return plan_move, (
                study.orthanc_UID, *correction._new_values(),
                correction._moved_series)
        former, = cls.search([
                ('wrong_patient', '=', correction.wrong_patient.id),
                ('kind', '=', 'move'),
                ('state', '=', 'done'),
                ], order=[('id', 'DESC')], limit=1)
        return plan_move_back, (
            correction.wrong_patient.moved_study.orthanc_UID,
            former.source_UID, core.Wanted.loads(former.before),
            correction._moved_series)

    @classmethod
    def _make_plan(cls, client, *arguments):
        if callable(arguments[0]):
            plan, values = arguments
            return plan(client, *values)
        return super()._make_plan(client, *arguments)

    def _new_values(self):
        "Return the identity and the StudyInstanceUIDs that are to be written"
        wrong, study = self.wrong_patient, self.study
        order, former = wrong.request_to, wrong.request_from
        identity = patient_identity(wrong.patient_to)
        values = {k: identity[k] or '' for k in core.IDENTITY}
        if order:
            values['AccessionNumber'] = order.accession_number or ''
        elif former and study.accession_number == former.accession_number:
            values['AccessionNumber'] = ''
        uids = []
        # The former order will be acquired with its own UID
        if self._moved_series or (former and study.study_instance_UID in {
                    former.study_instance_uid, former.merge_id}):
            uids = [order.study_instance_uid] if (
                order and order.study_instance_uid) else []
            uids.append(new_uid())
        return values, uids

    @classmethod
    def _reserve(cls, id_, plan):
        correction = cls(id_)
        super()._reserve(id_, plan)
        if correction.kind == 'move_back':
            cls.write([correction], {
                    'source_UID': (
                        correction.wrong_patient.moved_study.orthanc_UID)})

    def _is_recorded(self, target_id):
        if self.kind in _MOVES and self._moved_series:
            # Series that are moved back join the others
            if self.kind == 'move_back' or self._emptied_study(target_id):
                return False
        return super()._is_recorded(target_id)

    def _emptied_study(self, orthanc_id):
        "Return the study whose series were moved back before, if any"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        found = Study.search([
                ('server', '=', self.server.id),
                ('orthanc_UID', '=', orthanc_id),
                ('missing_since', '!=', None),
                ('patient', '=', None),
                ], limit=1)
        return found[0] if found else None

    @classmethod
    def _load_reserved(cls, id_):
        state, values = super()._load_reserved(id_)
        correction = cls(id_)
        if correction.kind in _MOVES:
            values['series'] = correction._moved_series
        return state, values

    # Records

    @classmethod
    def _update_records(cls, id_, study, patient, series, images, last_update):
        correction = cls(id_)
        if correction.kind not in _MOVES:
            super()._update_records(
                id_, study, patient, series, images, last_update)
            return
        WrongPatient = Pool().get('gnuhealth.imaging_orthanc.wrong_patient')
        wrong = correction.wrong_patient
        if not correction._moved_series:
            super()._update_records(
                id_, study, patient, series, images, last_update)
        else:
            store_patients(correction.server, [patient])
            if correction.kind == 'move':
                cls._split_study(correction, study)
            cls._move_series(correction, series, images)
            store_series(correction.server, series)
            cls._record_history(correction)
            cls.write([correction], {
                    'state': 'removing', 'source_update': last_update})
        wrong = WrongPatient(wrong.id)
        if correction.kind == 'move':
            WrongPatient.complete_move(wrong, in_orthanc=True)
            cls._link_patient(WrongPatient(wrong.id).moved_study)
        else:
            WrongPatient.complete_undo(wrong)

    @classmethod
    def _split_study(cls, correction, resource):
        "Record the study that the moved series make up"
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        source = correction.study
        patients = load_rows(
            pool.get('gnuhealth.orthanc.patient'), 'uuid',
            {resource.patient_orthanc_id}, server=[correction.server.id])
        values = {
            'orthanc_UID': resource.orthanc_id,
            **study_values(resource, patients[resource.patient_orthanc_id]),
            **{
                name: getattr(value, 'id', value)
                for name, value in (
                    (n, getattr(source, n)) for n in _INHERITED)},
            }
        new = correction._emptied_study(resource.orthanc_id)
        if new:
            Study.write([new], values)
        else:
            new, = Study.create([values])
        correction.wrong_patient.__class__.write(
            [correction.wrong_patient], {'new_study': new.id})

    @classmethod
    def _move_series(cls, correction, resources, images):
        "Let the moved series belong to the other study"
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        wrong = correction.wrong_patient.__class__(
            correction.wrong_patient.id)
        places = [wrong.study, wrong.new_study]
        source, target = (
            places if correction.kind == 'move' else reversed(places))
        Series.write(
            cls._find_series(correction, source), {'study': target.id})
        cls._update_series(target, resources)
        cls._update_instances(target, images)
        update_modalities([p.id for p in places])
        if correction.kind == 'move_back':
            Study.write([wrong.new_study], {
                    'quarantined_at': None,
                    'quarantined_by': None,
                    'quarantine_reason': None,
                    })
            Study.mark_missing([wrong.new_study.id])

    @classmethod
    def _find_series(cls, correction, study):
        Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
        return Series.search([
                ('study', '=', study.id),
                ('series_UID', 'in', correction._moved_series),
                ])

    @classmethod
    def _finish(cls, id_, last_update):
        super()._finish(id_, last_update)
        correction = cls(id_)
        if correction.kind == 'move' and correction._moved_series:
            # A synchronization may have stored the originals meanwhile
            Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
            Series.delete(cls._find_series(correction, correction.study))
            update_modalities([correction.study.id])

    # Failures

    @classmethod
    def _fail(cls, id_, kind):
        super()._fail(id_, kind)
        wrong = cls(id_).wrong_patient
        if wrong:
            wrong.fail(wrong, kind)

    @classmethod
    def _refuse(cls, id_, reason):
        correction = cls(id_)
        wrong = correction.wrong_patient
        if not wrong:
            super()._refuse(id_, reason)
        elif correction.state == 'removing':
            # As long as both are there, it is tried again
            cls.write([correction], {'reason': reason, 'error_kind': None})
            wrong.__class__.write([wrong], {'refusal': reason})
        else:
            super()._refuse(id_, reason)
            if (correction.kind == 'move' and reason in _RIGHT_ALREADY
                    and not correction._moved_series):
                wrong.complete_move(wrong, in_orthanc=False)
            else:
                wrong.refuse(wrong, reason)
