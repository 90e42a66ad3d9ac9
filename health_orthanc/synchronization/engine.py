# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization of the records with one server

The position is saved after each batch.  If a run is killed, or gives way to
other tasks, it is continued there.
"""

import json

from trytond.pool import Pool
from trytond.tools import grouped_slice

from ..common.transaction import in_transaction
from ..core.orthanc.resources import (
    InstanceResource, PatientResource, SeriesResource, StudyResource)
from ..linking.link import match_due
from .comparison import Comparison
from .damaged_names import read_names, unread_studies
from .instances import store_instances
from .time_limit import TimeOver

__all__ = ['Engine']

# Studies that are fetched with all of their series at once
STUDIES_LIMIT = 50


class Engine(Comparison):
    "The synchronization of one server"

    # Entry points

    def incremental(self):
        """Store the changes since the last run.

        If the change log is not the one of the last run, everything is
        compared, as in `full`.

        Raises
        ------
        OrthancError
        TurnOver
            It is to be continued, by `finish` or again.
        """
        state = in_transaction(self._load_state)
        cursor = state.cursor
        if (cursor is None or state.position is not None) and (
                self._compare_in_time(state)):
            self._match()
            return
        page = self._changes_since(cursor.start)
        if not self._is_continued(cursor, page):
            self._is_log_replaced = True
            # Nothing is known of what has changed: it cannot wait
            in_transaction(self._resume)
            self.full()
            return
        if not page.done:
            in_transaction(self._save_end, self._client.last_change().last)
        for page in self._pages_from(page):
            self._store_changes([
                    c for c in page.changes if c.seq > cursor.index])
            advanced = cursor.advanced(page)
            if advanced != cursor:
                cursor = advanced
                in_transaction(self._save_cursor, cursor, len(page.changes))
            self._check_turn()
        self._match()

    def _save_cursor(self, cursor, processed):
        super()._save_cursor(cursor, processed)
        position = self._load_state().position
        if position:
            # What has paused has not to begin with these changes again
            self._write_progress(reconciliation_position=json.dumps({
                        **position, 'index': cursor.index,
                        'anchors': cursor.dumps()}))

    def full(self):
        """Compare everything that the server holds, or resume doing so.

        Raises
        ------
        OrthancError, TurnOver
        """
        self._compare_in_time(in_transaction(self._load_state))
        self._match()

    def _compare_in_time(self, state):
        "Compare; return whether all was compared, and nothing paused"
        if state.is_paused:
            return False
        try:
            self._compare(state)
        except TimeOver:
            in_transaction(self._pause)
            return False
        return True

    def _pause(self):
        self._server.pause_reconciliation(self._server_id, self._run_id)

    def _resume(self):
        self._server.resume_reconciliation(self._server_id)

    def finish(self):
        """Continue a full run, which may have compared everything.

        Raises
        ------
        OrthancError, TurnOver
        """
        state = in_transaction(self._load_state)
        if state.position is not None:
            self._compare_in_time(state)
        self._match()

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
        self._store_listed_series(series)
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
        for gone in self._find_gone(orthanc_ids):
            in_transaction(self._resolve, set(gone))
        match_due(self._server)

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

    def _recorded_studies(self, orthanc_ids):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return {s.orthanc_UID for s in Study.search([
                    ('server', '=', self._server_id),
                    ('orthanc_UID', 'in', list(orthanc_ids)),
                    ], order=[])}
