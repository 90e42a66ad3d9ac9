# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of the user's own orders"""

from sql.aggregate import Count, Min

from trytond.model import fields
from trytond.pool import Pool

from .statistics import DAYS, StatisticsMixin, days_ago, readable

__all__ = ['OrderState']

REQUEST = 'gnuhealth.imaging.test.request'


class OrderState(StatisticsMixin):
    "My Orders by State"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.order'
    _counted_models = (REQUEST,)

    state = fields.Selection('get_states', "State")
    # Graphs show no labels of selections
    state_label = fields.Function(
        fields.Char("State"), 'get_state_label')
    state_string = state.translated('state')
    orders = fields.Integer("Orders")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('orders', 'DESC'), ('id', 'ASC')]

    def get_state_label(self, name):
        return self.state_string

    @staticmethod
    def get_states():
        Request = Pool().get(REQUEST)
        return Request.fields_get(['state'])['state']['selection']

    @classmethod
    def table_query(cls):
        query, request = readable(Pool().get(REQUEST), [
                ('date', '>=', days_ago(DAYS)),
                ('is_own', '=', True),
                ])
        query.columns = cls._columns(
            id=Min(request.id), state=request.state,
            orders=Count(request.id))
        query.group_by = [request.state]
        return query
