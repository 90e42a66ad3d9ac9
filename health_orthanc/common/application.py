# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.pool import PoolMeta

__all__ = ['APPLICATION', 'UserApplication']

# Of the keys of plugins
APPLICATION = 'health_orthanc'


class UserApplication(metaclass=PoolMeta):
    __name__ = 'res.user.application'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.application.selection.append((APPLICATION, "Orthanc Plugin"))
