# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The plugin, without Orthanc's own types and constants."""
from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import locate_error
from .host import Host, WorklistAnswers, WorklistQuery
from .log import log
from .matching import QueryError
from .notifier import Notifier
from .refresher import Refresher
from .settings import SECTION, Settings
from .worklist import Unavailable, Worklist
from .worklist_item import read_dataset

MAXIMUM_CALLERS = 100


class Plugin:
    """The worklist and the notifications of an Orthanc.

    Parameters
    ----------
    errors
        Of the configuration: with any, all queries fail and no notifications
        are sent.
    """

    def __init__(
            self, settings: Settings, host: Host,
            errors: Sequence[str] = ()):
        self._host = host
        self._callers: set[tuple[str, str]] = set()
        self._filters_calling_aet = settings.filter_calling_aet
        self._worklist: Worklist | None = None
        self._refresher: Refresher | None = None
        self._notifier: Notifier | None = None
        if errors:
            return
        if settings.notify:
            self._notifier = Notifier(settings, host)
        self._worklist = Worklist(settings, host.dicom_to_json)
        self._refresher = Refresher(
            self._worklist, settings,
            self._notifier.retry_now if self._notifier else lambda: None)

    def load(self) -> None:
        """Take the worklist of the file, if there is one."""
        if self._worklist:
            self._worklist.load()

    def start(self) -> None:
        for thread in [self._refresher, self._notifier]:
            if thread:
                thread.start()

    def stop(self) -> None:
        for thread in [self._refresher, self._notifier]:
            if thread:
                thread.stop()

    def on_worklist(
            self, answers: WorklistAnswers, query: WorklistQuery,
            calling: str, called: str, address: str = '') -> None:
        """Answer the query of a modality, as Orthanc's callback.

        Parameters
        ----------
        calling, called
            The AE titles of the modality and of Orthanc.
        address
            The IP address of the modality, if Orthanc tells it.

        Raises
        ------
        Unavailable
            If the query fails.  Orthanc logs the text of an exception, so
            that no other exception may be raised: it may hold patient data.
        """
        try:
            self._answer(answers, query, calling, address)
        except (Unavailable, QueryError) as error:
            raise Unavailable(f"{SECTION}: {error}") from None
        except Exception as error:
            raise Unavailable(f"{SECTION}: {locate_error(error)}") from None

    def _answer(
            self, answers: WorklistAnswers, query: WorklistQuery,
            calling: str, address: str) -> None:
        if not self._worklist:
            raise Unavailable("the configuration has errors")
        keys = read_dataset(
            query.WorklistGetDicomQuery(), self._host.dicom_to_json)
        found, removed = self._worklist.find(keys, calling)
        for item in found:
            answers.WorklistAddAnswer(query, item.dicom)
        caller = _describe_caller(calling, address)
        if removed:
            self._log_once(
                "answers to %s are missing because Orthanc compares keys of"
                " the query in its own way; load health_orthanc.lua as well",
                caller)
            answers.WorklistMarkIncomplete()
        if self._filters_calling_aet and not self._worklist.has_steps_for(
                calling):
            self._log_once(
                "no step is for %s, which has queried the worklist: its AE"
                " title is not the station AE title of any open step", caller)

    def _log_once(self, text: str, caller: str) -> None:
        """Log what is wrong with a modality once."""
        if ((text, caller) not in self._callers
                and len(self._callers) < MAXIMUM_CALLERS):
            self._callers.add((text, caller))
            log.error(text, caller)

    def add_stable(self, study: str) -> None:
        """Take note of a study that Orthanc reports as stable."""
        if self._notifier:
            self._notifier.add_stable(study)

    def add_deleted(self, study: str) -> None:
        """Take note of a study that was deleted in Orthanc."""
        if self._notifier:
            self._notifier.add_deleted(study)


def _describe_caller(calling: str, address: str) -> str:
    """Return an AE title, and the address that has stated it."""
    title = re.sub(r'[^!-~]', '?', calling[:16])
    address = re.sub(r'[^0-9A-Fa-f.:]', '?', address[:45])
    return f'{title} ({address})' if address else title
