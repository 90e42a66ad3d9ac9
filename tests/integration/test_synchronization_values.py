# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the images hold, the studies are recorded and readable."""
import datetime as dt
import io

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

from devtools.proxy import Proxy
from devtools.samples import Patient, charset_files
from tests.unit.test_patient_names import JAPANESE, with_name

from .hospital import ALL, ON_BOTH, study
from .listings import altering

NAMES = [
    ("Müller^Jürgen", ['ISO_IR 192'], "Müller, Jürgen"),
    ("Ejemplo Núñez^Juan José", ['ISO_IR 100'], "Ejemplo Núñez, Juan José"),
    ("Παράδειγμα^Ελένη", ['ISO_IR 126'], "Παράδειγμα, Ελένη"),
    ("Примеров^Иван", ['ISO_IR 144'], "Примеров, Иван"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", ['', 'ISO 2022 IR 87'],
        "Yamada, Tarou (山田 太郎)"),
    ("مثال^ليلى", ['ISO_IR 127'], "مثال, ليلى"),
    ]


def test_names_of_many_scripts(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    for number, (name, charset, _) in enumerate(NAMES):
        orthanc.upload(study(
                Patient(name, f'NAME{number}'), charset=charset,
                ReferringPhysicianName=name, StudyDescription="Ü" if (
                    charset == ['ISO_IR 192']) else "U"))
    server.done()
    server.assert_equal()
    fields = [
        'patient_name', 'patient_display_name', 'referring_physician_name',
        'patient_id']
    studies = {s['patient_id']: s for s in server.studies(*fields)}
    for number, (name, _, shown) in enumerate(NAMES):
        record = studies[f'NAME{number}']
        assert record['patient_name'] == name
        assert record['patient_display_name'] == shown
        assert record['referring_physician_name'] == shown


def test_packaged_character_sets(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(charset_files())
    server.done()
    server.assert_equal()


def test_names_that_orthanc_cannot_decode(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    for charset, value, name in [
            ('ISO_IR 149', '김^민'.encode('euc-kr'), '김^민'),
            ('ISO 2022 IR 13\\ISO 2022 IR 87', JAPANESE,
                'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう')]:
        orthanc.clear()
        orthanc.upload([with_name(charset, value)])
        for kind in ['incremental', 'full']:
            server.done(kind)
            record = server.studies('patient_name', 'listed_name')[-1]
            assert record['patient_name'] == name
            assert record['listed_name'] != name


@pytest.mark.parametrize('keyword, field', [
        ('PatientID', 'patient_id'),
        ('PatientName', 'patient_display_name'),
        ('StudyDate', 'date'),
        ('Modality', 'modalities'),
        ('ReferringPhysicianName', 'referring_physician_name'),
        ])
@pytest.mark.parametrize('value', [None, ''])
def test_lacking_and_empty_tags(hospital, orthanc, keyword, field, value):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study(**{keyword: value}))
    server.done()
    server.assert_equal()
    record = server.study(field, 'rec_name', 'malformed_tags')
    assert record[field] is None
    assert record['rec_name'] and not record['malformed_tags']


def test_almost_nothing_is_told(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    lacking = [
        'PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex',
        'StudyDate', 'StudyTime', 'StudyID', 'StudyDescription',
        'AccessionNumber', 'InstitutionName', 'ReferringPhysicianName',
        'Modality', 'SeriesNumber', 'SeriesDate', 'SeriesTime',
        'SeriesDescription', 'Manufacturer', 'StationName',
        'BodyPartExamined', 'InstanceNumber', 'ImagePositionPatient']
    orthanc.upload(study(**dict.fromkeys(lacking)))
    server.done()
    server.assert_equal()
    record = server.study('rec_name', 'link_status')
    assert record['rec_name'] and record['link_status'] == 'unlinked'
    series, = server.series('rec_name', 'series_number')
    assert series['rec_name'] and series['series_number'] is None


MALFORMED = {
    'StudyDate': ['2024-01-02', '99999999', '20240230', '00000000',
        '20240101-20240202', 'yesterday'],
    'StudyTime': ['10-11', '256199', 'noon'],
    'PatientBirthDate': ['1964', '19641301', '12.08.1964'],
    'PatientSex': ['Homme', '1'],
    'SeriesNumber': ['99999999999999999999', 'one', '1.5', '2147483648'],
    'InstanceNumber': ['99999999999999999999', 'one'],
    }


def test_malformed_values_are_kept_as_text(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    cases = [
        (keyword, value) for keyword, values in MALFORMED.items()
        for value in values]
    for number, (keyword, value) in enumerate(cases):
        orthanc.upload([_raw(number, keyword, value)])
    server.done()
    server.assert_equal()
    studies = {
        s['patient_id']: s for s in server.studies(
            'patient_id', 'malformed_tags', 'date', 'study_time')}
    series = {s['study']: s for s in server.series('study', 'malformed_tags')}
    for number, (keyword, value) in enumerate(cases):
        record = studies[f'CASE{number}']
        if keyword == 'InstanceNumber':
            continue
        if keyword.startswith('Series'):
            record = series[record['id']]
        assert record['malformed_tags'] == f'{keyword}: {value}'


def _raw(number, keyword, value):
    "Return a study with a value that pydicom would not write"
    length = max(len(value) + len(value) % 2, 2)
    dataset, = study(Patient(id=f'CASE{number}'))
    marker = {
        'DA': '19000101', 'TM': '000000', 'IS': '7', 'CS': 'O'}
    vr = dictionary_VR(tag_for_keyword(keyword))
    setattr(dataset, keyword, marker[vr])
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    data = stream.getvalue()
    tag = tag_for_keyword(keyword)
    header = (
        (tag >> 16).to_bytes(2, 'little') + (tag & 0xffff).to_bytes(
            2, 'little') + vr.encode())
    start = data.index(header)
    old = int.from_bytes(data[start + 6:start + 8], 'little')
    return (data[:start] + header + length.to_bytes(2, 'little')
        + value.ljust(length).encode() + data[start + 8 + old:])


def test_controls_and_markup_in_text(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study(
            Patient("A\x01B^C\x1b(JD", 'CTRL'),
            StudyDescription="<b>\x07 \\ ${1+1} 'x' \"y\" \x7f",
            InstitutionName="😀 Clínica"))
    server.done()
    server.assert_equal()
    record = server.study(
        'patient_display_name', 'study_description', 'institution')
    text = ''.join(filter(None, map(str, record.values())))
    assert text.isprintable()
    assert '<b>' in record['study_description']
    assert record['institution'] == "😀 Clínica"


@ON_BOTH
@pytest.mark.parametrize('level, tags', [
        ('studies', {
            'StudyInstanceUID': 'not a UID', 'StudyDate': 20240101,
            'StudyTime': None, 'StudyDescription': ['x'],
            'AccessionNumber': "NUL\0inside", 'StudyID': "\ud800"}),
        ('series', {
            'SeriesInstanceUID': '', 'SeriesNumber': '9' * 400,
            'Modality': "\0", 'SeriesDescription': 'x' * 100000}),
        ('instances', {
            'SOPInstanceUID': '1..2', 'InstanceNumber': '-9999999999',
            'NumberOfFrames': '1e9', 'ImagePositionPatient': "\0\\\0\\"}),
        ])
def test_json_of_another_world(hospital, orthanc, level, tags):
    "Orthanc does not answer so; what stands in between might"
    orthanc.upload(study())
    hurt = []

    def alter(resource):
        if resource.get('Type') == TYPES[level]:
            resource['MainDicomTags'].update(tags)
            hurt.append(resource['ID'])
        return resource

    with Proxy(orthanc.url) as proxy:
        proxy.before = altering(orthanc, alter)
        server = hospital.add_server(orthanc, proxy.url, **ALL)
        server.done()
        assert hurt
        server.assert_equal()
        server.done('full')


TYPES = {'studies': 'Study', 'series': 'Series', 'instances': 'Instance'}


def test_dates_and_times_are_those_of_the_images(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study(StudyDate='20260302', StudyTime='093015.250000'))
    server.done()
    record = server.study('date', 'study_time')
    assert record['date'] == dt.date(2026, 3, 2)
    assert record['study_time'] == dt.time(9, 30, 15)
    before = server.runs()
    assert not server.done('full')['studies_updated']
    assert len(server.runs()) == len(before) + 1
