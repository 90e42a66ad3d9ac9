# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronization of the records with Orthanc"""

from . import (
    changed, comparison, cron, damaged_names, engine, failure, instances,
    lookup, notification, part, reading, routes, run, series, server, store,
    storing, study, study_digests, time_limit)

__all__ = [
    'changed', 'comparison', 'cron', 'damaged_names', 'engine', 'failure',
    'instances', 'lookup', 'notification', 'part', 'reading', 'routes',
    'run', 'series', 'server', 'store', 'storing', 'study', 'study_digests',
    'time_limit']
