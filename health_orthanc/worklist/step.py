# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist status of procedure steps, and the RPC of the scripts"""

from trytond.i18n import gettext
from trytond.model import fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access

from ..common.domains import boolean_domain
from ..orders.states import OPEN_STATES

__all__ = ['ProcedureStep']

# Seconds that a script waits for another process that renders
REFRESH_PATIENCE = 10


class ProcedureStep(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.procedure.step'

    on_worklist = fields.Function(
        fields.Boolean("On Worklist"), 'get_on_worklist')
    problem = fields.Function(
        fields.Text(
            "Not on the Worklist",
            states={'invisible': ~Bool(Eval('problem'))}),
        'get_problem')
    incomplete = fields.Function(
        fields.Boolean(
            "Incomplete",
            help="Data are missing or invalid, so the step is not on the "
            "worklist."),
        'get_incomplete', searcher='search_incomplete')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__.update({
                'get_worklist': RPC(),
                })

    @classmethod
    def create(cls, vlist):
        steps = super().create(vlist)
        Pool().get('gnuhealth.orthanc.config').follow_orders()
        return steps

    @classmethod
    def write(cls, *args):
        super().write(*args)
        Pool().get('gnuhealth.orthanc.config').follow_orders()

    @classmethod
    def delete(cls, steps):
        super().delete(steps)
        Pool().get('gnuhealth.orthanc.config').follow_orders()

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state').in_(['canceled', 'rejected']), 'muted',
                    If(Eval('overdue', False) | Bool(Eval('problem')),
                        'warning',
                        If(Eval('state') == 'completed', 'success', ''))),
                ['state', 'overdue', 'problem']),
            ('/form//group[@id="problem"]', 'states', {
                    'invisible': ~Bool(Eval('problem')),
                    }, ['problem']),
            ]

    @classmethod
    @without_check_access
    def get_on_worklist(cls, steps, name):
        start, end = cls._window()
        problems = cls.get_problem(steps, 'problem')
        return {
            s.id: (s.state in OPEN_STATES and not problems[s.id]
                and s.request.state == 'requested'
                and start <= s.scheduled_at < end)
            for s in steps}

    @classmethod
    @without_check_access
    def get_problem(cls, steps, name):
        Entry = Pool().get('gnuhealth.imaging.worklist.entry')
        rendered = Entry.problems(steps)
        # Each label is a statement of its own
        labels = {}
        return {
            s.id: (s._describe_missing(labels) or rendered.get(s.id))
            if s.state in OPEN_STATES else None
            for s in cls.browse(steps)}

    @classmethod
    def _status_details(cls, step):
        return super()._status_details(step) + (
            [step.problem] if step.problem else [])

    @classmethod
    def get_incomplete(cls, steps, name):
        return {
            id_: bool(problem)
            for id_, problem in cls.get_problem(steps, 'problem').items()}

    @classmethod
    def search_incomplete(cls, name, clause):
        Entry = Pool().get('gnuhealth.imaging.worklist.entry')
        return boolean_domain(cls, clause, [
                ('state', 'in', OPEN_STATES),
                ['OR',
                    ('modality', '=', None),
                    ('station_aetitle', '=', None),
                    ('station_aetitle', '=', ''),
                    ('request.patient.party.ref', '=', None),
                    ('request.patient.party.ref', '=', ''),
                    ('id', 'in', Entry.failed()),
                    ]])

    def _describe_missing(self, labels):
        """Return a message with the attributes that the step lacks, or None

        The labels of fields that were asked for are kept in `labels`.
        """
        fields_ = [
            (self, 'modality'), (self, 'station_aetitle'),
            (self.request.patient, 'puid')]
        missing = [
            (record, name) for record, name in fields_
            if not getattr(record, name)]
        for record, name in missing:
            if name not in labels:
                labels[name] = record.__names__(name)['field']
        if missing:
            return gettext(
                'health_orthanc.msg_step_missing',
                fields=', '.join(labels[name] for _, name in missing))

    @classmethod
    def get_worklist(cls, since=0):
        """Return the changes of the worklist to scripts (RPC).

        Parameters
        ----------
        since : int
            The index of the previous response; 0 for all entries.

        Returns
        -------
        dict
            See `WorklistEntry.page`; with the texts for dump2dcm.

        Raises
        ------
        AccessError
            The user is in no group that may read the worklist.
        """
        pool = Pool()
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        User = pool.get('res.user')
        ModelData = pool.get('ir.model.data')
        allowed = {
            ModelData.get_id(module, name) for module, name in [
                ('health_orthanc', 'group_orthanc_plugin'),
                ('health_orthanc', 'group_imaging_orthanc'),
                ('health_orthanc', 'group_imaging_orthanc_admin'),
                ('health_imaging', 'group_health_imaging'),
                ('health_imaging', 'group_health_imaging_admin'),
                ]}
        if Transaction().user and not allowed.intersection(User.get_groups()):
            raise AccessError(
                gettext('ir.msg_access_rule_error', **cls.__names__()))
        with without_check_access():
            # The next run of a script may be far away: wait for the changes
            Entry.refresh(patience=REFRESH_PATIENCE)
            return Entry.page(since, texts=True)
