# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders: Requested Procedures with steps (DICOM PS3.3 C.4.11)"""

import datetime as dt
from collections import Counter, defaultdict

from sql import Literal
from sql.aggregate import Count

from trytond import backend
from trytond.i18n import gettext
from trytond.model import Index, ModelView, Unique, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedSearchMixin, HiddenFieldsMixin, check_write
from ..common.domains import boolean_domain
from ..common.exceptions import (
    StepAccessError, StepValidationError, StepWorkflowError)
from ..common.indexes import TextSearchMixin, text_clause
from ..common.long_lists import LongListMixin
from ..common.registration import LayeredMixin
from ..common.related import name_domain
from ..common.transaction import now
from ..core.dicom.values import is_short_string, is_uid, new_uid
from .states import OPEN_STATES
from .study_type import HideDuplicatesMixin

__all__ = ['RECENT', 'Request']

# Orders that are younger get steps when the module is activated
RECENT = dt.timedelta(days=7)


class Request(
        LayeredMixin, HideDuplicatesMixin, GuardedSearchMixin,
        HiddenFieldsMixin, LongListMixin, TextSearchMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'
    _hidden_fields = frozenset({'steps'})
    _searched_columns = frozenset({'accession_number', 'request'})
    _duplicate_elements = (
        "//group[@id='imaging_test_request_worklist_group']"
        " | /form/field[@name='worklist_text']")
    # Only written by the methods that create and process orders
    _protected = frozenset({
            'accession_number', 'accession_alias', 'study_instance_uid',
            'merge_id', 'to_repeat', 'replaces', 'replaced_by',
            'requested_at'})

    accession_number = fields.Char(
        "Accession Number", readonly=True,
        help="Accession Number (0008,0050) of the images of this order.")
    accession_alias = fields.Char(
        "Former Accession Number", readonly=True,
        states={'invisible': ~Bool(Eval('accession_alias'))},
        help="The accession number under which the order was published.")
    study_instance_uid = fields.Char(
        "Study UID", readonly=True, help="Study Instance UID (0020,000D).")
    merge_id = fields.Char(
        "Merge ID", readonly=True,
        help="Identifies the images of modalities that do not keep the study "
        "UID.")
    worklist_status = fields.Selection([
            ('todo', "To Do"),
            ('done', "Done"),
            ('canceled', "Canceled"),
            ], "Worklist Status", readonly=True, sort=False,
        help="Whether the order still has steps to perform.")
    steps = fields.One2Many(
        'gnuhealth.imaging.procedure.step', 'request', "Procedure Steps",
        order=[('number', 'ASC'), ('id', 'ASC')],
        states={'readonly': ~Eval('state').in_(['draft', 'requested'])})
    requested_at = fields.DateTime("Requested At", readonly=True)
    to_repeat = fields.Boolean(
        "To Repeat", readonly=True,
        states={'invisible': ~Bool(Eval('to_repeat'))},
        help="All performed steps of the order were rejected.")
    replaces = fields.Many2One(
        'gnuhealth.imaging.test.request', "Repeat Of", readonly=True,
        ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('replaces'))})
    replaced_by = fields.Many2One(
        'gnuhealth.imaging.test.request', "Repeated By", readonly=True,
        ondelete='SET NULL',
        states={'invisible': ~Bool(Eval('replaced_by'))})

    is_own = fields.Function(
        fields.Boolean(
            "My Order",
            help="Whether the current user has made the order, or is its "
            "physician."),
        'get_is_own', searcher='search_is_own')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('accession_number_unique', Unique(table, table.accession_number),
                'health_orthanc.msg_accession_number_unique'),
            ('study_instance_uid_unique',
                Unique(table, table.study_instance_uid),
                'health_orthanc.msg_study_instance_uid_unique'),
            ]
        listed = [
            (table.date, Index.Range(order='DESC')),
            (table.request, Index.Range(order='DESC')),
            (table.id, Index.Range()),
            ]
        cls._sql_indexes.update({
                Index(table, (table.accession_number, Index.Equality())),
                Index(table, (table.accession_alias, Index.Equality())),
                Index(table, (table.study_instance_uid, Index.Equality())),
                Index(table, (table.merge_id, Index.Equality())),
                Index(table, (table.patient, Index.Equality())),
                Index(table, (table.requested_test, Index.Equality())),
                # As the lists are ordered
                Index(table, *listed),
                Index(table, (table.state, Index.Equality()), *listed),
                Index(
                    table, *listed,
                    where=table.to_repeat == Literal(True)),
                # The orders of a physician
                Index(table, (table.doctor, Index.Equality()), *listed),
                Index(table, (table.create_uid, Index.Equality()), *listed),
                # Urgent results come first
                Index(
                    table, (table.id, Index.Range()),
                    where=table.urgent == Literal(True)),
                })
        cls.state.selection.append(('canceled', "Canceled"))
        cls._transitions.add(('canceled', 'done'))
        cls._buttons.update({
                'cancel_order': {
                    'invisible': ~Eval('state').in_(['draft', 'requested']),
                    'depends': ['state'],
                    },
                'repeat_order': {
                    'invisible': (~Eval('state').in_(['done', 'canceled'])
                        & ~Bool(Eval('to_repeat'))
                        | Bool(Eval('replaced_by'))),
                    'depends': ['state', 'to_repeat', 'replaced_by'],
                    },
                })

    @classmethod
    def default_doctor(cls):
        # Also users who may not place orders may copy them
        if not Transaction().context.get('_copied_order'):
            return super().default_doctor()

    @staticmethod
    def default_merge_id():
        # Orders that are created together would share the default
        return None

    @staticmethod
    def default_worklist_status():
        return 'todo'

    @staticmethod
    def default_to_repeat():
        return False

    def get_rec_name(self, name):
        # GNU Health's own name is only the physician
        test = self.requested_test
        parts = [
            self.accession_number, test.rec_name if test else None,
            super().get_rec_name(name).strip(' /')]
        return ' '.join(filter(None, parts))

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        own = text_clause('accession_number', operator, value, words=False)
        if bool_op == 'OR':
            return [bool_op, own, *(
                    name_domain(field, model, operator, value)
                    for field, model in [
                        ('requested_test', 'gnuhealth.imaging.test'),
                        ('patient', 'gnuhealth.patient')])]
        return [bool_op, own, *((field, operator, value) for field in [
                    'requested_test.rec_name', 'patient.rec_name'])]

    @classmethod
    def get_is_own(cls, orders, name):
        own = set(cls.search([
                    ('id', 'in', [o.id for o in orders]), cls._own_domain()],
                order=[]))
        return {o.id: o in own for o in orders}

    @classmethod
    def search_is_own(cls, name, clause):
        return boolean_domain(cls, clause, cls._own_domain())

    @classmethod
    @without_check_access
    def _own_domain(cls):
        Professional = Pool().get('gnuhealth.healthprofessional')
        user = Transaction().user
        # By their ids: a condition on other tables, joined by OR, would not
        # use the indexes of orders
        physicians = Professional.search([
                ('party.internal_user', '=', user)])
        return ['OR',
            ('create_uid', '=', user),
            ('doctor', 'in', [p.id for p in physicians])]

    # Storage

    @classmethod
    def create(cls, vlist):
        checked = Transaction().check_access
        vlist = [values.copy() for values in vlist]
        for values in vlist:
            if checked:
                cls._check_protected({
                        name for name in cls._protected & values.keys()
                        if values[name]})
            cls._complete_identifiers(values)
        requests = super().create(vlist)
        with without_check_access():
            cls._create_steps([
                    r for r in cls.browse(requests)
                    if not r.steps and r.state in {'draft', 'requested'}])
        return requests

    @classmethod
    def _check_protected(cls, names):
        if names:
            raise StepAccessError(gettext(
                    'health_orthanc.msg_step_protected',
                    **cls.__names__(min(names))))

    @classmethod
    @without_check_access
    def _complete_identifiers(cls, values):
        "Complete the numbers and UIDs by which images refer to the order"
        if values.get('state') == 'requested':
            values.setdefault('requested_at', now())
        Configuration = Pool().get('gnuhealth.imaging.worklist.configuration')
        if not values.get('accession_number'):
            values['accession_number'] = Configuration.new_accession_number()
        elif not is_short_string(values['accession_number']):
            raise StepValidationError(gettext(
                    'health_orthanc.msg_short_string',
                    **cls.__names__('accession_number')))
        if not values.get('study_instance_uid'):
            merge_id = values.get('merge_id') or ''
            known = is_uid(merge_id) and cls.search(
                [('study_instance_uid', '=', merge_id)], limit=1, order=[])
            values['study_instance_uid'] = (
                merge_id if is_uid(merge_id) and not known else new_uid())
        if not values.get('merge_id'):
            values['merge_id'] = values['study_instance_uid']

    @classmethod
    def _create_steps(cls, requests):
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        Step.create([request._step_values() for request in requests])

    @classmethod
    @without_check_access
    def create_missing_steps(cls, requests):
        "Create the steps of orders that have none"
        cls.assign_identifiers(requests)
        cls._create_steps([r for r in requests if not r.steps])

    def _step_values(self):
        Institution = Pool().get('gnuhealth.institution')
        doctor = self.doctor
        institution = doctor.institution.id if (
            doctor and doctor.institution) else Institution.of_user()
        return {
            **self.requested_test.step_defaults(),
            'request': self.id,
            'scheduled_at': self.date,
            'institution': institution,
            }

    @classmethod
    def write(cls, *args):
        if Transaction().check_access:
            for requests, values in zip(args[::2], args[1::2]):
                cls._check_protected(
                    (cls._protected | {'state'}) & values.keys())
                if 'patient' in values:
                    # The refusal tells of the order
                    check_write(cls, values)
                    cls.read([r.id for r in requests], ['id'])
                    cls._check_patient(requests, values['patient'])
        super().write(*args)
        actions = iter(args)
        for requests, values in zip(actions, actions):
            if values.keys() & {'requested_test', 'date', 'doctor'}:
                cls._update_steps(requests)
            if values.get('worklist_status') in {'done', 'canceled'}:
                cls._close_steps(requests, values['worklist_status'])

    @classmethod
    @without_check_access
    def _check_patient(cls, requests, patient):
        "Check that no images are being acquired: they name the patient"
        for request in cls.browse(requests):
            if request.patient.id != patient and any(
                    s.state not in {'scheduled', 'canceled'}
                    for s in request.steps):
                raise StepAccessError(gettext(
                        'health_orthanc.msg_request_patient',
                        request=request.request or request.id))

    @classmethod
    @without_check_access
    def _update_steps(cls, requests):
        "Update scheduled steps that nobody has edited from their orders"
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        for request in cls.browse(requests):
            steps = [
                s for s in request.steps
                if s.state == 'scheduled' and not s.customised]
            if request.state in {'draft', 'requested'} and steps:
                values = request._step_values()
                del values['request']
                Step.write(steps, values)

    @classmethod
    @without_check_access
    def _close_steps(cls, requests, status):
        "Close open steps after another module has closed their orders"
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        steps = [
            s for r in cls.browse(requests) for s in r.steps
            if s.state in OPEN_STATES]
        if steps:
            state = 'completed' if status == 'done' else 'canceled'
            Step.move(steps, state, ended_at=now())

    @classmethod
    def copy(cls, requests, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('state', cls.default_state())
        default.setdefault('worklist_status', cls.default_worklist_status())
        for name in [*cls._protected, 'steps']:
            default.setdefault(name, None)
        with Transaction().set_context(_copied_order=True):
            return super().copy(requests, default=default)

    @classmethod
    def delete(cls, requests):
        if Transaction().check_access:
            # The refusal tells of the order
            Pool().get('ir.model.access').check(cls.__name__, 'delete')
            cls.read([r.id for r in requests], ['id'])
        with without_check_access():
            for request in cls.browse(requests):
                if any(s.state in {'completed', 'rejected'}
                        for s in request.steps):
                    raise StepAccessError(gettext(
                            'health_orthanc.msg_request_delete',
                            request=request.request or request.id))
        super().delete(requests)

    @classmethod
    @without_check_access
    def create_recent_steps(cls):
        """Create steps for recent orders that are still to be done.

        With health_imaging_worklist 5.0 an order stays *requested* after its
        images have arrived; only its worklist status changes.
        """
        requests = cls.search([
                ('state', '=', 'requested'),
                ('worklist_status', '=', 'todo'),
                ('date', '>=', now() - RECENT),
                ('steps', '=', None),
                ])
        cls.assign_identifiers(requests)
        cls._create_steps(requests)

    # Workflow

    @classmethod
    def requested(cls, requests):
        super().requested(requests)
        with without_check_access():
            requests = [
                r for r in cls.browse(requests) if r.state == 'requested']
            cls.write(
                [r for r in requests if not r.requested_at],
                {'requested_at': now()})
            # Orders from before the module have neither
            cls.assign_identifiers(requests)
            cls._create_steps([r for r in requests if not r.steps])

    @classmethod
    def assign_identifiers(cls, requests):
        "Assign accession numbers and UIDs to orders that have none"
        for request in requests:
            if request.accession_number:
                continue
            values = {
                'study_instance_uid': request.study_instance_uid,
                'merge_id': request.merge_id,
                }
            cls._complete_identifiers(values)
            cls.write([request], values)

    @classmethod
    @without_check_access
    def renew_identifiers(cls, requests):
        """Give orders new accession numbers and UIDs.

        Another patient's images have theirs: both would be mixed if the orders
        were acquired with the same ones.

        Parameters
        ----------
        requests : list of Request
        """
        for request in requests:
            values = {}
            cls._complete_identifiers(values)
            cls.write([request], values)

    @classmethod
    def done(cls, requests):
        super().done(requests)
        # A user has created the result without the worklist
        with without_check_access():
            cls._close_steps(
                [r for r in cls.browse(requests) if r.state == 'done'],
                'done')

    @classmethod
    @without_check_access
    def lock_for_update(cls, requests):
        """Lock orders and return them as they are now.

        The state of an order depends on all of its steps.  If another
        transaction has changed these in the meantime, the database raises a
        conflict here and the transaction is started again.

        Parameters
        ----------
        requests : list of Request

        Returns
        -------
        list of Request
        """
        transaction = Transaction()
        table = cls.__table__()
        cursor = transaction.connection.cursor()
        for ids in grouped_slice(sorted(r.id for r in requests)):
            # SELECT FOR UPDATE would not detect a change that was committed
            # after this transaction began; an update does
            cursor.execute(*table.update(
                    [table.write_date], [table.write_date],
                    where=reduce_ids(table.id, ids)))
        if backend.name == 'sqlite':
            # With the lock it sees all changes, unlike its caches
            for cache in transaction.cache.values():
                cache.clear()
        return cls.browse(requests)

    @classmethod
    @without_check_access
    def update_from_steps(cls, requests):
        "Write the states that result from the steps of orders"
        requests = cls.lock_for_update(requests)
        states = cls._step_states(requests)
        for request in requests:
            values = request._values_from_steps(states[request.id])
            changed = {
                name: value for name, value in values.items()
                if getattr(request, name) != value}
            if changed.get('state') == 'done':
                # Other modules extend the method of the transition
                del changed['state']
                cls.done([request])
            if changed:
                cls.write([request], changed)

    @classmethod
    def _step_states(cls, requests):
        "Return a Counter of the states of steps, by the id of each order"
        step = Pool().get('gnuhealth.imaging.procedure.step').__table__()
        cursor = Transaction().connection.cursor()
        states = {r.id: Counter() for r in requests}
        for ids in grouped_slice(list(states)):
            cursor.execute(*step.select(
                    step.request, step.state, Count(step.id),
                    where=reduce_ids(step.request, ids),
                    group_by=[step.request, step.state]))
            for id_, state, count in cursor:
                states[id_][state] = count
        return states

    def _values_from_steps(self, states):
        "Return the values that result from the states of the steps"
        begun = 'requested' if self.requested_at else 'draft'
        if self.state in {'requested', 'done'}:
            begun = 'requested'
        if not states:
            return {}
        if any(states[state] for state in OPEN_STATES):
            return {
                'state': begun, 'worklist_status': 'todo', 'to_repeat': False}
        if states['completed']:
            return {
                'state': 'done', 'worklist_status': 'done',
                'to_repeat': False}
        if states['rejected']:
            return {
                'state': begun, 'worklist_status': 'canceled',
                'to_repeat': not self.replaced_by}
        return {
            'state': 'canceled', 'worklist_status': 'canceled',
            'to_repeat': False}

    @classmethod
    @ModelView.button
    def cancel_order(cls, requests):
        "Cancel the open steps of orders, and with them the orders"
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        with without_check_access():
            steps = [
                s for r in cls.lock_for_update(requests) for s in r.steps
                if s.state in OPEN_STATES]
            if steps:
                Step.move(steps, 'canceled', ended_at=now())
            # Orders from before the module have no steps
            cls.write([
                    r for r in cls.browse(requests)
                    if not r.steps and r.state in {'draft', 'requested'}],
                {'state': 'canceled', 'worklist_status': 'canceled'})

    @classmethod
    @ModelView.button_action('health_orthanc.act_request_replacement')
    def repeat_order(cls, requests):
        """Repeat orders, with new accession numbers and study UIDs.

        An order that was repeated before is not repeated again; its
        replacement is opened.

        Raises
        ------
        StepWorkflowError
            An order still has open steps.
        """
        with without_check_access():
            replacements = [
                request.replaced_by or request._create_replacement()
                for request in cls.lock_for_update(requests)]
        return {'res_id': [r.id for r in replacements]}

    def _steps_to_repeat(self):
        "Return the steps to repeat: the rejected ones, otherwise all"
        by_state = defaultdict(list)
        for step in self.steps:
            by_state[step.state].append(step)
        if self.state == 'draft' or by_state.keys() & set(OPEN_STATES):
            raise StepWorkflowError(gettext(
                    'health_orthanc.msg_request_open',
                    request=self.request or self.id))
        return (
            by_state['rejected'] or by_state['completed']
            or by_state['canceled'])

    def _create_replacement(self):
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        repeated = self._steps_to_repeat()
        replacement, = self.copy(
            [self], default={'replaces': self.id, 'date': now()})
        if repeated:
            made = list(replacement.steps)
            Step.copy(repeated, default={
                    'request': replacement.id,
                    'scheduled_at': replacement.date})
            Step.delete(made)
        self.write([self], {'replaced_by': replacement.id, 'to_repeat': False})
        self.requested([replacement])
        return replacement
