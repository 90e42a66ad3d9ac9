# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization of the records with Orthanc"""

from . import (
    cron, damaged_names, engine, instances, lookup, notification, reading,
    routes, run, series, server, store, study)

__all__ = [
    'cron', 'damaged_names', 'engine', 'instances', 'lookup', 'notification',
    'reading', 'routes', 'run', 'series', 'server', 'store', 'study']
