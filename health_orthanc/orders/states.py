# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states that orders and their procedure steps share."""

__all__ = ['OPEN_STATES']

# Of steps that are still to be done
OPEN_STATES = ['scheduled', 'in_progress']
