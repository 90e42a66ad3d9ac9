# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of an upload: a plain file, a ZIP archive, or several packed files.

The packed form is ``MULT``, then the length of each file in 8 bytes, little
endian, and its content. A packed file may be a ZIP archive; archives inside
of archives are not opened.

Archives are not trusted: nothing is unpacked to find out its size, and
nothing is written to a path that an archive names.
"""

import errno
import io
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from .file_header import (
    ARCHIVES, HEAD_LIMIT, Header, Reason, Unusable, read_file_header,
    read_header)
from .values import clean_text

__all__ = [
    'Item', 'Limits', 'is_archive', 'list_items', 'list_parts', 'shown_name']

_PACKED = b'MULT'
_LENGTH = struct.Struct('<Q')
_NAME_LIMIT = 200  # characters
_CHUNK = 2**18  # bytes
# Unpacked files of up to so many bytes stay in memory
_MEMORY_LIMIT = 2**22
# Largest single read, in bytes: zipfile reads a whole directory at once
_READ_LIMIT = 2**23
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_DRIVE = re.compile('[A-Za-z]:')


class _BeforeBeginning(OSError):
    """A position before the beginning of a file"""


# What zipfile and zlib raise for damaged archives
_DAMAGES = (
    _BeforeBeginning, zipfile.BadZipFile, zlib.error, struct.error, EOFError,
    IndexError, NotImplementedError, OverflowError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one upload

    Attributes
    ----------
    files : int
    file_size, total_size : int
        Bytes of one file and of all files, unpacked.
    ratio : int
        The largest ratio of unpacked to packed size, for files of more than
        `harmless` bytes. Even images of a single color can exceed it.
    harmless : int
        Bytes.
    """
    files: int = 50_000
    file_size: int = 4 * 2**30
    total_size: int = 32 * 2**30
    ratio: int = 100
    harmless: int = 2**28


class Item:
    """A file of an upload

    Attributes
    ----------
    name : str
        For people to read: with its folders in an archive, a number if it has
        no name.
    size : int
        Bytes, as declared.
    reason : Reason or None
        Why it cannot be opened.
    """
    __slots__ = ('name', 'size', 'reason')

    def __init__(self, name: str, size: int, reason: Reason | None = None):
        self.name = name
        self.size = size
        self.reason = reason

    def head(self, limit: int = HEAD_LIMIT) -> bytes:
        """Return the first bytes.

        Parameters
        ----------
        limit : int
            Bytes.

        Raises
        ------
        Unusable
        """
        raise Unusable(self.reason or Reason.DAMAGED)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the whole file for reading, as a context.

        The file is seekable.

        Raises
        ------
        Unusable
        """
        raise Unusable(self.reason or Reason.DAMAGED)
        yield

    def header(self) -> Header:
        """Return the header of the file.

        Raises
        ------
        Unusable
        """
        head = self.head()
        try:
            return read_header(head)
        except Unusable as error:
            if len(head) >= self.size or not error.reason.needs_more:
                raise
            with self.open() as file:
                return read_file_header(file, self.size)


class _Part(Item):
    """A part of a packed file"""
    __slots__ = ('_file', '_start')

    def __init__(self, name: str, size: int, file: BinaryIO, start: int):
        super().__init__(name, size, None if size else Reason.EMPTY)
        self._file = file
        self._start = start

    def head(self, limit: int = HEAD_LIMIT) -> bytes:
        return self.content().read(limit)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        # It is not a BinaryIO, but has all that is used of one
        yield cast(BinaryIO, self.content())

    def content(self) -> '_Slice':
        return _Slice(self._file, self._start, self.size)


class _Member(Item):
    """A member of a ZIP archive"""
    __slots__ = ('_archive', '_info')

    def __init__(
            self, name: str, reason: Reason | None,
            archive: zipfile.ZipFile, info: zipfile.ZipInfo):
        super().__init__(name, info.file_size, reason)
        self._archive = archive
        self._info = info

    def head(self, limit: int = HEAD_LIMIT) -> bytes:
        with self._reading() as file:
            return file.read(limit)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        # Only at the end it is known to be complete
        with (io.BytesIO() if self.size <= _MEMORY_LIMIT
                else tempfile.TemporaryFile()) as file:
            with self._reading() as packed:
                while chunk := packed.read(_CHUNK):
                    file.write(chunk)
            if file.tell() != self.size:
                raise Unusable(Reason.DAMAGED)
            file.seek(0)
            yield file

    @contextmanager
    def _reading(self) -> Iterator[IO[bytes]]:
        if self.reason:
            raise Unusable(self.reason)
        try:
            with self._archive.open(self._info) as file:
                yield file
        except _DAMAGES:
            raise Unusable(Reason.DAMAGED) from None


class _Slice(io.RawIOBase):
    """A section of a file that is read like a file"""

    def __init__(
            self, file: BinaryIO, start: int, size: int,
            read_limit: int | None = None):
        self._file = file
        self._start = start
        self._size = size
        self._read_limit = read_limit
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {
            io.SEEK_SET: 0, io.SEEK_CUR: self._position,
            io.SEEK_END: self._size}[whence]
        if position < 0:
            raise _BeforeBeginning(errno.EINVAL, "before the beginning")
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        size = left if size is None or size < 0 else min(size, left)
        if self._read_limit is not None and size > self._read_limit:
            raise Unusable(Reason.TOO_MANY)
        self._file.seek(self._start + self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins so contains other files.

    Parameters
    ----------
    head : bytes
        At least its first 4 bytes.
    """
    return head.startswith((_PACKED, *ARCHIVES))


def list_items(
        file: BinaryIO, name: str = '',
        limits: Limits = Limits()) -> list[Item]:
    """Return the files in a file, which may be a plain one.

    Parameters
    ----------
    file : binary file
        It must be seekable, and open as long as the items are used.
    name : str
        Of a plain file.
    limits : Limits

    Raises
    ------
    Unusable
        None of them can be used: the file is empty, or not as long as
        declared.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(len(_PACKED))
    if not start:
        raise Unusable(Reason.EMPTY)
    if start == _PACKED:
        parts = list(_parts(file, size, limits))
    else:
        parts = [_Part(shown_name(name) or '1', size, file, 0)]
    items = [
        item for part in parts
        for item in _opened(part, limits, alone=len(parts) == 1)]
    if not items:
        raise Unusable(Reason.EMPTY)
    if len(items) > limits.files:
        raise Unusable(Reason.TOO_MANY)
    if sum(item.size for item in items) > limits.total_size:
        raise Unusable(Reason.TOO_LARGE)
    return items


def list_parts(file: BinaryIO, limits: Limits = Limits()) -> list[Item]:
    """Return the files that are packed in a file; archives are not opened.

    Parameters
    ----------
    file : binary file
        It must be seekable, and open as long as the items are used.
    limits : Limits

    Raises
    ------
    Unusable
        It is not packed, or shorter than declared.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(len(_PACKED)) != _PACKED:
        raise Unusable(Reason.DAMAGED)
    return list(_parts(file, size, limits))


def _parts(file: BinaryIO, size: int, limits: Limits) -> Iterator[_Part]:
    position, number = len(_PACKED), 0
    while position < size:
        number += 1
        if number > limits.files:
            raise Unusable(Reason.TOO_MANY)
        file.seek(position)
        length = file.read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            raise Unusable(Reason.TRUNCATED)
        position += _LENGTH.size
        length, = _LENGTH.unpack(length)
        if length > size - position:
            raise Unusable(Reason.TRUNCATED)
        yield _Part(str(number), length, file, position)
        position += length


def _opened(part: _Part, limits: Limits, alone: bool) -> list[Item]:
    """Return the members of a part that is an archive, else the part."""
    if not part.head(4).startswith(ARCHIVES):
        if part.size > limits.file_size:
            part.reason = Reason.TOO_LARGE
        return [part]
    try:
        return list(_members(part, limits, '' if alone else part.name))
    except Unusable as error:
        if alone:
            raise
        # The other files can still be used
        return [Item(part.name, part.size, error.reason)]


def _members(part: _Part, limits: Limits, folder: str) -> Iterator[Item]:
    content = part.content()
    content._read_limit = _READ_LIMIT
    try:
        archive = zipfile.ZipFile(content)
    except Unusable:
        raise
    except _DAMAGES:
        raise Unusable(Reason.DAMAGED) from None
    # Not is_dir(): Python 3.11 fails if a name is empty
    infos = [i for i in archive.infolist() if not i.filename.endswith('/')]
    _check_archive(infos, part.size, limits)
    for info in infos:
        name = shown_name('/'.join(filter(None, [folder, _name(info)])))
        yield _Member(name, _why_closed(info, limits), archive, info)


def _check_archive(
        infos: Sequence[zipfile.ZipInfo], size: int, limits: Limits) -> None:
    if len(infos) > limits.files:
        raise Unusable(Reason.TOO_MANY)
    total = sum(info.file_size for info in infos)
    if total > limits.harmless and total > limits.ratio * size:
        raise Unusable(Reason.BOMB)
    if total > limits.total_size:
        raise Unusable(Reason.TOO_LARGE)


def _why_closed(info: zipfile.ZipInfo, limits: Limits) -> Reason | None:
    name = info.orig_filename.replace('\\', '/')
    if (name.startswith('/') or _DRIVE.match(name)
            or '..' in name.split('/') or '\0' in name):
        return Reason.NAME
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return Reason.LINK
    if info.flag_bits & _ENCRYPTED:
        return Reason.ENCRYPTED
    # Others cannot be unpacked in pieces
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return Reason.METHOD
    if not info.file_size:
        return Reason.EMPTY
    if info.file_size > limits.file_size:
        return Reason.TOO_LARGE
    return None


def _name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member; many tools write UTF-8 without its flag."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            name = name.encode('cp437').decode('utf-8')
        except UnicodeError:
            pass
    return name.replace('\\', '/')


def shown_name(name: str) -> str:
    """Return a file name in one line; a long one is cut at its beginning."""
    name = clean_text(name)
    return name if len(name) <= _NAME_LIMIT else '…' + name[1 - _NAME_LIMIT:]
