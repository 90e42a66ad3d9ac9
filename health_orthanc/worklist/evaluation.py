# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluations, of which worklist items take the weight of patients."""

from trytond.model import Index
from trytond.pool import PoolMeta

__all__ = ['PatientEvaluation']


class PatientEvaluation(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.evaluation'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # The weight of those on the worklist is looked up all the time
        cls._sql_indexes.add(
            Index(table, (table.patient, Index.Equality())))
