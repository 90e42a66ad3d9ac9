# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies and search keys of patients"""

import datetime as dt

from sql import Null
from sql.aggregate import Count, Max

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedSearchMixin, HiddenFieldsMixin
from .queue import queue_for_patients

__all__ = ['Patient']


def _date(value):
    # SQLite returns an aggregated date as text
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


class Patient(GuardedSearchMixin, HiddenFieldsMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'
    _hidden_fields = frozenset({
            'orthanc_patients', 'orthanc_studies', 'orthanc_studies_count',
            'orthanc_last_study_date', 'orthanc_unconfirmed_studies'})

    orthanc_patients = fields.One2Many(
        'gnuhealth.orthanc.patient', 'patient', "Orthanc Patients",
        readonly=True)
    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'patient', "Studies",
        filter=[('link_status', '!=', 'auto_unsure')], readonly=True)
    orthanc_unconfirmed_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'patient',
        "Awaiting Confirmation: May Belong to Somebody Else",
        filter=[('link_status', '=', 'auto_unsure')], readonly=True,
        states={'invisible': ~Bool(Eval('orthanc_unconfirmed_studies'))})
    orthanc_studies_count = fields.Function(
        fields.Integer("Number of Studies"), 'get_orthanc_studies')
    orthanc_last_study_date = fields.Function(
        fields.Date("Last Study Date"), 'get_orthanc_studies')

    @classmethod
    def get_orthanc_studies(cls, patients, names):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table = Study.__table__()
        cursor = Transaction().connection.cursor()
        counts = dict.fromkeys(map(int, patients), 0)
        dates = dict.fromkeys(counts)
        for sub_ids in grouped_slice(list(counts)):
            cursor.execute(*table.select(
                    table.patient, Count(table.id), Max(table.date),
                    where=table.patient.in_(list(sub_ids))
                    & (table.missing_since == Null)
                    & (table.link_status != 'auto_unsure'),
                    group_by=table.patient))
            for patient, count, date in cursor:
                counts[patient] = count
                dates[patient] = _date(date)
        values = {
            'orthanc_studies_count': counts,
            'orthanc_last_study_date': dates,
            }
        return {name: values[name] for name in names}

    @classmethod
    def create(cls, vlist):
        patients = super().create(vlist)
        cls.refresh_identity([p.id for p in patients])
        cls._resume_replacements()
        return patients

    @classmethod
    def write(cls, *args):
        super().write(*args)
        changed = {
            patient.id for patients, values in zip(args[::2], args[1::2])
            if values.keys() & {'party', 'active', 'biological_sex'}
            for patient in patients}
        if changed:
            cls.refresh_identity(changed)
            cls._resume_replacements()

    @classmethod
    def _resume_replacements(cls):
        "Move what waits for a patient record of a replacement"
        Replacement = Pool().get('gnuhealth.imaging_orthanc.replacement')
        Replacement.resume()

    @classmethod
    @without_check_access
    def refresh_identity(cls, ids):
        """Refresh search keys and queue studies after a change of identity.

        Parameters
        ----------
        ids : iterable of int
            Of patients.
        """
        PatientKey = Pool().get('gnuhealth.imaging_orthanc.patient_key')
        PatientKey.refresh(ids)
        queue_for_patients(ids)

    @classmethod
    def copy(cls, patients, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('orthanc_patients', None)
        default.setdefault('orthanc_studies', None)
        default.setdefault('orthanc_unconfirmed_studies', None)
        return super().copy(patients, default=default)
