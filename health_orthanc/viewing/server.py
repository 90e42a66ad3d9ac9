# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers whose authorization plugin asks GNU Health"""

import hmac
import re
import secrets

from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import inactive_records, without_check_access

from ..common.access import SealedChar
from .session import digest

__all__ = ['Server']

_PLUGIN = 'authorization'
_IDENTIFIER = re.compile('[0-9A-Za-z_-]{1,64}')


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'
    _hidden_fields = frozenset({'authorization_digest'})

    authorization_digest = SealedChar("Authorization Digest", strip=False)
    viewers_by_token = fields.Function(
        fields.Boolean(
            "Viewers Open by Token",
            help="The authorization plugin of the server asks GNU Health who "
            "may see what. Viewers that take no token are not offered."),
        'get_viewers_by_token')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'connect_authorization': {
                    'invisible': ~Eval('active', True),
                    'depends': ['active'],
                    },
                'revoke_tokens': {
                    'invisible': ~Bool(Eval('viewers_by_token')),
                    'depends': ['viewers_by_token'],
                    },
                })

    @property
    @without_check_access
    def opens_by_token(self):
        "Whether viewers of this server open only by token"
        return bool(
            self.authorization_digest and _PLUGIN in self.plugin_names)

    @classmethod
    def get_viewers_by_token(cls, servers, name):
        return {s.id: s.opens_by_token for s in servers}

    @without_check_access
    def new_authorization_key(self):
        """Create and return a new key for the authorization plugin.

        The former one is canceled.

        Returns
        -------
        str
        """
        key = secrets.token_urlsafe(32)
        self.__class__.write([self], {'authorization_digest': digest(key)})
        return key

    @classmethod
    @without_check_access
    def check_authorization_key(cls, identifier, key):
        """Return the server whose authorization plugin has a key.

        Parameters
        ----------
        identifier, key : str
            Any text.

        Returns
        -------
        Server or None
        """
        found = cls.search([('identifier', '=', identifier)], limit=1) if (
            _IDENTIFIER.fullmatch(identifier or '')) else []
        stored = found[0].authorization_digest if found else None
        given = digest(key) if key and key.isascii() else ''
        # An unknown identifier takes as long as a wrong key
        equal = hmac.compare_digest(given, stored or digest(''))
        return found[0] if equal and stored and given else None

    @classmethod
    @inactive_records
    @without_check_access
    def _cancel_keys(cls, servers):
        super()._cancel_keys(servers)
        with_key = [s for s in servers if s.authorization_digest]
        if with_key:
            cls.write(with_key, {'authorization_digest': None})

    @classmethod
    def copy(cls, servers, default=None):
        # Also if the client names another one
        default = {**(default or {}), 'authorization_digest': None}
        return super().copy(servers, default=default)

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_connect_authorization')
    def connect_authorization(cls, servers):
        "Open the wizard that creates a key for the authorization plugin"
        pass

    @classmethod
    @ModelView.button
    def revoke_tokens(cls, servers):
        "Close the viewers that are open by token"
        Pool().get('gnuhealth.imaging_orthanc.viewer_token').revoke(servers)
