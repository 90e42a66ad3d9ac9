# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of the wrong patient

At the console the item of another patient was picked: every key agrees, and
the link is certain, for the wrong person.  Somebody notices it and marks the
study, which is in quarantine from then on.  Then the study, or some of its
series, are moved to the right patient and order, in Orthanc and here.  This
can be undone until it is confirmed, which ends the quarantine.
"""

import json

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, without_check_access

from ..common.access import ReadonlyMixin, check_write
from ..common.exceptions import (
    QuarantineError, ReasonRequiredError, WrongPatientError, describe)
from ..common.transaction import now
from ..linking.fulfilment import fulfil_orders
from .reconciliation import describe_refusal
from .relink import link_back, link_to_right_patient
from .withholding import hand_back_attachments, withhold_attachments

__all__ = ['ProcedureStep', 'Study', 'WrongPatient']

STATES = [
    ('marked', "Marked"),
    ('moving', "Moving"),
    ('moved', "Moved, Not Confirmed"),
    ('undoing', "Undoing"),
    ('confirmed', "Confirmed"),
    ('released', "Taken Back"),
    ]
# As long as it is in one of these, the images are not shown
OPEN = ['marked', 'moving', 'moved', 'undoing']


class WrongPatient(ReadonlyMixin, ModelSQL, ModelView):
    """Study of the Wrong Patient

    Who noticed it and when, where the images were moved, and who confirmed it.
    """
    __name__ = 'gnuhealth.imaging_orthanc.wrong_patient'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='RESTRICT')
    state = fields.Selection(
        STATES, "State", required=True, readonly=True, sort=False)
    marked_by = fields.Many2One(
        'res.user', "Reported By", readonly=True, ondelete='RESTRICT')
    marked_at = fields.DateTime("Reported At", required=True, readonly=True)
    reason = fields.Text("Reason", required=True, readonly=True)
    patient_from = fields.Many2One(
        'gnuhealth.patient', "Wrong Patient", readonly=True,
        ondelete='RESTRICT')
    request_from = fields.Many2One(
        'gnuhealth.imaging.test.request', "Wrong Order", readonly=True,
        ondelete='SET NULL')
    patient_to = fields.Many2One(
        'gnuhealth.patient', "Right Patient", readonly=True,
        ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('patient_to'))})
    request_to = fields.Many2One(
        'gnuhealth.imaging.test.request', "Right Order", readonly=True,
        ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('request_to'))})
    series_uids = fields.Text("Series UIDs", readonly=True, strip=False)
    series_names = fields.Text(
        "Series", readonly=True,
        states={'invisible': ~Bool(Eval('series_names'))},
        help="The series that are moved; all if empty.")
    new_study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "New Study", readonly=True,
        ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('new_study'))},
        help="The study of the series that were moved.")
    moved_by = fields.Many2One(
        'res.user', "Moved By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('moved_by'))})
    moved_at = fields.DateTime(
        "Moved At", readonly=True,
        states={'invisible': ~Bool(Eval('moved_at'))})
    ended_by = fields.Many2One(
        'res.user', "Ended By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('ended_by'))},
        help="The user who confirmed the move or took the report back.")
    ended_at = fields.DateTime(
        "Ended At", readonly=True,
        states={'invisible': ~Bool(Eval('ended_at'))})
    in_orthanc = fields.Boolean(
        "Moved in Orthanc", readonly=True,
        help="The patient was changed in the images, too.")
    before = fields.Text("State Before", readonly=True, strip=False)
    refusal = fields.Char("Refusal", readonly=True)
    error_kind = fields.Char("Error Type", readonly=True)
    message = fields.Function(fields.Text(
            "Error", states={'invisible': ~Bool(Eval('message'))}),
        'get_message')
    notices = fields.One2Many(
        'gnuhealth.imaging_orthanc.wrong_patient.notice', 'wrong_patient',
        "Notified Users", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('id', 'DESC')]
        visible = {
            'move': ['marked'],
            'undo_move': ['moved'],
            'confirm_move': ['moved'],
            'take_back': ['marked'],
            }
        cls._buttons.update({
                name: {
                    'invisible': ~Eval('state').in_(states),
                    'depends': ['state'],
                    } for name, states in visible.items()})

    def get_rec_name(self, name):
        return f'{self.study.rec_name} {self.marked_at}'

    def get_message(self, name):
        if self.refusal:
            return describe_refusal(self.refusal)
        if self.error_kind:
            return describe(self.error_kind)

    @property
    def moved_study(self):
        "The study that holds what is moved"
        return self.new_study or self.study

    @property
    def chosen_series(self):
        "The UIDs of the series that are moved, None for all"
        return json.loads(self.series_uids) if self.series_uids else None

    # Marking

    @classmethod
    @without_check_access
    def mark(cls, studies, reason):
        """Put studies in quarantine, because they are another patient's.

        Parameters
        ----------
        studies : list of Study
        reason : str

        Returns
        -------
        list of WrongPatient

        Raises
        ------
        ReasonRequiredError
        WrongPatientError
            A study is linked to nobody, or marked already.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        reason = (reason or '').strip()
        if not reason:
            raise ReasonRequiredError(
                gettext('health_orthanc.msg_reason_required'))
        Study.lock(studies)
        studies = Study.browse(studies)
        for study in studies:
            study.check_released()
            if not study.patient:
                raise WrongPatientError(gettext(
                        'health_orthanc.msg_wrong_patient_unlinked',
                        study=study.rec_name))
        user = Transaction().user or None
        cls._put_in_quarantine(studies, user, reason)
        marked = cls.create([{
                    'study': study.id,
                    'state': 'marked',
                    'marked_by': user,
                    'marked_at': now(),
                    'reason': reason,
                    'patient_from': study.patient.id,
                    'request_from': study.request.id if (
                        study.request) else None,
                    } for study in studies])
        for wrong in marked:
            withhold_attachments(wrong)
            wrong.notify(known_users(wrong))
        return marked

    @staticmethod
    def _put_in_quarantine(studies, user, reason):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        Study.write(studies, {
                'quarantined_at': now(),
                'quarantined_by': user,
                'quarantine_reason': reason,
                })

    def notify(self, users):
        "Show users a notice about this study, again if they have read one"
        Notice = Pool().get('gnuhealth.imaging_orthanc.wrong_patient.notice')
        Notice.tell(self, set(users) - {Transaction().user})

    @classmethod
    @ModelView.button
    @without_check_access
    def take_back(cls, records):
        "End the quarantine: the images are the patient's after all"
        for wrong in cls._lock_in(records, 'marked'):
            cls._end(wrong, 'released')

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_move_study')
    def move(cls, records):
        "Open the wizard that moves the images to the right patient"
        pass

    # Moving

    @classmethod
    @without_check_access
    def start_move(cls, wrong, patient, request=None, series=None):
        """Move the images of a study to the right patient and order.

        The move is carried out by a task, unless Orthanc is not to be changed.

        Parameters
        ----------
        wrong : WrongPatient
        patient : Patient
        request : Request, optional
        series : list of Series, optional
            Only these are moved; by default the whole study.

        Raises
        ------
        WrongPatientError
        """
        wrong, = cls._lock_in([wrong], 'marked')
        series = cls._check_choice(wrong, patient, request, series)
        cls.write([wrong], {
                'patient_to': patient.id,
                'request_to': request.id if request else None,
                'series_uids': json.dumps(
                    [s.series_UID for s in series]) if series else None,
                'series_names': '\n'.join(s.rec_name for s in series) or None,
                'moved_by': Transaction().user or None,
                'moved_at': now(),
                'refusal': None,
                'error_kind': None,
                'state': 'moving',
                })
        wrong = cls(wrong.id)
        if wrong.changes_orthanc:
            cls._queue(wrong, 'move')
        else:
            cls.complete_move(wrong, in_orthanc=False)

    @property
    def changes_orthanc(self):
        "Whether the patient is changed in the images, too"
        return bool(
            self.study.server.correct_identity
            and not self.study.missing_since)

    @classmethod
    def _check_choice(cls, wrong, patient, request, series):
        """Return the series to move, none for the whole study.

        Raises
        ------
        WrongPatientError
        """
        study = wrong.study
        all_series = [s for s in study.series if not s.missing_since]
        chosen = [s for s in all_series if s in (series or [])]
        if len(chosen) == len(all_series):
            chosen = []

        def refuse(message):
            raise WrongPatientError(gettext(f'health_orthanc.{message}'))
        if request and request.patient != patient:
            refuse('msg_wrong_patient_order')
        if patient == study.patient and (
                not request or request == study.request):
            refuse('msg_wrong_patient_same')
        if chosen and not wrong.changes_orthanc:
            refuse('msg_wrong_patient_series')
        if wrong.changes_orthanc:
            Correction = Pool().get(
                'gnuhealth.imaging_orthanc.study.correction')
            if Correction.is_pending(study):
                refuse('msg_correction_open')
            if not patient.party.ref:
                refuse('msg_correction_no_puid')
        return chosen

    @classmethod
    def _queue(cls, wrong, kind):
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        Correction.queue_move(wrong, kind)

    @classmethod
    def complete_move(cls, wrong, in_orthanc):
        """Let links, steps and results follow the images.

        Parameters
        ----------
        wrong : WrongPatient
        in_orthanc : bool
            Whether Orthanc was changed.
        """
        before = link_to_right_patient(wrong)
        cls.write([wrong], {
                'state': 'moved',
                'in_orthanc': in_orthanc,
                'before': json.dumps(before),
                'refusal': None,
                'error_kind': None,
                })
        cls._fulfil_others(wrong)
        wrong.notify(known_users(wrong))

    @staticmethod
    def _fulfil_others(wrong):
        "Complete what other studies of both orders leave to complete"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        orders = [r.id for r in [wrong.request_from, wrong.request_to] if r]
        fulfil_orders(Study.search([
                    ['OR',
                        ('request', 'in', orders),
                        ('further_orders.request', 'in', orders)],
                    ('id', '!=', wrong.moved_study.id)]))

    @classmethod
    @ModelView.button
    @without_check_access
    def undo_move(cls, records):
        "Move the images back; they stay in quarantine"
        for wrong in cls._lock_in(records, 'moved'):
            cls._check_removed(wrong)
            if wrong.in_orthanc:
                cls.write([wrong], {'state': 'undoing', 'refusal': None})
                cls._queue(wrong, 'move_back')
            else:
                cls.complete_undo(wrong)

    @classmethod
    def complete_undo(cls, wrong):
        "Let links, steps and results follow the images back"
        link_back(wrong, json.loads(wrong.before))
        cls._fulfil_others(wrong)
        cls.write([wrong], {
                'state': 'marked',
                'in_orthanc': False,
                'before': None,
                'new_study': None,
                'refusal': None,
                'error_kind': None,
                })
        wrong.notify({n.user.id for n in wrong.notices})

    @classmethod
    @ModelView.button
    @without_check_access
    def confirm_move(cls, records):
        "Confirm moves, and show the images again"
        for wrong in cls._lock_in(records, 'moved'):
            cls._check_removed(wrong)
            cls._end(wrong, 'confirmed')

    @staticmethod
    def _check_removed(wrong):
        """Check that Orthanc does not hold the images of both patients.

        Raises
        ------
        WrongPatientError
        """
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        if Correction.is_pending(wrong.study):
            raise WrongPatientError(
                gettext('health_orthanc.msg_correction_open'))

    @classmethod
    def _end(cls, wrong, state):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        hand_back_attachments(wrong, confirmed=state == 'confirmed')
        studies = list({wrong.study, wrong.moved_study})
        # Their key images are attached anew
        Study.write(studies, {
                'quarantined_at': None,
                'quarantined_by': None,
                'quarantine_reason': None,
                'matched_at': None,
                })
        cls.write([wrong], {
                'state': state,
                'ended_by': Transaction().user or None,
                'ended_at': now(),
                })
        wrong.notify({n.user.id for n in wrong.notices})

    # Failures of what is done in Orthanc

    @classmethod
    def refuse(cls, wrong, reason):
        "Return to the state before, because Orthanc cannot be changed"
        cls.write([wrong], {
                'state': 'marked' if wrong.state == 'moving' else 'moved',
                'refusal': reason,
                'error_kind': None,
                })

    @classmethod
    def fail(cls, wrong, kind):
        "Show an error, after which it is tried again"
        cls.write([wrong], {'error_kind': kind})

    @classmethod
    def _lock_in(cls, records, state):
        """Lock records, and check that they are in a state.

        Raises
        ------
        WrongPatientError
        """
        cls.lock(records)
        records = cls.browse([r.id for r in records])
        for wrong in records:
            if wrong.state != state:
                raise WrongPatientError(gettext(
                        'health_orthanc.msg_wrong_patient_state',
                        study=wrong.study.rec_name))
        return records


def known_users(wrong):
    """Return the ids of the users who are known to have seen the images.

    These are whoever wrote, attached, decided or ordered something.  What was
    only looked at is recorded nowhere yet.

    Parameters
    ----------
    wrong : WrongPatient

    Returns
    -------
    set of int
    """
    pool = Pool()
    Decision = pool.get('gnuhealth.imaging_orthanc.study.decision')
    Withheld = pool.get('gnuhealth.imaging_orthanc.wrong_patient.withheld')
    Result = pool.get('gnuhealth.imaging.test.result')
    studies = {wrong.study, wrong.moved_study}
    orders = {r for r in [wrong.request_from, wrong.request_to] if r}
    orders.update(order for s in studies for order in s.linked_orders)
    users = [wrong.marked_by, wrong.moved_by]
    for study in studies:
        users += [study.decided_by]
    users += [d.user for d in Decision.search(
            [('study', 'in', [s.id for s in studies])])]
    for withheld in Withheld.search([('wrong_patient', '=', wrong.id)]):
        users += [
            withheld.attachment.create_uid, withheld.attachment.write_uid]
    results = {r for s in studies for r in s.linked_results}
    results |= set(Result.search([('request', 'in', [o.id for o in orders])]))
    for result in results:
        users += [result.orthanc_reported_by, _user_of(result.doctor)]
    users += [_user_of(order.doctor) for order in orders]
    return {u.id for u in users if u and u.id and u.active}


def _user_of(professional):
    return professional.party.internal_user if professional else None


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'
    _visual_depends = frozenset({'quarantined_at'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'mark_wrong_patient': {
                    'invisible': (
                        Bool(Eval('quarantined_at'))
                        | ~Bool(Eval('patient'))),
                    'depends': ['quarantined_at', 'patient'],
                    },
                'move_to_patient': {
                    'invisible': ~Bool(Eval('quarantined_at')),
                    'depends': ['quarantined_at'],
                    },
                })

    @classmethod
    def _visual(cls):
        # Nobody can open them: a list shows why there is no button
        return If(Bool(Eval('quarantined_at')), 'danger', super()._visual())

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_mark_wrong_patient')
    def mark_wrong_patient(cls, studies):
        "Open the dialog that asks why the study is another patient's"
        pass

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_move_study')
    def move_to_patient(cls, studies):
        "Open the wizard that moves the images to the right patient"
        pass

    @classmethod
    def write(cls, *args):
        if Transaction().check_access:
            for studies, values in zip(args[::2], args[1::2]):
                if values.keys() & {'patient', 'imaging_test', 'request'}:
                    # The refusal names the patient
                    check_write(cls, values)
                    cls.check_read(studies)
                    cls.check_free(studies)
        super().write(*args)

    @classmethod
    def _decide(cls, studies, values, *args, **kwargs):
        if not Transaction().context.get('_orthanc_moving'):
            cls.check_free(studies)
        super()._decide(studies, values, *args, **kwargs)

    @classmethod
    @without_check_access
    def check_free(cls, studies):
        """Check that the links of studies may be changed.

        Raises
        ------
        QuarantineError
            A study is in quarantine: only its wizard moves it.
        """
        for study in cls.browse(studies):
            if study.quarantined:
                raise QuarantineError(gettext(
                        'health_orthanc.msg_study_quarantined_link',
                        study=study.rec_name))

    @classmethod
    def assign(cls, studies, patient, former=None):
        studies = [s for s in studies if not s.quarantined]
        super().assign(studies, patient, former)


class ProcedureStep(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.procedure.step'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'mark_wrong_patient': {
                    'invisible': Eval('state') != 'completed',
                    'depends': ['state'],
                    },
                })

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_mark_wrong_patient')
    def mark_wrong_patient(cls, steps):
        "Open the dialog that asks why the images are another patient's"
        pass
