# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Index on evaluations, which hold the weight of patients"""

from trytond.model import Index
from trytond.pool import PoolMeta

__all__ = ['PatientEvaluation']


class PatientEvaluation(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.evaluation'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # Rendering looks up the last weight of each patient on the worklist
        cls._sql_indexes.add(
            Index(table, (table.patient, Index.Equality())))
