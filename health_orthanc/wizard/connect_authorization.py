# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that connects the authorization plugin of an Orthanc"""

from urllib.parse import quote

from trytond.transaction import Transaction

from .plugin import ConnectPlugin

__all__ = ['ConnectAuthorization']

# Viewers whose programs the plugin lets everybody load; not the images
_VIEWERS = ['stone-webviewer', 'ohif', 'orthanc-explorer-2']
# In place of those of the plugin, which let everybody ask whether there is a
# PatientID. Only the login of this module may do more than a token allows.
_PERMISSIONS = [
    ['post', '^/auth/tokens/decode$', ''],
    *([method, '^/.*$', 'all'] for method in [
            'get', 'post', 'put', 'delete']),
    ]


class ConnectAuthorization(ConnectPlugin):
    """Connect Authorization Plugin

    Creates a new key for the authorization plugin of an Orthanc, and shows
    its configuration.
    """
    __name__ = 'gnuhealth.orthanc.connect_authorization'

    def _describe(self, url):
        database = quote(Transaction().database.name, safe='')
        identifier = self.record.identifier
        return {
            'Authorization': {
                'WebServiceRootUrl': f'{url}/{database}/orthanc/authorization',
                'WebServiceUsername': identifier,
                'WebServicePassword': self.record.new_authorization_key(),
                'WebServiceIdentifier': identifier,
                'StandardConfigurations': _VIEWERS,
                'CheckedLevel': 'studies',
                'Permissions': _PERMISSIONS,
                },
            }
