# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who saw, changed or was refused which images"""

from . import (
    chain, cron, delivery, entry, pending, refusal_routes, retention, trail)

__all__ = [
    'chain', 'cron', 'delivery', 'entry', 'pending', 'refusal_routes',
    'retention', 'trail']
