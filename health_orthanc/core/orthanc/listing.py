# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of resources, and the change log."""

import json
from collections.abc import Iterable
from typing import Any

from .calls import (
    CHANGE, ID, PAGE, RESOURCE, SHORT, ClientPart, call_name, check_range)
from .errors import UnexpectedAnswer
from .resources import (
    ChangePage, MalformedResource, parse_json, parse_resources)

__all__ = ['Listings']

# What the answers of other calls hold, too
_RESOURCE_CONTENT = [
    'MainDicomTags', 'Metadata', 'Parent', 'Children', 'IsStable', 'Labels']
_INSTANCE_CONTENT = ['MainDicomTags', 'Parent']
# Metadata that the answers of other calls have beside the others
_SHOWN_METADATA = {
    'LastUpdate': str, 'ExpectedNumberOfInstances': int}
# What of the description of a server its lists depend on
_FORM = ['Version', 'DatabaseBackendPlugin', 'MainDicomTags']


class Listings(ClientPart):
    """The calls of `OrthancClient` that list resources

    Orthanc 1.12.5 lists resources faster by ``/tools/find`` than by their
    own addresses, and several times faster than by ``/tools/bulk-content``
    (``./dev bench sync --orthanc 1.13``).
    """
    _description: dict[str, Any] | None = None

    def can_find(self) -> bool:
        """Return whether the server lists what ``/tools/find`` is asked for.

        It is asked once.
        """
        abilities = self._describe().get('Capabilities')
        return isinstance(abilities, dict) and abilities.get(
            'HasExtendedFind') is True

    def listing_form(self) -> str:
        """Return what the server's lists depend on besides their content.

        It is asked once.  Another version may list other tags of the same
        resources, and so may another configuration.
        """
        described = self._describe()
        return json.dumps(
            [described.get(key) for key in _FORM], sort_keys=True)

    def _describe(self) -> dict[str, Any]:
        if self._description is None:
            self._description = self.system()
        return self._description

    def changes(self, since: int, limit: int) -> ChangePage:
        """Return a page of the change log.

        Deletions are not logged: entries of deleted resources disappear.

        Parameters
        ----------
        since : int
            The number of the entry before the page.
        limit : int
            Entries on the page, at least 1.
        """
        check_range(limit, 1)
        return self._page(
            f'since={since}&limit={limit}', SHORT + limit * CHANGE)

    def last_change(self) -> ChangePage:
        """Return the newest entry in the change log.

        It may be older than one that was read before, if that one's resource
        was deleted.
        """
        return self._page('last', SHORT)

    def list_studies(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return a page of the studies.

        Orthanc 1.10 lists the oldest first, 1.12.5 sorts by Orthanc ids.  If
        a study is deleted between two calls, the second one skips a study.

        Parameters
        ----------
        since : int
            Studies to skip.
        limit : int
            At least 1.
        """
        return self._list('studies', 'Study', since, limit)

    def list_series(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return a page of the series, as `list_studies` does."""
        return self._list('series', 'Series', since, limit)

    def list_study_ids(self, since: int, limit: int) -> list[str]:
        """Return a page of the Orthanc ids of the studies."""
        check_range(limit, 1)
        found = self._get_json(
            list, 'studies', query=f'since={since}&limit={limit}',
            most=SHORT + limit * ID)
        return [id_ for id_ in found if isinstance(id_, str)]

    def find_dated_studies(
            self, dates: str, since: int, limit: int) -> list[dict[str, Any]]:
        """Return a page of the studies with a StudyDate in a range.

        Orthanc compares the values as texts, also those that are no dates.
        Studies without the attribute are in no range; those in which it is
        empty are before all others.

        Parameters
        ----------
        dates : str
            As ``20200101-20200131``; one of both ends may be empty.
        since : int
            Studies to skip.
        limit : int
            At least 1.
        """
        check_range(limit, 1)
        return list(map(_with_metadata, self._find(
                    'Study', _RESOURCE_CONTENT, PAGE + limit * RESOURCE,
                    query={'StudyDate': dates}, Since=since, Limit=limit)))

    def bulk_content(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return resources of any level in one request.

        Parameters
        ----------
        ids : iterable of str
            Orthanc ids.

        Returns
        -------
        list of dict
            In the order of the ids; those that do not exist are left out.
        """
        ids = list(ids)
        if not ids:
            return []
        body = json.dumps({'Resources': ids, 'Metadata': False}).encode()
        answer = self._call(
            'POST', ['tools', 'bulk-content'], body=body,
            most=PAGE + len(ids) * RESOURCE)
        return parse_resources(answer, 'POST /tools')

    def study(self, orthanc_id: str) -> dict[str, Any]:
        """Return a study, as Orthanc describes it."""
        return self._get_json(dict, 'studies', orthanc_id, most=PAGE)

    def patient(self, orthanc_id: str) -> dict[str, Any]:
        """Return a patient, as Orthanc describes it."""
        return self._get_json(dict, 'patients', orthanc_id, most=PAGE)

    def find_studies(self, study_uid: str, limit: int = 100) -> list[str]:
        """Return the Orthanc ids of the studies with a StudyInstanceUID.

        Parameters
        ----------
        study_uid : str
        limit : int
            The most ids that are returned.
        """
        body = json.dumps({
                'Level': 'Study', 'Query': {'StudyInstanceUID': study_uid},
                'Expand': False, 'Since': 0, 'Limit': limit}).encode()
        path = ['tools', 'find']
        answer = parse_json(
            list, self._call(
                'POST', path, body=body, most=SHORT + limit * ID),
            call_name('POST', path))
        return [id_ for id_ in answer if isinstance(id_, str)]

    def find_instances(self, series_id: str) -> list[dict[str, Any]]:
        """Return the instances of a series (1.12.5, see `can_find`)."""
        return self._find(
            'Instance', _INSTANCE_CONTENT, self.maximum_size,
            ParentSeries=series_id)

    def _list(
            self, kind: str, level: str, since: int, limit: int
            ) -> list[dict[str, Any]]:
        check_range(limit, 1)
        most = PAGE + limit * RESOURCE
        if not self.can_find():
            return self._get_resources(
                kind, query=f'expand&since={since}&limit={limit}', most=most)
        return list(map(_with_metadata, self._find(
                    level, _RESOURCE_CONTENT, most, Since=since,
                    Limit=limit)))

    def _find(
            self, level: str, content: list[str], most: int,
            query: dict[str, str] | None = None, **options: Any
            ) -> list[dict[str, Any]]:
        path = ['tools', 'find']
        body = json.dumps({
                'Level': level, 'Query': query or {}, 'Expand': True,
                'ResponseContent': content, **options}).encode()
        return parse_resources(
            self._call('POST', path, body=body, most=most),
            call_name('POST', path))

    def _page(self, query: str, most: int) -> ChangePage:
        answer = self._get_json(dict, 'changes', query=query, most=most)
        try:
            return ChangePage.from_json(answer)
        except MalformedResource:
            raise UnexpectedAnswer('shape', 'GET /changes') from None


def _with_metadata(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource with its metadata where other calls have them."""
    metadata = resource.get('Metadata')
    if not isinstance(metadata, dict):
        return resource
    shown = {}
    for name, convert in _SHOWN_METADATA.items():
        try:
            shown[name] = convert(metadata[name])
        except (KeyError, TypeError, ValueError):
            continue
    return {**resource, **shown}
