# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a study as Orthanc holds them, and tags that they are to have"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .client import OrthancClient
from .errors import NotFound

__all__ = [
    'CHARSET', 'IDENTITY', 'ISSUER', 'Holding', 'Image', 'Key', 'Refused',
    'Tags', 'Wanted', 'orthanc_id', 'study_uid']

CHARSET = 'SpecificCharacterSet'
ISSUER = 'IssuerOfPatientID'
_TAGS = {
    '0008,0005': CHARSET,
    '0008,0050': 'AccessionNumber',
    '0010,0010': 'PatientName',
    '0010,0020': 'PatientID',
    '0010,0021': ISSUER,
    '0010,0030': 'PatientBirthDate',
    '0010,0040': 'PatientSex',
    '0020,000d': 'StudyInstanceUID',
    }
# Attributes that identify a patient (PS3.3 C.7.1.1)
IDENTITY = ('PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex')

Key = tuple[str, str]
# Values by keyword; a missing tag is no key
Tags = Mapping[str, str]


class Refused(Exception):
    """The reconciliation is not possible, or not safe

    Attributes
    ----------
    reason : str
        ``'unchanged'``: the images have this identity; ``'same_id'``: they
        have this PatientID, and a copy would overwrite them; ``'unstable'``:
        the study still receives images; ``'collision'``: the server holds the
        study under this PatientID as well; ``'ambiguous'``: it holds the study
        under other PatientIDs; ``'other_person'``: the PatientID is another
        patient's on the server; ``'charset'``: the character set of the images
        cannot hold the name; ``'no_uid'``; ``'full'``: no disk space for the
        copy; ``'vanished'``: instances were deleted meanwhile; ``'differs'``:
        a copy is not equal to its source; ``'busy'``: images keep coming in.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def orthanc_id(*parts: str) -> str:
    """Return the Orthanc id of a resource.

    Parameters
    ----------
    *parts : str
        PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, as far
        as the level of the resource.
    """
    digest = hashlib.sha1('|'.join(parts).encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


@dataclass(frozen=True, slots=True)
class Image:
    """An instance in Orthanc

    Attributes
    ----------
    orthanc_id : str
    key : tuple of str
        SeriesInstanceUID and SOPInstanceUID.
    size : int
        Of the file, in bytes.
    tags : mapping
        Those that a reconciliation may change.
    rest : str
        A digest of all other tags.
    plain : bool
        Whether all other tags are known to be ASCII.
    source : str
        The Orthanc id of the instance from which it was copied.
    """
    orthanc_id: str
    key: Key
    size: int
    tags: Tags
    rest: str
    plain: bool
    source: str


@dataclass(frozen=True, slots=True)
class Holding:
    """The instances of a study in Orthanc

    Attributes
    ----------
    study : mapping
        As Orthanc describes it.
    images : mapping
        `Image` by key.
    """
    study: Mapping[str, Any]
    images: Mapping[Key, Image]

    @classmethod
    def read(
            cls, client: OrthancClient, study_id: str,
            series: Collection[str] | None = None) -> 'Holding':
        """Return what the server holds of a study.

        Parameters
        ----------
        client : OrthancClient
        study_id : str
        series : collection of str, optional
            SeriesInstanceUIDs: only the images of these series.

        Raises
        ------
        NotFound
        OrthancError
        """
        study = client.study(study_id)
        listed = {i.get('ID'): i for i in client.study_instances(study_id)}
        images = {}
        for series_id in study.get('Series') or []:
            try:
                found = client.series_tags(series_id)
            except NotFound:
                # Only the series was deleted, not the study
                continue
            for id_, tags in found.items():
                # What came between the calls is found the next time
                if id_ in listed:
                    image = _image(id_, listed[id_], tags)
                    if series is None or image.key[0] in series:
                        images[image.key] = image
        return cls(study, images)

    @property
    def ids(self) -> list[str]:
        """list of str : the Orthanc ids of the instances"""
        return [image.orthanc_id for image in self.images.values()]

    @property
    def size(self) -> int:
        """int : bytes of all files"""
        return sum(image.size for image in self.images.values())


def _image(
        id_: str, listed: Mapping[str, Any],
        tags: Mapping[str, Mapping[str, Any]]) -> Image:
    rest = {tag: entry for tag, entry in tags.items() if tag not in _TAGS}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False)
    size = listed.get('FileSize')
    return Image(
        orthanc_id=id_,
        key=(_value(tags, '0020,000e'), _value(tags, '0008,0018')),
        size=size if isinstance(size, int) else 0,
        tags={
            keyword: _value(tags, tag) for tag, keyword in _TAGS.items()
            if tag in tags},
        rest=hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest(),
        plain=text.isascii() and '"TooLong"' not in text,
        source=str(listed.get('ModifiedFrom') or ''))


def _value(tags: Mapping[str, Mapping[str, Any]], tag: str) -> str:
    value = tags.get(tag, {}).get('Value')
    return value if isinstance(value, str) else ''


@dataclass(frozen=True)
class Wanted:
    """The tags that the images are to have

    Attributes
    ----------
    tags : mapping
        Values by keyword, None for tags to remove; others are kept.
    exceptions : sequence of tuple
        Other such mappings, each with the keys of the images that it is for.
    """
    tags: Mapping[str, str | None]
    exceptions: Sequence[
        tuple[Mapping[str, str | None], Sequence[Key]]] = ()

    _by_key: dict[Key, Mapping[str, str | None]] = field(
        init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for tags, keys in self.exceptions:
            # In JSON, the keys are lists
            self._by_key.update(((uid, id_), tags) for uid, id_ in keys)

    def changes(self, image: Image) -> Mapping[str, str | None]:
        """Return the tags to replace in an image, None for those to remove."""
        return self._by_key.get(image.key, self.tags)

    def result(self, image: Image) -> Tags:
        """Return the tags that an image will have."""
        merged = {**image.tags, **self.changes(image)}
        return {k: v for k, v in merged.items() if v is not None}

    def dumps(self) -> str:
        """Return this as JSON."""
        return json.dumps([self.tags, list(self.exceptions)])

    @classmethod
    def loads(cls, text: str) -> 'Wanted':
        """Return what `dumps` has written."""
        tags, exceptions = json.loads(text)
        return cls(tags, tuple(map(tuple, exceptions)))


def study_uid(holding: Holding) -> str:
    """Return the StudyInstanceUID of a study, empty if there is none."""
    tags = holding.study.get('MainDicomTags') or {}
    return tags.get('StudyInstanceUID') or ''
