# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies as Orthanc holds them"""

from sql import Null
from sql.aggregate import Count, Sum
from sql.conditionals import Coalesce
from sql.operators import Exists

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.access import HiddenFieldsMixin
from ..common.dates import date_clauses
from ..common.indexes import (
    RepeatedChar, TextSearchMixin, UidChar, text_clause, uid_clause)
from ..common.long_lists import LongListMixin
from .preview import get_thumbnail_problems, get_thumbnails
from .quarantine import QuarantineMixin
from .resource import ResourceMixin, person_name_domain
from .viewer import ViewableMixin

__all__ = ['Study']


class Study(
        QuarantineMixin, ResourceMixin, HiddenFieldsMixin, ViewableMixin,
        LongListMixin, TextSearchMixin, ModelSQL, ModelView):
    "Imaging Study"
    __name__ = 'gnuhealth.imaging_orthanc.study'
    _editable_fields = frozenset({'notes', 'series'})
    _searched_columns = frozenset({
            'accession_number', 'patient_display_name', 'patient_id',
            'study_description'})
    viewer_level = 'study'

    notes = fields.Text("Notes")

    orthanc_patient = fields.Many2One(
        'gnuhealth.orthanc.patient', "Orthanc Patient", readonly=True,
        ondelete='RESTRICT')
    patient_name = fields.Char(
        "Patient Name (DICOM)", readonly=True,
        help="Patient's Name (0010,0010) in DICOM format.")
    patient_display_name = fields.Char(
        "Patient Name", readonly=True,
        help="The patient name in the images, formatted for reading.")
    listed_name = fields.Char(
        "Listed Name", readonly=True,
        states={'invisible': ~Bool(Eval('listed_name'))},
        help="The patient name as Orthanc lists it. It was compared with the "
        "name in the images.")
    letters_lost = fields.Boolean(
        "Letters Lost", readonly=True,
        states={'invisible': ~Bool(Eval('letters_lost'))},
        help="Letters of the patient name cannot be read, because the images "
        "are in another character set than they say. A link never depends on "
        "such a name.")
    patient_id = fields.Char("Patient ID", readonly=True)
    issuer_of_patient_id = fields.Char("Issuer of Patient ID", readonly=True)
    other_patient_ids = fields.Char("Other Patient IDs", readonly=True)
    patient_birth_date = fields.Date("Birth Date", readonly=True)
    patient_sex = fields.Char("Sex", readonly=True)
    date = fields.Date("Date", readonly=True)
    study_time = fields.Time("Time", readonly=True)
    study_description = fields.Char("Description", readonly=True)
    requested_procedure_description = fields.Char(
        "Requested Procedure", readonly=True)
    study_id = fields.Char("Study ID", readonly=True)
    accession_number = fields.Char("Accession Number", readonly=True)
    modalities = RepeatedChar("Modalities", readonly=True)
    institution = fields.Char("Institution", readonly=True)
    referring_physician_name = fields.Char(
        "Referring Physician", readonly=True)
    requesting_physician = fields.Char("Requesting Physician", readonly=True)
    performing_physician_name = fields.Char(
        "Performing Physician", readonly=True)
    malformed_tags = fields.Text(
        "Malformed Tags", readonly=True,
        states={'invisible': ~Bool(Eval('malformed_tags'))},
        help="Invalid values in the images.")
    study_instance_UID = UidChar("Study UID", readonly=True)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='RESTRICT')
    server_label = fields.Function(
        fields.Char("Server"), 'get_server_label',
        searcher='search_server_label')
    labels = fields.Char(
        "Labels", readonly=True,
        help="The labels of the study in Orthanc, from version 1.12.")
    last_update = fields.DateTime("Last Update", readonly=True)
    stable = fields.Boolean(
        "Stable", readonly=True,
        help="No new images have arrived for some time.")
    historical = fields.Boolean(
        "Historical", readonly=True,
        help="The server already held the study when it was added to GNU "
        "Health. It does not appear for review until images are added to it "
        "or an administrator requests a review.")
    uid_conflict = fields.Function(
        fields.Boolean(
            "Duplicate UID",
            states={'invisible': ~Bool(Eval('uid_conflict'))},
            help="The server also has this study UID under another patient "
            "ID."),
        'get_uid_conflict', searcher='search_uid_conflict')
    also_on = fields.Function(
        fields.Char(
            "Also On",
            states={'invisible': ~Bool(Eval('also_on'))},
            help="Other servers with the same study."),
        'get_also_on')

    deleted_at = fields.DateTime(
        "Deleted", readonly=True,
        states={'invisible': ~Bool(Eval('deleted_at'))},
        help="The time of the last deletion from GNU Health.")
    deleted_by = fields.Many2One(
        'res.user', "Deleted By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('deleted_by'))})

    series = fields.One2Many(
        'gnuhealth.imaging_orthanc.study_series', 'study', "Series")
    series_count = fields.Function(
        fields.Integer("Number of Series"), 'get_counts')
    instances_count = fields.Function(
        fields.Integer("Images"), 'get_counts')
    thumbnail = fields.Function(
        fields.Binary("Thumbnail"), 'get_thumbnail', loading='lazy')
    thumbnail_problem = fields.Function(
        fields.Text(
            "No Image", help="Why no image can be shown.",
            states={'invisible': ~Bool(Eval('thumbnail_problem'))}),
        'get_thumbnail_problem', loading='lazy')
    link_base_url = fields.Function(
        fields.Char("Link Base URL"), 'get_link_base_url')
    ohif_viewer_link = fields.Function(
        fields.Char("OHIF Viewer"), 'get_viewer_links')
    stone_viewer_link = fields.Function(
        fields.Char("Stone Web Viewer"), 'get_viewer_links')
    explorer_link = fields.Function(
        fields.Char("Orthanc Explorer"), 'get_viewer_links')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('orthanc_unique', Unique(table, table.server, table.orthanc_UID),
                'health_orthanc.msg_study_orthanc_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.orthanc_UID, Index.Equality())),
                Index(table, (table.study_instance_UID, Index.Equality())),
                Index(table, (table.patient_id, Index.Range())),
                Index(table, (table.accession_number, Index.Range())),
                Index(table, (table.patient_display_name, Index.Range())),
                # With the id, by which lists order equal ones
                Index(
                    table, (table.modalities, Index.Range()),
                    (table.id, Index.Range())),
                Index(table, (table.patient_birth_date, Index.Range())),
                # As the lists are ordered
                Index(table, *cls._listed(table)),
                Index(
                    table, *cls._listed(table),
                    where=table.missing_since != Null),
                Index(
                    table, (table.orthanc_patient, Index.Range()),
                    where=table.quarantined_at != Null),
                })
        cls._order = [
            ('date', 'DESC NULLS LAST'), ('study_time', 'DESC NULLS LAST'),
            ('id', 'DESC')]

    @staticmethod
    def _listed(table):
        "Return the expressions of an index in the order of the lists"
        return [
            (table.date, Index.Range(order='DESC NULLS LAST')),
            (table.study_time, Index.Range(order='DESC NULLS LAST')),
            (table.id, Index.Range(order='DESC')),
            ]

    def get_rec_name(self, name):
        parts = [
            self.date.isoformat() if self.date else None,
            self.modalities, self.study_description,
            self.patient_display_name or self.patient_id]
        return (' '.join(filter(None, parts))
            or self.study_instance_UID or self.orthanc_UID)

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [bool_op,
            person_name_domain('patient_display_name', operator, value),
            text_clause('study_description', operator, value),
            *(text_clause(field, operator, value, words=False)
                for field in ['patient_id', 'accession_number']),
            ('modalities', operator, value),
            uid_clause('study_instance_UID', operator, value),
            *date_clauses(['date', 'patient_birth_date'], operator, value),
            ]

    def get_server_label(self, name):
        return self.server.label

    @classmethod
    def search_server_label(cls, name, clause):
        return [('server.label', *clause[1:])]

    @staticmethod
    def order_server_label(tables):
        Server = Pool().get('gnuhealth.orthanc.config')
        table, _ = tables[None]
        if 'server' not in tables:
            server = Server.__table__()
            tables['server'] = {
                None: (server, table.server == server.id),
                }
        server, _ = tables['server'][None]
        return [server.label]

    @staticmethod
    def default_historical():
        return False

    @classmethod
    def _has_twin(cls, table, twin):
        "Return the condition: another study of the server has the same UID"
        return ((twin.study_instance_UID == table.study_instance_UID)
            & (twin.server == table.server)
            & (twin.id != table.id)
            & (twin.missing_since == Null)
            & (table.missing_since == Null))

    @classmethod
    def get_uid_conflict(cls, studies, name):
        table, twin = cls.__table__(), cls.__table__()
        cursor = Transaction().connection.cursor()
        conflicts = dict.fromkeys(map(int, studies), False)
        for sub_ids in grouped_slice(list(conflicts)):
            cursor.execute(*table.join(
                    twin, condition=cls._has_twin(table, twin)).select(
                    table.id, where=table.id.in_(list(sub_ids))))
            conflicts.update((id_, True) for id_, in cursor)
        return conflicts

    @classmethod
    def search_uid_conflict(cls, name, clause):
        _, operator, value = clause
        table, twin = cls.__table__(), cls.__table__()
        query = table.select(table.id, where=Exists(
                twin.select(twin.id, where=cls._has_twin(table, twin))))
        negate = (operator in {'!=', 'not in'}) == bool(
            value if not isinstance(value, (list, tuple)) else True in value)
        return [('id', 'not in' if negate else 'in', query)]

    @classmethod
    def get_also_on(cls, studies, name):
        Server = Pool().get('gnuhealth.orthanc.config')
        table, twin = cls.__table__(), cls.__table__()
        server = Server.__table__()
        cursor = Transaction().connection.cursor()
        labels = {int(s): set() for s in studies}
        for sub_ids in grouped_slice(list(labels)):
            cursor.execute(*table.join(twin, condition=(
                        (twin.study_instance_UID == table.study_instance_UID)
                        & (twin.server != table.server)
                        & (twin.missing_since == Null))
                    ).join(server, condition=twin.server == server.id).select(
                    table.id, server.label,
                    where=table.id.in_(list(sub_ids))))
            for id_, label in cursor:
                labels[id_].add(label)
        return {
            id_: ', '.join(sorted(found)) or None
            for id_, found in labels.items()}

    @classmethod
    def get_counts(cls, studies, names):
        Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
        table = Series.__table__()
        cursor = Transaction().connection.cursor()
        series = dict.fromkeys(map(int, studies), 0)
        instances = series.copy()
        for sub_ids in grouped_slice(list(series)):
            cursor.execute(*table.select(
                    table.study, Count(table.id),
                    Sum(Coalesce(table.instances_count, 0)),
                    where=table.study.in_(list(sub_ids))
                    & (table.missing_since == Null),
                    group_by=table.study))
            for study, series_count, instances_count in cursor:
                series[study] = series_count
                instances[study] = int(instances_count)
        counts = {'series_count': series, 'instances_count': instances}
        return {name: counts[name] for name in names}

    @classmethod
    def get_thumbnail(cls, studies, name):
        return get_thumbnails(studies)

    @classmethod
    def get_thumbnail_problem(cls, studies, name):
        return get_thumbnail_problems(studies)

    def get_link_base_url(self, name):
        return self.server.link_base_url

    @classmethod
    def get_viewer_links(cls, studies, names):
        xml_ids = {
            'ohif_viewer_link': 'viewer_ohif_study',
            'stone_viewer_link': 'viewer_stone_study',
            'explorer_link': 'viewer_explorer_study',
            }
        withheld = cls.find_withheld(studies)
        return {
            name: {
                s.id: None if s in withheld
                else s.shipped_viewer_link(xml_ids[name]) for s in studies}
            for name in names}

    @property
    def viewable(self):
        return bool(super().viewable and self.instances_count)

    def viewer_values(self):
        "Return the values of the placeholders in viewer URLs"
        return {
            'OrthancID': self.orthanc_UID,
            'PatientID': self.patient_id,
            'StudyInstanceUID': self.study_instance_UID,
            }

    @classmethod
    def find_withheld(cls, studies):
        """Return the studies whose images the current user does not see.

        A hook for upper rooms.

        Parameters
        ----------
        studies : list of Study

        Returns
        -------
        set of Study
        """
        return set()
