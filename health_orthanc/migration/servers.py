# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of servers from 5.0

Passwords are encrypted.  Each server gets its own URL; inactive servers are
created for studies whose server is unknown.
"""

import datetime as dt
import itertools
import logging
import secrets

from sql import Null, Table
from sql.conditionals import NullIf

from trytond.pool import Pool

from ..archive.server import secret_keys
from ..common.registration import around_registration
from ..core.orthanc.errors import InvalidAddress
from ..core.orthanc.url import normalize_url
from ..core.secrets import seal
from .tables import add_note, count_rows, execute, is_older

__all__ = [
    'convert_servers', 'create_lost_server', 'release_cron_user',
    'normalize_servers', 'prepare_servers', 'server_table', 'canonical_url']

logger = logging.getLogger('trytond.modules.health_orthanc.migration_servers')


def release_cron_user(module_name):
    "Keep the inactive user of 5.0: users cannot be deleted"
    data = Table('ir_model_data')
    execute(data.delete(
            where=(data.module == module_name)
            & (data.fs_id == 'user_orthanc')))


def prepare_servers(Server, module_name):
    """Rename the column of the plain passwords, and separate equal URLs.

    Returns
    -------
    list of int or None
        The servers that got an invalid URL, for `convert_servers`, which must
        be called unless it is None.
    """
    if not is_older(Server, module_name, 'sealed_password'):
        return None
    Server.__table_handler__(module_name).column_rename(
        'password', 'sealed_password')
    _delete_buttons(module_name)
    return _separate_servers(Server.__table__())


def _separate_servers(table):
    "Give each server its own URL: 4.x did not require that"
    separated, taken = [], set()
    for id_, domain in execute(table.select(
                table.id, table.domain, order_by=table.id)).fetchall():
        if domain in taken:
            name = _free_name(domain)
            execute(table.update(
                    [table.domain], [name], where=table.id == id_))
            separated.append(id_)
        taken.add(domain)
    return separated


def _delete_buttons(module_name):
    "Delete the buttons: new ones have the same names and other XML ids"
    button, data = Table('ir_model_button'), Table('ir_model_data')
    of_module = ((data.module == module_name)
        & (data.model == 'ir.model.button'))
    execute(button.delete(
            where=button.id.in_(data.select(data.db_id, where=of_module))))
    execute(data.delete(where=of_module))


def convert_servers(Server, separated, keys):
    """Encrypt the passwords, and have the next run reconcile.

    Version 5.0 stored no anchors of the change log, so that its position
    cannot be trusted.  Studies from before the upgrade are not put up for
    review.

    Parameters
    ----------
    Server : Server
        The class.
    separated : list of int
        The result of `prepare_servers`.
    keys : sequence of str
        See `core.secrets.seal`.
    """
    table = Server.__table__()
    add_note('servers', count_rows(table))
    execute(table.update(
            [table.initial_index, table.last_changed_index,
                table.start_date, table.active],
            [NullIf(table.last_changed_index, -1), Null, dt.date.today(),
                True]))
    for id_, password in execute(table.select(
                table.id, table.sealed_password)).fetchall():
        execute(table.update(
                [table.sealed_password, table.identifier],
                [seal(password, keys), secrets.token_urlsafe(12)],
                where=table.id == id_))
    for id_ in separated:
        execute(table.update(
                [table.active, table.validated], [False, False],
                where=table.id == id_))
        add_note('address', record=f'{Server.__name__},{id_}')


def create_lost_server(url):
    """Create an inactive server for studies that have none.

    Parameters
    ----------
    url : str or None

    Returns
    -------
    int
        The id of the server.
    """
    logger.warning("Studies of an unknown server get an inactive one")
    Server = Pool().get('gnuhealth.orthanc.config')
    table = Server.__table__()
    name = _free_name(url or 'unknown')
    values = {
        field: default() for field, default in Server._defaults.items()
        if Server._fields[field].sql_type()}
    values.update(
        label=name, domain=name, active=False, validated=False,
        identifier=secrets.token_urlsafe(12))
    execute(table.insert(
            [getattr(table, field) for field in values],
            [list(values.values())]))
    cursor = execute(table.select(table.id, where=table.label == name))
    id_, = cursor.fetchone()
    return id_


def normalize_servers():
    "Write canonical URLs, unless another server has the same"
    table = server_table()
    servers = execute(table.select(
            table.id, table.domain, table.proxy_domain,
            order_by=table.id)).fetchall()
    taken = {domain for _, domain, _ in servers}
    for id_, domain, proxy_domain in servers:
        if canonical_url(domain) not in taken:
            domain = canonical_url(domain)
            taken.add(domain)
        execute(table.update(
                [table.domain, table.proxy_domain],
                [domain, canonical_url(proxy_domain or '') or None],
                where=table.id == id_))


def _free_name(url):
    "Return the URL, or a variant that is neither label nor URL of a server"
    table = server_table()
    taken = set()
    for label, domain in execute(table.select(table.label, table.domain)):
        taken |= {label, canonical_url(domain or '')}
    return next(
        name for name in itertools.chain(
            [url], (f'{url} ({n})' for n in itertools.count(2)))
        if not {name, canonical_url(name)} & taken)


def canonical_url(url):
    "Return the canonical form of a URL, even if it is not valid"
    try:
        return normalize_url(url)
    except InvalidAddress:
        return url.rstrip('/')


def server_table():
    "Return the table of the servers"
    return Pool().get('gnuhealth.orthanc.config').__table__()


@around_registration('gnuhealth.orthanc.config')
def _adapt_servers(Server, module_name):
    # Migration from 5.0
    release_cron_user(module_name)
    separated = prepare_servers(Server, module_name)
    yield
    if separated is not None:
        convert_servers(Server, separated, secret_keys())
