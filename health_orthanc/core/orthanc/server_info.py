# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version, plugins and abilities of an Orthanc server."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import NotOrthanc, TooOld
from .main_tags import unlisted_tags
from .worklists import MINIMUM_VERSION as WORKLISTS_VERSION
from .worklists import PLUGINS as WORKLISTS_PLUGINS

__all__ = [
    'FIRST_SAFE_VERSION', 'MINIMUM_VERSION', 'ServerInfo',
    'has_known_vulnerabilities']

MINIMUM_VERSION = (1, 10, 0)
# It closes nine vulnerabilities that have been published since
FIRST_SAFE_VERSION = (1, 12, 11)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The description of an Orthanc server

    Nothing in it identifies its database: `name` is configured by its
    administrator, and mostly empty.

    Attributes
    ----------
    version : str
    api_version : int or None
    dicom_aet : str
    name : str
    plugins : tuple of str
    database_version : int or None
    database_plugin, storage_plugin : str
        Empty for Orthanc's own.
    worklists : bool
        Whether worklist items can be sent to it.
    last_change : int or None
        The position at the end of its change log.
    unlisted_tags : dict of list of str
        By level, the tags that it should list besides those that it does.
    unprotected : bool
        Whether it lists its studies for whoever reaches it.
    """
    version: str
    api_version: int | None
    dicom_aet: str
    name: str
    plugins: tuple[str, ...]
    database_version: int | None
    database_plugin: str
    storage_plugin: str
    worklists: bool = False
    last_change: int | None = None
    unlisted_tags: Mapping[str, list[str]] = field(default_factory=dict)
    unprotected: bool = False

    @classmethod
    def from_json(cls, system: Any, plugins: Iterable[Any]) -> 'ServerInfo':
        """Return the description from Orthanc's JSON.

        Parameters
        ----------
        system : object
            The answer to ``GET /system``.
        plugins : iterable
            The answer to ``GET /plugins``.

        Raises
        ------
        NotOrthanc
            The answer is not Orthanc's.
        TooOld
            Its version is below `MINIMUM_VERSION`.
        """
        if not _is_orthanc(system):
            raise NotOrthanc()
        version = system['Version']
        if _version_numbers(version) < MINIMUM_VERSION:
            raise TooOld(version)
        return cls(
            version=version,
            api_version=system.get('ApiVersion'),
            dicom_aet=system['DicomAet'],
            name=system.get('Name') or '',
            plugins=tuple(p for p in plugins if isinstance(p, str)),
            database_version=system.get('DatabaseVersion'),
            database_plugin=system.get('DatabaseBackendPlugin') or '',
            storage_plugin=system.get('StorageAreaPlugin') or '',
            unlisted_tags=unlisted_tags(system))

    @property
    def may_have_worklists(self) -> bool:
        """bool : whether version and plugins can have a REST API for worklists
        """
        return (
            _version_numbers(self.version) >= WORKLISTS_VERSION
            and not WORKLISTS_PLUGINS.isdisjoint(self.plugins))


def has_known_vulnerabilities(version: str) -> bool:
    """Return whether a version is below `FIRST_SAFE_VERSION`.

    Distributions may have corrected their packages of it.
    """
    return _version_numbers(version) < FIRST_SAFE_VERSION


def _is_orthanc(system: Any) -> bool:
    return isinstance(system, dict) and all(
        isinstance(system.get(key), str) for key in ['Version', 'DicomAet'])


def _version_numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release; builds from source are newer."""
    match = re.match(r'([0-9]{1,5})\.([0-9]{1,5})(?:\.([0-9]{1,5}))?', version)
    if not match:
        return (10**6,)
    return tuple(int(number or 0) for number in match.groups())
