# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the distribution holds, and what it replaces."""
import csv
import os
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
DATA = {'.cfg', '.fodt', '.js', '.po', '.svg', '.xml'}
# The commands, and the files that they are in
SCRIPTS = {
    'health-orthanc-audit-check': 'health_orthanc_audit_check',
    'health-orthanc-viewer': 'health_orthanc_viewer',
    'sync_orthanc_server': 'sync_orthanc_server',
    'update_worklists_database': 'update_worklists_database',
    }
# Folders beside the module that are installed into `share`
SHARED = ['deploy', 'orthanc_plugin', 'sao_custom', 'scripts']
SHARE = 'share/health_orthanc'
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
    """Our wheel, built from a copy with leftovers of another one."""
    folder = tmp_path_factory.mktemp('wheel')
    gone = folder / 'source' / 'build' / 'lib' / PACKAGE / 'gone.py'
    gone.parent.mkdir(parents=True)
    gone.touch()
    wheel = _build('--wheel', folder, [MODULE, *SHARED])
    # The next one does not find what this one was made of
    assert _files(folder / 'source' / 'build') == {
        f'lib/{PACKAGE}/gone.py'}
    return wheel


def _build(kind: str, folder: Path, folders: list[str]) -> Path:
    """Return a distribution of these folders."""
    source = folder / 'source'
    for name in folders:
        shutil.copytree(
            ROOT / name, source / name,
            ignore=shutil.ignore_patterns('__pycache__'))
    for name in [
            'CHANGELOG', 'COPYRIGHT', 'LICENSE', 'MANIFEST.in', 'README.md',
            'pyproject.toml', 'setup.cfg', 'setup.py']:
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
    found.add('health_orthanc_scripts')
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
    scripts = {
        f'health_orthanc_scripts/{name}.py' for name in SCRIPTS.values()}
    others = {
        name for name in wheel_names - sources - scripts
        if '.dist-info/' not in name and f'.data/data/{SHARE}/' not in name}
    assert not others


def _shared(names: set[str]) -> set[str]:
    """Return the files that go into `share`."""
    start = f'.data/data/{SHARE}/'
    return {name.partition(start)[2] for name in names if start in name}


def test_wheel_holds_what_is_not_of_the_module(wheel_names):
    """For the web client, for Orthanc, and for the administrator."""
    deployed = {
        str(path.relative_to(ROOT))
        for path in (ROOT / 'deploy').rglob('*') if path.is_file()}
    assert len(deployed) > 15
    assert _shared(wheel_names) == deployed | {
        'orthanc_plugin/LICENSE', 'orthanc_plugin/health_orthanc.lua',
        'orthanc_plugin/health_orthanc.py', 'sao_custom/custom.js',
        'scripts/health_orthanc_viewer.py', 'scripts/sync_orthanc_server.py',
        'scripts/update_worklists_database.py',
        'scripts/worklists_service_demo.sh'}


def test_custom_js_is_where_it_was(wheel, wheel_names):
    """Links of web clients lead there since gnuhealth-orthanc 5.0."""
    name = f'{PACKAGE}/custom.js'
    with zipfile.ZipFile(old_wheel()) as archive:
        assert name in archive.namelist()
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(name) == (
            ROOT / 'sao_custom' / 'custom.js').read_bytes()


def test_plugin_has_its_licence():
    text = (ROOT / 'orthanc_plugin' / 'LICENSE').read_text()
    assert text.split()[:4] == ['GNU', 'AFFERO', 'GENERAL', 'PUBLIC']
    plugin = (ROOT / 'orthanc_plugin' / 'health_orthanc.py').read_text()
    assert 'AGPL-3.0-or-later' in plugin


def test_wheel_holds_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        licence, = [
            name for name in archive.namelist()
            if '.dist-info/' in name and name.endswith('/LICENSE')]
        assert archive.read(licence) == (ROOT / 'LICENSE').read_bytes()


def test_sdist_holds_what_is_installed_by_hand(tmp_path):
    """With the modules that the plugin and the scripts are built from."""
    folders = [*SHARED, 'doc']
    sdist = _build('--sdist', tmp_path, [*folders, MODULE])
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    expected = {
        str(path.relative_to(ROOT)) for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts}
    assert {
        'doc/deployment.md', 'doc/review.png',
        'orthanc_plugin/LICENSE', 'orthanc_plugin/src/matching.py'} < expected
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
        # What is beside, such as commands, begins with ..
        return {
            row[0] for row in csv.reader(stream)
            if not row[0].startswith('..')}


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
    environment = site_packages.parents[2]
    assert (environment / SHARE / 'sao_custom' / 'custom.js').exists()


def test_scripts_are_commands(site_packages, wheel):
    """What they need besides is said by themselves."""
    _install(site_packages, wheel)
    environment = site_packages.parents[2]
    # Those of the packages here
    variables = {**os.environ, 'PYTHONPATH': os.pathsep.join(
            path for path in sys.path if path.endswith('site-packages'))}
    for name in SCRIPTS:
        usage = subprocess.run(
            [environment / 'bin' / name, '--help'], check=True,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT, env=variables).stdout
        assert usage.startswith(f'usage: {name} ')
