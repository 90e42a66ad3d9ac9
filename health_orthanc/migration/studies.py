# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of studies from 5.0

The server replaces a URL, and a date replaces a text.  Studies that were
recorded for two spellings of a URL are merged.
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
from .links import convert_links, copy_links
from .servers import (
    canonical_url, create_lost_server, normalize_servers, server_table)
from .tables import (
    Duplicates, add_note, count_rows, empty_to_null, execute,
    fill_display_names, is_older, update_each)
from .version_4 import move_studies

__all__ = [
    'convert_studies', 'finish_studies', 'mark_historical', 'prepare_studies']


def prepare_studies(Study, module_name):
    """Rename the columns whose type or meaning changes, assign the servers.

    Returns
    -------
    list of int or None
        The studies with differing links, for `convert_studies`, which must be
        called unless it is None.
    """
    # Server and date were texts; the physician was the referring physician
    if not is_older(Study, module_name, 'missing_since'):
        return None
    table_h = Study.__table_handler__(module_name)
    table_h.drop_constraint('studyUID_unique')
    for old, new in [
            ('server', 'server_url'),
            ('date', 'date_text'),
            ('performing_physician_name', 'referring_physician_name')]:
        table_h.column_rename(old, new)
    # Before trytond adds the NOT NULL constraint
    table_h.add_column('server', Study.server._sql_type)
    _assign_servers(Study.__table__())
    return _merge_twins(Study)


def _assign_servers(table):
    """Assign each study to the server with its URL.

    An inactive server is created for a URL that no server has in any
    spelling.
    """
    server = server_table()
    servers = execute(server.select(
            server.domain, server.id, order_by=server.id.desc)).fetchall()
    for spelling in [str, canonical_url]:
        by_url = {spelling(domain or ''): id_ for domain, id_ in servers}
        for url in _unassigned_urls(table):
            if spelling(url or '') in by_url:
                _move_studies(table, url, by_url[spelling(url or '')])
    lost = defaultdict(list)
    for url in _unassigned_urls(table):
        lost[canonical_url(url or '')].append(url)
    for url_key, urls in lost.items():
        id_ = create_lost_server(urls[0])
        moved = sum(_move_studies(table, url, id_) for url in urls)
        add_note('server_gone', moved, f'gnuhealth.orthanc.config,{id_}')


def _unassigned_urls(table):
    return [url for url, in execute(table.select(
                table.server_url, where=table.server == Null,
                group_by=table.server_url, order_by=table.server_url)
            ).fetchall()]


def _move_studies(table, url, server):
    "Assign the studies with a URL to a server, and return their number"
    same_url = Equal(table.server_url, Null if url is None else url)
    return execute(table.update(
            [table.server], [server],
            where=(table.server == Null) & same_url)).rowcount


def _merge_twins(Study):
    """Merge studies that were recorded for two spellings of a URL.

    Returns
    -------
    list of int
        The studies whose links differed.
    """
    duplicates = Duplicates(Study, 'server')
    add_note('twins', duplicates.count())
    duplicates.merge_texts('notes')
    duplicates.merge_texts('merge_comment', '; ')
    duplicates.fill_values()
    doubtful = []
    for id_, comment in copy_links(Study.__table__(), duplicates.links()):
        doubtful.append(id_)
        add_note('twin', record=f'{Study.__name__},{id_}', other=comment)
    duplicates.move_children('gnuhealth_imaging_orthanc_study_series', 'study')
    duplicates.delete()
    return doubtful


def convert_studies(Study, module_name, doubtful):
    """Fill the new columns of the studies of 5.0 from the renamed ones.

    Parameters
    ----------
    Study : Study
        The class.
    module_name : str
    doubtful : list of int
        The result of `prepare_studies`.
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


def mark_historical(Study):
    "Keep the studies historical that were so by their date"
    server = Pool().get('gnuhealth.orthanc.config').__table__()
    table = Study.__table__()
    execute(table.update(
            [table.historical], [Literal(True)],
            where=table.id.in_(
                table.join(server, condition=table.server == server.id).select(
                    table.id, where=table.date < server.start_date))))


def finish_studies(Study):
    "Keep linked studies out of the matching queue: they are to be reviewed"
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
    by_date = is_older(Study, module_name, 'historical')
    yield
    if doubtful is not None:
        convert_studies(Study, module_name, doubtful)
    # Migration from 4.x
    migrated = move_studies(Study, module_name)
    if doubtful is not None or migrated:
        # Users review the former links
        finish_studies(Study)
    if by_date or migrated:
        mark_historical(Study)
