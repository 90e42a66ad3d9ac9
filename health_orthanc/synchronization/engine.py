# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the records in step with one server.

The network is only used outside of transactions.  Each batch is stored in a
transaction of its own, and the position is saved behind it: a run that is
killed is carried on by the next one, and what it stores twice stays the same.
"""

import json
import logging
from collections import Counter

from sql import Null

from trytond import backend
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.transaction import in_transaction
from ..core.orthanc.batches import read_ahead
from ..core.orthanc.changes import (
    Cursor, Listing, LogState, Tally, change_pages, check_log, current_cursor)
from ..core.orthanc.resources import (
    InstanceResource, MalformedResource, PatientResource, SeriesResource,
    StudyResource)
from ..linking.link import match_due
from ..linking.queue import queue_overdue
from .store import (
    mark_missing_patients, mark_missing_studies, store_instances,
    store_patients, store_series, store_studies, unknown_instances)

__all__ = ['Engine']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

# Entries of the change log, resources of a listing, of a bulk answer
CHANGES_LIMIT = 2000
LISTING_LIMIT = 1000
BULK_LIMIT = 2000
# Instances that the series of a page of their listing name, on average
NAMED_LIMIT = 50000
# Records whose Orthanc ids are read at once
RECORDS_LIMIT = 10000

_RESOURCES = {
    'Patient': PatientResource,
    'Study': StudyResource,
    'Series': SeriesResource,
    'Instance': InstanceResource,
    }


class Engine:
    """One run against one server

    Parameters
    ----------
    server_id : int
    run_id : int or None
        What counts are told to; None for a single study outside of a run.
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

    # Entry points

    def incremental(self):
        "Bring in what has changed since the last run; in doubt, everything"
        cursor, position = in_transaction(self._load_position)
        if cursor is None or position is not None:
            return self.full()
        page = self._client.changes(since=cursor.start, limit=CHANGES_LIMIT)
        if not self._is_continued(cursor, page):
            return self.full()
        for page in change_pages(self._client, page, CHANGES_LIMIT):
            self._store_changes([
                    c for c in page.changes if c.seq > cursor.index])
            advanced = cursor.advanced(page)
            if advanced != cursor:
                cursor = advanced
                in_transaction(self._save_cursor, cursor, len(page.changes))
        match_due(self._server)

    def full(self):
        "Compare everything that the server holds, from where it was left"
        _, position = in_transaction(self._load_position)
        if position is None or not self._is_valid(position):
            position = self._start_position()
        if position['level'] == 'study':
            position = self._list_studies(position)
        self._list_series(position)
        self._resolve_gone()
        in_transaction(self._finish_full, position)
        in_transaction(queue_overdue, self._server)
        match_due(self._server)

    def study(self, orthanc_id):
        "Bring in one study with its series, or mark it as missing"
        studies = self._of(StudyResource, self._fetch_parsed([orthanc_id]))
        if not studies:
            self._mark_missing([orthanc_id])
            return
        self._store_studies(studies)
        series = self._of(SeriesResource, self._fetch_parsed(
                [id_ for study in studies for id_ in study.series_ids]))
        self._store_series(series)
        if self._with_instances:
            self._store_unknown_instances(series)

    def _is_continued(self, cursor, page):
        state = check_log(self._client, cursor, page)
        if state != LogState.CONTINUED:
            logger.warning(
                "Orthanc server %s: the change log is %s, reconciling",
                self._server_id, state.value)
        return state == LogState.CONTINUED

    def _is_valid(self, position):
        "Return whether a listing can be carried on in the same database"
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
            # Series of many images come in smaller pages
            'series_limit': max(1, NAMED_LIMIT * series // (instances or 1)),
            }
        total = statistics['CountStudies'] + series
        in_transaction(self._save_position, position, 0, total)
        return position

    def _list_studies(self, position):
        seen = Tally(position['seen'])
        for page in self._listing(
                self._client.list_studies, position, LISTING_LIMIT):
            studies = self._parsed(page.resources)
            self._store_studies(studies)
            seen.add(s.orthanc_id for s in studies)
            position = self._behind(position, page, seen=seen.sums)
        self._find_missing_studies(seen)
        position = {
            **position, 'level': 'series', 'since': 0, 'tail': [], 'seen': []}
        in_transaction(self._save_position, position, 0)
        return position

    def _list_series(self, position):
        limit = min(LISTING_LIMIT, position['series_limit'])
        for page in self._listing(
                self._client.list_series, position, limit):
            series = self._parsed(page.resources)
            self._store_series(series)
            if self._with_instances:
                self._store_unknown_instances(series)
            position = self._behind(position, page)

    @staticmethod
    def _listing(fetch, position, limit):
        return Listing(
            fetch, limit, position['since'],
            tuple(map(tuple, position['tail'])))

    def _behind(self, position, page, **values):
        "Save and return the position behind a page"
        position = {
            **position, **values, 'since': page.since, 'tail': page.tail}
        in_transaction(self._save_position, position, len(page.resources))
        return position

    def _find_missing_studies(self, seen):
        """Mark the studies that the server does not hold any more.

        Those that were not seen in the listing are asked for one by one,
        since some may have come in meanwhile.
        """
        recorded = Tally()
        for _, orthanc_ids in self._present_studies():
            recorded.add(orthanc_ids)
        buckets = recorded.differing(seen)
        if buckets:
            suspects = [
                id_ for _, orthanc_ids in self._present_studies()
                for id_ in orthanc_ids if Tally.bucket(id_) in buckets]
            for start in range(0, len(suspects), BULK_LIMIT):
                self._mark_missing(suspects[start:start + BULK_LIMIT])
        in_transaction(mark_missing_patients, self._server)

    def _mark_missing(self, orthanc_ids):
        gone = self._gone(orthanc_ids)
        if gone:
            in_transaction(self._store_batch, mark_missing_studies, gone)

    def _gone(self, orthanc_ids):
        "Return those that the server does not hold"
        present = {
            r.get('ID') for r in self._client.bulk_content(orthanc_ids)}
        return [id_ for id_ in orthanc_ids if id_ not in present]

    def _present_studies(self):
        "Yield the last id and the Orthanc ids of batches of studies"
        batch = in_transaction(self._present_studies_after, 0)
        while batch:
            yield batch
            batch = in_transaction(self._present_studies_after, batch[0])

    def _resolve_gone(self):
        "Forget the failures of what the server does not hold any more"
        failed = sorted(filter(None, self._failed))
        for start in range(0, len(failed), BULK_LIMIT):
            gone = self._gone(failed[start:start + BULK_LIMIT])
            if gone:
                in_transaction(self._resolve, set(gone))

    def _store_unknown_instances(self, series):
        unknown = in_transaction(unknown_instances, self._server, series)
        for resources in self._fetch(unknown):
            self._store(
                store_instances,
                self._of(InstanceResource, self._parsed(resources)))

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
            self._store_resources(self._parsed(resources), fresh)

    def _store_resources(self, resources, fresh):
        """Store resources of mixed level, and their parents before them.

        Parameters
        ----------
        fresh : set of str
            The series that were fetched just now. An image that is added to
            another one is no change of the series.
        """
        instances = self._of(InstanceResource, resources)
        series = self._of(SeriesResource, resources)
        stale = {r.series_orthanc_id for r in instances} - fresh
        fresh |= stale
        series += self._fetch_parsed(stale)
        studies = self._of(StudyResource, resources)
        studies += self._fetch_parsed(self._unknown_studies(
                {r.study_orthanc_id for r in series}
                - {r.orthanc_id for r in studies}))
        self._store_studies(studies, self._of(PatientResource, resources))
        self._store_series(series)
        self._store(store_instances, instances)

    def _unknown_studies(self, orthanc_ids):
        if not orthanc_ids:
            return orthanc_ids
        return orthanc_ids - in_transaction(
            self._recorded_studies, orthanc_ids)

    def _fetch_parsed(self, orthanc_ids):
        return [
            resource for found in self._fetch(sorted(orthanc_ids))
            for resource in self._parsed(found)]

    def _store_studies(self, studies, patients=()):
        "Store studies, and before them patients, theirs included"
        studies = self._of(StudyResource, studies)
        wanted = {s.patient_orthanc_id for s in studies}
        wanted -= {p.orthanc_id for p in patients}
        self._store(
            store_patients, [
                *patients,
                *self._of(PatientResource, self._fetch_parsed(wanted))])
        self._store(store_studies, studies)

    def _store_series(self, series):
        self._store(store_series, self._of(SeriesResource, series))

    # Resources

    def _fetch(self, orthanc_ids):
        return read_ahead(
            self._client.bulk_content, orthanc_ids, BULK_LIMIT)

    def _parsed(self, resources):
        "Return the resources that can be told what they are"
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
    def _of(Resource, resources):
        return [r for r in resources if isinstance(r, Resource)]

    # Records

    def _store(self, store, resources=None):
        """Store a batch.

        If that fails, its halves are stored, down to the resources that
        cannot be stored: these are recorded as failures.
        """
        if resources is not None and not resources:
            return
        try:
            in_transaction(self._store_batch, store, resources)
        except backend.DatabaseOperationalError:
            raise
        except Exception as error:
            # Whatever is wrong with one resource never blocks the others
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
        logger.warning(
            "Orthanc server %s: %s %s not stored: %s", self._server_id,
            level, orthanc_id, type(error).__name__)
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
        self._write_progress(reconciliation_position=json.dumps(position))
        counts = {'processed': processed}
        if total:
            counts['total'] = total
        self._count(counts)

    def _finish_full(self, position):
        self._write_progress(
            last_changed_index=position['index'],
            change_anchors=position['anchors'], reconciliation_position=None)

    def _write_progress(self, **values):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.write_progress(self._server_id, **values)

    def _present_studies_after(self, id_):
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
