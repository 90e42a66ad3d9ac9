# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer of images, and patient reconciliation"""

from . import (
    attachment, cron, deletion, download, download_routes, move, reception,
    reconciliation, relink, routes, upload, upload_session, uploaded, view,
    withholding, wrong_patient, wrong_patient_notice)

__all__ = [
    'attachment', 'cron', 'deletion', 'download', 'download_routes', 'move',
    'reception', 'reconciliation', 'relink', 'routes', 'upload',
    'upload_session', 'uploaded', 'view', 'withholding', 'wrong_patient',
    'wrong_patient_notice']
