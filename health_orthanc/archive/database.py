# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that were copied, and the servers of the original"""

import logging
import platform

from trytond.cache import Cache
from trytond.config import config, parse_uri
from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import (
    Transaction, inactive_records, without_check_access)

from ..common.access import ReadonlyMixin
from ..common.exceptions import ModuleDeactivationError
from ..common.transaction import now
from ..core.orthanc.refusal import RefusingClient
from .server import origin

__all__ = ['Database', 'Module', 'Server']

logger = logging.getLogger('trytond.modules.health_orthanc.database')

# Names of this machine; an empty one is a socket on it
_LOCAL = {None, '', 'localhost', '127.0.0.1', '::1'}


def _database_name():
    return Transaction().database.name


def _present():
    """Return what identifies the database that this process works on.

    Returns
    -------
    name, address : str
    """
    name = _database_name()
    if installation := config.get('health_orthanc', 'installation'):
        return installation, ''
    uri = parse_uri(config.get('database', 'uri'))
    # All of them are called localhost
    host = platform.node() if uri.hostname in _LOCAL else uri.hostname
    if uri.scheme == 'sqlite':
        return name, f"{host}:{config.get('database', 'path')}"
    port = '' if uri.port in {None, 5432} else f':{uri.port}'
    return name, host + port


def _describe(name, address):
    return f'"{name}" ({address})' if address else f'"{name}"'


class Database(ReadonlyMixin, ModelSQL, ModelView):
    """Database Identity

    Which database the Orthanc servers belong to, and who has said so.  The
    last record counts.  A database that is restored elsewhere differs from it.
    """
    __name__ = 'gnuhealth.orthanc.database'

    name = fields.Char("Name", required=True, readonly=True)
    address = fields.Char("Address", readonly=True)
    decision = fields.Selection([
            ('first', "First Use"),
            ('original', "Original"),
            ('copy', "Copy"),
            ], "Decision", required=True, readonly=True, sort=False)
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('user'))},
        help="Empty if the database was stored by itself.")
    at = fields.DateTime("Date", required=True, readonly=True)

    _stored = Cache('gnuhealth.orthanc.database.stored', context=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order.insert(0, ('id', 'DESC'))

    def get_rec_name(self, name):
        return _describe(self.name, self.address)

    @classmethod
    def create(cls, vlist):
        cls._stored.clear()
        return super().create(vlist)

    @classmethod
    @without_check_access
    def stored(cls):
        """Return what identified the database when it was last decided.

        Returns
        -------
        tuple of str, or None
            Name and address; None before the first use.
        """
        found = cls._stored.get(None, False)
        if found is False:
            records = cls.search([], limit=1, order=[('id', 'DESC')])
            found = (
                records[0].name, records[0].address or '') if records else None
            cls._stored.set(None, found)
        return tuple(found) if found else None

    @classmethod
    def is_confirmed(cls):
        "Return whether the servers may be used from this database"
        return cls.stored() in {None, _present()}

    @classmethod
    def remember(cls):
        "Store which database this is, unless it has been stored before"
        if cls.stored() is None:
            cls._store(_present(), 'first', None)

    @classmethod
    def decide(cls, decision):
        """Record what this database is.

        Parameters
        ----------
        decision : {'original', 'copy'}
            The servers of a copy are deactivated, and not used any more until
            they have another address.
        """
        user = Transaction().user
        cls._store(_present(), decision, user)
        Pool().get('gnuhealth.orthanc.config').separate(decision == 'copy')
        logger.warning(
            "Database %s: declared to be the %s by user %s",
            _database_name(), decision, user)

    @classmethod
    @without_check_access
    def _store(cls, present, decision, user):
        name, address = present
        cls.create([{
                    'name': name,
                    'address': address,
                    'decision': decision,
                    'user': user,
                    'at': now(),
                    }])


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    of_original = fields.Boolean("Server of the Original", readonly=True,
        help="The database is a copy, and the server belongs to the "
        "original.")
    copy_notice = fields.Function(
        fields.Text("Copied Database",
            states={'invisible': ~Bool(Eval('copy_notice'))}),
        'get_copy_notice')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'decide_database': {
                    'invisible': ~Bool(Eval('copy_notice')),
                    'depends': ['copy_notice'],
                    },
                })

    @staticmethod
    def default_of_original():
        return False

    @classmethod
    def get_copy_notice(cls, servers, name):
        Database = Pool().get('gnuhealth.orthanc.database')
        stored, present = Database.stored(), _present()
        question = None
        if stored not in {None, present}:
            question = gettext(
                'health_orthanc.msg_database_question',
                stored=_describe(*stored), present=_describe(*present))
        return {
            s.id: question or (
                gettext('health_orthanc.msg_database_copy')
                if s.of_original else None)
            for s in servers}

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="copy_notice"]', 'states', {
                    'invisible': ~Bool(Eval('copy_notice')),
                    }, ['copy_notice']),
            ]

    @classmethod
    def create(cls, vlist):
        Pool().get('gnuhealth.orthanc.database').remember()
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        for servers, values in zip(actions, actions):
            if values.get('domain'):
                cls._release(servers, values['domain'])
            args.extend((servers, values))
        super().write(*args)

    @classmethod
    @without_check_access
    def _release(cls, servers, url):
        "Let the copy use servers that get another address"
        moved = [
            s for s in cls.browse(servers)
            if s.of_original and origin(s.domain) != origin(url.strip())]
        if moved:
            super().write(moved, {'of_original': False})

    @classmethod
    def copy(cls, servers, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('of_original', False)
        return super().copy(servers, default=default)

    @classmethod
    @inactive_records
    @without_check_access
    def separate(cls, copied):
        """Take the servers from a database, or give them back.

        Parameters
        ----------
        copied : bool
        """
        servers = cls.search([])
        values = {'of_original': copied}
        if copied:
            values['active'] = False
        cls.write(servers, values)

    def get_client(self, interactive=False):
        """Return a client for the REST API of this server.

        If the server belongs to the database that this one is a copy of, all
        calls of the client raise `DatabaseCopied`.
        """
        Database = Pool().get('gnuhealth.orthanc.database')
        if self.of_original or not Database.is_confirmed():
            return RefusingClient(self.domain)
        return super().get_client(interactive=interactive)

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_decide_database')
    def decide_database(cls, servers):
        "Open the wizard that asks whether the database is a copy"


class Module(metaclass=PoolMeta):
    __name__ = 'ir.module'

    @classmethod
    @ModelView.button
    def deactivate(cls, modules):
        if any(m.name == 'health_orthanc' for m in modules):
            cls._check_servers()
        super().deactivate(modules)

    @classmethod
    @without_check_access
    def _check_servers(cls):
        """Check that no Orthanc server is active.

        Raises
        ------
        ModuleDeactivationError
        """
        Server = Pool().get('gnuhealth.orthanc.config')
        if servers := Server.search([]):
            raise ModuleDeactivationError(gettext(
                    'health_orthanc.msg_module_servers_active',
                    servers=', '.join(s.rec_name for s in servers)))
