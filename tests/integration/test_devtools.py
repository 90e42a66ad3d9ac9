# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that other tests rely on start, stop and leave nothing."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from devtools import samples, sao
from devtools.certificates import Authority
from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import StartError, wait_until
from devtools.programs import ForkingTryton, Programs
from devtools.proxy import Answer, Proxy
from devtools.tryton import ROOT

TIMEOUT = 30


def _alive(pid: int) -> bool:
    """Tell whether a process runs; one that only awaits its parent does not.
    """
    try:
        status = Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(')')[2].split()[0] != 'Z'


def test_orthanc_stores_and_keeps(orthanc):
    study = samples.make_study('CT', series=2, instances=3, rows=16)
    answers = orthanc.upload(study)
    assert {answer['Status'] for answer in answers} == {'Success'}
    expected = {'patients': 1, 'studies': 1, 'series': 2, 'instances': 6}
    assert orthanc.counts() == expected
    port = orthanc.port
    orthanc.stop()
    assert not orthanc.running
    orthanc.start()
    assert orthanc.port == port
    assert orthanc.counts() == expected
    orthanc.reset()
    assert not any(orthanc.counts().values())
    assert orthanc.get('/changes')['Last'] == 0


def test_orthanc_asks_for_credentials(orthanc):
    for credentials in [None, (orthanc.user, 'wrong')]:
        response = requests.get(
            orthanc.url + '/system', auth=credentials, timeout=TIMEOUT)
        assert response.status_code == 401


def test_orthanc_on_a_taken_port_says_so(orthanc):
    other = Orthanc(port=orthanc.port)
    with pytest.raises(StartError, match='in use'):
        other.start()
    other.close()
    assert not other.folder.exists()


def test_orthanc_takes_another_port(orthanc, monkeypatch, start_orthanc):
    ports = iter([orthanc.port])
    find = sys.modules['devtools.orthanc'].free_port
    monkeypatch.setattr(
        'devtools.orthanc.free_port', lambda: next(ports, None) or find())
    assert start_orthanc().port != orthanc.port


def test_orthanc_with_plugins_leaves_nothing():
    with Orthanc(plugins=['dicomweb', 'webviewer'], dicom=True) as orthanc:
        assert {'dicom-web', 'web-viewer'} <= set(orthanc.get('/plugins'))
        pid = orthanc.process.pid
    assert not _alive(pid)
    assert not orthanc.folder.exists()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_their_parent(number):
    script = (
        'from devtools.orthanc import Orthanc\n'
        'from devtools.postgresql import PostgreSQL\n'
        'import sys, time\n'
        'with Orthanc() as orthanc, PostgreSQL() as postgresql:\n'
        '    print(orthanc.process.pid, postgresql.process.pid)\n'
        '    print(orthanc.folder, postgresql.folder, flush=True)\n'
        '    time.sleep(600)\n')
    parent = subprocess.Popen(
        [sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.PIPE,
        text=True)
    try:
        pids = list(map(int, parent.stdout.readline().split()))
        folders = parent.stdout.readline().split()
        assert len(pids) == 2 and all(map(_alive, pids))
        parent.send_signal(number)
        parent.wait(TIMEOUT)
        assert wait_until(lambda: not any(map(_alive, pids)), TIMEOUT)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    # A parent that was ended by force cannot remove them.
    for folder in folders:
        subprocess.run(['rm', '-r', folder], check=True, timeout=TIMEOUT)


def test_postgresql_keeps_and_copies(tmp_path):
    with PostgreSQL() as postgresql:
        postgresql.create('one')
        with postgresql.connect('one') as connection:
            connection.cursor().execute('CREATE TABLE t AS SELECT 1 AS c')
        connection.close()
        postgresql.create('two', 'one')
        postgresql.dump('two', tmp_path / 'dump')
        postgresql.restore('three', tmp_path / 'dump')
        postgresql.drop('one')
        assert {'two', 'three'} <= postgresql.databases()
        assert 'one' not in postgresql.databases()
        with postgresql.connect('three') as connection:
            cursor = connection.cursor()
            cursor.execute('SELECT c FROM t')
            assert cursor.fetchall() == [(1,)]
        connection.close()
        pid = postgresql.process.pid
    assert not _alive(pid)
    assert not postgresql.folder.exists()


def test_proxy_publishes_under_a_prefix_with_tls(orthanc, tmp_path):
    authority = Authority()
    ca_file = tmp_path / 'ca.pem'
    ca_file.write_text(authority.certificate)
    session = requests.Session()
    session.trust_env = False
    session.auth = orthanc.session.auth
    with Proxy(orthanc.url, prefix='/pacs', authority=authority) as proxy:
        with pytest.raises(requests.exceptions.SSLError):
            session.get(proxy.url + '/system', timeout=TIMEOUT)
        session.verify = str(ca_file)
        answer = session.get(proxy.url + '/system', timeout=TIMEOUT)
        assert answer.json()['Name'] == 'Orthanc'
        outside = proxy.url.removesuffix('/pacs') + '/system'
        assert session.get(outside, timeout=TIMEOUT).status_code == 404
        proxy.before = lambda request: Answer(200, b'[1, 2]', cut=2)
        with pytest.raises(requests.RequestException):
            session.get(proxy.url + '/studies', timeout=TIMEOUT)
        assert [r.path for r in proxy.requests] == ['/system', '/studies']
    session.close()


@pytest.mark.parametrize('modality', sorted(samples.STORAGE))
def test_samples_are_rendered(orthanc, modality):
    study = samples.make_study(
        modality, samples.Patient("Ωνάσης^Ελένη", 'X1'), series=1,
        instances=2, rows=32, frames=3)
    answer = orthanc.upload(study)[0]
    patient = orthanc.get('/patients/' + answer['ParentPatient'])
    assert patient['MainDicomTags']['PatientName'] == "Ωνάσης^Ελένη"
    image = orthanc.session.get(
        f"{orthanc.url}/instances/{answer['ID']}/rendered", timeout=TIMEOUT)
    assert image.ok == (modality != 'SR')


def test_bulk_is_as_many_as_asked_for(orthanc):
    orthanc.upload_bulk(samples.make_bulk(12, 2, 3), batch=30)
    assert orthanc.counts() == {
        'patients': 12, 'studies': 12, 'series': 24, 'instances': 72}


def test_packaged_files_are_accepted(orthanc):
    files = samples.packaged_files() + samples.charset_files()
    assert len(files) > 20
    stored = {answer['Status'] for answer in orthanc.upload(files)}
    assert stored <= {'Success', 'AlreadyStored'}


def test_web_client_is_complete(web_client, tmp_path):
    custom = tmp_path / 'custom.js'
    custom.write_text("// ours")
    client = sao.with_custom_files(web_client, tmp_path / 'sao', custom)
    assert (client / 'custom.js').read_text() == "// ours"
    page = (client / 'index.html').read_text()
    sources = [
        part.partition('"')[0]
        for part in page.split('src="')[1:] + page.split('href="')[1:]]
    files = [name for name in sources if '.' in name.rpartition('/')[2]]
    assert len(files) > 15
    assert not [name for name in files if not (client / name).exists()]


@pytest.mark.release
def test_tryton_serves_its_database(make_tryton):
    for backend in ['sqlite', 'postgresql']:
        tryton = make_tryton(backend, 'health_imaging')
        with tryton.server() as server:
            assert server.rpc().model.res.user.search_count(
                [('login', '=', 'admin')], 0, None, {}) == 1
            pid = server.process.pid
            scheduler = tryton.cron()
            assert scheduler.running
            scheduler.stop()
            assert not _alive(scheduler.pid)
        assert not _alive(pid)


@pytest.mark.release
def test_forked_programs_die_with_their_children(make_tryton):
    made = make_tryton('postgresql', 'health_imaging')
    tryton = ForkingTryton(
        made.folder, postgresql=made.postgresql, name=made.name)
    with Programs(tryton.configuration, tryton.name) as tryton.programs:
        with tryton.server() as server:
            assert server.rpc().model.res.user.search_count(
                [('login', '=', 'admin')], 0, None, {}) == 1
            pid = server.process.pid
            worker = tryton.worker(2)
            assert wait_until(lambda: len(_group(worker.pid)) == 3, TIMEOUT)
            worker.kill()
            assert worker.returncode == -signal.SIGKILL
            assert wait_until(lambda: not _group(worker.pid), TIMEOUT)
        assert not _alive(pid)


def _group(number: int) -> list[int]:
    """Return the processes of a group."""
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            if os.getpgid(int(path.name)) == number:
                found.append(int(path.name))
        except ProcessLookupError:
            continue
    return [pid for pid in found if _alive(pid)]


@pytest.mark.release
def test_copies_of_a_database_are_apart(make_tryton):
    first = make_tryton('sqlite', 'health_imaging')
    second = make_tryton('sqlite', 'health_imaging')
    with first.server() as server:
        rpc = server.rpc()
        rpc.model.party.party.create([{'name': "Only here"}], {})
    found = []
    for tryton in [first, second]:
        with tryton.server() as server:
            found.append(server.rpc().model.party.party.search_count(
                    [('name', '=', "Only here")], 0, None, {}))
    assert found == [1, 0]
