# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of the viewer: fetched from npm, and checked."""
import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from .failures import Failure, Unusable
from .viewer_rewriting import PLAIN_NAME, is_needed

VIEWER_VERSION = '3.13.2'
VIEWER_PACKAGE = f'@ohif/app@{VIEWER_VERSION}'
# As npm's registry has it; what is not exactly this is not installed
INTEGRITY = (
    'sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F'
    '87BKxFfpq+jd5xXZB9E8EA==')
_TOP = PurePosixPath('package')
FETCH_TIMEOUT = 600  # seconds
# What the files may have together, which are 213 MB
LARGEST = 400 * 2**20


def fetch_package() -> bytes:
    """Return the package, fetched with npm from the registry that it knows.

    Raises
    ------
    Failure
    """
    with tempfile.TemporaryDirectory(prefix='viewer-') as folder:
        try:
            done = subprocess.run(
                ['npm', 'pack', '--silent', '--ignore-scripts',
                    VIEWER_PACKAGE],
                cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=FETCH_TIMEOUT)
        except FileNotFoundError:
            raise Unusable(
                "npm is not installed. Install it, or fetch the package "
                f"{VIEWER_PACKAGE} elsewhere and name its file with "
                "--archive.") from None
        except subprocess.TimeoutExpired:
            raise Failure(
                f"npm has not fetched the package in {FETCH_TIMEOUT} s."
                ) from None
        found = list(Path(folder).glob('*.tgz'))
        if done.returncode or len(found) != 1:
            raise Failure(f"npm could not fetch the package:\n{done.stderr}")
        return found[0].read_bytes()


def read_package(archive: bytes) -> dict[str, bytes]:
    """Return the files of the package that are needed, by their paths.

    Raises
    ------
    Failure
        If it is not the package.
    """
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f'sha512-{digest}' != INTEGRITY:
        raise Failure(
            f"This is not the package {VIEWER_PACKAGE}, or it is damaged. "
            "Nothing was installed.")
    with tarfile.open(fileobj=io.BytesIO(archive), mode='r:gz') as tar:
        return _read_members(tar)


def _read_members(tar: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path == _TOP / 'LICENSE':
            name = 'LICENSE'
        elif path.is_relative_to(_TOP / 'dist'):
            name = str(path.relative_to(_TOP / 'dist'))
        else:
            continue
        size += member.size
        content = tar.extractfile(member) if member.isfile() else None
        if content is None or not is_needed(name):
            continue
        if not PLAIN_NAME.fullmatch(name) or size > LARGEST:
            raise Failure("The package is not as expected")
        files[name] = content.read()
    return files
