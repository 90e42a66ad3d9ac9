# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import copy
import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.orthanc.resources import (
    MAXIMUM_ITEMS, Change, ChangePage, InstanceResource, MalformedResource,
    PatientTags, RequestAttributes, SeriesResource, StudyResource)

STUDY = {
    'ID': 'study', 'IsStable': True, 'Labels': ['teaching', 'reported'],
    'LastUpdate': '20261122T002249',
    'MainDicomTags': {
        'AccessionNumber': 'A1', 'InstitutionName': 'Clinic',
        'IssuerOfPatientID': 'CLINIC',
        'PerformingPhysicianName': 'Roe^Richard',
        'ReferringPhysicianName': 'Doe^Jane^^Dr.',
        'RequestedProcedureDescription': 'CT chest',
        'RequestingPhysician': 'JOHN SMITH', 'StudyDate': '20240102',
        'StudyDescription': 'Chest', 'StudyID': '12',
        'StudyInstanceUID': '1.2.3', 'StudyTime': '101112.5'},
    'ParentPatient': 'patient',
    'PatientMainDicomTags': {
        'OtherPatientIDs': 'X9', 'PatientBirthDate': '19700131',
        'PatientID': 'P1', 'PatientName': 'Yamada^Tarou=山田^太郎',
        'PatientSex': 'M'},
    'Series': ['series', 'other'], 'Type': 'Study'}
SERIES = {
    'ExpectedNumberOfInstances': 3, 'ID': 'series',
    'Instances': ['instance'], 'IsStable': False,
    'LastUpdate': '20261122T002249',
    'MainDicomTags': {
        'BodyPartExamined': 'CHEST', 'Manufacturer': 'Maker',
        'Modality': 'CT', 'OperatorsName': 'Doe^Jane\\Roe^Richard',
        'PerformingPhysicianName': 'Roe^Richard', 'ProtocolName': 'Routine',
        'RequestAttributesSequence': [
            {'AccessionNumber': 'A1', 'RequestedProcedureID': 'R1',
                'ScheduledProcedureStepID': ' S1 ', 'StudyInstanceUID': '1.2',
                'ScheduledProtocolCodeSequence': []},
            {'ScheduledProcedureStepID': 'S2'}],
        'SeriesDate': '20240102', 'SeriesDescription': 'axial',
        'SeriesInstanceUID': '1.2.3.4', 'SeriesNumber': '5 ',
        'SeriesTime': '1012', 'StationName': 'CT1'},
    'ParentStudy': 'study', 'Status': 'Unknown', 'Type': 'Series'}
INSTANCE = {
    'FileSize': 1130, 'ID': 'instance', 'IndexInSeries': 7,
    'MainDicomTags': {
        'ImagePositionPatient': '1.5\\-2\\3e1', 'InstanceNumber': '7',
        'NumberOfFrames': '3', 'SOPInstanceUID': '1.2.3.4.5'},
    'ParentSeries': 'series', 'Type': 'Instance'}
CHANGE = {
    'ChangeType': 'NewStudy', 'Date': '20261122T002237', 'ID': 'study',
    'Path': '/studies/study', 'ResourceType': 'Study', 'Seq': 3}
RESOURCES = [
    (StudyResource, STUDY, 'ParentPatient'),
    (SeriesResource, SERIES, 'ParentStudy'),
    (InstanceResource, INSTANCE, 'ParentSeries')]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(st.text(), children, max_size=3), max_leaves=8)


def with_tags(json, **tags):
    json = copy.deepcopy(json)
    for keyword, value in tags.items():
        place = 'MainDicomTags'
        if keyword.startswith(('Patient', 'OtherPatient')):
            place = 'PatientMainDicomTags'
        json[place][keyword] = value
    return json


def test_study():
    assert StudyResource.from_json(STUDY) == StudyResource(
        orthanc_id='study',
        patient_orthanc_id='patient',
        study_instance_uid='1.2.3',
        date=dt.date(2024, 1, 2),
        time=dt.time(10, 11, 12, 500_000),
        study_id='12',
        description='Chest',
        accession_number='A1',
        institution_name='Clinic',
        referring_physician_name="Doe, Dr. Jane",
        requesting_physician="JOHN SMITH",
        requested_procedure_description='CT chest',
        performing_physician_name="Roe, Richard",
        issuer_of_patient_id='CLINIC',
        patient=PatientTags(
            name='Yamada^Tarou=山田^太郎',
            display_name="Yamada, Tarou (山田 太郎)",
            patient_id='P1',
            other_patient_ids='X9',
            birth_date=dt.date(1970, 1, 31),
            sex='M'),
        series_ids=('series', 'other'),
        is_stable=True,
        last_update=dt.datetime(2026, 11, 22, 0, 22, 49),
        labels=('reported', 'teaching'),
        malformed=())


def test_series():
    assert SeriesResource.from_json(SERIES) == SeriesResource(
        orthanc_id='series',
        study_orthanc_id='study',
        series_instance_uid='1.2.3.4',
        number=5,
        description='axial',
        modality='CT',
        body_part='CHEST',
        station_name='CT1',
        protocol_name='Routine',
        manufacturer='Maker',
        operators_name="Doe, Jane; Roe, Richard",
        performing_physician_name="Roe, Richard",
        request_attributes=(
            RequestAttributes('1.2', 'A1', 'R1', 'S1'),
            RequestAttributes('', '', '', 'S2')),
        date=dt.date(2024, 1, 2),
        time=dt.time(10, 12),
        instance_ids=('instance',),
        expected_instances=3,
        is_stable=False,
        last_update=dt.datetime(2026, 11, 22, 0, 22, 49),
        malformed=())


def test_request_attributes_by_keyword():
    first, second = SeriesResource.from_json(SERIES).request_attributes
    assert first.tags == {
        'StudyInstanceUID': '1.2', 'AccessionNumber': 'A1',
        'RequestedProcedureID': 'R1', 'ScheduledProcedureStepID': 'S1'}
    assert second.tags == {'ScheduledProcedureStepID': 'S2'}


@pytest.mark.parametrize('value', ['text', None, 5, {'a': 1}])
def test_request_attributes_are_a_sequence(value):
    json = with_tags(SERIES, RequestAttributesSequence=value)
    assert SeriesResource.from_json(json).request_attributes == ()


def test_request_attributes_are_limited():
    json = with_tags(SERIES, RequestAttributesSequence=[{}] * 1000)
    attributes = SeriesResource.from_json(json).request_attributes
    assert len(attributes) == MAXIMUM_ITEMS


def test_instance():
    assert InstanceResource.from_json(INSTANCE) == InstanceResource(
        orthanc_id='instance',
        series_orthanc_id='series',
        sop_instance_uid='1.2.3.4.5',
        number=7,
        image_position_patient='1.5\\-2\\3e1',
        number_of_frames=3,
        malformed=())


@pytest.mark.parametrize('resource, json, parent', RESOURCES)
def test_resources_are_frozen_and_slotted(resource, json, parent):
    value = resource.from_json(json)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.orthanc_id = 'x'
    assert not hasattr(value, '__dict__')
    assert hash(value) == hash(resource.from_json(json))


@pytest.mark.parametrize('resource, json, parent', RESOURCES)
def test_tags_may_be_missing(resource, json, parent):
    value = resource.from_json({'ID': 'own', parent: 'parent'})
    assert value.orthanc_id == 'own'
    # Only the UID is required by DICOM.
    (keyword, text), = value.malformed
    assert keyword.endswith('InstanceUID')
    assert text == ''


def test_tags_may_be_empty():
    json = copy.deepcopy(STUDY)
    for name in ['MainDicomTags', 'PatientMainDicomTags']:
        json[name] = dict.fromkeys(json[name], '')
    json['MainDicomTags']['StudyInstanceUID'] = '1.2.3'
    study = StudyResource.from_json(json)
    assert study.malformed == ()
    assert study.date is None
    assert study.patient == PatientTags('', '', '', '', None, '')


def test_malformed_tags_are_told():
    study = StudyResource.from_json(with_tags(
            STUDY, StudyDate='2024-01-02', StudyTime='256199',
            StudyInstanceUID='1.02', PatientBirthDate='00000000',
            PatientSex='Homme'))
    assert study.date is study.time is study.patient.birth_date is None
    assert study.patient.sex == ''
    assert study.study_instance_uid == '1.02'
    assert sorted(study.malformed) == [
        ('PatientBirthDate', '00000000'), ('PatientSex', 'Homme'),
        ('StudyDate', '2024-01-02'), ('StudyInstanceUID', '1.02'),
        ('StudyTime', '256199')]


def test_malformed_numbers_are_told():
    series = SeriesResource.from_json(with_tags(SERIES, SeriesNumber='1.5'))
    assert (series.number, series.malformed) == (
        None, (('SeriesNumber', '1.5'),))
    instance = InstanceResource.from_json(
        with_tags(INSTANCE, InstanceNumber='x', NumberOfFrames='many'))
    assert instance.number is instance.number_of_frames is None
    assert instance.malformed == (
        ('InstanceNumber', 'x'), ('NumberOfFrames', 'many'))


def test_text_can_be_stored():
    study = StudyResource.from_json(with_tags(
            STUDY, StudyDescription='a\0b\r\n', StudyDate='x\0\x1b',
            PatientName='Doe^Ja\x1bne\0', PatientID=' 12\0'))
    assert study.description == 'a b'
    assert study.patient.name == 'Doe^Ja ne'
    assert study.patient.patient_id == '12'
    assert study.malformed == (('StudyDate', 'x'),)


@pytest.mark.parametrize('text, sex', [
        ('M', 'M'), ('F ', 'F'), ('O', 'O'), ('f', 'F'), ('', '')])
def test_sex(text, sex):
    study = StudyResource.from_json(with_tags(STUDY, PatientSex=text))
    assert (study.patient.sex, study.malformed) == (sex, ())


@pytest.mark.parametrize('resource, json, parent', RESOURCES)
@pytest.mark.parametrize('value', [None, '', 7, ['x']])
def test_identifiers_are_required(resource, json, parent, value):
    for key in ['ID', parent]:
        with pytest.raises(MalformedResource) as info:
            resource.from_json({**json, key: value})
        assert key in str(info.value)
        lacking = {k: v for k, v in json.items() if k != key}
        with pytest.raises(MalformedResource):
            resource.from_json(lacking)


@pytest.mark.parametrize('key, value', [
        ('MainDicomTags', None), ('MainDicomTags', ['x']),
        ('PatientMainDicomTags', 'x'), ('Series', None), ('Series', 'x'),
        ('Series', [None, 7]), ('IsStable', 'yes'), ('LastUpdate', 7),
        ('LastUpdate', 'yesterday')])
def test_the_rest_may_be_anything(key, value):
    study = StudyResource.from_json({**STUDY, key: value})
    assert study.orthanc_id == 'study'


@pytest.mark.parametrize('value', [None, True, 'many'])
def test_expected_instances_may_be_unknown(value):
    json = {**SERIES, 'ExpectedNumberOfInstances': value}
    assert SeriesResource.from_json(json).expected_instances is None


@given(JSON)
def test_any_json_is_read_or_refused(json):
    for resource in [
            StudyResource, SeriesResource, InstanceResource, Change,
            ChangePage]:
        with pytest.raises(MalformedResource):
            resource.from_json(json)


@given(st.sampled_from(RESOURCES), st.data())
def test_any_value_of_a_key_is_read_or_refused(case, data):
    resource, json, parent = case
    json = copy.deepcopy(json)
    json[data.draw(st.sampled_from(sorted(json)))] = data.draw(JSON)
    try:
        resource.from_json(json)
    except MalformedResource:
        assert not (
            isinstance(json['ID'], str) and isinstance(json[parent], str)
            and json['ID'] and json[parent])


@given(st.sampled_from(RESOURCES), st.data())
def test_any_value_of_a_tag_is_read(case, data):
    resource, json, _ = case
    keyword = data.draw(st.sampled_from(sorted(json['MainDicomTags'])))
    value = data.draw(JSON | st.text(st.characters(codec=None)))
    read = resource.from_json(with_tags(json, **{keyword: value}))
    assert {keyword}.issuperset(k for k, _ in read.malformed)


def test_change():
    assert Change.from_json(CHANGE) == Change(
        seq=3, change_type='NewStudy', level='study', orthanc_id='study',
        date=dt.datetime(2026, 11, 22, 0, 22, 37))


@pytest.mark.parametrize('key', ['ChangeType', 'ID', 'ResourceType', 'Seq'])
def test_change_without(key):
    with pytest.raises(MalformedResource):
        Change.from_json({**CHANGE, key: None})


def test_change_page():
    page = ChangePage.from_json(
        {'Changes': [CHANGE, {**CHANGE, 'Seq': 5}], 'Done': True, 'Last': 5})
    assert [change.seq for change in page.changes] == [3, 5]
    assert page.done
    assert page.last == 5


def test_change_page_without_changes():
    page = ChangePage.from_json({'Changes': [], 'Done': True, 'Last': 25})
    assert page == ChangePage((), True, 25)
