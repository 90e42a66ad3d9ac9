# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes on what an upgrade has done"""

import json

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, If

from ..common.access import GuardedMixin
from ..common.rows import insert_rows
from ..common.transaction import now

__all__ = ['UpgradeNote']

KINDS = [
    ('servers', "Servers Migrated"),
    ('address', "Servers with Same URL"),
    ('server_gone', "Server Not Configured"),
    ('patients', "Patients Migrated"),
    ('studies', "Studies Migrated"),
    ('studies_4', "Studies Only in 4.x"),
    ('studies_4_known', "Studies in 4.x and 5.0"),
    ('twins', "Studies Merged"),
    ('twin', "Conflicting Links"),
    ('link', "Different Link in 4.x"),
    ('date', "Invalid Date"),
    ('manual', "Manual Links"),
    ('review', "Links to Review"),
    ('series', "Series Migrated"),
    ('series_doubles', "Series Merged"),
    ('instances', "Instances Migrated"),
    ('instances_doubles', "Instances Merged"),
    ('templates', "Templates Migrated"),
    ('templates_4', "Templates from 4.x"),
    ('charset', "Character Set Corrected"),
    ('template_python', "Template with Python Code"),
    ('template_check', "Invalid Template"),
    ]
# The kinds that need a decision of the administrator
ATTENTION = {
    'address', 'date', 'link', 'review', 'server_gone', 'template_check',
    'template_python', 'twin'}


class UpgradeNote(GuardedMixin, ModelSQL, ModelView):
    """Upgrade Note

    What an upgrade has done with records of 4.x and 5.0.
    """
    __name__ = 'gnuhealth.orthanc.upgrade.note'
    _kept_patients = frozenset({'record'})

    at = fields.DateTime("Date", required=True, readonly=True)
    kind = fields.Selection(
        KINDS, "Type", required=True, readonly=True, sort=False)
    attention = fields.Boolean(
        "Action Required", readonly=True, help="A user must check this.")
    count = fields.Integer("Number of Records", readonly=True)
    record = fields.Reference(
        "Record", selection='get_record_models', readonly=True)
    values = fields.Text("Values", readonly=True)
    what = fields.Function(fields.Text("Description"), 'get_what')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('at', 'DESC'), ('attention', 'DESC'), ('id', 'ASC')]

    @staticmethod
    def get_record_models():
        get_name = Pool().get('ir.model').get_name
        return [(None, '')] + [(name, get_name(name)) for name in [
                    'gnuhealth.orthanc.config',
                    'gnuhealth.imaging_orthanc.study',
                    'gnuhealth.imaging_worklist.worklist_template']]

    def get_what(self, name):
        return gettext(
            f'health_orthanc.msg_upgrade_{self.kind}', count=self.count,
            **json.loads(self.values or '{}'))

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('attention'), 'warning', ''),
                ['attention']),
            ]

    @classmethod
    def add(cls, kind, count=1, record=None, **values):
        """Add a note, by SQL: during an upgrade the models are not ready.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        count : int
            The number of records; no note is added for 0.
        record : str, optional
            The record to check, as "model,id".
        values : dict
            Further values of the message.
        """
        if count:
            insert_rows(cls, [{
                        'at': now(),
                        'kind': kind,
                        'attention': kind in ATTENTION,
                        'count': count,
                        'record': record,
                        'values': json.dumps(values),
                        }])
