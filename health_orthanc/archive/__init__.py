# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Orthanc servers hold: patients, studies, series, instances"""

from . import (
    instance, patient, preview, resource, series, server, study, viewer)

__all__ = [
    'instance', 'patient', 'preview', 'resource', 'series', 'server',
    'study', 'viewer']
