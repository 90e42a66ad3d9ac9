# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""History of the links of studies"""

import json
from dataclasses import replace

from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access

from ..archive.audited import study_events
from ..audit.trail import record_events
from ..common.access import ReadonlyMixin
from ..common.exceptions import DecisionAccessError
from ..common.transaction import now
from ..core.matching.verdicts import Verdict
from .explanations import DOUBTS, REPLACED, format_comparison

__all__ = [
    'CONFIRMED', 'LINK_STATUSES', 'StudyDecision', 'is_held',
    'serialize_comparisons']

LINK_STATUSES = [
    ('manual', "Manual Link"),
    ('auto_certain', "Automatic Link"),
    ('auto_unsure', "To Review"),
    ('unlinked', "Unlinked"),
    ('dismissed', "Dismissed"),
    ]
# The links that are certain enough to change steps, results and attachments
CONFIRMED = ['manual', 'auto_certain']
# The fields of a study that make up its link
LINK_FIELDS = [
    'patient', 'request', 'link_status', 'decided_by', 'decision_reason']


def is_held(study):
    """Return whether a link waits only because its patient was replaced.

    Until somebody has decided, no machine changes it, and steps and results
    stay as they are.
    """
    return study.link_status == 'auto_unsure' and study.doubt == REPLACED


class StudyDecision(ReadonlyMixin, ModelSQL, ModelView):
    """Study History

    An entry in the history of a study's link.  It is never changed.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study.decision'
    _kept_patients = frozenset({
            'patient_from', 'patient_to', 'request_from', 'request_to'})

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    at = fields.DateTime("Date", required=True, readonly=True)
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('user'))},
        help="Empty if the decision was automatic.")
    status_from = fields.Selection(
        [(None, ''), *LINK_STATUSES], "From Status", readonly=True, sort=False)
    status_to = fields.Selection(
        [(None, ''), *LINK_STATUSES], "To Status", readonly=True, sort=False)
    patient_from = fields.Many2One(
        'gnuhealth.patient', "From Patient", readonly=True,
        ondelete='SET NULL')
    patient_to = fields.Many2One(
        'gnuhealth.patient', "To Patient", readonly=True,
        ondelete='SET NULL')
    request_from = fields.Many2One(
        'gnuhealth.imaging.test.request', "From Order", readonly=True,
        ondelete='SET NULL')
    request_to = fields.Many2One(
        'gnuhealth.imaging.test.request', "To Order", readonly=True,
        ondelete='SET NULL')
    further_from = fields.Char(
        "From Further Orders", readonly=True,
        states={'invisible': ~Bool(Eval('further_from'))},
        help="The accession numbers of the further orders before.")
    further_to = fields.Char(
        "To Further Orders", readonly=True,
        states={'invisible': ~Bool(Eval('further_to'))},
        help="The accession numbers of the further orders that the images "
        "answer.")
    score = fields.Integer("Score", readonly=True)
    doubt = fields.Selection(
        [(None, ''), *DOUBTS], "Review Reason", readonly=True, sort=False,
        states={'invisible': ~Bool(Eval('doubt'))},
        help="Why the study must be reviewed.")
    event = fields.Selection([
            (None, ''),
            ('corrected', "Patient Reconciled in Orthanc"),
            ('restored', "Original Patient Data Restored"),
            ('acquired', "Canceled Order Completed"),
            ('kept_canceled', "Order Kept Canceled"),
            ('replaced', "Patient Replaced"),
            ('replacement_undone', "Replacement Undone"),
            ('moved', "Moved to the Right Patient"),
            ('moved_back', "Move Undone"),
            ], "Event", readonly=True, sort=False,
        states={'invisible': ~Bool(Eval('event'))},
        help="What has happened, other than a decision on the link.")
    reason = fields.Text("Reason", readonly=True)
    comparisons = fields.Text("Comparisons", readonly=True)
    compared = fields.Function(
        fields.Text("Comparison",
            help="The values in GNU Health and in the images."),
        'get_compared')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('id', 'DESC')]

    def get_compared(self, name):
        return '\n'.join(
            format_comparison(comparison)
            for comparison in json.loads(self.comparisons or '[]'))

    @classmethod
    @without_check_access
    def record(cls, before, studies, user=None, **values):
        """Record how the links of studies have changed.

        Studies whose link is unchanged get no entry.

        Parameters
        ----------
        before : dict
            The former links, from `snapshot`.
        studies : list of Study
        user : int, optional
            The user who decided; None for the system.
        values : dict
            ``score``, ``doubt``, ``reason``, ``event``, ``comparisons`` (from
            `serialize_comparisons`).
        """
        if values.get('comparisons') is not None:
            values['comparisons'] = json.dumps(values['comparisons'])
        after = cls.snapshot(studies)
        Request = Pool().get('gnuhealth.imaging.test.request')

        def numbers(requests):
            return ', '.join(
                r.accession_number or r.rec_name
                for r in Request.browse(requests)) or None
        cls.create([{
                    'study': id_,
                    'at': now(),
                    'user': user,
                    'status_from': before[id_]['link_status'],
                    'status_to': after[id_]['link_status'],
                    'patient_from': before[id_]['patient'],
                    'patient_to': after[id_]['patient'],
                    'request_from': before[id_]['request'],
                    'request_to': after[id_]['request'],
                    'further_from': numbers(before[id_]['further_orders']),
                    'further_to': numbers(after[id_]['further_orders']),
                    **values,
                    } for id_ in after if before[id_] != after[id_]])
        if user:
            cls._record_audit(before, after, studies, user)

    @staticmethod
    def _record_audit(before, after, studies, user):
        "Record the decisions of a person, for each patient of a study"
        events = []
        for study in studies:
            former, link = before[study.id], after[study.id]
            if former == link:
                continue
            event, = study_events(
                'link', [study], user_id=user, detail=' → '.join(
                    values['link_status'] or '–' for values in [former, link]))
            events += [
                replace(event, patient_id=patient) for patient in (
                    {former['patient'], link['patient']} - {None} or {None})]
        record_events(events)

    @classmethod
    @without_check_access
    def record_event(cls, studies, event, user=None, **values):
        """Record what has happened to studies whose link has not changed.

        Parameters
        ----------
        studies : list of Study
        event : str
            A value of the field.
        user : int, optional
            The user who did it; None for the system.
        values : dict
            Further values of the entries.
        """
        cls.create([{
                    'study': id_,
                    'at': now(),
                    'user': user,
                    'status_from': link['link_status'],
                    'status_to': link['link_status'],
                    'patient_from': link['patient'],
                    'patient_to': link['patient'],
                    'request_from': link['request'],
                    'request_to': link['request'],
                    'event': event,
                    **values,
                    } for id_, link in cls.snapshot(studies).items()])

    @classmethod
    @without_check_access
    def snapshot(cls, studies):
        """Return the present links of studies.

        Parameters
        ----------
        studies : list of Study

        Returns
        -------
        dict of dict
            The values of `LINK_FIELDS`, by the id of each study, and the ids
            of its further orders.
        """
        pool = Pool()
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        StudyOrder = pool.get('gnuhealth.imaging_orthanc.study.order')
        ids = [s.id for s in studies]
        links = {
            row['id']: {name: row[name] for name in LINK_FIELDS}
            for row in Study.read(ids, LINK_FIELDS)}
        for values in links.values():
            values['further_orders'] = []
        for further in StudyOrder.search([('study', 'in', ids)]):
            links[further.study.id]['further_orders'].append(
                further.request.id)
        return links

    @classmethod
    def write(cls, *args):
        Pool().get('ir.model.access').check(cls.__name__, 'write')
        raise DecisionAccessError.readonly()


# Numbers that are only shown if both sides have them
_NUMBERS = {
    'study_uid', 'merge_id', 'accession_number', 'step', 'procedure',
    'station'}


# Of the patient; the others are those of an order
_IDENTITY = {'patient_id', 'name', 'birth_date', 'sex'}


def serialize_comparisons(assessment, *further):
    """Return the comparisons of assessments, serializable as JSON.

    Parameters
    ----------
    assessment : Assessment
    *further : Assessment
        Of further orders of the same patient.

    Returns
    -------
    list of dict
        With several orders, each that is compared has the number of its order
        as ``order``.
    """
    if not further:
        return _serialize(assessment)
    lines = [
        line for line in _serialize(assessment) if line['field'] in _IDENTITY]
    for one in [assessment, *further]:
        order = one.candidate.order
        lines += [
            {**line, 'order': order.accession_number if order else ''}
            for line in _serialize(one) if line['field'] not in _IDENTITY]
    return lines


def _serialize(assessment):
    return [
        _serialize_comparison(c) for c in assessment.comparisons
        if c.verdict is not Verdict.MISSING
        or (c.ours or c.theirs) and c.field not in _NUMBERS
        or c.ours and c.theirs]


def _serialize_comparison(comparison):
    return {
        'field': comparison.field,
        'ours': comparison.ours,
        'theirs': comparison.theirs,
        'verdict': (
            'partial' if comparison.verdict is Verdict.MISSING
            and comparison.agreement is not None
            else comparison.verdict.value),
        'reason': comparison.reason.value if comparison.reason else None,
        }
