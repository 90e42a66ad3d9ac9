# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the files that a run has written."""
import json
from dataclasses import dataclass, field
from pathlib import Path

from .worklist import NAME, WorklistItem

MANIFEST = '.gnuhealth-worklist.json'
MANIFEST_VERSION = 1
FILE_KEYS = ['name', 'entry', 'file']

FileRecord = dict[str, str]


@dataclass
class Manifest:
    """The files of a folder.

    Attributes
    ----------
    source : str
        Identifies the database of GNU Health.
    index : int
        Of the last change in GNU Health that all files include.
    files : dict
        Records by the id of the step: the `name`, the digest of the worklist
        item (`entry`) and that of the `file`.
    """
    source: str
    index: int = 0
    files: dict[str, FileRecord] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({
                'version': MANIFEST_VERSION, 'source': self.source,
                'index': self.index, 'files': self.files}, sort_keys=True)


def read_manifest(folder: Path, source: str) -> Manifest:
    """Return the manifest of a folder, an empty one if it cannot be used.

    The index of another database is not used.
    """
    manifest = Manifest(source)
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
        if value['version'] != MANIFEST_VERSION:
            return manifest
        files = {
            id_: {key: str(file[key]) for key in FILE_KEYS}
            for id_, file in value['files'].items()}
        if all(NAME.fullmatch(file['name']) for file in files.values()):
            manifest.files = files
            if value['source'] == source:
                manifest.index = int(value['index'])
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        pass  # Without a manifest all files are compared.
    return manifest


def make_record(item: WorklistItem, digest: str | None) -> FileRecord:
    """Return the record of a file with this digest."""
    return {'name': item.name, 'entry': item.digest, 'file': digest or ''}
