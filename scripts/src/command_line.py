# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password in the command line of a process."""
import os
from pathlib import Path


def hide_argument(text: str) -> None:
    """Overwrite a text in the arguments that the system shows of the process.

    It does so on Linux only.
    """
    try:
        import ctypes
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2]
        # proc(5): fields 48 and 49; the first one here is the third.
        start, end = map(int, fields.split()[45:47])
        shown = ctypes.string_at(start, end - start) if start else b''
        blank = shown.replace(os.fsencode(text), b'x' * len(os.fsencode(text)))
        ctypes.memmove(start, blank, len(shown))
    except (ImportError, OSError, ValueError):
        pass  # --help warns of -P
