# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from . import migration_patients
from .access import check_write
from .core.facts import StudyFacts
from .exceptions import LinkVetoError
from .link import assess_choice, studies_to_carry
from .mirror import MirrorMixin, name_clause
from .viewer import ViewableMixin
from .words import vetoes_in_words

__all__ = ['OrthancPatient']


class OrthancPatient(MirrorMixin, ViewableMixin, ModelSQL, ModelView):
    "Orthanc Patient"
    __name__ = 'gnuhealth.orthanc.patient'
    _rec_name = 'display_name'
    _editable_fields = frozenset({'patient'})
    viewer_level = 'patient'

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", ondelete='RESTRICT',
        help="The patient of GNU Health that this is. A person's choice is "
        "kept by later synchronisations.")
    decided_by = fields.Many2One(
        'res.user', "Decided By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('decided_by'))},
        help="Who chose the patient.")
    name = fields.Char(
        "PatientName", readonly=True, help="As in DICOM (0010,0010).")
    display_name = fields.Char(
        "Name", readonly=True, help="The name as people write it.")
    bd = fields.Date("Birth Date", readonly=True)
    sex = fields.Char("Sex", readonly=True)
    ident = fields.Char("Patient ID", readonly=True)
    uuid = fields.Char("Orthanc ID", required=True, readonly=True)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", readonly=True,
        ondelete='RESTRICT')
    server_label = fields.Function(
        fields.Char("Server"), 'get_server_label',
        searcher='search_server_label')
    studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'orthanc_patient', "Studies",
        readonly=True)
    link = fields.Function(
        fields.Char(
            "Orthanc Explorer", help="Opens the patient in the server's own "
            "pages."),
        'get_link')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('uuid_unique', Unique(table, table.server, table.uuid),
                'health_orthanc.msg_patient_uuid_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.uuid, Index.Equality())),
                Index(table, (table.ident, Index.Equality())),
                Index(table, (table.display_name, Index.Similarity())),
                })
        cls._order = [('display_name', 'ASC'), ('id', 'ASC')]

    @classmethod
    def __register__(cls, module_name):
        # Migration from 4.x
        old = migration_patients.prepare_patients(cls, module_name)
        super().__register__(module_name)
        if old:
            migration_patients.convert_patients(cls)

    def get_rec_name(self, name):
        return self.display_name or self.ident or self.uuid

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [bool_op,
            name_clause('display_name', operator, value),
            ('name', *clause[1:]),
            ('ident', *clause[1:]),
            ]

    def get_server_label(self, name):
        return self.server.label if self.server else None

    @classmethod
    def search_server_label(cls, name, clause):
        return [('server.label', *clause[1:])]

    def get_link(self, name):
        return self.shipped_viewer_link('viewer_explorer_patient')

    def viewer_values(self):
        return {'OrthancID': self.uuid, 'PatientID': self.ident}

    @property
    def viewable(self):
        return bool(self.server and not self.missing_since)

    @classmethod
    def write(cls, *args):
        decided = []
        for records, values in zip(args[::2], args[1::2]):
            # Synchronisation says that nobody decided, people do not
            if 'patient' in values and 'decided_by' not in values:
                if Transaction().check_access:
                    check_write(cls, values)
                    cls._check_vetoes(records, values['patient'])
                decided.extend(records)
        former = cls._chosen(decided)
        super().write(*args)
        if decided:
            cls._record_decision(decided, former)

    @classmethod
    @without_check_access
    def _chosen(cls, records):
        return {record.id: record.patient for record in cls.browse(records)}

    @classmethod
    @without_check_access
    def _check_vetoes(cls, records, patient):
        "Check that what Orthanc knows does not contradict the choice"
        Patient = Pool().get('gnuhealth.patient')
        for record in cls.browse(records):
            if not patient or record.patient == Patient(patient):
                continue
            found = assess_choice(record.facts, Patient(patient)).vetoes
            if found:
                raise LinkVetoError(gettext(
                        'health_orthanc.msg_orthanc_patient_veto',
                        vetoes=vetoes_in_words(found)))

    @property
    def facts(self):
        return StudyFacts(
            patient_name=self.name or '', patient_id=self.ident or '',
            birth_date=self.bd, sex=self.sex or '')

    @classmethod
    @without_check_access
    def _record_decision(cls, records, former):
        "Note who chose and carry the choice to the studies"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for record in cls.browse(records):
            cls.write([record], {
                    'patient': record.patient,
                    'decided_by': Transaction().user,
                    })
            Study.assign(
                studies_to_carry(record), record.patient, former[record.id])
