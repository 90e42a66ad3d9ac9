# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of a result"""

from collections import defaultdict

from sql import Null

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.rows import fetch_rows

__all__ = ['TestResult']


class _Studies(fields.One2Many):
    """The studies of a result

    Beside those whose first order the result belongs to, they are those that
    answer its order as a further one.
    """

    def get(self, ids, model, name, values=None):
        found = super().get(ids, model, name, values=values)
        further = _further_studies(ids)
        # The search leaves out what the user may not read
        readable = self.get_target().search(
            [('id', 'in', list(set().union(*further.values())))])
        return {
            id_: (*studies, *(
                    s.id for s in readable
                    if s.id in further[id_] and s.id not in studies))
            for id_, studies in found.items()}


def _further_studies(ids):
    "Return the ids of studies that show results for a further order"
    table = Pool().get('gnuhealth.imaging_orthanc.study.order').__table__()
    found = defaultdict(set)
    for sub_ids in grouped_slice(list(ids)):
        for result, study in fetch_rows(table.select(
                    table.result, table.study,
                    where=reduce_ids(table.result, sub_ids))):
            found[result].add(study)
    return found


class TestResult(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'
    _hidden_fields = frozenset({
            'orthanc_studies', 'orthanc_images_unlinked',
            'orthanc_in_quarantine'})
    _technical_fields = frozenset({'orthanc_studies'})

    orthanc_studies = _Studies(
        'gnuhealth.imaging_orthanc.study', 'imaging_test', "Studies",
        readonly=True)
    orthanc_images_unlinked = fields.Boolean(
        "Images Unlinked", readonly=True,
        states={'invisible': ~Eval('orthanc_images_unlinked')},
        help="The images of this result were unlinked from its order after "
        "the report was written. Check the report.")

    orthanc_in_quarantine = fields.Function(
        fields.Boolean(
            "In Quarantine",
            states={'invisible': ~Eval('orthanc_in_quarantine')},
            help="The images of this result were reported to be another "
            "patient's. Do not rely on it until this is settled."),
        'get_in_quarantine')

    @classmethod
    def get_in_quarantine(cls, results, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table, study = cls.__table__(), Study.__table__()
        quarantined = study.select(
            study.id, where=study.quarantined_at != Null)
        found = dict.fromkeys(map(int, results), False)
        for sub_ids in grouped_slice(list(found)):
            for id_, in fetch_rows(table.select(
                        table.id, where=reduce_ids(table.id, sub_ids)
                        & cls._shows(table, quarantined))):
                found[id_] = True
        return found

    @classmethod
    def domain_orthanc_studies(cls, domain, tables):
        table, _ = tables[None]
        name, operator, value = domain[:3]
        nested = name.partition('.')[2]
        if value is None and not nested:
            shown = cls._shows(table)
            return shown if operator == '!=' else ~shown
        if operator in {'where', 'not where'}:
            wanted = value
        elif nested:
            wanted = [(nested, *domain[1:])]
        else:
            target = 'rec_name' if isinstance(value, str) else 'id'
            wanted = [(target, *domain[1:])]
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        shown = cls._shows(
            table, Study.search(wanted, order=[], query=True))
        if operator == 'not where':
            return ~shown
        if operator.startswith(('!', 'not ')):
            # As of all relations: nothing is not what is asked for either
            return shown | ~cls._shows(table)
        return shown

    @staticmethod
    def _shows(table, studies=None):
        """Return the condition: a result shows a study.

        Parameters
        ----------
        table : Table
            The results.
        studies : Select, optional
            The ids of the studies; by default any.
        """
        pool = Pool()
        study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
        further = pool.get(
            'gnuhealth.imaging_orthanc.study.order').__table__()
        first, rest = study.imaging_test != Null, further.result != Null
        if studies is not None:
            first &= study.id.in_(studies)
            rest &= further.study.in_(studies)
        return (
            table.id.in_(study.select(study.imaging_test, where=first))
            | table.id.in_(further.select(further.result, where=rest)))

    @classmethod
    @without_check_access
    def release(cls, results):
        """Delete or flag those of the results that show no study any more.

        Results that were created for images, and that nobody has written, are
        deleted.  Others are kept and flagged.

        Parameters
        ----------
        results : list of TestResult
        """
        for former in cls.search([
                    ('id', 'in', [r.id for r in results]),
                    ('orthanc_studies', '=', None)]):
            if former.orthanc_unreported and not former.images:
                cls.delete([former])
            else:
                cls.write([former], {'orthanc_images_unlinked': True})

    @classmethod
    def export_data(cls, results, fields_names, *args, **kwargs):
        # trytond treats rules on related records as fulfilled
        if Transaction().check_access and any(
                name.partition('/')[0] == 'orthanc_studies'
                for name in fields_names):
            Study = Pool().get('gnuhealth.imaging_orthanc.study')
            Study.check_read([s for r in results for s in r.orthanc_studies])
        return super().export_data(results, fields_names, *args, **kwargs)

    @classmethod
    def copy(cls, results, default=None):
        default = default.copy() if default is not None else {}
        for name in ['orthanc_studies', 'orthanc_images_unlinked']:
            default.setdefault(name, None)
        return super().copy(results, default=default)
