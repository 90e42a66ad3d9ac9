# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization of the records with one server

The network is only used outside of transactions.  Each batch is stored in a
separate transaction; then the position is saved.  If a run is killed, the next
one resumes at that position.  Storing a batch again changes nothing.
"""

import json
import logging
from collections import Counter
from functools import partial

from sql import Null

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.diagnostics import log_unexpected
from ..common.transaction import in_transaction
from ..core.dicom.values import looks_damaged
from ..core.orthanc.changes import (
    Cursor, Listing, LogState, Tally, change_pages, check_log, current_cursor)
from ..core.orthanc.resources import (
    InstanceResource, MalformedResource, PatientResource, SeriesResource,
    StudyResource)
from ..linking.link import match_due
from ..linking.queue import mark_arrived, queue_overdue
from .damaged_names import read_names, unread_studies
from .instances import find_unknown_instances, store_instances
from .reading import find_long_series, read_ahead
from .store import (
    mark_missing_patients, mark_missing_studies, store_patients, store_series,
    store_studies)

__all__ = ['Engine']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

# Entries of the change log, resources of a listing, of a bulk response
CHANGES_LIMIT = 2000
LISTING_LIMIT = 1000
BULK_LIMIT = 2000
# Instances that the series in a page of the listing have, on average
NAMED_LIMIT = 50000
# Names that are read from images in one run
NAMES_LIMIT = 200
# Studies that are fetched with all of their series at once
STUDIES_LIMIT = 50
# Records whose Orthanc ids are read at once
RECORDS_LIMIT = 10000

_RESOURCES = {
    'Patient': PatientResource,
    'Study': StudyResource,
    'Series': SeriesResource,
    'Instance': InstanceResource,
    }


class Engine:
    """The synchronization of one server

    Parameters
    ----------
    server_id : int
    run_id : int or None
        The record that gets the counts; None for a single study outside of a
        run.
    client : OrthancClient
    with_instances : bool
        Whether the instances are recorded too.
    """

    def __init__(self, server_id, run_id, client, with_instances):
        self._server_id = server_id
        self._run_id = run_id
        self._client = client
        self._with_instances = with_instances
        self._failed = in_transaction(self._load_failures)
        # Studies whose names are to be read from their images
        self._unread = {}
        # Whether the server is listed for the first time
        self._is_initial = False

    # Entry points

    def incremental(self):
        """Store the changes since the last run.

        If the change log is not the one of the last run, everything is
        compared, as in `full`.

        Raises
        ------
        OrthancError
        """
        cursor, position = in_transaction(self._load_position)
        if cursor is None or position is not None:
            return self.full()
        page = self._client.changes(since=cursor.start, limit=CHANGES_LIMIT)
        if not self._is_continued(cursor, page):
            return self.full()
        if not page.done:
            in_transaction(self._save_end, self._client.last_change().last)
        for page in change_pages(self._client, page, CHANGES_LIMIT):
            self._store_changes([
                    c for c in page.changes if c.seq > cursor.index])
            advanced = cursor.advanced(page)
            if advanced != cursor:
                cursor = advanced
                in_transaction(self._save_cursor, cursor, len(page.changes))
        if self._unread:
            self._read_names()
        match_due(self._server)

    def full(self):
        """Compare everything that the server holds, or resume doing so.

        Raises
        ------
        OrthancError
        """
        cursor, position = in_transaction(self._load_position)
        self._is_initial = cursor is None
        if position is None or not self._can_resume(position):
            position = self._start_position()
        if position['level'] == 'study':
            position = self._list_studies(position)
        self._list_series(position)
        if self._is_initial:
            self._find_initial_arrivals(position['index'])
        self._resolve_failures_of_gone()
        in_transaction(self._finish_full, position)
        in_transaction(queue_overdue, self._server)
        if self._unread:
            self._read_names()
        match_due(self._server)

    def studies(self, orthanc_ids):
        """Store studies with their series, or mark them as missing.

        Parameters
        ----------
        orthanc_ids : collection of str

        Raises
        ------
        OrthancError
        """
        for ids in grouped_slice(sorted(orthanc_ids), STUDIES_LIMIT):
            self._store_whole_studies(list(ids))

    def _store_whole_studies(self, orthanc_ids):
        studies = self._select(
            StudyResource, self._fetch_and_parse(orthanc_ids))
        missing = set(orthanc_ids) - {s.orthanc_id for s in studies}
        if missing:
            self._mark_missing(sorted(missing))
        if not studies:
            return
        self._store_studies(studies)
        series = self._select(SeriesResource, self._fetch_and_parse(
                [id_ for study in studies for id_ in study.series_ids]))
        self._store_series(series)
        if self._with_instances:
            self._store_unknown_instances(series)
        read_names(self._client, self._server_id, in_transaction(
                unread_studies, self._server, studies, False))

    def retry(self, orthanc_ids):
        """Fetch and store resources that could not be stored before.

        The failures of those that are stored now, or that the server no
        longer holds, are resolved.

        Parameters
        ----------
        orthanc_ids : list of str

        Raises
        ------
        OrthancError
        """
        for resources in self._fetch(orthanc_ids):
            self._store_resources(self._parse(resources), set())
        gone = self._find_gone(orthanc_ids)
        if gone:
            in_transaction(self._resolve, set(gone))
        match_due(self._server)

    def _is_continued(self, cursor, page):
        state = check_log(self._client, cursor, page)
        if state != LogState.CONTINUED:
            logger.warning(
                "Orthanc server %s: the change log is %s, reconciling",
                self._server_id, state.value)
        return state == LogState.CONTINUED

    def _can_resume(self, position):
        "Return whether Orthanc's database is still that of the listing"
        cursor = Cursor.loads(position['index'], position['anchors'])
        page = self._client.changes(since=cursor.start, limit=CHANGES_LIMIT)
        return self._is_continued(cursor, page)

    # Reconciliation

    def _start_position(self):
        cursor = current_cursor(self._client)
        statistics = self._client.statistics()
        instances, series = (
            statistics['CountInstances'], statistics['CountSeries'])
        position = {
            'level': 'study',
            'since': 0,
            'tail': [],
            'seen': [],
            'index': cursor.index,
            'anchors': cursor.dumps(),
            # The more instances the series have, the smaller the pages
            'series_limit': max(1, NAMED_LIMIT * series // (instances or 1)),
            }
        if self._is_initial:
            in_transaction(self._save_initial_index, cursor.index)
        total = statistics['CountStudies'] + series
        in_transaction(self._save_position, position, 0, total)
        return position

    def _list_studies(self, position):
        seen = Tally(position['seen'])
        for page in self._listing(
                self._client.list_studies, position, LISTING_LIMIT):
            studies = self._parse(page.resources)
            self._store_studies(studies)
            seen.add(s.orthanc_id for s in studies)
            position = self._advance(position, page, seen=seen.sums)
        self._find_missing_studies(seen)
        position = {
            **position, 'level': 'series', 'since': 0, 'tail': [], 'seen': []}
        in_transaction(self._save_position, position, 0)
        return position

    def _list_series(self, position):
        limit = min(LISTING_LIMIT, position['series_limit'])
        for page in self._listing(
                self._client.list_series, position, limit):
            series = self._parse(page.resources)
            self._store_series(series)
            if self._with_instances:
                self._store_unknown_instances(series)
            position = self._advance(position, page)

    def _listing(self, fetch, position, limit):
        return Listing(
            fetch, limit, position['since'],
            tuple(map(tuple, position['tail'])), self._client.can_find())

    def _advance(self, position, page, **values):
        "Save and return the position after a page"
        position = {
            **position, **values, 'since': page.since, 'tail': page.tail}
        in_transaction(self._save_position, position, len(page.resources))
        return position

    def _find_missing_studies(self, seen):
        """Mark the studies that the server no longer holds.

        Those that were not in the listing are requested once more, because
        some may have arrived in the meantime.
        """
        recorded = Tally()
        for _, orthanc_ids in self._recorded_batches():
            recorded.add(orthanc_ids)
        buckets = recorded.differing(seen)
        if buckets:
            suspects = [
                id_ for _, orthanc_ids in self._recorded_batches()
                for id_ in orthanc_ids if Tally.bucket(id_) in buckets]
            for start in range(0, len(suspects), BULK_LIMIT):
                self._mark_missing(suspects[start:start + BULK_LIMIT])
        in_transaction(mark_missing_patients, self._server)

    def _mark_missing(self, orthanc_ids):
        gone = self._find_gone(orthanc_ids)
        if gone:
            in_transaction(self._store_batch, mark_missing_studies, gone)

    def _find_gone(self, orthanc_ids):
        "Return those that the server does not hold"
        present = {
            r.get('ID') for r in self._client.bulk_content(orthanc_ids)}
        return [id_ for id_ in orthanc_ids if id_ not in present]

    def _recorded_batches(self):
        "Yield the last id and the Orthanc ids of batches of present studies"
        batch = in_transaction(self._recorded_batch_after, 0)
        while batch:
            yield batch
            batch = in_transaction(self._recorded_batch_after, batch[0])

    def _resolve_failures_of_gone(self):
        "Resolve the failures of resources that the server no longer holds"
        failed = sorted(filter(None, self._failed))
        for start in range(0, len(failed), BULK_LIMIT):
            gone = self._find_gone(failed[start:start + BULK_LIMIT])
            if gone:
                in_transaction(self._resolve, set(gone))

    def _find_initial_arrivals(self, index):
        """Mark what has arrived since the server was added.

        Parameters
        ----------
        index : int
            The position at the beginning of the first listing; what comes
            after it is found by the next run.
        """
        start = in_transaction(self._load_initial_index)
        if start is None or start >= index:
            return
        page = self._client.changes(since=start, limit=CHANGES_LIMIT)
        for page in change_pages(self._client, page, CHANGES_LIMIT):
            self._mark_arrived(page.changes)
            if page.last >= index:
                break

    def _mark_arrived(self, changes):
        studies, series = (
            {c.orthanc_id for c in changes if c.change_type in types}
            for types in [{'NewStudy', 'StableStudy'}, {'NewSeries'}])
        if studies or series:
            in_transaction(mark_arrived, self._server_id, studies, series)

    def _store_unknown_instances(self, series):
        unknown = in_transaction(find_unknown_instances, self._server, series)
        for resources in self._fetch_instances(unknown):
            self._store(
                store_instances,
                self._select(InstanceResource, self._parse(resources)))

    def _fetch_instances(self, by_series):
        yield from find_long_series(self._client, by_series)
        yield from self._fetch(
            [one for ids in by_series.values() for one in ids])

    # Changes

    def _store_changes(self, changes):
        levels = ['patient', 'study', 'series']
        if self._with_instances:
            levels.append('instance')
        ids = {
            level: dict.fromkeys(
                c.orthanc_id for c in changes if c.level == level)
            for level in levels}
        fresh = set(ids['series'])
        for resources in self._fetch(
                [id_ for found in ids.values() for id_ in found]):
            self._store_resources(self._parse(resources), fresh)
        self._mark_arrived(changes)

    def _store_resources(self, resources, fresh):
        """Store resources of several levels, parents first.

        Parameters
        ----------
        resources : list
        fresh : set of str
            The series that were just fetched.  Others with new instances are
            fetched too: Orthanc logs no change of the series then.
        """
        instances = self._select(InstanceResource, resources)
        series = self._select(SeriesResource, resources)
        stale = {r.series_orthanc_id for r in instances} - fresh
        fresh |= stale
        series += self._fetch_and_parse(stale)
        studies = self._select(StudyResource, resources)
        studies += self._fetch_and_parse(self._unknown_studies(
                {r.study_orthanc_id for r in series}
                - {r.orthanc_id for r in studies}))
        self._store_studies(studies, self._select(PatientResource, resources))
        self._store_series(series)
        self._store(store_instances, instances)

    def _unknown_studies(self, orthanc_ids):
        if not orthanc_ids:
            return orthanc_ids
        return orthanc_ids - in_transaction(
            self._recorded_studies, orthanc_ids)

    def _fetch_and_parse(self, orthanc_ids):
        return [
            resource for found in self._fetch(sorted(orthanc_ids))
            for resource in self._parse(found)]

    def _store_studies(self, studies, patients=()):
        "Store studies after the given patients and their own"
        studies = self._select(StudyResource, studies)
        wanted = {s.patient_orthanc_id for s in studies}
        wanted -= {p.orthanc_id for p in patients}
        self._store(
            store_patients, [
                *patients,
                *self._select(PatientResource, self._fetch_and_parse(wanted))])
        self._store(
            partial(store_studies, historical=self._is_initial), studies)
        damaged = [s for s in studies if looks_damaged(s.patient.name)]
        if damaged and len(self._unread) < NAMES_LIMIT:
            self._unread.update(
                (s.orthanc_id, s) for s in in_transaction(
                    unread_studies, self._server, damaged))

    def _read_names(self):
        read_names(
            self._client, self._server_id,
            list(self._unread.values())[:NAMES_LIMIT])

    def _store_series(self, series):
        self._store(store_series, self._select(SeriesResource, series))

    # Resources

    def _fetch(self, orthanc_ids):
        return read_ahead(
            self._client.bulk_content, orthanc_ids, BULK_LIMIT)

    def _parse(self, resources):
        "Return the resources that can be parsed; record the others as failed"
        parsed = []
        for json_ in resources:
            Resource = _RESOURCES.get(json_.get('Type'))
            if Resource is None:
                continue
            try:
                parsed.append(Resource.from_json(json_))
            except MalformedResource as error:
                self._record_failure(
                    json_['Type'].lower(), json_.get('ID'), error)
        return parsed

    @staticmethod
    def _select(Resource, resources):
        return [r for r in resources if isinstance(r, Resource)]

    # Records

    def _store(self, store, resources=None):
        """Store a batch.

        If that fails, its halves are stored separately, and so on.  A single
        resource that cannot be stored is recorded as a failure.
        """
        if resources is not None and not resources:
            return
        try:
            in_transaction(self._store_batch, store, resources)
        except backend.DatabaseOperationalError:
            raise
        except Exception as error:
            # An error in one resource must not block the others
            if not resources:
                raise
            if len(resources) > 1:
                middle = len(resources) // 2
                self._store(store, resources[:middle])
                self._store(store, resources[middle:])
            else:
                self._record_failure(
                    _level(resources[0]), _orthanc_id(resources[0]), error)

    def _store_batch(self, store, resources):
        args = () if resources is None else (resources,)
        self._count(store(self._server, *args))
        if resources and self._failed:
            self._resolve({_orthanc_id(r) for r in resources})

    def _count(self, counts):
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        Synchronization.add_counts(self._run_id, +Counter(counts))

    def _record_failure(self, level, orthanc_id, error):
        # It is tried again in each full run, and logged once
        if orthanc_id not in self._failed:
            log_unexpected(
                logger, error, "Orthanc server %s: %s %s not stored",
                self._server_id, level, orthanc_id)
        Failure = Pool().get('gnuhealth.orthanc.synchronization.failure')
        in_transaction(
            Failure.record, self._server_id, self._run_id, level, orthanc_id,
            error)
        self._failed.add(orthanc_id)

    def _resolve(self, orthanc_ids):
        Failure = Pool().get('gnuhealth.orthanc.synchronization.failure')
        resolved = orthanc_ids & self._failed
        if resolved:
            Failure.resolve(self._server_id, resolved)
            self._failed -= resolved

    def _load_failures(self):
        Failure = Pool().get('gnuhealth.orthanc.synchronization.failure')
        return {
            f.orthanc_UID for f in Failure.search([
                    ('server', '=', self._server_id),
                    ('resolved', '=', None),
                    ])}

    @property
    def _server(self):
        return Pool().get('gnuhealth.orthanc.config')(self._server_id)

    def _load_position(self):
        server = self._server
        cursor = None
        if server.last_changed_index is not None and (
                server.last_changed_index >= 0):
            cursor = Cursor.loads(
                server.last_changed_index, server.change_anchors)
        position = None
        if server.reconciliation_position:
            position = json.loads(server.reconciliation_position)
        return cursor, position

    def _save_cursor(self, cursor, processed):
        self._write_progress(
            last_changed_index=cursor.index, change_anchors=cursor.dumps())
        self._count({'processed': processed})

    def _save_position(self, position, processed, total=None):
        self._write_progress(
            reconciliation_position=json.dumps(position),
            last_known_change=position['index'])
        counts = {'processed': processed}
        if total:
            counts['total'] = total
        self._count(counts)

    def _save_end(self, last):
        self._write_progress(last_known_change=last)

    def _finish_full(self, position):
        self._write_progress(
            last_changed_index=position['index'],
            change_anchors=position['anchors'], reconciliation_position=None)

    def _load_initial_index(self):
        return self._server.initial_index

    def _save_initial_index(self, index):
        if self._load_initial_index() is None:
            self._write_progress(initial_index=index)

    def _write_progress(self, **values):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.write_progress(self._server_id, **values)

    def _recorded_batch_after(self, id_):
        table = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(
                table.id, table.orthanc_UID,
                where=(table.server == self._server_id)
                & (table.missing_since == Null) & (table.id > id_),
                order_by=table.id, limit=RECORDS_LIMIT))
        found = cursor.fetchall()
        if found:
            return found[-1][0], [orthanc_id for _, orthanc_id in found]

    def _recorded_studies(self, orthanc_ids):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return {s.orthanc_UID for s in Study.search([
                    ('server', '=', self._server_id),
                    ('orthanc_UID', 'in', list(orthanc_ids)),
                    ], order=[])}


def _level(resource):
    return type(resource).__name__.removesuffix('Resource').lower()


def _orthanc_id(resource):
    return getattr(resource, 'orthanc_id', None)
