# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from . import plugin, preview, server, step, synchronization, viewer

__all__ = [
    'plugin', 'preview', 'server', 'step', 'synchronization', 'viewer']
