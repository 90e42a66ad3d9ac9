# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Template variables and worklist preview of an order"""

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import without_check_access

from ..orders.states import OPEN_STATES
from .variables import template_data

__all__ = ['Request']


class Request(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    show_worklist_text = fields.Boolean(
        "Worklist Preview", help="Show the worklist items of this order.")
    worklist_text = fields.Function(
        fields.Text(
            "Worklist Text",
            help="The worklist items of this order."),
        'get_worklist_text', loading='lazy')
    orthanc_worklist = fields.Function(
        fields.Text(
            "Worklist",
            help="Whether modalities see this order, or why not."),
        'get_orthanc_worklist')

    @staticmethod
    def default_show_worklist_text():
        return False

    @classmethod
    def write(cls, *args):
        super().write(*args)
        Pool().get('gnuhealth.orthanc.config').follow_orders()

    def get_worklist_text(self, name):
        Entry = Pool().get('gnuhealth.imaging.worklist.entry')
        with without_check_access():
            return Entry.preview(self.__class__(self.id))

    @classmethod
    @without_check_access
    def get_orthanc_worklist(cls, requests, name):
        "Return whether orders that wait are on the worklist, or why not"
        Step = Pool().get('gnuhealth.imaging.procedure.step')
        requests = cls.browse(requests)
        steps = [
            s for r in requests if r.state == 'requested' for s in r.steps
            if s.state in OPEN_STATES]
        on_worklist = Step.get_on_worklist(steps, 'on_worklist')
        problems = Step.get_problem(steps, 'problem')
        return {
            r.id: r._describe_worklist(on_worklist, problems)
            for r in requests}

    def _describe_worklist(self, on_worklist, problems):
        if self.state == 'draft':
            return gettext('health_orthanc.msg_order_draft')
        found = []
        for step in self.steps:
            if step.id in on_worklist:
                found.append(problems[step.id] or gettext(
                        'health_orthanc.msg_order_on_worklist'
                        if on_worklist[step.id]
                        else 'health_orthanc.msg_order_outside_window'))
            elif self.to_repeat and step.state == 'rejected':
                found += [step.state_string, step.rejection_reason]
        return '\n'.join(filter(None, dict.fromkeys(found))) or None

    @property
    def worklist_template(self):
        "The worklist template of the study type, None if it is inactive"
        return self.requested_test.active_worklist_template

    def get_worklist_template_data(self):
        """Return the variables for worklist templates.

        They are of the step that is being rendered, otherwise of the first
        open one.  Other modules extend this method.

        Returns
        -------
        dict
            By DICOM keyword: str, list of str or None, not escaped yet.
            ``my`` is the order itself.  ``reachable``, if there, holds fields
            that templates may reach from ``my`` besides those of
            `variables.REACHABLE`: sets of names, by model.
        """
        inherited = getattr(super(), 'get_worklist_template_data', None)
        data = inherited() if inherited else {}
        data.update(template_data(self))
        return data
