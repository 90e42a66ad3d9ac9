# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the worklist files."""
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .dicom_file import BadDicom, differences, read_dicom
from .failures import Unusable
from .json_rpc import NoAnswer
from .locks import exclude_other_runs, pause_queries
from .manifest import (
    MANIFEST, FileRecord, Manifest, make_record, read_manifest)
from .messages import shorten, warn_of_remarks
from .permissions import Permissions
from .staging import StagedFile, Staging, describe_write_error, digest_file
from .worklist import PREFIX, SUFFIX, Listing, WorklistItem

# Files of the script of this name in GNU Health 4
FORMER = re.compile(r'[0-9a-f]{32}\.(wl|dump)')


@dataclass
class Plan:
    """The changes that a folder needs.

    Attributes
    ----------
    listing
        What GNU Health has sent.
    items
        Those whose files have to be written.
    removed
        The names of files that have to be removed.
    files
        The records of files that stay as they are.
    written
        The names of files that are written.
    """
    listing: Listing
    items: list[WorklistItem]
    removed: set[str]
    files: dict[str, FileRecord]
    written: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.written = {item.name for item in self.items}


class Folder:
    """The folder of the worklist files.

    Parameters
    ----------
    path
        Of the folder, which must exist.
    permissions
        Of the files.
    dump2dcm
        Whether dump2dcm writes the files of its templates.
    """

    def __init__(
            self, path: Path, permissions: Permissions = Permissions(),
            dump2dcm: bool = True):
        if not path.is_dir():
            raise Unusable(f"There is no folder {path}.")
        self._path = path
        self._permissions = permissions
        self._staging = Staging(path, permissions, dump2dcm)

    def _file(self, name: str) -> Path:
        return self._path / (name + SUFFIX)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder."""
        with exclude_other_runs(self._path):
            # A run that was killed may have left it.
            self._staging.remove()
            yield

    def read_manifest(self, source: str) -> Manifest:
        return read_manifest(self._path, source)

    def find_intact(self, manifest: Manifest) -> set[str]:
        """Return the ids of the steps whose files have not been changed."""
        return {
            id_ for id_, file in manifest.files.items()
            if digest_file(self._file(file['name'])) == file['file']}

    def make_plan(
            self, listing: Listing, manifest: Manifest, intact: set[str],
            regenerate: bool = False) -> Plan:
        """Compare the folder with the open steps.

        Parameters
        ----------
        intact
            The ids of the steps whose files have not been changed.
        regenerate
            Whether files are written again that are right.

        Raises
        ------
        NoAnswer
            If two steps have the same file.
        """
        items = []
        files: dict[str, FileRecord] = {}
        for id_ in sorted(listing.open):
            item, file = listing.items.get(id_), manifest.files.get(id_)
            if item is None:
                files[id_] = manifest.files[id_]
            elif file and id_ in intact and (file['name'], file['entry']) == (
                    item.name, item.digest):
                files[id_] = file
            elif not regenerate and self._holds(item):
                files[id_] = make_record(
                    item, digest_file(self._file(item.name)))
            else:
                items.append(item)
        names = [item.name for item in items]
        names += [file['name'] for file in files.values()]
        if len(set(names)) < len(names):
            raise NoAnswer("GNU Health sent the same name for two files.")
        present = {
            path.name.removesuffix(SUFFIX)
            for path in self._path.glob(f'{PREFIX}*{SUFFIX}')}
        return Plan(listing, items, present - set(names), files)

    def find_former(self) -> list[Path]:
        """Return the files of the script of GNU Health 4."""
        return [
            path for path in self._path.glob('*')
            if FORMER.fullmatch(path.name)]

    def remove_former(self) -> list[str]:
        """Remove the files of GNU Health 4; return what failed."""
        try:
            for path in self.find_former():
                path.unlink()
        except OSError as error:
            return [describe_write_error(self._path, error)]
        return []

    def _holds(self, item: WorklistItem) -> bool:
        """Return whether a file is right that is not in the manifest."""
        try:
            found = read_dicom(self._file(item.name).read_bytes())
            return not differences(read_dicom(item.dicom), found)
        except (OSError, BadDicom):
            return False

    def carry_out(
            self, plan: Plan, manifest: Manifest, verbose: bool) -> list[str]:
        """Make the changes that can be made; return what failed.

        The sets of the plan are left with what was written and removed.
        """
        try:
            staged = self._staging.write_files(plan.items)
            warn_of_remarks(staged, verbose)
            problems = self._publish(staged, plan)
            for file in staged:
                if file.problem:
                    plan.written.discard(file.item.name)
                    if old := manifest.files.get(file.item.id):
                        plan.files[file.item.id] = old
                else:
                    plan.files[file.item.id] = make_record(
                        file.item, file.digest)
            problems += [file.problem for file in staged if file.problem]
            self._restore_modes(plan.files)
            new = Manifest(manifest.source, plan.listing.index, plan.files)
            if problems:
                # The next run asks for the same changes.
                new.index = 0 if plan.listing.complete else manifest.index
            if new != manifest:
                problems += self._write_manifest(new)
        finally:
            self._staging.remove()
        return shorten(problems)

    def _publish(
            self, staged: Sequence[StagedFile], plan: Plan) -> list[str]:
        """Replace files, and remove those of closed steps."""
        problems = []
        with pause_queries(self._path):
            for name in sorted(plan.removed):
                try:
                    self._file(name).unlink(missing_ok=True)
                except OSError as error:
                    plan.removed.discard(name)
                    problems.append(
                        f"Cannot remove {name}{SUFFIX}: {error.strerror}.")
            for file in staged:
                if file.path is None:
                    continue
                try:
                    file.path.replace(self._file(file.item.name))
                except OSError as error:
                    file.problem = describe_write_error(self._path, error)
        return problems

    def _restore_modes(self, files: dict[str, FileRecord]) -> None:
        """Set the permissions of files where they were changed.

        A query fails if Orthanc cannot read one of the files.
        """
        for file in files.values():
            path = self._file(file['name'])
            try:
                self._permissions.apply(path, self._path)
            except OSError:
                pass  # It is missing, or the file system has no modes.

    def _write_manifest(self, manifest: Manifest) -> list[str]:
        try:
            self._staging.write_text(
                manifest.to_json(), self._path / MANIFEST)
        except OSError as error:
            return [describe_write_error(self._path, error)]
        return []
