# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOMweb, and what is stored by it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import requests

from .calls import IDS, ClientPart, call_name, check_status
from .errors import ConnectionFailed, NotFound, OrthancError
from .network_errors import NETWORK_ERRORS, translate_error
from .resources import parse_resources
from .streaming import ResponseAnswer, StreamedAnswer, is_web_path
from .wire import WireAnswer

__all__ = ['DicomWeb']


class DicomWeb(ClientPart):
    """The calls of `OrthancClient` to the plugin for DICOMweb"""

    def dicom_web(
            self, method: str, path: str, *, query: str = '',
            headers: Mapping[str, str] | None = None,
            body: bytes | None = None) -> StreamedAnswer:
        """Send a request to the plugin for DICOMweb.

        The read timeout applies to each piece of the answer. A request that
        only reads is repeated once if there was no connection.

        Parameters
        ----------
        method : {'GET', 'POST'}
        path : str
            Relative to the root of DICOMweb, as `Resource.path` returns it.
        query : str, optional
            Encoded.
        headers : mapping, optional
        body : bytes, optional

        Returns
        -------
        StreamedAnswer
            It must be closed.
        """
        name = f'{method} /dicom-web'
        if not is_web_path(path):
            raise NotFound(request=name)
        if body is not None:
            self._close_kept()
            return StreamedAnswer(ResponseAnswer(self._open(requests.Request(
                            method, f'{self.url}/dicom-web/{path}',
                            params=query, data=body, headers=headers),
                        name)), name)
        target = f'dicom-web/{path}?{query}' if query else f'dicom-web/{path}'
        try:
            return StreamedAnswer(
                self._fetch(target, headers or {}, name), name)
        except ConnectionFailed:
            return StreamedAnswer(
                self._fetch(target, headers or {}, name), name)

    def _fetch(
            self, target: str, headers: Mapping[str, str],
            name: str) -> WireAnswer:
        """Return an answer whose body was not read yet."""
        self._begin()
        try:
            answer = self._wire.get(target, headers, name)
        except NETWORK_ERRORS as error:
            raise translate_error(error, name) from error
        try:
            check_status(answer.status, answer.headers, name)
        except OrthancError:
            answer.close()
            raise
        return answer

    def search_dicom_web(
            self, path: str, query: str,
            headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what a search by DICOMweb finds.

        Parameters
        ----------
        path, query : str
            As for `dicom_web`.
        headers : mapping
        """
        name = 'GET /dicom-web'
        with self.dicom_web(
                'GET', path, query=query, headers={
                    **headers, 'Accept': 'application/dicom+json'}) as answer:
            # Orthanc answers so if nothing is found
            if answer.status == 204:
                return []
            return parse_resources(answer.read(self.maximum_size), name)

    def lookup(self, uid: str) -> list[tuple[str, str]]:
        """Return the type and Orthanc id of all resources with a UID.

        Parameters
        ----------
        uid : str

        Returns
        -------
        list of tuple of str
            The type as in ``'Series'``.
        """
        path = ['tools', 'lookup']
        found = parse_resources(
            self._call('POST', path, body=uid.encode()),
            call_name('POST', path))
        return [
            (str(item.get('Type')), str(item.get('ID'))) for item in found]

    def series_state(self, uid: str) -> str | None:
        """Return what is another one after a series has changed.

        Parameters
        ----------
        uid : str

        Returns
        -------
        str or None
            None while the series may change within the second that Orthanc
            states, and if it cannot be found out.
        """
        try:
            found = [id_ for type_, id_ in self.lookup(uid)
                if type_ == 'Series']
            if len(found) != 1:
                return None
            series = self._get_json(dict, 'series', found[0], most=IDS)
        except OrthancError:
            return None
        instances = series.get('Instances')
        if not series.get('IsStable') or not isinstance(instances, list):
            return None
        content = json.dumps([series.get('LastUpdate'), *sorted(
                    map(str, instances))])
        return hashlib.sha256(content.encode()).hexdigest()
