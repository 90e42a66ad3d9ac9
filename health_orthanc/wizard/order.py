# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows in GNU Health's wizard *New order*

GNU Health's wizard creates drafts, which no modality sees, and closes.  Here
it goes on: it asks whether to request them now, and shows the new orders.
"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, PYSONEncoder
from trytond.transaction import Transaction, without_check_access
from trytond.wizard import Button, StateAction, StateTransition, StateView

from ..common.access import may_press

__all__ = ['NewOrder', 'OrderPlaced']

REQUEST = 'gnuhealth.imaging.test.request'


class OrderPlaced(ModelView):
    "Request Now?"
    __name__ = 'gnuhealth.imaging.order.placed'

    number = fields.Char("Order", readonly=True)
    message = fields.Text("Result", readonly=True)
    problem = fields.Text(
        "Not on the Worklist", readonly=True,
        states={'invisible': ~Bool(Eval('problem'))})
    orders = fields.One2Many(
        REQUEST, None, "Orders", readonly=True)
    may_request = fields.Boolean("May Request", readonly=True)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="problem"]', 'states', {
                    'invisible': ~Bool(Eval('problem')),
                    }),
            ]


class NewOrder(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.imaging.test.request'

    placed = StateView(
        'gnuhealth.imaging.order.placed',
        'health_orthanc.order_placed_view_form', [
            Button("Keep as Draft", 'open_', 'tryton-save'),
            Button(
                "Request Now", 'request_now', 'tryton-ok', default=True,
                states={'invisible': ~Eval('may_request', False)}),
            ])
    request_now = StateTransition()
    open_ = StateAction('health_imaging.act_imaging_test_request_view')

    def generate_code(self, **pattern):
        "Remember the number by which the new orders are found"
        number = super().generate_code(**pattern)
        self.placed.number = number
        return number

    def transition_request(self):
        "Create the orders, and ask whether to request them"
        state = super().transition_request()
        self.placed.orders = self._find_placed()
        return 'placed' if self.placed.orders else state

    def _find_placed(self):
        "Return the orders that were created just now"
        if not self.placed.number:
            return []
        orders = Pool().get(REQUEST).search([
                ('request', '=', self.placed.number),
                ('patient', '=', self.start.patient.id),
                ('state', '=', 'draft'),
                ('create_uid', '=', Transaction().user),
                ], order=[('id', 'DESC')], limit=len(self.start.tests))
        return orders[::-1]

    def default_placed(self, fields):
        "Show the orders, and what keeps them off the worklist"
        orders = self.placed.orders
        # By RPC they may be any
        Pool().get(REQUEST).read([o.id for o in orders], ['id'])
        may_request = may_press(Pool().get(REQUEST), 'requested')
        return {
            'number': self.placed.number,
            'message': gettext(
                'health_orthanc.msg_order_request_now' if may_request
                else 'health_orthanc.msg_order_draft_created',
                number=self.placed.number),
            'problem': _describe_problems(orders),
            'orders': [o.id for o in orders],
            'may_request': may_request,
            }

    def transition_request_now(self):
        "Press *Request* on all of the orders"
        # What the client sends of an order may be outdated
        Request = Pool().get(REQUEST)
        Request.requested(Request.browse([o.id for o in self.placed.orders]))
        return 'open_'

    def do_open_(self, action):
        "Show the new orders, and none of the others"
        action['name'] = gettext('health_orthanc.msg_order_new')
        action['domains'] = []
        action['pyson_domain'] = PYSONEncoder().encode(
            [('id', 'in', [o.id for o in self.placed.orders])])
        return action, {}


@without_check_access
def _describe_problems(orders):
    "Return why modalities will not see some of the orders, or None"
    Step = Pool().get('gnuhealth.imaging.procedure.step')
    orders = Pool().get(REQUEST).browse([o.id for o in orders])
    steps = [s for order in orders for s in order.steps]
    problems = Step.get_problem(steps, 'problem')
    return '\n'.join(
        gettext(
            'health_orthanc.msg_order_not_on_worklist',
            study=s.request.requested_test.rec_name, problem=problems[s.id])
        for s in steps if problems[s.id]) or None
