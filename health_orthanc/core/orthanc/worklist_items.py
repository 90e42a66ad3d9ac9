# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST API of Orthanc's worklists plugin."""

import json
from collections.abc import Mapping
from typing import Any

from .calls import ClientPart, call_name
from .errors import NotFound, NoWorklists, UnexpectedAnswer
from .resources import parse_identifier
from .worklists import Identity, identities

__all__ = ['WorklistItems']


class WorklistItems(ClientPart):
    """The calls of `OrthancClient` for worklist items"""

    def worklists(self) -> Mapping[str, Identity | None]:
        """Return the identity of each worklist item, by the item's Orthanc id.

        Returns
        -------
        mapping
            None for items whose identity is unknown.

        Raises
        ------
        NoWorklists
        """
        try:
            answer = self._get_json(
                list, 'worklists', query='format=Simplify',
                most=self.maximum_size)
        except NotFound as error:
            raise NoWorklists(request=error.request) from error
        try:
            return identities(answer)
        except ValueError:
            raise UnexpectedAnswer('shape', 'GET /worklists') from None

    def create_worklist(self, tags: Mapping[str, Any]) -> str:
        """Create a worklist item, and return its id.

        After an error it may exist or not.

        Parameters
        ----------
        tags : mapping
            As `worklists.to_tags` returns.

        Raises
        ------
        NoWorklists
        """
        path = ['worklists', 'create']
        try:
            body = self._call(
                'POST', path, body=_worklist(tags), repeat=False)
        except NotFound as error:
            raise NoWorklists(request=error.request) from error
        return parse_identifier(body, call_name('POST', path))

    def replace_worklist(
            self, orthanc_id: str, tags: Mapping[str, Any]) -> None:
        """Replace the content of a worklist item.

        Parameters
        ----------
        orthanc_id : str
        tags : mapping
            As `worklists.to_tags` returns.

        Raises
        ------
        NotFound
            There is no such item. Some plugins create it instead.
        """
        self._call('PUT', ['worklists', orthanc_id], body=_worklist(tags))

    def delete_worklist(self, orthanc_id: str) -> None:
        """Delete a worklist item.

        Raises
        ------
        NotFound
            There is no such item, or no longer.
        """
        self._call('DELETE', ['worklists', orthanc_id])


def _worklist(tags: Mapping[str, Any]) -> bytes:
    return json.dumps({'Tags': tags}, ensure_ascii=False).encode()
