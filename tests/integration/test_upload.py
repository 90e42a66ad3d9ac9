# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are uploaded as by a client, up to a real Orthanc."""
import datetime as dt
import socket
import struct
import threading
from base64 import b64encode
from pathlib import Path
from xmlrpc.client import Fault

import pydicom
import pytest
import requests

from proteus import Model, Wizard

from devtools.orthanc import Orthanc, to_bytes
from devtools.process import LOOPBACK
from devtools.samples import Patient, make_study
from devtools.tryton import PASSWORD
from tests.unit.upload_samples import archive as zipped
from tests.unit.upload_samples import bare, pack

from .client import CLERK, add_server, make_clerk

UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
PATIENT = 'gnuhealth.patient'
STUDY = 'gnuhealth.imaging_orthanc.study'
ANA = Patient("Betz^Ana", 'GNU777ORG', '19851004', 'F')


@pytest.fixture(scope='module', autouse=True)
def clerk(trytond):
    "A user who uploads and sees patients"
    trytond.connect()
    make_clerk('health.group_health_frontdesk')


@pytest.fixture(scope='module')
def archive(trytond):
    "An Orthanc that is known here"
    with Orthanc() as archive:
        trytond.connect()
        add_server(archive).execute('end')
        yield archive


@pytest.fixture
def orthanc(trytond, archive):
    "The same, empty"
    trytond.connect(CLERK)
    yield archive
    archive.clear()


@pytest.fixture
def ana(trytond):
    "The record of the patient of the images"
    trytond.connect()
    found = Model.get(PATIENT).find([('party.ref', '=', ANA.id)])
    if not found:
        party = Model.get('party.party')(
            name="Ana", lastname="Betz", is_person=True, is_patient=True,
            gender='f', ref=ANA.id, fed_country='XXX')
        party.dob = dt.date(1985, 10, 4)
        # It makes the patient, too
        party.save()
        found = Model.get(PATIENT).find([('party.ref', '=', ANA.id)])
    trytond.connect(CLERK)
    return found[0]


def images(count, patient=ANA, **values):
    return [
        to_bytes(d) for d in make_study(
            'CR', series=1, instances=count, patient=patient, rows=16,
            **values)]


def check(data, patient=None):
    "Fill in the first page"
    wizard = Wizard(UPLOAD)
    wizard.form.data_to_upload = data
    if patient:
        wizard.form.patient = Model.get(PATIENT)(patient.id)
    wizard.execute('check')
    return wizard


def upload(data, patient=None):
    wizard = check(data, patient)
    wizard.execute('send')
    return wizard


def states(wizard):
    return [file.state for file in wizard.form.files]


def studies(orthanc):
    return Model.get(STUDY).find([
            ('orthanc_UID', 'in', orthanc.get('/studies'))])


def test_packed_files_arrive(orthanc):
    files = images(3)
    wizard = upload(pack(files))
    assert states(wizard) == ['stored'] * 3
    assert orthanc.counts()['instances'] == 3
    study, = studies(orthanc)
    assert study.patient_id == ANA.id
    assert states(upload(pack(files))) == ['present'] * 3
    assert orthanc.counts()['instances'] == 3


def test_a_disc_arrives(orthanc):
    one, two = images(2)
    wizard = check(zipped({
                'DICOMDIR': b'', 'AUTORUN.INF': b'[autorun]',
                'VIEWER/VIEWER.EXE': b'MZ' * 500, 'DICOM/S1/I1': one,
                'DICOM/S1/I2': two, '../I3': one}))
    # What needs attention comes first
    assert states(wizard) == [
        'refused', 'ready', 'ready', 'skipped', 'skipped', 'skipped']
    assert wizard.form.files[1].name == 'DICOM/S1/I1'
    wizard.execute('send')
    assert states(wizard)[:3] == ['refused', 'stored', 'stored']
    assert orthanc.counts()['instances'] == 2


def test_a_bare_file_arrives(orthanc):
    one, = images(1)
    assert states(upload(one)) == ['stored']
    assert orthanc.counts()['instances'] == 1


def test_a_bare_dataset_is_taken_or_refused(orthanc):
    wizard = upload(bare(False, True))
    assert states(wizard)[0] in {'stored', 'refused'}
    assert orthanc.counts()['instances'] == (states(wizard) == ['stored'])


def test_a_bad_file_loses_no_other(orthanc):
    one, two = images(2)
    wizard = upload(pack([one, one[:200], b'\0' * 1000, b'', two]))
    assert states(wizard) == [
        'refused', 'stored', 'stored', 'skipped', 'skipped']
    assert orthanc.counts()['instances'] == 2


def test_orthanc_stops_before_it_is_sent(orthanc):
    one, two = images(2)
    wizard = check(pack([one, two]))
    orthanc.stop()
    with pytest.raises(Fault, match="Check the port"):
        wizard.execute('send')
    orthanc.start(orthanc.port)
    wizard.execute('send')
    assert states(wizard) == ['stored', 'stored']


def test_orthanc_stops_in_the_middle(orthanc):
    files = images(400)
    wizard = check(pack(files))
    stopped = threading.Event()

    def stop():
        session = requests.Session()
        session.auth = orthanc.user, orthanc.password
        while not session.get(
                f'{orthanc.url}/statistics', timeout=30).json()[
                'CountInstances'] >= 5:
            pass
        orthanc.kill()
        stopped.set()

    thread = threading.Thread(target=stop)
    thread.start()
    wizard.execute('send')
    thread.join()
    found = states(wizard)
    assert stopped.is_set() and wizard.form.failed
    count = found.count('stored')
    assert 0 < count < len(files)
    assert found == ['failed'] * (len(files) - count) + ['stored'] * count
    assert all(f.reason for f in wizard.form.files[:-count])
    orthanc.start(orthanc.port)
    wizard.execute('send')
    assert set(states(wizard)) <= {'stored', 'present'}
    assert not wizard.form.failed
    assert orthanc.counts()['instances'] == len(files)
    study, = studies(orthanc)
    assert study.instances_count == len(files)


def test_cancel_takes_back_what_was_stored(orthanc):
    before, *files = images(5)
    orthanc.upload([before])
    wizard = upload(pack([before, *files]))
    assert orthanc.counts()['instances'] == 5
    # As a client does that has got no answer
    wizard.execute('cancel')
    assert orthanc.counts()['instances'] == 1


def test_study_is_linked_to_the_chosen_patient(orthanc, ana):
    wizard = upload(pack(images(2)), ana)
    assert {file.fits for file in check(pack(images(1)), ana).form.files} == {
        'fits'}
    assert states(wizard) == ['stored'] * 2
    study, = studies(orthanc)
    assert study.patient.id == ana.id
    assert study.link_status == 'manual'
    assert study.decided_by.login == CLERK


def test_study_of_somebody_else_waits_for_a_person(orthanc, ana):
    other = Patient("Other^Bob", ANA.id, '19501231', 'M')
    wizard = check(pack(images(1, other)), ana)
    assert wizard.form.files[0].fits == 'contradicts'
    assert wizard.form.contradictions
    wizard.execute('send')
    assert states(wizard) == ['stored']
    assert "contradict" in wizard.form.message
    study, = studies(orthanc)
    assert not study.patient and study.link_status == 'unlinked'


def test_somebody_else_is_linked_with_a_reason(orthanc, ana):
    other = Patient("Other^Bob", ANA.id, '19501231', 'M')
    wizard = check(pack(images(1, other)), ana)
    wizard.form.confirmed = True
    wizard.form.reason = "Mixed up at the modality"
    wizard.execute('send')
    study, = studies(orthanc)
    assert study.patient.id == ana.id
    assert study.decision_reason == "Mixed up at the modality"


@pytest.mark.release
def test_packaged_files_of_pydicom(orthanc):
    folder = Path(pydicom.__file__).with_name('data')
    paths = [
        p for p in sorted(folder.rglob('*'))
        if p.is_file() and p.suffix not in {'.py', '.pyc'}]
    wizard = upload(pack(path.read_bytes() for path in paths))
    found = states(wizard)
    assert len(found) == len(paths) > 100
    assert set(found) <= {'stored', 'present', 'refused', 'skipped'}
    assert orthanc.counts()['instances'] == found.count('stored') > 50
    for file in wizard.form.files:
        assert file.reason or file.state in {'stored', 'present'}
    assert len(studies(orthanc)) == orthanc.counts()['studies']


def send(trytond, server, content, **kwargs):
    "Send a file over the route for it"
    return requests.post(
        f'{trytond.url}/{trytond.tryton.name}/orthanc/upload',
        params={'server': server}, data=content, auth=(CLERK, PASSWORD),
        timeout=300, **kwargs)


@pytest.fixture
def server(trytond):
    "The id of the server"
    trytond.connect()
    found, = Model.get('gnuhealth.orthanc.config').find([])
    return found.id


def peak(trytond):
    "Return the most memory that trytond has ever had, in bytes"
    status = Path(f'/proc/{trytond.process.pid}/status').read_text()
    line, = [x for x in status.splitlines() if x.startswith('VmHWM')]
    return 1024 * int(line.split()[1])


def test_files_are_streamed(orthanc, trytond, server):
    one, two = images(2)
    for content in [one, zipped({'a': two})]:
        found, = send(trytond, server, content).json()['files']
        assert found['state'] == 'stored'
    found, = send(trytond, server, one).json()['files']
    assert found['state'] == 'present'
    assert orthanc.get('/studies') == [found['study']]
    assert orthanc.counts()['instances'] == 2


def test_memory_is_flat(orthanc, trytond, server, tmp_path):
    large = tmp_path / 'large'
    dataset, = make_study(
        'CR', series=1, instances=1, patient=ANA, rows=16)
    dataset.Rows = dataset.Columns = 8192
    dataset.PixelData = bytes(2 * 8192 * 8192)
    dataset.save_as(large, enforce_file_format=True)
    # What all requests need is there
    send(trytond, server, *images(1))
    before = peak(trytond)
    with large.open('rb') as file:
        found, = send(trytond, server, file).json()['files']
    assert found['state'] == 'stored'
    assert peak(trytond) - before < 50 * 2**20 < large.stat().st_size


def hostile(folder):
    "Yield what nobody means well with"
    image, = images(1)
    yield b''
    yield image[:200]
    yield image[:132]
    yield b'MULT' + struct.pack('<Q', 2**62) + image
    yield b'MULT' + struct.pack('<Q', len(image) + 1) + image
    yield pack([b''] * 100_000)
    yield zipped({'../../etc/passwd': image, '/autorun.inf': b'[autorun]'})
    yield zipped({f'{n}.dcm': bytes(2**23) for n in range(8)})
    yield zipped({'<img src=x onerror=alert(1)>.dcm': b'<script>'})
    yield zipped({'a.zip': zipped({'b.zip': zipped({'c': image})})})
    # As large as may be, and nothing in it
    sparse = folder / 'sparse'
    with sparse.open('wb') as file:
        file.truncate(2**26)
    yield sparse


def test_hostile_bodies_are_refused(orthanc, trytond, server, tmp_path):
    send(trytond, server, *images(1))
    orthanc.clear()
    before = peak(trytond)
    for body in hostile(tmp_path):
        if isinstance(body, Path):
            with body.open('rb') as file:
                answer = send(trytond, server, file)
        else:
            answer = send(trytond, server, body)
        assert answer.status_code == 200
        for found in answer.json()['files']:
            assert found['state'] in {'refused', 'skipped'}
            assert found['reason']
    assert peak(trytond) - before < 100 * 2**20
    assert orthanc.counts()['instances'] == 0
    found, = send(trytond, server, *images(1)).json()['files']
    assert found['state'] == 'stored'


@pytest.mark.parametrize('size', [10 * 2**30, 2**62])
def test_what_is_too_large_is_not_read(orthanc, trytond, server, size):
    head = (
        f'POST /{trytond.tryton.name}/orthanc/upload?server={server} '
        f'HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n'
        'Authorization: Basic '
        + b64encode(f'{CLERK}:{PASSWORD}'.encode()).decode()
        + '\r\n\r\n').encode()
    with socket.create_connection(
            (LOOPBACK, trytond.port), timeout=60) as connection:
        connection.sendall(head)
        assert b' 413 ' in connection.recv(100).splitlines()[0]


def test_stalled_uploads_hold_no_connection(orthanc, trytond, server):
    one, = images(1)
    head = (
        f'POST /{trytond.tryton.name}/orthanc/upload?server={server} '
        'HTTP/1.1\r\nHost: localhost\r\n'
        f'Content-Length: {len(one) + 2**22}\r\nAuthorization: Basic '
        + b64encode(f'{CLERK}:{PASSWORD}'.encode()).decode()
        + '\r\n\r\n').encode()
    stalled = [
        socket.create_connection((LOOPBACK, trytond.port))
        for _ in range(20)]
    try:
        for connection in stalled:
            connection.sendall(head + one + bytes(2**21))
        # Orthanc answers at once, and so does GNU Health
        assert orthanc.get('/system')
        found, = send(trytond, server, one).json()['files']
        assert found['state'] == 'stored'
    finally:
        for connection in stalled:
            connection.close()


def test_an_aborted_transfer_leaves_nothing(orthanc, trytond, server):
    one, = images(1)
    head = (
        f'POST /{trytond.tryton.name}/orthanc/upload?server={server} '
        'HTTP/1.1\r\nHost: localhost\r\n'
        f'Content-Length: {len(one) + 2**21}\r\nAuthorization: Basic '
        + b64encode(f'{CLERK}:{PASSWORD}'.encode()).decode()
        + '\r\n\r\n').encode()
    with socket.create_connection((LOOPBACK, trytond.port)) as connection:
        connection.sendall(head + one + bytes(2**21 - 1))
    found, = send(trytond, server, *images(1)).json()['files']
    assert found['state'] == 'stored'
    assert orthanc.counts()['instances'] == 1
