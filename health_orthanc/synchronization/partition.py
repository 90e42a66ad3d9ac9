# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of studies, range by range of their dates

A range is compared on its own: what was recorded of it, and is not listed any
more, is requested by its id.  It is missing only if the server does not have
it: its date may have changed meanwhile.
"""

import datetime as dt
import json
from functools import partial

from sql import Null
from sql.aggregate import Count

from trytond.pool import Pool

from ..common.rows import fetch_rows
from ..common.transaction import in_transaction
from ..core.orthanc.changes import Listing
from ..core.orthanc.id_set import IdSet
from .store import mark_missing_studies
from .storing import Storing

__all__ = ['Partition', 'date_ranges', 'ids_of', 'tokens']

# Records whose Orthanc ids are read at once
RECORDS_LIMIT = 10000
# Ids of a page that holds nothing else
IDS_LIMIT = 20000
# Ids whose digests are compared at once: eight bytes each
SHARE = 4 * 10**6
# The part of the studies without a date
UNDATED = 'none'
_DAY = '%Y%m%d'
# Orthanc compares texts: after everything that begins with a date
_BEHIND = 'Z'


def date_ranges(server_id, size):
    """Return the ranges of dates that a server is compared in.

    Parameters
    ----------
    server_id : int
    size : int
        About how many studies are in a range.

    Returns
    -------
    list of str
        As ``20191231-20200131``: after the one day, up to the other one.
        Empty if one range holds all, or most studies have no date.
    """
    table = _table()
    days = dict(fetch_rows(table.select(
                table.date, Count(table.id), where=_recorded(table, server_id),
                group_by=table.date)))
    undated = days.pop(None, 0)
    if undated > sum(days.values()):
        return []
    ends, count, last = [], 0, None
    for day, studies in sorted(days.items()):
        if count and count + studies > size:
            ends.append(last)
            count = 0
        count += studies
        last = _day(day)
    if not ends:
        return []
    return [
        *(f'{start}-{end}' for start, end in zip(
            ['', *ends], [*ends, ''])),
        UNDATED]


def _day(value):
    # SQLite returns a text; strftime drops zeros of early years
    return str(value).replace('-', '')


class Partition(Storing):
    "Compares the studies with dates in a range, or without a date"

    def _read_dated(self, id_, part):
        if part['dates'] == UNDATED:
            self._read_undated(id_, part)
            return
        known = part['position'] or {'since': 0, 'tail': []}
        if 'counted' in known:
            # An earlier version was ended before it was done
            in_transaction(self._parts.store, id_, {'done': True})
            return
        listed = IdSet(part['listed'])
        start, end = (
            day and day + _BEHIND for day in part['dates'].split('-'))
        for page in Listing(
                partial(self._client.find_dated_studies, f'{start}-{end}'),
                self._dated_limit(), known['since'], tokens(known['tail']),
                True):
            self._store_page('study', page.resources)
            listed.add(ids_of(page.resources))
            in_transaction(
                self._save_listed, id_, listed,
                {'since': page.since, 'tail': page.tail}, len(page.resources))
            self._check_turn()
        for ids in self._recorded_batches(part['dates']):
            # Those that have no date any more are counted without one
            self._compare_by_id(listed.missing(ids))
        in_transaction(self._parts.store, id_, {
                'position': {'counted': len(listed)}, 'done': True})

    def _save_listed(self, id_, listed, position, processed, is_done=False):
        values = {
            'position': position, 'listed': listed.dumps(), 'done': is_done}
        counts = {'processed': processed}
        if self._shared_part is None:
            self._count(counts)
            counts = None
        self._parts.store(id_, values, counts)

    def _compare_by_id(self, orthanc_ids):
        """Store the studies that the server holds; the others are missing.

        Returns
        -------
        int
            How many of them are in no range, as they have no date.
        """
        gone, undated = set(orthanc_ids), 0
        for found in self._fetch(list(orthanc_ids)):
            self._store_page('study', found)
            gone.difference_update(ids_of(found))
            undated += sum(
                'StudyDate' not in (r.get('MainDicomTags') or {})
                for r in found)
        if gone:
            in_transaction(
                self._store_batch, mark_missing_studies, sorted(gone))
        return undated

    def _read_undated(self, id_, part):
        """Compare the recorded studies without a date.

        Those in which the attribute is empty, or holds no date, are listed in
        a range as well.
        """
        known = part['position'] or {'after': 0, 'counted': 0}
        while True:
            last, ids = in_transaction(
                self._recorded_batch_after, known['after'], UNDATED,
                self._dated_limit())
            if not ids:
                break
            known = {
                'after': last,
                'counted': known['counted'] + self._compare_by_id(ids)}
            in_transaction(
                self._parts.store, id_, {'position': known})
            self._check_turn()
        in_transaction(
            self._parts.store, id_, {'position': known, 'done': True})

    # What is in no range

    def _find_undated_studies(self, position):
        """Store the studies that are recorded nowhere, and have no date.

        The server lists them in no range.  Only if it holds more than were
        found is it asked for the ids of all.
        """
        counted = sum(known.get('counted', 0) for _, known in in_transaction(
                self._parts.load_positions, self._server_id))
        if counted == self._client.statistics()['CountStudies']:
            return
        known = position.get('ids') or {'since': 0, 'tail': []}
        for page in Listing(
                self._list_ids, IDS_LIMIT, known['since'],
                tokens(known['tail'])):
            for found in self._fetch(sorted(in_transaction(
                    self._without_recorded, ids_of(page.resources)))):
                self._store_page('study', found)
            position['ids'] = {'since': page.since, 'tail': page.tail}
            in_transaction(self._save_position, position)
            self._check_turn()

    def _list_ids(self, since, limit):
        return [
            {'ID': id_} for id_ in self._client.list_study_ids(since, limit)]

    def _without_recorded(self, orthanc_ids):
        "Return the ids of studies that are not recorded as present"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return set(orthanc_ids) - {s.orthanc_UID for s in Study.search([
                    ('server', '=', self._server_id),
                    ('orthanc_UID', 'in', orthanc_ids),
                    ('missing_since', '=', None),
                    ], order=[])}

    def _save_position(self, position):
        self._write_progress(reconciliation_position=json.dumps(position))

    # Recorded studies

    def _find_unlisted_studies(self):
        "Yield the recorded studies that no part has listed, in lists"
        share, shares = 0, None
        while share != shares:
            listed, shares = in_transaction(self._load_share, share, shares)
            for ids in self._recorded_batches():
                yield listed.missing(ids)
            share += 1

    def _load_share(self, share, shares=None):
        "Return a share of what all parts have listed, and how many there are"
        shares = shares or 1 + self._count_recorded() // SHARE
        listed = IdSet(share=share, shares=shares)
        # One text at a time is in the memory
        for id_, _ in self._parts.load_positions(self._server_id):
            listed.merge(self._parts.load_listed(id_))
        return listed, shares

    def _count_recorded(self):
        table = _table()
        (count,), = fetch_rows(table.select(
                Count(table.id), where=_recorded(table, self._server_id)))
        return count

    def _recorded_batches(self, dates=None):
        "Yield the Orthanc ids of present studies, in lists"
        last, ids = 0, None
        while ids is None or len(ids) == RECORDS_LIMIT:
            last, ids = in_transaction(
                self._recorded_batch_after, last, dates, RECORDS_LIMIT)
            if ids:
                yield ids

    def _recorded_batch_after(self, id_, dates, limit):
        table = _table()
        found = fetch_rows(table.select(
                table.id, table.orthanc_UID,
                where=_recorded(table, self._server_id, dates)
                & (table.id > id_), order_by=table.id, limit=limit))
        return (
            found[-1][0] if found else id_,
            [orthanc_id for _, orthanc_id in found])

    @property
    def _parts(self):
        return Pool().get('gnuhealth.orthanc.synchronization.part')


def _table():
    return Pool().get('gnuhealth.imaging_orthanc.study').__table__()


def _recorded(table, server_id, dates=None):
    "Return the condition of the studies that a server holds, as far as known"
    where = (table.server == server_id) & (table.missing_since == Null)
    if dates == UNDATED:
        return where & (table.date == Null)
    if dates:
        start, end = (
            day and dt.datetime.strptime(day, _DAY).date()
            for day in dates.split('-'))
        where &= table.date != Null
        if start:
            where &= table.date > start
        if end:
            where &= table.date <= end
    return where


def tokens(tail):
    "Return the tokens of a position that was stored"
    return tuple(map(tuple, tail))


def ids_of(resources):
    "Return the Orthanc ids of resources"
    return [r['ID'] for r in resources if isinstance(r.get('ID'), str)]
