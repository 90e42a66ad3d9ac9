# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates of study types"""

from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.transaction import without_check_access

__all__ = ['ImagingTest']


class ImagingTest(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test'
    _hidden_fields = frozenset({'imaging_worklist_template'})

    imaging_worklist_template = fields.Many2One(
        'gnuhealth.imaging_worklist.worklist_template', "Worklist Template",
        ondelete='SET NULL',
        help="Leave empty to use the default template.")

    @classmethod
    def validate_fields(cls, tests, field_names):
        super().validate_fields(tests, field_names)
        if not field_names or 'imaging_worklist_template' in field_names:
            cls._check_worklist_templates(tests)

    @classmethod
    @without_check_access
    def _check_worklist_templates(cls, tests):
        # A template may be older than the rules for what it reads
        templates = {t.imaging_worklist_template for t in tests} - {None}
        for template in sorted(templates, key=lambda t: t.id):
            if template.active:
                template.check_renders()

    @property
    def active_worklist_template(self):
        "The worklist template, None if it is inactive"
        template = self.imaging_worklist_template
        return template if template and template.active else None
