# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers in which much comes before the patient."""
import io
import struct

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
    ExplicitVRLittleEndian, ImplicitVRLittleEndian)

from trytond.modules.health_orthanc.core.dicom import element_search
from trytond.modules.health_orthanc.core.dicom.archives import list_items
from trytond.modules.health_orthanc.core.dicom.file_header import (
    HEAD_LIMIT, Reason, Unusable, read_file_header, read_header)

from .upload_samples import archive, dicom, pack

MANY, COMMENT = 2_000, 'Reference ' * 60


def long_file(
        syntax=ExplicitVRLittleEndian, undefined=False, deep=1, many=MANY,
        **values):
    "Return a file with many references before the patient"
    dataset = dcmread(io.BytesIO(dicom(syntax=syntax, **values)))
    items = []
    for number in range(many):
        item = Dataset()
        item.ReferencedSOPInstanceUID = f'2.25.{10**38 + number}'
        item.ImageComments = COMMENT
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    for _ in range(deep):
        outer = Dataset()
        outer.ReferencedInstanceSequence = items
        outer['ReferencedInstanceSequence'].is_undefined_length = undefined
        outer.is_undefined_length_sequence_item = undefined
        items = [outer]
    dataset.ReferencedSeriesSequence = items
    dataset['ReferencedSeriesSequence'].is_undefined_length = undefined
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def header(data):
    return read_file_header(io.BytesIO(data), len(data))


def reason(data):
    with pytest.raises(Unusable) as raised:
        header(data)
    return raised.value.reason


@pytest.mark.parametrize('undefined', [False, True])
@pytest.mark.parametrize('syntax', [
        ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_patient_is_found_behind_a_megabyte(syntax, undefined):
    data = long_file(syntax, undefined, PatientName='Müller^Jörg',
        SpecificCharacterSet='ISO_IR 100')
    assert len(data) > HEAD_LIMIT
    with pytest.raises(Unusable):
        read_header(data[:HEAD_LIMIT])
    found = header(data)
    assert found.patient_id == 'GNU777ORG'
    assert found.patient_name == 'Müller^Jörg'
    assert found.study_uid and found.series_uid


def test_sequences_within_each_other_are_passed_over():
    assert header(long_file(undefined=True, deep=20)).patient_id


def test_each_way_to_pack_files_reads_on():
    data = long_file()
    for file in [data, pack([data]), archive({'a': data})]:
        item, = list_items(io.BytesIO(file))
        assert item.header().patient_id == 'GNU777ORG'


def test_what_is_missing_in_a_long_header_is_named():
    for keyword, expected in [
            ('StudyInstanceUID', Reason.INCOMPLETE),
            ('SOPClassUID', Reason.NO_CLASS)]:
        dataset = dcmread(io.BytesIO(long_file()))
        delattr(dataset, keyword)
        file = io.BytesIO()
        dataset.save_as(file)
        assert reason(file.getvalue()) is expected


def test_a_missing_class_is_no_missing_uid():
    dataset = dcmread(io.BytesIO(dicom()))
    del dataset.SOPClassUID
    file = io.BytesIO()
    dataset.save_as(file)
    assert reason(file.getvalue()) is Reason.NO_CLASS


def test_the_search_is_bounded(monkeypatch):
    monkeypatch.setattr(element_search, '_MAX_STEPS', 1000)
    assert reason(long_file(undefined=True)) is Reason.LONG
    # What has a length is passed over at once
    assert header(long_file()).patient_id


def test_what_is_inflated_is_not_searched():
    data = long_file(DeflatedExplicitVRLittleEndian, many=7_000)
    padded = data + bytes(max(0, HEAD_LIMIT + 1 - len(data)))
    assert reason(padded) in {Reason.LONG, Reason.INCOMPLETE, Reason.HEADER}


def test_a_long_file_that_is_cut_cannot_be_read():
    data = long_file(undefined=True)
    assert reason(data[:HEAD_LIMIT + 5000]) in {
        Reason.HEADER, Reason.INCOMPLETE}
    # A length that leads out of the file
    start = data.index(b'\x08\0\x15\x11SQ')
    lying = data[:start + 8] + struct.pack('<I', 2**31) + bytes(HEAD_LIMIT)
    assert reason(lying) in {Reason.HEADER, Reason.INCOMPLETE}
