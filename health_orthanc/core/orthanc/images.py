# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that represent a study."""

import enum
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .client import OrthancClient
from .errors import NoImage, NotFound, ServerFault
from .resources import InstanceResource

__all__ = [
    'FoundImage', 'Obstacle', 'WITHOUT_IMAGES', 'explain_no_image',
    'first_image', 'limited_image', 'series_thumbnails', 'study_thumbnail']

# Modalities of objects without pixels (DICOM PS3.3 C.7.3.1.1.1)
WITHOUT_IMAGES = frozenset({
        'SR', 'PR', 'KO', 'SEG', 'RTSTRUCT', 'RTPLAN', 'RTRECORD', 'REG',
        'FID', 'PLAN', 'AU', 'DOC', 'M3D', 'RWV', 'ANN', 'TEXTUREMAP'})
# Number of series that are tried
_TRIES = 3
# Images that are tried in each, by their place from 0 to 1
_PLACES = [0.5, 0.25, 0.75, 0, 1]
# Transfer syntaxes (PS3.6 A) that only a plugin of Orthanc decodes, and those
# of videos
_JPEG_2000 = frozenset({
        f'1.2.840.10008.1.2.4.{number}' for number in (90, 91, 92, 93)})
_VIDEO = tuple(
    f'1.2.840.10008.1.2.4.{number}' for number in range(100, 109))
# The same where nobody waits for the image
_SERIES_TRIES, _INSTANCES_TRIES = 10, 3
# Pixels and quality of thumbnails, until one is small enough
_THUMBNAIL_SIZES = [(128, 90), (128, 60), (96, 40)]
THUMBNAIL_BYTES = 10_000


def study_thumbnail(
        client: OrthancClient, series_ids: Sequence[str],
        size: int) -> bytes | None:
    """Return a PNG of an image of the first series that has one.

    It is the middle image, or another one if that cannot be decoded.

    Parameters
    ----------
    client : OrthancClient
    series_ids : sequence of str
        Orthanc ids in the order to try.
    size : int
        The largest width and height, in pixels.

    Returns
    -------
    bytes or None
        None if none of the first series has an image.

    Raises
    ------
    OrthancError
    """
    failure = None
    for series in client.bulk_content(list(series_ids[:_TRIES])):
        for instance in _spread(series.get('Instances') or []):
            try:
                return client.rendered(instance, width=size, height=size)
            except (NoImage, NotFound):
                continue
            except ServerFault as error:
                # Orthanc's answer to damaged pixels
                if error.status != 500:
                    raise
                failure = error
    if failure:
        raise failure
    return None


def series_thumbnails(
        client: OrthancClient, series_ids: Sequence[str]
        ) -> dict[str, bytes]:
    """Return small JPEGs of an image of each series that has one.

    Parameters
    ----------
    client : OrthancClient
    series_ids : sequence of str
        Orthanc ids.

    Returns
    -------
    dict of bytes
        By Orthanc id; none is larger than `THUMBNAIL_BYTES`.

    Raises
    ------
    OrthancError
    """
    found = {}
    for series in client.bulk_content(list(series_ids)):
        image = _series_thumbnail(client, series.get('Instances') or [])
        if image:
            found[series['ID']] = image
    return found


def _series_thumbnail(
        client: OrthancClient, instances: Sequence[str]) -> bytes | None:
    for instance in list(_spread(instances))[:_INSTANCES_TRIES]:
        try:
            return _small_thumbnail(client, instance)
        except (NoImage, NotFound):
            continue
        except ServerFault as error:
            # Orthanc's answer to damaged pixels
            if error.status != 500:
                raise
    return None


def _small_thumbnail(client: OrthancClient, instance: str) -> bytes | None:
    for size, quality in _THUMBNAIL_SIZES:
        image = client.thumbnail(instance, size, quality)
        if len(image) <= THUMBNAIL_BYTES:
            return image
    return None


def _spread(instances: Sequence[str]) -> Iterator[str]:
    """Yield some of the instances, the middle one first."""
    last = len(instances) - 1
    indexes = [
        len(instances) // 2 if place == 0.5 else round(place * last)
        for place in _PLACES] if instances else []
    yield from (instances[index] for index in dict.fromkeys(indexes))


class Obstacle(enum.Enum):
    """Why no image of an instance can be shown"""
    NO_PIXELS = 'no_pixels'
    JPEG_2000 = 'jpeg_2000'  # Orthanc's GDCM plugin decodes it
    VIDEO = 'video'
    NO_DECODER = 'no_decoder'


def explain_no_image(client: OrthancClient, instance_id: str) -> Obstacle:
    """Return why Orthanc has answered `NoImage`.

    Parameters
    ----------
    client : OrthancClient
    instance_id : str

    Raises
    ------
    OrthancError
    """
    if not client.simplified_tags(instance_id).get('Rows'):
        return Obstacle.NO_PIXELS
    syntax = client.transfer_syntax(instance_id)
    if syntax in _JPEG_2000:
        return Obstacle.JPEG_2000
    if syntax.startswith(_VIDEO):
        return Obstacle.VIDEO
    return Obstacle.NO_DECODER


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image, and its instance

    Attributes
    ----------
    instance : InstanceResource
    image : bytes
        PNG.
    """
    instance: InstanceResource
    image: bytes


def first_image(
        client: OrthancClient, series_ids: Sequence[str],
        size: int) -> FoundImage | None:
    """Return the first image of the first series that has one.

    The first image of a series is that with the lowest InstanceNumber.

    Parameters
    ----------
    client : OrthancClient
    series_ids : sequence of str
        Orthanc ids in the order to try.
    size : int
        The largest width and height, in pixels.

    Returns
    -------
    FoundImage or None
        None if none of the first series has an image.

    Raises
    ------
    OrthancError
    MalformedResource
    """
    for series_id in series_ids[:_SERIES_TRIES]:
        try:
            instances = [
                InstanceResource.from_json(json)
                for json in client.series_instances(series_id)]
        except NotFound:
            continue
        for instance in sorted(instances, key=_place)[:_INSTANCES_TRIES]:
            try:
                return FoundImage(instance, limited_image(
                        client, instance.orthanc_id, size))
            except (NoImage, NotFound):
                continue
    return None


def _place(instance: InstanceResource) -> tuple[bool, int, str]:
    # Instances without a number come last
    return (
        instance.number is None, instance.number or 0, instance.orthanc_id)


def limited_image(
        client: OrthancClient, instance_id: str, size: int) -> bytes:
    """Return the first frame of an instance as PNG.

    It has the size of the image, unless that is larger than `size`.

    Parameters
    ----------
    client : OrthancClient
    instance_id : str
    size : int
        The largest width and height, in pixels.

    Raises
    ------
    OrthancError
    """
    image = client.rendered(instance_id)
    if max(_png_size(image)) <= size:
        return image
    return client.rendered(instance_id, width=size, height=size)


def _png_size(image: bytes) -> tuple[int, int]:
    "Return width and height (PNG 1.2, 11.2.2)"
    return struct.unpack_from('>II', image.ljust(24, b'\0'), 16)
