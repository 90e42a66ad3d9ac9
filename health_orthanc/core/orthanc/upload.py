# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload of an instance: its content, and Orthanc's answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from .errors import InstanceRefused, UnexpectedAnswer
from .resources import find_identifier

__all__ = ['InstanceContent', 'StoredInstance', 'Unreadable']

# Orthanc's status of an instance that it accepts: whether it is new
_STORED = {'Success': True, 'AlreadyStored': False}


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance that was stored

    Attributes
    ----------
    orthanc_id, study_orthanc_id : str
    is_new : bool
        False if it was stored before.
    """
    orthanc_id: str
    study_orthanc_id: str
    is_new: bool

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> 'StoredInstance':
        """Return the instance from Orthanc's answer.

        Raises
        ------
        InstanceRefused
            ``'filtered'``: a rule of the server rejects it.
        UnexpectedAnswer
        """
        name = 'POST /instances'
        status = str(answer.get('Status'))
        if status == 'FilteredOut':
            raise InstanceRefused('filtered', name, 200)
        if status not in _STORED:
            raise UnexpectedAnswer('shape', name)
        return cls(
            find_identifier(answer, 'ID', name),
            find_identifier(answer, 'ParentStudy', name),
            is_new=_STORED[status])


class Unreadable(Exception):
    """The content to upload cannot be read to its end"""


class InstanceContent:
    """The body of an upload, sent while it is read

    It has a length (`len`), without which requests would send it in chunks.

    Parameters
    ----------
    file : binary file
        Read from its position.
    size : int
        Bytes to send.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.len = size
        self._file = file
        self._start = file.tell() if file.seekable() else None
        self._left = size

    @property
    def repeatable(self) -> bool:
        """bool : whether it can be sent again"""
        return self._start is not None

    def rewind(self) -> None:
        """Start again, if the file is seekable."""
        if self._start is not None:
            self._file.seek(self._start)
            self._left = self.len

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(2**16):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end.

        Raises
        ------
        Unreadable
            The file is shorter than its size, or cannot be read.
        """
        size = self._left if size < 0 else min(size, self._left)
        if not size:
            return b''
        try:
            data = self._file.read(size)
        except Exception as error:
            # It is not an error of the connection
            raise Unreadable("cannot be read") from error
        if not data:
            raise Unreadable("shorter than told")
        self._left -= len(data)
        return data
