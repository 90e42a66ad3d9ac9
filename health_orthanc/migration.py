# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `gnuhealth-orthanc` 5.0.x has stored becomes what this module stores.

The ``prepare_`` functions run before Tryton adapts a table, the ``convert_``
functions after it.  The models register in the order server, patient, study,
series, instance: when studies are converted, their series are still as 5.0
left them.  All of it is one transaction, with the rest of the update: either
all is done or nothing.  What was done is told as upgrade notes.
"""

import datetime as dt
import itertools
import logging
import secrets
from collections import defaultdict

from sql import Cast, Literal, Null, Table, Values
from sql.aggregate import Count, Min
from sql.conditionals import Case, Coalesce, NullIf
from sql.functions import CharLength
from sql.operators import Concat, Equal, Exists

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from .core.client import normalize_url
from .core.errors import InvalidAddress
from .core.secrets import seal
from .core.values import display_names, parse_date
from .mirror import now

__all__ = [
    'convert_instances', 'convert_links', 'convert_patients',
    'convert_servers', 'convert_studies', 'create_lost_server', 'execute',
    'finish_studies', 'forget_cron_user', 'is_older', 'move_resources',
    'prepare_instances', 'prepare_patients', 'prepare_series',
    'prepare_servers', 'prepare_studies', 'take_links', 'tell']

logger = logging.getLogger(__name__)

# Shorter patient IDs were not taken for PUIDs by 5.0
_PUID_LENGTH = 9
_ADMIN = 1


def is_older(Model, module_name, column):
    "Whether the model's table was made before it had the column"
    # A table handler creates the table: its existence is asked for first
    return (backend.TableHandler.table_exist(Model._table)
        and not Model.__table_handler__(module_name).column_exist(column))


def execute(query):
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor


def tell(kind, count=1, record=None, **values):
    "See `upgrade.UpgradeNote.tell`"
    Pool().get('gnuhealth.orthanc.upgrade.note').tell(
        kind, count, record, **values)


def _count(table, where=None):
    (count,), = execute(table.select(Count(Literal('*')), where=where))
    return count


# Servers


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
    tell('servers', _count(table))
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
        tell('address', record=f'{Server.__name__},{id_}')


# Patients


def prepare_patients(Patient, module_name):
    "Return whether `convert_patients` must run"
    return is_older(Patient, module_name, 'display_name')


def convert_patients(Patient):
    "Complete the patients that 4.x left behind"
    table = Patient.__table__()
    tell('patients', _count(table))
    _empty_to_null(table, ['name', 'ident'])
    _fill_display_names(table, table.name, table.display_name)
    # Links to the patient with the PUID were made by the machine
    who = Coalesce(
        NullIf(table.write_uid, 0), NullIf(table.create_uid, 0), _ADMIN)
    execute(table.update(
            [table.decided_by], [who],
            where=(table.patient != Null)
            & ~table.patient.in_(_patients_of(table.ident))))


def _patients_of(patient_id):
    "Return the query of the patients whose PUID the column holds"
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    return patient.join(
        party, condition=patient.party == party.id).select(
        patient.id, where=party.ref == patient_id)


def _empty_to_null(table, names):
    columns = [getattr(table, name) for name in names]
    execute(table.update(columns, [NullIf(c, '') for c in columns]))


def _fill_display_names(table, name, display_name):
    rows = execute(table.select(table.id, name, where=name != Null))
    _update_each(table, table.id, display_name, [
            (id_, display) for id_, text in rows
            if (display := display_names(text))])


def _update_each(table, key, column, pairs):
    "Write to the column, where the key is the first, the second of each pair"
    for sub_pairs in grouped_slice(pairs):
        values = Values(list(map(list, sub_pairs)))
        execute(table.update(
                [column], [values.column2], from_=[values],
                where=key == values.column1))


# Studies


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


def convert_studies(Study, module_name, doubtful):
    """Fill the columns of the studies of 5.0 from those that were set aside.

    Parameters
    ----------
    doubtful : list of int
        What `prepare_studies` returned.
    """
    table = Study.__table__()
    tell('studies', _count(table))
    _empty_to_null(table, [
            'patient_name', 'patient_id', 'institution', 'merge_id',
            'referring_physician_name'])
    _fill_display_names(
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


def _servers():
    return Pool().get('gnuhealth.orthanc.config').__table__()


def _assign_servers(table):
    """Put each study on the server of its URL.

    Where that is no server's in any spelling, an inactive one is made.
    """
    server = _servers()
    servers = execute(server.select(
            server.domain, server.id, order_by=server.id.desc)).fetchall()
    for spell in [str, _spell]:
        by_url = {spell(domain or ''): id_ for domain, id_ in servers}
        for url in _open_urls(table):
            if spell(url or '') in by_url:
                _move_studies(table, url, by_url[spell(url or '')])
    lost = defaultdict(list)
    for url in _open_urls(table):
        lost[_spell(url or '')].append(url)
    for spelled, urls in lost.items():
        id_ = create_lost_server(urls[0])
        moved = sum(_move_studies(table, url, id_) for url in urls)
        tell('server_gone', moved, f'gnuhealth.orthanc.config,{id_}')


def _spell(url):
    "Return the one way to write a URL, as far as it is one"
    try:
        return normalize_url(url)
    except InvalidAddress:
        return url.rstrip('/')


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
    doubles = _Doubles(Study, 'server')
    tell('twins', doubles.count())
    doubles.merge_texts('notes')
    doubles.merge_texts('merge_comment', '; ')
    doubtful = []
    for id_, comment in take_links(Study.__table__(), doubles.links()):
        doubtful.append(id_)
        tell('twin', record=f'{Study.__name__},{id_}', other=comment)
    doubles.move_children('gnuhealth_imaging_orthanc_study_series', 'study')
    doubles.delete()
    return doubtful


def take_links(table, others, prefix=''):
    """Give studies the links of other records of them, where they have none.

    A link that another one keeps out is told in the comment.

    Parameters
    ----------
    others : Select
        ``kept``, the id of a study; ``patient`` and ``imaging_test``.
    prefix : str
        Of what is told in the comment.

    Returns
    -------
    list of (int, str)
        The studies that are linked otherwise, and to whom in the other record.
    """
    execute(table.update(
            [table.patient, table.imaging_test],
            [others.patient, others.imaging_test], from_=[others],
            where=(table.id == others.kept)
            & (table.patient == Null) & (table.imaging_test == Null)))
    execute(table.update(
            [table.imaging_test], [others.imaging_test], from_=[others],
            where=(table.id == others.kept) & (table.imaging_test == Null)
            & (table.patient == others.patient)))
    kept_out = [
        (id_, prefix + told) for id_, told in _linked_otherwise(table, others)]
    for id_, told in kept_out:
        comment = Case(
            (Coalesce(table.merge_comment, '') == '', told),
            else_=Concat(table.merge_comment, f'; {told}'))
        execute(table.update(
                [table.merge_comment], [comment], where=table.id == id_))
    return kept_out


def _linked_otherwise(table, others):
    "Return studies, and PUID and number of result of a link that differs"
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    rows = execute(others
        .join(table, condition=table.id == others.kept)
        .join(patient, 'LEFT', condition=patient.id == others.patient)
        .join(party, 'LEFT', condition=party.id == patient.party)
        .join(result, 'LEFT', condition=result.id == others.imaging_test)
        .select(
            table.id, party.ref, result.number,
            where=_differ(others.patient, table.patient)
            | _differ(others.imaging_test, table.imaging_test),
            order_by=table.id))
    return [
        (id_, ', '.join(map(str, filter(None, told)))) for id_, *told in rows]


def _differ(other, kept):
    return (other != Null) & ((kept == Null) | (kept != other))


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


def _free_name(url):
    "Return a text like the URL that is neither label nor URL of a server"
    table = _servers()
    taken = set()
    for label, domain in execute(table.select(table.label, table.domain)):
        taken |= {label, _spell(domain or '')}
    return next(
        name for name in itertools.chain(
            [url], (f'{url} ({n})' for n in itertools.count(2)))
        if not {name, _spell(name)} & taken)


def _normalize_servers():
    "Write the URLs in the one way, unless another server has that already"
    table = _servers()
    servers = execute(table.select(
            table.id, table.domain, table.proxy_domain,
            order_by=table.id)).fetchall()
    taken = {domain for _, domain, _ in servers}
    for id_, domain, proxy_domain in servers:
        if _spell(domain) not in taken:
            domain = _spell(domain)
            taken.add(domain)
        execute(table.update(
                [table.domain, table.proxy_domain],
                [domain, _spell(proxy_domain or '') or None],
                where=table.id == id_))


def _convert_dates(Study):
    table = Study.__table__()
    texts = [text for text, in execute(table.select(
                table.date_text, where=Coalesce(table.date_text, '') != '',
                group_by=table.date_text))]
    dates = {text: date for text in texts if (date := _parse_date(text))}
    _update_each(table, table.date_text, table.date, list(dates.items()))
    _update_each(table, table.date_text, table.malformed_tags, [
            (text, f'StudyDate: {text}')
            for text in texts if text.strip() and text not in dates])
    for text in texts:
        if text.strip() and text not in dates:
            (count, first), = execute(table.select(
                    Count(Literal('*')), Min(table.id),
                    where=table.date_text == text))
            tell('date', count, f'{Study.__name__},{first}', date=text)


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
    _update_each(table, table.id, table.modalities, [
            (study, ', '.join(sorted(found)))
            for study, found in modalities.items()])


def convert_links(table, module_name, of=None, puid_length=_PUID_LENGTH):
    """Tell the links that the machine has made from those of people.

    5.0 gave a study to the patient with the PUID, to the result with the
    merge id and to its patient.

    Parameters
    ----------
    of : Select, optional
        The ids of the studies, all by default.
    puid_length : int
        Of the shortest patient ID that was taken for a PUID.
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    result = Result.__table__()
    meant = table.id.in_(of) if of else Literal(True)
    # Later results took their studies, but not for their patients
    execute(table.update(
            [table.patient], [result.select(
                    result.patient, where=result.id == table.imaging_test)],
            where=meant & (table.patient == Null)
            & (table.imaging_test != Null)))
    linked = (table.patient != Null) | (table.imaging_test != Null)
    by_machine = ((table.imaging_test == Null)
        & table.patient.in_(_patients_of(table.patient_id))
        & (CharLength(table.patient_id) >= puid_length))
    if Result.__table_handler__(module_name).column_exist('merge_id'):
        by_machine |= _by_merge_id(table, result)
    execute(table.update(
            [table.link_status], [Case(
                    (~linked, 'unlinked'), (by_machine, 'auto_unsure'),
                    else_='manual')],
            where=meant))


def finish_studies(Study):
    "Keep what was linked before from being matched: it waits for a person"
    _normalize_servers()
    table = Study.__table__()
    execute(table.update(
            [table.matched_at], [now()],
            where=(table.link_status != 'unlinked')
            & (table.matched_at == Null)))
    for kind, status in [('review', 'auto_unsure'), ('manual', 'manual')]:
        tell(kind, _count(table, table.link_status == status))


def _by_merge_id(table, result):
    return Exists(result.select(
            Literal(1),
            where=(result.id == table.imaging_test)
            & (result.merge_id == table.merge_id)
            & ((result.patient == table.patient)
                | table.patient.in_(_patients_of(table.patient_id)))))


# Series and instances


def prepare_series(Series, module_name):
    "Merge what is recorded twice, which nothing has prevented"
    if is_older(Series, module_name, 'missing_since'):
        doubles = _Doubles(Series, 'study')
        tell('series', _count(Series.__table__()))
        tell('series_doubles', doubles.count())
        doubles.merge_texts('notes')
        doubles.move_children(
            'gnuhealth_imaging_orthanc_series_instances', 'series')
        doubles.delete()


def prepare_instances(Instance, module_name):
    """Merge what is recorded twice, which nothing has prevented.

    Returns
    -------
    bool
        Whether `convert_instances` must run.
    """
    if not is_older(Instance, module_name, 'missing_since'):
        return False
    doubles = _Doubles(Instance, 'series')
    tell('instances', _count(Instance.__table__()))
    tell('instances_doubles', doubles.count())
    doubles.delete()
    return True


def convert_instances(Instance):
    "Let the series say how many instances they have"
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    table, series = Instance.__table__(), Series.__table__()
    execute(series.update(
            [series.instances_count], [table.select(
                    Count(Literal('*')), where=table.series == series.id)]))


class _Doubles:
    """Records of one Orthanc id below one parent, of which the first is kept

    Parameters
    ----------
    parent : str
        The column of the parent.
    """

    def __init__(self, Model, parent):
        self._model = Model.__name__
        self._table = Table(Model._table)
        self._parent = parent

    def _groups(self):
        table = Table(self._table._name)
        parent = getattr(table, self._parent)
        return table.select(
            parent.as_('parent'), table.orthanc_UID.as_('orthanc_id'),
            Min(table.id).as_('kept'),
            group_by=[parent, table.orthanc_UID],
            having=Count(Literal('*')) > 1)

    def _select(self, *names, first=False):
        "Return the query of who is kept and of columns of all the others"
        table, groups = Table(self._table._name), self._groups()
        return table.join(groups, condition=(
                (getattr(table, self._parent) == groups.parent)
                & (table.orthanc_UID == groups.orthanc_id))).select(
            groups.kept.as_('kept'),
            *(getattr(table, name).as_(name) for name in names),
            where=Literal(True) if first else table.id != groups.kept,
            order_by=table.id)

    def count(self):
        doubles = self._select('id')
        return _count(doubles)

    def links(self):
        "Return the query of the first link among the doubles of each"
        table, doubles = Table(self._table._name), self._select('id')
        linked = table.join(doubles, condition=table.id == doubles.id).select(
            doubles.kept, Min(table.id).as_('id'),
            where=(table.patient != Null) | (table.imaging_test != Null),
            group_by=doubles.kept)
        other = Table(self._table._name)
        return other.join(linked, condition=other.id == linked.id).select(
            linked.kept, other.patient, other.imaging_test)

    def merge_texts(self, name, separator='\n'):
        "Let the kept record have all the texts of its doubles"
        texts = defaultdict(dict)
        for kept, text in execute(self._select(name, first=True)):
            if text:
                texts[kept][text] = None
        for kept, found in texts.items():
            execute(self._table.update(
                    [getattr(self._table, name)], [separator.join(found)],
                    where=self._table.id == kept))

    def move_children(self, name, parent):
        child, doubles = Table(name), self._select('id')
        column = getattr(child, parent)
        execute(child.update(
                [column], [doubles.kept], from_=[doubles],
                where=column == doubles.id))

    def delete(self):
        "Delete the doubles, their attachments and notes go to the kept ones"
        doubles = self._select('id')
        move_resources(
            doubles, self._model, doubles.id, self._model, doubles.kept)
        execute(self._table.delete(
                where=self._table.id.in_(doubles.select(doubles.id))))


def move_resources(source, from_model, from_id, to_model, to_id):
    """Let attachments, notes and e-mails hang on other records.

    Parameters
    ----------
    source : FromItem
        What the columns `from_id` and `to_id` are of.
    """
    for name in ['ir_attachment', 'ir_note', 'ir_email']:
        table = Table(name)
        execute(table.update(
                [table.resource], [_reference(to_model, to_id)],
                from_=[source],
                where=table.resource == _reference(from_model, from_id)))


def _reference(model, id_):
    return Concat(f'{model},', Cast(id_, 'VARCHAR'))
