# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies in the audit trail"""

from dataclasses import replace
from functools import reduce

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import without_check_access

from ..audit.entry import related_domain, related_names
from ..audit.trail import AuditEvent

# How to get from a record to its study
_TO_STUDY = {
    'gnuhealth.imaging_orthanc.study': [],
    'gnuhealth.imaging_orthanc.study_series': ['study'],
    'gnuhealth.imaging_orthanc.series_instances': ['series', 'study'],
    }

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
    @without_check_access
    def events_of(cls, event, model, ids):
        pool = Pool()
        path = _TO_STUDY.get(model)
        if path is None or not ids:
            return super().events_of(event, model, ids)
        records = pool.get(model).search([('id', 'in', ids)], order=[])
        studies = {reduce(getattr, path, record) for record in records}
        return [
            replace(
                event, study_uid=found.study_uid, study_id=found.study_id,
                patient_id=found.patient_id, server_id=found.server_id)
            for found in study_events(
                event.action, sorted(studies, key=lambda s: s.id))]

    @classmethod
    def _messages(cls, rows, users):
        names = related_names(rows, 'server_id', 'gnuhealth.orthanc.config')
        return [
            replace(entry, server=names[row.id] or '')
            for row, entry in zip(rows, super()._messages(rows, users))]

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
