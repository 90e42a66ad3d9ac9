# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the distribution holds, and what it replaces."""
import csv
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from devtools.testing import old_wheel
from devtools.tryton import MODULE, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = f'trytond/modules/{MODULE}'
DATA = {'.cfg', '.po', '.svg', '.xml'}
TIMEOUT = 300


def _run(*command: object) -> str:
    return subprocess.run(
        list(map(str, command)), check=True, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=TIMEOUT).stdout


def _sources() -> list[Path]:
    return [
        path for path in (ROOT / MODULE).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Our wheel, built from a copy without leftovers."""
    folder = tmp_path_factory.mktemp('wheel')
    return _build('--wheel', folder, [MODULE])


def _build(kind: str, folder: Path, folders: list[str]) -> Path:
    """Return a distribution of these folders."""
    source = folder / 'source'
    for name in folders:
        shutil.copytree(
            ROOT / name, source / name,
            ignore=shutil.ignore_patterns('__pycache__'))
    for name in [
            'CHANGELOG', 'COPYRIGHT', 'LICENSE', 'MANIFEST.in', 'README.md',
            'pyproject.toml', 'setup.cfg']:
        shutil.copy(ROOT / name, source)
    _run(sys.executable, '-m', 'build', '--no-isolation', kind,
        '--outdir', folder / 'dist', source)
    distribution, = (folder / 'dist').iterdir()
    return distribution


@pytest.fixture(scope='module')
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_package_is_listed():
    """A package that is not listed is left out of the wheel in silence."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    found = {
        '.'.join(['trytond.modules', *path.parent.relative_to(ROOT).parts])
        for path in (ROOT / MODULE).rglob('__init__.py')}
    assert set(project['tool']['setuptools']['packages']) == found


def test_version_is_that_of_the_module():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    configuration = (ROOT / MODULE / 'tryton.cfg').read_text()
    assert f"version={project['project']['version']}\n" in configuration


def test_wheel_holds_all_code_and_data(wheel_names):
    expected = {
        f'trytond/modules/{path.relative_to(ROOT)}' for path in _sources()
        if path.suffix in DATA | {'.py'}}
    assert f'{PACKAGE}/tryton.cfg' in expected
    assert expected <= wheel_names


def test_wheel_holds_nothing_else(wheel_names):
    sources = {
        f'trytond/modules/{path.relative_to(ROOT)}' for path in _sources()}
    others = {
        name for name in wheel_names - sources
        if not name.startswith('gnuhealth_orthanc-')}
    assert not others


def test_wheel_holds_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        licence, = [
            name for name in archive.namelist() if name.endswith('/LICENSE')]
        assert archive.read(licence) == (ROOT / 'LICENSE').read_bytes()


def test_sdist_holds_what_is_installed_by_hand(tmp_path):
    """With the modules that the plugin and the scripts are built from."""
    folders = ['orthanc_plugin', 'sao_custom', 'scripts']
    sdist = _build('--sdist', tmp_path, [*folders, MODULE])
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    expected = {
        str(path.relative_to(ROOT)) for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts}
    assert 'orthanc_plugin/src/matching.py' in expected
    assert 'scripts/src/connection.py' in expected
    assert expected <= names


@pytest.fixture
def site_packages(tmp_path) -> Path:
    """Those of a new virtual environment without pip."""
    _run(sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'venv')
    site_packages, = (tmp_path / 'venv').glob('lib/python*/site-packages')
    return site_packages


def _install(site_packages: Path, wheel: Path) -> None:
    python = site_packages.parents[2] / 'bin' / 'python'
    _run(sys.executable, '-m', 'pip', '--python', python, 'install',
        '--no-deps', '--no-index', '--no-compile', wheel)


def _files(site_packages: Path) -> set[str]:
    return {
        str(path.relative_to(site_packages))
        for path in site_packages.rglob('*') if path.is_file()}


def _recorded(site_packages: Path) -> set[str]:
    records = list(site_packages.glob('gnuhealth_orthanc-*/RECORD'))
    assert len(records) == 1
    with records[0].open() as stream:
        return {row[0] for row in csv.reader(stream)}


def test_wheel_replaces_the_old_module(site_packages, wheel, wheel_names):
    before = _files(site_packages)
    _install(site_packages, old_wheel())
    old = _files(site_packages) - before
    assert f'{PACKAGE}/health_orthanc.py' in old
    _install(site_packages, wheel)
    files = _files(site_packages) - before
    assert files == _recorded(site_packages)
    assert {name for name in files if name.startswith('trytond/')} == {
        name for name in wheel_names if name.startswith('trytond/')}
