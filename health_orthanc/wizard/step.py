# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that rejects procedure steps"""

from trytond.model import ModelView, fields
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin

__all__ = ['RejectStep', 'RejectStepReason']


class RejectStepReason(ModelView):
    "Reject Procedure Steps"
    __name__ = 'gnuhealth.imaging.procedure.step.reject.reason'

    reason = fields.Text(
        "Reason", required=True,
        help="Why the images cannot be used. Shown on the order.")


class RejectStep(RestrictedWizardMixin, Wizard):
    """Reject Procedure Steps

    Rejects the selected steps with a reason.
    """
    __name__ = 'gnuhealth.imaging.procedure.step.reject'

    _record_models = frozenset({'gnuhealth.imaging.procedure.step'})
    start = StateView(
        'gnuhealth.imaging.procedure.step.reject.reason',
        'health_orthanc.step_reject_reason_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Reject", 'reject', 'tryton-ok', default=True),
            ])
    reject = StateTransition()

    def transition_reject(self):
        """Reject the steps.

        Raises
        ------
        StepValidationError
            There is no reason.
        StepWorkflowError
            An order is not requested.
        """
        self.model.reject_because(list(self.records), self.start.reason)
        return 'end'

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
