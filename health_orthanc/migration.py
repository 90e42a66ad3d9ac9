# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `gnuhealth-orthanc` 5.0.x has stored becomes what this module stores.

The ``prepare_`` functions run before Tryton adapts a table, the ``convert_``
functions after it.
"""

import datetime as dt
import logging

from sql import Literal, Null, Table
from sql.aggregate import Count, Min

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from .core.values import parse_date, parse_person_name

__all__ = [
    'convert_studies', 'is_older', 'prepare_instances', 'prepare_series',
    'prepare_studies']

logger = logging.getLogger(__name__)


def is_older(Model, module_name, column):
    "Whether the model's table was made before it had the column"
    # A table handler creates the table: its existence is asked for first
    return (backend.TableHandler.table_exist(Model._table)
        and not Model.__table_handler__(module_name).column_exist(column))


def prepare_studies(Model, module_name):
    """Set aside the columns whose type changes.

    Returns
    -------
    bool
        Whether `convert_studies` must run.
    """
    # Migration from 5.0: server and date were text, and the physician was
    # in truth the referring one
    if not is_older(Model, module_name, 'missing_since'):
        return False
    table_h = Model.__table_handler__(module_name)
    table_h.drop_constraint('studyUID_unique')
    for old, new in [
            ('server', 'server_url'),
            ('date', 'date_text'),
            ('performing_physician_name', 'referring_physician_name')]:
        table_h.column_rename(old, new)
    table_h.not_null_action('server_url', 'remove')
    return True


def convert_studies(Model, module_name):
    "Fill the columns of the studies of 5.0 from those that were set aside"
    table_h = Model.__table_handler__(module_name)
    _convert_servers(Model)
    _convert_tags(Model)
    _convert_links(Model)
    table_h.not_null_action('server', 'add')
    table_h.drop_column('date_text')


def _convert_servers(Model):
    cursor = Transaction().connection.cursor()
    table = Model.__table__()
    cursor.execute(*table.select(
            table.server_url, where=table.server == Null,
            group_by=table.server_url))
    for url, in cursor.fetchall():
        server = _server_of(url) or _create_lost_server(url)
        _move_studies(Model, url, server)
    # What is left stands on that server already under another spelling
    cursor.execute(*table.select(
            table.server_url, where=table.server == Null,
            group_by=table.server_url))
    for url, in cursor.fetchall():
        _move_studies(Model, url, _create_lost_server(url))


def _move_studies(Model, url, server):
    cursor = Transaction().connection.cursor()
    table, other = Model.__table__(), Model.__table__()
    taken = other.select(other.orthanc_UID, where=other.server == server)
    cursor.execute(*table.update(
            [table.server], [server],
            where=(table.server == Null) & _same_url(table, url)
            & ~table.orthanc_UID.in_(taken)))


def _same_url(table, url):
    return table.server_url == (Null if url is None else url)


def _server_of(url):
    "Return the id of the server with the URL, its last slash aside"
    Server = Pool().get('gnuhealth.orthanc.config')
    cursor = Transaction().connection.cursor()
    table = Server.__table__()
    cursor.execute(*table.select(table.id, table.domain, order_by=table.id))
    servers = cursor.fetchall()
    for same in [lambda domain: domain == url,
            lambda domain: domain.rstrip('/') == (url or '').rstrip('/')]:
        for id_, domain in servers:
            if same(domain or ''):
                return id_


def _create_lost_server(url):
    "Create an inactive server for studies whose own is not known any more"
    Server = Pool().get('gnuhealth.orthanc.config')
    cursor = Transaction().connection.cursor()
    table = Server.__table__()
    cursor.execute(*table.select(Count(Literal('*'))))
    count, = cursor.fetchone()
    name = f"{url or 'unknown'} ({count + 1})"
    cursor.execute(*table.insert(
            [table.label, table.domain, table.active, table.validated,
                table.instances_mode, table.connect_timeout,
                table.read_timeout, table.retries],
            [[name, name, False, False, 'on_demand', 5, 60, 2]]))
    cursor.execute(*table.select(table.id, where=table.label == name))
    id_, = cursor.fetchone()
    logger.warning("Studies of an unknown server were kept with it")
    return id_


def _convert_tags(Model):
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    cursor = Transaction().connection.cursor()
    table, series = Model.__table__(), Series.__table__()
    cursor.execute(*table.select(table.id))
    ids = [id_ for id_, in cursor]
    for sub_ids in grouped_slice(ids):
        sub_ids = list(sub_ids)
        modalities = {id_: set() for id_ in sub_ids}
        if _has_table(Series):
            cursor.execute(*series.select(
                    series.study, series.modality,
                    where=series.study.in_(sub_ids)))
            for study, modality in cursor:
                modalities[study].add(modality or '')
        cursor.execute(*table.select(
                table.id, table.patient_name, table.date_text,
                where=table.id.in_(sub_ids)))
        for id_, name, date in cursor.fetchall():
            date, malformed = _split_date(date)
            cursor.execute(*table.update(
                    [table.patient_display_name, table.date,
                        table.malformed_tags, table.modalities],
                    [parse_person_name(name).display if name else None, date,
                        malformed,
                        ', '.join(sorted(filter(None, modalities[id_])))
                        or None],
                    where=table.id == id_))


def _has_table(Model):
    return backend.TableHandler.table_exist(Model._table)


def _split_date(text):
    "Return a text's date, or the line that keeps what is none"
    text = (text or '').strip()
    if not text:
        return None, None
    try:
        return parse_date(text), None
    except ValueError:
        pass
    try:
        return dt.date.fromisoformat(text), None
    except ValueError:
        return None, f"StudyDate: {text}"


def _convert_links(Model):
    pool = Pool()
    Patient = pool.get('gnuhealth.patient')
    Party = pool.get('party.party')
    cursor = Transaction().connection.cursor()
    table = Model.__table__()
    patient, party = Patient.__table__(), Party.__table__()
    # Migration from 5.0: links by merge id or PUID were made by the machine
    puids = patient.join(
        party, condition=patient.party == party.id).select(
        patient.id, where=party.ref == table.patient_id)
    cursor.execute(*table.update(
            [table.link_status], ['unlinked'], where=table.patient == Null))
    cursor.execute(*table.update(
            [table.link_status], ['manual'], where=table.patient != Null))
    cursor.execute(*table.update(
            [table.link_status], ['auto_unsure'],
            where=(table.patient != Null)
            & (((table.merge_id != Null) & (table.merge_id != ''))
                | table.patient.in_(puids))))


def prepare_series(Model, module_name):
    # Migration from 5.0: nothing kept a series from being stored twice
    if is_older(Model, module_name, 'missing_since'):
        _merge_doubles(
            Model, 'study', 'notes',
            'gnuhealth_imaging_orthanc_series_instances', 'series')


def prepare_instances(Model, module_name):
    # Migration from 5.0: nothing kept an instance from being stored twice
    if is_older(Model, module_name, 'missing_since'):
        _merge_doubles(Model, 'series')


def _merge_doubles(Model, parent, notes=None, child=None, child_field=None):
    "Keep the first of records with the same parent and Orthanc id"
    cursor = Transaction().connection.cursor()
    table = Table(Model._table)
    parent = getattr(table, parent)
    cursor.execute(*table.select(
            parent, table.orthanc_UID, Min(table.id),
            group_by=[parent, table.orthanc_UID],
            having=Count(Literal('*')) > 1))
    for parent_id, orthanc_id, kept in cursor.fetchall():
        doubles = ((parent == parent_id)
            & (table.orthanc_UID == orthanc_id) & (table.id != kept))
        cursor.execute(*table.select(table.id, where=doubles))
        ids = [id_ for id_, in cursor]
        if notes:
            _merge_notes(table, getattr(table, notes), kept, ids)
        if child:
            children = Table(child)
            column = getattr(children, child_field)
            cursor.execute(*children.update(
                    [column], [kept], where=column.in_(ids)))
        _move_resources(Model, kept, ids)
        cursor.execute(*table.delete(where=table.id.in_(ids)))


def _merge_notes(table, column, kept, ids):
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            column, where=table.id.in_([kept, *ids]), order_by=table.id))
    texts = dict.fromkeys(text for text, in cursor if text)
    if texts:
        cursor.execute(*table.update(
                [column], ['\n'.join(texts)], where=table.id == kept))


def _move_resources(Model, kept, ids):
    cursor = Transaction().connection.cursor()
    for name in ['ir_attachment', 'ir_note']:
        table = Table(name)
        cursor.execute(*table.update(
                [table.resource], [f'{Model.__name__},{kept}'],
                where=table.resource.in_(
                    [f'{Model.__name__},{id_}' for id_ in ids])))
