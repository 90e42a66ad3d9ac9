# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of 5.0.x, and those that its studies were of, stay.

Their passwords are protected, and each gets an address of its own.
"""

import datetime as dt
import itertools
import logging
import secrets

from sql import Null, Table

from trytond.pool import Pool

from ..archive.server import secret_keys
from ..common.registration import around_registration
from ..core.orthanc.errors import InvalidAddress
from ..core.orthanc.url import normalize_url
from ..core.secrets import seal
from .tables import add_note, count_rows, execute, is_older

__all__ = [
    'convert_servers', 'create_lost_server', 'forget_cron_user',
    'normalize_servers', 'prepare_servers', 'server_table', 'spell_url']

logger = logging.getLogger('trytond.modules.health_orthanc.migration_servers')


def forget_cron_user(module_name):
    "Let the inactive user of 5.0 stay: users cannot be deleted"
    data = Table('ir_model_data')
    execute(data.delete(
            where=(data.module == module_name)
            & (data.fs_id == 'user_orthanc')))


def prepare_servers(Server, module_name):
    """Set aside the passwords, which were plain.

    Returns
    -------
    list of int or None
        The servers that were given an address that is none: for
        `convert_servers`, which must run unless it is None.
    """
    if not is_older(Server, module_name, 'sealed_password'):
        return None
    Server.__table_handler__(module_name).column_rename(
        'password', 'sealed_password')
    _delete_buttons(module_name)
    return _separate_servers(Server.__table__())


def _separate_servers(table):
    "Let each have an address of its own, which 4.x did not ask for"
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
    "Delete the buttons, that have the same names and other XML ids"
    button, data = Table('ir_model_button'), Table('ir_model_data')
    of_module = ((data.module == module_name)
        & (data.model == 'ir.model.button'))
    execute(button.delete(
            where=button.id.in_(data.select(data.db_id, where=of_module))))
    execute(data.delete(where=of_module))


def convert_servers(Server, separated, keys):
    """Protect the passwords and let the next run reconcile.

    The change log is read anew because 5.0 kept no anchors of it.  Studies of
    before the upgrade are not put up for review.

    Parameters
    ----------
    separated : list of int
        What `prepare_servers` returned.
    keys : sequence of str
        As for `core.secrets.seal`.
    """
    table = Server.__table__()
    add_note('servers', count_rows(table))
    execute(table.update(
            [table.last_changed_index, table.start_date, table.active],
            [Null, dt.date.today(), True]))
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
    "Create an inactive server for studies that have none"
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
    "Write the URLs in the one way, unless another server has that already"
    table = server_table()
    servers = execute(table.select(
            table.id, table.domain, table.proxy_domain,
            order_by=table.id)).fetchall()
    taken = {domain for _, domain, _ in servers}
    for id_, domain, proxy_domain in servers:
        if spell_url(domain) not in taken:
            domain = spell_url(domain)
            taken.add(domain)
        execute(table.update(
                [table.domain, table.proxy_domain],
                [domain, spell_url(proxy_domain or '') or None],
                where=table.id == id_))


def _free_name(url):
    "Return a text like the URL that is neither label nor URL of a server"
    table = server_table()
    taken = set()
    for label, domain in execute(table.select(table.label, table.domain)):
        taken |= {label, spell_url(domain or '')}
    return next(
        name for name in itertools.chain(
            [url], (f'{url} ({n})' for n in itertools.count(2)))
        if not {name, spell_url(name)} & taken)


def spell_url(url):
    "Return the one way to write a URL, as far as it is one"
    try:
        return normalize_url(url)
    except InvalidAddress:
        return url.rstrip('/')


def server_table():
    return Pool().get('gnuhealth.orthanc.config').__table__()


@around_registration('gnuhealth.orthanc.config')
def _adapt_servers(Server, module_name):
    # Migration from 5.0
    forget_cron_user(module_name)
    separated = prepare_servers(Server, module_name)
    yield
    if separated is not None:
        convert_servers(Server, separated, secret_keys())
