# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.worklist.dicom_file import differences
from trytond.modules.health_orthanc.core.worklist.dump import (
    parse_dump, parse_json, to_dump, to_json)
from trytond.modules.health_orthanc.core.worklist.element_values import (
    WorklistError)
from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template, render_text)

SEQUENCE = """\
(0040,0100) SQ (Sequence with undefined length)
  (fffe,e000) na (Item with undefined length)
    (0008,0060) CS [CT]
    (0040,0008) SQ
      (fffe,e000) na
        (0008,0100) SH [T1]
      (fffe,e00d) na
    (fffe,e0dd) na
  (fffe,e00d) na (ItemDelimitationItem)
(fffe,e0dd) na (SequenceDelimitationItem)
"""


def value(line: str, keyword: str = 'PatientName') -> object:
    return parse_dump(line)[keyword].value


@pytest.mark.parametrize('line, expected', [
        ('(0010,0010) PN [A^B]', 'A^B'),
        ('  (0010,0010)\tPN\t[A^B]  ', 'A^B'),
        ('(0010,0010) PN [A^B]   # comment', 'A^B'),
        ('(0010,0010) PN [A] B]', 'A] B'),
        ('(0010,0010) PN [A] # B]', 'A] # B'),
        ('(0010,0010) PN []', ''),
        ('(0010,0010) PN', ''),
        ('(0010,0010) PN (no value available)', ''),
        ('(0010,0010) PN # none', ''),
        ('(0010,0010) PN Ana', 'Ana'),
        ('(0010,0010) PN Ana # comment', 'Ana'),
        ('(0010,0010) LO [A^B]', 'A^B'),
        ('(0010,0010) [A^B]', 'A^B'),
        ])
def test_value(line, expected):
    assert value(line) == expected


def test_representation_is_that_of_the_standard():
    dataset = parse_dump('(0008,0005) SH [ISO_IR 192]\n(0010,21C0) xx 4')
    assert dataset['SpecificCharacterSet'].VR == 'CS'
    assert dataset['PregnancyStatus'].value == 4


def test_many_values():
    dataset = parse_dump('(0010,2110) LO [a\\ b ]')
    assert list(dataset.Allergies) == ['a', 'b']


def test_text_that_cannot_have_many_values():
    with pytest.raises(WorklistError) as raised:
        parse_dump('(0010,0020) LO [a\\b]')
    assert raised.value.problems == (('many', 'PatientID'),)


def test_blank_lines_and_comments():
    dataset = parse_dump('\n# one\n\n  # two\n(0010,0020) LO [a]\n')
    assert [e.keyword for e in dataset] == ['PatientID']


def test_sequences():
    item, = parse_dump(SEQUENCE).ScheduledProcedureStepSequence
    assert item.Modality == 'CT'
    assert item.ScheduledProtocolCodeSequence[0].CodeValue == 'T1'


@pytest.mark.parametrize('text', [
        '(0040,0100) SQ\n(fffe,e0dd) na',
        '(0040,0100) SQ\n(fffe,e000) na\n(fffe,e00d) na\n(fffe,e0dd) na',
        ])
def test_empty_sequences_are_left_out(text):
    assert not len(parse_dump(text))


@pytest.mark.parametrize('text, kind, line, detail', [
        ('words', 'result_syntax', 1, ''),
        ('(0010,0010) PN [A', 'result_syntax', 1, ''),
        ('(0010,0010) PN [A] x', 'result_syntax', 1, ''),
        ('(0010,001) PN [A]', 'result_syntax', 1, ''),
        ('\n(0010,0020) LO [a]\n(0010,0020) LO [b]', 'result_twice', 3,
            'PatientID'),
        ('(0040,0100) SQ\n(fffe,e0dd) na\n(0010,0020) LO [a]\n'
            '(0010,0020) LO', 'result_twice', 4, 'PatientID'),
        ('(0009,0010) LO [a]', 'result_private', 1, '(0009,0010)'),
        ('(0002,0010) UI [1.2]', 'result_tag', 1, '(0002,0010)'),
        ('(0010,0000) UL 4', 'result_tag', 1, '(0010,0000)'),
        ('(7fe0,0010) OB [a]', 'result_vr', 1, '(7fe0,0010)'),
        ('(0042,0011) OB =/etc/hostname', 'result_vr', 1, '(0042,0011)'),
        ('(0010,0001) ?? [a]', 'result_vr', 1, '(0010,0001)'),
        ('(0008,0016) UI =CTImageStorage', 'result_path', 1, ''),
        ('(0040,0100) SQ', 'result_sequence', None, ''),
        ('(0040,0100) SQ\n(fffe,e000) na', 'result_sequence', None, ''),
        ('(0040,0100) SQ\n(0010,0020) LO [a]', 'result_sequence', 2, ''),
        ('(fffe,e000) na', 'result_sequence', 1, ''),
        ('(fffe,e00d) na', 'result_sequence', 1, ''),
        ('(fffe,e0dd) na', 'result_sequence', 1, ''),
        ('(0040,0100) SQ\n(fffe,e00d) na', 'result_sequence', 2, ''),
        ('(0040,0100) SQ\n(fffe,e000) na\n' * 9, 'result_sequence', 16, ''),
        ('(0010,0020) LO\n' * 3000, 'result_twice', 2, 'PatientID'),
        ('(fffe,e000) na', 'result_sequence', 1, ''),
        ])
def test_text_that_is_no_dump(text, kind, line, detail):
    with pytest.raises(TemplateError) as raised:
        parse_dump(text)
    error = raised.value
    assert (error.kind, error.line, error.detail) == (kind, line, detail)


def test_long_dump():
    sequence = '(0040,0100) SQ\n' + (
        '(fffe,e000) na\n(0008,0060) CS [CT]\n(fffe,e00d) na\n' * 1000)
    with pytest.raises(TemplateError) as raised:
        parse_dump(sequence + '(fffe,e0dd) na')
    assert raised.value.kind == 'result_length'


@pytest.mark.parametrize('line, keyword', [
        ('(0010,0030) DA [19801301]', 'PatientBirthDate'),
        ('(0010,1030) DS [heavy]', 'PatientWeight'),
        ('(0010,21c0) US [-1]', 'PregnancyStatus'),
        ('(0010,21c0) US 70000', 'PregnancyStatus'),
        ('(0010,0040) CS [X]', 'PatientSex'),
        ('(0020,000d) UI [1..2]', 'StudyInstanceUID'),
        ])
def test_value_of_another_form(line, keyword):
    with pytest.raises(WorklistError) as raised:
        parse_dump(line)
    assert raised.value.problems == (('invalid', keyword),)


def test_bracket_in_the_comment_of_a_template():
    """For dump2dcm it would belong to the value."""
    template = compile_template('(0010,0020) LO [$A]  # [the PUID]')
    masked = render_text(template, {'A': 'P1'})
    with pytest.raises(TemplateError) as raised:
        parse_dump(masked, masked=True)
    assert (raised.value.kind, raised.value.line) == ('result_comment', 1)


def test_bracket_in_a_value_is_no_comment():
    template = compile_template('(0010,0020) LO [$A]  # the PUID')
    masked = render_text(template, {'A': 'P] # 1]'})
    assert parse_dump(masked, masked=True).PatientID == 'P] # 1]'


def test_json():
    dataset = parse_json(json.dumps({
                'PatientName': 'A^B', 'Allergies': ['a', 'b'],
                'PregnancyStatus': 4, 'PatientWeight': 70.50,
                'PatientSex': None, 'MedicalAlerts': [],
                'ScheduledProcedureStepSequence': [{
                        'Modality': 'CT',
                        'ScheduledProtocolCodeSequence': [
                            {'CodeValue': 'T1'}]}],
                'RequestedProcedureCodeSequence': [],
                'ReferencedStudySequence': [{}],
                'ReferencedRequestSequence': [{}]}))
    assert dataset.PatientName == 'A^B'
    assert list(dataset.Allergies) == ['a', 'b']
    assert dataset.PregnancyStatus == 4
    assert str(dataset.PatientWeight) == '70.5'
    assert dataset.PatientSex == dataset.MedicalAlerts == ''
    item, = dataset.ScheduledProcedureStepSequence
    assert item.ScheduledProtocolCodeSequence[0].CodeValue == 'T1'
    assert 'RequestedProcedureCodeSequence' not in dataset
    assert 'ReferencedRequestSequence' not in dataset
    # It is of type 2
    assert len(dataset.ReferencedStudySequence) == 0


def test_json_with_the_step_at_the_root():
    dataset = parse_json(json.dumps({
                'Modality': 'CT', 'ScheduledStationAETitle': 'CT1',
                'PatientID': 'P1'}))
    item, = dataset.ScheduledProcedureStepSequence
    assert (item.Modality, item.ScheduledStationAETitle) == ('CT', 'CT1')
    assert 'Modality' not in dataset
    assert dataset.PatientID == 'P1'


@pytest.mark.parametrize('text, kind, detail', [
        ('', 'result_syntax', ''),
        ('[]', 'result_syntax', ''),
        ('{"PatientID": P1}', 'result_syntax', ''),
        ('{"PatientID": "a\nb"}', 'result_syntax', ''),
        ('{"PatientID": "a", "PatientID": "b"}', 'result_twice', 'PatientID'),
        ('{"Modality": "CT", "ScheduledProcedureStepSequence":'
            '[{"Modality": "CT"}]}', 'result_twice', 'Modality'),
        ('{"Modality": "CT", "ScheduledProcedureStepSequence": [{}, {}]}',
            'result_sequence', 'ScheduledProcedureStepSequence'),
        ('{"Modality": "CT", "ScheduledProcedureStepSequence": "x"}',
            'result_sequence', 'ScheduledProcedureStepSequence'),
        ('{"RequestedProcedureCodeSequence": "x"}', 'result_sequence',
            'RequestedProcedureCodeSequence'),
        ('{"RequestedProcedureCodeSequence": [1]}', 'result_sequence',
            'RequestedProcedureCodeSequence'),
        ('{"Nothing": "x"}', 'result_keyword', 'Nothing'),
        ('{"PixelData": "x"}', 'result_vr', '(7fe0,0010)'),
        ('{"TransferSyntaxUID": "1.2"}', 'result_tag', '(0002,0010)'),
        ('{"PatientID": true}', 'result_value', 'PatientID'),
        ('{"PatientID": {"a": "b"}}', 'result_value', 'PatientID'),
        ('{"Allergies": [["a"]]}', 'result_value', 'Allergies'),
        ('{"PatientWeight": NaN}', 'result_number', ''),
        ('[' * 100_000, 'result_sequence', ''),
        ('{"RequestedProcedureCodeSequence": [' * 9 + '{"CodeValue": "x"}'
            + ']}' * 9, 'result_sequence', ''),
        ])
def test_text_that_is_no_json(text, kind, detail):
    with pytest.raises(TemplateError) as raised:
        parse_json(text)
    assert (raised.value.kind, raised.value.detail) == (kind, detail)


def test_inserted_text_is_no_json():
    template = compile_template('{"PatientID": "$A"}')
    text = 'a", "PatientName": "b'
    masked = render_text(template, {'A': text})
    assert parse_json(masked).PatientID == text
    with pytest.raises(TemplateError):
        parse_json(render_text(
                compile_template('{"PatientID": $A}'), {'A': '["a", "b"]'}))


def test_dump_is_as_dump2dcm_reads_it():
    dataset = parse_json(json.dumps({
                'PatientName': 'A^B', 'Allergies': ['peanuts', 'nuts', 'n'],
                'PregnancyStatus': 4, 'PatientWeight': '',
                'Modality': 'CT'}))
    assert to_dump(dataset) == """\
(0010,0010) PN [A^B]
(0010,1030) DS (no value available)
(0010,2110) LO [peanuts\\ nuts\\ n]
(0010,21c0) US 4
(0040,0100) SQ (Sequence with undefined length)
  (fffe,e000) na (Item with undefined length)
    (0008,0060) CS [CT]
  (fffe,e00d) na (ItemDelimitationItem)
(fffe,e0dd) na (SequenceDelimitationItem)
"""


@given(st.text(), st.text(), st.lists(st.text(), max_size=4))
def test_texts_are_read_as_they_were(name, patient_id, allergies):
    template = compile_template(
        '{"PatientName": "$N", "PatientID": "$I", "Allergies": "$L",'
        '"Modality": "CT"}')
    try:
        dataset = parse_json(render_text(
                template, {'N': name, 'I': patient_id, 'L': allergies}))
    except WorklistError:
        return
    for text, parse in [
            (to_dump(dataset), parse_dump), (to_json(dataset), parse_json)]:
        assert not differences(dataset, parse(text))


@given(st.text(st.sampled_from(
            '(0010,2)LOSQna[]efd #=\n"{}:\\ PatientID'), max_size=200))
def test_any_text_is_read_or_refused(text):
    for parse in [parse_dump, parse_json]:
        try:
            parse(text)
        except (TemplateError, WorklistError):
            pass


@given(st.lists(st.sampled_from(
            SEQUENCE.splitlines() + ['(0010,0020) LO [a]', ''])))
def test_any_lines_are_read_or_refused(lines):
    try:
        dataset = parse_dump('\n'.join(lines))
    except TemplateError:
        return
    assert not differences(dataset, parse_dump(to_dump(dataset)))
