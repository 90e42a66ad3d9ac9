# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OHIF viewer, installed into the cache as an administrator does it."""
import hashlib
import tempfile
from pathlib import Path

from scripts.src.viewer_folder import install_viewer
from scripts.src.viewer_package import fetch_package, read_package

from .tryton import ROOT

__all__ = ['assemble']

SOURCES = ['viewer_folder.py', 'viewer_package.py', 'viewer_rewriting.py']


def assemble(cache: Path) -> Path:
    """Return the folder of the viewer, made on the first call.

    Parameters
    ----------
    cache
        Where it is kept, under the sources that have made it.
    """
    path = cache / f'viewer-{_key()}'
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # In place at once, for another run may do the same.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder, 'viewer')
            install_viewer(read_package(fetch_package()), made)
            try:
                made.rename(path)
            except OSError:
                if not path.exists():
                    raise
    return path


def _key() -> str:
    content = b''.join(
        (ROOT / 'scripts' / 'src' / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(content).hexdigest()[:12]
