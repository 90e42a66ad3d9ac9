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
                    "Synchronise Orthanc Servers"),
                ('gnuhealth.orthanc.config|reconcile_all',
                    "Reconcile Orthanc Servers"),
                ('gnuhealth.orthanc.notification|process_pending',
                    "Work off Notifications of Orthanc"),
                ])
