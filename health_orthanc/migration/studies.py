# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies of 5.0.x become those of today.

Each gets its server in place of a URL, and a date in place of a text; what was
recorded under two spellings of one URL becomes one.
"""

import datetime as dt
from collections import defaultdict

from sql import Literal, Null
from sql.aggregate import Count, Min
from sql.conditionals import Coalesce
from sql.operators import Equal

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice

from ..common.registration import around_registration
from ..common.transaction import now
from ..core.dicom.values import parse_date
from .links import convert_links, take_links
from .servers import (
    create_lost_server, normalize_servers, server_table, spell_url)
from .tables import (
    Doubles, add_note, count_rows, empty_to_null, execute, fill_display_names,
    is_older, update_each)
from .version_4 import move_studies

__all__ = ['convert_studies', 'finish_studies', 'prepare_studies']


def prepare_studies(Study, module_name):
    """Set aside the columns whose type or meaning changes, find the servers.

    Returns
    -------
    list of int or None
        The studies whose link is in doubt: for `convert_studies`, which must
        run unless it is None.
    """
    # Server and date were text, the physician was in truth the referring one
    if not is_older(Study, module_name, 'missing_since'):
        return None
    table_h = Study.__table_handler__(module_name)
    table_h.drop_constraint('studyUID_unique')
    for old, new in [
            ('server', 'server_url'),
            ('date', 'date_text'),
            ('performing_physician_name', 'referring_physician_name')]:
        table_h.column_rename(old, new)
    # Before Tryton asks for a server in each
    table_h.add_column('server', Study.server._sql_type)
    _assign_servers(Study.__table__())
    return _merge_twins(Study)


def _assign_servers(table):
    """Put each study on the server of its URL.

    Where that is no server's in any spelling, an inactive one is made.
    """
    server = server_table()
    servers = execute(server.select(
            server.domain, server.id, order_by=server.id.desc)).fetchall()
    for spell in [str, spell_url]:
        by_url = {spell(domain or ''): id_ for domain, id_ in servers}
        for url in _open_urls(table):
            if spell(url or '') in by_url:
                _move_studies(table, url, by_url[spell(url or '')])
    lost = defaultdict(list)
    for url in _open_urls(table):
        lost[spell_url(url or '')].append(url)
    for spelled, urls in lost.items():
        id_ = create_lost_server(urls[0])
        moved = sum(_move_studies(table, url, id_) for url in urls)
        add_note('server_gone', moved, f'gnuhealth.orthanc.config,{id_}')


def _open_urls(table):
    return [url for url, in execute(table.select(
                table.server_url, where=table.server == Null,
                group_by=table.server_url, order_by=table.server_url)
            ).fetchall()]


def _move_studies(table, url, server):
    "Put the studies of a URL on a server, and return how many"
    same_url = Equal(table.server_url, Null if url is None else url)
    return execute(table.update(
            [table.server], [server],
            where=(table.server == Null) & same_url)).rowcount


def _merge_twins(Study):
    """Merge studies that were recorded under two spellings of one URL.

    Returns
    -------
    list of int
        The studies that were linked in two ways.
    """
    doubles = Doubles(Study, 'server')
    add_note('twins', doubles.count())
    doubles.merge_texts('notes')
    doubles.merge_texts('merge_comment', '; ')
    doubtful = []
    for id_, comment in take_links(Study.__table__(), doubles.links()):
        doubtful.append(id_)
        add_note('twin', record=f'{Study.__name__},{id_}', other=comment)
    doubles.move_children('gnuhealth_imaging_orthanc_study_series', 'study')
    doubles.delete()
    return doubtful


def convert_studies(Study, module_name, doubtful):
    """Fill the columns of the studies of 5.0 from those that were set aside.

    Parameters
    ----------
    doubtful : list of int
        What `prepare_studies` returned.
    """
    table = Study.__table__()
    add_note('studies', count_rows(table))
    empty_to_null(table, [
            'patient_name', 'patient_id', 'institution', 'merge_id',
            'referring_physician_name'])
    fill_display_names(
        table, table.patient_name, table.patient_display_name)
    _convert_dates(Study)
    _collect_modalities(table)
    convert_links(table, module_name)
    for ids in grouped_slice(doubtful):
        execute(table.update(
                [table.link_status], ['auto_unsure'],
                where=table.id.in_(list(ids))))
    table_h = Study.__table_handler__(module_name)
    for name in ['server_url', 'date_text']:
        table_h.drop_column(name)


def _convert_dates(Study):
    table = Study.__table__()
    texts = [text for text, in execute(table.select(
                table.date_text, where=Coalesce(table.date_text, '') != '',
                group_by=table.date_text))]
    dates = {text: date for text in texts if (date := _parse_date(text))}
    update_each(table, table.date_text, table.date, list(dates.items()))
    update_each(table, table.date_text, table.malformed_tags, [
            (text, f'StudyDate: {text}')
            for text in texts if text.strip() and text not in dates])
    for text in texts:
        if text.strip() and text not in dates:
            (count, first), = execute(table.select(
                    Count(Literal('*')), Min(table.id),
                    where=table.date_text == text))
            add_note('date', count, f'{Study.__name__},{first}', date=text)


def _parse_date(text):
    for parse in [parse_date, dt.date.fromisoformat]:
        try:
            return parse(text)
        except ValueError:
            continue


def _collect_modalities(table):
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    if not backend.TableHandler.table_exist(Series._table):
        return
    series = Series.__table__()
    modalities = defaultdict(set)
    for study, modality in execute(series.select(
                series.study, series.modality,
                where=Coalesce(series.modality, '') != '',
                group_by=[series.study, series.modality])):
        modalities[study].add(modality)
    update_each(table, table.id, table.modalities, [
            (study, ', '.join(sorted(found)))
            for study, found in modalities.items()])


def finish_studies(Study):
    "Keep what was linked before from being matched: it waits for a person"
    normalize_servers()
    table = Study.__table__()
    execute(table.update(
            [table.matched_at], [now()],
            where=(table.link_status != 'unlinked')
            & (table.matched_at == Null)))
    for kind, status in [('review', 'auto_unsure'), ('manual', 'manual')]:
        add_note(kind, count_rows(table, table.link_status == status))


@around_registration('gnuhealth.imaging_orthanc.study')
def _adapt_studies(Study, module_name):
    # Migration from 5.0
    doubtful = prepare_studies(Study, module_name)
    yield
    if doubtful is not None:
        convert_studies(Study, module_name, doubtful)
    # Migration from 4.x
    brought = move_studies(Study, module_name)
    if doubtful is not None or brought:
        # What was linked before waits for a person
        finish_studies(Study)
