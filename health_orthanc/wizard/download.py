# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from urllib.parse import quote

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction
from trytond.url import http_host
from trytond.wizard import StateAction, Wizard

from ..common.access import RestrictedWizardMixin
from ..common.exceptions import OrthancUserError

__all__ = ['DownloadImages']


class DownloadImages(RestrictedWizardMixin, Wizard):
    "Download Images"
    __name__ = 'gnuhealth.imaging_orthanc.download_images'

    _record_models = frozenset({
            'gnuhealth.imaging_orthanc.study',
            'gnuhealth.imaging_orthanc.study_series',
            })
    start_state = 'open_'
    open_ = StateAction('health_orthanc.url_download_images')

    def do_open_(self, action):
        Download = Pool().get('gnuhealth.imaging_orthanc.download')
        if self.record.missing_since or not self.record.instances_count:
            raise OrthancUserError(
                gettext('health_orthanc.msg_download_nothing'))
        database = quote(Transaction().database.name, safe='')
        # Browsers keep what stands behind the # to themselves
        action['url'] = (
            f'{http_host()}/{database}/orthanc/download'
            f'#{Download.issue(self.record)}')
        return action, {}
