# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of which a client asks for as many records as it shows at once"""

from trytond.transaction import Transaction

from .rows import fetch_rows

__all__ = ['LongListMixin']


class LongListMixin:
    """A model with long lists

    trytond searches for full lists twice: with all columns of each record, for
    a cache that ends with the request, and with the ids that the client asked
    for.
    """
    __slots__ = ()

    @classmethod
    def search(
            cls, domain, offset=0, limit=None, order=None, count=False,
            query=False, **kwargs):
        transaction = Transaction()
        if (count or query or not transaction.check_access or limit is None
                or limit < transaction.database.IN_MAX
                # trytond filters the rows of a history
                or cls._history):
            return super().search(
                domain, offset=offset, limit=limit, order=order, count=count,
                query=query, **kwargs)
        return cls.browse([id_ for id_, in fetch_rows(super().search(
                        domain, offset=offset, limit=limit, order=order,
                        query=True, **kwargs))])
