# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that confirms several suggestions at once"""

from collections import Counter

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin
from ..core.matching.verdicts import Verdict
from ..linking.explanations import MINOR_FIELDS
from ..linking.link import evaluate
from .review import current_doubt

__all__ = [
    'ConfirmSuggestions', 'ConfirmSuggestionsDone', 'ConfirmSuggestionsStart']

STUDY = 'gnuhealth.imaging_orthanc.study'
# Doubts that need no review of each study
_SAFE_DOUBTS = {None, 'no_key', 'identity'}


class ConfirmSuggestionsStart(ModelView):
    "Confirm Suggestions"
    __name__ = 'gnuhealth.imaging_orthanc.confirm_suggestions.start'

    score = fields.Integer(
        "Minimum Score", required=True,
        domain=[('score', '>=', 60), ('score', '<=', 100)],
        help="Suggestions with a lower score are not confirmed.")

    @staticmethod
    def default_score():
        return 100


class ConfirmSuggestionsDone(ModelView):
    "Confirm Suggestions"
    __name__ = 'gnuhealth.imaging_orthanc.confirm_suggestions.done'

    message = fields.Text("Confirmed", readonly=True)


class ConfirmSuggestions(RestrictedWizardMixin, Wizard):
    """Confirm Suggestions

    Confirms the suggestions of the selected studies, except those that a user
    should review one by one.
    """
    __name__ = 'gnuhealth.imaging_orthanc.confirm_suggestions'

    _record_models = frozenset({STUDY})
    start = StateView(
        'gnuhealth.imaging_orthanc.confirm_suggestions.start',
        'health_orthanc.confirm_suggestions_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Confirm", 'confirm', 'tryton-ok', default=True),
            ])
    confirm = StateTransition()
    done = StateView(
        'gnuhealth.imaging_orthanc.confirm_suggestions.done',
        'health_orthanc.confirm_suggestions_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def transition_confirm(self):
        "Confirm the suggestions that need no review of their own"
        pool = Pool()
        Study = pool.get(STUDY)
        left = Counter()
        confirmed = 0
        for study in Study.browse([s.id for s in self.records]):
            why = self._why_left(study)
            if why:
                left[why] += 1
            else:
                study.confirm([study])
                confirmed += 1
        self.done.message = '\n'.join([
                gettext('health_orthanc.msg_suggestions_confirmed',
                    count=confirmed),
                *(gettext('health_orthanc.msg_suggestions_left',
                        count=count, reason=reason)
                    for reason, count in left.most_common())])
        return 'done'

    def _why_left(self, study):
        "Return the reason why a study is to be reviewed by itself, or None"
        if study.link_status != 'auto_unsure':
            return gettext('health_orthanc.msg_left_status')
        decision = evaluate(study)
        best, doubt = decision.best, current_doubt(study, decision)
        if not best or best.candidate.patient.key != study.patient.id or (
                set(decision.orders) != {r.id for r in study.linked_orders}):
            return gettext('health_orthanc.msg_left_changed')
        if doubt not in _SAFE_DOUBTS:
            return gettext(f'health_orthanc.msg_left_{doubt}')
        found = [best, *decision.further]
        if any(
                c.verdict is Verdict.DIFFERS and c.field not in MINOR_FIELDS
                for a in found for c in a.comparisons):
            return gettext('health_orthanc.msg_left_difference')
        if min(a.score for a in found) < self.start.score:
            return gettext('health_orthanc.msg_left_score')

    def default_done(self, fields):
        "Show how many were confirmed, and why others were not"
        return {'message': self.done.message}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
