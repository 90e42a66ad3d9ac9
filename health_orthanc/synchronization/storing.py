# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of resources from a server, and their storage

The network is only used outside of transactions.  Each batch is stored in a
separate transaction.  Storing a batch again changes nothing.
"""

import json
import logging
from collections import Counter
from functools import partial
from itertools import islice
from types import SimpleNamespace

from trytond import backend
from trytond.pool import Pool

from ..common.diagnostics import log_unexpected
from ..common.rows import read_columns
from ..common.transaction import in_transaction
from ..core.dicom.values import looks_damaged
from ..core.orthanc.changes import Cursor, LogState, change_pages, check_log
from ..core.orthanc.resources import (
    InstanceResource, MalformedResource, PatientResource, SeriesResource,
    StudyResource)
from .damaged_names import read_names, unread_studies
from .part import PartGone
from .reading import ahead
from .store import (
    mark_missing_studies, store_modalities, store_patients, store_series,
    store_studies)

__all__ = ['Storing']

logger = logging.getLogger('trytond.modules.health_orthanc.engine')

# Entries of the change log, resources of a bulk response
CHANGES_LIMIT = 2000
BULK_LIMIT = 1500
# Names that are read from images in one run
NAMES_LIMIT = 200

_RESOURCES = {
    'Patient': PatientResource,
    'Study': StudyResource,
    'Series': SeriesResource,
    'Instance': InstanceResource,
    }


class Storing:
    """What the ways to synchronize a server have in common

    Parameters
    ----------
    server_id : int
    run_id : int or None
        The record that gets the counts; None for a single study outside of a
        run.
    client : OrthancClient
    with_instances : bool
        Whether the instances are recorded too.
    turn : Turn, optional
        The time that is left; by default as long as it takes.
    company : callable, optional
        It returns a context in which another thread helps.  Who helps has
        none.
    """

    def __init__(
            self, server_id, run_id, client, with_instances, turn=None,
            company=None):
        self._server_id = server_id
        self._run_id = run_id
        self._client = client
        self._with_instances = with_instances
        self._turn = turn
        self._company = company
        self._failed = in_transaction(self._load_failures)
        # How many more names are read from images
        self._names_left = NAMES_LIMIT
        # Whether the server is listed for the first time
        self._is_initial = False
        # Whether the change log is not that of the last run
        self._is_log_replaced = False
        # The part that gets the counts, if several workers share the run
        self._shared_part = None

    def _check_turn(self):
        if self._turn:
            self._turn.check()

    # Change log

    def _changes_since(self, since):
        return self._client.changes(since=since, limit=CHANGES_LIMIT)

    def _pages_from(self, page):
        return change_pages(self._client, page, CHANGES_LIMIT)

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
        page = self._changes_since(cursor.start)
        return self._is_continued(cursor, page)

    # Missing resources

    def _mark_missing(self, orthanc_ids):
        "Mark those of the studies that the server does not hold"
        for gone in self._find_gone(orthanc_ids):
            in_transaction(self._store_batch, mark_missing_studies, gone)

    def _find_gone(self, orthanc_ids):
        "Yield those that the server does not hold, in lists"
        orthanc_ids = iter(orthanc_ids)
        while some := list(islice(orthanc_ids, BULK_LIMIT)):
            present = {r.get('ID') for r in self._client.bulk_content(some)}
            gone = [id_ for id_ in some if id_ not in present]
            if gone:
                yield gone

    # Resources

    def _fetch(self, orthanc_ids):
        "Yield the resources in lists, of which the next one is read ahead"
        batches = self._fetch_in_turn(orthanc_ids)
        if len(orthanc_ids) <= BULK_LIMIT:
            yield from batches
            return
        with ahead(batches) as found:
            yield from found

    def _fetch_in_turn(self, orthanc_ids):
        for start in range(0, len(orthanc_ids), BULK_LIMIT):
            yield self._client.bulk_content(
                orthanc_ids[start:start + BULK_LIMIT])

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

    def _fetch_and_parse(self, orthanc_ids):
        return [
            resource for found in self._fetch(sorted(orthanc_ids))
            for resource in self._parse(found)]

    def _store_studies(self, studies, patients=(), digests=None):
        """Store studies after the given patients and their own.

        Parameters
        ----------
        studies : list of StudyResource
        patients : list of PatientResource
        digests : dict of str, optional
            As of `store_studies`.
        """
        studies = self._select(StudyResource, studies)
        wanted = {s.patient_orthanc_id for s in studies}
        wanted -= {p.orthanc_id for p in patients}
        self._store(
            store_patients, [
                *patients,
                *self._select(PatientResource, self._fetch_and_parse(wanted))])
        self._store(
            partial(
                store_studies, historical=self._is_initial, digests=digests),
            studies)
        damaged = [s for s in studies if looks_damaged(s.patient.name)]
        if damaged and self._names_left:
            self._read_names(damaged)

    def _read_names(self, damaged):
        unread = in_transaction(unread_studies, self._server, damaged)
        unread = unread[:self._names_left]
        self._names_left -= len(unread)
        read_names(self._client, self._server_id, unread)

    def _store_series(self, series):
        series = self._select(SeriesResource, series)
        if self._shared_part is None:
            self._store(store_series, series)
            return
        # Other workers store other series of the same studies
        self._store(partial(store_series, with_modalities=False), series)
        # New studies are written once less if their matching does it.  Those
        # that were not stored stay failures
        self._store(
            partial(store_modalities, with_due=not self._is_initial),
            [s for s in series if s.orthanc_id not in self._failed])

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
        except (backend.DatabaseOperationalError, PartGone):
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
        pool = Pool()
        counts = +Counter(counts)
        if self._shared_part is not None:
            # All workers write to the run: they would wait for each other
            pool.get('gnuhealth.orthanc.synchronization.part').store(
                self._shared_part, {}, counts)
            return
        pool.get('gnuhealth.orthanc.synchronization').add_counts(
            self._run_id, counts)

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

    def _read(self, *names):
        "Return values of the server, as they are now"
        return read_columns(
            Pool().get('gnuhealth.orthanc.config'), self._server_id, *names)

    def _load_state(self):
        """Return where the synchronization of the server stands.

        Returns
        -------
        SimpleNamespace
            `cursor` in the change log, None before all was compared once;
            `position` of the comparison, None if none is under way; and
            whether it `is_paused`.
        """
        server = self._read(
            'last_changed_index', 'change_anchors', 'reconciliation_position',
            'reconciliation_paused_at')
        cursor = None
        if server.last_changed_index is not None and (
                server.last_changed_index >= 0):
            cursor = Cursor.loads(
                server.last_changed_index, server.change_anchors)
        position = None
        if server.reconciliation_position:
            position = json.loads(server.reconciliation_position)
        return SimpleNamespace(
            cursor=cursor, position=position,
            is_paused=bool(server.reconciliation_paused_at))

    def _save_cursor(self, cursor, processed):
        self._write_progress(
            last_changed_index=cursor.index, change_anchors=cursor.dumps())
        self._count({'processed': processed})

    def _save_end(self, last):
        self._write_progress(last_known_change=last)

    def _load_initial_index(self):
        return self._read('initial_index').initial_index

    def _save_initial_index(self, index):
        if self._load_initial_index() is None:
            self._write_progress(initial_index=index)

    def _write_progress(self, **values):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.write_progress(self._server_id, **values)


def _level(resource):
    return type(resource).__name__.removesuffix('Resource').lower()


def _orthanc_id(resource):
    return getattr(resource, 'orthanc_id', None)
