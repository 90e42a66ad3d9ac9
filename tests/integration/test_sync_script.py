# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that synchronises from the shell, against a running server."""

import subprocess
import sys

import pytest

from devtools import samples
from devtools.process import free_port
from devtools.tryton import PASSWORD, ROOT, environment

SCRIPT = ROOT / 'scripts' / 'sync_orthanc_server.py'
TIMEOUT = 120


@pytest.fixture
def sync(trytond):
    "A function that runs the script and returns how it ended"
    def run(*arguments, **variables):
        variables = {
            'TRYTON_URL': trytond.url,
            'TRYTON_DATABASE': trytond.tryton.name,
            'TRYTON_PASSWORD': PASSWORD,
            **variables}
        return subprocess.run(
            [sys.executable, '-W', 'ignore', SCRIPT, *arguments],
            env={**environment(), **variables}, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    return run


def add_server(trytond, label, url, user=None, password=None):
    rpc = trytond.rpc()
    rpc.model.gnuhealth.orthanc.config.create([{
                'label': label, 'domain': url, 'user': user,
                'password': password}], {})


@pytest.fixture
def main(trytond, orthanc, retire_servers):
    "The label of a server whose Orthanc holds a study"
    orthanc.upload(samples.make_study('SR', series=1, instances=1))
    add_server(
        trytond, "Main", orthanc.url, orthanc.user, orthanc.password)
    return "Main"


def test_what_is_new_is_brought_in(main, sync, trytond):
    ended = sync()
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Main: ")
    Study = trytond.rpc().model.gnuhealth.imaging_orthanc.study
    assert Study.search_count(
        [('server.label', '=', main)], 0, None, {}) == 1


def test_full_run_of_a_named_server(main, sync, trytond):
    add_server(trytond, "Other", f'http://127.0.0.1:{free_port()}')
    ended = sync('--full', 'Main', '-v')
    assert ended.returncode == 0, ended.stderr
    assert 'Other' not in ended.stdout + ended.stderr
    Run = trytond.rpc().model.gnuhealth.orthanc.synchronization
    run, = Run.search_read(
        [('server.label', '=', main)], 0, None, None, ['kind', 'state'], {})
    assert (run['kind'], run['state']) == ('full', 'done')


def test_failed_server_does_not_hide_the_others(main, sync, trytond):
    add_server(trytond, "Other", f'http://127.0.0.1:{free_port()}')
    ended = sync()
    assert ended.returncode == 1
    assert ended.stdout.startswith("Main: ")
    assert ended.stderr.startswith("Other: ")


def test_password_from_a_file(main, sync, tmp_path):
    path = tmp_path / 'password'
    path.write_text(PASSWORD + '\n')
    ended = sync('--password-file', str(path), TRYTON_PASSWORD='wrong')
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize('arguments, variables', [
        (['Nobody'], {}),
        ([], {'TRYTON_PASSWORD': 'wrong'}),
        (['-u', 'nobody'], {}),
        (['-d', 'nothing'], {}),
        (['--url', f'http://127.0.0.1:{free_port()}'], {}),
        ([], {'TRYTON_DATABASE': ''}),
        ])
def test_unusable_call(main, sync, arguments, variables):
    ended = sync(*arguments, **variables)
    assert ended.returncode == 2
    assert ended.stderr.strip()
    assert 'Traceback' not in ended.stderr
    assert PASSWORD not in ended.stderr


def test_help_tells_the_exit_codes(sync):
    ended = sync('-h')
    assert ended.returncode == 0
    assert 'exit codes' in ended.stdout
