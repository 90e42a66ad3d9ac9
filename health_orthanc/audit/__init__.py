# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who saw, changed or was refused which images"""

from . import chain, entry, refusal_routes, trail

__all__ = ['chain', 'entry', 'refusal_routes', 'trail']
