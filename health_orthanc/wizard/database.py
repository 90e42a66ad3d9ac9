# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that asks whether the database is a copy"""

from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin

__all__ = ['DecideDatabase', 'DecideDatabaseStart']


class DecideDatabaseStart(ModelView):
    "Copy or Original"
    __name__ = 'gnuhealth.orthanc.decide_database.start'

    notice = fields.Text("Notice", readonly=True)


class DecideDatabase(RestrictedWizardMixin, Wizard):
    """Copy or Original

    Asks whether the database was moved, or copied.  The servers of a copy are
    left alone.
    """
    __name__ = 'gnuhealth.orthanc.decide_database'

    _record_models = frozenset({'gnuhealth.orthanc.config'})
    start = StateView(
        'gnuhealth.orthanc.decide_database.start',
        'health_orthanc.decide_database_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel', default=True),
            Button("This Is a Copy", 'copy', 'tryton-copy'),
            Button("This Is the Original", 'original', 'tryton-ok'),
            ])
    copy = StateTransition()
    original = StateTransition()

    def default_start(self, fields):
        "Say which database the servers belong to"
        return {'notice': self.record.copy_notice}

    def transition_copy(self):
        "Leave the servers to the original"
        return self._decide('copy')

    def transition_original(self):
        "Use the servers again"
        return self._decide('original')

    @staticmethod
    def _decide(decision):
        Pool().get('gnuhealth.orthanc.database').decide(decision)
        return 'end'

    def end(self):
        return 'reload'
