# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of what takes long to fetch or to make."""
import os
from pathlib import Path

__all__ = ['ROOT', 'cache_folder']

ROOT = Path(__file__).resolve().parent.parent


def cache_folder() -> Path:
    """Return where prepared databases and clients are kept."""
    return Path(os.environ.get('DEV_CACHE') or ROOT / '.cache')
