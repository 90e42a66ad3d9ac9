# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs of the synchronization"""

from trytond.pool import PoolMeta

__all__ = ['Cron']


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.extend([
                ('gnuhealth.orthanc.config|synchronize_all',
                    "Synchronize Orthanc Servers"),
                ('gnuhealth.orthanc.config|reconcile_all',
                    "Full Synchronization of Orthanc Servers"),
                ('gnuhealth.orthanc.config|resume_synchronizations',
                    "Resume Synchronizations of Orthanc Servers"),
                ('gnuhealth.orthanc.notification|process_pending',
                    "Process Notifications of Orthanc"),
                ])
