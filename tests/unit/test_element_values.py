# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.worklist.element_values import (
    WorklistError, person_name, safe_text, safe_value)

# Lone halves of surrogate pairs come out of JSON, too.
ANY_TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize('text, expected', [
        (None, ''),
        ('  a b ', 'a b'),
        ('a\nb\r\nc\0d', 'a b  c d'),
        ('a\x85b\u2028c\u2029d', 'a b c d'),
        ('C:\\new', 'C:/new'),
        ('a\ud800b', 'a\ufffdb'),
        ('a\ufdd0b\uffff', 'a\ufffdb\ufffd'),
        ('\ufeffa\u202eb\u2066c', 'abc'),
        ('[a] {b} (c) "d" #e =f ^g ${h} {% i %}',
            '[a] {b} (c) "d" #e =f ^g ${h} {% i %}'),
        ('محمد\u200c علی', 'محمد\u200c علی'),
        ('👩🏽\u200d⚕️', '👩🏽\u200d⚕️'),
        ])
def test_safe_text(text, expected):
    assert safe_text(text) == expected


@given(ANY_TEXT)
def test_safe_text_stays_on_its_line(text):
    safe = safe_text(text)
    safe.encode('utf-8')
    assert len(f'{safe}.'.splitlines()) == 1
    assert '\\' not in safe
    assert 'Cc' not in set(map(unicodedata.category, safe))
    assert safe_text(safe) == safe


@pytest.mark.parametrize('parts, expected', [
        (['Muster', 'Ana'], 'Muster^Ana'),
        (['Muster', 'Ana', 'B', 'Dr', 'III'], 'Muster^Ana^B^Dr^III'),
        (['Muster', '', '', 'Dr'], 'Muster^^^Dr'),
        (['Muster', None], 'Muster'),
        (['', 'Ana'], '^Ana'),
        (['', ''], ''),
        (['A^B', 'C=D\\E'], 'A B^C D/E'),
        (['=/etc/hostname', 'a\n(0010,0020) LO [x]'],
            '/etc/hostname^a (0010,0020) LO [x]'),
        (['  Van  der\tVelde ', 'J '], 'Van der Velde^J'),
        # The family name is shortened, so that the given name stays
        (['A' * 100, 'B'], 'A' * 62 + '^B'),
        (['A' * 63, 'B'], 'A' * 62 + '^B'),
        (['A' * 85, 'Ana María'], 'A' * 54 + '^Ana María'),
        (['A' * 85, 'Ana', 'B' * 30], 'A' * 29 + '^Ana^' + 'B' * 30),
        (['A' * 85, 'Ana', 'B' * 45], 'A' * 60 + '^Ana'),
        (['A' * 85, 'B' * 60], 'A' * 24 + '^' + 'B' * 39),
        (['A', 'B' * 80], 'A^' + 'B' * 62),
        (['', 'B' * 80], '^' + 'B' * 63),
        (['A' * 80, ''], 'A' * 64),
        (['e\u0301' * 40, 'Ana'], 'e\u0301' * 30 + '^Ana'),
        ])
def test_person_name(parts, expected):
    assert person_name(*parts) == expected


@given(st.lists(ANY_TEXT, min_size=2, max_size=5))
def test_person_name_is_one_group_of_five(parts):
    name = person_name(*parts)
    assert len(name) <= 64
    assert '=' not in name and '\\' not in name
    assert len(name.split('^')) <= 5
    assert safe_value('PN', name) == name


@pytest.mark.parametrize('keyword, value, expected', [
        ('PatientName', 'A^B^C^D^E^F^G', 'A^B^C^D^E F G'),
        ('PatientName', 'A=B=C=D', 'A=B=C D'),
        ('PatientName', ' A ^ B ', 'A^B'),
        ('PatientName', '^^', ''),
        ('PatientName', 'A^B==', 'A^B'),
        ('PatientName', '=山田^太郎', '=山田^太郎'),
        ('PatientName', 'A' * 70 + '=' + 'B' * 70, 'A' * 64 + '=' + 'B' * 64),
        ('PatientName', 'A' * 85 + '^Ana=' + '山' * 85 + '^太郎',
            'A' * 60 + '^Ana=' + '山' * 61 + '^太郎'),
        ('InstitutionName', 'x' * 100, 'x' * 64),
        ('InstitutionName', 'x' * 63 + 'e\u0301', 'x' * 63),
        ('InstitutionName', 'x' * 63 + '👩🏽', 'x' * 63),
        ('InstitutionName', '\u0301' * 70, '\u0301' * 64),
        ('InstitutionName', ['a', 'b'], 'a; b'),
        ('ScheduledStationName', 'A very long station name',
            'A very long stat'),
        ('Allergies', ['a', ' ', 'b\\c'], 'a\\b/c'),
        ('Allergies', ('a', None), 'a'),
        ('Allergies', [], ''),
        ('Allergies', None, ''),
        ('RequestedProcedureComments', 'x' * 20000, 'x' * 10240),
        ('PatientID', 'P1 ', 'P1'),
        ('Modality', 'ct', 'CT'),
        ('PatientSex', 'f', 'F'),
        ('PatientBirthDate', '20240229', '20240229'),
        ('ScheduledProcedureStepStartTime', '0730', '073000'),
        ('ScheduledProcedureStepStartTime', '073000.5', '073000'),
        ('ScheduledStationAETitle', ' CT 1 ', 'CT 1'),
        ('StudyInstanceUID', '1.2.3', '1.2.3'),
        ('PatientWeight', '70.5', '70.5'),
        ('PregnancyStatus', '0004', '4'),
        ('PatientAge', '044Y', '044Y'),
        ('TimezoneOffsetFromUTC', '+0530', '+0530'),
        ('LO', ['a', 'b'], 'a\\b'),
        ])
def test_safe_value(keyword, value, expected):
    assert safe_value(keyword, value) == expected


@pytest.mark.parametrize('kind, keyword, value', [
        ('invalid', 'PatientID', 'A\\B'),
        ('invalid', 'PatientID', 'A\nB'),
        ('invalid', 'PatientID', 'A\u202eB'),
        ('too_long', 'PatientID', 'x' * 65),
        ('too_long', 'AccessionNumber', 'x' * 17),
        ('too_long', 'ScheduledProcedureStepID', 'x' * 17),
        ('too_long', 'StudyInstanceUID', '1.' * 32 + '1'),
        ('invalid', 'StudyInstanceUID', '1.02'),
        ('invalid', 'StudyInstanceUID', '=CTImageStorage'),
        ('invalid', 'PatientBirthDate', '20230229'),
        ('invalid', 'PatientBirthDate', '2023-02-01'),
        ('invalid', 'PatientBirthDate', '٢٠٢٤٠١٠٢'),
        ('invalid', 'PatientBirthDate', '20240101-'),
        ('invalid', 'ScheduledProcedureStepStartTime', '2500'),
        ('invalid', 'ScheduledProcedureStepStartTime', '07:30'),
        ('invalid', 'ScheduledStationAETitle', 'CT-ä'),
        ('invalid', 'ScheduledStationAETitle', 'x' * 17),
        ('invalid', 'Modality', 'C-T'),
        ('invalid', 'Modality', 'CT\nMR'),
        ('invalid', 'PatientSex', 'X'),
        ('invalid', 'PatientAge', '44Y'),
        ('invalid', 'PatientWeight', '70,5'),
        ('invalid', 'PatientWeight', '70 kg'),
        ('invalid', 'PatientWeight', '1' * 17),
        ('invalid', 'PregnancyStatus', 'yes'),
        ('invalid', 'PregnancyStatus', '65536'),
        ('invalid', 'TimezoneOffsetFromUTC', 'UTC'),
        ('too_long', 'Allergies', ['x' * 64] * 200),
        ])
def test_value_that_cannot_be_used(kind, keyword, value):
    with pytest.raises(WorklistError) as raised:
        safe_value(keyword, value)
    assert raised.value.problems == ((kind, keyword),)
    assert str(raised.value) == f'{kind} {keyword}'


def test_unknown_keyword():
    with pytest.raises(KeyError):
        safe_value('MergeID', 'x')


@given(
    st.sampled_from([
            'PatientName', 'PatientID', 'Allergies', 'InstitutionName',
            'RequestedProcedureComments', 'Modality', 'PatientBirthDate',
            'ScheduledProcedureStepStartTime', 'ScheduledStationAETitle',
            'StudyInstanceUID', 'PatientWeight', 'PregnancyStatus']),
    ANY_TEXT | st.text(st.sampled_from('0123456789.+-eE: CTMR^=\\[')))
def test_safe_value_is_kept(keyword, text):
    try:
        safe = safe_value(keyword, text)
    except WorklistError:
        return
    assert safe_value(keyword, safe) == safe
    assert '\\' not in safe and safe == safe.strip()
