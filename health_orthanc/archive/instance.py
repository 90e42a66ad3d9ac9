# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances (images) of a series"""

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pyson import Bool, Eval

from ..common.indexes import UidChar
from .preview import get_image_problems, get_images
from .resource import ResourceMixin
from .viewer import ViewableMixin

__all__ = ['Instance']


class Instance(ResourceMixin, ViewableMixin, ModelSQL, ModelView):
    "Imaging Instance"
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'
    _rec_name = 'sop_instance_UID'
    viewer_level = 'instance'

    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", required=True,
        readonly=True, ondelete='CASCADE')
    sop_instance_UID = UidChar("SOP Instance UID", readonly=True)
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
    image_problem = fields.Function(
        fields.Text(
            "No Image", help="Why no image can be shown."),
        'get_image_problem', loading='lazy')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('orthanc_unique', Unique(table, table.series, table.orthanc_UID),
                'health_orthanc.msg_instance_orthanc_unique'),
            ]
        # Without trytond's own for parts of the name, see `UidChar`
        cls._sql_indexes = {
            Index(table, (table.orthanc_UID, Index.Equality())),
            Index(table, (table.sop_instance_UID, Index.Equality())),
            }
        cls._order = [('series', 'ASC'), ('instance_number', 'ASC'),
            ('id', 'ASC')]
        cls._buttons.update({
                'preview': {
                    'invisible': Bool(Eval('missing_since')),
                    'depends': ['missing_since'],
                    },
                })

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
        "Open the preview of an instance"
        pass

    @classmethod
    def get_image(cls, instances, name):
        return get_images(instances)

    @classmethod
    def get_image_problem(cls, instances, name):
        return get_image_problems(instances)

    @property
    def quarantined(self):
        "Whether the image must not be shown"
        return self.series.quarantined

    def raise_quarantined(self):
        "Raise the error that says why the image is not shown"
        self.series.raise_quarantined()

    def viewer_values(self):
        "Return the values of the placeholders in viewer URLs"
        return {
            **self.series.viewer_values(),
            'OrthancID': self.orthanc_UID,
            'SeriesOrthancID': self.series.orthanc_UID,
            'SOPInstanceUID': self.sop_instance_UID,
            }
