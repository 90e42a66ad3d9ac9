# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of the roles, and the statistics on them"""

from . import (
    board, order_statistics, server_statistics, statistics, step_statistics,
    study_statistics)

__all__ = [
    'board', 'order_statistics', 'server_statistics', 'statistics',
    'step_statistics', 'study_statistics']
