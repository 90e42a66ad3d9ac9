# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pauses between requests that fail."""
from __future__ import annotations

import math
import time
from collections.abc import Callable

from .notification_queue import FIRST_PAUSE, LAST_PAUSE


class BackOff:
    """A pause that doubles with each failure.

    Parameters
    ----------
    clock
        Returns seconds; only their differences matter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """End the pause; the next one is the shortest."""
        self._pause, self._until = FIRST_PAUSE, -math.inf

    def start(self) -> None:
        """Start the next pause."""
        self._until = self._clock() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)

    @property
    def rest(self) -> float:
        """The seconds that are left of the pause."""
        return max(self._until - self._clock(), 0)
