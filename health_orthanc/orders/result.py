# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of orders"""

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedSearchMixin, HiddenFieldsMixin
from ..common.registration import inherited_names

__all__ = ['TestResult']


class TestResult(
        GuardedSearchMixin, HiddenFieldsMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'
    _hidden_fields = frozenset({'orthanc_unreported'})
    # A user who writes only these fields has not written a report
    _technical_fields = frozenset()

    merge_id = fields.Char(
        "Merge ID", readonly=True, help="The merge ID of the order.")
    orthanc_unreported = fields.Boolean(
        "Not Yet Reported", readonly=True,
        states={'invisible': ~Eval('orthanc_unreported')},
        help="The images have arrived, but the report is not written yet.")

    @classmethod
    @without_check_access
    def _merge_ids(cls, ids):
        Request = Pool().get('gnuhealth.imaging.test.request')
        return {r.id: r.merge_id for r in Request.browse(ids)}

    @classmethod
    def create(cls, vlist):
        merge_ids = cls._merge_ids(
            {v['request'] for v in vlist if v.get('request')})
        return super().create([
                {**v, 'merge_id': merge_ids[v['request']]}
                if v.get('request') else v
                for v in vlist])

    @classmethod
    def write(cls, *args):
        super().write(*args)
        if Transaction().check_access:
            written = [
                r for results, values in zip(args[::2], args[1::2])
                if values.keys() - inherited_names(cls, '_technical_fields')
                for r in results]
            with without_check_access():
                cls.write([
                        r for r in cls.browse(written)
                        if r.orthanc_unreported],
                    {'orthanc_unreported': False})

    @classmethod
    def copy(cls, results, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('orthanc_unreported', None)
        return super().copy(results, default=default)
