# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The functions of Orthanc that the plugin calls."""
from __future__ import annotations

from typing import Protocol


class Host(Protocol):
    """An Orthanc that has loaded the plugin.

    Each method may raise any exception: what Orthanc raises depends on its
    version.
    """

    def get(self, path: str) -> bytes:
        """Return the answer of Orthanc's REST API to a GET request."""

    def post(self, path: str, body: str) -> bytes:
        """Return the answer of Orthanc's REST API to a POST request."""

    def dicom_to_json(self, dicom: bytes) -> str:
        """Return a DICOM file as JSON: tag → text, or list of items."""


class WorklistQuery(Protocol):
    """A query, as Orthanc passes it to the plugin."""

    def WorklistGetDicomQuery(self) -> bytes:
        """Return its DICOM file."""


class WorklistConnection(Protocol):
    """Where a query comes from (Orthanc 1.12.10)."""

    def GetConnectionRemoteAet(self) -> str:
        """Return the AE title of the modality."""

    def GetConnectionCalledAet(self) -> str:
        """Return the AE title that it has called."""

    def GetConnectionRemoteIp(self) -> str:
        """Return its IP address."""


class WorklistAnswers(Protocol):
    """The answers to a query, as Orthanc passes them to the plugin."""

    def WorklistAddAnswer(self, query: WorklistQuery, dicom: bytes) -> None:
        """Add a worklist file."""

    def WorklistMarkIncomplete(self) -> None:
        """End with the DICOM status Cancel."""
