# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards for studies of the wrong patient"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedFormMixin, RestrictedWizardMixin
from ..common.exceptions import WrongPatientError
from ..linking.explanations import describe_patient

__all__ = [
    'MarkWrongPatient', 'MarkWrongPatientReason', 'MoveStudy',
    'MoveStudyChoose', 'MoveStudyConfirm', 'MoveStudyDone']

_STUDY = 'gnuhealth.imaging_orthanc.study'
_STEP = 'gnuhealth.imaging.procedure.step'
_WRONG_PATIENT = 'gnuhealth.imaging_orthanc.wrong_patient'


class MarkWrongPatientReason(ModelView):
    "Wrong Patient"
    __name__ = 'gnuhealth.imaging_orthanc.mark_wrong_patient.reason'

    question = fields.Text("Question", readonly=True)
    reason = fields.Text("Reason", required=True)


class MarkWrongPatient(RestrictedWizardMixin, Wizard):
    """Wrong Patient

    Puts the selected studies in quarantine.
    """
    __name__ = 'gnuhealth.imaging_orthanc.mark_wrong_patient'

    _record_models = frozenset({_STUDY, _STEP})
    start_state = 'ask'
    ask = StateView(
        'gnuhealth.imaging_orthanc.mark_wrong_patient.reason',
        'health_orthanc.mark_wrong_patient_reason_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Wrong Patient", 'mark', 'tryton-warning', default=True),
            ])
    mark = StateTransition()

    def default_ask(self, fields):
        "Name the patients to whom the images do not belong"
        names = {
            describe_patient(s.patient) for s in self._studies() if s.patient}
        return {
            'question': gettext(
                'health_orthanc.msg_wrong_patient_question',
                patients=', '.join(sorted(names)) or '–'),
            }

    def transition_mark(self):
        """Put the studies in quarantine.

        Raises
        ------
        ReasonRequiredError, WrongPatientError, QuarantineError
        """
        Pool().get(_WRONG_PATIENT).mark(self._studies(), self.ask.reason)
        return 'end'

    @without_check_access
    def _studies(self):
        """Return the selected studies, or those of the selected steps.

        Radiographers see steps, but no studies.

        Raises
        ------
        WrongPatientError
            The steps have no images.
        """
        records = list(self.records)
        if self.model.__name__ == _STEP:
            Step = Pool().get(_STEP)
            records = list({s.study for s in Step.browse(records) if s.study})
        if not records:
            raise WrongPatientError(
                gettext('health_orthanc.msg_wrong_patient_no_images'))
        return records

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'


class MoveStudyChoose(RestrictedFormMixin, ModelView):
    "Move to the Right Patient"
    __name__ = 'gnuhealth.imaging_orthanc.move_study.choose'
    _wizard = 'gnuhealth.imaging_orthanc.move_study'

    wrong_patient = fields.Many2One(
        'gnuhealth.patient', "Wrong Patient", readonly=True)
    wrong_order = fields.Many2One(
        'gnuhealth.imaging.test.request', "Wrong Order", readonly=True)
    patient = fields.Many2One(
        'gnuhealth.patient', "Right Patient", required=True)
    order = fields.Many2One(
        'gnuhealth.imaging.test.request', "Right Order",
        domain=[
            ('patient', '=', Eval('patient', -1)),
            ('state', 'in', ['requested', 'done']),
            ],
        states={'readonly': ~Bool(Eval('patient'))})
    study = fields.Many2One(_STUDY, "Study", readonly=True)
    series = fields.Many2Many(
        'gnuhealth.imaging_orthanc.study_series', None, None, "Series",
        domain=[
            ('study', '=', Eval('study', -1)),
            ('missing_since', '=', None),
            ],
        help="The series that belong to the right patient. Leave empty to "
        "move the whole study.")

    @fields.depends('patient', 'order')
    def on_change_patient(self):
        if self.order and self.order.patient != self.patient:
            self.order = None


class MoveStudyConfirm(ModelView):
    "Move to the Right Patient"
    __name__ = 'gnuhealth.imaging_orthanc.move_study.confirm'

    message = fields.Text("What Will Happen", readonly=True)


class MoveStudyDone(ModelView):
    "Move Started"
    __name__ = 'gnuhealth.imaging_orthanc.move_study.done'

    message = fields.Text("Result", readonly=True)


class MoveStudy(RestrictedWizardMixin, Wizard):
    """Move to the Right Patient

    Moves a study in quarantine, or some of its series.
    """
    __name__ = 'gnuhealth.imaging_orthanc.move_study'

    _record_models = frozenset({_STUDY, _WRONG_PATIENT})
    start_state = 'choose'
    choose = StateView(
        'gnuhealth.imaging_orthanc.move_study.choose',
        'health_orthanc.move_study_choose_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Continue", 'confirm', 'tryton-forward', default=True),
            ])
    confirm = StateView(
        'gnuhealth.imaging_orthanc.move_study.confirm',
        'health_orthanc.move_study_confirm_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Back", 'choose', 'tryton-back'),
            Button("Move", 'move', 'tryton-ok', default=True),
            ])
    move = StateTransition()
    done = StateView(
        'gnuhealth.imaging_orthanc.move_study.done',
        'health_orthanc.move_study_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def _wrong(self):
        """Return the report about the selected study.

        Raises
        ------
        WrongPatientError
            It was not reported, or is being moved already.
        """
        WrongPatient = Pool().get(_WRONG_PATIENT)
        record = self.record
        found = [record] if record.__name__ == _WRONG_PATIENT else (
            WrongPatient.search([
                    ('study', '=', record.id), ('state', '=', 'marked')],
                limit=1))
        if not found or found[0].state != 'marked':
            raise WrongPatientError(gettext(
                    'health_orthanc.msg_wrong_patient_state',
                    study=record.rec_name))
        return found[0]

    def default_choose(self, fields):
        "Name whose images they were taken for"
        wrong = self._wrong()
        chosen = {
            name: getattr(getattr(self.choose, name, None), 'id', None)
            for name in ['patient', 'order']}
        return {
            'study': wrong.study.id,
            'wrong_patient': wrong.patient_from.id,
            'wrong_order': (
                wrong.request_from.id if wrong.request_from else None),
            'series': [s.id for s in getattr(self.choose, 'series', [])],
            **chosen,
            }

    def default_confirm(self, fields):
        "Say what will happen"
        wrong, chosen = self._wrong(), self.choose
        series = [s.rec_name for s in chosen.series or []]
        what = ', '.join(series) or wrong.study.rec_name
        if chosen.order:
            lines = [gettext('health_orthanc.msg_move_what',
                    what=what, patient=describe_patient(chosen.patient),
                    order=chosen.order.rec_name)]
        else:
            lines = [gettext('health_orthanc.msg_move_without_order',
                    what=what, patient=describe_patient(chosen.patient))]
        if wrong.request_from:
            lines.append(gettext('health_orthanc.msg_move_from',
                    patient=describe_patient(wrong.patient_from),
                    order=wrong.request_from.rec_name))
        lines += [
            gettext('health_orthanc.msg_move_in_orthanc'
                if wrong.changes_orthanc
                else 'health_orthanc.msg_move_not_in_orthanc'),
            gettext('health_orthanc.msg_move_then'),
            ]
        return {'message': '\n'.join(lines)}

    def transition_move(self):
        """Start the move.

        Raises
        ------
        WrongPatientError
        """
        WrongPatient = Pool().get(_WRONG_PATIENT)
        WrongPatient.start_move(
            self._wrong(), self.choose.patient, self.choose.order,
            list(self.choose.series or []))
        return 'done'

    def default_done(self, fields):
        "Say what is still to be done"
        return {'message': gettext('health_orthanc.msg_move_started')}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
