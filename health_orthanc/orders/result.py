# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of orders

A result that is made when images arrive names nobody in *Evaluated by* until
somebody writes the finding.
"""

from sql import Literal
from sql.conditionals import Case

from trytond.model import Index, fields
from trytond.modules.health.core import get_health_professional
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools.domain_inversion import is_leaf
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedSearchMixin, HiddenFieldsMixin
from ..common.indexes import TextSearchMixin, text_clause
from ..common.long_lists import LongListMixin
from ..common.registration import inherited_names
from ..common.related import name_domain
from ..common.transaction import now

__all__ = ['TestResult']

REPORT_STATES = [
    ('unreported', "Not Yet Reported"),
    ('reported', "Reported"),
    ]
# The fields of GNU Health that are no part of a finding
_ADMINISTRATIVE = {
    'date', 'images', 'number', 'order', 'patient', 'report_style', 'request',
    'request_date', 'requested_test'}


class TestResult(
        GuardedSearchMixin, HiddenFieldsMixin, LongListMixin, TextSearchMixin,
        metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'
    _hidden_fields = frozenset({
            'orthanc_unreported', 'orthanc_report_state',
            'orthanc_reported_by', 'orthanc_reported_at',
            'orthanc_accession_number', 'orthanc_urgent'})
    _searched_columns = frozenset({'number'})
    # A user who writes only these fields has not written a report
    _technical_fields = frozenset()

    merge_id = fields.Char(
        "Merge ID", readonly=True, help="The merge ID of the order.")
    orthanc_unreported = fields.Boolean(
        "Not Yet Reported", readonly=True,
        states={'invisible': ~Eval('orthanc_unreported')},
        help="The images have arrived, but the report is not written yet.")
    orthanc_report_state = fields.Function(
        fields.Selection(REPORT_STATES, "Report", sort=False,
            help="Whether somebody has read the images and written the "
            "finding."),
        'get_report_state', searcher='search_report_state')
    orthanc_reported_by = fields.Many2One(
        'res.user', "Reported By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('orthanc_reported_by'))},
        help="The user who wrote the finding.")
    orthanc_reported_at = fields.DateTime(
        "Reported At", readonly=True,
        states={'invisible': ~Bool(Eval('orthanc_reported_at'))})
    orthanc_accession_number = fields.Function(
        fields.Char("Accession Number"), 'get_order_value',
        searcher='search_accession_number')
    orthanc_urgent = fields.Function(
        fields.Boolean("Urgent", help="The order is urgent."),
        'get_order_value', searcher='search_urgent')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Nobody has evaluated what nobody has read
        cls.doctor.required = False
        table = cls.__table__()
        listed = [
            (table.date, Index.Range(order='DESC')),
            (table.id, Index.Range()),
            ]
        cls._sql_indexes.update({
                Index(table, (table.patient, Index.Range())),
                Index(table, (table.request, Index.Range())),
                # As the lists are ordered
                Index(table, *listed),
                Index(
                    table, *listed,
                    where=table.orthanc_unreported == Literal(True)),
                })

    @classmethod
    def search_rec_name(cls, name, clause):
        domain = super().search_rec_name(name, clause)
        if domain[0] != 'OR':
            return domain
        return ['OR', *map(cls._search_clause, domain[1:])]

    @staticmethod
    def _search_clause(clause):
        if not is_leaf(clause) or len(clause) != 3:
            return clause
        field, operator, value = clause
        if field == 'patient':
            return name_domain(field, 'gnuhealth.patient', operator, value)
        return text_clause(field, operator, value, words=False)

    def get_report_state(self, name):
        return 'unreported' if self.orthanc_unreported else 'reported'

    @classmethod
    def search_report_state(cls, name, clause):
        _, operator, value = clause
        if operator in {'=', '!='}:
            value = [value]
        elif operator not in {'in', 'not in'}:
            return cls._search_state_text(operator, value)
        found = [
            ('orthanc_unreported', '=', state == 'unreported')
            for state, _ in REPORT_STATES
            if (state in value) != (operator in {'!=', 'not in'})]
        return ['OR', *found] if found else [('id', '=', None)]

    @classmethod
    def _search_state_text(cls, operator, value):
        table = cls.__table__()
        state = Case(
            (table.orthanc_unreported == Literal(True), 'unreported'),
            else_='reported')
        Operator = fields.SQL_OPERATORS[operator]
        return [('id', 'in', table.select(
                    table.id, where=Operator(state, value)))]

    @classmethod
    def order_orthanc_report_state(cls, tables):
        table, _ = tables[None]
        return [Case(
                (table.orthanc_unreported == Literal(True), 0), else_=1)]

    @classmethod
    @without_check_access
    def get_order_value(cls, results, names):
        """Return the accession numbers and urgency of the orders of results.

        Whoever reads a result may see them without access to orders.
        """
        results = cls.browse(results)
        getters = {
            'orthanc_accession_number':
                lambda request: request.accession_number,
            'orthanc_urgent': lambda request: bool(request.urgent),
            }
        return {
            name: {
                r.id: getters[name](r.request) if r.request else None
                for r in results}
            for name in names}

    @classmethod
    def search_accession_number(cls, name, clause):
        return cls._search_orders('accession_number', *clause[1:])

    @classmethod
    def search_urgent(cls, name, clause):
        return cls._search_orders('urgent', *clause[1:])

    @classmethod
    def _search_orders(cls, name, operator, value):
        # Not by the relation: that needs access to orders
        Request = Pool().get('gnuhealth.imaging.test.request')
        with without_check_access():
            orders = Request.search([(name, operator, value)], query=True)
        domain = [('request', 'in', orders)]
        if operator in {'!=', 'not in', 'not ilike', 'not like'} or (
                operator == '=' and not value):
            domain = ['OR', domain, ('request', '=', None)]
        return domain

    @classmethod
    def order_orthanc_urgent(cls, tables):
        "Order urgent ones that are not yet reported before the others"
        Request = Pool().get('gnuhealth.imaging.test.request')
        table, _ = tables[None]
        request = Request.__table__()
        # A join would read the orders of all results
        urgent = request.select(
            request.id, where=request.urgent == Literal(True))
        waits = (
            (table.orthanc_unreported == Literal(True))
            & table.request.in_(urgent))
        return [Case((waits, 1), else_=0)]

    @classmethod
    @without_check_access
    def _merge_ids(cls, ids):
        Request = Pool().get('gnuhealth.imaging.test.request')
        return {r.id: r.merge_id for r in Request.browse(ids)}

    @classmethod
    def create(cls, vlist):
        merge_ids = cls._merge_ids(
            {int(v['request']) for v in vlist if v.get('request')})
        # GNU Health's wizard puts in the physician who ordered
        unread = Transaction().context.get('active_model') == (
            'gnuhealth.imaging.test.request')
        results = super().create([{
                    **v,
                    **({'merge_id': merge_ids[int(v['request'])]}
                        if v.get('request') else {}),
                    **({'doctor': None} if unread and not _is_written(
                            None, v.get('comment')) else {}),
                    } for v in vlist])
        cls._withdraw(results)
        if Transaction().check_access:
            cls._sign_new(results)
        return results

    @classmethod
    @without_check_access
    def _sign_new(cls, results):
        for result in cls.browse(results):
            if not result.orthanc_unreported:
                cls.write([result], {
                        **cls._signature(),
                        'doctor': (
                            result.doctor or get_health_professional(False)),
                        })

    @staticmethod
    def _signature():
        return {
            'orthanc_reported_by': Transaction().user or None,
            'orthanc_reported_at': now(),
            'orthanc_unreported': False,
            }

    @classmethod
    def write(cls, *args):
        super().write(*args)
        if Transaction().check_access:
            for results, values in zip(args[::2], args[1::2]):
                if cls._holds_finding(values):
                    cls._sign(results, values)
                elif values.keys() & {'doctor', 'comment'}:
                    cls._withdraw(results)

    @classmethod
    def _holds_finding(cls, values):
        "Return whether a user who writes these values writes a finding"
        names = values.keys() - (
            inherited_names(cls, '_technical_fields') | _ADMINISTRATIVE)
        return bool(names - {'doctor', 'comment'}) or _is_written(
            values.get('doctor'), values.get('comment'))

    @classmethod
    @without_check_access
    def _sign(cls, results, values):
        "Name the user as the one who has read the images"
        for result in cls.browse(results):
            if not result.orthanc_unreported:
                continue
            signature = cls._signature()
            # Former versions had put in the physician who ordered
            placed = result.request and result.doctor == result.request.doctor
            if not values.get('doctor') and (not result.doctor or placed):
                signature['doctor'] = (
                    get_health_professional(False) or result.doctor)
            cls.write([result], signature)

    @classmethod
    @without_check_access
    def _withdraw(cls, results):
        "Mark results as not yet reported that have no reader and no finding"
        cls.write([
                r for r in cls.browse(results)
                if not r.orthanc_unreported
                and not _is_written(r.doctor, r.comment)], {
                'orthanc_unreported': True,
                'orthanc_reported_by': None,
                'orthanc_reported_at': None,
                })

    @classmethod
    def copy(cls, results, default=None):
        default = default.copy() if default is not None else {}
        for name in [
                'orthanc_unreported', 'orthanc_reported_by',
                'orthanc_reported_at']:
            default.setdefault(name, None)
        return super().copy(results, default=default)


def _is_written(doctor, comment):
    return bool(doctor or (comment or '').strip())
