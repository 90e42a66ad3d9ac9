# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards of the patient reconciliation"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import CorrectionError, describe
from ..core.orthanc.errors import OrthancError
from ..core.orthanc.reconciliation import Refused
from ..core.secrets import SecretUnavailable
from ..exchange.reconciliation import describe_refusal

__all__ = [
    'CorrectIdentity', 'CorrectIdentityAsked', 'CorrectIdentityLine',
    'CorrectIdentityShow', 'RestoreIdentity']

# Each is fetched from Orthanc while a user waits
STUDIES_LIMIT = 20


class CorrectIdentityLine(ModelView):
    "Patient Reconciliation"
    __name__ = 'gnuhealth.imaging_orthanc.correct_identity.line'

    study = fields.Char("Study", readonly=True)
    field = fields.Char("Field", readonly=True)
    before = fields.Char("Current Value", readonly=True)
    after = fields.Char("New Value", readonly=True)
    remark = fields.Char("Comment", readonly=True)


class CorrectIdentityShow(ModelView):
    "Patient Reconciliation"
    __name__ = 'gnuhealth.imaging_orthanc.correct_identity.show'

    lines = fields.One2Many(
        'gnuhealth.imaging_orthanc.correct_identity.line', None, "Values",
        readonly=True)
    ready = fields.Integer("Studies to Reconcile", readonly=True)


class CorrectIdentityAsked(ModelView):
    "Patient Reconciliation"
    __name__ = 'gnuhealth.imaging_orthanc.correct_identity.asked'

    message = fields.Text("Queued", readonly=True)


class CorrectIdentity(RestrictedWizardMixin, Wizard):
    """Patient Reconciliation in Orthanc

    Shows which attributes of the images would change, then queues the
    reconciliation of the selected studies.
    """
    __name__ = 'gnuhealth.imaging_orthanc.correct_identity'

    _record_models = frozenset({'gnuhealth.imaging_orthanc.study'})
    _kind = 'correct'
    start_state = 'show'
    show = StateView(
        'gnuhealth.imaging_orthanc.correct_identity.show',
        'health_orthanc.correct_identity_show_view_form', [
            Button("Cancel", 'end', 'tryton-cancel', default=True),
            Button("Write to Images", 'correct', 'tryton-ok',
                states={'readonly': Eval('ready', 0) == 0}),
            ])
    correct = StateTransition()
    asked = StateView(
        'gnuhealth.imaging_orthanc.correct_identity.asked',
        'health_orthanc.correct_identity_asked_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def default_show(self, fields):
        """List the changes, or the reason for which a study is refused.

        Raises
        ------
        CorrectionError
            Too many studies are selected.
        """
        studies = self._studies()
        lines, ready = [], 0
        for study in studies:
            try:
                lines += self._planned_lines(study)
                ready += 1
            except Refused as error:
                lines.append(_remark(study, describe_refusal(error.reason)))
            except OrthancError as error:
                lines.append(_remark(study, describe(
                            error.kind, status=error.status or '')))
            except SecretUnavailable:
                lines.append(_remark(study, describe('secret')))
        return {'lines': lines, 'ready': ready}

    def _studies(self):
        studies = list(self.records)
        if len(studies) > STUDIES_LIMIT:
            raise CorrectionError(gettext(
                    'health_orthanc.msg_correction_many',
                    limit=STUDIES_LIMIT))
        return studies

    def _planned_lines(self, study):
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        with Correction.get_client(study) as client:
            plan = Correction.plan(study, self._kind, client)
        count = gettext(
            'health_orthanc.msg_correction_count', series=plan.series,
            instances=plan.instances)
        yield from (
            {
                'study': study.rec_name,
                'field': keyword,
                'before': plan.current.get(keyword),
                'after': value,
                'remark': count if not number else None,
                }
            for number, (keyword, value) in enumerate(
                plan.wanted.tags.items()))

    def transition_correct(self):
        "Queue the studies for which it is possible"
        Correction = Pool().get('gnuhealth.imaging_orthanc.study.correction')
        studies = Correction.queue_corrections(self._studies(), self._kind)
        self.asked.message = gettext(
            'health_orthanc.msg_correction_asked', number=len(studies))
        return 'asked'

    def default_asked(self, fields):
        "Show how many studies were queued"
        return {'message': self.asked.message}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'


class RestoreIdentity(CorrectIdentity):
    """Restore Original Patient Data

    Queues the reconciliation that restores the original identity.
    """
    __name__ = 'gnuhealth.imaging_orthanc.restore_identity'
    _kind = 'restore'


def _remark(study, text):
    return {'study': study.rec_name, 'remark': text}
