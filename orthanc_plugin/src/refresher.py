# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The thread that keeps the worklist up to date."""
from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import locate_error
from .gnuhealth import HttpError
from .log import log
from .settings import SECTION, Settings
from .worklist import Worklist
from .worklist_item import ListError


class Refresher:
    """The thread that fetches changes of the worklist from GNU Health.

    It logs when GNU Health stops to answer and when it answers again.

    Parameters
    ----------
    recovered
        Called when GNU Health answers again.
    """

    def __init__(
            self, worklist: Worklist, settings: Settings,
            recovered: Callable[[], None] = lambda: None):
        self._recovered = recovered
        self._worklist = worklist
        self._interval = settings.refresh_interval
        self._stopping = threading.Event()
        self._logged: tuple[str | None, str] | None = None
        self._thread = threading.Thread(
            target=self._run, name=SECTION, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            # Orthanc must not wait for an answer of GNU Health.
            self._thread.join(1)
        self._worklist.save()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            problem = self._refresh()
            if not self._stopping.is_set():
                self._log_change(problem)
            # Ask less often while GNU Health does not answer.
            pause = min(2 * pause, 10 * self._interval) if problem \
                else self._interval
            self._stopping.wait(pause)

    def _refresh(self) -> str | None:
        """Return why the update failed, None if it did not."""
        try:
            self._worklist.refresh()
        except (HttpError, ListError) as error:
            return str(error)
        # The thread must go on; the text of the error may hold patient data.
        except Exception as error:
            return locate_error(error)
        return None

    def _log_change(self, problem: str | None) -> None:
        """Log when a problem begins, changes or ends."""
        state = self._worklist.state
        if problem and self._logged != (problem, state):
            log.error("the worklist cannot be updated: %s; %s", problem, state)
        elif not problem and (self._logged is None or self._logged[0]):
            log.warning("connected to GNU Health; %s", state)
            self._recovered()
        self._logged = problem, state
