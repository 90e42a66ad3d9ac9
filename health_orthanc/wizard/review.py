# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards that review the links of studies"""

import hashlib
import json
from collections import Counter

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedFormMixin, RestrictedWizardMixin
from ..core.dicom.visible_text import visible_text
from ..core.matching.verdicts import Verdict
from ..linking.explanations import (
    DOUBTS, VERDICTS, describe_comparison, describe_vetoes)
from ..linking.history import LINK_STATUSES, is_held, serialize_comparisons
from ..linking.link import evaluate
from ..linking.review import assess_study

__all__ = [
    'ConfirmSuggestions', 'ConfirmSuggestionsDone', 'ConfirmSuggestionsStart',
    'Review', 'ReviewComparison', 'ReviewDone',
    'ReviewReason', 'ReviewShow']

STUDY = 'gnuhealth.imaging_orthanc.study'
PATIENT = 'gnuhealth.patient'
REQUEST = 'gnuhealth.imaging.test.request'
# Studies in one session
QUEUE_LIMIT = 1000


class _ReviewFormMixin(RestrictedFormMixin):
    "A form of the review, whose RPC methods are for its groups"
    __slots__ = ()
    _wizard = 'gnuhealth.imaging_orthanc.review'


class ReviewComparison(_ReviewFormMixin, ModelView):
    "Field Comparison"
    __name__ = 'gnuhealth.imaging_orthanc.review.comparison'

    field = fields.Char("Field", readonly=True)
    ours = fields.Char("GNU Health", readonly=True)
    theirs = fields.Char("Images", readonly=True)
    verdict = fields.Selection(
        VERDICTS, "Result", readonly=True, sort=False)
    reason = fields.Char("Comment", readonly=True)

    @classmethod
    def view_attributes(cls):
        verdict = Eval('verdict')
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(verdict == 'differs', 'danger',
                    If(verdict == 'missing', 'muted', 'success'))),
            ]


def _choice_key(patient, request):
    "Return the value of a candidate in the selection"
    return f'{patient},{request or ""}'


class ReviewShow(_ReviewFormMixin, ModelView):
    "Review"
    __name__ = 'gnuhealth.imaging_orthanc.review.show'

    notice = fields.Text(
        "Notice", readonly=True,
        states={'invisible': ~Bool(Eval('notice'))})
    position = fields.Char("Study", readonly=True)
    link_status = fields.Selection(
        LINK_STATUSES, "Link Status", readonly=True, sort=False)
    doubt = fields.Selection(
        [(None, ''), *DOUBTS], "Review Reason", readonly=True, sort=False)
    score = fields.Integer("Score", readonly=True)
    choice = fields.Selection(
        'get_choices', "Candidate", sort=False,
        help="Possible patients and orders, best score first.")
    choices = fields.Text("Candidates", readonly=True)
    patient = fields.Many2One(
        PATIENT, "Patient", help="The patient to link the study to.")
    request = fields.Many2One(
        REQUEST, "Order",
        domain=[
            If(Bool(Eval('patient')), ('patient', '=', Eval('patient', -1)),
                ()),
            ])
    vetoes = fields.Char(
        "Contradictions", readonly=True,
        states={'invisible': ~Bool(Eval('vetoes'))})
    comparisons = fields.One2Many(
        'gnuhealth.imaging_orthanc.review.comparison', None, "Comparison",
        readonly=True)
    study = fields.Many2One(STUDY, "Study", readonly=True)
    studies = fields.One2Many(STUDY, None, "Images", readonly=True)
    stamp = fields.Char("Fingerprint", readonly=True)
    # State of the session between the pages
    queue = fields.Text("Queue", readonly=True)
    counts = fields.Text("Counts", readonly=True)

    @fields.depends('choices')
    def get_choices(self):
        return [(None, ''), *map(tuple, json.loads(self.choices or '[]'))]

    @fields.depends('choice', methods=['_compare'])
    def on_change_choice(self):
        pool = Pool()
        if self.choice:
            patient, request = self.choice.split(',')
            self.patient = pool.get(PATIENT)(int(patient))
            self.request = (
                pool.get(REQUEST)(int(request)) if request else None)
        self._compare()

    @fields.depends(
        'patient', 'request', '_parent_request.patient', methods=['_compare'])
    def on_change_patient(self):
        if self.request and self.request.patient != self.patient:
            self.request = None
        self._compare()

    @fields.depends(
        'patient', 'request', '_parent_request.patient', methods=['_compare'])
    def on_change_request(self):
        if self.request:
            self.patient = self.request.patient
        self._compare()

    @fields.depends('study', 'patient', 'request', 'choices', 'comparisons')
    def _compare(self):
        if self.study:
            for name, value in _comparison_values(
                    self.study, self.patient, self.request,
                    json.loads(self.choices or '[]')).items():
                setattr(self, name, value)


@without_check_access
def _comparison_values(study, patient, request, choices):
    "Return the values of the form for a choice"
    assessment = assess_study(study, patient, request)
    key = _choice_key(patient.id, request and request.id) if patient else None
    return {
        'choice': key if key in dict(choices) else None,
        'score': assessment.score if patient else None,
        'vetoes': describe_vetoes(assessment.vetoes).replace('\n', ' '),
        'comparisons': [
            describe_comparison(c)
            for c in serialize_comparisons(assessment)],
        'stamp': _stamp(study, assessment),
        }


def _stamp(study, assessment):
    "Return a digest of the link and the assessment that are shown"
    link = [
        study.link_status, study.patient, study.request, study.decided_by,
        study.decided_at]
    seen = json.dumps(
        [list(map(str, link)), serialize_comparisons(assessment)])
    return hashlib.sha256(seen.encode()).hexdigest()


def _doubt(study, decision):
    "Return why a study waits, as the value of the selection"
    if is_held(study):
        return study.doubt
    return decision.doubt.value if decision.doubt else None


def _choices(candidates):
    "Yield the value and the text of each candidate in the selection"
    pool = Pool()
    patients = {
        p.id: p for p in pool.get(PATIENT).browse(list({
                    a.candidate.patient.key for a in candidates}))}
    requests = {
        r.id: r for r in pool.get(REQUEST).browse(list({
                    a.candidate.order.key for a in candidates
                    if a.candidate.order}))}
    for number, assessment in enumerate(candidates, 1):
        patient = patients[assessment.candidate.patient.key]
        order = assessment.candidate.order
        request = requests[order.key] if order else None
        yield _choice_key(patient.id, request and request.id), ' · '.join(
            filter(None, [
                    f'{number}', patient.rec_name,
                    str(patient.party.dob or ''), patient.party.ref,
                    request and request.requested_test.rec_name,
                    request and request.accession_number,
                    f'{assessment.score}', assessment.vetoes and gettext(
                        'health_orthanc.msg_review_contradicted')]))


class ReviewReason(_ReviewFormMixin, ModelView):
    "Review Decision"
    __name__ = 'gnuhealth.imaging_orthanc.review.reason'

    study = fields.Char("Study", readonly=True)
    vetoes = fields.Text(
        "Contradictions", readonly=True,
        states={'invisible': ~Bool(Eval('vetoes'))})
    reason = fields.Char(
        "Reason", required=True,
        help="A short explanation, recorded in the history of the study.")


class ReviewDone(_ReviewFormMixin, ModelView):
    "Review Completed"
    __name__ = 'gnuhealth.imaging_orthanc.review.done'

    message = fields.Text("Result", readonly=True)


def _reason_view(button, state):
    "Return a page that asks for the reason of an action"
    return StateView(
        'gnuhealth.imaging_orthanc.review.reason',
        'health_orthanc.review_reason_view_form', [
            Button("Back", 'show', 'tryton-back', validate=False),
            Button(button, state, 'tryton-ok', default=True),
            ])


class Review(RestrictedWizardMixin, Wizard):
    """Review

    Shows the studies to be reviewed one after the other.  The user confirms,
    unlinks, dismisses or skips each.  Before anything is written, the wizard
    checks that study and candidate are still as they were shown.
    """
    __name__ = 'gnuhealth.imaging_orthanc.review'

    start_state = 'start'
    start = StateTransition()
    show = StateView(
        'gnuhealth.imaging_orthanc.review.show',
        'health_orthanc.review_show_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Dismiss", 'ask_dismiss', 'tryton-clear', validate=False),
            Button("Unlink", 'ask_unlink', 'tryton-remove', validate=False),
            Button("Skip", 'skip', 'tryton-forward', validate=False),
            Button(
                "Confirm", 'confirm', 'tryton-ok', default=True,
                states={'readonly': ~Bool(Eval('patient'))}),
            ])
    confirm = StateTransition()
    ask_link = _reason_view("Link Anyway", 'link')
    link = StateTransition()
    ask_unlink = _reason_view("Unlink", 'unlink')
    unlink = StateTransition()
    ask_dismiss = _reason_view("Dismiss", 'dismiss')
    dismiss = StateTransition()
    skip = StateTransition()
    done = StateView(
        'gnuhealth.imaging_orthanc.review.done',
        'health_orthanc.review_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    # The queue

    def transition_start(self):
        "Queue the selected studies, otherwise all that are to be reviewed"
        Study = Pool().get(STUDY)
        if self.model is Study and self.records:
            studies = self.records
        else:
            studies = Study.queue(QUEUE_LIMIT)
        self._start_page([s.id for s in studies], 0, {})
        return self._show()

    def _start_page(self, ids, index, counts, notice=None):
        "Start a page; the session forgets the form of the last one"
        Show = Pool().get('gnuhealth.imaging_orthanc.review.show')
        self.show = Show(
            queue=json.dumps([ids, index]), counts=json.dumps(counts),
            notice=notice)

    def _show(self):
        ids, index = json.loads(self.show.queue)
        # Studies may have been deleted in the meantime
        while index < len(ids) and not self._study:
            index += 1
            self.show.queue = json.dumps([ids, index])
        return 'show' if index < len(ids) else 'done'

    def _show_next(self, action):
        ids, index = json.loads(self.show.queue)
        counts = Counter(json.loads(self.show.counts))
        counts[action] += 1
        self._start_page(ids, index + 1, counts)
        return self._show()

    def _show_again(self, message):
        "Show the study again, with a message"
        ids, index = json.loads(self.show.queue)
        self._start_page(
            ids, index, json.loads(self.show.counts),
            gettext(message) if self._is_shown else None)
        return self._show()

    @property
    def _study(self):
        ids, index = json.loads(self.show.queue)
        found = Pool().get(STUDY).search([('id', '=', ids[index])])
        return found[0] if found else None

    @property
    def _is_shown(self):
        "Whether the client has shown the study"
        return bool(self.show.study)

    # The page

    def value_show(self, fields):
        "Return the values of the page for the current study"
        study = self._study
        decision = evaluate(study)
        choices = list(_choices(decision.candidates))
        patient, request = self._current_choice(study)
        ids, index = json.loads(self.show.queue)
        notice = self.show.notice
        compared = _comparison_values(study, patient, request, choices)
        self._store_choice(study, patient, request, compared['stamp'])
        return {
            **compared,
            'notice': notice,
            'position': gettext(
                'health_orthanc.msg_review_position', number=index + 1,
                count=len(ids)),
            'link_status': study.link_status,
            'doubt': _doubt(study, decision),
            'choices': json.dumps(choices),
            'patient': patient.id if patient else None,
            'request': request.id if request else None,
            'study': study.id,
            'studies': [study.id],
            }

    def _current_choice(self, study):
        "Return patient and order that were chosen, otherwise linked"
        show = self.show
        if getattr(show, 'study', None) == study:
            return show.patient, show.request
        return study.patient, study.request

    def _store_choice(self, study, patient, request, stamp):
        "Keep only the choice in the session"
        show = self.show
        self._start_page(*json.loads(show.queue), json.loads(show.counts))
        self.show.study = study
        self.show.patient = patient
        self.show.request = request
        self.show.stamp = stamp

    # Actions

    def _check_unchanged(self):
        """Return the study and the assessment of the choice, if unchanged.

        Returns
        -------
        tuple or None
            None if either has changed since it was shown.
        """
        show, study = self.show, self._study
        if not study or show.study != study:
            return None
        assessment = assess_study(study, show.patient, show.request)
        if _stamp(study, assessment) != show.stamp:
            return None
        return study, assessment

    def transition_confirm(self):
        "Link the study; contradictions need a reason first"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, assessment = seen
        if not self.show.patient:
            return self._show_again('health_orthanc.msg_review_no_patient')
        if assessment.vetoes:
            return 'ask_link'
        study.link_because(study, self.show.patient, self.show.request)
        return self._show_next('confirmed')

    def transition_link(self):
        "Link the study against a contradiction, with the reason"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, _ = seen
        study.link_because(
            study, self.show.patient, self.show.request, self.ask_link.reason)
        return self._show_next('confirmed')

    def transition_unlink(self):
        "Unlink the study, with the reason"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, _ = seen
        study.unlink_because([study], self.ask_unlink.reason)
        return self._show_next('unlinked')

    def transition_dismiss(self):
        "Dismiss the study, with the reason"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, _ = seen
        study.dismiss_because([study], self.ask_dismiss.reason)
        return self._show_next('dismissed')

    def transition_skip(self):
        "Show the next study"
        if not self._is_shown:
            return self._show_again('health_orthanc.msg_review_changed')
        return self._show_next('skipped')

    def default_ask_link(self, fields):
        "Show the contradictions"
        return self._reason_values('ask_link', vetoes=True)

    def default_ask_unlink(self, fields):
        "Show the study"
        return self._reason_values('ask_unlink')

    def default_ask_dismiss(self, fields):
        "Show the study"
        return self._reason_values('ask_dismiss')

    def _reason_values(self, state, vetoes=False):
        Reason = Pool().get('gnuhealth.imaging_orthanc.review.reason')
        show, study = self.show, self.show.study
        self._store_choice(study, show.patient, show.request, show.stamp)
        setattr(self, state, Reason())
        found = assess_study(study, show.patient, show.request).vetoes
        return {
            'study': visible_text(study.rec_name),
            'vetoes': describe_vetoes(found) if vetoes else None,
            }

    def default_done(self, fields):
        "Show the numbers of actions"
        ids, _ = json.loads(self.show.queue)
        counts = Counter(json.loads(self.show.counts))
        return {'message': gettext(
                'health_orthanc.msg_review_done',
                confirmed=counts['confirmed'], unlinked=counts['unlinked'],
                dismissed=counts['dismissed'], skipped=counts['skipped'])
            if ids else gettext('health_orthanc.msg_review_empty')}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'


# Confirmation of several suggestions

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
        best, doubt = decision.best, _doubt(study, decision)
        if not best or best.candidate.patient.key != study.patient.id or (
                best.candidate.order.key if best.candidate.order else None
                ) != (study.request.id if study.request else None):
            return gettext('health_orthanc.msg_left_changed')
        if doubt not in _SAFE_DOUBTS:
            return gettext(f'health_orthanc.msg_left_{doubt}')
        if any(c.verdict is Verdict.DIFFERS for c in best.comparisons):
            return gettext('health_orthanc.msg_left_difference')
        if best.score < self.start.score:
            return gettext('health_orthanc.msg_left_score')

    def default_done(self, fields):
        "Show how many were confirmed, and why others were not"
        return {'message': self.done.message}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
