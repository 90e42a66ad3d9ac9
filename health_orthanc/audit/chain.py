# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of the chain of the audit trail"""

from trytond import backend
from trytond.model import ModelSQL, fields
from trytond.transaction import Transaction

from ..common.rows import fetch_rows
from ..core.audit.digests import Link

__all__ = ['AuditChain']

# There is one record
ID = 1
# Seconds to wait for others who append
_PATIENCE = 10


class AuditChain(ModelSQL):
    """Audit Chain

    The places of the last rows that were written, removed and sent.
    """
    __name__ = 'gnuhealth.imaging_orthanc.audit.chain'

    last_number = fields.Integer("Last Row", required=True)
    last_digest = fields.Char("Last Digest", strip=False)
    removed_number = fields.Integer("Last Removed Row", required=True)
    removed_digest = fields.Char("Last Removed Digest", strip=False)
    sent_number = fields.Integer(
        "Last Sent Row", required=True,
        help="The last row that the audit repository has received.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    def lock_end(cls, last):
        """Lock the end of the chain until the transaction ends; return it.

        Others who append wait meanwhile.  It must come first in the
        transaction.

        Parameters
        ----------
        last : callable
            Returns the end as a `Link`, if it is not recorded yet.

        Returns
        -------
        Link
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        if backend.name == 'postgresql':
            # trytond has already read something, to see if the connection
            # works. Ended here, the transaction gets its view of the database
            # after it has waited, with what the others have appended.
            Transaction().connection.rollback()
            cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}s'")
            cursor.execute(f'LOCK TABLE "{cls._table}" IN EXCLUSIVE MODE')
        # On SQLite, this is the lock of the writer
        cursor.execute(*table.update(
                [table.last_number], [table.last_number],
                where=table.id == ID))
        if not cursor.rowcount:
            cls._begin(last())
        return cls.end()

    @classmethod
    def _begin(cls, last):
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.insert(
                [table.id, table.last_number, table.last_digest,
                    table.removed_number, table.removed_digest,
                    table.sent_number],
                [[ID, last.number, last.digest, 0, '', 0]]))

    @classmethod
    def end(cls):
        "Return the place of the last row that was written, as a `Link`"
        return cls._places()[0]

    @classmethod
    def start(cls):
        "Return the place of the last row that was removed, as a `Link`"
        return cls._places()[1]

    @classmethod
    def _places(cls):
        table = cls.__table__()
        for *last, number, digest in fetch_rows(table.select(
                    table.last_number, table.last_digest,
                    table.removed_number, table.removed_digest,
                    where=table.id == ID)):
            return [Link(n, d or '') for n, d in [last, (number, digest)]]
        return [Link(), Link()]

    @classmethod
    def sent(cls):
        "Return the number of the last row that the repository has received"
        table = cls.__table__()
        for number, in fetch_rows(table.select(
                    table.sent_number, where=table.id == ID)):
            return number
        return 0

    @classmethod
    def move_sent(cls, number):
        "Record the last row that the repository has received"
        cls._update(sent_number=number)

    @classmethod
    def move_end(cls, place):
        "Record the place of the last row that was written"
        cls._update(last_number=place.number, last_digest=place.digest)

    @classmethod
    def move_start(cls, place):
        "Record the place of the last row that was removed"
        cls._update(removed_number=place.number, removed_digest=place.digest)

    @classmethod
    def _update(cls, **values):
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values()), where=table.id == ID))
