# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
    ExplicitVRLittleEndian, ImplicitVRLittleEndian)

from trytond.modules.health_orthanc.core.dicom.file_header import (
    HEAD_LIMIT, Header, Reason, Unusable, read_header)

from tests.unit.upload_samples import bare, dicom

PACKAGED = sorted(
    Path(pydicom.__file__).with_name('data').joinpath('test_files').rglob('*'))
ANA = Header(
    sop_class='1.2.840.10008.5.1.4.1.1.7',
    instance_uid='1.2.826.0.1.3680043.8.498.1.1.1',
    series_uid='1.2.826.0.1.3680043.8.498.1.1',
    study_uid='1.2.826.0.1.3680043.8.498.1',
    patient_id='GNU777ORG', patient_name='Betz^Ana María',
    birth_date=dt.date(1985, 10, 4), sex='F', modality='OT')


def reason(head):
    with pytest.raises(Unusable) as raised:
        read_header(head)
    return raised.value.reason


@pytest.mark.parametrize('syntax', [
        ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian])
def test_identity_is_read_whatever_the_transfer_syntax(syntax):
    assert read_header(dicom(syntax=syntax)) == ANA


@pytest.mark.parametrize('implicit, little', [
        (True, True), (False, True), (False, False)])
def test_identity_of_a_bare_dataset_is_read(implicit, little):
    assert read_header(bare(implicit, little)) == ANA


def test_file_without_preamble_is_read():
    assert read_header(dicom()[132:]) == ANA


@pytest.mark.parametrize('charset, name', [
        ('ISO_IR 100', 'Müller^Jörg'),
        ('ISO_IR 144', 'Люкceмбypг'),
        ('GB18030', 'Wang^XiaoDong=王^小东'),
        (['', 'ISO 2022 IR 87'], 'Yamada^Tarou=山田^太郎=やまだ^たろう'),
        ])
def test_name_is_decoded(charset, name):
    header = read_header(dicom(
            SpecificCharacterSet=charset, PatientName=name))
    assert header.patient_name == name


def test_nothing_behind_the_identity_is_needed():
    whole = dicom(ImageComments='x' * 1000)
    end = whole.index(b'x' * 1000)
    assert read_header(whole[:end]) == ANA


@pytest.mark.parametrize('head, expected', [
        (b'', Reason.EMPTY),
        (b'MZ\x90\0' * 100, Reason.NOT_DICOM),
        (b'<html>' * 100, Reason.NOT_DICOM),
        (b'\x08\0\x05', Reason.NOT_DICOM),
        (b'\x08\0' + b'\xff' * 100, Reason.NOT_DICOM),
        (b'PK\3\4' + bytes(200), Reason.ARCHIVE),
        (bytes(128) + b'DICM', Reason.HEADER),
        (bytes(128) + b'DICM' + b'\xff' * 100, Reason.HEADER),
        ])
def test_what_is_no_dicom(head, expected):
    assert reason(head) is expected


def test_an_archive_in_disguise_is_not_forwarded():
    """Orthanc would unpack it."""
    for magic in [b'PK\3\4', b'PK\5\6', b'PK\7\x08']:
        assert reason(magic + dicom()[4:]) is Reason.ARCHIVE


@pytest.mark.parametrize('keyword', [
        'SOPInstanceUID', 'SeriesInstanceUID',
        'StudyInstanceUID'])
def test_what_has_no_uid_is_incomplete(keyword):
    data = bare(False, True, **{keyword: ''})
    assert reason(data) is Reason.INCOMPLETE


def test_dicomdir_is_told():
    path = next(p for p in PACKAGED if p.name == 'DICOMDIR')
    assert reason(path.read_bytes()[:HEAD_LIMIT]) is Reason.DIRECTORY
    assert Reason.DIRECTORY.passenger and not Reason.DAMAGED.passenger


def test_malformed_birth_date_is_unknown():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        data = dicom(PatientBirthDate='4/10/1985')
    assert read_header(data).birth_date is None


def test_controls_are_not_shown():
    header = read_header(dicom(PatientName='<b>A\x1b[2J\nB', PatientID='x\0'))
    assert header.patient_name.isprintable()
    assert header.patient_id == 'x'


def test_what_is_truncated_in_a_value_is_no_header():
    data = dicom()
    assert reason(data[:data.index(b'19851004') + 3]) is Reason.HEADER


def quick(head):
    """Refuse a hostile head in time, and return why."""
    start = time.process_time()
    found = reason(head)
    assert time.process_time() - start < 10
    return found


def test_deflated_bomb():
    bomb = dicom(syntax=DeflatedExplicitVRLittleEndian)
    deflater = zlib.compressobj(9, wbits=-15)
    # A tag behind those that are looked for
    much = b'0' * 2**20
    packed = b''.join(deflater.compress(much) for _ in range(300))
    packed += deflater.flush()
    # The meta information ends where the dataset begins
    start = 132 + 12 + struct.unpack_from('<I', bomb, 140)[0]
    tracemalloc.start()
    try:
        assert reason(bomb[:start] + packed) is Reason.HEADER
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**25


@pytest.mark.parametrize('item', [
        struct.pack('<HHI', 0xfffe, 0xe000, 0),
        struct.pack('<HHI', 0xfffe, 0xe000, 0xffffffff)
        + struct.pack('<HH2sHI', 8, 0x1140, b'SQ', 0, 0xffffffff),
        ])
def test_endless_sequence(item):
    sequence = struct.pack('<HH2sHI', 8, 0x1140, b'SQ', 0, 0xffffffff)
    head = bytes(128) + b'DICM' + sequence
    head += item * (HEAD_LIMIT // len(item))
    assert quick(head) in {Reason.HEADER, Reason.INCOMPLETE}


def test_many_tiny_elements():
    element = struct.pack('<HH2sH', 8, 0x9, b'LO', 0)
    head = bytes(128) + b'DICM' + element * (HEAD_LIMIT // len(element))
    assert quick(head) in {Reason.HEADER, Reason.INCOMPLETE}


@given(st.binary(max_size=300))
@example(bytes(128) + b'DICM\2\0')
def test_any_bytes_are_read_or_refused(data):
    for head in [data, bytes(128) + b'DICM' + data, b'\x08\0' + data]:
        try:
            read_header(head)
        except Unusable as error:
            assert error.reason in Reason


DICOM = dicom()


@given(
    st.integers(min_value=132, max_value=len(DICOM) - 1),
    st.binary(min_size=1, max_size=8))
def test_any_damage_is_read_or_refused(position, damage):
    data = DICOM[:position] + damage + DICOM[position + len(damage):]
    try:
        header = read_header(data)
    except Unusable as error:
        assert error.reason not in {Reason.NOT_DICOM, Reason.EMPTY}
    else:
        assert header.study_uid


@pytest.mark.parametrize('path', [
        path for path in PACKAGED if path.is_file()
        and path.suffix in {'', '.dcm'}], ids=lambda path: path.stem)
def test_packaged_files_of_pydicom(path):
    head = path.read_bytes()[:HEAD_LIMIT]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            uid = found.get('StudyInstanceUID')
        except Exception:
            uid = None
        try:
            assert read_header(head).study_uid == str(uid)
        except Unusable as error:
            assert error.reason in {
                Reason.HEADER, Reason.INCOMPLETE, Reason.NOT_DICOM,
                Reason.DIRECTORY}
            assert error.reason is not Reason.INCOMPLETE or not all(
                found.get(k) for k in [
                    'StudyInstanceUID', 'SeriesInstanceUID',
                    'SOPInstanceUID', 'SOPClassUID'])
