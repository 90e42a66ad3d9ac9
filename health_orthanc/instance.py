# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import without_check_access

from . import migration_series
from .attachment import attach_to_results
from .exceptions import orthanc_errors
from .image import get_images
from .mirror import MirrorMixin
from .viewer import ViewableMixin

__all__ = ['Instance']


class Instance(MirrorMixin, ViewableMixin, ModelSQL, ModelView):
    "Imaging Instance"
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'
    _rec_name = 'sop_instance_UID'
    viewer_level = 'instance'

    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", required=True,
        readonly=True, ondelete='CASCADE')
    sop_instance_UID = fields.Char("SOP Instance UID", readonly=True)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    instance_number = fields.Integer("Instance No.", readonly=True)
    image_position_patient = fields.Char("Image Position", readonly=True)
    number_of_frames = fields.Integer("Frames", readonly=True)
    server = fields.Function(
        fields.Many2One('gnuhealth.orthanc.config', "Server"),
        'get_server', searcher='search_server')
    server_label = fields.Function(
        fields.Char("Server"), 'get_server_label',
        searcher='search_server_label')
    image = fields.Function(
        fields.Binary("Image"), 'get_image', loading='lazy')

    attached = fields.Function(
        fields.Boolean(
            "In Report", help="Attached to the result of its study."),
        'get_attached')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('orthanc_unique', Unique(table, table.series, table.orthanc_UID),
                'health_orthanc.msg_instance_orthanc_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.orthanc_UID, Index.Equality())),
                Index(table, (table.sop_instance_UID, Index.Equality())),
                })
        cls._order = [('series', 'ASC'), ('instance_number', 'ASC'),
            ('id', 'ASC')]
        cls._buttons.update({
                'attach_image_to_imaging_test_report': {
                    'invisible': Bool(Eval('missing_since')),
                    'depends': ['missing_since'],
                    },
                'delete_instance': {},
                'preview': {
                    'invisible': Bool(Eval('missing_since')),
                    'depends': ['missing_since'],
                    },
                })

    @classmethod
    def __register__(cls, module_name):
        # Migration from 5.0
        old = migration_series.prepare_instances(cls, module_name)
        super().__register__(module_name)
        if old:
            migration_series.convert_instances(cls)

    def get_rec_name(self, name):
        if self.instance_number is not None:
            return f'{self.series.rec_name} / {self.instance_number}'
        return self.sop_instance_UID or self.orthanc_UID

    def get_server(self, name):
        return self.series.study.server.id

    @classmethod
    def search_server(cls, name, clause):
        return [('series.study.' + clause[0], *clause[1:])]

    def get_server_label(self, name):
        return self.series.server_label

    @classmethod
    def search_server_label(cls, name, clause):
        return [('series.study.server.label', *clause[1:])]

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_preview')
    def preview(cls, instances):
        pass

    @classmethod
    @ModelView.button
    @orthanc_errors
    def attach_image_to_imaging_test_report(cls, instances):
        "Have the images printed with the results of their studies"
        cls.check_read(instances)
        attach_to_results(instances)

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_images')
    def delete_instance(cls, instances):
        pass

    @classmethod
    def get_image(cls, instances, name):
        return get_images(instances)

    @classmethod
    @without_check_access
    def get_attached(cls, instances, name):
        Attachment = Pool().get('ir.attachment')
        places = {
            i.id: (
                str(i.series.study.imaging_test),
                i.sop_instance_UID or i.orthanc_UID)
            for i in cls.browse(instances)}
        results = {result for result, _ in places.values()} - {'None'}
        attached = {
            (str(a.resource), a.name) for a in Attachment.search(
                [('resource', 'in', list(results))], order=[])}
        return {id_: place in attached for id_, place in places.items()}

    def viewer_values(self):
        return {
            **self.series.viewer_values(),
            'OrthancID': self.orthanc_UID,
            'SeriesOrthancID': self.series.orthanc_UID,
            'SOPInstanceUID': self.sop_instance_UID,
            }
