# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on the screen, under the rights of GNU Health"""

from . import cron, rights, routes, session

__all__ = ['cron', 'rights', 'routes', 'session']
