# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of this process and of its server of PostgreSQL."""
import os
import time
from pathlib import Path
from typing import Any

__all__ = ['Processor']


class Processor:
    """How long processors have worked for us, whatever else they did.

    Parameters
    ----------
    cursor
        Of a connection to a server of our own on this machine.
    """

    def __init__(self, cursor: Any):
        cursor.execute('SELECT pg_backend_pid()')
        pid, = cursor.fetchone()
        self._postmaster = int(self._fields(pid)[1])
        self._ticks = os.sysconf('SC_CLK_TCK')

    @property
    def seconds(self) -> float:
        """Return the seconds up to now, in steps of the kernel's clock."""
        ticks = sum(map(int, self._fields(self._postmaster)[11:15]))
        for folder in Path('/proc').glob('[0-9]*'):
            try:
                fields = self._fields(int(folder.name))
            except OSError:
                # It has ended: its parent has its time
                continue
            if int(fields[1]) == self._postmaster:
                ticks += int(fields[11]) + int(fields[12])
        return time.process_time() + ticks / self._ticks

    @staticmethod
    def _fields(pid: int) -> list[str]:
        "Return the fields of a process from its state on"
        text = Path(f'/proc/{pid}/stat').read_text()
        return text.rpartition(')')[2].split()
