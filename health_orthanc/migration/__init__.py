# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrade from gnuhealth-orthanc 4.x and 5.0"""

from . import (
    note, patients, requests, series, servers, studies, templates, version_4)

__all__ = [
    'note', 'patients', 'requests', 'series', 'servers', 'studies',
    'templates', 'version_4']
