# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for elements in a dataset of any length (PS3.5 §7).

What is between them is passed over and not kept: segmentations list
thousands of references before they name the patient.
"""

import struct
from collections.abc import Collection
from typing import BinaryIO

__all__ = ['TooLong', 'find_elements']

# Elements and items that are passed over
_MAX_STEPS = 2_000_000
# Bytes of a value that is looked for
_MAX_VALUE = 4096
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# VRs with a length of two bytes (PS3.5 table 7.1-2)
_SHORT = frozenset({
        b'AE', b'AS', b'AT', b'CS', b'DA', b'DS', b'DT', b'FD', b'FL', b'IS',
        b'LO', b'LT', b'PN', b'SH', b'SL', b'SS', b'ST', b'TM', b'UI', b'UL',
        b'US'})


class TooLong(ValueError):
    """There is too much before the elements that are looked for"""


def find_elements(
        file: BinaryIO, implicit: bool, little: bool, tags: Collection[int],
        last: int) -> dict[int, bytes]:
    """Return the values of elements at the root of a dataset.

    Parameters
    ----------
    file : binary file
        Seekable, at the beginning of the dataset.
    implicit, little : bool
        The encoding.
    tags : collection of int
        What is looked for.
    last : int
        Tags in a dataset ascend: the search ends behind this one.

    Returns
    -------
    dict of bytes
        By tag; at most the first 4096 bytes of each.

    Raises
    ------
    TooLong
    EOFError
        The file ends within an element.
    ValueError
        It is no dataset.
    """
    return _Search(file, implicit, little).find(tags, last)


class _Search:

    def __init__(self, file: BinaryIO, implicit: bool, little: bool):
        self._file = file
        self._implicit = implicit
        order = '<' if little else '>'
        self._tag = struct.Struct(f'{order}HH')
        self._short = struct.Struct(f'{order}H')
        self._long = struct.Struct(f'{order}L')
        self._steps = 0

    def find(self, tags: Collection[int], last: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        while True:
            head = self._file.read(4)
            if len(head) < 4:
                return found
            tag = self._tag_of(head)
            if tag > last:
                return found
            length = self._length(tag)
            if tag in tags and length != _UNDEFINED:
                found[tag] = self._read(min(length, _MAX_VALUE))
                length -= len(found[tag])
            self._skip(length)

    def _tag_of(self, data: bytes) -> int:
        group, element = self._tag.unpack(data)
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TooLong
        return group << 16 | element

    def _length(self, tag: int) -> int:
        if self._implicit or tag >> 16 == 0xFFFE:
            return self._long.unpack(self._read(4))[0]
        vr = self._read(2)
        if vr in _SHORT:
            return self._short.unpack(self._read(2))[0]
        if not vr.isalpha() or not vr.isupper():
            raise ValueError("no VR")
        self._read(2)
        return self._long.unpack(self._read(4))[0]

    def _skip(self, length: int) -> None:
        """Pass over a value, and over all in a sequence without a length."""
        if length != _UNDEFINED:
            self._file.seek(length, 1)
            return
        depth = 1
        while depth:
            tag = self._tag_of(self._read(4))
            length = self._length(tag)
            if tag in {_ITEM_END, _SEQUENCE_END}:
                depth -= 1
            elif length == _UNDEFINED:
                # An item, or a sequence in an item
                depth += 1
            else:
                self._file.seek(length, 1)

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise EOFError
        return data
