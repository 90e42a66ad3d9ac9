# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of studies after an order, and images after its cancellation"""

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval, If
from trytond.transaction import Transaction, without_check_access

from ..common.domains import boolean_domain
from .fulfilment import complete_canceled, fulfil_orders, is_late
from .queue import queue_for_orders

__all__ = ['LateImages', 'Request']


class Request(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    orthanc_late_images = fields.Function(
        fields.Boolean(
            "Images after Cancellation",
            states={'invisible': ~Eval('orthanc_late_images')},
            help="To review: images arrived after cancellation. Complete the "
            "order, or keep it canceled."),
        'get_orthanc_late_images', searcher='search_orthanc_late_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        waiting = {
            'invisible': ~Eval('orthanc_late_images'),
            'depends': ['orthanc_late_images'],
            }
        cls._buttons.update({
                'complete_canceled': waiting,
                'keep_canceled': waiting,
                })

    @classmethod
    def create(cls, vlist):
        requests = super().create(vlist)
        cls._queue_studies(requests)
        return requests

    @classmethod
    def requested(cls, requests):
        super().requested(requests)
        cls._queue_studies(requests)

    @classmethod
    @without_check_access
    def _queue_studies(cls, requests):
        queue_for_orders([
                r for r in cls.browse(requests) if r.state == 'requested'])

    # Images after cancellation

    @classmethod
    @without_check_access
    def update_from_steps(cls, requests):
        super().update_from_steps(requests)
        LateImages = Pool().get('gnuhealth.imaging_orthanc.late_images')
        # Somebody has opened the steps again
        LateImages.delete([
                row for row in cls._late_images(requests)
                if not is_late(row.study, row.request)])

    @classmethod
    @without_check_access
    def get_orthanc_late_images(cls, requests, name):
        waiting = {row.request.id for row in cls._late_images(requests)}
        return {r.id: r.id in waiting for r in requests}

    @classmethod
    def search_orthanc_late_images(cls, name, clause):
        LateImages = Pool().get('gnuhealth.imaging_orthanc.late_images')
        return boolean_domain(
            cls, clause, [('id', 'in', LateImages.requests_waiting())])

    @staticmethod
    def _late_images(requests):
        LateImages = Pool().get('gnuhealth.imaging_orthanc.late_images')
        return LateImages.waiting(requests)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="orthanc_late_images"]', 'visual',
                If(Eval('orthanc_late_images', False), 'warning', ''),
                ['orthanc_late_images']),
            ]

    @classmethod
    @ModelView.button
    @without_check_access
    def complete_canceled(cls, requests):
        "Complete canceled orders by the images that have arrived after all"
        late = cls._late_images(cls.lock_for_update(requests))
        cls._record_event(late, 'acquired')
        complete_canceled([(row.study, row.request) for row in late])

    @classmethod
    @ModelView.button
    @without_check_access
    def keep_canceled(cls, requests):
        """Keep orders canceled, although images of them have arrived.

        The images stay linked, and get no result that waits for a report.
        """
        LateImages = Pool().get('gnuhealth.imaging_orthanc.late_images')
        late = cls._late_images(cls.lock_for_update(requests))
        LateImages.write(late, {'state': 'kept'})
        cls._record_event(late, 'kept_canceled')
        fulfil_orders(list({row.study for row in late}))

    @staticmethod
    def _record_event(late, event):
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        Decision.record_event(
            list({row.study for row in late}), event,
            user=Transaction().user or None)


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
