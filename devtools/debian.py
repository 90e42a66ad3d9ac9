# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of other suites of Debian, unpacked into a folder.

They come from the archive that the apt sources of this machine name, and apt
checks their signatures.  Nothing is installed, and none of their scripts runs.
"""
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .process import StartError

__all__ = ['DebianTree', 'unpack']

KEYRING = Path('/usr/share/keyrings/debian-archive-keyring.gpg')
# Suites of an archive proper, unlike those of its updates
NAMES = {'oldstable', 'stable', 'testing', 'unstable', 'sid'}
APT_TIMEOUT = 600
# A search for packages and their dependencies from nothing
OPTIONS = '''
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Default-Release "";
Acquire::Languages "none";
'''


def unpack(folder: Path, suite: str, packages: Sequence[str]) -> None:
    """Unpack packages and all that they depend on.

    Parameters
    ----------
    folder
        Made by this; it must not exist, unless another run has made it
        meanwhile.
    suite
        The name of a suite, like ``trixie``.
    packages
        The names of the packages.

    Raises
    ------
    StartError
        No apt source names Debian's archive, or the archive cannot be
        reached, or lacks the suite or one of the packages.
    """
    archive = _archive()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In place at once, for another run may do the same.
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part = Path(name)
        environment = _configure(part, archive, suite)
        _run(['apt-get', 'update', '--quiet'], suite, environment)
        _run(
            ['apt-get', 'install', '--quiet', '--yes', '--download-only',
                *packages], suite, environment)
        tree = part / 'tree'
        for package in sorted((part / 'archives').glob('*.deb')):
            _run(['dpkg-deb', '--extract', package, tree], suite)
        _take_privileges(tree)
        try:
            tree.rename(folder)
        except OSError:
            if not folder.exists():
                raise


def _archive() -> str:
    """Return the address of Debian's archive."""
    try:
        own = platform.freedesktop_os_release().get('VERSION_CODENAME')
        answer = subprocess.run(
            ['apt-get', 'indextargets', '--format',
                '$(RELEASE) $(COMPONENT) $(REPO_URI)',
                'Created-By: Packages'],
            check=True, capture_output=True, text=True, timeout=APT_TIMEOUT)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(f"apt does not name its sources: {error}") from error
    for line in answer.stdout.splitlines():
        suite, component, address = line.split(' ', 2)
        if component == 'main' and suite in {own, *NAMES}:
            return address
    raise StartError("no apt source of this machine names Debian's archive")


def _configure(folder: Path, archive: str, suite: str) -> dict[str, str]:
    """Return the environment in which apt uses `folder` and nothing else.
    """
    (folder / 'lists' / 'partial').mkdir(parents=True)
    (folder / 'archives' / 'partial').mkdir(parents=True)
    (folder / 'status').touch()
    signature = f'[signed-by={KEYRING}] ' if KEYRING.exists() else ''
    (folder / 'sources.list').write_text(
        f'deb {signature}{archive} {suite} main\n')
    configuration = folder / 'apt.conf'
    configuration.write_text(OPTIONS.format(folder=folder))
    return {
        **os.environ, 'APT_CONFIG': str(configuration), 'LC_ALL': 'C.UTF-8'}


def _run(
        command: Sequence[str | os.PathLike], suite: str,
        environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors='replace', timeout=APT_TIMEOUT)
    if result.returncode:
        raise StartError(
            f"packages of Debian's suite {suite} cannot be fetched:\n"
            f"{result.stdout}")


def _take_privileges(tree: Path) -> None:
    """Let no program in a folder run as somebody else than who starts it.
    """
    for path in tree.rglob('*'):
        if not path.is_symlink() and path.stat().st_mode & 0o6000:
            path.chmod(path.stat().st_mode & 0o1777)


class DebianTree:
    """Programs of another Debian, run from a folder with their libraries.

    Parameters
    ----------
    folder
        What `unpack` has made.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._loader = next(
            path for library in ['lib', 'usr/lib']
            for path in folder.glob(f'{library}/*-linux-gnu/ld-linux*.so.*'))

    def command(self, program: str) -> list[str | os.PathLike]:
        """Return what starts a program, named by its path from the root."""
        return [
            self._loader, '--library-path', self._libraries(),
            self.folder / program]

    def _libraries(self) -> str:
        architecture = self._loader.parent.name
        return ':'.join(
            str(self.folder / path)
            for path in [
                f'lib/{architecture}', f'usr/lib/{architecture}', 'usr/lib'])

    def environment(self) -> dict[str, str]:
        """Return the variables with which libraries find their files."""
        variables = {
            name: value for name, value in os.environ.items()
            if not name.startswith('PYTHON')}
        usr = self.folder / 'usr'
        # Not diconde.dic, which gives other names to elements
        dictionaries = [
            path for name in ['dicom.dic', 'private.dic']
            for path in usr.glob(f'share/*dcmtk*/{name}')]
        return {
            **variables,
            'PYTHONHOME': str(usr),
            'DCMDICTPATH': ':'.join(map(str, dictionaries)),
            'GCONV_PATH': str(
                usr / 'lib' / self._loader.parent.name / 'gconv'),
            }
