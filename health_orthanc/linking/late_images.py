# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of canceled orders, which wait for a user"""

from trytond.model import Index, ModelSQL, Unique, fields

__all__ = ['LateImages']


class LateImages(ModelSQL):
    """Images after Cancellation

    Images that were acquired for an order although it is canceled.  A user
    decides whether they complete it.
    """
    __name__ = 'gnuhealth.imaging_orthanc.late_images'

    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order", required=True,
        ondelete='CASCADE')
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')
    state = fields.Selection([
            ('review', "To Review"),
            ('kept', "Order Kept Canceled"),
            ], "State", required=True, sort=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('study_request_unique', Unique(table, table.study, table.request),
                'health_orthanc.msg_late_images_unique'),
            ]
        cls._sql_indexes.add(Index(
                table, (table.request, Index.Equality()),
                where=table.state == 'review'))
        # Clients do not use it
        cls.__rpc__.clear()

    @staticmethod
    def default_state():
        return 'review'

    @classmethod
    def replace(cls, studies, late):
        """Replace what is recorded of studies; decisions are kept.

        Parameters
        ----------
        studies : list of Study
        late : set of tuple
            Ids of studies and of their canceled orders.
        """
        known = {
            (row.study.id, row.request.id): row for row in cls.search(
                [('study', 'in', [s.id for s in studies])])}
        cls.delete([row for pair, row in known.items() if pair not in late])
        cls.create([
                {'study': study, 'request': request}
                for study, request in sorted(late - known.keys())])

    @classmethod
    def waiting(cls, requests):
        """Return the images of orders that nobody has decided on.

        Parameters
        ----------
        requests : list of Request

        Returns
        -------
        list of LateImages
        """
        return cls.search([
                ('request', 'in', [r.id for r in requests]),
                ('state', '=', 'review'),
                ])

    @classmethod
    def kept(cls, studies):
        """Return the orders that stay canceled despite images of studies.

        Parameters
        ----------
        studies : list of Study

        Returns
        -------
        set of tuple
            Ids of studies and of orders.
        """
        return {
            (row.study.id, row.request.id) for row in cls.search([
                    ('study', 'in', [s.id for s in studies]),
                    ('state', '=', 'kept'),
                    ])}

    @classmethod
    def requests_waiting(cls):
        "Return a query for the ids of the orders with undecided images"
        table = cls.__table__()
        return table.select(table.request, where=table.state == 'review')
