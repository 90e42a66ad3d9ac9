# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes

from trytond.modules.health_orthanc.core.dicom.charsets import find_charset

PN_DELIMITERS = {0x5e, 0x3d, 0x5c}


def decoded(encoded: bytes, term: str) -> str:
    "What pydicom reads"
    terms = term.split('\\')
    encodings = convert_encodings(terms if len(terms) > 1 else terms[0])
    return decode_bytes(encoded, encodings, PN_DELIMITERS)


@pytest.mark.parametrize('text, term', [
        ('ISO_IR 192', 'ISO_IR 192'),
        ('IS0_IR 192', 'ISO_IR 192'),
        ('iso_ir 192 ', 'ISO_IR 192'),
        ('UTF-8', 'ISO_IR 192'),
        ('', 'ISO_IR 192'),
        ('ISO_IR 6', 'ISO_IR 6'),
        ('ISO_IR100', 'ISO_IR 100'),
        ('ISO 2022 IR 100', 'ISO_IR 100'),
        ('GB18030', 'GB18030'),
        ('gbk', 'GBK'),
        ('\\ISO 2022 IR 87', '\\ISO 2022 IR 87'),
        ('ISO 2022 IR 87', '\\ISO 2022 IR 87'),
        ('ISO 2022 IR 6\\ISO 2022 IR 149', '\\ISO 2022 IR 149'),
        ('ISO_IR 100\\ISO_IR 144', 'ISO 2022 IR 100\\ISO 2022 IR 144'),
        ])
def test_term(text, term):
    assert find_charset(text).term == term
    assert find_charset(term).term == term


@pytest.mark.parametrize('text', [
        'LATIN', 'ISO_IR 999', 'ISO_IR 192\\ISO 2022 IR 87', '\\',
        'ISO 2022 IR 87\\ISO 2022 IR 100', '\\ISO 2022 IR 87\\ISO_IR 87',
        'x' * 1000])
def test_unknown_set(text):
    with pytest.raises(ValueError):
        find_charset(text)


# Names as PS3.5 annexes H to K write them
@pytest.mark.parametrize('term, text, encoded', [
        ('ISO_IR 100', 'Buc^Jérôme', b'Buc^J\xe9r\xf4me'),
        ('ISO_IR 101', 'Wałęsa', b'Wa\xb3\xeasa'),
        ('ISO_IR 126', 'Διονυσιος', b'\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2'),
        ('ISO_IR 127', 'قباني^لنزار',
            b'\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1'),
        ('ISO_IR 144', 'Люкceмбypг', b'\xbb\xee\xdace\xdc\xd1yp\xd3'),
        ('ISO_IR 138', 'שרון^דבורה',
            b'\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4'),
        ('ISO_IR 13', 'ﾔﾏﾀﾞ^ﾀﾛｳ', b'\xd4\xcf\xc0\xde^\xc0\xdb\xb3'),
        ('ISO_IR 192', 'Wang^XiaoDong=王^小東',
            b'Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1'),
        ('GB18030', 'Wang^XiaoDong=王^小东',
            b'Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab'),
        ('GBK', '王^小东', b'\xcd\xf5^\xd0\xa1\xb6\xab'),
        ('\\ISO 2022 IR 87', 'Yamada^Tarou=山田^太郎=やまだ^たろう',
            b'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B'
            b'=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B'),
        ('\\ISO 2022 IR 149', 'Hong^Gildong=洪^吉洞=홍^길동',
            b'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7'
            b'=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf'),
        ('\\ISO 2022 IR 58', 'Zhang^XiaoDong=张^小东',
            b'Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab'),
        ('ISO 2022 IR 100\\ISO 2022 IR 126', 'Éa^Διa',
            b'\xc9a^\x1b-F\xc4\xe9a'),
        ])
def test_names(term, text, encoded):
    charset = find_charset(term)
    assert charset.encode(text, '\\^=') == encoded
    if term != '\\ISO 2022 IR 58':
        # pydicom leaves the escape sequences of this one in the text
        assert decoded(encoded, term) == text


@pytest.mark.parametrize('term, text', [
        ('ISO_IR 6', 'é'),
        ('ISO_IR 100', '山'),
        ('ISO_IR 144', 'é'),
        ('ISO_IR 13', '山'),
        ('GBK', '😀'),
        ('\\ISO 2022 IR 87', 'é'),
        ('\\ISO 2022 IR 87', '¥'),
        ('\\ISO 2022 IR 149', 'é'),
        ])
def test_character_outside_the_set(term, text):
    with pytest.raises(UnicodeEncodeError):
        find_charset(term).encode('a' + text)


@given(
    st.sampled_from([
            'ISO_IR 100', 'ISO_IR 126', 'ISO_IR 144', 'ISO_IR 192', 'GB18030',
            'GBK', '\\ISO 2022 IR 87', '\\ISO 2022 IR 149',
            'ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 87']),
    st.text(st.sampled_from('aZ 9^=é¿ĄΔЖ山田홍ア、 ñ')))
@example('ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 87', 'ЖΔЖ')
def test_what_is_written_is_read(term, text):
    try:
        encoded = find_charset(term).encode(text, '\\^=')
    except UnicodeEncodeError:
        return
    assert decoded(encoded, term) == text
