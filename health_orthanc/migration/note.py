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
    ('servers', "Servers Kept"),
    ('address', "Two Servers of One Address"),
    ('server_gone', "Server Is Gone"),
    ('patients', "Patients Kept"),
    ('studies', "Studies Kept"),
    ('studies_4', "Studies of 4.x Alone"),
    ('studies_4_known', "Studies of 4.x and 5.0"),
    ('twins', "Studies Merged"),
    ('twin', "Linked in Two Ways"),
    ('link', "Linked Otherwise in 4.x"),
    ('date', "No Date"),
    ('manual', "Links Made by People"),
    ('review', "Links to Review"),
    ('series', "Series Kept"),
    ('series_doubles', "Series Merged"),
    ('instances', "Instances Kept"),
    ('instances_doubles', "Instances Merged"),
    ('templates', "Templates Kept"),
    ('templates_4', "Templates of 4.x"),
    ('charset', "Character Set Repaired"),
    ('template_python', "Template That Runs Programs"),
    ('template_check', "Template Without Proper Entries"),
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

    at = fields.DateTime("At", required=True, readonly=True)
    kind = fields.Selection(
        KINDS, "Kind", required=True, readonly=True, sort=False)
    attention = fields.Boolean(
        "To Look At", readonly=True, help="Only a person can put it right.")
    count = fields.Integer("Records", readonly=True)
    record = fields.Reference(
        "Record", selection='get_record_models', readonly=True)
    values = fields.Text("Values", readonly=True)
    what = fields.Function(fields.Text("What"), 'get_what')

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
            ('/tree', 'visual', If(Eval('attention'), 'warning', '')),
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
