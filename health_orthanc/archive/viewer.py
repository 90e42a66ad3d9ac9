# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers, and the links that open records in them"""

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, ModelSQL, ModelView, fields, sequence_ordered)
from trytond.pool import Pool

from ..common.access import GuardedMixin
from ..common.exceptions import ViewerValidationError
from ..core.orthanc.viewers import (
    TemplateError, check_template, check_token_template, viewer_url)

__all__ = ['ServerViewer', 'Viewer', 'ViewableMixin']


class Viewer(
        GuardedMixin, sequence_ordered(), DeactivableMixin, ModelSQL,
        ModelView):
    "Orthanc Viewer"
    __name__ = 'gnuhealth.orthanc.viewer'

    name = fields.Char("Name", required=True, translate=True)
    level = fields.Selection([
            ('patient', "Patient"),
            ('study', "Study"),
            ('series', "Series"),
            ('instance', "Instance"),
            ], "Level", required=True, sort=False)
    url_template = fields.Char(
        "URL Template", required=True,
        help="Relative to the server's public URL unless it has a scheme. "
        "Placeholders: {StudyInstanceUID}, {SeriesInstanceUID}, "
        "{SOPInstanceUID}, {OrthancID}, {StudyOrthancID}, {SeriesOrthancID}, "
        "{PatientID}, {ServerURL}.")
    token_url_template = fields.Char(
        "URL Template with Token",
        help="Used in place of the URL template for servers whose viewers "
        "open by token. It has the same placeholders, and {Token}.")
    plugin = fields.Char(
        "Plugin",
        help="The viewer is offered for servers that have this plugin. Leave "
        "empty to offer it only for the servers where it is enabled.")
    built_in = fields.Boolean(
        "Built-in", readonly=True,
        help="The viewer is part of every Orthanc server.")
    servers = fields.Many2Many(
        'gnuhealth.orthanc.config-gnuhealth.orthanc.viewer',
        'viewer', 'server', "Servers",
        help="The viewer is enabled for these servers.")

    @classmethod
    def validate_fields(cls, viewers, field_names):
        super().validate_fields(viewers, field_names)
        cls.check_url_template(viewers, field_names)

    @classmethod
    def check_url_template(cls, viewers, field_names=None):
        """Check the URL templates of viewers.

        Raises
        ------
        ViewerValidationError
        """
        if field_names and not (field_names & {
                    'url_template', 'token_url_template', 'level'}):
            return
        for viewer in viewers:
            try:
                check_template(viewer.url_template, viewer.level)
                if viewer.token_url_template:
                    check_token_template(
                        viewer.token_url_template, viewer.level)
            except TemplateError as error:
                raise ViewerValidationError(gettext(
                        f'health_orthanc.msg_viewer_{error.reason}',
                        viewer=viewer.rec_name,
                        detail=error.detail)) from error

    @classmethod
    def offered(cls, server, level):
        """Return the viewers that users are offered for a server.

        They are built in, or the server has their plugin, or an
        administrator has enabled them.  A server whose viewers open by token
        refuses those without.

        Parameters
        ----------
        server : Server
        level : str
            ``'patient'``, ``'study'``, ``'series'`` or ``'instance'``.

        Returns
        -------
        list of Viewer
        """
        viewers = cls.search([('level', '=', level)])
        return [
            v for v in viewers
            if v in server.viewers
            or (v.built_in or v.plugin and v.plugin in server.plugin_names)
            and (v.token_url_template or not server.opens_by_token)]

    def opens_by_token(self, server):
        """Return whether the viewer needs a token for a server.

        Parameters
        ----------
        server : Server

        Returns
        -------
        bool
        """
        return bool(self.token_url_template and server.opens_by_token)

    def url(self, server, values):
        """Return the URL that opens a record in the viewer.

        Parameters
        ----------
        server : Server
        values : dict
            The result of `ViewableMixin.viewer_values`.

        Returns
        -------
        str
        """
        return viewer_url(self.url_template, server.link_base_url, values)

    def token_url(self, server, values, token):
        """Return the URL that opens a record in the viewer by token.

        Parameters
        ----------
        server : Server
        values : dict
            The result of `ViewableMixin.viewer_values`.
        token : str

        Returns
        -------
        str
        """
        return viewer_url(
            self.token_url_template, server.link_base_url,
            {**values, 'Token': token})


class ServerViewer(ModelSQL):
    "Orthanc Server - Viewer"
    __name__ = 'gnuhealth.orthanc.config-gnuhealth.orthanc.viewer'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True,
        ondelete='CASCADE')
    viewer = fields.Many2One(
        'gnuhealth.orthanc.viewer', "Viewer", required=True,
        ondelete='CASCADE')


class ViewableMixin:
    """A record that can be opened in viewers

    Models define `viewer_level`, `viewer_values`, `quarantined` and
    `raise_quarantined`; `viewable` is true if the server has images of the
    record that may be shown.
    """
    __slots__ = ()
    viewer_level = None

    @property
    def viewable(self):
        "Whether the server has images of the record that may be shown"
        return not self.missing_since and not self.quarantined

    def viewer_values(self):
        "Return the values of the placeholders in viewer URLs, as a dict"
        raise NotImplementedError

    def check_released(self):
        """Check that the images may be shown.

        Raises
        ------
        QuarantineError
        """
        if self.quarantined:
            self.raise_quarantined()

    def offered_viewers(self):
        "Return the viewers for this record, none if it has no images"
        Viewer = Pool().get('gnuhealth.orthanc.viewer')
        if not self.viewable:
            return []
        return Viewer.offered(self.server, self.viewer_level)

    def shipped_viewer_link(self, xml_id):
        """Return the URL in a shipped viewer, even if it is not offered.

        Reports for GNU Health 5.0 print these URLs.

        Parameters
        ----------
        xml_id : str
            Of the viewer.

        Returns
        -------
        str or None
            None if the server has no images of the record.
        """
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        Viewer = pool.get('gnuhealth.orthanc.viewer')
        if not self.viewable:
            return None
        viewer = Viewer(ModelData.get_id('health_orthanc', xml_id))
        return viewer.url(self.server, self.viewer_values())
