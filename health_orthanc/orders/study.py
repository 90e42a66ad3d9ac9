# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies are of today, where the user works"""

from trytond.model import fields
from trytond.pool import Pool, PoolMeta

from ..common.domains import boolean_domain

__all__ = ['Study']


class Study(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'

    # Not by the clock of the client, which may be in another time zone
    today = fields.Function(
        fields.Boolean("Today"), 'get_today', searcher='search_today')

    @classmethod
    def get_today(cls, studies, name):
        today = Pool().get('gnuhealth.institution').date_of_today()
        return {s.id: s.date == today for s in studies}

    @classmethod
    def search_today(cls, name, clause):
        today = Pool().get('gnuhealth.institution').date_of_today()
        return boolean_domain(cls, clause, [('date', '=', today)])
