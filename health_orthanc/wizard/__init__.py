# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from . import (
    correction, deletion, dismissal, download, plugin, preview, review, server,
    step, synchronization, upload, viewer)

__all__ = [
    'correction', 'deletion', 'dismissal', 'download', 'plugin', 'preview',
    'review', 'server', 'step', 'synchronization', 'upload', 'viewer']
