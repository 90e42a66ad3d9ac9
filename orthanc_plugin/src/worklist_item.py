# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Items of the worklist, one for each open step of GNU Health."""
from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .matching import START_DATE, START_TIME, STEPS, Dataset

Decoder = Callable[[bytes], str]


class ListError(Exception):
    """An answer is not a worklist; the text says why, without its values."""


@dataclass(frozen=True)
class WorklistItem:
    """A step that is open in GNU Health.

    Attributes
    ----------
    id
        Of the step in GNU Health.
    index
        Of its last change, in GNU Health's numbering of all changes.
    dicom
        The worklist file, which is sent to modalities as it is.
    keys
        Its elements, which queries are matched with; None if Orthanc cannot
        read the file.
    """
    id: str
    index: int
    dicom: bytes
    keys: Mapping[str, Any] | None

    @property
    def steps(self) -> Sequence[Dataset]:
        steps = (self.keys or {}).get(STEPS)
        return steps if isinstance(steps, list) else []

    @property
    def order(self) -> tuple[str, str, int, str]:
        """Sorts by date and time, as some consoles do not sort."""
        step = self.steps[0] if self.steps else {}
        return (str(step.get(START_DATE, '')), str(step.get(START_TIME, '')),
            len(self.id), self.id)


def read_item(data: object, decoder: Decoder) -> WorklistItem:
    """Return the item of a decoded JSON object.

    Parameters
    ----------
    decoder
        Orthanc's conversion of a DICOM file to JSON.

    Raises
    ------
    ListError
        If the object is not a worklist item.
    """
    identifier, index, dicom = _read_parts(data)
    return WorklistItem(identifier, index, dicom, _read_keys(dicom, decoder))


def restore_item(data: object) -> WorklistItem:
    """Return the item that `store_item` has made an object of.

    Raises
    ------
    ListError
        If the object is not such an item.
    """
    identifier, index, dicom = _read_parts(data)
    keys = data.get('keys', '') if isinstance(data, dict) else ''
    if keys is not None and not isinstance(keys, dict):
        raise ListError("an item has no keys")
    return WorklistItem(identifier, index, dicom, keys)


def store_item(item: WorklistItem) -> dict[str, object]:
    """Return an item as an object for JSON.

    It includes the keys, as Orthanc takes long to read them from thousands of
    files.
    """
    return {
        'id': item.id,
        'index': item.index,
        'dicom': base64.b64encode(item.dicom).decode(),
        'keys': item.keys,
        }


def _read_parts(data: object) -> tuple[str, int, bytes]:
    """Return id, index and file of an item."""
    if not isinstance(data, dict):
        raise ListError("an item is not an object")
    identifier, index = data.get('id'), data.get('index')
    if not isinstance(identifier, str) or not re.fullmatch(
            r'[0-9]{1,20}(?:\.[0-9]{1,20})?', identifier):
        raise ListError("an item has no id")
    if index is None or not is_index(index):
        raise ListError("an item has no index")
    try:
        dicom = base64.b64decode(data['dicom'], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ListError("an item has no file") from None
    return identifier, index, dicom


def _read_keys(dicom: bytes, decoder: Decoder) -> dict[str, Any] | None:
    try:
        return read_dataset(dicom, decoder)
    # What Orthanc raises depends on its version.
    except Exception:
        return None


def read_dataset(dicom: bytes, decoder: Decoder) -> dict[str, Any]:
    """Return the elements of a DICOM file: tag → text, or list of items."""
    return json.loads(decoder(dicom), object_pairs_hook=_intern_tags)


def _intern_tags(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return a dictionary that shares its tags with those of all items."""
    return {sys.intern(tag): value for tag, value in pairs}


def is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) \
        and value >= 0
