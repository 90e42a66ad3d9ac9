# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OHIF viewer, installed into the cache as an administrator does it."""
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.src.viewer_folder import install_viewer
from scripts.src.viewer_package import (
    VIEWER_VERSION, fetch_package, read_package)

from .tryton import ROOT

__all__ = ['assemble', 'fetch_archive']

SOURCES = ['viewer_folder.py', 'viewer_package.py', 'viewer_rewriting.py']


def fetch_archive(cache: Path) -> Path:
    """Return the package of the viewer, fetched on the first call.

    Parameters
    ----------
    cache
        Where it is kept.
    """
    path = cache / f'ohif-app-{VIEWER_VERSION}.tgz'
    if not path.exists():
        _put(path, lambda part: part.write_bytes(fetch_package()))
    return path


def assemble(cache: Path) -> Path:
    """Return the folder of the viewer, made on the first call.

    Parameters
    ----------
    cache
        Where it is kept, under the sources that have made it.
    """
    path = cache / f'viewer-{_key()}'
    if not path.exists():
        archive = fetch_archive(cache)
        _put(path, lambda part: install_viewer(
                read_package(archive.read_bytes()), part))
    return path


def _put(path: Path, make: Callable[[Path], object]) -> None:
    """Make a file or folder that is in place at once.

    Another run may do the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder, path.name)
        make(made)
        try:
            made.rename(path)
        except OSError:
            if not path.exists():
                raise


def _key() -> str:
    content = b''.join(
        (ROOT / 'scripts' / 'src' / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(content).hexdigest()[:12]
