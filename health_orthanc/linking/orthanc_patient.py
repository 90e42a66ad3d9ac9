# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Link between an Orthanc patient and its patient"""

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from ..common.access import check_write
from ..common.exceptions import LinkVetoError
from ..core.matching.attributes import StudyAttributes
from .explanations import describe_vetoes
from .link import assess_choice, studies_to_assign

__all__ = ['OrthancPatient']


class OrthancPatient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.patient'
    _editable_fields = frozenset({'patient'})

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", ondelete='RESTRICT',
        help="The corresponding patient in GNU Health. Later synchronizations "
        "keep a patient selected by a user.")
    decided_by = fields.Many2One(
        'res.user', "Decided By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('decided_by'))},
        help="The user who selected the patient.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (table.display_name, Index.Range()),
                (table.id, Index.Range()),
                where=(table.patient == Null)
                & (table.missing_since == Null)))

    @classmethod
    def write(cls, *args):
        decided = []
        for records, values in zip(args[::2], args[1::2]):
            # The synchronization writes `decided_by`, users do not
            if 'patient' in values and 'decided_by' not in values:
                if Transaction().check_access:
                    check_write(cls, values)
                    cls._check_vetoes(records, values['patient'])
                decided.extend(records)
        former = cls._patients_before(decided)
        super().write(*args)
        if decided:
            cls._record_decision(decided, former)

    @classmethod
    @without_check_access
    def _patients_before(cls, records):
        return {record.id: record.patient for record in cls.browse(records)}

    @classmethod
    @without_check_access
    def _check_vetoes(cls, records, patient):
        "Check that the identity in Orthanc does not contradict the patient"
        Patient = Pool().get('gnuhealth.patient')
        for record in cls.browse(records):
            if not patient or record.patient == Patient(patient):
                continue
            found = assess_choice(record.attributes, Patient(patient)).vetoes
            if found:
                raise LinkVetoError(gettext(
                        'health_orthanc.msg_orthanc_patient_veto',
                        vetoes=describe_vetoes(found)))

    @property
    def attributes(self):
        "The identity in Orthanc, as StudyAttributes for matching"
        return StudyAttributes(
            patient_name=self.name or '', patient_id=self.ident or '',
            birth_date=self.bd, sex=self.sex or '')

    @classmethod
    @without_check_access
    def _record_decision(cls, records, former):
        "Record the user and give the patient to the studies"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for record in cls.browse(records):
            cls.write([record], {
                    'patient': record.patient,
                    'decided_by': Transaction().user,
                    })
            Study.assign(
                studies_to_assign(record), record.patient, former[record.id])
