# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from sql import Null
from sql.aggregate import Count, Sum
from sql.conditionals import Coalesce
from sql.operators import Exists

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from . import migration_4, migration_studies
from .access import HiddenFieldsMixin
from .engine import match_due
from .image import get_thumbnails
from .link import match_orders
from .mirror import MirrorMixin, name_clause
from .review import ReviewMixin
from .viewer import ViewableMixin

__all__ = ['Study']


class Study(
        ReviewMixin, MirrorMixin, HiddenFieldsMixin, ViewableMixin, ModelSQL,
        ModelView):
    "Imaging Study"
    __name__ = 'gnuhealth.imaging_orthanc.study'
    _hidden_fields = frozenset({'decisions', 'notified_facts'})
    _editable_fields = frozenset({
            'patient', 'imaging_test', 'request', 'merge_comment', 'notes',
            'series'})
    viewer_level = 'study'

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", ondelete='RESTRICT',
        help="The patient whose study this is.")
    gnuhealth_patient_name = fields.Function(
        fields.Char("Linked Patient"), 'get_gnuhealth_patient_name',
        searcher='search_gnuhealth_patient_name')
    imaging_test = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", ondelete='SET NULL',
        domain=[
            If(Bool(Eval('patient')),
                ('patient', '=', Eval('patient', -1)),
                ()),
            ])
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order", ondelete='SET NULL',
        domain=[
            If(Bool(Eval('patient')),
                ('patient', '=', Eval('patient', -1)),
                ()),
            ],
        help="What the images were ordered with. Its steps are completed by "
        "them.")
    settled_result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Settled Result", readonly=True,
        ondelete='SET NULL',
        help="The result that the order has brought the study into.")
    notified_facts = fields.Text("Notified Facts", readonly=True, strip=False)
    matched_at = fields.DateTime(
        "Matched At", readonly=True,
        help="When it was last compared with patients and orders.")
    merge_id = fields.Char(
        "Merge ID", readonly=True,
        help="What the request and the study have in common.")
    merge_comment = fields.Char("Merge Comment")
    notes = fields.Text("Notes")

    orthanc_patient = fields.Many2One(
        'gnuhealth.orthanc.patient', "Orthanc Patient", readonly=True,
        ondelete='RESTRICT')
    patient_name = fields.Char(
        "PatientName", readonly=True, help="As in DICOM (0010,0010).")
    patient_display_name = fields.Char(
        "Patient Name", readonly=True,
        help="The name in the images as people write it.")
    patient_id = fields.Char("Patient ID", readonly=True)
    patient_birth_date = fields.Date("Birth Date", readonly=True)
    patient_sex = fields.Char("Sex", readonly=True)
    date = fields.Date("Date", readonly=True)
    study_time = fields.Time("Time", readonly=True)
    study_description = fields.Char("Description", readonly=True)
    requested_procedure_description = fields.Char(
        "Requested Procedure", readonly=True)
    study_id = fields.Char("Study ID", readonly=True)
    accession_number = fields.Char("Accession Number", readonly=True)
    modalities = fields.Char("Modalities", readonly=True)
    institution = fields.Char("Institution", readonly=True)
    referring_physician_name = fields.Char(
        "Referring Physician", readonly=True)
    requesting_physician = fields.Char("Requesting Physician", readonly=True)
    performing_physician_name = fields.Char(
        "Performing Physician", readonly=True)
    malformed_tags = fields.Text(
        "Malformed Tags", readonly=True,
        states={'invisible': ~Bool(Eval('malformed_tags'))},
        help="What the images hold in place of a proper date, time or "
        "number.")
    study_instance_UID = fields.Char("Study UID", readonly=True)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='RESTRICT')
    server_label = fields.Function(
        fields.Char("Server"), 'get_server_label',
        searcher='search_server_label')
    last_update = fields.DateTime("Last Update", readonly=True)
    stable = fields.Boolean(
        "Stable", readonly=True, help="No more images are coming in.")
    historical = fields.Function(
        fields.Boolean(
            "Historical",
            help="Older than the server's start date."),
        'get_historical', searcher='search_historical')
    uid_conflict = fields.Function(
        fields.Boolean(
            "Same UID",
            states={'invisible': ~Bool(Eval('uid_conflict'))},
            help="The server holds this study UID under another patient "
            "ID too."),
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
        help="When it was deleted from here, the last time.")
    deleted_by = fields.Many2One(
        'res.user', "Deleted By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('deleted_by'))})

    key_image = fields.Many2One(
        'ir.attachment', "Key Image", readonly=True, ondelete='SET NULL',
        help="Attached by the system, to the result or else to the patient.")
    key_image_at = fields.DateTime(
        "Key Image At", readonly=True,
        help="When its key image was attached, or found to be none.")
    key_image_tried_at = fields.DateTime("Key Image Tried", readonly=True)

    series = fields.One2Many(
        'gnuhealth.imaging_orthanc.study_series', 'study', "Series")
    series_count = fields.Function(
        fields.Integer("Series Count"), 'get_counts')
    instances_count = fields.Function(
        fields.Integer("Images"), 'get_counts')
    thumbnail = fields.Function(
        fields.Binary("Thumbnail"), 'get_thumbnail', loading='lazy')
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
                Index(table, (table.patient_id, Index.Equality())),
                Index(table, (table.accession_number, Index.Equality())),
                Index(table, (table.patient_display_name,
                        Index.Similarity())),
                Index(table, (table.date, Index.Range(order='DESC'))),
                Index(
                    table, (table.server, Index.Equality()),
                    where=table.matched_at == Null),
                Index(
                    table, (table.link_status, Index.Equality()),
                    where=table.link_status.in_(['auto_unsure', 'unlinked'])),
                })
        cls._buttons.update({
                'delete_study': {},
                })
        cls._order = [
            ('date', 'DESC NULLS LAST'), ('study_time', 'DESC NULLS LAST'),
            ('id', 'DESC')]

    @classmethod
    def __register__(cls, module_name):
        # Migration from 5.0
        doubtful = migration_studies.prepare_studies(cls, module_name)
        super().__register__(module_name)
        if doubtful is not None:
            migration_studies.convert_studies(cls, module_name, doubtful)
        # Migration from 4.x
        brought = migration_4.bring_studies(cls, module_name)
        if doubtful is not None or brought:
            # What was linked before waits for a person
            migration_studies.finish_studies(cls)

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
            name_clause('patient_display_name', operator, value),
            *((field, operator, value) for field in [
                    'patient_id', 'study_description', 'accession_number',
                    'study_instance_UID', 'gnuhealth_patient_name']),
            ]

    def get_gnuhealth_patient_name(self, name):
        return self.patient.rec_name if self.patient else None

    @classmethod
    def search_gnuhealth_patient_name(cls, name, clause):
        return [('patient.rec_name', *clause[1:])]

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

    def get_historical(self, name):
        start = self.server.start_date
        return bool(start and self.date and self.date < start)

    @classmethod
    def search_historical(cls, name, clause):
        Server = Pool().get('gnuhealth.orthanc.config')
        _, operator, value = clause
        table, server = cls.__table__(), Server.__table__()
        query = table.join(server, condition=table.server == server.id).select(
            table.id, where=table.date < server.start_date)
        negate = (operator in {'!=', 'not in'}) == bool(
            value if not isinstance(value, (list, tuple)) else True in value)
        return [('id', 'not in' if negate else 'in', query)]

    @classmethod
    def _twins(cls, table, twin):
        "Return when a study is another one on its server with the same UID"
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
                    twin, condition=cls._twins(table, twin)).select(
                    table.id, where=table.id.in_(list(sub_ids))))
            conflicts.update((id_, True) for id_, in cursor)
        return conflicts

    @classmethod
    def search_uid_conflict(cls, name, clause):
        _, operator, value = clause
        table, twin = cls.__table__(), cls.__table__()
        query = table.select(table.id, where=Exists(
                twin.select(twin.id, where=cls._twins(table, twin))))
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

    def get_link_base_url(self, name):
        return self.server.link_base_url

    @classmethod
    def get_viewer_links(cls, studies, names):
        xml_ids = {
            'ohif_viewer_link': 'viewer_ohif_study',
            'stone_viewer_link': 'viewer_stone_study',
            'explorer_link': 'viewer_explorer_study',
            }
        return {
            name: {
                s.id: s.shipped_viewer_link(xml_ids[name]) for s in studies}
            for name in names}

    @property
    def viewable(self):
        return bool(super().viewable and self.instances_count)

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_images')
    def delete_study(cls, studies):
        pass

    def viewer_values(self):
        return {
            'OrthancID': self.orthanc_UID,
            'PatientID': self.patient_id,
            'StudyInstanceUID': self.study_instance_UID,
            }

    @fields.depends(
        'patient', '_parent_patient.id', 'imaging_test',
        '_parent_imaging_test.patient', 'request', '_parent_request.patient')
    def on_change_patient(self):
        if self.imaging_test and self.imaging_test.patient != self.patient:
            self.imaging_test = None
        if self.request and self.request.patient != self.patient:
            self.request = None

    @fields.depends(
        'imaging_test', 'patient', '_parent_patient.id',
        '_parent_imaging_test.patient')
    def on_change_imaging_test(self):
        if self.imaging_test:
            self.patient = self.imaging_test.patient

    @fields.depends(
        'request', 'patient', '_parent_patient.id', 'imaging_test',
        '_parent_request.patient', '_parent_imaging_test.request',
        '_parent_request.id')
    def on_change_request(self):
        if self.request:
            self.patient = self.request.patient
            if self.imaging_test and self.imaging_test.request != self.request:
                self.imaging_test = None

    @classmethod
    def match_notified(cls, server, orthanc_id, facts):
        """Match a study to its order, knowing what the plugin told of it.

        Parameters
        ----------
        facts : str
            JSON; see `candidates.study_facts`.
        """
        studies = cls.search([
                ('server', '=', server.id), ('orthanc_UID', '=', orthanc_id)])
        cls.write(
            [s for s in studies if s.notified_facts != facts],
            {'notified_facts': facts})
        match_orders([s.id for s in studies])

    @classmethod
    def match_again(cls, studies):
        "Match those that are due, in transactions of their own (queue)"
        match_due(ids=[s.id for s in studies])

    @classmethod
    def assign(cls, studies, patient, former=None):
        """Record that the current user gave the studies to the patient.

        Studies that a person has decided on before keep their patient, unless
        it is the `former` one, which was a mistake.  Those with another
        patient's result keep theirs, too.
        """
        studies = [
            s for s in studies
            if s.patient != patient and s._may_be_assigned(former)
            and not (s.imaging_test and s.imaging_test.patient != patient)]
        cls.write(studies, {'patient': patient.id if patient else None})

    def _may_be_assigned(self, former):
        if self.link_status == 'dismissed':
            return False
        if self.decided_by or self.link_status == 'manual':
            return bool(former) and self.patient == former
        return True

    @classmethod
    def _visual(cls):
        return If(Bool(Eval('missing_since')), 'muted',
            If(Eval('link_status') == 'auto_unsure', 'warning', ''))

    @classmethod
    def get_new_studies(cls):
        """Bring in what is new on every active server, now.

        Each server is synchronised in transactions of its own.

        Raises
        ------
        SynchronizationError
            When all were tried and some failed.
        """
        cls._synchronize('incremental')

    @classmethod
    def full_synchronize(cls):
        """Reconcile every active server, now.

        Raises
        ------
        SynchronizationError
            When all were tried and some failed.
        """
        cls._synchronize('full')

    @classmethod
    def _synchronize(cls, kind):
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Synchronization = pool.get('gnuhealth.orthanc.synchronization')
        with without_check_access():
            Synchronization.run_all(Server.search([]), kind)
