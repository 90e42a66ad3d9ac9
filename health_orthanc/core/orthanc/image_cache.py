# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that somebody looks at again a moment later."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ['ImageCache']


class ImageCache:
    """The last images in the memory of this process

    Parameters
    ----------
    size : int
        Bytes of all images together at most.
    seconds : float
        After which an image is fetched again.
    clock : callable
        Returns seconds.
    """

    def __init__(
            self, size: int, seconds: float,
            clock: Callable[[], float] = time.monotonic):
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        # The one that is used least lately comes first
        self._images: OrderedDict[Hashable, tuple[float, bytes]] = (
            OrderedDict())
        self._held = 0

    def get(self, key: Hashable, fetch: Callable[[], bytes]) -> bytes:
        "Return the image of a key, fetched unless it is held."
        with self._lock:
            kept_at, image = self._images.get(key, (None, None))
            if image and self._clock() - kept_at < self._seconds:
                self._images.move_to_end(key)
                return image
        image = fetch()
        with self._lock:
            self._drop(key)
            self._images[key] = self._clock(), image
            self._held += len(image)
            while self._held > self._size:
                self._drop(next(iter(self._images)))
        return image

    def _drop(self, key: Hashable) -> None:
        if key in self._images:
            _, image = self._images.pop(key)
            self._held -= len(image)
