# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton's web client, put together from npm's packages.

The package of the client is built already, but would fetch its libraries
with bower; npm has them too.
"""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .tryton import ROOT

__all__ = ['assemble', 'custom_files', 'with_custom_files']

CLIENT = 'tryton-sao@7.0.56'
# npm package: folder in bower_components
LIBRARIES = {
    'bootstrap@3.4.1': 'bootstrap',
    'c3@0.7.20': 'c3',
    'd3@5.16.0': 'd3',
    'fullcalendar@3.10.5': 'fullcalendar',
    'gettext.js@0.7.0': 'gettext.js',
    'jquery@3.7.1': 'jquery',
    'moment@2.30.1': 'moment',
    'mousetrap@1.6.5': 'mousetrap',
    'papaparse@5.4.1': 'papaparse',
    'sortablejs@1.8.4': 'Sortable',
    }
NPM_TIMEOUT = 300


def assemble(cache: Path) -> Path:
    """Return the folder of the client, made on the first call.

    Parameters
    ----------
    cache
        Where it is kept, under the versions it is made of.
    """
    path = cache / f'sao-{_key()}'
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # In place at once, for another run may do the same.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            client = _build(Path(folder))
            try:
                client.rename(path)
            except OSError:
                if not path.exists():
                    raise
    return path


def custom_files() -> list[Path]:
    """Return what this module puts beside ``index.html``."""
    return [ROOT / 'sao_custom' / 'custom.js']


def with_custom_files(client: Path, folder: Path, *custom: Path) -> Path:
    """Make `folder` the client with our own files, and return it.

    Parameters
    ----------
    client
        The folder that `assemble` returned; it is linked to, not copied.
    folder
        Made anew.
    custom
        Files to be put beside ``index.html``, like ``custom.js``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = {path.name for path in custom}
    for path in client.iterdir():
        if path.name not in own:
            (folder / path.name).symlink_to(path)
    for path in custom:
        shutil.copy(path, folder)
    return folder


def _key() -> str:
    packages = json.dumps([CLIENT, LIBRARIES], sort_keys=True)
    return hashlib.sha256(packages.encode()).hexdigest()[:12]


def _build(folder: Path) -> Path:
    archives = _pack(folder)
    client = _extract(archives[CLIENT], folder / 'sao')
    for package, name in LIBRARIES.items():
        _extract(archives[package], client / 'bower_components' / name)
    for name in ['c3', 'd3', 'papaparse', 'Sortable']:
        _flatten(client / 'bower_components' / name)
    for name in ['custom.js', 'custom.css']:
        (client / name).touch()
    return client


def _pack(folder: Path) -> dict[str, Path]:
    """Fetch the packages without running anything of theirs."""
    packages = [CLIENT, *LIBRARIES]
    result = subprocess.run(
        ['npm', 'pack', '--json', '--ignore-scripts', *packages],
        cwd=folder, env={**os.environ, 'npm_config_update_notifier': 'false'},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=NPM_TIMEOUT)
    if result.returncode:
        raise RuntimeError(f"npm pack failed:\n{result.stderr}")
    return {
        package: folder / (package.replace('@', '-') + '.tgz')
        for package in packages}


def _extract(archive: Path, target: Path) -> Path:
    """Extract an npm package without its top folder."""
    target.mkdir(parents=True)
    subprocess.run(
        ['tar', '--extract', '--file', archive, '--directory', target,
            '--strip-components=1', '--no-same-owner'],
        check=True, timeout=NPM_TIMEOUT)
    return target


def _flatten(folder: Path) -> None:
    """Copy minified files to where bower's packages have them."""
    for path in [*folder.glob('*.min.*'), *folder.glob('dist/*.min.*')]:
        if path.parent != folder:
            shutil.copy(path, folder)
