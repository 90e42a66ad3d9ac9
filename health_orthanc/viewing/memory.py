# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process remembers between the requests of a viewer

A viewer asks for hundreds of images in a few seconds.  What was allowed once
is allowed for less than a minute.
"""

import threading
import time

from cachetools import TTLCache

__all__ = ['Memory', 'clients', 'grants', 'metadata', 'views']

# Seconds; nginx may remember what is remembered here for another one
REMEMBERED = 55


class Memory:
    """Values that are forgotten after a time, or when there are too many

    It may be used by several threads.

    Parameters
    ----------
    size : int
        The most values, or what they measure in all.
    timer : callable, optional
        Returns seconds.
    seconds : float, optional
        Until a value is forgotten.
    measure : callable, optional
        Returns the size of a value; by default 1.
    """

    def __init__(
            self, size, timer=time.monotonic, seconds=REMEMBERED,
            measure=None):
        self._values = TTLCache(size, seconds, timer, measure)
        self._lock = threading.Lock()

    def get(self, key):
        "Return the value of a key, or None"
        with self._lock:
            return self._values.get(key)

    def set(self, key, value):
        "Remember the value of a key from now on"
        with self._lock:
            self._values[key] = value

    def clear(self):
        "Forget all"
        with self._lock:
            self._values.clear()


# Whether a session may see a study, by database, session, server and UID
grants = Memory(20000)
# Whether it is recorded that a session has seen a study, by the same
views = Memory(20000)
# The client of each server, by database and server, with its connections
clients = Memory(64)
# What a viewer was sent as metadata of a series: the state of the series in
# Orthanc, the body, compressed, and its type
metadata = Memory(2**24, seconds=600, measure=lambda kept: len(kept[1]))
