# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The file that stores the worklist while Orthanc is stopped."""
from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import describe_error
from .log import log
from .settings import Settings
from .worklist_item import (
    Decoder, ListError, WorklistItem, is_index, read_item, restore_item,
    store_item)

CACHE_VERSION = 2
# Of files without the keys of the items
VERSION_WITHOUT_KEYS = 1
CACHE_PAUSE = 5  # seconds between two writings of the file


@dataclass(frozen=True)
class Snapshot:
    """A complete worklist; it is replaced, never changed.

    Attributes
    ----------
    index
        Of the last change in GNU Health that it includes.
    confirmed
        When GNU Health last confirmed it, on the clock of `time.monotonic`.
    """
    items: Sequence[WorklistItem]
    index: int
    confirmed: float

    @property
    def age(self) -> float:
        """Seconds since GNU Health last confirmed it."""
        return time.monotonic() - self.confirmed


class Cache:
    """The file of the worklist.

    Only the account of Orthanc may read it: it holds patient data.
    """

    def __init__(self, settings: Settings, decoder: Decoder):
        self._path = settings.cache_file
        self._source = settings.source
        self._decoder = decoder
        # An unchanged worklist may seem older by this after a restart.
        self._pause = settings.maximum_age / 50
        self._written = -math.inf
        self._changed = False
        self._failed = False
        self._lock = threading.Lock()

    def load(self) -> Snapshot | None:
        """Return the worklist of the file, None if it cannot be used."""
        try:
            with open(self._path, encoding='ascii') as file:
                data = json.load(file)
            read = self._reader(data['version'])
            if not read or data['source'] != self._source:
                return None
            age = time.time() - data['confirmed']
            if not age >= 0 or not is_index(data['index']):
                raise ListError("the file is of the future")
            return Snapshot(
                list(map(read, data['entries'])), data['index'],
                time.monotonic() - age)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ListError,
                RecursionError) as error:
            log.warning(
                "the cache file cannot be used (%s)", type(error).__name__)
            return None

    def _reader(
            self, version: object) -> Callable[[object], WorklistItem] | None:
        """Return what reads an item of a version of the file."""
        if version == CACHE_VERSION:
            return restore_item
        if version == VERSION_WITHOUT_KEYS:
            return lambda entry: read_item(entry, self._decoder)
        return None

    def save_if_due(self, snapshot: Snapshot, changed: bool) -> None:
        """Write the file if it differs too much from the worklist."""
        self._changed = self._changed or changed
        if time.monotonic() - self._written > (
                CACHE_PAUSE if self._changed else self._pause):
            self.save(snapshot)

    def save(self, snapshot: Snapshot) -> None:
        """Write the file; a failure is logged once."""
        with self._lock:
            self._save(snapshot)

    def _save(self, snapshot: Snapshot) -> None:
        self._written = time.monotonic()
        try:
            self._write(json.dumps({
                        'version': CACHE_VERSION,
                        'source': self._source,
                        'confirmed': time.time() - snapshot.age,
                        'index': snapshot.index,
                        'entries': list(map(store_item, snapshot.items)),
                        }))
        except OSError as error:
            if not self._failed:
                log.error(
                    "the cache file cannot be written: %s",
                    describe_error(error))
            self._failed = True
        else:
            self._changed = self._failed = False

    def _write(self, text: str) -> None:
        temporary = f'{self._path}.new'
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, 'w', encoding='ascii') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
