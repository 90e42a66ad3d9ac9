# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards that start a synchronization of all servers"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin

__all__ = [
    'FullSynchronize', 'FullSynchronizeStart', 'GetNewStudies',
    'GetNewStudiesStart', 'SynchronizationStarted']


class GetNewStudiesStart(ModelView):
    "Get New Studies"
    __name__ = 'gnuhealth.imaging_orthanc.get_new_studies.start'


class FullSynchronizeStart(ModelView):
    "Full Synchronization"
    __name__ = 'gnuhealth.imaging_orthanc.full_synchronize.start'


class SynchronizationStarted(ModelView):
    "Synchronization Queued"
    __name__ = 'gnuhealth.imaging_orthanc.synchronization.started'

    message = fields.Text("Queued", readonly=True)


def _started_view():
    return StateView(
        'gnuhealth.imaging_orthanc.synchronization.started',
        'health_orthanc.synchronization_started_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])


class _SynchronizeMixin(RestrictedWizardMixin):
    "A wizard that queues a run of every active server"
    __slots__ = ()

    def _start_runs(self, kind):
        Server = Pool().get('gnuhealth.orthanc.config')
        servers = Server.search([])
        Server.synchronize_later(servers, kind)
        labels = ', '.join(s.label for s in servers)
        self.started.message = (
            gettext('health_orthanc.msg_synchronization_started',
                servers=labels)
            if servers else gettext('health_orthanc.msg_no_server'))
        return 'started'

    def default_started(self, fields):
        "Show the servers"
        return {'message': self.started.message}

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'


class GetNewStudies(_SynchronizeMixin, Wizard):
    """Get New Studies

    Queues an incremental run of every active server.
    """
    __name__ = 'gnuhealth.imaging_orthanc.get_new_studies'

    start = StateView(
        'gnuhealth.imaging_orthanc.get_new_studies.start',
        'health_orthanc.get_new_studies_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Start", 'update', 'tryton-ok', default=True),
            ])
    update = StateTransition()
    started = _started_view()

    def transition_update(self):
        "Queue incremental runs"
        return self._start_runs('incremental')


class FullSynchronize(_SynchronizeMixin, Wizard):
    """Full Synchronization

    Queues a full run of every active server.
    """
    __name__ = 'gnuhealth.imaging_orthanc.full_synchronize'

    start = StateView(
        'gnuhealth.imaging_orthanc.full_synchronize.start',
        'health_orthanc.full_synchronize_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Start", 'synchronize', 'tryton-ok', default=True),
            ])
    synchronize = StateTransition()
    started = _started_view()

    def transition_synchronize(self):
        "Queue full runs"
        return self._start_runs('full')
