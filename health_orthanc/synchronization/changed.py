# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of what has changed since everything was compared

A study that is listed as it was then is skipped.  Of the others, the series
are fetched at once.  When an instance is stored, Orthanc changes the times of
its series and of its study; when one is deleted, 1.10 only changes the number
of all instances.  So all series are listed if the server has more or fewer of
them, or of instances, than are recorded.
"""

from ..common.transaction import in_transaction
from ..core.orthanc.changes import Cursor
from ..core.orthanc.listing_digests import listed_digests
from ..core.orthanc.resources import SeriesResource, StudyResource
from .partition import Partition
from .study_digests import (
    confirm_digests, count_present, find_known, program_version, unconfirmed)

__all__ = ['Changed']

# Studies whose series are fetched by one worker in its turn.  If there are
# more, to list all series takes less time
CHANGED_LIMIT = 5000
# Instances that arrive during a run, and are looked for in their studies
ARRIVALS_LIMIT = 10000
# How often the numbers of the server are read until nothing has arrived
COUNTING_ATTEMPTS = 5


class Changed(Partition):
    "Compares the studies that are not listed as they were compared"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._changed_count = 0

    def _compare_all(self):
        "Let no digest count until all series have been listed"
        self._write_progress(compared_at=None)

    def _is_comparing_all(self):
        return self._read('compared_at').compared_at is None

    # Studies

    def _store_changed_studies(self, resources):
        digests = listed_digests(
            resources, program_version() + self._client.listing_form())
        changed, all_series = in_transaction(
            self._find_changed, resources, digests)
        if not changed:
            return
        if not all_series:
            digests = unconfirmed(digests)
        studies = self._select(StudyResource, self._parse(changed))
        self._store_studies(studies, digests=digests)
        if not all_series:
            self._store_listed_series(self._select(
                    SeriesResource, self._fetch_and_parse(
                        [id_ for s in studies for id_ in s.series_ids])))
            in_transaction(confirm_digests, self._server_id, {
                    s.orthanc_id: digests[s.orthanc_id] for s in studies})
            self._changed_count += len(studies)
            if self._changed_count > CHANGED_LIMIT:
                in_transaction(self._compare_all)

    def _find_changed(self, resources, digests):
        """Return the studies to be compared, and whether all series will be.

        Parameters
        ----------
        resources : list of dict
        digests : dict of str
            By Orthanc id.
        """
        if self._is_comparing_all():
            return resources, True
        known = find_known(self._server_id, digests)
        return [
            r for r in resources
            if not self._is_known(r, digests, known)], False

    def _is_known(self, resource, digests, known):
        id_ = resource.get('ID')
        series, patient = resource.get('Series'), resource.get('ParentPatient')
        # Those without are no studies as they should be
        return (
            isinstance(id_, str) and isinstance(series, list)
            and known.get(id_) == (digests[id_], patient, len(series))
            # What could not be stored is tried again
            and self._failed.isdisjoint([id_, patient, *series]))

    # Series

    def _must_list_series(self, position):
        """Return whether series may have changed without their studies.

        Instances are only looked for in series that are listed.
        """
        if self._with_instances or in_transaction(self._is_comparing_all):
            return True
        if self._has_all_series(position):
            return False
        in_transaction(self._compare_all)
        return True

    def _has_all_series(self, position):
        """Return whether the numbers of the server are those of the records.

        What has arrived since the beginning is stored before: it could make
        up for what was deleted.  If something arrives while the numbers are
        read, they are read again.
        """
        cursor = Cursor.loads(position['index'], position['anchors'])
        if not self._is_continued(cursor, self._changes_since(cursor.start)):
            return False
        end, left = cursor.index, ARRIVALS_LIMIT
        for _ in range(COUNTING_ATTEMPTS):
            end, arrived = self._read_arrivals(end, left)
            left -= len(arrived)
            if left < 0:
                break
            self._store_arrivals(arrived)
            statistics = self._client.statistics()
            if not self._changes_since(end).changes:
                return in_transaction(count_present, self._server_id) == (
                    statistics['CountSeries'], statistics['CountInstances'])
        return False

    def _read_arrivals(self, since, limit):
        "Return the number of the last change, and the instances that came"
        end, arrived = since, set()
        for page in self._pages_from(self._changes_since(since)):
            for change in page.changes:
                end = max(end, change.seq)
                if change.level == 'instance':
                    arrived.add(change.orthanc_id)
            if len(arrived) > limit:
                break
        return end, arrived

    def _store_arrivals(self, instance_ids):
        "Compare the studies of instances"
        ids = instance_ids
        for parent in ['ParentSeries', 'ParentStudy']:
            ids = {
                r[parent] for found in self._fetch(sorted(ids))
                for r in found if isinstance(r.get(parent), str)}
        for found in self._fetch(sorted(ids)):
            self._store_page('study', found)
