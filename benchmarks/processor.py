# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that processors have worked."""
import os
from pathlib import Path

__all__ = ['load_of', 'processor_seconds']

_TICKS = os.sysconf('SC_CLK_TCK')


def load_of() -> float:
    """Return how many processes wanted a processor in the last 5 minutes."""
    return os.getloadavg()[1]


def processor_seconds(pid: int) -> float:
    """Return the seconds of a process and its children, also of ended ones."""
    total = 0
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            # The name in parentheses may hold spaces
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        number, parent = int(path.parent.name), int(fields[1])
        user, system, ended_user, ended_system = map(int, fields[11:15])
        if parent == pid:
            total += user + system
        elif number == pid:
            total += user + system + ended_user + ended_system
    return total / _TICKS
