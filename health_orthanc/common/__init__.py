# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every room may use, and nothing about imaging"""

from . import (
    access, application, cron, domains, exceptions, locks, registration,
    routes, rows, transaction)

__all__ = [
    'access', 'application', 'cron', 'domains', 'exceptions', 'locks',
    'registration', 'routes', 'rows', 'transaction']
