# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New files, written in a folder of their own before they are published."""
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .dicom_file import BadDicom, read_dicom
from .dump2dcm import convert
from .permissions import Permissions
from .worklist import SUFFIX, WorklistItem

STAGING = '.gnuhealth-worklist.tmp'


@dataclass
class StagedFile:
    """A new file, or the reason why there is none.

    Attributes
    ----------
    path, digest
        Of the file, if there is one.
    remark
        Why dump2dcm did not write it, as `convert` says.
    problem
        Why there is no file.
    """
    item: WorklistItem
    path: Path | None = None
    digest: str | None = None
    remark: str | None = None
    problem: str | None = None


class Staging:
    """The folder of the new files, below that of the worklist.

    Parameters
    ----------
    folder
        Of the worklist.
    permissions
        Of new files.
    dump2dcm
        Whether dump2dcm writes the files of its templates.
    """

    def __init__(
            self, folder: Path, permissions: Permissions, dump2dcm: bool):
        self._folder = folder
        self._path = folder / STAGING
        self._permissions = permissions
        self._dump2dcm = dump2dcm

    def remove(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)

    def write_files(self, items: Sequence[WorklistItem]) -> list[StagedFile]:
        """Write the files of items; no more after the disk is full."""
        if not items:
            return []
        try:
            self._path.mkdir(mode=0o700)
        except OSError as error:
            problem = describe_write_error(self._folder, error)
            return [StagedFile(item, problem=problem) for item in items]
        executor = ThreadPoolExecutor(os.cpu_count())
        full = threading.Event()
        try:
            return list(executor.map(
                    lambda item: self._write_file(item, full), items))
        finally:
            executor.shutdown(cancel_futures=True)

    def _write_file(
            self, item: WorklistItem, full: threading.Event) -> StagedFile:
        staged = StagedFile(item)
        if full.is_set():
            staged.problem = describe_write_error(
                self._folder, OSError(errno.ENOSPC, ''))
            return staged
        path = self._path / (item.name + SUFFIX)
        try:
            expected = read_dicom(item.dicom)
            wanted = self._dump2dcm and item.kind == 'dump2dcm'
            if wanted:
                staged.remark = convert(item, expected, path)
            if not wanted or staged.remark:
                path.unlink(missing_ok=True)
                path.write_bytes(item.dicom)
            self._permissions.apply(path, self._folder)
            with path.open('rb') as file:
                os.fsync(file)
            staged.digest = digest_file(path)
            staged.path = path
        except BadDicom:
            staged.problem = (
                f"GNU Health sent no DICOM file for {item.name}.")
        except PermissionError:
            full.set()
            staged.problem = (
                f"Cannot give files in {self._folder} to its group: run as a"
                " member of this group, or use --group or --mode.")
            path.unlink(missing_ok=True)
        except OSError as error:
            full.set()
            staged.problem = describe_write_error(self._folder, error)
            path.unlink(missing_ok=True)
        return staged

    def write_text(self, text: str, target: Path) -> None:
        """Replace a file that only its owner can read.

        Raises
        ------
        OSError
            If it cannot be written; the former file is unchanged.
        """
        self._path.mkdir(mode=0o700, exist_ok=True)
        path = self._path / target.name
        path.touch(mode=0o600)
        with path.open('w') as file:
            file.write(text)
            file.flush()
            os.fsync(file)
        path.replace(target)


def digest_file(path: Path) -> str | None:
    """Return the digest of a file, None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def describe_write_error(folder: Path, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"Cannot write in {folder}: {reason}."
