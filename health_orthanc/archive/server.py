# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc servers: settings, connection check, plugin keys"""

import json
import logging
import secrets
from itertools import count
from urllib.parse import urlsplit

from sql import Null
from sql.aggregate import Count

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import DeactivableMixin, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import (
    Transaction, inactive_records, without_check_access)

from ..common.access import (
    GuardedMixin, HiddenFieldsMixin, SealedChar, SealedText, check_write)
from ..common.application import APPLICATION
from ..common.exceptions import (
    ServerDeleteError, ServerValidationError, describe)
from ..common.registration import LayeredMixin
from ..common.transaction import end_reading, now
from ..core.orthanc.client import OrthancClient
from ..core.orthanc.errors import InvalidAddress, OrthancError
from ..core.orthanc.server_info import (
    FIRST_SAFE_VERSION, has_known_vulnerabilities)
from ..core.orthanc.url import normalize_url
from ..core.secrets import MASK, SecretUnavailable, seal, unseal

__all__ = ['Server', 'origin']

logger = logging.getLogger('trytond.modules.health_orthanc.server')

# Seconds until a connection fails while a user waits
INTERACTIVE_TIMEOUT = 5


def secret_keys():
    """Return the Fernet keys of the configuration, the newest first.

    Returns
    -------
    list of str
    """
    return config.get('health_orthanc', 'fernet_key', default='').split()


def origin(url):
    "Return scheme, host and port of a URL"
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {
        'http': 80, 'https': 443}.get(parts.scheme)


def _numbered(Server, name, pattern):
    "Return a function for a value of a copy that no other server has"
    taken = set()

    def value(origin):
        with inactive_records():
            for number in count(2):
                text = pattern.format(origin[name].rstrip('/'), number)
                if text not in taken and not Server.search(
                        [(name, '=', text)], limit=1):
                    taken.add(text)
                    return text
    return value


class Server(
        LayeredMixin, GuardedMixin, HiddenFieldsMixin, DeactivableMixin,
        ModelSQL, ModelView):
    "Orthanc Server"
    __name__ = 'gnuhealth.orthanc.config'
    _rec_name = 'label'

    label = fields.Char(
        "Label", required=True,
        help="The name of the server in lists and reports.")
    domain = fields.Char(
        "URL", required=True,
        help="URL of the Orthanc REST API, as the Tryton server reaches it. "
        "Behind a reverse proxy, include the path prefix.")
    proxy_domain = fields.Char(
        "Public URL",
        help="URL used in links, if the clients reach Orthanc at another "
        "address.")
    link_base_url = fields.Function(
        fields.Char("Link Base URL"), 'on_change_with_link_base_url')
    link = fields.Function(
        fields.Char(
            "Orthanc Explorer", help="Open the server in Orthanc Explorer."),
        'on_change_with_link')
    user = fields.Char("User", strip=False)
    password = fields.Function(
        fields.Char("Password", strip=False),
        'get_secret', setter='set_secret')
    sealed_password = SealedChar("Encrypted Password", strip=False)
    ca_certificates = fields.Text(
        "CA Certificates",
        help="Certificates in PEM format to trust for this server in addition "
        "to those of the system.")
    client_certificate = fields.Text(
        "Client Certificate",
        help="In PEM format, if the server requires one.")
    client_key = fields.Function(
        fields.Text("Client Key",
            help="The private key of the client certificate, in PEM format."),
        'get_secret', setter='set_secret')
    sealed_client_key = SealedText("Encrypted Client Key")
    connect_timeout = fields.Float(
        "Connect Timeout", required=True,
        domain=[('connect_timeout', '>', 0), ('connect_timeout', '<=', 60)],
        help="In seconds.")
    read_timeout = fields.Float(
        "Read Timeout", required=True,
        domain=[('read_timeout', '>', 0), ('read_timeout', '<=', 600)],
        help="In seconds.")
    retries = fields.Integer(
        "Retries", required=True,
        domain=[('retries', '>=', 0), ('retries', '<=', 10)],
        help="How many times a failed read request is retried.")

    instances_mode = fields.Selection([
            ('on_demand', "When a Series Is Opened"),
            ('always', "Always"),
            ], "Instances", required=True, sort=False,
        help="When the instances of a series are imported.")
    start_date = fields.Date(
        "Start Date",
        help="The date when the server was added. Only for information: "
        "studies are historical if they arrived in Orthanc before, whatever "
        "their date.")
    initial_index = fields.Integer(
        "Initial Change", readonly=True,
        help="The position of the change log when the server was added. What "
        "arrived before is historical.")
    correct_identity = fields.Boolean(
        "Patient Reconciliation",
        help="Allow administrators to write the patient data of GNU Health to "
        "the images of linked studies (IHE PIR).")
    key_image = fields.Boolean(
        "Key Image",
        help="Attach the first image of each linked study to its result or, "
        "without a result, to the patient, as soon as the study is stable.")
    viewers = fields.Many2Many(
        'gnuhealth.orthanc.config-gnuhealth.orthanc.viewer',
        'server', 'viewer', "Viewers",
        help="Viewers to offer in addition to those detected from the plugins "
        "of the server.")

    identifier = fields.Char(
        "Identifier", readonly=True,
        help="Identifies the Orthanc plugin of this server.")
    last_notification = fields.DateTime("Last Notification", readonly=True)
    version = fields.Char("Version", readonly=True)
    # JSON, as Orthanc's option ExtraMainDicomTags
    unlisted_tags = fields.Text("Tags Not Listed", readonly=True)
    unprotected = fields.Boolean(
        "Unprotected", readonly=True,
        help="At the last check, it listed its studies without user and "
        "password.")
    version_note = fields.Function(
        fields.Text("Version Note"), 'get_version_note')
    aetitle = fields.Char("AE Title", readonly=True)
    plugins = fields.Text("Plugins", readonly=True)
    validated = fields.Boolean(
        "Validated", readonly=True,
        help="The last connection check with these settings succeeded.")
    last_check = fields.DateTime("Last Check", readonly=True)
    check_error_kind = fields.Char("Check Error Type", readonly=True)
    check_error = fields.Function(
        fields.Text("Check Error"), 'get_check_error')

    studies_count = fields.Function(
        fields.Integer("Studies"), 'get_studies_count')

    _hidden_fields = frozenset({'sealed_password', 'sealed_client_key'})
    _connection_fields = {
        'domain', 'user', 'password', 'ca_certificates',
        'client_certificate', 'client_key', 'active'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('label_unique', Unique(table, table.label),
                'health_orthanc.msg_server_label_unique'),
            ('domain_unique', Unique(table, table.domain),
                'health_orthanc.msg_server_domain_unique'),
            ]
        cls._order.insert(0, ('label', 'ASC'))
        cls._buttons.update({
                'check': {},
                'remove_config_server': {
                    'invisible': ~Eval('active', True),
                    'depends': ['active'],
                    },
                'connect_plugin': {
                    'invisible': ~Eval('active', True),
                    'depends': ['active'],
                    },
                })

    @staticmethod
    def default_connect_timeout():
        return 5.

    @staticmethod
    def default_read_timeout():
        return 60.

    @staticmethod
    def default_retries():
        return 2

    @staticmethod
    def default_instances_mode():
        return 'on_demand'

    @staticmethod
    def default_correct_identity():
        return False

    @staticmethod
    def default_key_image():
        return False

    @classmethod
    def default_start_date(cls):
        return Pool().get('ir.date').today()

    @staticmethod
    def _new_identifier():
        return secrets.token_urlsafe(12)

    @fields.depends('domain', 'proxy_domain')
    def on_change_with_link_base_url(self, name=None):
        url = (self.proxy_domain or '').strip() or (self.domain or '').strip()
        if url:
            return url.rstrip('/') + '/'

    @fields.depends(methods=['on_change_with_link_base_url'])
    def on_change_with_link(self, name=None):
        return self.on_change_with_link_base_url()

    @classmethod
    def get_secret(cls, servers, name):
        return {
            s.id: MASK if getattr(s, f'sealed_{name}') else None
            for s in servers}

    @classmethod
    def set_secret(cls, servers, name, value):
        if value == MASK:
            return
        try:
            sealed = seal(value, secret_keys())
        except SecretUnavailable as error:
            raise ServerValidationError(describe('secret')) from error
        cls.write(servers, {f'sealed_{name}': sealed})

    def get_check_error(self, name):
        if self.check_error_kind:
            return describe(self.check_error_kind)

    def get_version_note(self, name):
        return self.describe_version(
            self.version, self.unlisted_tags, self.unprotected) or None

    @staticmethod
    def describe_version(version, unlisted_tags=None, unprotected=False):
        """Return what to know about an Orthanc, in the user's words.

        Parameters
        ----------
        version : str or None
        unlisted_tags : str or None
            As in the field.
        unprotected : bool

        Returns
        -------
        str
            Empty if there is nothing to know.
        """
        notes = []
        if unprotected:
            notes.append(gettext('health_orthanc.msg_server_unprotected'))
        if version and has_known_vulnerabilities(version):
            notes.append(gettext(
                    'health_orthanc.msg_server_vulnerable', version=version,
                    safe='.'.join(map(str, FIRST_SAFE_VERSION))))
        if unlisted_tags:
            notes.append(gettext(
                    'health_orthanc.msg_server_unlisted_tags',
                    tags=unlisted_tags))
        return '\n'.join(notes)

    @classmethod
    def get_studies_count(cls, servers, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return cls.count_by_server(
            Study, servers, lambda table: table.missing_since == Null)

    @classmethod
    def count_by_server(cls, Model, servers, where):
        """Count the records of servers in one query.

        Parameters
        ----------
        Model : ModelSQL
            Must have a field `server`.
        servers : list of Server
        where : callable
            Returns the condition for a table.

        Returns
        -------
        dict of int
            By the id of each server.
        """
        table = Model.__table__()
        cursor = Transaction().connection.cursor()
        counts = dict.fromkeys(map(int, servers), 0)
        cursor.execute(*table.select(
                table.server, Count(table.id),
                where=table.server.in_(list(counts)) & where(table),
                group_by=table.server))
        counts.update(cursor)
        return counts

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="check_error"]', 'states', {
                    'invisible': ~Bool(Eval('check_error_kind')),
                    }),
            ('/form//group[@id="version_note"]', 'states', {
                    'invisible': ~Bool(Eval('version_note')),
                    }),
            ]

    @classmethod
    def create(cls, vlist):
        vlist = [cls._normalize_urls(values) for values in vlist]
        for values in vlist:
            values.setdefault('identifier', cls._new_identifier())
        servers = super().create(vlist)
        cls._check_later([s for s in servers if not s.validated])
        return servers

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args, changed, moved = [], [], []
        for servers, values in zip(actions, actions):
            values = cls._normalize_urls(values)
            moved.extend(cls._check_moved(servers, values))
            if values.keys() & cls._connection_fields and not (
                    values.keys() & {'validated'}):
                values['validated'] = False
                changed.extend(servers)
            args.extend((servers, values))
        super().write(*args)
        cls._check_later([s for s in cls.browse(changed) if s.active])
        servers = cls.browse(sum(args[::2], []))
        # The plugin of one that was never reached has not spoken yet
        cls._cancel_keys([
                s for s in servers
                if not s.active or s in moved and s.version])

    @classmethod
    def _check_moved(cls, servers, values):
        """Return the servers that get another scheme, host or port.

        Whoever answers there must not be given what another server is to be
        given: the secrets have to be entered with the address.

        Raises
        ------
        ServerValidationError
        """
        if not values.get('domain'):
            return []
        if Transaction().check_access:
            check_write(cls, values)
        with without_check_access():
            return cls._find_moved(servers, values)

    @classmethod
    def _find_moved(cls, servers, values):
        moved = [
            s for s in cls.browse(servers)
            if s.domain and origin(s.domain) != origin(values['domain'])]
        for server in moved:
            for name in ['password', 'client_key']:
                if getattr(server, f'sealed_{name}') and name not in values:
                    raise ServerValidationError(gettext(
                            'health_orthanc.msg_server_moved',
                            server=server.rec_name,
                            **cls.__names__(name)))
        return moved

    @classmethod
    def write_progress(cls, server_id, **values):
        """Write progress or outcome of a run, by SQL.

        The write date stays the same: users who have the form open get no
        conflict.

        Parameters
        ----------
        server_id : int
        values : dict
            Values by field.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values()), where=table.id == server_id))

    @classmethod
    def _normalize_urls(cls, values):
        values = {
            name: value for name, value in values.items() if value != MASK}
        for name in ['domain', 'proxy_domain']:
            if values.get(name):
                try:
                    values[name] = normalize_url(values[name])
                except InvalidAddress as error:
                    raise ServerValidationError(
                        describe(error.kind)) from error
        return values

    @classmethod
    def _check_later(cls, servers):
        for server in servers:
            cls.__queue__.check_connection([server])

    @classmethod
    def validate_fields(cls, servers, field_names):
        super().validate_fields(servers, field_names)
        # On SQLite trytond does not create the constraints
        for name in {'label', 'domain'} & (field_names or {'label', 'domain'}):
            for server in servers:
                if cls._is_taken(server, name):
                    raise ServerValidationError(
                        gettext(f'health_orthanc.msg_server_{name}_unique'))

    @classmethod
    @inactive_records
    @without_check_access
    def _is_taken(cls, server, name):
        return cls.search([
                (name, '=', getattr(server, name)),
                ('id', '!=', server.id),
                ], limit=1, order=[])

    @classmethod
    def copy(cls, servers, default=None):
        """Duplicate servers, without their secrets.

        Label and URL are unique: a copy has other ones, and is inactive until
        somebody has entered its own.
        """
        Pool().get('ir.model.access').check(cls.__name__, 'create')
        cls.check_read(servers)
        default = default.copy() if default is not None else {}
        for name in [
                'identifier', 'initial_index', 'last_notification',
                'validated']:
            default.setdefault(name, None)
        # Also if the client names another one
        default.update(sealed_password=None, sealed_client_key=None)
        if 'domain' not in default:
            default['domain'] = _numbered(cls, 'domain', '{}/copy-{}')
            default.setdefault('active', False)
        if 'label' not in default:
            default['label'] = _numbered(cls, 'label', '{} ({})')
        # The user may not read the secrets, of which nothing is left
        with without_check_access():
            copies = super().copy(servers, default=default)
        return cls.browse(copies)

    @classmethod
    def delete(cls, servers):
        cls.check_delete()
        for server in servers:
            server.check_deletable()
        cls._cancel_keys(servers)
        super().delete(servers)

    def check_deletable(self):
        """Check that no records depend on the server.

        Raises
        ------
        ServerDeleteError
        """
        if self._has_records(self):
            raise ServerDeleteError(gettext(
                    'health_orthanc.msg_server_delete_studies',
                    server=self.rec_name))

    @classmethod
    @without_check_access
    def _has_records(cls, server):
        pool = Pool()
        return any(
            pool.get(name).search(
                [('server', '=', server.id)], limit=1, order=[])
            for name in [
                'gnuhealth.imaging_orthanc.study',
                'gnuhealth.orthanc.patient'])

    @classmethod
    def _is_needed(cls, server):
        "Return whether records depend on the server"
        return cls._has_records(server)

    @classmethod
    @ModelView.button
    def remove_config_server(cls, servers):
        "Delete servers without records, deactivate the others"
        kept = [s for s in servers if cls._is_needed(s)]
        cls.write(kept, {'active': False})
        cls.delete([s for s in servers if s not in kept])
        return 'reload'

    def get_client(self, interactive=False):
        """Return a client for the REST API of this server.

        Parameters
        ----------
        interactive : bool
            Whether a user waits: short timeouts and no retries.

        Returns
        -------
        OrthancClient
            A context manager that closes its connections.

        Raises
        ------
        SecretUnavailable
            The password or key cannot be decrypted.
        """
        keys = secret_keys()
        limits = {
            'connect_timeout': self.connect_timeout,
            'read_timeout': self.read_timeout,
            'retries': self.retries,
            }
        if interactive:
            limits = {
                'connect_timeout': min(
                    self.connect_timeout, INTERACTIVE_TIMEOUT),
                'read_timeout': min(
                    self.read_timeout, 2 * INTERACTIVE_TIMEOUT),
                'retries': 0,
                }
        return OrthancClient(
            self.domain, self.user, unseal(self.sealed_password, keys),
            ca_certificates=self.ca_certificates,
            client_certificate=self.client_certificate,
            client_key=unseal(self.sealed_client_key, keys),
            before_waiting=end_reading, **limits)

    @without_check_access
    def new_plugin_key(self):
        """Create and return a new key for the plugin in this Orthanc.

        Former keys are canceled.  The plugin has its own user, who cannot log
        in and is only in the group of plugins.

        Returns
        -------
        str
        """
        Application = Pool().get('res.user.application')
        user = self._plugin_user()
        self._cancel_plugin_keys([self])
        application, = Application.create([{
                    'user': user.id,
                    'application': APPLICATION,
                    'state': 'validated',
                    }])
        return application.key

    @classmethod
    def _cancel_keys(cls, servers):
        "Cancel the keys of all that calls GNU Health from inside of Orthancs"
        cls._cancel_plugin_keys(servers)

    @classmethod
    @inactive_records
    @without_check_access
    def _cancel_plugin_keys(cls, servers):
        Application = Pool().get('res.user.application')
        Application.cancel(Application.search([
                    ('user.login', 'in', [s.plugin_login for s in servers]),
                    ('state', '!=', 'cancelled'),
                    ]))

    @without_check_access
    def has_active_plugin(self, since):
        """Return whether the plugin in this Orthanc sends notifications.

        Parameters
        ----------
        since : datetime
            The plugin is active if it has sent one, or got a key, since then.

        Returns
        -------
        bool
        """
        Application = Pool().get('res.user.application')
        if self.last_notification and self.last_notification > since:
            return True
        return bool(Application.search([
                    ('user.login', '=', self.plugin_login),
                    ('state', '=', 'validated'),
                    ('create_date', '>', since),
                    ], limit=1, order=[]))

    @property
    def plugin_login(self):
        "The login of the plugin's user"
        return f'orthanc-plugin-{self.id}'

    @inactive_records
    def _plugin_user(self):
        pool = Pool()
        User = pool.get('res.user')
        group = pool.get('ir.model.data').get_id(
            'health_orthanc', 'group_orthanc_plugin')
        users = User.search([('login', '=', self.plugin_login)])
        user = users[0] if users else User(login=self.plugin_login)
        user.name = gettext(
            'health_orthanc.msg_plugin_user', server=self.label)
        user.active = True
        user.groups = [group]
        user.save()
        return user

    @property
    def plugin_names(self):
        "The set of the names of Orthanc plugins that the server has"
        return set((self.plugins or '').split())

    @property
    def opens_by_token(self):
        """Whether viewers of this server open only by token.

        The room that issues tokens extends it.
        """
        return False

    @classmethod
    def info_values(cls, info):
        """Return the field values for a successful check.

        Parameters
        ----------
        info : ServerInfo
            The result of `OrthancClient.probe`.

        Returns
        -------
        dict
        """
        return {
            'version': info.version,
            'aetitle': info.dicom_aet,
            'plugins': '\n'.join(sorted(info.plugins)),
            'unlisted_tags': (
                json.dumps(info.unlisted_tags) if info.unlisted_tags
                else None),
            'unprotected': info.unprotected,
            'validated': True,
            'check_error_kind': None,
            'last_check': now(),
            }

    @classmethod
    @ModelView.button
    def check(cls, servers):
        "Check the connections in the background"
        for server in servers:
            cls.__queue__.check_connection([server])

    @classmethod
    def check_connection(cls, servers):
        "Check the connection of each server and store the results (queue)"
        # No write before the network is used: it would hold locks meanwhile
        found = [(server, server._probe()) for server in servers]
        for server, values in found:
            cls.write([server], values)
            cls.store_outcome(server.id, values.get('check_error_kind'))

    @classmethod
    def probe(cls, password=None, **values):
        """Check a server that is not stored yet.

        Parameters
        ----------
        password : str, optional
        values : dict
            ``domain``, ``user`` and ``ca_certificates``, as in the model.

        Returns
        -------
        ServerInfo

        Raises
        ------
        OrthancError
        """
        with OrthancClient(
                values['domain'], values.get('user'), password,
                ca_certificates=values.get('ca_certificates'),
                connect_timeout=INTERACTIVE_TIMEOUT,
                read_timeout=2 * INTERACTIVE_TIMEOUT, retries=0,
                before_waiting=end_reading) as client:
            return client.probe()

    def _probe(self):
        failed = {
            'validated': False,
            'last_check': now(),
            }
        try:
            with self.get_client(interactive=True) as client:
                info = client.probe()
            values = self.info_values(info)
            if self.initial_index is None:
                values['initial_index'] = info.last_change
            return values
        except OrthancError as error:
            return {**failed, 'check_error_kind': error.kind}
        except SecretUnavailable:
            return {**failed, 'check_error_kind': 'secret'}

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_connect_plugin')
    def connect_plugin(cls, servers):
        "Open the wizard that creates a key for the plugin"
        pass
