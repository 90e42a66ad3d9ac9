# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to studies in Orthanc shows in the records."""
import copy
import json

import pytest
from pydicom.uid import generate_uid

from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient, make_bulk

from . import inside
from .hospital import ALL, contents, study, study_id
from .listings import BULK, answer_of, asked_for

TIMEOUT = 30


def by_id(records):
    return {record['orthanc_UID']: record for record in records}


def missing(records):
    return {r['orthanc_UID'] for r in records if r['missing_since']}


@pytest.mark.parametrize('kind', [
        'incremental', pytest.param('full', marks=pytest.mark.release)])
def test_study_is_deleted_between_listing_and_fetching(
        hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    server.done()
    answers = orthanc.upload(study(Patient(id='GOING')))
    orthanc.upload(study(Patient(id='STAYING')))
    going = [study_id(answers)]

    def delete_before_fetching(request):
        if request.method == 'POST' and going:
            orthanc.delete('studies', going.pop())

    with Proxy(orthanc.url, before=delete_before_fetching) as proxy:
        server.write(domain=proxy.url, validated=True)
        server.done(kind)
        assert not going
        server.done('full')
    server.assert_equal()


def test_series_are_added_to_a_known_study(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    first = study()
    orthanc.upload(first)
    server.done()
    assert server.study('modalities')['modalities'] == 'CT'
    late = copy.deepcopy(first)
    for dataset in late:
        dataset.Modality = 'SR'
        dataset.SeriesInstanceUID = generate_uid()
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    orthanc.upload(late)
    run = server.done()
    assert run['series_created'] == 1 and not run['studies_created']
    assert server.study('modalities')['modalities'] == 'CT, SR'
    server.assert_equal()


@pytest.mark.parametrize('kind', [
        'full', pytest.param('incremental', marks=pytest.mark.release)])
def test_deleted_study_keeps_link_and_notes_and_comes_back(
        hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    patient, _ = hospital.add_patient()
    datasets = study(series=2, instances=2)
    orthanc.upload(study(Patient(id='OTHER')))
    deleted = study_id(orthanc.upload(datasets))
    server.done()
    ids = [s['id'] for s in server.studies() if s['orthanc_UID'] == deleted]
    hospital.write(inside.STUDY, ids, patient=patient, notes="Seen")
    orthanc.delete('studies', deleted)
    run = server.done('full')
    assert run['studies_missing'] == 1 and run['series_missing'] == 2
    server.assert_equal()
    fields = ['patient', 'notes', 'link_status', 'missing_since']
    record = by_id(server.studies(*fields))[deleted]
    assert record['missing_since']
    assert len(missing(server.series('missing_since'))) == 2
    assert len(missing(server.instances('missing_since'))) == 4
    assert not server.done('full')['studies_missing']
    orthanc.upload(datasets)
    server.done(kind)
    server.assert_equal()
    back = by_id(server.studies(*fields))[deleted]
    assert back == {**record, 'missing_since': None}
    assert back['patient'] == patient and back['notes'] == "Seen"
    assert back['link_status'] == 'manual'
    assert not missing(server.series('missing_since'))
    assert not missing(server.instances('missing_since'))


def test_patient_without_studies_is_missing_and_comes_back(
        hospital, orthanc):
    server = hospital.add_server(orthanc)
    datasets = study()
    deleted = study_id(orthanc.upload(datasets))
    server.done()
    orthanc.delete('studies', deleted)
    server.done('full')
    assert not server.contents()['patients']
    orthanc.upload(datasets)
    server.done()
    assert server.contents()['patients'] == contents(orthanc)['patients']


def test_single_series_is_deleted(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    answers = orthanc.upload(study(series=2, instances=2))
    server.done()
    gone = answers[0]['ParentSeries']
    orthanc.delete('series', gone)
    server.done('full')
    server.assert_equal()
    assert missing(server.series('missing_since')) == {gone}
    assert len(missing(server.instances('missing_since'))) == 2


def test_single_instance_is_deleted(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    answers = orthanc.upload(study(instances=3))
    server.done()
    orthanc.delete('instances', answers[1]['ID'])
    server.done('full')
    server.assert_equal()
    assert missing(server.instances('missing_since')) == {answers[1]['ID']}
    series, = server.series('instances_count')
    assert series['instances_count'] == 2


def clock(orthanc):
    response = orthanc.session.get(orthanc.url + '/tools/now', timeout=TIMEOUT)
    response.raise_for_status()
    return response.text


@pytest.mark.parametrize('kind', [
        'full', pytest.param('incremental', marks=pytest.mark.release)])
def test_as_many_instances_are_deleted_as_come_in(hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    datasets = study(instances=3)
    answers = orthanc.upload(datasets[:2])
    server.done()
    orthanc.delete('instances', answers[0]['ID'])
    # Orthanc stamps series to the second
    stamp = clock(orthanc)
    assert wait_until(lambda: clock(orthanc) != stamp, TIMEOUT)
    orthanc.upload(datasets[2:])
    server.done(kind)
    server.assert_equal()
    assert missing(server.instances('missing_since')) == {answers[0]['ID']}


def test_renamed_patient(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    before = Patient("Wrong^Name", 'RENAMED', '19640812', 'F')
    first = study_id(orthanc.upload(study(before)))
    server.done()
    orthanc.post(f'/studies/{first}/modify', {
            'Replace': {'PatientName': "Right^Name"},
            'KeepSource': False,
            })
    server.done()
    shown = {
        s['patient_display_name']
        for s in server.studies('patient_display_name')}
    assert shown == {"Wrong, Name", "Right, Name"}
    server.done('full')
    server.assert_equal()
    assert missing(server.studies('missing_since')) == {first}


def test_study_is_sent_again_with_another_name(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    patient, puid = hospital.add_patient("Muster", "Erika")
    tags = {'id': puid, 'birth_date': '19640812', 'sex': 'F'}
    datasets = study(Patient("Muster^Erika", **tags))
    first = study_id(orthanc.upload(datasets))
    server.done()
    fields = ['patient', 'link_status', 'patient_display_name']
    assert server.study(*fields)['link_status'] == 'auto_certain'
    orthanc.delete('studies', first)
    for dataset in datasets:
        dataset.PatientName = "Irrtum^Otto"
    assert study_id(orthanc.upload(datasets)) == first
    server.done()
    record = server.study(*fields)
    assert record['patient_display_name'] == "Irrtum, Otto"
    # All but the name says that it is her: a person shall look
    assert record['link_status'] == 'auto_unsure'
    assert record['patient'] == patient
    server.assert_equal()


def test_patient_id_is_changed(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    patient, puid = hospital.add_patient("Muster", "Erika")
    before = Patient("Muster^Erika", 'MISTYPED', '19640812', 'F')
    first = study_id(orthanc.upload(study(before)))
    server.done()
    assert server.study('link_status')['link_status'] == 'unlinked'
    orthanc.post('/tools/bulk-modify', {
            'Resources': [first], 'Level': 'Patient',
            'Replace': {'PatientID': puid, 'PatientName': "Muster^Erika"},
            'Keep': [
                'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID'],
            'Force': True, 'KeepSource': False,
            })
    second, = orthanc.get('/studies')
    assert second != first
    server.done()
    server.done('full')
    server.assert_equal()
    studies = by_id(server.studies(
            'patient', 'link_status', 'missing_since', 'uid_conflict',
            'study_instance_UID'))
    assert studies[first]['missing_since']
    assert studies[second]['patient'] == patient
    assert studies[second]['link_status'] == 'auto_certain'
    assert not studies[second]['uid_conflict']
    assert (studies[first]['study_instance_UID']
        == studies[second]['study_instance_UID'])


def test_one_uid_with_two_patient_ids(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    one = study(Patient("One^Person", 'ONE'))
    other = copy.deepcopy(one)
    for dataset in other:
        dataset.PatientID = 'OTHER'
        dataset.PatientName = "Other^Person"
    orthanc.upload(one + other + study(Patient(id='THIRD')))
    server.done()
    server.assert_equal()
    studies = server.studies(
        'study_instance_UID', 'patient_id', 'uid_conflict')
    assert {s['patient_id']: s['uid_conflict'] for s in studies} == {
        'ONE': True, 'OTHER': True, 'THIRD': False}
    found = hospital.read(inside.STUDY, [('uid_conflict', '=', True)])
    assert len(found) == 2


def test_deletions_while_listing_skip_nothing(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(14, 1, 1))
    orthanc.upload_bulk(make_bulk(6, 2, 1, prefix='M'))
    deletions = iter([5, 3, 1, 1])

    def delete_first(request):
        asked = asked_for(request)
        if asked and asked.since:
            studies = orthanc.get('/studies')
            for id_ in studies[:next(deletions, 0)]:
                orthanc.delete('studies', id_)

    with Proxy(orthanc.url, before=delete_first) as proxy:
        server.write(domain=proxy.url, validated=True)
        server.done('full', LISTING_LIMIT=4, BULK_LIMIT=3)
        assert next(deletions, None) is None
        held, recorded = contents(orthanc), server.contents()
        assert set(held['studies']) <= set(recorded['studies'])
        assert set(held['series']) <= set(recorded['series'])
        server.done('full', LISTING_LIMIT=4, BULK_LIMIT=3)
    server.assert_equal()


def test_studies_that_a_listing_lacks_are_asked_for(hospital, orthanc):
    "A study that comes in while listing is not missing"
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(5, 1, 1))
    server.done()
    bulk, listed = [], []

    def leave_one_out(request):
        asked = asked_for(request)
        if asked and asked.level == 'Study':
            if not asked.since:
                listed[:] = answer_of(orthanc, request)[1:]
            return Answer(200, json.dumps(listed[asked.since:]).encode())
        if request.path == BULK:
            bulk.append(json.loads(request.body)['Resources'])

    with Proxy(orthanc.url, before=leave_one_out) as proxy:
        server.write(domain=proxy.url, validated=True)
        assert not server.done('full')['studies_missing']
    left_out = orthanc.get('/studies')[0]
    assert [left_out] in bulk
    server.assert_equal()
