# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and identities on their way into and out of Orthanc"""

from . import (
    attachment, cron, deletion, download, download_routes, reconciliation,
    routes, spool, upload, upload_session, view)

__all__ = [
    'attachment', 'cron', 'deletion', 'download', 'download_routes',
    'reconciliation', 'routes', 'spool', 'upload', 'upload_session', 'view']
