# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization of all servers, called by the study model"""

from trytond.pool import Pool, PoolMeta
from trytond.transaction import without_check_access

__all__ = ['Study']


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    @classmethod
    def get_new_studies(cls):
        """Store the changes of every active server, now.

        Separate transactions are used for each server.

        Raises
        ------
        SynchronizationError
            After all servers, if some have failed.
        """
        cls._synchronize('incremental')

    @classmethod
    def full_synchronize(cls):
        """Compare everything on every active server, now.

        Raises
        ------
        SynchronizationError
            After all servers, if some have failed.
        """
        cls._synchronize('full')

    @classmethod
    def _synchronize(cls, kind):
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Synchronization = pool.get('gnuhealth.orthanc.synchronization')
        with without_check_access():
            Synchronization.run_all(Server.search([]), kind)
