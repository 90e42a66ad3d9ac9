# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs of a database that may be a copy"""

import logging

from trytond.model import ModelView, dualmethod
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

__all__ = ['Cron']

logger = logging.getLogger('trytond.modules.health_orthanc.cron')

# The models of ours, whose jobs have to do with Orthanc
_MODELS = ('gnuhealth.orthanc.', 'gnuhealth.imaging_orthanc.')
# The databases that were logged by this process
_logged = set()


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @dualmethod
    @ModelView.button
    def run_once(cls, crons):
        super().run_once([c for c in crons if not c._is_withheld()])

    def _is_withheld(self):
        "Return whether the job must wait for a decision on the database"
        Database = Pool().get('gnuhealth.orthanc.database')
        if not self.method.startswith(_MODELS):
            return False
        # Of a database from before this was stored
        Database.remember()
        if Database.is_confirmed():
            return False
        name = Transaction().database.name
        if name not in _logged:
            _logged.add(name)
            logger.warning(
                "Database %s was copied, restored or moved: its Orthanc "
                "servers are left alone until an administrator has decided",
                name)
        return True
