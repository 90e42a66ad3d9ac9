# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts as GNU Health's documentation calls them, and without any."""

import os
import subprocess
import sys

import pytest

from devtools import hospital, samples
from devtools.process import Process, wait_until
from devtools.tryton import PASSWORD, ROOT, environment

TIMEOUT = 120
UPDATE = ROOT / 'scripts' / 'update_worklists_database.py'
SYNC = ROOT / 'scripts' / 'sync_orthanc_server.py'
CONFIG = 'gnuhealth.orthanc.config'
LABEL = "Main"
# What hospital.place_orders requests
ORDERS = 4


@pytest.fixture(scope='module')
def health(trytond):
    "A GNU Health with orders"
    trytond.connect()
    hospital.fill(PASSWORD)
    trytond.connect('physician')
    hospital.place_orders()
    trytond.connect()
    return trytond


@pytest.fixture
def label(health, orthanc, retire_servers):
    "The label of a server whose Orthanc holds a study"
    orthanc.upload(samples.make_study('SR', series=1, instances=1))
    health.rpc().model.gnuhealth.orthanc.config.create([{
                'label': LABEL, 'domain': orthanc.url, 'user': orthanc.user,
                'password': orthanc.password}], {})
    return LABEL


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'worklists'
    folder.mkdir()
    return folder


def connection(health, user):
    "Return the arguments that GNU Health's documentation names"
    return [
        '-H', '127.0.0.1', '-p', str(health.port), '-d', health.tryton.name,
        '-u', user, '-P', PASSWORD]


def call(script, *arguments, expected=0, **variables):
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', script, *map(str, arguments)],
        env={**environment(), **variables}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    assert ended.returncode == expected, ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr
    return ended


def variables_of(health, user):
    return {
        'TRYTON_URL': health.url, 'TRYTON_DATABASE': health.tryton.name,
        'TRYTON_USER': user, 'TRYTON_PASSWORD': PASSWORD}


def file_of(health, user, tmp_path, **changes):
    "Write a file that tells the connection"
    (tmp_path / 'secret').write_text(PASSWORD + '\n')
    path = tmp_path / 'connection.conf'
    values = {
        'url': health.url, 'database': health.tryton.name, 'user': user,
        'password_file': tmp_path / 'secret', **changes}
    path.write_text('\n'.join(
            ['[gnuhealth]', *(f'{k} = {v}' for k, v in values.items() if v)]))
    return path


def names(folder):
    return {path.name for path in folder.glob('*.wl')}


def test_worklists(health, folder):
    call(UPDATE, *connection(health, 'clerk'), '-w', folder)
    assert len(names(folder)) == ORDERS


def test_worklists_anew(health, folder):
    "-r, and -m, which cannot mean anything any more"
    arguments = [*connection(health, 'clerk'), '-w', folder]
    former = {f'{"0af3" * 8}.wl', f'{"0af3" * 8}.dump'}
    other = {'mine.wl', f'{"0AF3" * 8}.wl', f'{"0af3" * 7}.wl'}
    for name in former | other:
        (folder / name).touch()
    ended = call(UPDATE, *arguments)
    assert "2 files" in ended.stderr and "-r" in ended.stderr
    made = names(folder) - former - other
    assert len(made) == ORDERS
    before = {name: (folder / name).stat().st_mtime_ns for name in made}
    ended = call(UPDATE, *arguments, '-r', '-m')
    assert "-m" in ended.stderr
    assert {path.name for path in folder.iterdir()} & former == set()
    assert names(folder) == made | other
    assert not [
        name for name, time in before.items()
        if (folder / name).stat().st_mtime_ns == time]


def test_worklists_all_the_time(health, folder, tmp_path):
    process = Process(
        [sys.executable, UPDATE, *connection(health, 'clerk'), '-w', folder,
            '-s', '1'], tmp_path / 'log', environment=environment())
    try:
        assert wait_until(lambda: len(names(folder)) == ORDERS, TIMEOUT)
        for path in folder.glob('*.wl'):
            path.unlink()
        assert wait_until(lambda: len(names(folder)) == ORDERS, TIMEOUT)
    finally:
        process.stop()


def test_worklists_from_a_file_that_tells_the_connection(
        health, folder, tmp_path):
    path = file_of(health, 'clerk', tmp_path)
    call(UPDATE, '-w', folder, '-c', path)
    assert len(names(folder)) == ORDERS


@pytest.mark.parametrize('form', ['options', 'positions'])
def test_synchronisation(health, label, form):
    if form == 'options':
        arguments = [*connection(health, 'administrator'), '-l', label]
    else:
        arguments = [
            '127.0.0.1', health.port, 'administrator', PASSWORD,
            health.tryton.name, label]
    ended = call(SYNC, *arguments)
    assert ended.stdout.startswith(f"{label}: ")
    assert studies(health) == 1


def test_synchronisation_without_arguments(health, label, tmp_path):
    call(SYNC, **variables_of(health, 'administrator'))
    assert studies(health) == 1
    # The environment goes before the file
    path = file_of(health, 'administrator', tmp_path, database='nothing')
    call(SYNC, GNUHEALTH_CONNECTION=str(path), expected=2)
    call(SYNC, GNUHEALTH_CONNECTION=str(path),
        TRYTON_DATABASE=health.tryton.name)
    # and its password before that of the file
    call(SYNC, GNUHEALTH_CONNECTION=str(path), expected=2,
        TRYTON_DATABASE=health.tryton.name, TRYTON_PASSWORD='wrong')


def test_synchronisation_all_the_time(health, label, tmp_path):
    variables = {**environment(), **variables_of(health, 'administrator')}
    # A service has none: what is printed must be there at once all the same
    variables.pop('PYTHONUNBUFFERED', None)
    process = Process(
        [sys.executable, '-W', 'ignore', SYNC, '-l', label, '-s', '1'],
        tmp_path / 'log', environment=variables)
    try:
        assert wait_until(
            lambda: process.log.read_text().count(f'{label}: ') > 1, TIMEOUT)
    finally:
        process.stop()


@pytest.mark.parametrize('script', [UPDATE, SYNC], ids=os.path.basename)
def test_unusable_connections(script, tmp_path):
    bad = tmp_path / 'bad.conf'
    bad.write_text(f'password = {PASSWORD}\n')
    for arguments in [
            ['-c', bad], ['-c', tmp_path / 'none.conf'], ['-c', tmp_path],
            ['-H', 'localhost', '--url', 'http://localhost:8000'],
            ['-p', 'http'], ['-s', '0'], ['-s', 'http://localhost:8000']]:
        ended = call(script, '-d', 'health', *arguments, expected=2)
        assert 'Traceback' not in ended.stderr
        assert ended.stderr.strip()


def studies(health):
    Study = health.rpc().model.gnuhealth.imaging_orthanc.study
    return Study.search_count([('server.label', '=', LABEL)], 0, None, {})
