# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates of study types"""

from trytond.model import fields
from trytond.pool import PoolMeta

__all__ = ['ImagingTest']


class ImagingTest(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test'
    _hidden_fields = frozenset({'imaging_worklist_template'})

    imaging_worklist_template = fields.Many2One(
        'gnuhealth.imaging_worklist.worklist_template', "Worklist Template",
        ondelete='SET NULL',
        help="Leave empty to use the default template.")
