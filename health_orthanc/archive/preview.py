# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images fetched from Orthanc on demand, never stored"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from cachetools import TTLCache, cached

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..audit.trail import record_events
from ..core.orthanc.errors import NoImage, NotFound, OrthancError
from ..core.orthanc.images import (
    WITHOUT_IMAGES, Obstacle, explain_no_image, study_thumbnail)
from ..core.secrets import SecretUnavailable
from .audited import study_events

__all__ = [
    'describe_obstacle', 'get_frame', 'get_image_problems', 'get_images',
    'get_thumbnail_problems', 'get_thumbnails']

logger = logging.getLogger('trytond.modules.health_orthanc.image')

# Clients also read the lazy fields of neighboring rows: at most so many images
# are fetched at once
IMAGES_LIMIT = 4
THUMBNAIL_SIZE = 256  # pixels
IMAGE_SIZE = 1024  # pixels
CACHE_SIZE = 32 * 2**20  # bytes
CACHE_TIME = 300  # seconds


def get_thumbnails(studies):
    """Return the thumbnails of studies.

    Parameters
    ----------
    studies : list of Study

    Returns
    -------
    dict
        A PNG as bytes, or None, by the id of each study.
    """
    images = _fetch_images(
        studies, _thumbnail_keys(studies), _fetch_thumbnail)
    _record_previews([
            (study, "thumbnail") for study in studies if images.get(study.id)])
    return images


def get_images(instances):
    """Return the images of instances.

    Parameters
    ----------
    instances : list of Instance

    Returns
    -------
    dict
        A PNG as bytes, or None, by the id of each instance.
    """
    images = _fetch_images(instances, _image_keys(instances), _fetch_frame)
    _record_previews([
            (i.series.study, i.sop_instance_UID) for i in instances
            if images.get(i.id)])
    return images


def get_image_problems(instances):
    """Return why instances have no image to show.

    Parameters
    ----------
    instances : list of Instance

    Returns
    -------
    dict
        Text in the user's language, or None, by the id of each instance.
    """
    def fetch(client, key):
        try:
            _fetch_frame(client, key)
        except NoImage:
            *_, orthanc_id, _ = key
            return explain_no_image(client, orthanc_id)

    return _describe_all(
        _fetch_images(instances, _image_keys(instances), fetch))


def get_thumbnail_problems(studies):
    """Return why studies have no thumbnail, as `get_image_problems` does."""
    def fetch(client, key):
        try:
            _fetch_thumbnail(client, key)
        except NoImage:
            *_, series_ids, _ = key
            series = client.bulk_content(series_ids[:1])
            instances = series[0].get('Instances') if series else None
            if instances:
                return explain_no_image(client, instances[0])

    found = _fetch_images(studies, _thumbnail_keys(studies), fetch)
    found.update(
        (s.id, Obstacle.NO_PIXELS) for s in studies
        if s.series and not s.missing_since and not _image_series(s))
    return _describe_all(found)


def _thumbnail_keys(studies):
    "Return the studies that have a thumbnail, with its key in the cache"
    withheld = Pool().get('gnuhealth.imaging_orthanc.study').find_withheld(
        list(studies))
    return [
        (s, _cache_key(s.server, _image_series(s)))
        for s in studies if s not in withheld and _image_series(s)]


def _image_series(study):
    "Return the Orthanc ids of the series that may have images"
    return tuple(
        s.orthanc_UID for s in study.series
        if not s.missing_since and s.instances_count
        and s.modality not in WITHOUT_IMAGES)


def _image_keys(instances):
    "Return the instances that may be shown, with the key in the cache"
    withheld = Pool().get('gnuhealth.imaging_orthanc.study').find_withheld(
        list({i.series.study for i in instances}))
    return [
        (i, _cache_key(i.server, i.orthanc_UID))
        for i in instances if i.series.study not in withheld]


def _fetch_thumbnail(client, key):
    *_, series_ids, _ = key

    def fetch():
        image = study_thumbnail(client, series_ids, THUMBNAIL_SIZE)
        if image is None:
            raise NoImage
        return image
    return _cached(key, fetch)


def _fetch_frame(client, key):
    *_, orthanc_id, frame = key
    return _cached(key, lambda: client.rendered(
            orthanc_id, frame, IMAGE_SIZE, IMAGE_SIZE))


def _describe_all(obstacles):
    return {
        id_: describe_obstacle(obstacle) if obstacle else None
        for id_, obstacle in obstacles.items()}


def describe_obstacle(obstacle):
    """Return why there is no image, in the user's language.

    Parameters
    ----------
    obstacle : Obstacle
    """
    return gettext(f'health_orthanc.msg_image_{obstacle.value}')


def get_frame(instance, frame):
    """Return a frame of an instance as PNG.

    Parameters
    ----------
    instance : Instance
    frame : int
        The index, starting at 0.

    Returns
    -------
    bytes

    Raises
    ------
    OrthancError, SecretUnavailable, QuarantineError
    """
    instance.check_released()

    def fetch():
        with instance.server.get_client(interactive=True) as client:
            return client.rendered(
                instance.orthanc_UID, frame, IMAGE_SIZE, IMAGE_SIZE)

    key = _cache_key(instance.server, instance.orthanc_UID, frame)
    image = _cached(key, fetch)
    _record_previews([(instance.series.study, instance.sop_instance_UID)])
    return fields.Binary.cast(image)


def _record_previews(shown):
    "Record which images of which studies a person sees"
    # A task shows them to nobody
    if Transaction().user:
        record_events([
                event for study, detail in shown
                for event in study_events(
                    'preview', [study], detail=detail)])


# Users turn back to frames that they have just seen
@cached(
    TTLCache(CACHE_SIZE, CACHE_TIME, getsizeof=len),
    key=lambda key, fetch: key, lock=threading.Lock())
def _cached(key, fetch):
    return fetch()


def _cache_key(server, orthanc_id, frame=0):
    """Return the key of an image in the cache; each user has their own.

    Parameters
    ----------
    server : Server
    orthanc_id : str or tuple of str
        Of the instance, or of the series for the thumbnail of their study.
    frame : int
    """
    transaction = Transaction()
    return (
        transaction.database.name, transaction.user, server.id, server.domain,
        orthanc_id, frame)


def _fetch_images(records, wanted, fetch):
    images = dict.fromkeys(map(int, records))
    wanted = [
        (record, key) for record, key in wanted
        if not record.missing_since and not record.quarantined][:IMAGES_LIMIT]
    # The threads must not use the database: read everything before
    by_server = {}
    for record, key in wanted:
        by_server.setdefault(record.server, []).append((record.id, key))
    for server, keys in by_server.items():
        images.update(_fetch_from_server(server, keys, fetch))
    return images


def _fetch_from_server(server, keys, fetch):
    try:
        client = server.get_client(interactive=True)
    except (OrthancError, SecretUnavailable) as error:
        # The form of the record opens without images
        logger.warning(
            "Orthanc server %s: %s", server.id,
            getattr(error, 'kind', 'secret'))
        return {}
    with client, ThreadPoolExecutor(IMAGES_LIMIT) as pool:
        found = pool.map(
            lambda key: (key[0], _fetch_image(client, key[1], fetch)), keys)
        return dict(found)


def _fetch_image(client, key, fetch):
    try:
        image = fetch(client, key)
    except (NoImage, NotFound):
        return None
    except OrthancError as error:
        logger.info("No image: %s", error.kind)
        return None
    if isinstance(image, bytes):
        return fields.Binary.cast(image)
    return image
