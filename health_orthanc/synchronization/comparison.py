# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of the records with everything that a server holds

The listings are divided into parts.  Each is read by one worker, which saves
its position after each page.  Whoever has the lock of the synchronization goes
on to the next step when all parts are done: nothing is concluded from a part.

Studies are recognized by their digests, see `changed`.  All series are only
listed if one of them may have changed although its study has not.
"""

import datetime as dt
import json
import logging
import time
from contextlib import contextmanager

from trytond.pool import Pool

from ..common.locks import named_lock
from ..common.transaction import in_transaction, now
from ..common.turns import can_share
from ..core.orthanc.changes import Listing, current_cursor, token_of
from ..core.orthanc.id_set import IdSet
from ..core.orthanc.resources import InstanceResource, SeriesResource
from ..linking.link import match_due, match_others, match_range
from ..linking.queue import due_ranges, mark_arrived, queue_overdue
from .changed import Changed
from .companion import may_be_accompanied
from .instances import find_new_series, find_unknown_instances, store_instances
from .part import PartGone
from .partition import date_ranges, ids_of, tokens
from .reading import ahead, find_long_series
from .store import mark_missing_patients

__all__ = ['WORKERS_LIMIT', 'Comparison', 'helper_lock']

logger = logging.getLogger('trytond.modules.health_orthanc.comparison')

# Resources of a listing
LISTING_LIMIT = 1000
# Instances that the series in a page of the listing have, on average
NAMED_LIMIT = 50000
# Pages of a part, and studies that are matched in one
PART_PAGES = 5
MATCH_LIMIT = 5000
# Days after which a full synchronization compares everything
COMPLETE_DAYS = 7
# The most workers of a server
WORKERS_LIMIT = 16
# Seconds between two looks at what other workers have done
PAUSE = 0.3

# The position of a part: how many resources are before it, the last of those
# that were read, the one before the first, and whether nothing is missing
# between it and the part before
_NOTHING_READ = {'since': 0, 'tail': [], 'head': None, 'joined': False}


def helper_lock(server_id, number):
    """Return a context that tries to reserve the place of a helper.

    Parameters
    ----------
    server_id : int
    number : int
        From 0.

    Returns
    -------
    context manager
        Of a bool.
    """
    return named_lock(f'helper{number}', server_id)


class Comparison(Changed):
    "Lists a server and compares, in parts that workers share"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Whether others process parts at the same time
        self._is_shared = can_share()

    def _compare(self, state):
        position = state.position
        self._is_initial = state.cursor is None
        if not self._may_resume(position):
            position = self._start_position(state.cursor)
        if position['level'] == 'study':
            self._share()
            self._find_missing_studies(position)
            if self._must_list_series(position):
                position = self._begin_series(position)
        if position['level'] == 'series':
            self._share()
            self._close_gaps(position)
        # Helpers may have met others
        self._failed, start = in_transaction(self._load_end)
        if self._is_initial and start is not None:
            self._find_initial_arrivals(start, position['index'])
        self._resolve_failures_of_gone()
        in_transaction(self._finish_full, position)

    def _load_end(self):
        return self._load_failures(), self._load_initial_index()

    # Positions

    def _may_resume(self, position):
        # Those of earlier versions have no parts
        return (
            position is not None and 'compared_at' in position
            and in_transaction(
                self._parts.has_level, self._server_id, position['level'])
            and self._can_resume(position))

    def _start_position(self, cursor):
        is_complete = self._must_compare_all(cursor)
        lists_series = is_complete or self._with_instances
        # No helper can store any more what it has read before
        compared_at = in_transaction(self._begin_anew, is_complete)
        start = current_cursor(self._client)
        statistics = self._client.statistics()
        instances, series = (
            statistics['CountInstances'], statistics['CountSeries'])
        position = {
            'level': 'study',
            'index': start.index,
            'anchors': start.dumps(),
            'studies_count': statistics['CountStudies'],
            'series_count': series,
            # The more instances the series have, the smaller the pages
            'series_limit': max(1, NAMED_LIMIT * series // (instances or 1)),
            # When everything was compared, if this run does not do it
            'compared_at': compared_at and compared_at.isoformat(),
            'started_at': now().isoformat(),
            'lists_series': lists_series,
            }
        studies = statistics['CountStudies']
        return self._begin_level(
            position, studies, studies + series if lists_series else studies)

    def _must_compare_all(self, cursor):
        "Return whether no digest of a former comparison counts"
        if cursor is None or self._is_log_replaced:
            return True
        compared_at = in_transaction(self._read, 'compared_at').compared_at
        return (
            compared_at is None
            or now() - compared_at >= dt.timedelta(days=COMPLETE_DAYS)
            or not self._is_continued(
                cursor, self._changes_since(cursor.start)))

    def _begin_anew(self, is_complete):
        "Return when everything was compared, None if it is to be done now"
        self._move_counts(only_done=False)
        self._parts.replace(self._server_id)
        if is_complete:
            self._compare_all()
            return None
        return self._read('compared_at').compared_at

    def _begin_series(self, position):
        "Save and return the position at the beginning of all series"
        count = position['series_count']
        return self._begin_level(
            {**position, 'level': 'series'}, count,
            # Those that were not expected to be listed
            None if position['lists_series'] else count)

    def _begin_level(self, position, count, total=None):
        "Save and return a position, and the parts of its level"
        size = PART_PAGES * self._page_limit(position)
        dates = []
        if position['level'] == 'study' and not self._is_initial:
            # Others write to the server while all studies are read: by itself
            dates = in_transaction(date_ranges, self._server_id, size)
            position = {**position, 'by_date': bool(dates)}
        starts = range(0, max(count, 1), size)
        ranges = [(None, None, some) for some in dates] or list(
            zip(starts, [*starts[1:], None]))
        position = {**position, 'parts_count': len(ranges)}
        in_transaction(self._save_level, position, ranges, total)
        return position

    def _save_level(self, position, ranges, total):
        if position['level'] == 'study' and self._is_initial:
            self._save_initial_index(position['index'])
        self._move_counts()
        self._write_progress(
            reconciliation_position=json.dumps(position),
            last_known_change=position['index'])
        self._parts.replace(self._server_id, position['level'], ranges)
        if total:
            self._count({'total': total})

    def _finish_full(self, position):
        self._move_counts()
        # A run that has continued another one has no total of its own: now it
        # has compared everything
        Pool().get('gnuhealth.orthanc.synchronization').add_counts(
            self._run_id, {'total': 0})
        self._parts.replace(self._server_id)
        if position['level'] == 'series':
            self._write_progress(compared_at=dt.datetime.fromisoformat(
                    position['compared_at'] or position['started_at']))
        self._write_progress(
            last_changed_index=position['index'],
            change_anchors=position['anchors'], reconciliation_position=None,
            reconciliation_until=None)
        queue_overdue(self._server)

    @staticmethod
    def _page_limit(position):
        if position['level'] == 'study':
            return LISTING_LIMIT
        return min(LISTING_LIMIT, position['series_limit'])

    @staticmethod
    def _dated_limit():
        return LISTING_LIMIT

    # Parts

    def _share(self):
        "Process all parts, together with helpers"
        with self._accompanied():
            while found := in_transaction(self._find_next):
                if not self._process_first(found):
                    # Others have all that is left
                    in_transaction(self._parts.free_silent, self._server_id)
                    time.sleep(PAUSE)
                self._check_turn()

    @contextmanager
    def _accompanied(self):
        "Let another thread help if no worker can"
        if not self._may_be_accompanied() or not in_transaction(
                self._wants_company):
            yield
            return
        self._is_shared = True
        try:
            with self._company():
                yield
        finally:
            self._is_shared = False

    def _may_be_accompanied(self):
        return self._company is not None and may_be_accompanied()

    def _wants_company(self):
        "Return whether two may send requests, and have something to do"
        return self._count_places() > 0 and len(self._find_open()) > 1

    def _find_next(self):
        "Add the counts of the parts that are done; return those that are not"
        if self._is_shared:
            self._move_counts()
        return self._find_open()

    def _find_open(self):
        "Return the ids of the first parts that are not done"
        return self._parts.find_open(self._server_id, WORKERS_LIMIT + 1)

    def _call_helper(self):
        "Queue a helper if there is a place for it"
        Server = Pool().get('gnuhealth.orthanc.config')
        for number in range(in_transaction(self._count_places)):
            with helper_lock(self._server_id, number) as free:
                if free:
                    in_transaction(Server.queue_helper, self._server_id)
                    return

    def _count_places(self):
        return self._read('sync_workers').sync_workers - 1

    def help(self):
        "Process parts as long as there are any that nobody has"
        self._is_initial = in_transaction(self._load_state).cursor is None
        self._is_shared = True
        while self._process_first(in_transaction(self._find_open)) and (
                in_transaction(self._is_helped)):
            self._check_turn()

    def _is_helped(self):
        "Return whether the run goes on"
        run = self._server.last_run
        return self._server.active and run.state == 'running'

    def _move_counts(self, only_done=True):
        self._parts.move_counts(self._server_id, self._run_id, only_done)

    def _process_first(self, ids):
        "Process the first part that is free; return whether there was one"
        for id_ in ids:
            with self._parts.reserve(id_, self._is_shared) as free:
                # Somebody else may have done it meanwhile
                part = free and in_transaction(self._begin_part, id_)
                if part:
                    # Only who has found one: others would call each other
                    if len(ids) > 1 and can_share():
                        self._call_helper()
                    self._process_part(id_, part)
                    return True
        return False

    def _begin_part(self, id_):
        """Begin a part that is not done, and return it; none that has paused.

        If it is read in the order of the listing, it has the position of the
        `comparison`, and its own one also at the beginning.
        """
        state = self._load_state()
        if state.is_paused:
            return None
        part = self._parts.load(id_)
        if part:
            # Nobody takes it for the part of a worker that was lost
            self._parts.store(id_, {})
            if part['level'] != 'match' and not part['dates']:
                part['comparison'] = state.position
                part['position'] = (
                    part['position'] or self._position_before(part))
        return part

    def _process_part(self, id_, part):
        self._shared_part = id_ if self._is_shared else None
        try:
            if part['level'] == 'match':
                # Not interrupted: those that are not plain would come again
                match_range(self._server, (part['start'], part['end']))
                in_transaction(self._parts.store, id_, {'done': True})
            elif part['dates']:
                self._read_dated(id_, part)
            else:
                self._read_part(id_, part)
        except PartGone:
            logger.info(
                "Orthanc server %s: a part was given to others",
                self._server_id)
        finally:
            self._shared_part = None

    def _read_part(self, id_, part):
        known, listed = part['position'], IdSet(part['listed'])
        is_done = False
        listing = Listing(
            *self._listed({**part['comparison'], 'level': part['level']}),
            known['since'], tokens(known['tail']), self._client.can_find(),
            part['end'])
        for number, page in enumerate(listing):
            if number:
                self._check_turn()
            self._store_page(part['level'], page.resources)
            if part['level'] == 'study':
                listed.add(ids_of(page.resources))
            known = {
                'since': page.since, 'tail': page.tail,
                'head': known['head'] or listing.head,
                'joined': known['joined'],
                }
            is_done = page.is_last
            in_transaction(
                self._save_listed, id_, listed, known, len(page.resources),
                is_done)
        if not is_done:
            # Nothing was listed, or the last page was empty
            in_transaction(self._parts.store, id_, {'done': True})

    def _listed(self, position):
        "Return how a level is listed, and in pages of which size"
        return (
            self._client.list_studies if position['level'] == 'study'
            else self._client.list_series), self._page_limit(position)

    def _position_before(self, part):
        "Return where a part begins: after the one before it, if that is done"
        found = part['number'] and self._parts.load_positions(
            self._server_id, part['number'] - 1)
        for _, known in found or ():
            if known.get('tail'):
                return {**_NOTHING_READ, **{
                        name: known[name] for name in ['since', 'tail']},
                    'joined': True}
        return {
            **_NOTHING_READ, 'since': part['start'],
            'joined': not part['number']}

    def _store_page(self, level, resources):
        if level == 'study':
            self._store_changed_studies(resources)
        else:
            self._store_listed_series(self._parse(resources))

    def _store_listed_series(self, series):
        series = self._select(SeriesResource, series)
        if not self._with_instances:
            self._store_series(series)
            return
        new = {s.orthanc_id for s in in_transaction(
                find_new_series, self._server, series)}
        # While they are stored, their instances are fetched
        with self._fetch_instances({
                    s.orthanc_id: s.instance_ids for s in series
                    if s.orthanc_id in new}) as fetched:
            self._store_series(series)
            self._store_instances(fetched)
        if known := [s for s in series if s.orthanc_id not in new]:
            with self._fetch_instances(in_transaction(
                        find_unknown_instances, self._server, known)
                    ) as fetched:
                self._store_instances(fetched)

    def _fetch_instances(self, by_series):
        return ahead(self._iter_instances(by_series))

    def _iter_instances(self, by_series):
        yield from find_long_series(self._client, by_series)
        yield from self._fetch_in_turn(
            [one for ids in by_series.values() for one in ids])

    def _store_instances(self, fetched):
        for resources in fetched:
            self._store(
                store_instances,
                self._select(InstanceResource, self._parse(resources)))

    # Gaps

    def _close_gaps(self, position):
        """Read what lies between parts that were read at the same time.

        When a resource is deleted, those behind it move up, and one may move
        from a part that is not read yet to one that was.
        """
        if position.get('parts_count') == 1:
            return
        # Parts of which nothing was listed have no position
        parts = [
            (id_, known or dict(_NOTHING_READ)) for id_, known in
            in_transaction(self._parts.load_positions, self._server_id)]
        before = _NOTHING_READ
        for number, (id_, known) in enumerate(parts):
            if number and not known['joined']:
                if known['head'] is None or (
                        tuple(known['head']) not in tokens(before['tail'])):
                    self._close_gap(position, before, parts[number:])
                known['joined'] = True
                in_transaction(self._parts.store, id_, {'position': known})
                self._check_turn()
            if known['tail']:
                before = known

    def _close_gap(self, position, before, parts):
        "Read from the end of a part to the beginning of what follows"
        heads = {tuple(known['head']) for _, known in parts if known['head']}
        ends = heads | {
            tuple(token) for _, known in parts for token in known['tail'][-1:]}
        id_, _ = parts[0]
        listed = IdSet(in_transaction(self._parts.load_listed, id_))
        for page in Listing(
                *self._listed(position), before['since'],
                tokens(before['tail']), self._client.can_find()):
            self._store_page(position['level'], page.resources)
            listed.add(ids_of(page.resources))
            if ends.intersection(map(token_of, page.resources)):
                break
        in_transaction(self._parts.store, id_, {'listed': listed.dumps()})

    # Missing studies

    def _find_missing_studies(self, position):
        """Mark the studies that the server no longer holds.

        Those that were not in the listing are requested once more, because
        some may have arrived in the meantime.
        """
        if position.get('by_date'):
            self._find_undated_studies(position)
        else:
            self._close_gaps(position)
            self._mark_missing(
                id_ for ids in self._find_unlisted_studies() for id_ in ids)
        in_transaction(mark_missing_patients, self._server)

    def _resolve_failures_of_gone(self):
        "Resolve the failures of resources that the server no longer holds"
        for gone in self._find_gone(sorted(filter(None, self._failed))):
            in_transaction(self._resolve, set(gone))

    def _find_initial_arrivals(self, start, index):
        """Mark what has arrived since the server was added.

        Parameters
        ----------
        start : int
            The position at which it was added.
        index : int
            The position at the beginning of the first listing; what comes
            after it is found by the next run.
        """
        if start >= index:
            return
        for page in self._pages_from(self._changes_since(start)):
            self._mark_arrived(page.changes)
            if page.last >= index:
                break

    def _mark_arrived(self, changes):
        studies, series = (
            {c.orthanc_id for c in changes if c.change_type in types}
            for types in [{'NewStudy', 'StableStudy'}, {'NewSeries'}])
        if studies or series:
            in_transaction(mark_arrived, self._server_id, studies, series)

    # Matching

    def _match(self):
        """Match the studies in the queue.

        Those with a plain outcome do not depend on others: workers share
        them.  The others are matched one after the other, in an order that
        does not depend on who has stored them first.
        """
        may_share = can_share() or self._may_be_accompanied()
        if not may_share or not in_transaction(self._begin_matching):
            match_due(self._server, check=self._check_turn)
            return
        self._share()
        match_others(self._server, check=self._check_turn)
        in_transaction(self._parts.replace, self._server_id)

    def _begin_matching(self):
        "Return whether there are parts to be matched"
        if self._parts.has_level(self._server_id, 'match'):
            return True
        if self._load_state().is_paused:
            # The parts are those of the comparison
            return False
        ranges = due_ranges(self._server, MATCH_LIMIT)
        if len(ranges) > 1:
            self._parts.replace(self._server_id, 'match', ranges)
        return len(ranges) > 1
