# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the screen, under the rights of GNU Health"""

from . import (
    authorization, authorization_routes, cron, dicomweb_routes, memory, ohif,
    ohif_routes, result_report, rights, routes, search, server, session,
    thumbnail, timeline, viewable, viewer_access, viewer_token)

__all__ = [
    'authorization', 'authorization_routes', 'cron', 'dicomweb_routes',
    'memory', 'ohif', 'ohif_routes', 'result_report', 'rights', 'routes',
    'search', 'server', 'session', 'thumbnail', 'timeline', 'viewable',
    'viewer_access', 'viewer_token']
