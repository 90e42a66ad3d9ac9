# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from trytond.modules.health_orthanc.core.dicom.values import (
    NameGroup, clean_text, display_names, is_uid, parse_date, parse_integer,
    parse_person_name, parse_time)

EMPTY = [None, '', '  ', '\0', ' \0\0']
# Lone halves of surrogate pairs come out of JSON, too.
ANY_TEXT = st.text(st.characters(codec=None))
NAMES = st.text(st.sampled_from('aB山ﾔ =^\\\0\x1b'))


@pytest.mark.parametrize('text, expected', [
        (None, ''),
        ('', ''),
        (' CHEST  ', 'CHEST'),
        ('CHEST\0', 'CHEST'),
        ('one\r\ntwo', 'one  two'),
        ('a\x00b\x1bc\x7fd\x80e\x9ff', 'a b c d e f'),
        ('a\ud800b', 'a\ufffdb'),
        ('Zoë 山 😀', 'Zoë 山 😀'),
        ('a\\b', 'a\\b'),
        ])
def test_clean_text(text, expected):
    assert clean_text(text) == expected


@given(ANY_TEXT)
def test_clean_text_can_be_stored(text):
    cleaned = clean_text(text)
    cleaned.encode('utf-8')
    assert not {'Cc', 'Cs'}.intersection(map(unicodedata.category, cleaned))
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize('text, expected', [
        ('20240229', dt.date(2024, 2, 29)),
        ('20240102 ', dt.date(2024, 1, 2)),
        ('20240102\0', dt.date(2024, 1, 2)),
        ('1993.08.22', dt.date(1993, 8, 22)),
        ('00010101', dt.date(1, 1, 1)),
        ])
def test_date(text, expected):
    assert parse_date(text) == expected


@pytest.mark.parametrize('text', [
        '2024', '2024-01-02', '20230229', '99999999', '00000000', '202401021',
        '2024.0102', '1993.08', '20240101-20240202', '20240102\\20240103',
        '٢٠٢٤٠١٠٢', 'ABCDEFGH'])
def test_malformed_date(text):
    with pytest.raises(ValueError):
        parse_date(text)


@pytest.mark.parametrize('text, expected', [
        ('07', dt.time(7)),
        ('0730', dt.time(7, 30)),
        ('073059', dt.time(7, 30, 59)),
        ('073059.5', dt.time(7, 30, 59, 500_000)),
        ('073059.000001 ', dt.time(7, 30, 59, 1)),
        ('07:30', dt.time(7, 30)),
        ('07:30:59.25', dt.time(7, 30, 59, 250_000)),
        ('235960', dt.time(23, 59, 59)),
        ])
def test_time(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize('text', [
        '7', '24', '2460', '256199', '0730591', '073059.', '073059.1234567',
        '07:3059', '0730:59', '10-11', '٠٧'])
def test_malformed_time(text):
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize('text, expected', [
        ('7', 7), (' 7 ', 7), ('+7', 7), ('-7', -7), ('007', 7),
        ('2147483647', 2**31 - 1), ('-2147483648', -2**31)])
def test_integer(text, expected):
    assert parse_integer(text) == expected


@pytest.mark.parametrize('text', [
        '7.0', '1e3', '0x7', '1\\2', '2147483648', '-2147483649', '9' * 5000,
        '٧', '1_000', '- 7', 'seven'])
def test_malformed_integer(text):
    with pytest.raises(ValueError):
        parse_integer(text)


@pytest.mark.parametrize('parse', [
        parse_date, parse_integer, parse_person_name, parse_time])
@pytest.mark.parametrize('text', EMPTY)
def test_empty(parse, text):
    assert parse(text) is None


@given(ANY_TEXT | st.text('0123456789.:+- \0', max_size=12))
def test_parsers_of_any_text(text):
    for parse, type_ in [
            (parse_date, dt.date), (parse_time, dt.time),
            (parse_integer, int)]:
        try:
            value = parse(text)
        except ValueError:
            continue
        assert (value is None) == (not clean_text(text))
        assert value is None or isinstance(value, type_)


@given(st.dates())
def test_written_dates_are_read(value):
    text = f'{value.year:04}{value.month:02}{value.day:02}'
    assert parse_date(text) == value


@given(st.times())
def test_written_times_are_read(value):
    assert parse_time(value.strftime('%H%M%S.%f')) == value


@pytest.mark.parametrize('text', [
        '1.2.840.10008.1.1', '2.25.0', '1', '1.' + '2' * 62])
def test_uid(text):
    assert is_uid(text)


@pytest.mark.parametrize('text', [
        '', '.', '1.', '.1', '1..2', '1.02', '1.2 ', '1.2\n', '1.a', '1.٢',
        '1.' + '2' * 63])
def test_no_uid(text):
    assert not is_uid(text)


def test_generated_uid():
    assert is_uid(generate_uid())


@given(ANY_TEXT)
def test_uid_of_any_text(text):
    assert is_uid(text) in {False, True}


@pytest.mark.parametrize('text, expected', [
        ('Doe^Jane', "Doe, Jane"),
        ('Doe^Jane^Mary^^', "Doe, Jane Mary"),
        ('Adams^John Robert Quincy^^Rev.^B.A. M.Div.',
            "Adams, Rev. John Robert Quincy, B.A. M.Div."),
        ('Doe', "Doe"),
        ('Doe^', "Doe"),
        ('Doe^^^^', "Doe"),
        ('^Jane', "Jane"),
        ('^^^Dr.', "Dr."),
        ('Doe^^^Dr.', "Doe, Dr."),
        ('JOHN DOE', "JOHN DOE"),
        ('DOE, JOHN', "DOE, JOHN"),
        (' Doe  ^ Jane \0', "Doe, Jane"),
        ('Doe^Ja\x1bne', "Doe, Ja ne"),
        ('Doe^Jane^Mary^Dr.^MD^PhD^x', "Doe, Dr. Jane Mary, MD PhD x"),
        ('Yamada^Tarou=山田^太郎=やまだ^たろう', "Yamada, Tarou (山田 太郎)"),
        ('ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎', "ﾔﾏﾀﾞ ﾀﾛｳ (山田 太郎)"),
        ('=山田^太郎', "山田 太郎"),
        ('==やまだ^たろう', "やまだ たろう"),
        ('Doe^Jane==', "Doe, Jane"),
        ('Hong^Gildong=洪^吉洞=홍^길동=more', "Hong, Gildong (洪 吉洞)"),
        ('Люкceмбypг', "Люкceмбypг"),
        ])
def test_names_as_people_write_them(text, expected):
    assert parse_person_name(text).display == expected


def test_components_of_a_name():
    name = parse_person_name(
        'Yamada^Tarou^Middle^Dr.^Jr.=山田^太郎=やまだ^たろう')
    assert name.alphabetic == NameGroup(
        'Yamada', 'Tarou', 'Middle', 'Dr.', 'Jr.')
    assert name.ideographic == NameGroup('山田', '太郎')
    assert name.phonetic == NameGroup('やまだ', 'たろう')


@pytest.mark.parametrize('text', ['^', '^^^^', '=', '==', '^=^=^', ' ^ '])
def test_name_of_nobody(text):
    assert parse_person_name(text) is None
    assert display_names(text) == ''


@given(ANY_TEXT | NAMES)
def test_name_of_any_text(text):
    name = parse_person_name(text)
    if name:
        assert name.display == name.display.strip() != ''
        assert '\0' not in name.display


@pytest.mark.parametrize('text, expected', [
        (None, ''),
        ('Doe^Jane', "Doe, Jane"),
        ('Doe^Jane\\Roe^Richard', "Doe, Jane; Roe, Richard"),
        ('\\Doe^Jane\\', "Doe, Jane"),
        ])
def test_many_names(text, expected):
    assert display_names(text) == expected


@given(ANY_TEXT | NAMES)
def test_names_of_any_text(text):
    display_names(text).encode('utf-8')
