# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs of viewing"""

from trytond.pool import PoolMeta

__all__ = ['Cron']


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.extend([
                ('gnuhealth.imaging_orthanc.viewer_session|delete_expired',
                    "Delete Expired Viewer Sessions"),
                ('gnuhealth.imaging_orthanc.viewer_token|delete_expired',
                    "Delete Expired Viewer Tokens"),
                ])
