# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Application type of the plugin's keys"""

from trytond.pool import PoolMeta

__all__ = ['APPLICATION', 'MODULE', 'UserApplication']

MODULE = 'health_orthanc'

# The type of the plugins' keys
APPLICATION = 'health_orthanc'


class UserApplication(metaclass=PoolMeta):
    __name__ = 'res.user.application'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.application.selection.append((APPLICATION, "Orthanc Plugin"))
