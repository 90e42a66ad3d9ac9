# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Times as texts."""
from __future__ import annotations

import time


def format_orthanc_time(seconds: float) -> str:
    """Return a time as Orthanc writes it, in UTC."""
    return time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))


def format_iso_time(seconds: float) -> str:
    """Return a time as of ISO 8601, in UTC."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))
