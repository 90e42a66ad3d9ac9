# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Orthancs that demo, tests and benchmarks can run with.

That of this machine serves unless the environment names another one; those of
other Debians are unpacked into the cache, with their plugins and libraries.
"""
import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cache import cache_folder
from .debian import DebianTree, unpack
from .process import StartError

__all__ = ['ORTHANC_VARIABLE', 'SUITES', 'Release', 'find', 'prepare']

# Set by ``./dev … --orthanc VERSION``
ORTHANC_VARIABLE = 'DEV_ORTHANC'
# Version: the suite of Debian that has it.  The last one moves on.
SUITES = {'1.10': 'bookworm', '1.12': 'trixie', '1.13': 'sid'}
PACKAGES = [
    'orthanc', 'orthanc-python', 'orthanc-dicomweb', 'orthanc-webviewer']
PLUGINS = {
    'dicomweb': 'libOrthancDicomWeb.so',
    'python': 'libOrthancPython.so',
    'webviewer': 'libOrthancWebViewer.so',
    'worklists': 'libModalityWorklists.so',
    }
PLUGIN_FOLDERS = ['usr/share/orthanc/plugins', 'usr/lib/orthanc']
PROGRAM = 'usr/sbin/Orthanc'
VERSION_TIMEOUT = 60


@dataclass(frozen=True)
class Release:
    """An Orthanc that can be started.

    Attributes
    ----------
    command
        The program and what comes before its own arguments.
    environment
        All its variables; those of the parent if None.
    root
        The folder that its plugins are found from.
    """
    command: tuple[str | os.PathLike, ...]
    environment: Mapping[str, str] | None
    root: Path

    def plugin(self, name: str) -> str:
        """Return the path of a plugin."""
        for folder in PLUGIN_FOLDERS:
            path = self.root / folder / PLUGINS[name]
            if path.exists():
                return str(path)
        raise StartError(f"Orthanc's plugin {name} is not installed")

    def version(self) -> str:
        """Return the version that the program says it has."""
        answer = subprocess.run(
            [*self.command, '--version'], env=self.environment, check=True,
            capture_output=True, text=True, timeout=VERSION_TIMEOUT)
        match = re.match(r'(?:.*/)?Orthanc (\S+)', answer.stdout)
        return match[1] if match else ''


def find(version: str | None = None) -> Release:
    """Return the Orthanc of a version.

    Parameters
    ----------
    version
        A key of `SUITES`; if None, that which the environment names, or else
        the one of this machine, whatever it is.

    Raises
    ------
    StartError
        It is not here.
    """
    version = version or os.environ.get(ORTHANC_VARIABLE)
    if not version or _is_installed(version):
        release, missing = _installed(), "Orthanc is not installed"
    else:
        release, missing = _unpacked(version), (
            f"Orthanc {version} has not been fetched: start ./dev with "
            f"--orthanc {version}")
    if release is None:
        raise StartError(missing)
    return release


def prepare(version: str) -> Release:
    """Return the Orthanc of a version, and fetch it if it is not here.

    Raises
    ------
    StartError
        With what to do.
    """
    if version not in SUITES:
        raise StartError(
            f"no Orthanc {version} is known here, but {', '.join(SUITES)}")
    if not _is_installed(version) and not _unpacked(version):
        try:
            unpack(_folder(version), SUITES[version], PACKAGES)
        except StartError as error:
            raise StartError(f"Orthanc {version}: {error}") from None
    return _checked(version)


def _checked(version: str) -> Release:
    release = find(version)
    found = release.version()
    if not _belongs(found, version):
        shutil.rmtree(_folder(version))
        raise StartError(
            f"Debian's suite {SUITES[version]} has Orthanc {found} now, and "
            f"no {version} any more")
    return release


def _belongs(version: str, release: str) -> bool:
    return f'{version}.'.startswith(f'{release}.')


def _folder(version: str) -> Path:
    return cache_folder() / f'orthanc-{version}'


@functools.cache
def _is_installed(version: str) -> bool:
    release = _installed()
    return release is not None and _belongs(release.version(), version)


def _installed() -> Release | None:
    program = shutil.which(
        'Orthanc', path=os.environ.get('PATH', '') + ':/usr/sbin')
    return Release((program,), None, Path('/')) if program else None


def _unpacked(version: str) -> Release | None:
    folder = _folder(version)
    if not folder.exists():
        return None
    tree = DebianTree(folder)
    return Release(
        tuple(tree.command(PROGRAM)), tree.environment(), folder)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description="Fetch Orthanc from Debian, and print its version.")
    parser.add_argument('versions', nargs='+', metavar='VERSION')
    for version in parser.parse_args().versions:
        try:
            print("Orthanc", prepare(version).version())
        except StartError as error:
            sys.exit(f"dev: {error}")
