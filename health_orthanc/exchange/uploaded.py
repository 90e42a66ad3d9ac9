# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uploaded a study, and when"""

from sql import Null

from trytond.model import Index, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from ..common.domains import boolean_domain
from ..common.transaction import now

__all__ = ['Study']


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    uploaded_at = fields.DateTime(
        "Uploaded At", readonly=True,
        states={'invisible': ~Bool(Eval('uploaded_at'))},
        help="The time of the last upload from GNU Health.")
    uploaded_by = fields.Many2One(
        'res.user', "Uploaded By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('uploaded_by'))})
    uploaded_today = fields.Function(
        fields.Boolean("Uploaded Today"), 'get_uploaded_today',
        searcher='search_uploaded_today')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (table.uploaded_at, Index.Range()),
                where=table.uploaded_at != Null))

    @classmethod
    def get_uploaded_today(cls, studies, name):
        start, end = Pool().get('gnuhealth.institution').today()
        return {
            s.id: bool(s.uploaded_at and start <= s.uploaded_at < end)
            for s in studies}

    @classmethod
    def search_uploaded_today(cls, name, clause):
        start, end = Pool().get('gnuhealth.institution').today()
        return boolean_domain(cls, clause, [
                ('uploaded_at', '>=', start), ('uploaded_at', '<', end)])

    @classmethod
    @without_check_access
    def mark_uploaded(cls, studies):
        """Record that the current user has uploaded images of studies.

        Parameters
        ----------
        studies : list of Study
        """
        cls.write(list(studies), {
                'uploaded_at': now(),
                'uploaded_by': Transaction().user or None})
