# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that GNU Health serves the viewer from.

``manifest.json`` lists the files, which are in a folder named as their
revision. It is replaced last, so that a viewer is there whole or not at all.
"""
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from .failures import Failure, Unusable
from .viewer_package import VIEWER_VERSION
from .viewer_rewriting import (
    PROGRAMS_COUNT, count_programs, find_left_paths, rewrite)

MANIFEST_NAME = 'manifest.json'
# What becomes smaller; images and fonts are compressed as they are
_COMPRESSED = ('.js', '.css', '.html', '.json', '.svg', '.wasm', '.xml')
_TYPES = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.ttf': 'font/ttf',
    '.wasm': 'application/wasm',
    '.webapp': 'application/json',
    '.woff2': 'font/woff2',
    '.xml': 'application/xml',
    }
# The worker that decodes JPEG 2000 makes functions of texts
_EVALUATING = '8097.bundle.'


def install_viewer(package: dict[str, bytes], folder: Path) -> dict:
    """Write the rewritten files of a package, and return their manifest.

    Parameters
    ----------
    package
        As `read_package` returns it.

    Raises
    ------
    Failure
        If the files are not as expected; the folder is left as it was.
    OSError
    """
    files = {
        name: rewrite(name, content) for name, content in package.items()}
    left = find_left_paths(files)
    if left or count_programs(files) != PROGRAMS_COUNT:
        raise Failure(
            f"The files of the viewer are not as expected: {', '.join(left)}")
    manifest = _describe_files(files)
    folder.mkdir(parents=True, exist_ok=True)
    former = _find_former(folder)
    _write_revision(files, folder, manifest['revision'])
    _replace_text(
        folder / MANIFEST_NAME, json.dumps(manifest, indent=1) + '\n')
    if former and former != manifest['revision']:
        shutil.rmtree(folder / former, ignore_errors=True)
    return manifest


def _find_former(folder: Path) -> str | None:
    "Return the revision in a folder; it holds nothing else"
    try:
        revision = json.loads((folder / MANIFEST_NAME).read_text())['revision']
        if not re.fullmatch('[0-9a-f]{16}', revision):
            raise ValueError(revision)
        return revision
    except FileNotFoundError:
        if any(folder.iterdir()):
            raise Unusable(
                f"{folder} is neither empty nor the folder of a viewer. Name "
                "another one.") from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(
            f"{folder / MANIFEST_NAME} is damaged. Remove the folder."
            ) from error


def _describe_files(files: dict[str, bytes]) -> dict:
    listed: dict[str, dict] = {}
    for name, content in sorted(files.items()):
        suffix = Path(name).suffix
        listed[name] = {
            'sha256': hashlib.sha256(content).hexdigest(),
            'size': len(content),
            'type': _TYPES.get(suffix, 'text/plain; charset=utf-8'),
            'gzip': suffix in _COMPRESSED,
            'eval': name.startswith(_EVALUATING),
            }
    revision = hashlib.sha256(
        json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
    return {
        'version': VIEWER_VERSION, 'revision': revision, 'files': listed}


def _write_revision(
        files: dict[str, bytes], folder: Path, revision: str) -> None:
    part = Path(tempfile.mkdtemp(prefix='part-', dir=folder))
    try:
        for name, content in files.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if path.suffix in _COMPRESSED:
                # No time in it: the same content is the same file
                path.with_name(f'{path.name}.gz').write_bytes(
                    gzip.compress(content, mtime=0))
        part.chmod(0o755)
        shutil.rmtree(folder / revision, ignore_errors=True)
        part.rename(folder / revision)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace_text(path: Path, text: str) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(part, 0o644)
    os.replace(part, path)


def check_viewer(folder: Path) -> dict:
    """Compare the files with their manifest, and return it.

    Raises
    ------
    Failure
        If one is missing or differs, or if no viewer is installed.
    """
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_text())
        names = manifest['files']
        for name, described in names.items():
            path = folder / manifest['revision'] / name
            contents = [path.read_bytes()]
            if described['gzip']:
                contents.append(gzip.decompress(
                        path.with_name(f'{path.name}.gz').read_bytes()))
            for content in contents:
                digest = hashlib.sha256(content).hexdigest()
                if digest != described['sha256']:
                    raise Failure(
                        f"{path} has changed. Install the viewer again.")
    except FileNotFoundError as error:
        raise Failure(
            f"{error.filename} is missing. Install the viewer.") from error
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise Failure(
            f"The viewer in {folder} cannot be read: {error}. Install it "
            "again.") from error
    return manifest
