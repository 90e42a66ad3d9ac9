# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long entries of the audit trail are kept

The time is set in the configuration of the server, not in the database: who
administers imaging cannot shorten it.
"""

import datetime as dt
import logging

from sql.aggregate import Min

from trytond.config import config
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from ..common.rows import fetch_rows
from ..common.transaction import in_transaction, now
from ..core.audit.digests import Link
from .delivery import is_delivered

__all__ = ['AuditEntry', 'days_kept']

logger = logging.getLogger('trytond.modules.health_orthanc.audit')

_DAYS = 3650
_BATCH = 5_000


def days_kept():
    "Return for how many days entries are kept, from the configuration"
    return config.getint('health_orthanc', 'audit_days', default=_DAYS)


class AuditEntry(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.audit'

    @classmethod
    def remove_old(cls):
        """Remove the entries that are old enough (scheduler).

        The place of the last one stays as an anchor for the chain.
        """
        days = days_kept()
        if days <= 0:
            return
        before = now() - dt.timedelta(days=days)
        count = 0
        while removed := in_transaction(cls._remove_some, before):
            count += removed
        if count:
            logger.info("Audit trail: %s old entries removed", count)

    @classmethod
    def _remove_some(cls, before):
        "Remove entries from the beginning, and return how many"
        Chain = Pool().get('gnuhealth.imaging_orthanc.audit.chain')
        end = Chain.lock_end(cls._last)
        table = cls.__table__()
        # Those before the first one that is kept, even if a clock was wrong
        (kept,), = fetch_rows(table.select(
                Min(table.number), where=table.at >= before))
        last = (kept or end.number + 1) - 1
        if is_delivered():
            last = min(last, Chain.sent())
        last = min(last, Chain.start().number + _BATCH)
        for digest, in fetch_rows(table.select(
                    table.digest, where=table.number == last)):
            cursor = Transaction().connection.cursor()
            cursor.execute(*table.delete(where=table.number <= last))
            Chain.move_start(Link(last, digest))
            return cursor.rowcount
        return 0
