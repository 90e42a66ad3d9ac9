# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that downloads a study or series"""

from urllib.parse import quote

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction
from trytond.url import http_host
from trytond.wizard import StateAction, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import OrthancUserError
from ..linking.unconfirmed import check_confirmed

__all__ = ['DownloadImages']


class DownloadImages(RestrictedWizardMixin, Wizard):
    """Download Images

    Opens the URL from which the browser downloads the ZIP of a study or
    series.
    """
    __name__ = 'gnuhealth.imaging_orthanc.download_images'

    _record_models = frozenset({
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_series',
            })
    start_state = 'open_'
    open_ = StateAction('health_orthanc.url_download_images')

    def do_open_(self, action):
        """Issue a ticket, and open the URL with it.

        Raises
        ------
        OrthancUserError
            The record has no images.
        UnconfirmedStudyWarning
            They may belong to somebody else.
        QuarantineError
        """
        Download = Pool().get('gnuhealth.imaging_orthanc.download')
        record = self.record
        record.check_released()
        check_confirmed([
                record if record.viewer_level == 'study' else record.study])
        if self.record.missing_since or not self.record.instances_count:
            raise OrthancUserError(
                gettext('health_orthanc.msg_download_nothing'))
        database = quote(Transaction().database.name, safe='')
        # Browsers do not send the fragment, so that it is not logged
        action['url'] = (
            f'{http_host()}/{database}/orthanc/download'
            f'#{Download.issue(self.record)}')
        return action, {}
