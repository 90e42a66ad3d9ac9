# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled Procedure Steps (DICOM PS3.3 C.4.10)"""

import datetime as dt
from collections import Counter

from sql import Null
from sql.aggregate import Max

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, Workflow, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin, check_write
from ..common.dates import date_clauses
from ..common.domains import boolean_domain
from ..common.exceptions import (
    StepAccessError, StepValidationError, StepWorkflowError)
from ..common.indexes import TextSearchMixin, text_clause
from ..common.long_lists import LongListMixin
from ..common.related import name_domain
from ..common.transaction import now
from ..core.dicom.modalities import MODALITIES
from ..core.dicom.values import is_ae_title, is_short_string
from .states import OPEN_STATES

__all__ = [
    'LATERALITIES', 'MODALITY_SELECTION', 'ProcedureStep',
    'check_ae_titles']

MODALITY_SELECTION = [(None, '')] + sorted(
    (code, f'{code} – {name}') for code, name in MODALITIES.items())
LATERALITIES = [
    (None, ''),
    ('R', "Right"),
    ('L', "Left"),
    ('B', "Both"),
    ('U', "Unpaired"),
    ]
_OPEN = Eval('state').in_(OPEN_STATES)
_STATES = {'readonly': ~_OPEN}


def check_ae_titles(records, name):
    r"""Check that a field of the records holds AE titles (PS3.5 §6.2).

    Several are separated by ``\\``.

    Parameters
    ----------
    records : list of Model
    name : str
        The field.

    Raises
    ------
    StepValidationError
    """
    for record in records:
        value = getattr(record, name)
        for title in value.split('\\') if value else []:
            if not is_ae_title(title):
                raise StepValidationError(
                    gettext('health_orthanc.msg_ae_title', title=value))


_FROM_REQUEST = {
    'getter': 'get_from_request',
    'searcher': 'search_from_request',
    }


class ProcedureStep(
        GuardedMixin, LongListMixin, TextSearchMixin, Workflow, ModelSQL,
        ModelView):
    "Scheduled Procedure Step"
    __name__ = 'gnuhealth.imaging.procedure.step'
    _rec_name = 'step_id'
    _searched_columns = frozenset({'description', 'modality', 'step_id'})
    # Only written by the transitions
    _protected = frozenset({
            'state', 'step_id', 'number', 'started_at', 'ended_at',
            'rejection_reason', 'rejected_by', 'customised', 'study',
            'state_before'})

    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order", required=True,
        ondelete='CASCADE',
        states={'readonly': Eval('id', -1) >= 0})
    number = fields.Integer(
        "Number", readonly=True,
        help="The position of the step within its order.")
    step_id = fields.Char(
        "Step ID", readonly=True,
        help="Scheduled Procedure Step ID (0040,0009).")
    modality = fields.Selection(
        MODALITY_SELECTION, "Modality", states=_STATES, translate=False,
        help="Modality (0008,0060) of the scheduled step.")
    station_aetitle = fields.Char(
        "Station AE Title", states=_STATES,
        help="AE title of the modality that queries the worklist for this "
        "step. Separate several with a backslash: each of them gets the "
        "step.")
    station_name = fields.Char("Station Name", size=16, states=_STATES)
    scheduled_at = fields.DateTime(
        "Start", required=True, states=_STATES)
    duration = fields.TimeDelta(
        "Duration", states=_STATES,
        domain=['OR', ('duration', '=', None),
            ('duration', '>=', dt.timedelta())])
    performing_physician = fields.Many2One(
        'gnuhealth.healthprofessional', "Performing Physician",
        states=_STATES)
    description = fields.Char("Description", size=64, states=_STATES)
    laterality = fields.Selection(
        LATERALITIES, "Laterality", states=_STATES, sort=False)
    laterality_string = laterality.translated('laterality')
    location = fields.Char("Location", size=16, states=_STATES)
    institution = fields.Many2One(
        'gnuhealth.institution', "Institution", states=_STATES,
        help="Dates and times on the worklist are in the local time of this "
        "institution.")
    state = fields.Selection([
            ('scheduled', "Scheduled"),
            ('in_progress', "In Progress"),
            ('completed', "Completed"),
            ('rejected', "Rejected"),
            ('canceled', "Canceled"),
            ], "State", required=True, readonly=True, sort=False)
    state_string = state.translated('state')
    started_at = fields.DateTime(
        "Started At", readonly=True,
        states={'invisible': ~Bool(Eval('started_at'))})
    ended_at = fields.DateTime(
        "Ended At", readonly=True,
        states={'invisible': ~Bool(Eval('ended_at'))},
        help="The time when the step was completed, rejected or canceled.")
    rejection_reason = fields.Text(
        "Rejection Reason", readonly=True,
        states={'invisible': Eval('state') != 'rejected'})
    rejected_by = fields.Many2One(
        'res.user', "Rejected By", readonly=True, ondelete='RESTRICT',
        states={'invisible': Eval('state') != 'rejected'})
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Images", readonly=True,
        ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('study'))},
        help="The study that completed the step.")
    state_before = fields.Char("Previous State", readonly=True)
    customised = fields.Boolean(
        "Edited Manually", readonly=True,
        help="If checked, the step no longer follows changes of its draft "
        "order.")

    patient = fields.Function(
        fields.Many2One('gnuhealth.patient', "Patient"),
        **_FROM_REQUEST)
    requested_test = fields.Function(
        fields.Many2One('gnuhealth.imaging.test', "Study"),
        **_FROM_REQUEST)
    doctor = fields.Function(
        fields.Many2One('gnuhealth.healthprofessional', "Requested By"),
        **_FROM_REQUEST)
    urgent = fields.Function(
        fields.Boolean("Urgent"), **_FROM_REQUEST)
    order = fields.Function(
        fields.Char("Order Number"), **_FROM_REQUEST)
    accession_number = fields.Function(
        fields.Char("Accession Number"), **_FROM_REQUEST)
    request_state = fields.Function(
        fields.Selection('get_request_states', "Order State"),
        **_FROM_REQUEST)
    today = fields.Function(
        fields.Boolean("Today"), 'get_today', searcher='search_today')
    overdue = fields.Function(
        fields.Boolean(
            "Overdue", states={'invisible': ~Eval('overdue')},
            help="The step was not performed in time and has left the "
            "worklist. Reschedule or cancel it."),
        'get_overdue', searcher='search_overdue')
    # Fields of the order that have another name there
    _request_fields = {'order': 'request', 'request_state': 'state'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('step_id_unique', Unique(table, table.step_id),
                'health_orthanc.msg_step_id_unique'),
            ]
        listed = [
            (table.ended_at, Index.Range(order='DESC')),
            (table.scheduled_at, Index.Range()),
            (table.id, Index.Range()),
            ]
        cls._sql_indexes.update({
                Index(table, (table.request, Index.Equality())),
                Index(table, (table.step_id, Index.Equality())),
                Index(
                    table, (table.scheduled_at, Index.Range()),
                    (table.id, Index.Range()),
                    where=table.state.in_(OPEN_STATES)),
                # As the lists are ordered
                Index(
                    table, (table.scheduled_at, Index.Range()),
                    (table.id, Index.Range())),
                Index(
                    table, (table.duration, Index.Range()),
                    where=table.duration != Null),
                Index(table, *listed),
                Index(table, *listed, where=table.state.in_(OPEN_STATES)),
                Index(table, (table.state, Index.Equality()), *listed),
                })
        cls._order = [('scheduled_at', 'ASC'), ('id', 'ASC')]
        cls._transitions |= {
            ('scheduled', 'in_progress'),
            ('in_progress', 'scheduled'),
            ('scheduled', 'completed'),
            ('in_progress', 'completed'),
            ('completed', 'scheduled'),
            ('completed', 'in_progress'),
            ('scheduled', 'rejected'),
            ('in_progress', 'rejected'),
            ('completed', 'rejected'),
            ('rejected', 'scheduled'),
            ('rejected', 'completed'),
            ('scheduled', 'canceled'),
            ('in_progress', 'canceled'),
            ('canceled', 'scheduled'),
            # Images that arrived after all, and the undoing of it
            ('canceled', 'completed'),
            ('completed', 'canceled'),
            }
        requested = Eval('request_state').in_(['requested', 'done'])
        depends = ['state', 'request_state']
        cls._buttons.update({
                'start': {
                    'invisible': (Eval('state') != 'scheduled') | ~requested,
                    'depends': depends,
                    },
                'complete': {
                    'invisible': ~_OPEN | ~requested,
                    'depends': depends,
                    },
                'reject': {
                    'invisible': ~Eval('state').in_(
                        OPEN_STATES + ['completed']) | ~requested,
                    'depends': depends,
                    },
                'cancel': {
                    'invisible': ~_OPEN,
                    'depends': ['state'],
                    },
                'reopen': {
                    'invisible': _OPEN | (Eval('state') == 'completed'),
                    'depends': ['state'],
                    },
                })

    @staticmethod
    def default_state():
        return 'scheduled'

    @staticmethod
    def default_scheduled_at():
        return now()

    @staticmethod
    def default_duration():
        return dt.timedelta(minutes=15)

    @classmethod
    def default_institution(cls):
        Institution = Pool().get('gnuhealth.institution')
        return Institution.of_user()

    @fields.depends('request', '_parent_request.requested_test')
    def on_change_request(self):
        test = self.request and self.request.requested_test
        if test:
            for name, value in test.step_defaults().items():
                setattr(self, name, value)

    @classmethod
    def get_from_request(cls, steps, names):
        found = {name: {} for name in names}
        for step in steps:
            for name in names:
                value = getattr(
                    step.request, cls._request_fields.get(name, name))
                found[name][step.id] = getattr(value, 'id', value)
        return found

    @classmethod
    def search_from_request(cls, name, clause):
        own = cls._request_fields.get(name, name)
        nested = clause[0].partition('.')[2]
        path = '.'.join(filter(None, ['request', own, nested]))
        return [(path, *clause[1:])]

    @staticmethod
    def get_request_states():
        Request = Pool().get('gnuhealth.imaging.test.request')
        return Request.fields_get(['state'])['state']['selection']

    def get_rec_name(self, name):
        return ' '.join(filter(None, [
                    self.step_id, self.modality, self.description]))

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        own = [
            text_clause('description', operator, value),
            *(text_clause(field, operator, value, words=False)
                for field in ['step_id', 'modality']),
            *date_clauses(['patient.party.dob'], operator, value)]
        if bool_op == 'OR':
            return [bool_op, *own, name_domain(
                    'request', 'gnuhealth.imaging.test.request', operator,
                    value,
                    ['accession_number', 'request', 'patient.rec_name'])]
        return [bool_op, *own, *(
                (field, operator, value) for field in [
                    'accession_number', 'order', 'patient.rec_name',
                    'patient.puid'])]

    # Dates

    @classmethod
    def _today(cls):
        "Return start and end, in UTC, of today in the user's time zone"
        return Pool().get('gnuhealth.institution').today()

    @classmethod
    def get_today(cls, steps, name):
        start, end = cls._today()
        return {s.id: start <= s.scheduled_at < end for s in steps}

    @classmethod
    def search_today(cls, name, clause):
        start, end = cls._today()
        return boolean_domain(cls, clause, [
                ('scheduled_at', '>=', start), ('scheduled_at', '<', end)])

    @classmethod
    def _window(cls):
        Configuration = Pool().get('gnuhealth.imaging.worklist.configuration')
        return Configuration.window()

    @classmethod
    @without_check_access
    def get_overdue(cls, steps, name):
        start, _ = cls._window()
        return {
            s.id: s.state in OPEN_STATES and s.scheduled_at < start
            for s in steps}

    @classmethod
    def search_overdue(cls, name, clause):
        with without_check_access():
            start, _ = cls._window()
        return boolean_domain(cls, clause, [
                ('state', 'in', OPEN_STATES), ('scheduled_at', '<', start)])

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state').in_(['canceled', 'rejected']), 'muted',
                    If(Eval('overdue', False), 'warning',
                        If(Eval('state') == 'completed', 'success', ''))),
                ['state', 'overdue']),
            ('/tree/field[@name="urgent"]', 'visual',
                If(Eval('urgent', False), 'danger', ''), ['urgent']),
            ]

    # Storage

    @classmethod
    def create(cls, vlist):
        pool = Pool()
        Configuration = pool.get('gnuhealth.imaging.worklist.configuration')
        Request = pool.get('gnuhealth.imaging.test.request')
        checked = Transaction().check_access
        defaults = {None, False, cls.default_state()}
        vlist = [values.copy() for values in vlist]
        for values in vlist:
            if checked:
                cls._check_protected({
                        name for name in cls._protected & values.keys()
                        if values[name] not in defaults})
                values['customised'] = True
            values['step_id'] = Configuration.new_step_id()
        cls._assign_numbers(vlist)
        steps = super().create(vlist)
        with without_check_access():
            # Orders from before the module have no numbers yet
            Request.assign_identifiers(list({
                        s.request for s in cls.browse(steps)}))
        cls._update_orders(steps)
        return steps

    @classmethod
    def _assign_numbers(cls, vlist):
        "Add the position within the order to the values of new steps"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        last = Counter()
        for ids in grouped_slice(list({
                        v['request'] for v in vlist if v.get('request')})):
            cursor.execute(*table.select(
                    table.request, Max(table.number),
                    where=reduce_ids(table.request, ids),
                    group_by=table.request))
            last.update({id_: number or 0 for id_, number in cursor})
        for values in vlist:
            request = values.get('request')
            last[request] += 1
            values['number'] = last[request]

    @classmethod
    def write(cls, *args):
        if not Transaction().check_access:
            super().write(*args)
            return
        actions = iter(args)
        args = []
        for steps, values in zip(actions, actions):
            cls._check_protected(cls._protected & values.keys())
            # The refusal tells of the step
            check_write(cls, values)
            cls.check_read(steps)
            cls._check_open(steps, values)
            args.extend((steps, values))
        super().write(*args)
        cls._mark_customised(sum(args[::2], []))

    @classmethod
    @without_check_access
    def _mark_customised(cls, steps):
        cls.write(cls.browse(steps), {'customised': True})

    @classmethod
    def _check_protected(cls, names):
        if names:
            raise StepAccessError(gettext(
                    'health_orthanc.msg_step_protected',
                    **cls.__names__(min(names))))

    @classmethod
    def _check_open(cls, steps, values):
        for step in steps:
            if step.state not in OPEN_STATES:
                raise StepAccessError(gettext(
                        'health_orthanc.msg_step_closed',
                        step=step.rec_name))
            request = values.get('request', step.request.id)
            if request != step.request.id:
                raise StepAccessError(gettext(
                        'health_orthanc.msg_step_protected',
                        **cls.__names__('request')))

    @classmethod
    def validate_fields(cls, steps, field_names):
        super().validate_fields(steps, field_names)
        if not field_names or 'station_aetitle' in field_names:
            check_ae_titles(steps, 'station_aetitle')
        for name in {'station_name', 'location', 'step_id'} & (
                field_names or {'station_name', 'location', 'step_id'}):
            for step in steps:
                value = getattr(step, name)
                if value and not is_short_string(value):
                    raise StepValidationError(gettext(
                            'health_orthanc.msg_short_string',
                            **cls.__names__(name)))

    @classmethod
    def copy(cls, steps, default=None):
        default = default.copy() if default is not None else {}
        for name in cls._protected - {'state'}:
            default.setdefault(name, None)
        return super().copy(steps, default=default)

    @classmethod
    def delete(cls, steps):
        cls.check_delete()
        cls.check_read(steps)
        for step in steps:
            if step.state in {'completed', 'rejected'}:
                raise StepAccessError(gettext(
                        'health_orthanc.msg_step_delete',
                        step=step.rec_name))
        requests = {s.request for s in steps}
        super().delete(steps)
        cls._update_requests(requests)

    # Workflow

    @classmethod
    def _prepare_transition(cls, steps, requested=True):
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.lock_for_update(list({s.request for s in steps}))
        for step in steps if requested else []:
            if step.request.state not in {'requested', 'done'}:
                raise StepWorkflowError(gettext(
                        'health_orthanc.msg_step_not_requested',
                        step=step.rec_name))

    @classmethod
    def _update_orders(cls, steps):
        with without_check_access():
            cls._update_requests({s.request for s in cls.browse(steps)})

    @classmethod
    @without_check_access
    def _update_requests(cls, requests):
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.update_from_steps(list(requests))

    @classmethod
    def move(cls, steps, state, **values):
        """Move steps to a state and update their orders.

        Access is not checked.

        Parameters
        ----------
        steps : list of ProcedureStep
        state : str
            The target of a transition from the present state.
        values : dict
            Further values to write.
        """
        with without_check_access():
            steps = cls.browse(steps)
            getattr(cls, f'_to_{state}')(steps, values)
        cls._update_orders(steps)

    @classmethod
    @ModelView.button
    def start(cls, steps):
        "Mark steps as in progress"
        cls._prepare_transition(steps)
        cls.move(steps, 'in_progress', started_at=now(), ended_at=None)

    @classmethod
    @ModelView.button
    def complete(cls, steps):
        "Complete steps"
        steps = [s for s in steps if s.state != 'canceled']
        cls._prepare_transition(steps)
        cls.move(steps, 'completed', ended_at=now())

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_step_reject')
    def reject(cls, steps):
        "Open the dialog that asks for the reason"
        pass

    @classmethod
    def reject_because(cls, steps, reason):
        """Reject steps whose images cannot be used.

        Parameters
        ----------
        steps : list of ProcedureStep
        reason : str
            Must not be empty.

        Raises
        ------
        StepValidationError
            There is no reason.
        StepWorkflowError
            An order is not requested.
        """
        reason = (reason or '').strip()
        if not reason:
            raise StepValidationError(
                gettext('health_orthanc.msg_step_reason'))
        cls._prepare_transition(steps)
        cls.move(
            steps, 'rejected', ended_at=now(), rejection_reason=reason,
            rejected_by=Transaction().user or None)

    @classmethod
    @ModelView.button
    def cancel(cls, steps):
        "Cancel steps"
        steps = [s for s in steps if s.state in OPEN_STATES]
        cls._prepare_transition(steps, requested=False)
        cls.move(steps, 'canceled', ended_at=now())

    @classmethod
    @ModelView.button
    def reopen(cls, steps):
        "Schedule rejected or canceled steps again"
        steps = [s for s in steps if s.state in {'rejected', 'canceled'}]
        cls._prepare_transition(steps, requested=False)
        cls.move(
            steps, 'scheduled', started_at=None, ended_at=None,
            rejection_reason=None, rejected_by=None)

    @classmethod
    @Workflow.transition('in_progress')
    def _to_in_progress(cls, steps, values):
        cls.write(steps, values)

    @classmethod
    @Workflow.transition('completed')
    def _to_completed(cls, steps, values):
        cls.write(steps, values)

    @classmethod
    @Workflow.transition('rejected')
    def _to_rejected(cls, steps, values):
        cls.write(steps, values)

    @classmethod
    @Workflow.transition('canceled')
    def _to_canceled(cls, steps, values):
        cls.write(steps, values)

    @classmethod
    @Workflow.transition('scheduled')
    def _to_scheduled(cls, steps, values):
        cls.write(steps, values)
