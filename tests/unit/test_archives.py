# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import io
import struct
import tempfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom import archives as uploads
from trytond.modules.health_orthanc.core.dicom.archives import (
    Limits, is_archive, list_items)
from trytond.modules.health_orthanc.core.dicom.file_header import (
    Reason, Unusable)

from tests.unit.upload_samples import archive, dicom, pack

ONE, TWO = dicom(1), dicom(2)


def items(data, **limits):
    return list_items(io.BytesIO(data), limits=Limits(**limits))


def reasons(data, **limits):
    return {item.name: item.reason for item in items(data, **limits)}


def content(item):
    with item.open() as file:
        return file.read()


def refused(data, **limits):
    with pytest.raises(Unusable) as raised:
        items(data, **limits)
    return raised.value.reason


def test_bare_file():
    item, = list_items(io.BytesIO(ONE), 'IM 0001')
    assert (item.name, item.size, item.reason) == ('IM 0001', len(ONE), None)
    assert content(item) == ONE
    assert item.header().patient_id == 'GNU777ORG'
    assert not is_archive(ONE)


def test_packed_files():
    found = items(pack([ONE, TWO]))
    assert [(i.name, i.size) for i in found] == [
        ('1', len(ONE)), ('2', len(TWO))]
    assert [content(i) for i in found] == [ONE, TWO]
    assert is_archive(pack([ONE]))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20))
def test_packed_files_are_what_was_packed(contents):
    contents = [b'x' + c for c in contents]
    assert [content(i) for i in items(pack(contents))] == contents


def test_packed_files_are_exactly_the_bytes_of_the_clients():
    data = b'MULT' + b'\x03\0\0\0\0\0\0\0abc' + b'\x01\0\0\0\0\0\0\0d'
    assert [content(i) for i in items(data)] == [b'abc', b'd']


def test_an_empty_file_keeps_no_other_away():
    assert reasons(pack([b'', ONE])) == {'1': Reason.EMPTY, '2': None}


@pytest.mark.parametrize('data, expected', [
        (b'', Reason.EMPTY),
        (b'MULT', Reason.EMPTY),
        (b'MULT\1\0\0', Reason.TRUNCATED),
        (b'MULT' + struct.pack('<Q', 4) + b'abc', Reason.TRUNCATED),
        (b'MULT' + struct.pack('<Q', 2**62) + b'abc', Reason.TRUNCATED),
        (b'MULT' + b'\xff' * 8 + b'abc', Reason.TRUNCATED),
        (pack([b'abc']) + b'd', Reason.TRUNCATED),
        (pack([b'abc', b'd'])[:-1], Reason.TRUNCATED),
        (archive({}), Reason.EMPTY),
        (archive({'folder/': b''}), Reason.EMPTY),
        (archive({'a': ONE})[:-30], Reason.DAMAGED),
        (b'PK\3\4' + bytes(100), Reason.DAMAGED),
        ])
def test_what_is_not_as_told_is_refused_as_a_whole(data, expected):
    assert refused(data) is expected


@given(st.binary(max_size=60))
def test_any_bytes_are_listed_or_refused(data):
    for start in [b'', b'MULT', b'PK\3\4']:
        try:
            for item in items(start + data):
                if not item.reason:
                    assert len(content(item)) == item.size
        except Unusable as error:
            assert error.reason in Reason


ARCHIVE = archive({'DICOM/A/IM0001': ONE, 'README': b'text' * 50})


@given(
    st.integers(min_value=4, max_value=len(ARCHIVE) - 1),
    st.binary(min_size=1, max_size=6))
def test_any_damaged_archive_is_listed_or_refused(position, damage):
    data = ARCHIVE[:position] + damage + ARCHIVE[position + len(damage):]
    try:
        for item in items(data):
            try:
                assert len(content(item)) == item.size
            except Unusable as error:
                assert error.reason in Reason
    except Unusable as error:
        assert error.reason in Reason


def test_archive_of_a_disc():
    found = items(archive({
                'DICOMDIR': b'x', 'AUTORUN.INF': b'[autorun]',
                'viewer/viewer.exe': b'MZ' * 50, 'DICOM/': b'',
                'DICOM/S1/IM1': ONE, 'DICOM/S1/IM2': TWO}))
    assert [i.name for i in found] == [
        'DICOMDIR', 'AUTORUN.INF', 'viewer/viewer.exe', 'DICOM/S1/IM1',
        'DICOM/S1/IM2']
    assert [content(i) for i in found[3:]] == [ONE, TWO]
    assert found[3].header().instance_uid.endswith('.1')
    with pytest.raises(Unusable) as raised:
        found[2].header()
    assert raised.value.reason is Reason.NOT_DICOM


def test_archives_among_packed_files():
    found = items(pack([archive({'a/b': ONE}), TWO, archive({'c': b''})]))
    assert [(i.name, i.reason) for i in found] == [
        ('1/a/b', None), ('2', None), ('3/c', Reason.EMPTY)]
    assert content(found[0]) == ONE


def test_a_bad_archive_keeps_no_packed_file_away():
    assert reasons(pack([archive({'a': ONE})[:-30], TWO])) == {
        '1': Reason.DAMAGED, '2': None}


def test_an_archive_in_an_archive_stays_closed():
    item, = items(archive({'inner.zip': archive({'a': ONE})}))
    with pytest.raises(Unusable) as raised:
        item.header()
    assert raised.value.reason is Reason.ARCHIVE


@pytest.mark.parametrize('name', [
        '/etc/passwd', '../a', 'a/../../b', 'C:/a', 'c:\\a', '\\\\host\\a',
        'a\\..\\b'])
def test_names_that_lead_elsewhere(name):
    assert list(reasons(archive({name: ONE, 'b': TWO})).values()) == [
        Reason.NAME, None]


def test_links_stay_closed():
    link = zipfile.ZipInfo('link')
    link.create_system = 3
    link.external_attr = 0o120777 << 16
    assert reasons(archive({link: b'/etc/passwd', 'a': ONE})) == {
        'link': Reason.LINK, 'a': None}


def test_encrypted_files_stay_closed():
    data = archive({'a': ONE, 'b': TWO})
    # The flags in the directory and before the file
    directory = data.index(b'PK\1\2')
    encrypted = bytearray(data)
    encrypted[6] |= 1
    encrypted[directory + 8] |= 1
    assert reasons(bytes(encrypted)) == {'a': Reason.ENCRYPTED, 'b': None}


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_stay_closed(method):
    assert reasons(archive({'a': ONE}, method)) == {'a': Reason.METHOD}


def test_damage_in_a_file_of_an_archive():
    data = bytearray(archive({'a': ONE, 'b': TWO}, zipfile.ZIP_STORED))
    data[data.index(ONE) + 200] ^= 1
    one, two = items(bytes(data))
    with pytest.raises(Unusable) as raised:
        content(one)
    assert raised.value.reason is Reason.DAMAGED
    assert content(two) == TWO


@pytest.mark.parametrize('name, encoded', [
        ('Größe/ñ', 'Größe/ñ'.encode('cp437')),
        ('Größe/山', 'Größe/山'.encode('utf-8')),
        ])
def test_names_are_read_in_both_encodings(name, encoded):
    data = archive({'x' * len(encoded): ONE})
    data = data.replace(b'x' * len(encoded), encoded)
    assert items(data)[0].name == name


def test_names_told_to_be_utf8():
    assert items(archive({'山/Ä': ONE}))[0].name == '山/Ä'


def test_names_are_shown_in_one_short_line():
    name, = reasons(archive({'a\n\x1b' + 'x' * 300 + '/IM1': ONE}))
    assert name.isprintable()
    assert len(name) == 200
    assert name.endswith('/IM1')


def test_bomb():
    data = archive({str(n): bytes(2**20) for n in range(4)})
    assert refused(data, harmless=2**20) is Reason.BOMB
    assert set(reasons(data).values()) == {None}


def test_bomb_of_sparse_files():
    """10 GB that were never written."""
    data = bytearray(archive({'a': bytes(2**20)}))
    directory = data.index(b'PK\1\2')
    struct.pack_into('<I', data, directory + 24, 0xfffffff0)
    assert refused(bytes(data)) is Reason.BOMB


def test_a_size_that_lies_is_the_most_that_is_unpacked():
    data = bytearray(archive({'a': bytes(2**20)}))
    struct.pack_into('<I', data, data.index(b'PK\1\2') + 24, 1000)
    item, = items(bytes(data))
    assert item.size == 1000
    with pytest.raises(Unusable):
        content(item)


def test_limits():
    assert refused(pack([ONE] * 3), files=2) is Reason.TOO_MANY
    assert refused(archive({'a': ONE, 'b': ONE}), files=1) is Reason.TOO_MANY
    assert refused(
        pack([archive({'a': ONE, 'b': ONE}), ONE]),
        files=2) is Reason.TOO_MANY
    assert refused(pack([ONE] * 3), total_size=len(ONE)) is Reason.TOO_LARGE
    assert reasons(pack([ONE, b'x']), file_size=5) == {
        '1': Reason.TOO_LARGE, '2': None}
    assert reasons(archive({'a': ONE, 'b': b'x'}), file_size=5) == {
        'a': Reason.TOO_LARGE, 'b': None}


def test_a_hundred_thousand_files_are_refused():
    assert refused(pack([b''] * 100_000)) is Reason.TOO_MANY


def test_the_directory_of_an_archive_is_read_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(uploads, '_READ_LIMIT', 100)
    assert refused(archive({'a' * 200: ONE})) is Reason.TOO_MANY


@pytest.mark.parametrize('packed', [True, False])
def test_memory_does_not_grow_with_the_files(packed):
    size = 2**26
    with tempfile.TemporaryFile() as file:
        if packed:
            file.write(b'MULT' + struct.pack('<Q', size))
            file.truncate(12 + size)
        else:
            with zipfile.ZipFile(file, 'w') as found:
                with found.open('a', 'w', force_zip64=True) as member:
                    for _ in range(2**6):
                        member.write(bytes(2**20))
        tracemalloc.start()
        try:
            item, = list_items(file)
            item.head()
            with item.open() as opened:
                total = 0
                while chunk := opened.read(2**16):
                    total += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert total == size
    assert peak < 2**23
