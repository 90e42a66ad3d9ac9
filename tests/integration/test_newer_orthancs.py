# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Orthanc offers that 1.10 does not, and what becomes of it."""
import json
import os

import pytest
from pydicom.dataset import Dataset

from devtools.orthanc_releases import ORTHANC_VARIABLE
from devtools.proxy import Proxy
from devtools.samples import Patient

from . import inside
from .hospital import ALL, study, study_id

TIMEOUT = 30
EXTRA = {'Study': ['IssuerOfPatientID', 'PerformingPhysicianName']}
# That of ./dev test --orthanc as well
NEWER = sorted(
    {'1.12', os.environ.get(ORTHANC_VARIABLE, '1.12')} - {'1.10'})


@pytest.fixture(params=NEWER)
def newer(request, start_orthanc):
    """An Orthanc that lists what is wanted."""
    return start_orthanc(
        version=request.param, configuration={'ExtraMainDicomTags': EXTRA})


def label(orthanc, id_, *labels):
    for text in labels:
        orthanc.session.put(
            f'{orthanc.url}/studies/{id_}/labels/{text}', timeout=TIMEOUT
            ).raise_for_status()


def named(step_id):
    """Return request attributes, as a modality copies them."""
    item = Dataset()
    item.ScheduledProcedureStepID = step_id
    item.RequestedProcedureID = 'R1'
    return [item]


def test_what_orthanc_lists_is_recorded(hospital, newer):
    server = hospital.add_server(newer)
    newer.upload(study(
            Patient(), IssuerOfPatientID='CLINIC', OtherPatientIDs=['A', 'B'],
            PerformingPhysicianName='Roe^Richard',
            RequestAttributesSequence=named('S1')))
    server.done()
    record = server.study(
        'issuer_of_patient_id', 'other_patient_ids',
        'performing_physician_name')
    assert record['issuer_of_patient_id'] == 'CLINIC'
    assert record['other_patient_ids'] == 'A\\B'
    assert record['performing_physician_name'] == "Roe, Richard"
    series, = server.series('request_attributes')
    assert json.loads(series['request_attributes']) == [
        {'RequestedProcedureID': 'R1', 'ScheduledProcedureStepID': 'S1'}]


def test_labels_are_recorded_and_found(hospital, newer):
    server = hospital.add_server(newer)
    first, second = (
        study_id(newer.upload(study(Patient(id=id_)))) for id_ in 'AB')
    label(newer, first, 'teaching', 'reported')
    server.done()
    found = hospital.read(
        inside.STUDY, [('labels', 'ilike', '%teaching%')], 'orthanc_UID',
        'labels', 'matched_at')
    assert [s['orthanc_UID'] for s in found] == [first]
    assert found[0]['labels'] == 'reported, teaching'
    # Orthanc logs no change, so that the comparison at night finds it
    label(newer, second, 'teaching')
    server.done('full')
    labels = {s['orthanc_UID']: s['labels'] for s in server.studies('labels')}
    assert labels[second] == 'teaching'


def test_an_old_one_has_nothing_of_it(hospital, orthanc):
    server = hospital.add_server(orthanc)
    orthanc.upload(study(RequestAttributesSequence=named('S1')))
    server.done()
    record = server.study('labels', 'issuer_of_patient_id')
    assert record['issuer_of_patient_id'] is record['labels'] is None


def test_long_series_are_listed_at_once(hospital, newer):
    """A batch of ids takes such an Orthanc 40 times as long."""
    newer.upload(study(Patient(id='LONG'), instances=60, rows=2))
    newer.upload(study(Patient(id='SHORT'), instances=3, rows=2))
    with Proxy(newer.url) as proxy:
        server = hospital.add_server(newer, proxy.url, **ALL)
        server.done('full')
        paths = [r.path for r in proxy.requests]
    server.assert_equal()
    # Studies, series, that there are no more of both, and the instances of
    # the long one
    assert paths.count('/tools/find') == 5
    assert paths.count('/tools/bulk-content') == 2, paths
    numbers = [i['instance_number'] for i in server.instances(
                'instance_number')]
    assert sorted(numbers) == sorted([*range(1, 61), *range(1, 4)])


@pytest.mark.parametrize('version', NEWER)
def test_limits_of_searches_cut_no_listing(hospital, start_orthanc, version):
    """Hospitals set them against queries for everything."""
    orthanc = start_orthanc(version=version, configuration={
            'LimitFindResults': 3, 'LimitFindInstances': 20})
    for number in range(7):
        orthanc.upload(study(Patient(id=f'LIMIT{number}')))
    orthanc.upload(study(Patient(id='LONG'), instances=60, rows=2))
    server = hospital.add_server(orthanc, **ALL)
    server.done('full')
    server.assert_equal()
    assert len(server.instances()) == 67


def test_a_listing_is_continued_page_by_page(hospital, newer):
    server = hospital.add_server(newer, **ALL)
    for number in range(7):
        newer.upload(study(Patient(id=f'PAGE{number}')))
    server.done('full', LISTING_LIMIT=2)
    server.assert_equal()
    series = server.series('last_update', 'instances_count')
    assert all(s['last_update'] and s['instances_count'] for s in series)
