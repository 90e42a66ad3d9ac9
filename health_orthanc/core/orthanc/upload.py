# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload of one instance: what is sent, and where it is then."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from .answers import find_identifier
from .errors import InstanceRefused, UnexpectedAnswer

__all__ = ['InstanceContent', 'StoredInstance', 'Unreadable']

# Orthanc's status of an instance that it accepts: whether it is new
_STORED = {'Success': True, 'AlreadyStored': False}


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where an instance is that was sent

    Attributes
    ----------
    orthanc_id, study_orthanc_id : str
    is_new : bool
        Whether it was not there before.
    """
    orthanc_id: str
    study_orthanc_id: str
    is_new: bool

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> 'StoredInstance':
        """
        Raises
        ------
        InstanceRefused
            A rule of the server keeps it out.
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
    "What was to be sent cannot be read to its end"


class InstanceContent:
    """What is sent as it is read

    To requests it has a length, without which it would be sent in chunks.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.len = size
        self._file = file
        self._start = file.tell() if file.seekable() else None
        self._left = size

    @property
    def repeatable(self) -> bool:
        return self._start is not None

    def rewind(self) -> None:
        if self._start is not None:
            self._file.seek(self._start)
            self._left = self.len

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(2**16):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        if not size:
            return b''
        try:
            data = self._file.read(size)
        except Exception as error:
            # Nothing of it is the connection's fault
            raise Unreadable("cannot be read") from error
        if not data:
            raise Unreadable("shorter than told")
        self._left -= len(data)
        return data
