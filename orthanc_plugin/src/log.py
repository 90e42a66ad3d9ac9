# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log of the plugin.

Lines name steps by their number in GNU Health and studies by their id in
Orthanc, and never hold patient data.
"""
from __future__ import annotations

import logging

from .settings import SECTION

log = logging.getLogger(SECTION)
