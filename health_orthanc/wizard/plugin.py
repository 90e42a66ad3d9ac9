# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that connects the plugin inside an Orthanc"""

import json

from trytond.model import ModelView, fields
from trytond.transaction import Transaction
from trytond.url import http_host
from trytond.wizard import Button, StateTransition, StateView, Wizard

from ..common.access import RestrictedWizardMixin

__all__ = ['ConnectPlugin', 'ConnectPluginShow', 'ConnectPluginStart']


class ConnectPluginStart(ModelView):
    "Connect Plugin"
    __name__ = 'gnuhealth.orthanc.connect_plugin.start'

    url = fields.Char(
        "GNU Health URL", required=True,
        help="URL of GNU Health, as Orthanc reaches it.")


class ConnectPluginShow(ModelView):
    "Connect Plugin"
    __name__ = 'gnuhealth.orthanc.connect_plugin.show'

    configuration = fields.Text("Orthanc Configuration", readonly=True)


class ConnectPlugin(RestrictedWizardMixin, Wizard):
    """Connect Plugin

    Creates a new key for the plugin inside an Orthanc, and shows its
    configuration.
    """
    __name__ = 'gnuhealth.orthanc.connect_plugin'

    _record_models = frozenset({'gnuhealth.orthanc.config'})
    start = StateView(
        'gnuhealth.orthanc.connect_plugin.start',
        'health_orthanc.connect_plugin_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Create Key", 'make', 'tryton-ok', default=True),
            ])
    make = StateTransition()
    show = StateView(
        'gnuhealth.orthanc.connect_plugin.show',
        'health_orthanc.connect_plugin_show_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    # The text with the key, within one call: it is not kept in the session
    _configuration = None

    @classmethod
    def execute(cls, session_id, data, state_name):
        # Clients may send the page with the key back
        data = {name: page for name, page in data.items() if name != 'show'}
        return super().execute(session_id, data, state_name)

    def default_start(self, fields):
        "Suggest the URL of this GNU Health"
        return {'url': http_host()}

    def transition_make(self):
        "Create the key; former ones stop working"
        # The key is only shown on the next page. The text has few lines,
        # because clients cut long texts.
        self._configuration = json.dumps(
            self._describe(self.start.url.strip().rstrip('/')),
            separators=(',\n', ': '))
        return 'show'

    def _describe(self, url):
        "Return the configuration for Orthanc with a new key"
        return {
            'HealthOrthanc': {
                'Url': url,
                'Database': Transaction().database.name,
                'Server': self.record.identifier,
                'Key': self.record.new_plugin_key(),
                },
            }

    def default_show(self, fields):
        "Show the configuration with the key"
        return {'configuration': self._configuration}
