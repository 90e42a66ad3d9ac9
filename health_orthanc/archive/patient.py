# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients as Orthanc holds them"""

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval

from ..common.dates import date_clauses
from ..common.exceptions import QuarantineError
from ..common.indexes import TextSearchMixin, text_clause
from ..common.long_lists import LongListMixin
from .quarantine import find_quarantined_patients
from .resource import ResourceMixin, person_name_domain
from .viewer import ViewableMixin

__all__ = ['OrthancPatient']


class OrthancPatient(
        ResourceMixin, ViewableMixin, LongListMixin, TextSearchMixin, ModelSQL,
        ModelView):
    "Orthanc Patient"
    __name__ = 'gnuhealth.orthanc.patient'
    _rec_name = 'display_name'
    _searched_columns = frozenset({'display_name', 'ident', 'name'})
    viewer_level = 'patient'

    name = fields.Char(
        "Patient Name (DICOM)", readonly=True,
        help="Patient's Name (0010,0010) in DICOM format.")
    display_name = fields.Char(
        "Name", readonly=True, help="The patient name, formatted for reading.")
    listed_name = fields.Char(
        "Listed Name", readonly=True,
        states={'invisible': ~Bool(Eval('listed_name'))},
        help="The patient name as Orthanc lists it. It was compared with the "
        "name in the images.")
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
    quarantined = fields.Function(
        fields.Boolean(
            "In Quarantine",
            states={'invisible': ~Bool(Eval('quarantined'))},
            help="A study of the patient is in quarantine because it was "
            "reported to be another patient's."),
        'get_quarantined')
    link = fields.Function(
        fields.Char(
            "Orthanc Explorer", help="Open the patient in Orthanc Explorer."),
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
                Index(table, (table.bd, Index.Range())),
                # As the lists are ordered
                Index(
                    table, (table.display_name, Index.Range()),
                    (table.id, Index.Range())),
                Index(
                    table, (table.display_name, Index.Range()),
                    (table.id, Index.Range()),
                    where=table.missing_since != Null),
                })
        cls._order = [('display_name', 'ASC'), ('id', 'ASC')]

    def get_rec_name(self, name):
        return self.display_name or self.ident or self.uuid

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [bool_op,
            person_name_domain('display_name', operator, value),
            # Of short texts, the words are in the other name
            *(text_clause(field, operator, value, words=False)
                for field in ['name', 'ident']),
            *date_clauses(['bd'], operator, value),
            ]

    def get_server_label(self, name):
        return self.server.label if self.server else None

    @classmethod
    def search_server_label(cls, name, clause):
        return [('server.label', *clause[1:])]

    @classmethod
    def get_link(cls, patients, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        withheld = {
            s.orthanc_patient for s in Study.find_withheld(
                [s for p in patients for s in p.studies])}
        return {
            p.id: None if p in withheld
            else p.shipped_viewer_link('viewer_explorer_patient')
            for p in patients}

    @classmethod
    def get_quarantined(cls, patients, name):
        return find_quarantined_patients(patients)

    def raise_quarantined(self):
        """Raise the error that says why the images are not shown.

        Raises
        ------
        QuarantineError
        """
        raise QuarantineError(gettext(
                'health_orthanc.msg_orthanc_patient_quarantined',
                patient=self.rec_name))

    def viewer_values(self):
        "Return the values of the placeholders in viewer URLs"
        return {'OrthancID': self.uuid, 'PatientID': self.ident}

    @property
    def viewable(self):
        return bool(self.server and super().viewable)
