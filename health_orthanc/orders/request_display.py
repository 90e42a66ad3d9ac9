# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom an order is for, in lists: two patients may have one name"""

from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.transaction import without_check_access

from .step_display import describe_patients

__all__ = ['Request']


class Request(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    patient_lines = fields.Function(
        fields.Text("Patient"), 'get_patient_lines')

    @classmethod
    @without_check_access
    def get_patient_lines(cls, requests, name):
        return describe_patients(
            {r.id: r.patient for r in cls.browse(requests)})
