# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of what was done, on their way to the audit trail

They are stored together with what was done: neither is there without the
other.  The end of the chain cannot be held that long, so they are appended to
it right after that, or by whoever appends next if this fails.
"""

from trytond.model import ModelSQL, fields
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.rows import fetch_rows, insert_rows
from ..core.audit.digests import RECORDED

__all__ = ['PendingAuditEntry']

# Events that are appended at once
_BATCH = 5_000


class PendingAuditEntry(ModelSQL):
    "Pending Audit Entry"
    __name__ = 'gnuhealth.imaging_orthanc.audit.pending'

    at = fields.DateTime("Date", required=True)
    user_id = fields.Integer("User ID")
    action = fields.Char("Action", required=True, strip=False)
    outcome = fields.Char("Outcome", required=True, strip=False)
    patient_id = fields.Integer("Patient Record")
    study_id = fields.Integer("Study Record")
    study_uid = fields.Char("Study UID", strip=False)
    server_id = fields.Integer("Server Record")
    address = fields.Char("Address", strip=False)
    detail = fields.Char("Detail", strip=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    def store(cls, rows):
        """Store events as part of the current transaction.

        Parameters
        ----------
        rows : list of dict
            The values in `RECORDED`.
        """
        insert_rows(cls, rows)

    @classmethod
    def take(cls):
        """Remove the oldest events, and return them.

        Only one transaction at a time does so, see `AuditChain.lock_end`.

        Returns
        -------
        list of dict
            As in `store`.
        """
        table = cls.__table__()
        found = fetch_rows(table.select(
                table.id, *(getattr(table, name) for name in RECORDED),
                order_by=table.id.asc, limit=_BATCH))
        for sub_ids in grouped_slice([id_ for id_, *_ in found]):
            cursor = Transaction().connection.cursor()
            cursor.execute(*table.delete(
                    where=reduce_ids(table.id, sub_ids)))
        return [dict(zip(RECORDED, values)) for _, *values in found]
