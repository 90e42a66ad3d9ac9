# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of what Orthanc servers hold, and the servers"""

from . import (
    audited, contact, cron, database, instance, patient, preview, quarantine,
    resource, series, server, study, viewer)

__all__ = [
    'audited', 'contact', 'cron', 'database', 'instance', 'patient', 'preview',
    'quarantine', 'resource', 'series', 'server', 'study', 'viewer']
