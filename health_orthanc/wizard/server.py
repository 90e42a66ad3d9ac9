# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that adds an Orthanc server"""

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.transaction import inactive_records
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..archive.server import secret_keys
from ..common.access import RestrictedWizardMixin
from ..common.exceptions import describe
from ..core.orthanc.errors import InvalidAddress, OrthancError
from ..core.orthanc.url import normalize_url
from ..core.secrets import SecretUnavailable, seal

__all__ = [
    'AddServer', 'AddServerFailure', 'AddServerStart', 'AddServerSuccess']


class AddServerStart(ModelView):
    "Add Orthanc Server"
    __name__ = 'gnuhealth.imaging_orthanc.orthanc_add_init_data'

    label = fields.Char(
        "Label", required=True,
        help="The name of the server in lists and reports.")
    domain = fields.Char(
        "URL", required=True,
        help="URL of the Orthanc REST API, for example "
        "https://pacs.example.org/orthanc.")
    proxy_domain = fields.Char(
        "Public URL",
        help="URL used in links, if the clients reach Orthanc at another "
        "address.")
    user = fields.Char("User", strip=False)
    password = fields.Char("Password", strip=False)
    ca_certificates = fields.Text(
        "CA Certificates",
        help="Certificates in PEM format to trust for this server in addition "
        "to those of the system, for example its own self-signed certificate.")


class AddServerSuccess(ModelView):
    "Orthanc Server Added"
    __name__ = 'gnuhealth.imaging_orthanc.orthanc_add.success'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", readonly=True)
    message = fields.Text("Result", readonly=True)


class AddServerFailure(ModelView):
    "Orthanc Server Not Added"
    __name__ = 'gnuhealth.imaging_orthanc.orthanc_add.failure'

    message = fields.Text("Error", readonly=True)


class AddServer(RestrictedWizardMixin, Wizard):
    """Add Orthanc Server

    Checks the connection to a new server, and stores it if that succeeds.
    """
    __name__ = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'

    start = StateView(
        'gnuhealth.imaging_orthanc.orthanc_add_init_data',
        'health_orthanc.add_server_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Begin", 'connect', 'tryton-ok', default=True),
            ])
    connect = StateTransition()
    success = StateView(
        'gnuhealth.imaging_orthanc.orthanc_add.success',
        'health_orthanc.add_server_success_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Synchronize Now", 'synchronize', 'tryton-forward',
                default=True),
            ])
    failure = StateView(
        'gnuhealth.imaging_orthanc.orthanc_add.failure',
        'health_orthanc.add_server_failure_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Back", 'start', 'tryton-back', default=True),
            ])
    synchronize = StateTransition()

    def default_start(self, fields):
        "Show the former entries, except the password, after *Back*"
        return {
            name: value for name in set(fields) - {'password'}
            if (value := getattr(self.start, name, None)) is not None}

    def transition_connect(self):
        "Check the connection and store the server; go to success or failure"
        # The password must not stay in the session
        password, self.start.password = self.start.password, None
        message = self._describe_conflict()
        if message:
            self.failure.message = message
            return 'failure'
        try:
            self._connect(password)
        except InvalidAddress as error:
            self.failure.message = describe(error.kind)
        except OrthancError as error:
            self.failure.message = describe(
                error.kind, status=error.status or '')
        except SecretUnavailable:
            self.failure.message = describe('secret')
        else:
            return 'success'
        return 'failure'

    def _describe_conflict(self):
        "Return why the server conflicts with an existing one, or None"
        Server = Pool().get('gnuhealth.orthanc.config')
        try:
            domain = normalize_url(self.start.domain)
        except InvalidAddress as error:
            return describe(error.kind)
        for name, value in [
                ('label', self.start.label), ('domain', domain)]:
            with inactive_records():
                taken = Server.search([(name, '=', value)], limit=1)
            if taken:
                return gettext(f'health_orthanc.msg_server_{name}_unique')

    def _connect(self, password):
        Server = Pool().get('gnuhealth.orthanc.config')
        # Fails before the network is used if the configured keys are unusable
        seal(password, secret_keys())
        values = {
            name: getattr(self.start, name, None) for name in [
                'label', 'domain', 'proxy_domain', 'user',
                'ca_certificates']}
        info = Server.probe(password=password, **values)
        server, = Server.create([{
                    **values,
                    'password': password,
                    **Server.info_values(info),
                    'initial_index': info.last_change,
                    }])
        self.success.server = server
        self.success.message = '\n\n'.join(filter(None, [
                gettext(
                    'health_orthanc.msg_server_added',
                    server=server.label,
                    version=info.version,
                    name=info.name or info.dicom_aet,
                    plugins=', '.join(sorted(info.plugins)) or '–'),
                Server.describe_version(
                    server.version, server.unlisted_tags,
                    server.unprotected)]))

    def default_success(self, fields):
        "Show what was found: name, version and plugins"
        return {
            'server': self.success.server.id,
            'message': self.success.message,
            }

    def default_failure(self, fields):
        "Show what is wrong and what to do"
        return {'message': self.failure.message}

    def transition_synchronize(self):
        "Queue the first synchronization of the server"
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.synchronize_later([self.success.server])
        return 'end'

    def end(self):
        "Reload the records that the wizard was started from"
        return 'reload'
