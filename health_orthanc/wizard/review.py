# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that reviews the links of studies"""

import hashlib
import json
from collections import Counter

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import without_check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from ..common.access import RestrictedFormMixin, RestrictedWizardMixin
from ..core.dicom.visible_text import visible_text
from ..core.matching.verdicts import Verdict
from ..linking.explanations import (
    DOUBTS, VERDICTS, describe_comparison, describe_patient, describe_vetoes)
from ..linking.history import LINK_STATUSES, is_held, serialize_comparisons
from ..linking.link import evaluate
from ..linking.review import assess_orders, assess_study
from .view_images import open_viewer

__all__ = [
    'Review', 'ReviewComparison', 'ReviewDone', 'ReviewReason', 'ReviewShow',
    'current_doubt']

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
    minor = fields.Boolean("Minor", readonly=True)

    @classmethod
    def view_attributes(cls):
        verdict = Eval('verdict')
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(verdict == 'differs', If(Eval('minor'), '', 'danger'),
                    If(verdict == 'missing', 'muted',
                        If(verdict == 'partial', 'warning', 'success'))),
                ['verdict', 'minor']),
            ]


def _choice_key(patient, requests):
    "Return the value of a candidate in the selection"
    return f'{patient},{"+".join(map(str, requests))}'


def _parse_choice(key):
    "Return the patient and the orders of a candidate in the selection"
    pool = Pool()
    patient, requests = key.split(',')
    return pool.get(PATIENT)(int(patient)), [
        pool.get(REQUEST)(int(id_)) for id_ in requests.split('+') if id_]


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
    further = fields.Many2Many(
        REQUEST, None, None, "Further Orders",
        domain=[
            ('patient', '=', Eval('patient', -1)),
            ('id', '!=', Eval('request', -1)),
            ('state', '!=', 'draft'),
            ],
        states={'invisible': ~Bool(Eval('request'))},
        help="Other orders of the patient that the same images answer.")
    named = fields.Text(
        "Named by the Images", readonly=True,
        states={'invisible': ~Bool(Eval('named'))},
        help="To whom the identifiers in the images belong.")
    compared_with = fields.Char(
        "Compared With", readonly=True,
        states={'invisible': ~Bool(Eval('compared_with'))},
        help="The person whose data are shown for GNU Health.")
    vetoes = fields.Char(
        "Contradictions", readonly=True,
        states={'invisible': ~Bool(Eval('vetoes'))})
    comparisons = fields.One2Many(
        'gnuhealth.imaging_orthanc.review.comparison', None, "Comparison",
        readonly=True)
    study = fields.Many2One(STUDY, "Study", readonly=True)
    studies = fields.One2Many(STUDY, None, "Images", readonly=True)
    can_view_images = fields.Boolean("Images to View", readonly=True)
    stamp = fields.Char("Fingerprint", readonly=True)
    # State of the session between the pages
    queue = fields.Text("Queue", readonly=True)
    counts = fields.Text("Counts", readonly=True)

    @fields.depends('choices')
    def get_choices(self):
        return [(None, ''), *map(tuple, json.loads(self.choices or '[]'))]

    @fields.depends('choice', methods=['_compare'])
    def on_change_choice(self):
        if self.choice:
            self.patient, requests = _parse_choice(self.choice)
            self.request = requests[0] if requests else None
            self.further = requests[1:]
        self._compare()

    @fields.depends(
        'patient', 'request', '_parent_request.patient', 'further',
        methods=['_compare'])
    def on_change_patient(self):
        if self.request and self.request.patient != self.patient:
            self.request = None
        self._keep_further()
        self._compare()

    @fields.depends(
        'patient', 'request', '_parent_request.patient', 'further',
        methods=['_compare'])
    def on_change_request(self):
        if self.request:
            self.patient = self.request.patient
        self._keep_further()
        self._compare()

    @fields.depends('further', methods=['_compare'])
    def on_change_further(self):
        self._compare()

    def _keep_further(self):
        "Keep the further orders that are still possible"
        self.further = [
            r for r in self.further or []
            if self.request and r != self.request
            and r.patient == self.patient]

    @fields.depends(
        'study', 'patient', 'request', 'further', 'choices', 'comparisons')
    def _compare(self):
        if self.study:
            for name, value in _comparison_values(
                    self.study, self.patient, _orders(self),
                    json.loads(self.choices or '[]')).items():
                setattr(self, name, value)


def _orders(show):
    "Return the orders that are chosen in the form, the first one first"
    request, further = show.request, getattr(show, 'further', None) or []
    return [*filter(None, [request]), *(r for r in further if r != request)]


@without_check_access
def _comparison_values(study, patient, requests, choices):
    """Return the values of the form for a choice.

    Where nobody is chosen, the images are compared with the first candidate.
    """
    key = _choice_key(patient.id, [r.id for r in requests]) if (
        patient) else None
    compared = patient, requests
    if not patient and choices:
        compared = _parse_choice(choices[0][0])
    found = assess_orders(study, *compared)
    return {
        'choice': key if key in dict(choices) else None,
        'compared_with': describe_patient(compared[0]),
        'score': min(a.score for a in found) if compared[0] else None,
        'vetoes': describe_vetoes(found[0].vetoes).replace('\n', ' '),
        'comparisons': [
            describe_comparison(c) for c in serialize_comparisons(*found)],
        'stamp': _stamp(study, found if patient else assess_orders(
                study, patient, requests)),
        }


def _stamp(study, assessments):
    "Return a digest of the link and the assessments that are shown"
    link = [
        study.link_status, study.patient, *study.linked_orders,
        study.decided_by, study.decided_at]
    seen = json.dumps(
        [list(map(str, link)), serialize_comparisons(*assessments)])
    return hashlib.sha256(seen.encode()).hexdigest()


def current_doubt(study, decision):
    "Return why a study waits, as the value of the selection"
    if is_held(study):
        return study.doubt
    return decision.doubt.value if decision.doubt else None


def _choices(decision):
    """Yield the value and the text of each candidate in the selection.

    Orders that the images name together are one candidate, and each of them
    is one by itself.
    """
    candidates = [[a] for a in decision.candidates]
    if decision.further:
        candidates.insert(0, [decision.best, *decision.further])
    patients, requests = _records_of(decision.candidates)
    for number, found in enumerate(candidates, 1):
        first = found[0]
        patient = patients[first.candidate.patient.key]
        orders = [
            requests[a.candidate.order.key] for a in found
            if a.candidate.order]
        yield _choice_key(patient.id, [r.id for r in orders]), ' · '.join(
            filter(None, [
                    f'{number}', describe_patient(patient),
                    *(f'{r.requested_test.rec_name} {r.accession_number}'
                        for r in orders),
                    f'{min(a.score for a in found)}', first.vetoes and gettext(
                        'health_orthanc.msg_review_contradicted')]))


def _records_of(assessments):
    "Return the patients and the orders of candidates, by their ids"
    pool = Pool()
    return [{
            record.id: record for record in pool.get(name).browse(list(ids))}
        for name, ids in [
            (PATIENT, {a.candidate.patient.key for a in assessments}),
            (REQUEST, {
                    a.candidate.order.key for a in assessments
                    if a.candidate.order}),
            ]]


# The identifiers that name an order
_KEYS = ['study_uid', 'merge_id', 'accession_number', 'step']


def _named(decision):
    "Return as text to whom the identifiers in the images belong"
    patients, _ = _records_of(decision.candidates)
    lines = []
    for assessment in decision.candidates:
        person = describe_patient(patients[assessment.candidate.patient.key])
        for comparison in assessment.comparisons:
            field = comparison.field
            if field == 'patient_id' and assessment.owns_patient_id:
                lines.append(gettext(
                        'health_orthanc.msg_review_patient_id',
                        value=visible_text(comparison.ours), patient=person))
            elif field in _KEYS and comparison.verdict is Verdict.EQUAL:
                lines.append(gettext(
                        'health_orthanc.msg_review_order_key',
                        field=gettext(f'health_orthanc.msg_field_{field}'),
                        value=visible_text(comparison.ours), patient=person))
    return '\n'.join(dict.fromkeys(lines)) or None


class ReviewReason(_ReviewFormMixin, ModelView):
    "Review Decision"
    __name__ = 'gnuhealth.imaging_orthanc.review.reason'

    study = fields.Char("Study", readonly=True)
    patient = fields.Char(
        "Patient", readonly=True,
        states={'invisible': ~Bool(Eval('patient'))},
        help="The patient that the images would be linked to.")
    orders = fields.Text(
        "Orders", readonly=True,
        states={'invisible': ~Bool(Eval('orders'))})
    named = fields.Text(
        "Named by the Images", readonly=True,
        states={'invisible': ~Bool(Eval('named'))})
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
            # Clients disable those of studies in a dialog
            Button(
                "View", 'view', 'tryton-open', validate=False,
                states={'invisible': ~Eval('can_view_images', False)}),
            Button("Close", 'end', 'tryton-close'),
            Button("Dismiss", 'ask_dismiss', 'tryton-clear', validate=False),
            Button("Unlink", 'ask_unlink', 'tryton-remove', validate=False),
            Button("Skip", 'skip', 'tryton-forward', validate=False),
            Button(
                "Confirm", 'confirm', 'tryton-ok', default=True,
                states={'readonly': ~Bool(Eval('patient'))}),
            ])
    view = StateAction('health_orthanc.url_view_images')
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
        choices = list(_choices(decision))
        patient, requests = self._current_choice(study)
        ids, index = json.loads(self.show.queue)
        notice = self.show.notice
        compared = _comparison_values(study, patient, requests, choices)
        self._store_choice(study, patient, requests, compared['stamp'])
        return {
            **compared,
            'notice': notice,
            'position': gettext(
                'health_orthanc.msg_review_position', number=index + 1,
                count=len(ids)),
            'link_status': study.link_status,
            'doubt': current_doubt(study, decision),
            'choices': json.dumps(choices),
            'patient': patient.id if patient else None,
            'request': requests[0].id if requests else None,
            'further': [r.id for r in requests[1:]],
            'named': _named(decision),
            'study': study.id,
            'studies': [study.id],
            'can_view_images': study.can_view_images,
            }

    def _current_choice(self, study):
        "Return patient and orders that were chosen, otherwise linked"
        show = self.show
        if getattr(show, 'study', None) == study:
            return show.patient, _orders(show)
        return study.patient, study.linked_orders

    def _store_choice(self, study, patient, requests, stamp):
        "Keep only the choice in the session"
        show = self.show
        self._start_page(*json.loads(show.queue), json.loads(show.counts))
        self.show.study = study
        self.show.patient = patient
        self.show.request = requests[0] if requests else None
        self.show.further = requests[1:]
        self.show.stamp = stamp

    # Actions

    def do_view(self, action):
        "Open the images of the study in the viewer"
        return open_viewer(action, self._study), {}

    def transition_view(self):
        "Show the study again, with what is chosen"
        return self._show()

    def _check_unchanged(self):
        """Return the study and the assessments of the choice, if unchanged.

        Returns
        -------
        tuple or None
            None if either has changed since it was shown.
        """
        show, study = self.show, self._study
        if not study or show.study != study:
            return None
        assessments = assess_orders(study, show.patient, _orders(show))
        if _stamp(study, assessments) != show.stamp:
            return None
        return study, assessments

    def transition_confirm(self):
        "Link the study; contradictions need a reason first"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, assessments = seen
        if not self.show.patient:
            return self._show_again('health_orthanc.msg_review_no_patient')
        if assessments[0].vetoes:
            return 'ask_link'
        self._link(study)
        return self._show_next('confirmed')

    def _link(self, study, reason=None):
        first, *further = _orders(self.show) or [None]
        study.link_because(study, self.show.patient, first, reason, further)

    def transition_link(self):
        "Link the study against a contradiction, with the reason"
        seen = self._check_unchanged()
        if not seen:
            return self._show_again('health_orthanc.msg_review_changed')
        study, _ = seen
        self._link(study, self.ask_link.reason)
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
        "Show the patient and the contradictions"
        values = self._reason_values('ask_link')
        show = self.show
        found = assess_study(show.study, show.patient).vetoes
        return {
            **values,
            'patient': describe_patient(show.patient),
            'orders': '\n'.join(r.rec_name for r in _orders(show)) or None,
            'named': _named(evaluate(show.study)),
            'vetoes': describe_vetoes(found),
            }

    def default_ask_unlink(self, fields):
        "Show the study"
        return self._reason_values('ask_unlink')

    def default_ask_dismiss(self, fields):
        "Show the study"
        return self._reason_values('ask_dismiss')

    def _reason_values(self, state):
        Reason = Pool().get('gnuhealth.imaging_orthanc.review.reason')
        show, study = self.show, self.show.study
        self._store_choice(study, show.patient, _orders(show), show.stamp)
        setattr(self, state, Reason())
        return {'study': visible_text(study.rec_name)}

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
