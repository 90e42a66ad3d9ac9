# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Worklists and notifications of GNU Health, as a plugin of Orthanc.

Orthanc's Python plugin loads this file.  One thread keeps a copy of the open
steps in GNU Health; queries of modalities are answered from this copy, so
that they do not depend on GNU Health.  Another thread follows Orthanc's
changes and notifies GNU Health of each study that has arrived, has grown or
was deleted; notifications that are pending are stored in a file.

It needs Python 3.9 and its standard library.
"""
from __future__ import annotations

import json
import logging

import orthanc

from .errors import locate_error
from .host import WorklistAnswers, WorklistConnection, WorklistQuery
from .log import log
from .plugin import Plugin
from .settings import SECTION, index_folder, read_settings


class OrthancHost:
    """The Orthanc that has loaded this file."""

    def get(self, path: str) -> bytes:
        return orthanc.RestApiGet(path)

    def post(self, path: str, body: str) -> bytes:
        return orthanc.RestApiPost(path, body)

    def dicom_to_json(self, dicom: bytes) -> str:
        return orthanc.DicomBufferToJson(
            dicom, orthanc.DicomToJsonFormat.SHORT,
            orthanc.DicomToJsonFlags.NONE, 0)


class OrthancLogHandler(logging.Handler):
    """Write to the log of Orthanc."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            write = orthanc.LogError
        elif record.levelno >= logging.WARNING:
            write = orthanc.LogWarning
        else:
            write = orthanc.LogInfo
        write(f'{SECTION}: {self.format(record)}')


class ChangeListener:
    """The receiver of Orthanc's changes."""

    def __init__(self, plugin: Plugin):
        self._plugin = plugin

    def on_change(self, change: int, level: int, resource: str) -> None:
        try:
            self._handle(change, level, resource)
        except Exception as error:
            log.error(locate_error(error))

    def _handle(self, change: int, level: int, resource: str) -> None:
        """Start or stop, or take note of a change; Orthanc waits for it."""
        if change == orthanc.ChangeType.ORTHANC_STARTED:
            self._plugin.start()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED:
            self._plugin.stop()
        elif level != orthanc.ResourceType.STUDY:
            return
        elif change == orthanc.ChangeType.STABLE_STUDY:
            self._plugin.add_stable(resource)
        elif change == orthanc.ChangeType.DELETED:
            self._plugin.add_deleted(resource)


def register_worklist(plugin: Plugin) -> None:
    """Register the callback for worklist queries.

    Orthanc 1.12.10 and later also tells where a query comes from.
    """
    if not (hasattr(orthanc, 'RegisterWorklistCallback2')
            and orthanc.CheckVersionAdvanced(1, 12, 10)):
        orthanc.RegisterWorklistCallback(plugin.on_worklist)
        return

    def on_worklist(
            answers: WorklistAnswers, query: WorklistQuery,
            connection: WorklistConnection) -> None:
        plugin.on_worklist(
            answers, query, connection.GetConnectionRemoteAet(),
            connection.GetConnectionCalledAet(),
            connection.GetConnectionRemoteIp())
    orthanc.RegisterWorklistCallback2(on_worklist)


def register() -> Plugin:
    """Read the configuration and register the callbacks."""
    log.handlers = [OrthancLogHandler()]
    log.setLevel(logging.INFO)
    configuration = json.loads(orthanc.GetConfiguration())
    settings, errors, warnings = read_settings(
        configuration,
        index_folder(configuration, orthanc.GetConfigurationPath()))
    for text in warnings:
        log.warning(text)
    for text in errors:
        log.error(text)
    if errors:
        log.error(
            "no worklist is served and no notifications are sent until the"
            " configuration is corrected")
    plugin = Plugin(settings, OrthancHost(), errors)
    plugin.load()
    register_worklist(plugin)
    orthanc.RegisterOnChangeCallback(ChangeListener(plugin).on_change)
    return plugin


register()
