# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of DICOMweb that are passed on while they arrive."""

import re
from collections.abc import Generator, Mapping
from typing import Any

import requests

from .network_errors import NETWORK_ERRORS, translate_error
from .transport import unpack
from .wire import WireAnswer

__all__ = ['ResponseAnswer', 'StreamedAnswer', 'is_web_path']

# Bytes; smaller pieces are slow in Python
_PIECE = 2**18
_PATH = re.compile('[0-9A-Za-z][0-9A-Za-z.,]*(/[0-9A-Za-z][0-9A-Za-z.,]*)*')


class StreamedAnswer:
    """An answer whose body is read piece by piece

    A context manager that closes the connection, or keeps it for the next
    request if the body was read.

    Parameters
    ----------
    answer : WireAnswer or ResponseAnswer
    name : str
        The call, for errors.

    Attributes
    ----------
    status : int
    headers : mapping
        Their names are compared without case.
    """

    def __init__(self, answer: 'WireAnswer | ResponseAnswer', name: str):
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer
        self._name = name

    def __enter__(self) -> 'StreamedAnswer':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connection."""
        self._answer.close()

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the body as it arrives, not unpacked.

        Raises
        ------
        OrthancError
        """
        try:
            yield from self._answer.pieces()
        except NETWORK_ERRORS as error:
            raise translate_error(error, self._name) from error

    def read(self, limit: int) -> bytes:
        """Return the body, unpacked.

        Parameters
        ----------
        limit : int
            Bytes.

        Raises
        ------
        OrthancError
        """
        return unpack(self.pieces(), self.headers, limit, self._name)


class ResponseAnswer:
    """The same for a response of requests

    Parameters
    ----------
    response : Response
    """

    def __init__(self, response: requests.Response):
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the body as it arrives, not unpacked."""
        yield from self._response.raw.stream(_PIECE, decode_content=False)

    def close(self) -> None:
        """Give back the connection."""
        self._response.close()


def is_web_path(path: str) -> bool:
    """Return whether a path stays below the root of DICOMweb."""
    return _PATH.fullmatch(path) is not None
