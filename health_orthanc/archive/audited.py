# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies in the audit trail"""

from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.transaction import without_check_access

from ..audit.entry import related_domain, related_names
from ..audit.trail import AuditEvent

__all__ = ['AuditEntry', 'study_events']


@without_check_access
def study_events(action, studies, **values):
    """Return what is recorded of an action with studies.

    Parameters
    ----------
    action : str
        A value of `ACTIONS` in `audit/entry.py`.
    studies : iterable of Study
    values : dict
        Further attributes of the events.

    Returns
    -------
    list of AuditEvent
        One of each study.
    """
    return [
        AuditEvent(
            action,
            study_uid=study.study_instance_UID,
            study_id=study.id,
            patient_id=study.patient.id if study.patient else None,
            server_id=study.server.id if study.server else None,
            **values) for study in studies]


class AuditEntry(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.audit'

    study_name = fields.Function(
        fields.Char("Study"), 'get_study_names', searcher='search_study_name')
    server_name = fields.Function(
        fields.Char("Server"), 'get_server_names',
        searcher='search_server_name')

    @classmethod
    def get_study_names(cls, entries, name):
        return related_names(
            entries, 'study_id', 'gnuhealth.imaging_orthanc.study')

    @classmethod
    def search_study_name(cls, name, clause):
        return related_domain(
            'study_id', 'gnuhealth.imaging_orthanc.study',
            ('rec_name', *clause[1:]))

    @classmethod
    def get_server_names(cls, entries, name):
        return related_names(
            entries, 'server_id', 'gnuhealth.orthanc.config')

    @classmethod
    def search_server_name(cls, name, clause):
        return related_domain(
            'server_id', 'gnuhealth.orthanc.config',
            ('rec_name', *clause[1:]))
