# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Further orders of a study

One acquisition can answer several orders.  The study itself holds the first
one, with its result; each further one has a record here.
"""

from collections import defaultdict

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access

from ..common.access import ReadonlyMixin
from ..common.transaction import now

__all__ = ['StudyOrder']


class StudyOrder(ReadonlyMixin, ModelSQL, ModelView):
    """Further Order

    An order that a study answers besides its first one.
    """
    __name__ = 'gnuhealth.imaging_orthanc.study.order'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order", required=True,
        readonly=True, ondelete='CASCADE',
        domain=[
            ('patient', '=', Eval('_parent_study', {}).get('patient', -1)),
            ],
        depends={'study'})
    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", readonly=True,
        ondelete='SET NULL',
        help="The imaging result of this order. It exists once the link is "
        "certain.")
    linked_at = fields.DateTime("Linked At", required=True, readonly=True)
    linked_by = fields.Many2One(
        'res.user', "Linked By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('linked_by'))},
        help="Empty if the order was linked automatically.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('study_request_unique', Unique(table, table.study, table.request),
                'health_orthanc.msg_study_order_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.request, Index.Equality())),
                Index(table, (table.result, Index.Equality())),
                })
        cls._order = [('id', 'ASC')]

    def get_rec_name(self, name):
        return self.request.rec_name

    @classmethod
    def search_rec_name(cls, name, clause):
        return [('request.rec_name', *clause[1:])]

    @classmethod
    @without_check_access
    def assign(cls, wanted, user=None):
        """Store the further orders of studies.

        The first order of each study must be stored before.  Results of
        orders that are no longer linked are released.

        Parameters
        ----------
        wanted : dict of list of int
            The ids of all further orders, by the id of the study; none of
            them is the first order.
        user : int, optional
            The user who decided; None for the system.
        """
        pool = Pool()
        Request = pool.get('gnuhealth.imaging.test.request')
        Result = pool.get('gnuhealth.imaging.test.result')
        rows = cls.search([('study', 'in', list(wanted))])
        gone = [r for r in rows if r.request.id not in wanted[r.study.id]]
        if gone:
            Request.lock_for_update([r.request for r in gone])
        known = defaultdict(set)
        for row in rows:
            known[row.study.id].add(row.request.id)
        # Before the first order gets another result
        created = [
            cls._new_values(study, request, user)
            for study, requests in wanted.items()
            for request in dict.fromkeys(requests)
            if request not in known[study]]
        released = [cls._take_result(row) for row in gone]
        cls.delete(gone)
        cls.create(created)
        Result.release(list(filter(None, released)))

    @classmethod
    def _take_result(cls, row):
        """Return the result that the study no longer shows.

        If the order has become the first one, the study keeps its result
        instead of the former one.
        """
        study, result = row.study, row.result
        if not result or row.request != study.request:
            return result
        former = study.settled_result
        study.__class__.write([study], {
                'imaging_test': result.id, 'settled_result': result.id,
                'link_status': study.link_status})
        return former

    @classmethod
    def _new_values(cls, study, request, user):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        # It may have been the first order
        result = Study(study).settled_result
        if result and (not result.request or result.request.id != request):
            result = None
        return {
            'study': study,
            'request': request,
            'result': result.id if result else None,
            'linked_at': now(),
            'linked_by': user,
            }
