# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images fetched from Orthanc on demand, never stored"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from cachetools import TTLCache, cached

from trytond.model import fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..core.orthanc.errors import NoImage, NotFound, OrthancError
from ..core.orthanc.images import WITHOUT_IMAGES, study_thumbnail
from ..core.secrets import SecretUnavailable

__all__ = ['get_frame', 'get_images', 'get_thumbnails']

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
    def fetch(client, series_ids):
        return study_thumbnail(client, series_ids, THUMBNAIL_SIZE)

    withheld = Pool().get('gnuhealth.imaging_orthanc.study').find_withheld(
        list(studies))
    wanted = [
        (s, [
                r.orthanc_UID for r in s.series
                if not r.missing_since and r.instances_count
                and r.modality not in WITHOUT_IMAGES])
        for s in studies if s not in withheld]
    return _fetch_images(
        studies, [(s, series) for s, series in wanted if series], fetch)


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
    def fetch(client, key):
        *_, orthanc_id, frame = key
        return _cached(key, lambda: client.rendered(
                orthanc_id, frame, IMAGE_SIZE, IMAGE_SIZE))

    withheld = Pool().get('gnuhealth.imaging_orthanc.study').find_withheld(
        list({i.series.study for i in instances}))
    return _fetch_images(instances, [
            (i, _cache_key(i.server, i.orthanc_UID))
            for i in instances if i.series.study not in withheld], fetch)


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
    OrthancError, SecretUnavailable
    """
    def fetch():
        with instance.server.get_client(interactive=True) as client:
            return client.rendered(
                instance.orthanc_UID, frame, IMAGE_SIZE, IMAGE_SIZE)

    key = _cache_key(instance.server, instance.orthanc_UID, frame)
    return fields.Binary.cast(_cached(key, fetch))


# Users turn back to frames that they have just seen
@cached(
    TTLCache(CACHE_SIZE, CACHE_TIME, getsizeof=len),
    key=lambda key, fetch: key, lock=threading.Lock())
def _cached(key, fetch):
    return fetch()


def _cache_key(server, orthanc_id, frame=0):
    "Return the key of an image in the cache, which is separate for each user"
    transaction = Transaction()
    return (
        transaction.database.name, transaction.user, server.id, server.domain,
        orthanc_id, frame)


def _fetch_images(records, wanted, fetch):
    images = dict.fromkeys(map(int, records))
    wanted = [
        (record, key) for record, key in wanted
        if not record.missing_since][:IMAGES_LIMIT]
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
    return fields.Binary.cast(image) if image else None
