# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards of the clients"""

from . import (
    confirmation, connect_authorization, daily_schedule, database, deletion,
    dismissal, download, historical, order, plugin, preview, reconciliation,
    review, server, step, synchronization, upload, view_images, viewer,
    wrong_patient)

__all__ = [
    'confirmation', 'connect_authorization', 'daily_schedule', 'database',
    'deletion', 'dismissal', 'download', 'historical', 'order', 'plugin',
    'preview', 'reconciliation', 'review', 'server', 'step',
    'synchronization', 'upload', 'view_images', 'viewer', 'wrong_patient']
