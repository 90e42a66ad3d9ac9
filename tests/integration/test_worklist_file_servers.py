# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modalities get of the worklist files: from Orthanc, from wlmscpfs."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from devtools.dicom import STEP, FindFailed, find_worklist
from devtools.process import Process, free_port
from devtools.tryton import ROOT
from scripts.src.locks import pause_queries

from .fake_worklist_rpc import DATABASE, PASSWORD, FakeWorklistRpc, make_step
from .worklist_script import TIMEOUT, runner

DEMO = ROOT / 'scripts' / 'worklists_service_demo.sh'
AET = 'GNUHEALTH'


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
def run(health, folder):
    return runner(['-w', folder], {
            'PATH': os.environ['PATH'], 'TRYTON_URL': health.url,
            'TRYTON_DATABASE': DATABASE, 'TRYTON_PASSWORD': PASSWORD})


@pytest.fixture
def wlmscpfs(folder, tmp_path):
    "The demo, as a function that asks it"
    port = free_port()

    def find(keys=(), **options):
        return find_worklist(port, keys, aet=AET, **options)

    with serving(tmp_path, find, '-p', port, folder):
        yield find


@contextmanager
def serving(tmp_path, find, *arguments):
    "Run the demo until `find` gets answers, and longer"
    process = Process(
        [DEMO, *map(str, arguments)], tmp_path / 'log',
        environment={**os.environ, 'TMPDIR': str(tmp_path)})
    try:
        process.wait_ready(
            lambda: answers(find), TIMEOUT, "worklists_service_demo.sh")
        yield
    finally:
        process.stop()
    assert process.returncode == 143
    assert not list(tmp_path.glob('tmp.*'))


@pytest.fixture
def orthanc(folder, start_orthanc):
    "An Orthanc with the folder, as a function that asks it"
    orthanc = start_orthanc(
        plugins=['worklists'], dicom=True, configuration={
            'DicomAlwaysAllowFindWorklist': True,
            'Worklists': {'Enable': True, 'Database': str(folder)}})
    return lambda keys=(), **options: find_worklist(
        orthanc.dicom_port, keys, **options)


@pytest.fixture(params=['orthanc', 'wlmscpfs'])
def find(request):
    return request.getfixturevalue(request.param)


def answers(find):
    try:
        find({'PatientID': 'NOBODY'})
    except FindFailed:
        return False
    return True


def step_ids(datasets):
    return sorted(
        item.ScheduledProcedureStepID
        for dataset in datasets for item in dataset[STEP].value)


def test_demo_as_gnu_health_4_calls_it(health, run, folder, tmp_path):
    "A folder for each AE title"
    for name in ['CT1', 'MR1']:
        (tmp_path / 'titles' / name).mkdir(parents=True)
    health.open(1)
    run('-w', tmp_path / 'titles' / 'CT1')
    port = free_port()

    def find(aet='CT1'):
        return find_worklist(port, (), aet=aet)

    def find_any(keys):
        return find()

    with serving(tmp_path, find_any, tmp_path / 'titles', port):
        assert step_ids(find()) == ['STEP1']
        assert find('MR1') == []


def test_modality_sees_what_is_open(health, folder, run, find):
    assert find() == []
    health.open(1)
    health.open(2, make_step(2, 'Otto^Max', Modality='MR'), kind='json')
    run()
    assert step_ids(find()) == ['STEP1', 'STEP2']
    answer, = find({STEP: {'Modality': 'MR'}})
    assert str(answer.PatientName) == 'Otto^Max'
    assert answer.PatientID == 'PUID2'
    health.open(2, make_step(2, 'Otto^Max', Modality='CT'))
    health.close(1)
    run()
    assert find({STEP: {'Modality': 'MR'}}) == []
    assert step_ids(find({STEP: {'Modality': 'CT'}})) == ['STEP2']
    health.close(2)
    run()
    assert find() == []


def test_what_a_killed_run_left_is_not_served(health, folder, run, find):
    health.open(1)
    run()
    staging = folder / '.gnuhealth-worklist.tmp'
    staging.mkdir()
    shutil.copy(folder / 'gnuhealth-1.wl', staging / 'gnuhealth-2.wl')
    (staging / 'gnuhealth-3.wl').write_bytes(b'half of it')
    assert step_ids(find()) == ['STEP1']


def test_file_that_dump2dcm_did_not_make_is_served(
        health, run, find, tmp_path):
    health.open(1)
    run(PATH=str(tmp_path))
    assert step_ids(find()) == ['STEP1']


@pytest.mark.parametrize('charset, name', [
        ('ISO_IR 192', 'Вагнер^Jürgen=王^小东=やまだ'),
        ('ISO_IR 100', 'Gößling^Änne'),
        ('ISO_IR 144', 'Люкceмбypг^Пётр'),
        ('ISO_IR 126', 'Διονυσίου^Ελένη'),
        ('ISO_IR 127', 'قباني^لنزار'),
        (['', 'ISO 2022 IR 87'], 'Yamada^Tarou=山田^太郎=やまだ^たろう'),
        (['', 'ISO 2022 IR 87'], 'Nn=本表^中=ソ'),
        (['', 'ISO 2022 IR 149'], 'Hong^Gildong=洪^吉洞=홍^길동'),
        ('GB18030', 'Wang^XiaoDong=王^小东'),
        ('GB18030', 'Ling=俓乗^凌'),
        ])
def test_names_arrive_whole(health, folder, run, wlmscpfs, charset, name):
    health.open(1, make_step(1, name, charset=charset))
    assert run().stderr == ''
    answer, = wlmscpfs()
    assert answer.SpecificCharacterSet == charset
    assert str(answer.PatientName) == name


# What wlmscpfs does to the lock file while it reads (dcmtk uses fcntl(2))
SHARED = """
import fcntl, sys
file = open(sys.argv[1], 'r+')
try:
    fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
except BlockingIOError:
    print('busy')
else:
    print('free', flush=True)
    sys.stdin.read()
"""


def test_queries_wait_while_files_are_changed(folder):
    (folder / 'lockfile').touch()
    query = [sys.executable, '-c', SHARED, folder / 'lockfile']
    with pause_queries(folder):
        assert subprocess.check_output(query, input=b'') == b'busy\n'
    assert subprocess.check_output(query, input=b'') == b'free\n'


def test_endless_query_does_not_stop_the_changes(health, folder, run):
    (folder / 'lockfile').touch()
    with subprocess.Popen(
            [sys.executable, '-c', SHARED, folder / 'lockfile'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as query:
        assert query.stdout.readline() == b'free\n'
        health.open(1)
        run()
        query.stdin.close()
    assert (folder / 'gnuhealth-1.wl').exists()


# The demo


def demo(*arguments):
    return subprocess.run(
        [DEMO, *arguments], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=TIMEOUT)


def test_demo_tells_how_it_is_used():
    ended = demo('-h')
    assert ended.returncode == 0
    assert 'findscu' in ended.stdout


@pytest.mark.parametrize('arguments', [
        [], ['/nothing'], ['-x', '/'], ['-a', '../x', '/tmp'],
        ['-a', '', '/tmp'], ['-p', 'x', '/tmp'], ['/tmp', '/tmp']])
def test_demo_with_wrong_arguments(arguments):
    ended = demo(*arguments)
    assert ended.returncode == 2
    assert ended.stderr
