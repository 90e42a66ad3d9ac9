# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What administrators watch: health, warnings, metrics"""

from . import (
    cron, figures, health, plugin_routes, retry, routes, server, warning)

__all__ = [
    'cron', 'figures', 'health', 'plugin_routes', 'retry', 'routes', 'server',
    'warning']
