# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer of images, and patient reconciliation"""

from . import (
    attachment, cron, deletion, download, download_routes, reception,
    reconciliation, routes, upload, upload_session, view)

__all__ = [
    'attachment', 'cron', 'deletion', 'download', 'download_routes',
    'reception', 'reconciliation', 'routes', 'upload', 'upload_session',
    'view']
