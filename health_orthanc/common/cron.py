# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs on a database with one writer."""

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
        # SQLite has one writer. The scheduler's own transaction would keep
        # all others out, its next job included, from the first job on that
        # it saves until the last one has run.
        if (backend.name == 'sqlite' and transaction.user == 0
                and transaction.context.get('_skip_warnings')):
            transaction.commit()
