# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Series of a study"""

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval

from .resource import ResourceMixin, order_as_numbers
from .viewer import ViewableMixin

__all__ = ['Series']


class Series(ResourceMixin, ViewableMixin, ModelSQL, ModelView):
    "Imaging Series"
    __name__ = 'gnuhealth.imaging_orthanc.study_series'
    _rec_name = 'series_description'
    _editable_fields = frozenset({'notes'})
    viewer_level = 'series'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    series_UID = fields.Char("Series UID", readonly=True)
    series_number = fields.Char("Series No.", readonly=True)
    series_description = fields.Char("Description", readonly=True)
    modality = fields.Char("Modality", readonly=True)
    body_part_examined = fields.Char("Body Part", readonly=True)
    protocol_name = fields.Char("Protocol", readonly=True)
    station_name = fields.Char("Station", readonly=True)
    manufacturer = fields.Char("Manufacturer", readonly=True)
    operators_name = fields.Char("Operators", readonly=True)
    series_date = fields.Date("Date", readonly=True)
    series_time = fields.Time("Time", readonly=True)
    # JSON, as `store` writes it
    request_attributes = fields.Text("Request Attributes", readonly=True)
    malformed_tags = fields.Text(
        "Malformed Tags", readonly=True,
        states={'invisible': ~Bool(Eval('malformed_tags'))})
    notes = fields.Text("Notes")
    last_update = fields.DateTime("Last Update", readonly=True)
    stable = fields.Boolean("Stable", readonly=True)
    instances_count = fields.Integer(
        "Images", readonly=True, help="The number of images on the server.")
    instances = fields.One2Many(
        'gnuhealth.imaging_orthanc.series_instances', 'series', "Instances")
    server = fields.Function(
        fields.Many2One('gnuhealth.orthanc.config', "Server"),
        'get_server', searcher='search_server')
    server_label = fields.Function(
        fields.Char("Server"), 'get_server_label',
        searcher='search_server_label')
    stone_viewer_link = fields.Function(
        fields.Char("Stone Web Viewer"), 'get_stone_viewer_link')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('orthanc_unique', Unique(table, table.study, table.orthanc_UID),
                'health_orthanc.msg_series_orthanc_unique'),
            ]
        # Without trytond's own for parts of the description: only the series
        # of a study are listed
        cls._sql_indexes = {
            Index(table, (table.orthanc_UID, Index.Equality())),
            Index(table, (table.series_UID, Index.Equality())),
            }
        cls._order = [('study', 'ASC'), ('series_number', 'ASC'),
            ('id', 'ASC')]

    order_series_number = order_as_numbers('series_number')

    def get_rec_name(self, name):
        parts = [
            self.series_number, self.modality, self.series_description]
        return (' '.join(filter(None, parts))
            or self.series_UID or self.orthanc_UID)

    @classmethod
    def search_rec_name(cls, name, clause):
        bool_op = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [bool_op, *((field, *clause[1:]) for field in [
                    'series_description', 'modality', 'series_number',
                    'series_UID'])]

    def get_server(self, name):
        return self.study.server.id

    @classmethod
    def search_server(cls, name, clause):
        return [('study.' + clause[0], *clause[1:])]

    def get_server_label(self, name):
        return self.study.server_label

    @classmethod
    def search_server_label(cls, name, clause):
        return [('study.server.label', *clause[1:])]

    @classmethod
    def get_stone_viewer_link(cls, series, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        withheld = Study.find_withheld(list({s.study for s in series}))
        return {
            s.id: None if s.study in withheld
            else s.shipped_viewer_link('viewer_stone_series') for s in series}

    @property
    def quarantined(self):
        "Whether the images must not be shown"
        return self.study.quarantined

    def raise_quarantined(self):
        "Raise the error that says why the images are not shown"
        self.study.raise_quarantined()

    @property
    def viewable(self):
        return bool(super().viewable and self.instances_count)

    def viewer_values(self):
        "Return the values of the placeholders in viewer URLs"
        return {
            **self.study.viewer_values(),
            'OrthancID': self.orthanc_UID,
            'StudyOrthancID': self.study.orthanc_UID,
            'SeriesInstanceUID': self.series_UID,
            }
