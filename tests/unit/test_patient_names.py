# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names whose character set is not what the images say."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom.charsets import (
    decode_name, is_defined_charset)
from trytond.modules.health_orthanc.core.dicom.file_header import read_header
from trytond.modules.health_orthanc.core.dicom.values import (
    display_names, looks_damaged)

from tests.unit.upload_samples import dicom

JAPANESE = (
    b'\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J='
    b'\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J')


def with_name(charset, value, **values):
    """Return a file whose name and character set are these bytes."""
    content = dicom(PatientName='@' * 20, **values)
    for mark, new in [
            (b'\x08\x00\x05\x00CS', charset.encode()),
            (b'\x10\x00\x10\x00PN', value)]:
        new += b' ' * (len(new) % 2)
        start = content.index(mark) + 6
        length, = struct.unpack('<H', content[start:start + 2])
        content = (
            content[:start] + struct.pack('<H', len(new)) + new
            + content[start + 2 + length:])
    return content


@pytest.mark.parametrize('charset, value, name', [
        ('ISO_IR 100', 'Núñez^Ana'.encode('latin-1'), 'Núñez^Ana'),
        ('ISO_IR 192', 'Núñez^Ana'.encode(), 'Núñez^Ana'),
        ('ISO_IR 144', 'Люк^Анна'.encode('iso8859-5'), 'Люк^Анна'),
        ('ISO 2022 IR 13\\ISO 2022 IR 87', JAPANESE,
            'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう'),
        # No defined terms
        ('UTF-8', 'Núñez^Ana'.encode(), 'Núñez^Ana'),
        ('ISO-IR 100', 'Núñez^Ana'.encode('latin-1'), 'Núñez^Ana'),
        ('ISO_IR 149', '김^민'.encode('euc-kr'), '김^민'),
        ('ISO_IR 58', '王^小'.encode('gb2312'), '王^小'),
        ('IS0_IR 192', 'Núñez^Ana'.encode(), 'Núñez^Ana'),
        ('ANY', 'Núñez^Ana'.encode(), 'Núñez^Ana'),
        # Defined terms that the bytes contradict
        ('ISO_IR 100', 'Müller^Ana'.encode(), 'Müller^Ana'),
        ('', 'Müller^Ana'.encode(), 'Müller^Ana'),
        ('ISO_IR 100', b'\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B', '山田^太郎'),
        ])
def test_name_is_read_by_its_bytes(charset, value, name):
    found = decode_name(value, charset)
    assert (found.text, found.is_complete) == (name, True)
    header = read_header(with_name(charset, value))
    assert header.patient_name == name
    assert header.is_name_complete
    assert header.charset == charset


@pytest.mark.parametrize('charset', ['ISO_IR 192', 'ANY', ''])
def test_letters_that_cannot_be_read_are_unknown(charset):
    value = 'Núñez^Ana'.encode('latin-1')
    found = decode_name(value, charset)
    assert (found.text, found.is_complete) == ('N\ufffd\ufffdez^Ana', False)
    assert not read_header(with_name(charset, value)).is_name_complete


@given(st.binary(max_size=80), st.text(max_size=20))
def test_no_bytes_are_an_error(value, charset):
    found = decode_name(value, charset)
    assert '\x1b' not in found.text


@pytest.mark.parametrize('text', [
        '^', '^^', 'N?ez^Ana', 'N\ufffdez^Ana', 'NÃºÃ±ez^Ana', 'MÃ¼ller^X',
        'ﾔﾏﾀﾞ^ﾀﾛｳ=$B;3ED(J^$BB@O:(J'])
def test_damage_that_is_seen(text):
    assert looks_damaged(text)


@pytest.mark.parametrize('text', [
        None, '', 'Nez^Ana', 'Núñez^Ana', '山田^太郎', "O'Brien^Ana"])
def test_no_damage_is_seen(text):
    assert not looks_damaged(text)


@pytest.mark.parametrize('text, defined', [
        ('', True), ('ISO_IR 100', True), ('ISO_IR 192', True),
        ('GB18030', True), ('\\ISO 2022 IR 87', True),
        ('ISO 2022 IR 13\\ISO 2022 IR 87', True),
        ('UTF-8', False), ('ISO-IR 100', False), ('ISO_IR 149', False),
        ('IS0_IR 192', False), ('ANY', False)])
def test_defined_terms(text, defined):
    assert is_defined_charset(text) is defined


def test_half_width_letters_are_shown_as_people_write_them():
    assert display_names('ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎') == "ヤマダ タロウ (山田 太郎)"


def test_delimiters_are_no_name():
    assert display_names('^^=^') == ''
