# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers that every room may use, independent of imaging"""

from . import (
    access, access_log, application, attachments, cron, dates, diagnostics,
    domains, empty_lists, exceptions, languages, locks, printing, registration,
    routes, rows, transaction, views)

# Loggers have explicit names, some of which differ from the name of their
# file: they date from before the files were moved into rooms, and hospitals
# configure logging by them.

__all__ = [
    'access', 'access_log', 'application', 'attachments', 'cron', 'dates',
    'diagnostics', 'domains', 'empty_lists', 'exceptions', 'languages',
    'locks', 'printing', 'registration', 'routes', 'rows', 'transaction',
    'views']
