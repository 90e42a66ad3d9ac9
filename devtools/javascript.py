# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The style and the tests of what runs in the web client."""
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .tryton import ROOT

__all__ = ['accessibility_checker', 'install', 'lint', 'run_tests']

LINTER = 'eslint@9.9.1'
# What finds obstacles for people who cannot see, or use no mouse
CHECKER = 'axe-core@4.10.3'
CONFIGURATION = 'tests/javascript/eslint.config.cjs'
INSTALL_TIMEOUT = 300
TIMEOUT = 120


def install(cache: Path) -> None:
    """Install what is not there yet."""
    for package in [LINTER, CHECKER]:
        _installed(cache, package)


def _installed(cache: Path, package: str) -> Path:
    """Return the folder of npm's package, installed on the first call."""
    path = cache / package.replace('@', '-')
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # In place at once, for another run may do the same.
        with tempfile.TemporaryDirectory(dir=cache) as name:
            folder = Path(name, 'package')
            folder.mkdir()
            _call([
                    'npm', 'install', '--ignore-scripts', '--no-audit',
                    '--no-fund', '--prefix', folder, package],
                INSTALL_TIMEOUT, npm_config_update_notifier='false')
            try:
                folder.rename(path)
            except OSError:
                if not path.exists():
                    raise
    return path


def lint(cache: Path, *paths: str) -> None:
    """Check the style of files below the root of the repository."""
    modules = _installed(cache, LINTER) / 'node_modules'
    _call([
            'node', modules / 'eslint' / 'bin' / 'eslint.js',
            '--config', CONFIGURATION, '--max-warnings', '0', *paths],
        TIMEOUT, NODE_PATH=str(modules))


def accessibility_checker(cache: Path) -> str:
    """Return the script of axe-core, to be run in a page."""
    folder = _installed(cache, CHECKER)
    return (folder / 'node_modules' / 'axe-core' / 'axe.min.js').read_text()


def run_tests(*paths: str) -> str:
    """Run node's tests in files below the root and return what they tell."""
    return _call(['node', '--test', *paths], TIMEOUT)


def _call(command: Sequence[str | Path], timeout: int, **variables: str
        ) -> str:
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout)
    if result.returncode:
        raise RuntimeError(
            f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    return result.stdout
