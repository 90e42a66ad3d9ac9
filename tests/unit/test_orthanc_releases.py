# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Orthanc the tests start, and how others are fetched.

A scripted apt-get stands in for Debian's archive.
"""
import os
import shutil
import stat
import subprocess

import pytest

from devtools import debian, orthanc_releases
from devtools.debian import DebianTree
from devtools.orthanc import Orthanc
from devtools.orthanc_releases import ORTHANC_VARIABLE, SUITES
from devtools.process import StartError
from devtools.tryton import ROOT

TIMEOUT = 60
UPDATES = 'bookworm-updates main http://mirror.example.org/updates/'
ARCHIVE = 'stable main http://mirror.example.org/debian/'
FREE = 'stable non-free http://mirror.example.org/other/'


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty one, on a machine where no Orthanc is installed."""
    monkeypatch.setenv('DEV_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv(ORTHANC_VARIABLE, raising=False)
    monkeypatch.setattr(orthanc_releases, '_installed', lambda: None)
    orthanc_releases._is_installed.cache_clear()
    yield tmp_path / 'cache'
    orthanc_releases._is_installed.cache_clear()


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """A function that makes an apt-get of a shell script."""
    def make(script, sources=(ARCHIVE,)):
        folder = tmp_path / 'bin'
        folder.mkdir()
        lines = '\n'.join(sources)
        _script(folder / 'apt-get', f'''
            echo "$@" >>"{tmp_path}/calls"
            if [ "$1" = indextargets ]; then cat <<'END'
{lines}
END
            exit; fi
            {script}''')
        monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
        return tmp_path / 'calls'
    return make


def _script(path, text):
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)


def _install(folder, version):
    """Pass for the packages of a version that were unpacked."""
    for path in ['usr/sbin', 'usr/lib/x86_64-linux-gnu']:
        (folder / path).mkdir(parents=True)
    _script(folder / 'usr/sbin/Orthanc', f'echo "Orthanc {version}"')
    # ld.so --library-path FOLDERS PROGRAM ARGUMENTS
    _script(
        folder / 'usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
        'shift 2; exec "$@"')


def test_an_unknown_version_is_refused():
    with pytest.raises(StartError, match=', '.join(SUITES)):
        orthanc_releases.prepare('1.9')


@pytest.mark.parametrize('by_name', [True, False])
def test_one_that_is_not_there_is_not_replaced(monkeypatch, by_name):
    monkeypatch.setenv(ORTHANC_VARIABLE, '1.13')
    with pytest.raises(StartError, match='--orthanc 1.13'):
        Orthanc(version='1.13' if by_name else None)


def test_without_a_version_it_is_that_of_the_machine():
    with pytest.raises(StartError, match='not installed'):
        Orthanc()


def test_what_was_fetched_is_used(cache, monkeypatch):
    def fetch(folder, suite, packages):
        assert suite == 'trixie'
        assert 'orthanc-python' in packages
        _install(folder, '1.12.7')
    monkeypatch.setattr(orthanc_releases, 'unpack', fetch)
    assert orthanc_releases.prepare('1.12').version() == '1.12.7'
    monkeypatch.setattr(orthanc_releases, 'unpack', None)
    assert orthanc_releases.prepare('1.12').version() == '1.12.7'
    monkeypatch.setenv(ORTHANC_VARIABLE, '1.12')
    assert orthanc_releases.find().version() == '1.12.7'


@pytest.mark.parametrize('version', ['1.14.0', '1.1.3'])
def test_a_suite_that_has_moved_on(cache, monkeypatch, version):
    monkeypatch.setattr(
        orthanc_releases, 'unpack',
        lambda folder, *_: _install(folder, version))
    with pytest.raises(StartError, match=version):
        orthanc_releases.prepare('1.13')
    assert not list(cache.iterdir())


def test_the_archive_is_the_one_that_apt_has(apt, tmp_path):
    calls = apt('''
        grep -h deb "$(dirname "$APT_CONFIG")/sources.list" >&2
        exit 100''', [UPDATES, FREE, ARCHIVE])
    with pytest.raises(StartError) as info:
        debian.unpack(tmp_path / 'tree', 'trixie', ['orthanc'])
    source = str(info.value).splitlines()[-1]
    assert source.endswith('http://mirror.example.org/debian/ trixie main')
    assert 'trixie' in str(info.value).splitlines()[0]
    assert calls.read_text().splitlines()[1:] == ['update --quiet']
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bin', 'calls']


def test_no_source_of_debian(apt, tmp_path):
    apt('exit 0', [UPDATES, 'noble main http://mirror.example.org/ubuntu/'])
    with pytest.raises(StartError, match='no apt source'):
        debian.unpack(tmp_path / 'tree', 'trixie', ['orthanc'])


def test_packages_are_unpacked_without_privileges(apt, tmp_path):
    package = tmp_path / 'package'
    _install(package, '1.12.7')
    program = package / 'usr/sbin/Orthanc'
    program.chmod(0o4755)
    (package / 'DEBIAN').mkdir()
    (package / 'DEBIAN/control').write_text(
        'Package: orthanc\nVersion: 1.12.7\nArchitecture: all\n'
        'Maintainer: Nobody <nobody@example.org>\nDescription: a test\n')
    subprocess.run(
        ['dpkg-deb', '--build', package, tmp_path / 'orthanc.deb'],
        check=True, capture_output=True, timeout=TIMEOUT)
    apt(f'''
        [ "$1" = update ] \\
            || cp "{tmp_path}/orthanc.deb" "$(dirname "$APT_CONFIG")/archives"
        ''')
    tree = tmp_path / 'cache/tree'
    debian.unpack(tree, 'trixie', ['orthanc'])
    assert not (tree / 'usr/sbin/Orthanc').stat().st_mode & stat.S_ISUID
    command = DebianTree(tree).command('usr/sbin/Orthanc')
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=TIMEOUT)
    assert answer.stdout == 'Orthanc 1.12.7\n'
    assert os.listdir(tree.parent) == ['tree']


def test_python_in_a_tree_is_its_own(monkeypatch, tmp_path):
    _install(tmp_path / 'tree', '1.12.7')
    monkeypatch.setenv('PYTHONPATH', '/elsewhere')
    environment = DebianTree(tmp_path / 'tree').environment()
    assert 'PYTHONPATH' not in environment
    assert environment['PYTHONHOME'] == str(tmp_path / 'tree/usr')
    assert environment['PATH'] == os.environ['PATH']


def test_dev_asks_which_one():
    bash = shutil.which('bash')
    answer = subprocess.run(
        [bash, ROOT / 'dev', 'test', '--orthanc'], capture_output=True,
        text=True, timeout=TIMEOUT)
    assert answer.returncode == 1
    assert 'which Orthanc' in answer.stderr
