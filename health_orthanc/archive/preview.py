# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are fetched when somebody looks at them, and never stored."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from cachetools import TTLCache, cached

from trytond.model import fields
from trytond.transaction import Transaction

from ..core.orthanc.errors import NoImage, NotFound, OrthancError
from ..core.orthanc.images import WITHOUT_IMAGES, study_thumbnail
from ..core.secrets import SecretUnavailable

__all__ = ['get_frame', 'get_images', 'get_thumbnails']

logger = logging.getLogger('trytond.modules.health_orthanc.image')

# Clients ask for the lazy fields of neighbours too: so many are answered
IMAGES_LIMIT = 4
THUMBNAIL_SIZE = 256  # pixels
IMAGE_SIZE = 1024  # pixels
CACHE_SIZE = 32 * 2**20  # bytes
CACHE_TIME = 300  # seconds


def get_thumbnails(studies):
    "Return a PNG or None for each study's id"
    def fetch(client, series_ids):
        return study_thumbnail(client, series_ids, THUMBNAIL_SIZE)

    wanted = [
        (s, [
                r.orthanc_UID for r in s.series
                if not r.missing_since and r.instances_count
                and r.modality not in WITHOUT_IMAGES])
        for s in studies]
    return _fetch(
        studies, [(s, series) for s, series in wanted if series], fetch)


def get_images(instances):
    "Return a PNG or None for each instance's id"
    def fetch(client, key):
        *_, orthanc_id, frame = key
        return _cached(key, lambda: client.rendered(
                orthanc_id, frame, IMAGE_SIZE, IMAGE_SIZE))

    return _fetch(instances, [
            (i, _key(i.server, i.orthanc_UID)) for i in instances], fetch)


def get_frame(instance, frame):
    """Return a frame of an instance as PNG.

    Parameters
    ----------
    frame : int
        Counted from 0.

    Raises
    ------
    OrthancError, SecretUnavailable
    """
    def fetch():
        with instance.server.get_client(interactive=True) as client:
            return client.rendered(
                instance.orthanc_UID, frame, IMAGE_SIZE, IMAGE_SIZE)

    key = _key(instance.server, instance.orthanc_UID, frame)
    return fields.Binary.cast(_cached(key, fetch))


# Whoever pages through frames comes back to them
@cached(
    TTLCache(CACHE_SIZE, CACHE_TIME, getsizeof=len),
    key=lambda key, fetch: key, lock=threading.Lock())
def _cached(key, fetch):
    return fetch()


def _key(server, orthanc_id, frame=0):
    "Return what an image is kept by, for one user"
    transaction = Transaction()
    return (
        transaction.database.name, transaction.user, server.id, server.domain,
        orthanc_id, frame)


def _fetch(records, wanted, fetch):
    images = dict.fromkeys(map(int, records))
    wanted = [
        (record, key) for record, key in wanted
        if not record.missing_since][:IMAGES_LIMIT]
    # The database is done with before the threads start
    by_server = {}
    for record, key in wanted:
        by_server.setdefault(record.server, []).append((record.id, key))
    for server, keys in by_server.items():
        images.update(_fetch_from(server, keys, fetch))
    return images


def _fetch_from(server, keys, fetch):
    try:
        client = server.get_client(interactive=True)
    except (OrthancError, SecretUnavailable) as error:
        # The record opens without, also where the settings are unusable
        logger.warning(
            "Orthanc server %s: %s", server.id,
            getattr(error, 'kind', 'secret'))
        return {}
    with client, ThreadPoolExecutor(IMAGES_LIMIT) as pool:
        found = pool.map(
            lambda key: (key[0], _image(client, key[1], fetch)), keys)
        return dict(found)


def _image(client, key, fetch):
    try:
        image = fetch(client, key)
    except (NoImage, NotFound):
        return None
    except OrthancError as error:
        logger.info("No image: %s", error.kind)
        return None
    return fields.Binary.cast(image) if image else None
