# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of GNU Health is written into images, and none is lost."""
import datetime as dt
import io
import threading
from contextlib import contextmanager
from hashlib import sha256

import pydicom
import pytest

from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient

from . import inside
from .hospital import ADMIN, ON_BOTH, study, study_id

WRONG = Patient('Fehler^Fritz', 'WRONG', '19990101', 'M')
BORN = dt.date(1964, 8, 12)
RIGHT = {
    'PatientName': 'Łukaszewicz^Żaneta', 'PatientBirthDate': '19640812',
    'PatientSex': 'F'}
TIMEOUT = 60


class Archive:
    """A study of a wrong patient, linked to the right one by a person."""

    def __init__(self, hospital, orthanc, url=None, **options):
        self.hospital = hospital
        self.orthanc = orthanc
        self.patient, self.puid = hospital.add_patient(
            "Łukaszewicz", "Żaneta", 'f', BORN)
        self.datasets = study(WRONG, series=2, instances=2, **options)
        self.source = study_id(orthanc.upload(self.datasets))
        self.wait_stable()
        self.server = hospital.add_server(
            orthanc, url, instances_mode='always', correct_identity=True)
        self.server.done()
        self.record = self.server.study()['id']
        hospital.write(
            inside.STUDY, [self.record], patient=self.patient, notes="Keep")

    def wait_stable(self):
        assert wait_until(
            lambda: all(s['IsStable'] for s in self.orthanc.get(
                    '/studies?expand&since=0&limit=10')), TIMEOUT, 0.2)

    def start(self, kind='correct'):
        return self.hospital.agent.start(
            inside.correct, self.record, kind, user=ADMIN)

    def correct(self, kind='correct'):
        assert self.start(kind).result() == [self.record]
        return self.correction()

    def carry_on(self):
        self.hospital.call(inside.carry_on_corrections)
        return self.correction()

    def correction(self):
        return self.hospital.read(
            inside.CORRECTION, [('study', '=', self.record)], 'state',
            'reason', 'error_kind', 'user', 'source_UID', 'target_UID',
            'instances_count')[-1]

    def notify(self, kind, *studies):
        "Have notifications of the plugin worked off"
        assert not self.hospital.call(
            inside.notify, self.server.id, [(kind, id_) for id_ in studies])

    def files(self):
        "Return what Orthanc holds, by SOP Instance UID"
        found = {}
        for id_ in self.orthanc.get('/instances'):
            response = self.orthanc.session.get(
                f'{self.orthanc.url}/instances/{id_}/file', timeout=TIMEOUT)
            dataset = pydicom.dcmread(io.BytesIO(response.content))
            assert dataset.SOPInstanceUID not in found
            found[dataset.SOPInstanceUID] = dataset
        return found

    def assert_corrected(self, datasets):
        "All images are there once, with the new identity and all else kept"
        files = self.files()
        assert files.keys() == {d.SOPInstanceUID for d in datasets}
        for dataset in datasets:
            file = files[dataset.SOPInstanceUID]
            for keyword, value in [('PatientID', self.puid), *RIGHT.items()]:
                assert file[keyword].value == value
            assert file.SeriesInstanceUID == dataset.SeriesInstanceUID
            assert file.StudyInstanceUID == dataset.StudyInstanceUID
            assert file.PixelData == dataset.PixelData
        self.assert_one_record()

    def assert_one_record(self):
        "The record has followed, and nothing of it is missing"
        record = self.server.study(
            'patient', 'notes', 'link_status', 'missing_since')
        assert record['id'] == self.record
        assert record['patient'] == self.patient
        assert record['notes'] == "Keep"
        assert record['link_status'] == 'manual'
        assert record['missing_since'] is None
        self.server.assert_equal()
        assert not any(
            r['missing_since'] for r in [
                *self.server.series('missing_since'),
                *self.server.instances('missing_since')])


@pytest.fixture
def orthanc(start_orthanc):
    return start_orthanc(configuration={'StableAge': 1})


@contextmanager
def held(orthanc, found):
    """Yield a proxy that holds the first request that is `found`.

    With it come an event that is set when the request has come, and a
    function that lets it go on, with the answer given if any.
    """
    come, go = threading.Event(), threading.Event()
    answers = []

    def before(request):
        if found(request) and not come.is_set():
            come.set()
            go.wait(TIMEOUT)
            return answers[0]

    def release(answer=None):
        answers.append(answer)
        go.set()

    with Proxy(orthanc.url, before=before) as proxy:
        try:
            yield proxy, come, release
        finally:
            release()


def is_call(method, part):
    return lambda request: (
        request.method == method and part in request.path)


@ON_BOTH
def test_identity_is_written_and_restored(hospital, orthanc):
    archive = Archive(
        hospital, orthanc, charset='ISO_IR 100', IssuerOfPatientID='OTHER')
    series = archive.server.series('series_UID')
    images = archive.server.instances('sop_instance_UID')
    correction = archive.correct()
    assert correction['state'] == 'done'
    assert correction['user'] == ADMIN
    assert correction['instances_count'] == 4
    archive.assert_corrected(archive.datasets)
    assert all(
        f.SpecificCharacterSet == 'ISO_IR 192' and 'IssuerOfPatientID' not in f
        for f in archive.files().values())
    record = archive.server.study(
        'patient_name', 'patient_id', 'orthanc_patient', 'decisions')
    assert record['orthanc_UID'] == correction['target_UID']
    assert record['patient_name'] == RIGHT['PatientName']
    assert record['patient_id'] == archive.puid
    # The rows are the same ones
    assert {s['id']: s['series_UID'] for s in series} == {
        s['id']: s['series_UID'] for s in archive.server.series('series_UID')}
    assert {i['id']: i['sop_instance_UID'] for i in images} == {
        i['id']: i['sop_instance_UID']
        for i in archive.server.instances('sop_instance_UID')}
    line = hospital.read(
        inside.DECISION, [('study', '=', archive.record)], 'user', 'event',
        'compared')[-1]
    assert line['user'] == ADMIN
    assert line['event'] == 'corrected'
    assert f"{archive.puid} / WRONG" in line['compared']
    archive.server.done()
    archive.server.done('full')
    archive.assert_one_record()
    archive.wait_stable()
    assert archive.correct('restore')['state'] == 'done'
    for dataset in archive.datasets:
        file = archive.files()[dataset.SOPInstanceUID]
        for keyword in [
                *RIGHT, 'PatientID', 'SpecificCharacterSet',
                'IssuerOfPatientID', 'PixelData']:
            assert file[keyword].value == dataset[keyword].value
    assert archive.server.study()['orthanc_UID'] == archive.source
    archive.server.done('full')
    archive.assert_one_record()


def test_a_study_that_is_there_under_the_new_id_is_refused(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    other = archive.datasets[0]
    other.PatientID = archive.puid
    orthanc.upload([other])
    archive.wait_stable()
    before = sorted(orthanc.get('/instances'))
    correction = archive.correct()
    assert correction['state'] == 'refused'
    assert correction['reason'] == 'collision'
    assert sorted(orthanc.get('/instances')) == before


def test_a_late_image_is_corrected_too(hospital, orthanc):
    with held(orthanc, is_call('POST', 'bulk-delete')) as (
            proxy, come, release):
        archive = Archive(hospital, orthanc, proxy.url)
        call = archive.start()
        assert come.wait(TIMEOUT)
        late = study(
            WRONG, StudyInstanceUID=archive.datasets[0].StudyInstanceUID)
        orthanc.upload(late)
        release()
        call.result()
        assert archive.correction()['state'] == 'done'
        archive.server.done()
        archive.assert_corrected([*archive.datasets, *late])


@pytest.mark.parametrize('method, part', [
        ('POST', 'bulk-modify'),
        ('POST', 'bulk-delete'),
        pytest.param('GET', '/jobs/', marks=pytest.mark.release),
        pytest.param('GET', '/raw', marks=pytest.mark.release),
        ])
def test_what_is_killed_is_carried_on(hospital, orthanc, method, part):
    with held(orthanc, is_call(method, part)) as (proxy, come, release):
        archive = Archive(hospital, orthanc, proxy.url)
        call = archive.start()
        assert come.wait(TIMEOUT)
        call.kill()
        release(Answer(503))
        assert {d.SOPInstanceUID for d in archive.datasets} == {
            i['MainDicomTags']['SOPInstanceUID'] for i in orthanc.get(
                '/instances?expand&since=0&limit=100')}
        assert archive.carry_on()['state'] == 'done'
        archive.server.done('full')
        archive.assert_corrected(archive.datasets)


@pytest.mark.parametrize('part', [
        'bulk-modify', pytest.param('bulk-delete', marks=pytest.mark.release)])
def test_what_is_done_but_not_answered_is_carried_on(
        hospital, orthanc, part):
    with held(orthanc, is_call('POST', part)) as (proxy, come, release):
        archive = Archive(hospital, orthanc, proxy.url)
        call = archive.start()
        assert come.wait(TIMEOUT)
        request = proxy.requests[-1]
        orthanc.session.post(
            orthanc.url + request.path, data=request.body, timeout=TIMEOUT)
        release(Answer(200, b'{}' * 100, cut=1))
        call.result()
        assert archive.correction()['state'] in {'copying', 'removing'}
        # The job may still be at work
        assert wait_until(
            lambda: archive.carry_on()['state'] == 'done', TIMEOUT, 0.2)
        archive.server.done('full')
        archive.assert_corrected(archive.datasets)


@ON_BOTH
@pytest.mark.parametrize('method, part', [
        # Before and after the record has followed
        ('GET', '/raw'),
        ('POST', 'bulk-delete'),
        ])
def test_what_is_told_meanwhile_makes_no_other_record(
        hospital, orthanc, method, part):
    with held(orthanc, is_call(method, part)) as (proxy, come, release):
        archive = Archive(hospital, orthanc, proxy.url)
        call = archive.start()
        assert come.wait(TIMEOUT)
        studies = orthanc.get('/studies')
        assert len(studies) == 2
        for import_studies in [
                lambda: archive.server.done('incremental'),
                lambda: archive.server.done('full'),
                lambda: archive.notify('study', *studies)]:
            import_studies()
            record = archive.server.study('missing_since', 'patient')
            assert record['id'] == archive.record
            assert record['patient'] == archive.patient
            assert record['missing_since'] is None
        release()
        call.result()
        archive.notify('study', archive.correction()['target_UID'])
        archive.notify('deleted', archive.source)
        archive.assert_one_record()
        archive.server.done()
        archive.server.done('full')
        archive.assert_corrected(archive.datasets)


def test_a_copy_that_differs_is_discarded(hospital, orthanc):
    "Orthanc's answer tells of other pixels"
    with held(orthanc, is_call('GET', '/raw')) as (proxy, come, release):
        archive = Archive(hospital, orthanc, proxy.url)
        before = archive.files()
        call = archive.start()
        assert come.wait(TIMEOUT)
        release(Answer(200, b'other'))
        call.result()
        correction = archive.correction()
        assert correction['state'] == 'refused'
        assert correction['reason'] == 'differs'
        assert orthanc.get('/studies') == [archive.source]
        assert digests(archive.files()) == digests(before)
        archive.server.done('full')
        archive.assert_one_record()


def digests(files):
    return {
        uid: sha256(repr(sorted(map(str, file))).encode()).hexdigest()
        for uid, file in files.items()}
