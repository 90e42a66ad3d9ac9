# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs on a database with a single writer"""

from trytond import backend
from trytond.model import dualmethod
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

__all__ = ['Cron']


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @dualmethod
    def save(cls, crons):
        super().save(crons)
        transaction = Transaction()
        # SQLite allows one writer. Without the commit, the scheduler's
        # transaction blocks all other writers from the first job that it
        # saves until its last job has run.
        if (backend.name == 'sqlite' and transaction.user == 0
                and transaction.context.get('_skip_warnings')):
            transaction.commit()
