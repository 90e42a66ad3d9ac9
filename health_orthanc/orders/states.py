# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""States that orders and procedure steps share"""

__all__ = ['OPEN_STATES']

# States of steps that are still to be done
OPEN_STATES = ['scheduled', 'in_progress']
