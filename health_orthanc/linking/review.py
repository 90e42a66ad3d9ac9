# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users' decisions on the links of studies

A link against a contradiction needs a reason.  Each decision is recorded in
the history, with its comparisons.
"""

import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from ..common.access import check_write
from ..common.exceptions import LinkVetoError, ReasonRequiredError
from ..common.transaction import now
from .candidates import study_attributes
from .explanations import DOUBTS, describe_vetoes
from .fulfilment import fulfil_orders, remove_misplaced_key_images
from .history import LINK_STATUSES, serialize_comparisons
from .link import assess_choice, assess_choices, match_orders

__all__ = ['ReviewMixin', 'assess_orders', 'assess_study']

_LINK = {'patient', 'imaging_test', 'request'}


def assess_study(study, patient=None, request=None):
    """Assess a patient and an order for a study.

    Parameters
    ----------
    study : Study
    patient : Patient, optional
    request : Request, optional

    Returns
    -------
    Assessment
    """
    return assess_choice(study_attributes(study), patient, request)


def assess_orders(study, patient, requests):
    """Assess a patient and several orders for a study.

    Parameters
    ----------
    study : Study
    patient : Patient or None
    requests : iterable of Request

    Returns
    -------
    list of Assessment
        One for each order, or one without an order.
    """
    return assess_choices(study_attributes(study), patient, requests)


class ReviewMixin:
    "The link of a study, and the methods for users' decisions on it"
    __slots__ = ()

    score = fields.Integer(
        "Score", readonly=True,
        states={'invisible': ~Bool(Eval('score'))},
        help="How well the study matches, from 0 to 100.")
    candidate = fields.Many2One(
        'gnuhealth.patient', "Candidate", readonly=True, ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('candidate'))},
        help="The patient with the highest score.")
    doubt = fields.Selection(
        [(None, ''), *DOUBTS], "Review Reason", readonly=True, sort=False,
        states={'invisible': ~Bool(Eval('doubt'))},
        help="Why the study must be reviewed.")
    link_status = fields.Selection(
        LINK_STATUSES, "Link Status", required=True, readonly=True, sort=False)
    decided_by = fields.Many2One(
        'res.user', "Decided By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('decided_by'))},
        help="The user who selected the patient or the result.")
    decided_at = fields.DateTime(
        "Decided At", readonly=True,
        states={'invisible': ~Bool(Eval('decided_at'))})
    decision_reason = fields.Text(
        "Reason", readonly=True,
        states={'invisible': ~Bool(Eval('decision_reason'))},
        help="The reason for the last decision.")
    restored = fields.Boolean(
        "Restored", readonly=True,
        states={'invisible': ~Eval('restored')},
        help="A user restored the study, so dismissal rules no longer apply "
        "to it.")
    age = fields.Function(
        fields.TimeDelta(
            "Age", help="The time since the study was first imported."),
        'get_age')
    decisions = fields.One2Many(
        'gnuhealth.imaging_orthanc.study.decision', 'study', "History",
        readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        dismissed = Eval('link_status') == 'dismissed'
        cls._buttons.update({
                'dismiss': {
                    'invisible': dismissed,
                    'depends': ['link_status'],
                    },
                'review': {},
                'restore': {
                    'invisible': ~dismissed,
                    'depends': ['link_status'],
                    },
                })

    @staticmethod
    def default_link_status():
        return 'unlinked'

    def get_age(self, name):
        age = max(now() - self.create_date, dt.timedelta())
        # Minutes do not matter after a day
        unit = dt.timedelta(hours=1) if age.days else dt.timedelta(minutes=1)
        return age // unit * unit

    @staticmethod
    def order_age(tables):
        table, _ = tables[None]
        # The lowest id is the oldest
        return [-table.id]

    @property
    def linked_orders(self):
        "The orders that the study is linked to, the first one first"
        return [
            *filter(None, [self.request]),
            *(further.request for further in self.further_orders)]

    @property
    def linked_results(self):
        "The results of the linked orders, the first one first"
        return list(filter(None, [
                    self.imaging_test,
                    *(further.result for further in self.further_orders)]))

    @classmethod
    def write(cls, *args):
        decided, args = [], list(args)
        for i in range(0, len(args), 2):
            studies, values = args[i:i + 2]
            # The synchronization also writes the status, users do not
            if values.keys() & _LINK and 'link_status' not in values:
                args[i + 1] = cls._complete_decision(studies, values)
                if Transaction().check_access:
                    check_write(cls, values)
                    cls._check_vetoes(studies, args[i + 1])
                decided.extend(studies)
        before = cls._snapshot(decided)
        super().write(*args)
        moved = [
            study for studies, values in zip(args[::2], args[1::2])
            if values.keys() & _LINK for study in studies]
        if moved:
            remove_misplaced_key_images(moved)
        if decided:
            cls._assign_further_orders(decided)
            cls._record_decisions(decided, before)

    @staticmethod
    def _snapshot(studies):
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        return Decision.snapshot(studies)

    @classmethod
    def _complete_decision(cls, studies, values):
        """Complete the patient, order and result of a user's choice.

        A study that has a patient only gets another one if the values contain
        the patient.
        """
        values = values.copy()
        chosen = cls._chosen_order(values)
        if chosen:
            patient, request = chosen
            with without_check_access():
                linked = any(s.patient for s in cls.browse(studies))
            if patient and not linked:
                values.setdefault('patient', patient.id)
            values.setdefault('request', request.id if request else None)
        elif 'patient' in values and not values['patient']:
            values['imaging_test'] = values['request'] = None
        elif 'patient' in values:
            values.setdefault('request', None)
        if 'imaging_test' not in values and cls._contradicts_result(
                studies, values):
            values['imaging_test'] = None
        return values

    @classmethod
    @without_check_access
    def _contradicts_result(cls, studies, values):
        "Return whether a study has the result of another patient or order"
        results = [s.imaging_test for s in cls.browse(studies)]
        return any(
            r.patient.id != values.get('patient', r.patient.id)
            or values.get('request')
            and r.request and r.request.id != values['request']
            for r in results if r and r.patient)

    @staticmethod
    @without_check_access
    def _chosen_order(values):
        "Return the patient and the order of the result or order in values"
        pool = Pool()
        if values.get('request'):
            request = pool.get(
                'gnuhealth.imaging.test.request')(values['request'])
            return request.patient, request
        if values.get('imaging_test'):
            result = pool.get(
                'gnuhealth.imaging.test.result')(values['imaging_test'])
            return result.patient, result.request

    @classmethod
    @without_check_access
    def _check_vetoes(cls, studies, values):
        """Check that the images do not contradict the chosen patient.

        Raises
        ------
        LinkVetoError
        """
        Patient = Pool().get('gnuhealth.patient')
        for study in cls.browse(studies):
            former = study.patient.id if study.patient else None
            chosen = values.get('patient', former)
            # A contradiction of the existing link was confirmed before
            if not chosen or (
                    chosen == former and study.link_status == 'manual'):
                continue
            assessment = assess_study(study, Patient(chosen))
            if assessment.vetoes:
                raise LinkVetoError(gettext(
                        'health_orthanc.msg_link_veto',
                        vetoes=describe_vetoes(assessment.vetoes)))

    @classmethod
    @without_check_access
    def _assign_further_orders(cls, studies, requests=None):
        """Store the further orders of studies after a user's decision.

        Those of another patient are left out.  If the first order was taken
        away, the next one moves up.

        Parameters
        ----------
        studies : list of Study
        requests : list of Request, optional
            The orders that were chosen; by default they stay.
        """
        StudyOrder = Pool().get('gnuhealth.imaging_orthanc.study.order')
        wanted = {}
        for study in cls.browse(studies):
            orders = requests
            if orders is None:
                orders = [f.request for f in study.further_orders]
            orders = [
                o for o in dict.fromkeys(orders)
                if o.patient == study.patient and o != study.request]
            if orders and not study.request:
                first, *orders = orders
                cls.write([study], {
                        'request': first.id,
                        'link_status': study.link_status})
            if orders or study.further_orders:
                wanted[study.id] = [o.id for o in orders]
        if wanted:
            StudyOrder.assign(wanted, Transaction().user or None)

    @classmethod
    @without_check_access
    def _record_decisions(cls, studies, before, reason=None, status=None):
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        Patient = Pool().get('gnuhealth.patient')
        for study in cls.browse(studies):
            # For an unlinked study, compare with the former patient
            patient = study.patient.id if study.patient else (
                before[study.id]['patient'])
            seen = assess_orders(
                study, Patient(patient),
                study.linked_orders) if patient else []
            score = min((a.score for a in seen), default=None)
            cls.write([study], {
                    'link_status': status or (
                        'manual' if study.patient else 'unlinked'),
                    'decided_by': Transaction().user,
                    'decided_at': now(),
                    'decision_reason': reason,
                    'score': score if study.patient else None,
                    'candidate': None,
                    'doubt': None,
                    })
            Decision.record(
                before, [study], user=Transaction().user or None,
                reason=reason, score=score,
                comparisons=serialize_comparisons(*seen) if seen else None)
        fulfil_orders(studies)

    # Methods of the dialogs

    @classmethod
    def queue(cls, limit=None):
        """Return the studies to be reviewed by a user.

        Suggestions come first, and the oldest of each kind.

        Parameters
        ----------
        limit : int, optional

        Returns
        -------
        list of Study
        """
        return [
            study for status in ['auto_unsure', 'unlinked']
            for study in cls.search([
                    ('link_status', '=', status),
                    ('historical', '=', False),
                    ('missing_since', '=', None),
                    ('decided_by', '=', None),
                    ], order=[('id', 'ASC')], limit=limit)][:limit]

    @classmethod
    def confirm(cls, studies):
        """Confirm the suggested patients and orders of studies.

        Parameters
        ----------
        studies : list of Study

        Raises
        ------
        LinkVetoError
        """
        for study in cls.browse(studies):
            cls.link_because(
                study, study.patient, study.request,
                further=[f.request for f in study.further_orders])

    @classmethod
    def link_because(
            cls, study, patient, request=None, reason=None, further=()):
        """Link a study by a decision of the current user.

        Parameters
        ----------
        study : Study
        patient : Patient
        request : Request, optional
        reason : str, optional
            Required if the images contradict the patient.
        further : iterable of Request
            Further orders of the patient that the images answer.

        Raises
        ------
        LinkVetoError
        """
        values = {
            'patient': patient.id,
            'request': request.id if request else None,
            }
        further = list(further)
        cls._check_patients(patient, further)
        if not _strip(reason):
            cls._check_vetoes([study], values)
        cls._decide([study], values, reason, 'manual', further)

    @classmethod
    @without_check_access
    def _check_patients(cls, patient, requests):
        for request in requests:
            if request.patient != patient:
                raise LinkVetoError(gettext(
                        'health_orthanc.msg_link_other_patient',
                        order=request.rec_name))

    @classmethod
    def unlink_because(cls, studies, reason):
        """Unlink studies by a decision of the current user.

        Parameters
        ----------
        studies : list of Study
        reason : str

        Raises
        ------
        ReasonRequiredError
        """
        _require_reason(reason)
        cls._decide(studies, {'patient': None}, reason, 'unlinked')

    @classmethod
    def dismiss_because(cls, studies, reason):
        """Dismiss studies without a patient: phantoms, teaching files.

        Parameters
        ----------
        studies : list of Study
        reason : str

        Raises
        ------
        ReasonRequiredError
        """
        _require_reason(reason)
        cls._decide(studies, {'patient': None}, reason, 'dismissed')

    @classmethod
    @without_check_access
    def dismiss_by_rule(cls, studies, reason):
        """Dismiss studies automatically.

        Parameters
        ----------
        studies : list of Study
        reason : str
            Of the rule.
        """
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        before = cls._snapshot(studies)
        cls.write(studies, {
                'link_status': 'dismissed',
                'decision_reason': reason,
                'score': None,
                'candidate': None,
                'doubt': None,
                })
        Decision.record(before, studies, reason=reason)

    @classmethod
    @without_check_access
    def _decide(cls, studies, values, reason, status, further=()):
        before = cls._snapshot(studies)
        values = cls._complete_decision(studies, values)
        cls.write(cls.browse(studies), {**values, 'link_status': status})
        cls._assign_further_orders(studies, further)
        cls._record_decisions(studies, before, _strip(reason), status)

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_review')
    def review(cls, studies):
        "Open the review of studies"
        pass

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_study_dismiss')
    def dismiss(cls, studies):
        "Open the dialog that asks for the reason"
        pass

    @classmethod
    @ModelView.button
    @without_check_access
    def restore(cls, studies):
        "Undo the dismissal of studies, and match them again"
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        studies = [
            s for s in cls.browse(studies) if s.link_status == 'dismissed']
        before = cls._snapshot(studies)
        cls.write(studies, {
                'link_status': 'unlinked',
                'restored': True,
                'decided_by': None,
                'decided_at': None,
                'decision_reason': None,
                })
        Decision.record(before, studies, user=Transaction().user or None)
        match_orders([s.id for s in studies])


def _strip(reason):
    return (reason or '').strip() or None


def _require_reason(reason):
    if not _strip(reason):
        raise ReasonRequiredError(
            gettext('health_orthanc.msg_reason_required'))
