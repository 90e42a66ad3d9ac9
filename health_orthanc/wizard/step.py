# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that rejects procedure steps"""

from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import without_check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from ..common.access import RestrictedWizardMixin, may_press
from ..orders.states import OPEN_STATES

__all__ = ['RejectStep', 'RejectStepReason']


class RejectStepReason(ModelView):
    "Reject Procedure Steps"
    __name__ = 'gnuhealth.imaging.procedure.step.reject.reason'

    reason = fields.Text(
        "Reason", required=True,
        help="Why the images cannot be used. Shown on the order.")
    may_repeat = fields.Boolean("May Order Again", readonly=True)


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
            Button("Reject and Order Again", 'repeat', 'tryton-copy',
                states={'invisible': ~Eval('may_repeat', False)}),
            Button("Reject", 'reject', 'tryton-ok', default=True),
            ])
    reject = StateTransition()
    repeat = StateAction('health_orthanc.act_request_replacement')

    def default_start(self, fields):
        "Offer to order again what has no other open steps"
        return {'may_repeat': self._may_repeat()}

    def _may_repeat(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        if not may_press(Request, 'repeat_order'):
            return False
        with without_check_access():
            selected = set(self.records)
            return not any(
                s.state in OPEN_STATES and s not in selected
                for r in self._requests() for s in r.steps)

    def _requests(self):
        return list(dict.fromkeys(s.request for s in self.records))

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

    def do_repeat(self, action):
        """Reject the steps, and order the studies again.

        Raises
        ------
        StepValidationError
            There is no reason.
        StepWorkflowError
            An order is not requested, or has other open steps.
        """
        Request = Pool().get('gnuhealth.imaging.test.request')
        self.transition_reject()
        replaced = Request.browse([r.id for r in self._requests()])
        action['res_id'] = Request.repeat_order(replaced)['res_id']
        return action, {}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
