# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modality worklists: templates, items, and how they are served"""

from . import (
    cron, evaluation, item, request, rest, routes, server, step, study_type,
    template, variables)

__all__ = [
    'cron', 'evaluation', 'item', 'request', 'rest', 'routes', 'server',
    'step', 'study_type', 'template', 'variables']
