# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards that show the images of a record: in the viewer, and as a list"""

import datetime as dt
from urllib.parse import quote

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.pyson import PYSONEncoder
from trytond.transaction import Transaction
from trytond.url import http_host
from trytond.wizard import StateAction, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import OrthancUserError
from ..viewing.ohif import is_installed
from ..viewing.timeline import get_tabs
from ..viewing.viewable import choose_studies

__all__ = ['AllImages', 'ViewImages', 'open_viewer']


def open_viewer(action, record):
    """Issue a ticket, and return the action that opens the viewer with it.

    Parameters
    ----------
    action : dict
        The values of ``url_view_images``.
    record : ViewableMixin or None
        None if it has been deleted.

    Returns
    -------
    dict

    Raises
    ------
    OrthancUserError
        No viewer is installed, or there are no images.
    AccessError
        The user may not read the studies.
    UnconfirmedStudyWarning
        They may belong to somebody else.
    QuarantineError
    """
    Session = Pool().get('gnuhealth.imaging_orthanc.viewer_session')
    if not is_installed():
        raise OrthancUserError(
            gettext('health_orthanc.msg_viewer_not_installed'))
    found = record.studies_to_view() if record else []
    studies = choose_studies(found)
    if not studies:
        for study in found:
            study.check_released()
        raise OrthancUserError(gettext('health_orthanc.msg_viewing_nothing'))
    ticket = Session.issue_ticket(studies, record.series_to_view(studies))
    database = quote(Transaction().database.name, safe='')
    # Browsers do not send the fragment, so that it is not logged
    return {
        **action, 'url': f'{http_host()}/{database}/orthanc/view#{ticket}'}


class ViewImages(RestrictedWizardMixin, Wizard):
    """View Images

    Opens the images of a record in the viewer that GNU Health serves.
    """
    __name__ = 'gnuhealth.imaging_orthanc.view_images'

    _record_models = frozenset({
            'gnuhealth.patient',
            'gnuhealth.imaging.procedure.step',
            'gnuhealth.imaging.test.result',
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_series',
            })
    start_state = 'open_'
    open_ = StateAction('health_orthanc.url_view_images')

    def do_open_(self, action):
        "Open the page with a ticket"
        return open_viewer(action, self.record), {}


class AllImages(RestrictedWizardMixin, Wizard):
    """All Images

    Lists the studies of a patient, with a tab for each modality and year.
    """
    __name__ = 'gnuhealth.imaging_orthanc.all_images'

    _record_models = frozenset({'gnuhealth.patient'})
    start_state = 'open_'
    open_ = StateAction('health_orthanc.act_all_images')

    def do_open_(self, action):
        "Open the list, with the tabs that this patient needs"
        encode = PYSONEncoder().encode
        modalities, years = get_tabs(self.record)
        tabs = [(gettext('health_orthanc.msg_all_images'), [])]
        tabs += [
            (modality, [('series.modality', '=', modality)])
            for modality in modalities]
        tabs += [
            (str(year), [
                    ('date', '>=', dt.date(year, 1, 1)),
                    ('date', '<=', dt.date(year, 12, 31)),
                    ])
            for year in years]
        action['pyson_domain'] = encode([
                ('patient', '=', self.record.id),
                ('link_status', '!=', 'auto_unsure'),
                ])
        action['domains'] = [
            (name, encode(domain), True) for name, domain in tabs]
        action['name'] = f"{action['name']} ({self.record.rec_name})"
        return action, {}
