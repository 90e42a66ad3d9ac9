# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the screen, under the rights of GNU Health"""

from . import (
    cron, dicomweb_routes, memory, ohif, ohif_routes, rights, routes, search,
    session, thumbnail, timeline, viewable, viewer_access)

__all__ = [
    'cron', 'dicomweb_routes', 'memory', 'ohif', 'ohif_routes', 'rights',
    'routes', 'search', 'session', 'thumbnail', 'timeline', 'viewable',
    'viewer_access']
