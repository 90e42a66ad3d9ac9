# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that keeps worklist files, against a scripted GNU Health."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.process import Process, free_port, wait_until
from devtools.tryton import ROOT
from tests.unit.fake_orthanc import (
    cut, drip, hang_up, redirect, reply, reply_json, self_signed, server_tls,
    silence, status)

from .fake_worklist_rpc import (
    DATABASE, METHOD, PASSWORD, FakeWorklistRpc, encode, make_step)
from .worklist_script import (
    FULL_DISK, SCRIPT, TIMEOUT, files, patient, read, runner)

LOCK = '.gnuhealth-worklist.lock'
MANIFEST = '.gnuhealth-worklist.json'
STAGING = '.gnuhealth-worklist.tmp'
LOGIN = 'common.db.login'


@pytest.fixture
def health():
    with FakeWorklistRpc() as health:
        yield health


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'worklists'
    folder.mkdir()
    return folder


@pytest.fixture
def command(health, folder):
    return [sys.executable, SCRIPT, '-w', folder]


@pytest.fixture
def variables(health, tmp_path):
    (tmp_path / 'bin').mkdir()
    return {
        'PATH': f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        'TRYTON_URL': health.url, 'TRYTON_DATABASE': DATABASE,
        'TRYTON_PASSWORD': PASSWORD}


@pytest.fixture
def run(folder, variables):
    return runner(['-w', folder], variables)


@pytest.fixture
def start(command, variables, tmp_path):
    "A function that starts the script and returns the process"
    started = []

    def start(*arguments, **changes):
        process = Process(
            [*command, *arguments], tmp_path / f'log{len(started)}',
            environment={**variables, **changes})
        started.append(process)
        return process
    yield start
    for process in started:
        process.kill()


@pytest.fixture
def fake_dump2dcm(tmp_path, variables):
    "A function that puts a program of ours in the place of dump2dcm"
    def fake(script):
        path = tmp_path / 'bin' / 'dump2dcm'
        path.write_text('#!/bin/bash\n' + script)
        path.chmod(0o755)
    return fake


def state(folder):
    "Return all that can be changed in a folder but the lock"
    return {
        path.relative_to(folder): (
            stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime_ns,
            path.is_file() and path.read_bytes())
        for path in folder.rglob('*') if path.name != LOCK}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob('*.wl')}


def by_dump2dcm(folder, number):
    meta = read(folder, number).file_meta
    return str(meta.get('ImplementationVersionName', '')).startswith('OFFIS')


# What it writes


def test_each_open_step_has_a_file(health, folder, run):
    health.open(1)
    health.open(2, make_step(2, 'Иванов^Пётр', Modality='MR'))
    ended = run(alone=True)
    assert ended.stdout == "2 open: 2 written, 0 removed\n"
    assert files(folder) == ['gnuhealth-1.wl', 'gnuhealth-2.wl']
    assert patient(folder, 2) == 'Иванов^Пётр'
    item, = read(folder, 2).ScheduledProcedureStepSequence
    assert (item.Modality, item.ScheduledProcedureStepID) == ('MR', 'STEP2')
    assert by_dump2dcm(folder, 1)
    assert ended.stderr == ''
    assert health.logouts == health.logins == 1


def test_second_run_changes_nothing(health, folder, run):
    health.open(1)
    run()
    before, changed = state(folder), folder.stat().st_mtime_ns
    assert run(alone=True).stdout == "1 open: 0 written, 0 removed\n"
    run('--full', alone=True)
    assert state(folder) == before
    assert folder.stat().st_mtime_ns == changed
    assert health.asked == [0, 1, 0]


def test_only_what_changed_is_written(health, folder, run):
    for number in [1, 2, 3]:
        health.open(number)
    run()
    before = state(folder)
    health.open(2, make_step(2, 'Other^Name'))
    assert run('-v').stdout == (
        "gnuhealth-2.wl: written\n3 open: 1 written, 0 removed\n")
    assert health.asked == [0, 3]
    after = state(folder)
    for number in [1, 3]:
        path = Path(f'gnuhealth-{number}.wl')
        assert after[path] == before[path]
    assert patient(folder, 2) == 'Other^Name'


def test_closed_step_is_removed(health, folder, run):
    health.open(1)
    health.open(2)
    run()
    health.close(1)
    assert run('-v').stdout == (
        "gnuhealth-1.wl: removed\n1 open: 0 written, 1 removed\n")
    assert files(folder) == ['gnuhealth-2.wl']
    health.close(2)
    run()
    assert files(folder) == []


def test_files_of_others_are_left_alone(health, folder, run):
    for name in ['other.wl', 'lockfile', 'gnuhealth-1.txt', '.hidden']:
        (folder / name).write_bytes(b'mine')
    before = state(folder)
    health.open(1)
    run()
    health.close(1)
    run()
    after = state(folder)
    del after[Path(MANIFEST)]
    assert after == before


def test_worklist_of_many_pages(health, folder, run):
    health.page_size = 2
    for number in range(5):
        health.open(number)
    run()
    assert len(files(folder)) == 5
    assert health.asked == [0, 2, 4]


def test_template_of_json_needs_no_dump2dcm(
        health, folder, run, fake_dump2dcm):
    fake_dump2dcm('exit 1')
    entry = health.open(1, kind='json', text='{"PatientID": "PUID1"}')
    assert run().stderr == ''
    assert contents(folder) == {'gnuhealth-1.wl': entry['dicom']}


def test_name_of_the_file_changes(health, folder, run):
    health.open(1)
    run()
    health.open(1, name='gnuhealth-1-2')
    run()
    assert files(folder) == ['gnuhealth-1-2.wl']


@pytest.mark.parametrize('mode', [0o640, 0o644, 0o600])
def test_permissions_of_the_files(health, folder, run, mode):
    health.open(1)
    health.open(2, kind='json')
    run('--mode', f'{mode:o}', prefix=['sh', '-c', 'umask 077; exec "$@"', ''])
    for name in files(folder):
        assert stat.S_IMODE((folder / name).stat().st_mode) == mode
    assert stat.S_IMODE((folder / MANIFEST).stat().st_mode) == 0o600


def test_lost_permission_is_given_back(health, folder, run):
    health.open(1)
    run()
    (folder / 'gnuhealth-1.wl').chmod(0o600)
    before = contents(folder)
    run()
    assert stat.S_IMODE((folder / 'gnuhealth-1.wl').stat().st_mode) == 0o640
    assert contents(folder) == before


def test_only_the_group_reads_the_files(health, folder, run):
    health.open(1)
    # Only root may give files to a group that it is not in
    group = max(os.getgroups()) if os.getuid() else 12345
    os.chown(folder, -1, group)
    run()
    found = (folder / 'gnuhealth-1.wl').stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o640, group)
    # That of another one, also of files that are there
    run('--group', str(os.getgid()))
    assert (folder / 'gnuhealth-1.wl').stat().st_gid == os.getgid()


# What was done to the folder meanwhile


def remove(path):
    path.unlink()


def truncate(path):
    os.truncate(path, 100)


def empty(path):
    os.truncate(path, 0)


def mix_up(path):
    shutil.copy(path.with_name('gnuhealth-2.wl'), path)


@pytest.mark.parametrize('damage', [remove, truncate, empty, mix_up])
def test_damaged_file_is_written_anew(health, folder, run, damage):
    health.open(1)
    health.open(2)
    run()
    before = state(folder)
    damage(folder / 'gnuhealth-1.wl')
    assert "1 written" in run().stdout
    assert read(folder, 1).PatientID == 'PUID1'
    other = Path('gnuhealth-2.wl')
    assert state(folder)[other] == before[other]


@pytest.mark.parametrize('manifest', [
        None, b'', b'garbage', b'[]', b'{}', b'\xff',
        b'{"version": 1, "files": [], "index": 1, "source": ""}',
        b'{"version": 1, "files": {"1": 5}, "index": 1, "source": ""}',
        b'{"version": 1, "files": {"1": {"name": "../1", "entry": "",'
        b'"file": ""}}, "index": 1, "source": ""}'])
def test_lost_manifest(health, folder, run, manifest):
    health.open(1)
    health.open(2)
    run()
    path = folder / MANIFEST
    good = path.read_bytes()
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    (folder / 'gnuhealth-9.wl').write_bytes(b'of a step that is closed')
    before = state(folder)
    assert run().stdout == "2 open: 0 written, 1 removed\n"
    after = state(folder)
    for number in [1, 2]:
        name = Path(f'gnuhealth-{number}.wl')
        assert after[name] == before[name]
    assert 'gnuhealth-9.wl' not in files(folder)
    assert json.loads(path.read_bytes()) == json.loads(good)


def test_restored_database_begins_anew(health, folder, run):
    health.open(1)
    health.open(2)
    health.index = 100
    run()
    health.close(2)
    health.index = 1
    health.open(1, make_step(1, 'Before^Backup'))
    run()
    assert health.asked == [0, 100]
    assert files(folder) == ['gnuhealth-1.wl']
    assert patient(folder, 1) == 'Before^Backup'


def test_index_of_another_server_means_nothing(health, folder, run):
    health.open(1)
    run()
    with FakeWorklistRpc() as other:
        other.open(1, make_step(1, 'Other^Server'))
        other.index = 50
        run(TRYTON_URL=other.url)
        assert other.asked == [0]
    assert patient(folder, 1) == 'Other^Server'


def test_open_step_without_a_known_file_is_asked_for(health, folder, run):
    health.open(1)
    run()
    # Reopened without a change of its own
    health.open(2)['index'] = 1
    run()
    assert health.asked == [0, 1, 0]
    assert len(files(folder)) == 2


# dump2dcm


@pytest.mark.parametrize('script, reason', [
        ('exit 1', "dump2dcm failed"),
        ('exit 0', "dump2dcm failed"),
        ('kill -9 $$', "dump2dcm failed"),
        ('echo Müller >"${@: -1}"', "dump2dcm did not write a worklist file"),
        (': >"${@: -1}"', "dump2dcm did not write a worklist file"),
        ('sed s/PUID1/PUID2/ | /usr/bin/dump2dcm "$@"',
            "dump2dcm changed PatientID"),
        ('sed s/nne/ne/ | /usr/bin/dump2dcm "$@"',
            "dump2dcm changed PatientName"),
        ('(echo "(0010,1000) LO [PUID9]"; cat) | /usr/bin/dump2dcm "$@"',
            "dump2dcm changed OtherPatientIDs"),
        ('grep -v 0040,0009 | /usr/bin/dump2dcm "$@"',
            "dump2dcm changed ScheduledProcedureStepID"),
        ('sed "s/LO .PUID1/SH [PUID1/" | /usr/bin/dump2dcm "$@"', None),
        ])
def test_dump2dcm_that_fails(
        health, folder, run, fake_dump2dcm, script, reason):
    fake_dump2dcm(script)
    entry = health.open(1)
    ended = run()
    if reason:
        assert ended.stderr.startswith(f"Warning: {reason}")
        assert 'gnuhealth-1' in ended.stderr
    assert contents(folder) == {'gnuhealth-1.wl': entry['dicom']}


def test_text_that_says_something_else(health, folder, run):
    entry = health.open(1)
    entry['text'] = '(0010,0010) PN [Somebody^Else]\n' + entry['text']
    assert "dump2dcm changed PatientName" in run().stderr
    assert contents(folder) == {'gnuhealth-1.wl': entry['dicom']}


def test_character_that_the_set_lacks(health, folder, run):
    entry = health.open(1, charset='ISO_IR 144')
    assert 'Warning' in run().stderr
    assert contents(folder) == {'gnuhealth-1.wl': entry['dicom']}


def test_dump2dcm_is_not_installed(health, folder, run, tmp_path):
    entry = health.open(1)
    for number in range(2, 9):
        health.open(number)
    ended = run(PATH=str(tmp_path / 'bin'))
    assert ended.stderr.startswith("Warning: dump2dcm is not installed")
    assert "and 3 more" in ended.stderr
    assert contents(folder)['gnuhealth-1.wl'] == entry['dicom']
    before = state(folder)
    # Nor is it missed where nothing is written
    assert run(PATH=str(tmp_path / 'bin')).stderr == ''
    run('--full')
    assert state(folder) == before


def test_dump2dcm_is_not_wanted(health, folder, run):
    entry = health.open(1)
    assert run('--no-dump2dcm', alone=True).stderr == ''
    assert contents(folder) == {'gnuhealth-1.wl': entry['dicom']}
    before = state(folder)
    run('--full')
    assert state(folder) == before


def test_long_and_odd_values(health, folder, run):
    dataset = make_step(1, "O'Neil ]^\"{$x}\" # %^=")
    dataset.RequestedProcedureComments = 'ä' * 10000
    dataset.PatientName = "O'Neil ]^\"{$x}\" # %\N{THUMBS UP SIGN}"
    health.open(1, dataset)
    assert run().stderr == ''
    assert by_dump2dcm(folder, 1)
    assert read(folder, 1).RequestedProcedureComments == 'ä' * 10000
    assert patient(folder, 1) == str(dataset.PatientName)


# GNU Health that does not answer as it should

UNUSABLE, NO_ANSWER = 2, 3


def of_rpc(error):
    return reply_json({'id': 1, 'error': error})


def result(value):
    return reply_json({'id': 1, 'result': value})


FAILURES = {
    '400': (status(400), NO_ANSWER),
    '401': (status(401), UNUSABLE),
    '403': (status(403), UNUSABLE),
    '404': (status(404), UNUSABLE),
    '429': (status(429), NO_ANSWER),
    '500': (status(500), NO_ANSWER),
    '503': (status(503), NO_ANSWER),
    'redirect': (redirect('http://127.0.0.1/'), UNUSABLE),
    'hang up': (hang_up, NO_ANSWER),
    'cut': (cut, NO_ANSWER),
    'silence': (silence, NO_ANSWER),
    'drip': (drip(b'HTTP/1.1 200 OK\r\n' + 1000 * b'X', 0.1), NO_ANSWER),
    'drip of a body': (
        drip(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'
            + 1000 * b'X', 0.01), NO_ANSWER),
    'no HTTP': (drip(b'SSH-2.0\r\n', 0), NO_ANSWER),
    'empty': (reply(b''), NO_ANSWER),
    'page': (reply(b'<html>Welcome</html>'), NO_ANSWER),
    'binary': (reply(b'\xff\xfe\x00'), NO_ANSWER),
    'deep': (reply(b'[' * 100000), NO_ANSWER),
    'list': (reply_json([]), NO_ANSWER),
    'nothing': (reply_json({}), NO_ANSWER),
    'no bytes': (reply(b'{"__class__": "bytes"}'), NO_ANSWER),
    'refused': (
        of_rpc(['UserError', ["You may not.", '', None]]), UNUSABLE),
    'failed': (of_rpc(["'Müller'", "Traceback: Änne"]), NO_ANSWER),
    'lock': (of_rpc(['ConcurrencyException', "Müller"]), NO_ANSWER),
    'odd error': (of_rpc(5), NO_ANSWER),
    }
PAGE = {'since': 0, 'index': 1, 'more': False, 'entries': [], 'open': []}
GARBAGE = {
    'none': None,
    'text': 'text',
    'empty': {},
    'list': [PAGE],
    'no index': {**PAGE, 'index': None},
    'other start': {**PAGE, 'since': 7},
    'endless': {**PAGE, 'more': True, 'index': 0},
    'unknown': {**PAGE, 'open': ['1', '77']},
    'entries': {**PAGE, 'entries': 5},
    'entry': {**PAGE, 'entries': [{'id': '1'}]},
    'bare entry': {**PAGE, 'entries': ['1']},
    }
ENTRY = {
    'id': '1', 'index': 1, 'name': 'gnuhealth-1', 'kind': 'dump2dcm',
    'text': '', 'charset': '',
    'dicom': {'__class__': 'bytes', 'base64': ''}}
for key, value in {
        'index': 'x', 'name': '../gnuhealth-1', 'text': 5, 'charset': [],
        'dicom': 'text', 'kind': 5}.items():
    GARBAGE[f'bad {key}'] = {
        **PAGE, 'entries': [{**ENTRY, key: value}], 'open': ['1']}
for name in ['other-1', 'gnuhealth-', 'gnuhealth-1/2', 'gnuhealth-1\n', 5]:
    GARBAGE[f'bad name {name!r}'] = {
        **PAGE, 'entries': [{**ENTRY, 'name': name}], 'open': ['1']}
GARBAGE['same name'] = {
    **PAGE, 'entries': [ENTRY, {**ENTRY, 'id': '2'}], 'open': ['1', '2']}


def prepare(health, run):
    "Make a good run, and then something to do for the next one"
    health.open(1)
    health.open(2)
    run()
    health.close(1)
    health.open(2, make_step(2, 'Changed^Name'))
    health.open(3)


@pytest.fixture
def good(health, folder, run):
    "A function that tells whether the files are as after a good run"
    prepare(health, run)
    before = state(folder)
    return lambda: state(folder) == before


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    "For tests that leave no traces: GNU Health, a folder and `run`"
    folder = tmp_path_factory.mktemp('worklists')
    with FakeWorklistRpc() as health:
        run = runner(['-w', folder], {
                'PATH': os.environ['PATH'], 'TRYTON_URL': health.url,
                'TRYTON_DATABASE': DATABASE, 'TRYTON_PASSWORD': PASSWORD})
        prepare(health, run)
        yield health, folder, run


@pytest.fixture
def unchanged(shared):
    health, folder, run = shared
    before = state(folder)
    yield health, run
    for method in [LOGIN, METHOD]:
        health.overrule(method=method)
    assert state(folder) == before


@pytest.mark.parametrize('method, name', [
        *((METHOD, name) for name in FAILURES),
        *((LOGIN, name) for name in [
                '401', '404', '429', '500', 'silence', 'cut', 'page'])])
def test_failure_leaves_the_last_good_files(unchanged, method, name):
    health, run = unchanged
    answer, code = FAILURES[name]
    health.overrule(answer, method)
    ended = run('--timeout', '1', expected=code)
    assert ended.stderr
    assert ended.stdout == ''


@pytest.mark.parametrize('name', GARBAGE)
def test_garbage_leaves_the_last_good_files(unchanged, name):
    health, run = unchanged
    health.overrule(result(GARBAGE[name]))
    run('--full', expected=NO_ANSWER)


@pytest.mark.parametrize('value', [None, {}, 5, 'x', [1]])
def test_login_that_is_none(unchanged, value):
    health, run = unchanged
    health.overrule(result(value), LOGIN)
    assert run(expected=NO_ANSWER if value else UNUSABLE).stderr


@pytest.mark.parametrize('arguments, variables', [
        (['--nothing'], {}),
        (['--watch', '0'], {}),
        ([], {'TRYTON_PASSWORD': 'wrong'}),
        (['-P', 'wrong'], {}),
        ])
def test_unusable_call_of_a_process(unchanged, arguments, variables):
    """Whoever calls the script sees what `main` returns."""
    _, run = unchanged
    assert run(
        *arguments, expected=UNUSABLE, alone=True, **variables).stderr.strip()


@pytest.mark.parametrize('arguments, variables', [
        (['-u', 'nobody'], {}),
        (['-d', 'nothing'], {}),
        (['--url', 'nowhere'], {}),
        (['--url', 'ftp://127.0.0.1/'], {}),
        (['--url', 'http://127.0.0.1:99999/'], {}),
        (['-w', '/nothing'], {}),
        (['-w', '/dev/null'], {}),
        (['--password-file', '/nothing'], {}),
        (['--password-file', '/bin/true'], {}),
        ([], {'TRYTON_DATABASE': ''}),
        (['--watch', 'nan'], {}),
        (['--watch', '1', '-n'], {}),
        (['--timeout', '0'], {}),
        (['--mode', '888'], {}),
        (['--mode', '7777'], {}),
        (['--mode', '0'], {}),
        (['--group', 'no such group'], {}),
        ])
def test_unusable_call(unchanged, arguments, variables):
    _, run = unchanged
    assert run(*arguments, expected=UNUSABLE, **variables).stderr.strip()


def test_work_goes_on_after_a_failure(health, folder, run, good):
    health.overrule(status(500))
    run(expected=NO_ANSWER, alone=True)
    assert good()
    health.overrule()
    run()
    assert files(folder) == ['gnuhealth-2.wl', 'gnuhealth-3.wl']
    assert patient(folder, 2) == 'Changed^Name'


def test_server_is_down(run, good):
    ended = run(
        expected=NO_ANSWER, TRYTON_URL=f'http://127.0.0.1:{free_port()}')
    assert ended.stderr == (
        "GNU Health cannot be reached: ConnectionRefusedError.\n")
    assert good()


def test_refusal_is_told(health, run, good):
    health.overrule(FAILURES['refused'][0])
    assert "You may not." in run(expected=UNUSABLE).stderr


def test_failure_on_a_later_page(health, folder, run, good):
    health.page_size = 1
    health.open(4)
    answers = [result(encode(health.page(2))), status(500)]
    health.overrule(lambda handler: answers.pop(0)(handler))
    run(expected=NO_ANSWER)
    assert answers == []
    assert good()


@pytest.mark.parametrize('dicom', [b'', b'garbage', 200 * b'\0'])
def test_one_bad_entry_does_not_stop_the_others(
        health, folder, run, good, dicom):
    health.open(2, dicom=dicom)
    before = contents(folder)
    ended = run(expected=1)
    assert "GNU Health sent no DICOM file for gnuhealth-2." in ended.stderr
    assert files(folder) == ['gnuhealth-2.wl', 'gnuhealth-3.wl']
    assert contents(folder)['gnuhealth-2.wl'] == before['gnuhealth-2.wl']
    # It is asked for again although its index has been seen
    health.entries['2'] = {
        **health.open(9, make_step(2, 'Repaired^Name')), 'id': '2',
        'name': 'gnuhealth-2', 'index': health.entries['2']['index']}
    del health.entries['9']
    run()
    assert patient(folder, 2) == 'Repaired^Name'


def test_entry_without_a_step_is_refused(health, folder, run):
    dataset = make_step(1)
    del dataset.ScheduledProcedureStepSequence
    health.open(1, dataset)
    assert "no DICOM" in run(expected=1).stderr
    assert files(folder) == []


# HTTPS


def test_certificate_is_verified(folder, run, tmp_path):
    certificate, key = self_signed()
    path = tmp_path / 'ca.pem'
    path.write_text(certificate)
    with FakeWorklistRpc(server_tls(certificate, key)) as health:
        health.open(1)
        ended = run(expected=NO_ANSWER, TRYTON_URL=health.url)
        assert 'SSLCertVerificationError' in ended.stderr
        assert files(folder) == []
        run(TRYTON_URL=health.url, SSL_CERT_FILE=str(path), alone=True)
    assert files(folder) == ['gnuhealth-1.wl']


# The disk


def in_own_mounts():
    "Return what lets a command have mounts of its own, or None"
    for command in [
            ['unshare', '--mount'],
            ['unshare', '--user', '--map-root-user', '--mount']]:
        if not subprocess.run(
                [*command, 'mount', '-t', 'tmpfs', 'none', '/mnt'],
                stderr=subprocess.DEVNULL).returncode:
            return command
    return None


# A disk without space, put away afterwards
FULL = ['bash', '-c', """
    folder=$1; shift
    mkdir "$folder.disk"
    mount -t tmpfs -o size=64k none "$folder.disk"
    cp -a "$folder/." "$folder.disk"
    mount --move "$folder.disk" "$folder"
    cat /dev/zero >"$folder/filler" 2>/dev/null
    "$@"; code=$?
    rm "$folder/filler"
    cp -a "$folder/." "$folder.disk"
    exit $code
    """, '']
MOUNTS = in_own_mounts()


@pytest.mark.parametrize('how', ['limited'] + ['full'] * bool(MOUNTS))
def test_disk_is_full(health, folder, run, how):
    prepare(health, run)
    before = state(folder)[Path('gnuhealth-2.wl')]
    if how == 'full':
        ended = run(expected=1, prefix=[*MOUNTS, *FULL, folder])
        left = Path(f'{folder}.disk')
        assert 'No space left on device' in ended.stderr
    else:
        ended = run(expected=1, prefix=FULL_DISK)
        left = folder
    assert f"Cannot write in {folder}: " in ended.stderr
    # What needs no space is done
    assert files(left) == ['gnuhealth-2.wl']
    assert state(left)[Path('gnuhealth-2.wl')] == before
    assert not (left / STAGING).exists()
    run('-w', left)
    assert files(left) == ['gnuhealth-2.wl', 'gnuhealth-3.wl']
    assert patient(left, 2) == 'Changed^Name'


def test_folder_in_the_place_of_a_file(health, folder, run):
    (folder / 'gnuhealth-1.wl').mkdir()
    health.open(1)
    health.open(2)
    assert "Cannot write" in run(expected=1).stderr
    assert patient(folder, 2) == 'Müller^Änne'
    (folder / 'gnuhealth-1.wl').rmdir()
    run()
    assert patient(folder, 1) == 'Müller^Änne'


# Runs that meet, or are killed


def asked_for(health, method):
    return any(
        json.loads(request.body)['method'] == method
        for request in list(health.received))


def test_two_runs_at_once(health, folder, run, start):
    health.open(1)
    health.overrule(silence)
    process = start()
    assert wait_until(lambda: asked_for(health, METHOD), TIMEOUT)
    before = state(folder)
    health.overrule()
    assert "Another run" in run(expected=4).stderr
    assert state(folder) == before
    process.kill()
    # The lock has ended with the process
    run()
    assert files(folder) == ['gnuhealth-1.wl']


def test_many_runs_at_once(health, folder, run, start):
    for number in range(20):
        health.open(number)
    processes = [start() for _ in range(4)]
    codes = [process.wait(TIMEOUT) for process in processes]
    assert set(codes) <= {0, 4} and 0 in codes
    assert len(files(folder)) == 20
    before = state(folder)
    run()
    assert state(folder) == before


def test_killed_while_it_writes(health, folder, run, fake_dump2dcm, tmp_path):
    prepare(health, run)
    before = contents(folder)
    fake_dump2dcm('/usr/bin/dump2dcm "$@"; kill -9 $PPID; sleep 1')
    run(expected=-signal.SIGKILL, alone=True)
    assert contents(folder) == before
    assert (folder / STAGING).exists()
    (tmp_path / 'bin' / 'dump2dcm').unlink()
    run()
    assert not (folder / STAGING).exists()
    assert files(folder) == ['gnuhealth-2.wl', 'gnuhealth-3.wl']
    assert patient(folder, 2) == 'Changed^Name'


def test_killed_before_the_manifest_is_written(health, folder, run):
    prepare(health, run)
    manifest = (folder / MANIFEST).read_bytes()
    run()
    good = state(folder)
    (folder / MANIFEST).write_bytes(manifest)
    run()
    after = state(folder)
    for path in [Path('gnuhealth-2.wl'), Path('gnuhealth-3.wl')]:
        assert after[path] == good[path]
    assert after[Path(MANIFEST)][2] == good[Path(MANIFEST)][2]


def test_ended_by_a_signal(health, folder, start, good):
    health.overrule(silence)
    process = start()
    calls = len(health.received)
    assert wait_until(lambda: len(health.received) >= calls + 2, TIMEOUT)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(TIMEOUT) == 128 + signal.SIGTERM
    assert good()
    assert 'Traceback' not in process.log_tail(100)


# --watch


def test_watch_picks_up_changes(health, folder, start):
    health.open(1)
    process = start('--watch', '1')
    assert wait_until(lambda: files(folder) == ['gnuhealth-1.wl'], TIMEOUT)
    health.open(1, make_step(1, 'Changed^Name'))
    assert wait_until(
        lambda: patient(folder, 1) == 'Changed^Name', TIMEOUT)
    health.open(2)
    health.close(1)
    assert wait_until(lambda: files(folder) == ['gnuhealth-2.wl'], TIMEOUT)
    # A round without changes says nothing
    rounds = len(health.asked)
    assert wait_until(lambda: len(health.asked) > rounds + 2, TIMEOUT)
    assert health.logins == 1
    process.stop()
    assert process.returncode == 0
    assert process.log.read_text().splitlines() == [
        "1 open: 1 written, 0 removed",
        "1 open: 1 written, 0 removed",
        "1 open: 1 written, 1 removed"]
    assert health.logouts == 1


@pytest.mark.parametrize('number, answer', [
        (signal.SIGINT, None), (signal.SIGTERM, silence),
        pytest.param(signal.SIGINT, silence, marks=pytest.mark.release),
        pytest.param(signal.SIGTERM, None, marks=pytest.mark.release)])
def test_watch_ends_on_a_signal(health, folder, start, number, answer):
    health.open(1)
    process = start('--watch', '3600')
    assert wait_until(lambda: files(folder) == ['gnuhealth-1.wl'], TIMEOUT)
    process.kill()
    health.overrule(answer)
    rounds = len(health.received)
    process = start('--watch', '3600')
    assert wait_until(lambda: len(health.received) > rounds + 1, TIMEOUT)
    os.kill(process.pid, number)
    assert process.wait(TIMEOUT) == 0
    assert 'Traceback' not in process.log_tail(100)


def test_watch_survives_failures(health, folder, start):
    health.overrule(status(500))
    process = start('--watch', '1')
    calls = len(health.received)
    assert wait_until(lambda: len(health.received) > calls + 8, TIMEOUT)
    assert process.log.read_text() == "GNU Health answered 500.\n"
    health.open(1)
    health.overrule()
    assert wait_until(lambda: 'again' in process.log.read_text(), TIMEOUT)
    assert files(folder) == ['gnuhealth-1.wl']
    # Sessions end when GNU Health is started anew
    health.end_sessions()
    health.open(2)
    # It tells what it has done after it
    assert wait_until(
        lambda: '2 open' in process.log.read_text(), TIMEOUT)
    assert len(files(folder)) == 2
    process.stop()
    assert process.returncode == 0
    assert process.log.read_text().splitlines() == [
        "GNU Health answered 500.", "1 open: 1 written, 0 removed",
        "The files are up to date again.", "2 open: 1 written, 0 removed"]


def test_watch_with_a_wrong_password_ends(start):
    process = start('--watch', '1', TRYTON_PASSWORD='wrong')
    assert process.wait(TIMEOUT) == UNUSABLE


# What is told, and what is not


def test_dry_run_writes_nothing(health, folder, run):
    health.open(1)
    assert run('--dry-run').stdout == (
        "1 open: 1 would be written, 0 would be removed\n")
    assert list(folder.iterdir()) == []
    run()
    health.close(1)
    health.open(2)
    (folder / 'gnuhealth-1.wl').chmod(0o600)
    before, changed = state(folder), folder.stat().st_mtime_ns
    assert run('-n', '-v').stdout == (
        "gnuhealth-2.wl: would be written\n"
        "gnuhealth-1.wl: would be removed\n"
        "1 open: 1 would be written, 1 would be removed\n")
    assert state(folder) == before
    assert folder.stat().st_mtime_ns == changed


def test_password_is_not_shown(health, folder, start, variables):
    del variables['TRYTON_PASSWORD']
    health.overrule(silence)
    process = start('-P', PASSWORD, '--watch', '1')
    assert wait_until(lambda: asked_for(health, METHOD), TIMEOUT)
    shown = Path(f'/proc/{process.pid}/cmdline').read_bytes()
    assert PASSWORD.encode() not in shown
    assert b'--watch\x001' in shown


def test_password_is_not_handed_on(health, folder, run, fake_dump2dcm):
    fake_dump2dcm(f'env >{folder}/env; exec /usr/bin/dump2dcm "$@"')
    health.open(1)
    run()
    text = (folder / 'env').read_text()
    assert 'TRYTON_DATABASE' in text
    assert PASSWORD not in text


def test_password_from_a_file(health, run, tmp_path):
    path = tmp_path / 'password'
    path.write_text(PASSWORD + '\n')
    run('--password-file', str(path), TRYTON_PASSWORD='wrong')


def test_no_password(run, variables):
    del variables['TRYTON_PASSWORD']
    assert "password" in run(expected=UNUSABLE).stderr


def test_complaints_of_dump2dcm_are_shown_on_demand(
        health, folder, run, command, variables, fake_dump2dcm):
    fake_dump2dcm('echo "bad value [Müller]" >&2; exit 1')
    health.open(1)
    run()
    health.open(1, make_step(1, 'Müller^Otto'))
    ended = subprocess.run(
        [*command, '-v'], env=variables, capture_output=True, text=True)
    assert "gnuhealth-1.wl: bad value [Müller]" in ended.stderr


def test_help(run):
    ended = run('-h', alone=True)
    assert 'exit codes' in ended.stdout
    for option in ['-d', '-u', '-P', '-w', '--watch', '--dry-run', '-v']:
        assert option in ended.stdout
    text = (ROOT / 'doc' / 'worklist_files.md').read_text()
    table = [line.split('|')[1] for line in text.splitlines() if '|' in line]
    documented = set(re.findall('--[a-z0-9-]+[a-z]', ' '.join(table)))
    assert {'--mode', '--watch'} <= documented
    for option in documented:
        assert option in ended.stdout
