# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of the roles, and the statistics on them"""

from . import board, orders, servers, statistics, steps, studies

__all__ = ['board', 'orders', 'servers', 'statistics', 'steps', 'studies']
