# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection during work on many objects

Python looks for objects that only refer to each other whenever enough new ones
live.  The resources of a batch do not, and die with it; but each full search
visits all of trytond's models.  It took a fifth of the processor time of a
first synchronization.
"""

import gc
import threading
from contextlib import contextmanager

__all__ = ['rare_collections']

# New objects after which the young ones are searched: more than the resources
# of a batch consist of.  They take some 20 MB.
_NEW_OBJECTS = 200_000

_lock = threading.Lock()
_users = 0
_before = ()


@contextmanager
def rare_collections():
    """Let garbage be collected less often during the context.

    This concerns all threads.  It ends with the last one that asked for it.
    """
    global _users, _before
    with _lock:
        if not _users:
            _before = gc.get_threshold()
            gc.set_threshold(
                max(_before[0], _NEW_OBJECTS) if _before[0] else 0,
                *_before[1:])
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                gc.set_threshold(*_before)
