# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What viewers store: read, checked, and with its author."""
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from trytond.modules.health_orthanc.core.dicomweb.annotation import (
    AnnotationError, read_annotation)
from trytond.modules.health_orthanc.core.dicomweb.multipart import (
    MultipartError, join_parts, split_parts)

from devtools.orthanc import to_bytes
from devtools.samples import make_dataset

TYPE = 'multipart/related; type="application/dicom"; boundary=abc'
KEY_OBJECTS = '1.2.840.10008.5.1.4.1.1.88.59'
SEGMENTATION = '1.2.840.10008.5.1.4.1.1.66.4'


def body(*parts):
    return b''.join(
        b'--abc\r\nContent-Type: application/dicom\r\n\r\n' + part + b'\r\n'
        for part in parts) + b'--abc--\r\n'


def report(**tags):
    return make_dataset('SR', **tags)


def of_class(sop_class, modality, **tags):
    dataset = report(Modality=modality, SOPClassUID=sop_class, **tags)
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    return dataset


def signed(dataset, author):
    data = read_annotation(to_bytes(dataset)).signed(author)
    return dcmread(io.BytesIO(data))


def test_parts():
    files = [b'a\r\n--ab\r\n', b'', b'\r\n\r\nx', bytes(range(256))]
    assert split_parts(TYPE, body(*files)) == files
    assert split_parts(TYPE, b'preamble\r\n' + body(b'x') + b'end') == [b'x']
    assert split_parts(
        'Multipart/Related; boundary="a b"',
        b'--a b\r\nX: y\r\n\r\nz\r\n--a b--') == [b'z']
    type_, joined = join_parts(files)
    assert split_parts(type_, joined) == files


@pytest.mark.parametrize('type_, content', [
        ('', body(b'x')), ('multipart/form-data; boundary=abc', body(b'x')),
        ('multipart/related', body(b'x')),
        ('multipart/related; boundary=', body(b'x')),
        ('multipart/related; boundary=é', body(b'x')),
        ('multipart/related; type="application/dicom+xml"; boundary=abc',
            body(b'x')),
        (TYPE, b''), (TYPE, b'--abc--'), (TYPE, b'--abc\r\n\r\nx'),
        (TYPE, body(b'x')[:-8]), (TYPE, b'--abc\r\nx\r\n--abc--'),
        (TYPE, body(b'x').replace(b'/dicom', b'/dicom+json')),
        (TYPE, body(*[b'x'] * 17))])
def test_a_body_that_is_refused(type_, content):
    with pytest.raises(MultipartError):
        split_parts(type_, content)


@given(st.text(max_size=60), st.binary(max_size=200))
@settings(max_examples=500)
def test_any_body_is_split_or_refused(type_, content):
    for header in [type_, TYPE, f'multipart/related; boundary={type_}']:
        try:
            split_parts(header, content)
        except MultipartError:
            pass


def test_what_is_read():
    dataset = report(PatientID='ID1 ')
    annotation = read_annotation(to_bytes(dataset))
    assert annotation.study == dataset.StudyInstanceUID
    assert annotation.series == dataset.SeriesInstanceUID
    assert annotation.instance == dataset.SOPInstanceUID
    assert (annotation.modality, annotation.patient_id) == ('SR', 'ID1')


def nested(depth):
    dataset = report()
    item = dataset
    for _ in range(depth):
        inner = Dataset()
        inner.ValueType = 'CONTAINER'
        item.ContentSequence = Sequence([inner])
        item = inner
    return dataset


# A sequence of more items than anybody needs
EMPTY_ITEMS = struct.pack('<HH2s2xI', 0x0072, 0x0700, b'SQ', 0xFFFFFFFF) + (
    struct.pack('<HHI', 0xFFFE, 0xE000, 0) * 60_000) + struct.pack(
    '<HHI', 0xFFFE, 0xE0DD, 0)


def deflated():
    "Return a small file that takes much memory"
    dataset = report(ImageComments=' ' * 10_000)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return to_bytes(dataset)


@pytest.mark.filterwarnings('ignore::UserWarning:pydicom')
def test_a_file_that_is_refused():
    # The first one is in the meta information
    other = to_bytes(report(SOPInstanceUID='1.2.3.4')).replace(
        b'1.2.3.4', b'1.2.3.5', 1)
    for reason, data in {
            'unreadable': [
                b'', b'x', bytes(132), to_bytes(nested(40)), deflated(),
                to_bytes(report()) + EMPTY_ITEMS],
            'class': [
                to_bytes(report())[:140],
                to_bytes(make_dataset('CT')), to_bytes(report(Modality='CT')),
                to_bytes(of_class(KEY_OBJECTS, 'SR'))],
            'uid': [
                other, to_bytes(report(StudyInstanceUID='1.2.x')),
                to_bytes(report(SeriesInstanceUID=None))],
            }.items():
        for content in data:
            with pytest.raises(AnnotationError) as raised:
                read_annotation(content)
            assert str(raised.value) == reason
    assert read_annotation(to_bytes(nested(20)))


@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
@settings(max_examples=300)
@pytest.mark.filterwarnings('ignore::UserWarning:pydicom')
def test_any_file_is_read_or_refused(noise, position, whole):
    data = bytearray(to_bytes(report()))
    data[position:position + len(noise)] = noise
    try:
        read_annotation(bytes(noise if whole else data))
    except AnnotationError:
        pass


@pytest.mark.filterwarnings('ignore::UserWarning:pydicom')
def test_no_value_is_logged(caplog):
    dataset = report(PatientBirthDate='someday', Modality='Secret~')
    with pytest.raises(AnnotationError):
        read_annotation(to_bytes(dataset))
    assert not caplog.records


def test_the_author_of_a_report():
    observer = Dataset()
    observer.VerifyingObserverName = 'Evil^Eve'
    dataset = report(
        VerificationFlag='VERIFIED',
        VerifyingObserverSequence=Sequence([observer]),
        AuthorObserverSequence=Sequence([observer]))
    result = signed(dataset, 'Musterfrau^Cora')
    author, = result.AuthorObserverSequence
    assert author.PersonName == 'Musterfrau^Cora'
    assert author.ObserverType == 'PSN'
    assert 'VerifyingObserverName' not in author
    assert result.VerificationFlag == 'UNVERIFIED'
    assert 'VerifyingObserverSequence' not in result
    for name in ['SOPInstanceUID', 'PatientName', 'StudyDescription']:
        assert result[name] == dataset[name]


def test_letters_of_the_author():
    "The others stay as they are"
    dataset = report(
        SpecificCharacterSet='ISO_IR 100', PatientName='Müller^Jörg',
        StudyDescription='Schädel')
    code = Dataset()
    code.CodeMeaning = 'Größe'
    dataset.ConceptNameCodeSequence = Sequence([code])
    result = signed(dataset, 'Łukasiewicz^Жанна')
    assert result.AuthorObserverSequence[0].PersonName == 'Łukasiewicz^Жанна'
    assert result.SpecificCharacterSet == 'ISO_IR 192'
    assert result.PatientName == 'Müller^Jörg'
    assert result.StudyDescription == 'Schädel'
    assert result.ConceptNameCodeSequence[0].CodeMeaning == 'Größe'
    assert signed(dataset, 'A^B').PatientName == 'Müller^Jörg'


def test_who_has_marked_images():
    dataset = of_class(KEY_OBJECTS, 'KO')
    for author in ['Evil^Eve', 'Musterfrau^Cora']:
        dataset = signed(dataset, author)
    observers = [
        item.PersonName for item in dataset.ContentSequence
        if item.ValueType == 'PNAME']
    assert observers == ['Musterfrau^Cora']


def observer(name):
    code = Dataset()
    code.CodeValue = '121008'
    code.CodingSchemeDesignator = 'DCM'
    item = Dataset()
    item.ValueType = 'PNAME'
    item.ConceptNameCodeSequence = Sequence([code])
    item.PersonName = name
    return item


def test_who_has_measured():
    inner = Dataset()
    inner.ValueType = 'CONTAINER'
    inner.ContentSequence = Sequence([observer('Evil^Eve')])
    dataset = report(
        ContentSequence=Sequence([observer('Evil^Eve'), inner]))
    result = signed(dataset, 'Musterfrau^Cora')
    first, second = result.ContentSequence
    assert first.PersonName == 'Musterfrau^Cora'
    assert second.ContentSequence[0].PersonName == 'Musterfrau^Cora'


@pytest.mark.filterwarnings('ignore::UserWarning:pydicom')
def test_a_file_that_cannot_be_signed():
    dataset = of_class(KEY_OBJECTS, 'KO')
    dataset.add_new('ContentSequence', 'LO', 'ABC')
    annotation = read_annotation(to_bytes(dataset))
    with pytest.raises(AnnotationError):
        annotation.signed('A^B')


def test_who_has_made_a_segmentation():
    dataset = of_class(SEGMENTATION, 'SEG', ContentCreatorName='Evil^Eve')
    assert signed(dataset, 'A^B').ContentCreatorName == 'A^B'
