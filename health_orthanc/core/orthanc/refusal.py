# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of a server that must not be reached."""

from collections.abc import Mapping
from typing import Any, NoReturn

from requests.adapters import BaseAdapter

from .client import OrthancClient
from .errors import DatabaseCopied

__all__ = ['RefusingClient']


class _RefusingAdapter(BaseAdapter):
    """Fails before anything is sent."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise DatabaseCopied(request=f"{request.method} …")

    def close(self) -> None:
        pass


class RefusingClient(OrthancClient):
    """A client of which all calls raise `DatabaseCopied`

    No secret is needed for it.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str):
        super().__init__(url, retries=0)
        for scheme in ['http://', 'https://']:
            self._session.mount(scheme, _RefusingAdapter())

    def _fetch(
            self, target: str, headers: Mapping[str, str],
            name: str) -> NoReturn:
        raise DatabaseCopied(request=name)
