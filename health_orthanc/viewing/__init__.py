# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the screen, under the rights of GNU Health"""

from . import (
    cron, ohif, ohif_routes, rights, routes, session, thumbnail, timeline,
    viewable)

__all__ = [
    'cron', 'ohif', 'ohif_routes', 'rights', 'routes', 'session',
    'thumbnail', 'timeline', 'viewable']
