# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that dismisses studies"""

from trytond.model import ModelView, fields
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin

__all__ = ['DismissStudies', 'DismissStudiesReason']


class DismissStudiesReason(ModelView):
    "Dismiss Studies"
    __name__ = 'gnuhealth.imaging_orthanc.study.dismiss.reason'

    reason = fields.Char(
        "Reason", required=True,
        help="Why these studies belong to no patient, for example a phantom "
        "or a teaching file.")


class DismissStudies(RestrictedWizardMixin, Wizard):
    """Dismiss Studies

    Dismisses the selected studies with a reason.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study.dismiss'

    _record_models = frozenset({'gnuhealth.imaging_orthanc.study'})
    start = StateView(
        'gnuhealth.imaging_orthanc.study.dismiss.reason',
        'health_orthanc.study_dismiss_reason_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Dismiss", 'dismiss', 'tryton-ok', default=True),
            ])
    dismiss = StateTransition()

    def transition_dismiss(self):
        """Dismiss the studies.

        Raises
        ------
        ReasonRequiredError
        """
        self.model.dismiss_because(list(self.records), self.start.reason)
        return 'end'

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
