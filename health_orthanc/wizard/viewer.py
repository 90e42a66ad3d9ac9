# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that opens a record in a viewer"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import OrthancUserError
from ..linking.unconfirmed import check_confirmed

__all__ = ['OpenViewer', 'OpenViewerChoose']


def _studies_of(record):
    "Return the studies that a viewer shows for a record"
    if record.viewer_level == 'patient':
        return list(record.studies)
    if record.viewer_level == 'instance':
        record = record.series
    return [record if record.viewer_level == 'study' else record.study]


class OpenViewerChoose(ModelView):
    "Open in Viewer"
    __name__ = 'gnuhealth.imaging_orthanc.open_viewer.choose'

    viewers = fields.Many2Many(
        'gnuhealth.orthanc.viewer', None, None, "Viewers", readonly=True)
    viewer = fields.Many2One(
        'gnuhealth.orthanc.viewer', "Viewer", required=True,
        domain=[('id', 'in', Eval('viewers', []))])


class OpenViewer(RestrictedWizardMixin, Wizard):
    """Open in Viewer

    Opens a record in the only viewer, or in the one that the user chooses.
    """
    __name__ = 'gnuhealth.imaging_orthanc.open_viewer'

    _record_models = frozenset({
            'gnuhealth.orthanc.patient',
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_series',
            'gnuhealth.imaging_orthanc.series_instances',
            })
    start_state = 'select'
    select = StateTransition()
    choose = StateView(
        'gnuhealth.imaging_orthanc.open_viewer.choose',
        'health_orthanc.open_viewer_choose_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Open", 'open_', 'tryton-ok', default=True),
            ])
    open_ = StateAction('health_orthanc.url_open_viewer')

    def transition_select(self):
        """Open the only viewer, otherwise let the user choose.

        Raises
        ------
        OrthancUserError
            There is no viewer for the record.
        QuarantineError
        """
        self.record.check_released()
        viewers = self.record.offered_viewers()
        if not viewers:
            raise OrthancUserError(gettext('health_orthanc.msg_no_viewer'))
        self.choose.viewers = viewers
        self.choose.viewer = viewers[0]
        return 'open_' if len(viewers) == 1 else 'choose'

    def default_choose(self, fields):
        "Preselect the first viewer"
        return {
            'viewers': [v.id for v in self.choose.viewers],
            'viewer': self.choose.viewer.id,
            }

    def do_open_(self, action):
        """Open the URL of the record in the viewer.

        Raises
        ------
        OrthancUserError
            The viewer is not offered for the record, or it needs a token,
            and the user may not see the images.
        UnconfirmedStudyWarning
            The images may belong to somebody else.
        """
        check_confirmed(_studies_of(self.record))
        viewer = self.choose.viewer
        self.record.check_released()
        if viewer not in self.record.offered_viewers():
            raise OrthancUserError(gettext('health_orthanc.msg_no_viewer'))
        action['url'] = self._url(viewer)
        return action, {}

    def _url(self, viewer):
        server, values = self.record.server, self.record.viewer_values()
        if not viewer.opens_by_token(server):
            return viewer.url(server, values)
        study, = _studies_of(self.record)
        Token = Pool().get('gnuhealth.imaging_orthanc.viewer_token')
        return viewer.token_url(
            server, values, Token.issue(study, viewer.name))
