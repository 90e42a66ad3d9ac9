# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import functools
import io
import re
from decimal import Decimal
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from trytond.modules import health_imaging_worklist
from trytond.modules.health_orthanc.core.worklist.default_template import (
    DEFAULT_TEMPLATE)
from trytond.modules.health_orthanc.core.worklist.dicom_file import (
    differences, to_file)
from trytond.modules.health_orthanc.core.worklist.element_values import (
    WorklistError, person_name)
from trytond.modules.health_orthanc.core.worklist.item import (
    KINDS, VARIABLES, Rendered, TemplateError, check_template, dump_bytes,
    render)

from tests.unit.worklist_samples import HOSTILE, ORDER, STEP_NAMES

ANY_TEXT = st.text(st.characters(codec=None))
TYPED = sorted(set(ORDER) - {'SpecificCharacterSet', 'MergeID'})
TYPE_1 = [
    'PatientName', 'PatientID', 'StudyInstanceUID', 'RequestedProcedureID',
    'Modality', 'ScheduledStationAETitle', 'ScheduledProcedureStepStartDate',
    'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepID']
TYPE_2 = [
    'AccessionNumber', 'ReferringPhysicianName', 'PatientBirthDate',
    'PatientSex', 'PatientWeight', 'MedicalAlerts', 'Allergies',
    'PregnancyStatus', 'RequestingPhysician', 'AdmissionID', 'SpecialNeeds',
    'CurrentPatientLocation', 'PatientState', 'RequestedProcedurePriority',
    'PatientTransportArrangements',
    'ConfidentialityConstraintOnPatientDataDescription',
    'ScheduledPerformingPhysicianName', 'ScheduledStationName',
    'ScheduledProcedureStepLocation']

kinds = pytest.mark.parametrize('kind', KINDS)


def entry(
        kind: str = 'dump2dcm', template: str = DEFAULT_TEMPLATE,
        **variables: object) -> Rendered:
    return render(template, kind, {**ORDER, **variables})


def step_of(dataset: Dataset) -> Dataset:
    step, = dataset.ScheduledProcedureStepSequence
    return step


def element_of(dataset: Dataset, keyword: str):
    return (step_of(dataset) if keyword in STEP_NAMES else dataset)[keyword]


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def old_template() -> str:
    "Return the template that GNU Health 5.0 gives to new records"
    source = Path(
        health_imaging_worklist.__file__).with_name(
            'health_imaging_worklist.py').read_text()
    literal, = re.findall(
        r'template = """\\\n(.*?)"""', source, flags=re.DOTALL)
    return literal.replace('\\\\', '\\').replace('\\\n{% end %}', '{% end %}')


@kinds
def test_default_template(kind):
    rendered = entry(kind)
    assert rendered.completed == ()
    assert rendered.warnings == ()
    for keyword in set(ORDER) - {'MergeID', 'Allergies', 'PregnancyStatus'}:
        element = element_of(rendered.dataset, keyword)
        assert str(element.value) == ORDER[keyword]
    assert list(rendered.dataset.Allergies) == ORDER['Allergies']
    assert rendered.dataset.PregnancyStatus == 4


def test_kinds_are_equal():
    assert not differences(entry('json').dataset, entry('dump2dcm').dataset)


def test_default_template_reads_every_variable():
    names = set(re.findall(r'\$(\w+)', DEFAULT_TEMPLATE))
    assert names == VARIABLES - {'my', 'template_type', 'MergeID'}


@kinds
def test_file(kind):
    rendered = entry(kind, PatientName='Bëtz^Ana')
    content = to_file(rendered.dataset)
    found = read(content)
    assert not differences(rendered.dataset, found)
    assert found.PatientName == 'Bëtz^Ana'
    meta = found.file_meta
    assert meta.MediaStorageSOPClassUID == '1.2.840.10008.5.1.4.31'
    assert meta.TransferSyntaxUID == '1.2.840.10008.1.2.1'
    assert all(uid.is_valid for uid in [
                meta.MediaStorageSOPInstanceUID, meta.ImplementationClassUID])
    assert content == to_file(entry(kind, PatientName='Bëtz^Ana').dataset)
    assert content != to_file(plain(kind))


@kinds
def test_file_is_what_pydicom_writes(kind):
    dataset = entry(kind, Allergies=['nuts', 'é'], PatientWeight=None).dataset
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    content = to_file(dataset)
    assert content.endswith(buffer.getvalue())


@kinds
def test_old_template(kind):
    completed = check_template(old_template(), kind, 'IS0_IR 192')
    expected = {
        'PatientWeight', 'MedicalAlerts', 'Allergies', 'PregnancyStatus',
        'ScheduledProcedureStepDescription'}
    assert expected <= set(completed)
    assert ('ScheduledProcedureStepID' in completed) == (kind == 'dump2dcm')
    rendered = entry(
        kind, old_template(), SpecificCharacterSet='IS0_IR 192')
    assert rendered.dataset.SpecificCharacterSet == 'ISO_IR 192'
    step = step_of(rendered.dataset)
    assert step.ScheduledProcedureStepID == 'S9'
    assert step.Modality == 'CT'
    assert 'Modality' not in rendered.dataset


@kinds
def test_keys_are_completed(kind):
    source = {'json': '{}', 'dump2dcm': '# nothing'}[kind]
    completed = check_template(source, kind, None)
    assert {*TYPE_1, *TYPE_2} <= set(completed)
    rendered = entry(kind, source)
    for keyword in [*TYPE_1, *TYPE_2]:
        if keyword not in {'Allergies', 'PregnancyStatus'}:
            element = element_of(rendered.dataset, keyword)
            assert str(element.value) == ORDER[keyword]


@kinds
def test_sparse_order(kind):
    names = [*TYPE_1, 'RequestedProcedureDescription']
    rendered = render(
        DEFAULT_TEMPLATE, kind, {name: ORDER[name] for name in names})
    for keyword in TYPE_2:
        assert not element_of(rendered.dataset, keyword).value
    step = step_of(rendered.dataset)
    assert step.ScheduledProcedureStepDescription == 'CT chest'
    assert step.RequestedProcedureDescription == 'CT chest'
    assert rendered.dataset.SpecificCharacterSet == 'ISO_IR 192'
    assert not differences(rendered.dataset, read(to_file(rendered.dataset)))


@pytest.mark.parametrize('value', [None, '', '  ', '\n', []])
@pytest.mark.parametrize(
    'keyword', [*TYPE_1, 'RequestedProcedureDescription'])
def test_missing(keyword, value):
    with pytest.raises(WorklistError) as raised:
        entry(**{keyword: value})
    assert ('missing', keyword) in raised.value.problems


def test_problems_are_told_together():
    with pytest.raises(WorklistError) as raised:
        entry(Modality='', PatientID='')
    assert set(raised.value.problems) == {
        ('missing', 'Modality'), ('missing', 'PatientID')}
    with pytest.raises(WorklistError) as raised:
        entry(PatientBirthDate='1980', StudyInstanceUID='x', PatientID='')
    assert set(raised.value.problems) == {
        ('invalid', 'PatientBirthDate'), ('invalid', 'StudyInstanceUID')}


@pytest.mark.parametrize('line, keyword', [
        ('(0010,0020) LO [X$PatientID]', 'PatientID'),
        ('(0010,0020) LO [$AccessionNumber]', 'PatientID'),
        ('(0020,000d) UI [1.2.3]', 'StudyInstanceUID'),
        ('(0008,0050) SH []', 'AccessionNumber'),
        ])
def test_identity_is_that_of_the_order(line, keyword):
    with pytest.raises(WorklistError) as raised:
        entry(template=line)
    assert raised.value.problems == (('differs', keyword),)


def test_merge_id_may_stand_for_the_patient():
    rendered = entry(template='(0010,0020) LO [$MergeID]')
    assert rendered.dataset.PatientID == ORDER['MergeID']


def test_template_adds_and_changes_what_is_no_identity():
    template = (
        '(0032,1060) LO [X: $RequestedProcedureDescription]\n'
        '(0010,4000) LT [${my.comment}]\n'
        '(0010,0040) CS []\n')

    class Request:
        comment = 'Deaf\\EVIL]\n(0010,0020) LO [EVIL]'

    dataset = render(template, 'dump2dcm', ORDER, Request()).dataset
    assert dataset.RequestedProcedureDescription == 'X: CT chest'
    assert step_of(dataset).RequestedProcedureDescription == 'X: CT chest'
    assert dataset.PatientSex == ''
    assert dataset.PatientID == ORDER['PatientID']


def test_code_instead_of_a_description():
    template = """\
(0032,1064) SQ
(fffe,e000) na
(0008,0100) SH [T1]
(fffe,e00d) na
(fffe,e0dd) na
(0040,0100) SQ
(fffe,e000) na
(0040,0008) SQ
(fffe,e000) na
(0008,0100) SH [T1]
(fffe,e00d) na
(fffe,e0dd) na
(fffe,e00d) na
(fffe,e0dd) na
"""
    dataset = entry(
        template=template, RequestedProcedureDescription=None,
        ScheduledProcedureStepDescription=None).dataset
    assert 'RequestedProcedureDescription' not in dataset
    assert dataset.RequestedProcedureCodeSequence[0].CodeValue == 'T1'


def test_one_step():
    template = '(0040,0100) SQ\n' + (
        '(fffe,e000) na\n(0008,0060) CS [CT]\n(fffe,e00d) na\n' * 2
        + '(fffe,e0dd) na')
    with pytest.raises(WorklistError) as raised:
        entry(template=template)
    assert raised.value.problems == (
        ('many', 'ScheduledProcedureStepSequence'),)


def test_variables_of_other_modules():
    template = '(0010,4000) LT [$Clinic $Beds $Tags]'
    dataset = entry(
        template=template, Clinic='North]\n', Beds=3, Tags=['a'],
        _hidden='x', self='y').dataset
    assert dataset.PatientComments == 'North] 3 a'
    with pytest.raises(TemplateError) as raised:
        entry(template=template)
    assert raised.value.kind == 'template_name'


@pytest.mark.parametrize('value', [object(), b'x', [1], {'a': 'b'}])
def test_variable_that_is_no_text(value):
    with pytest.raises(WorklistError) as raised:
        entry(PatientName=value)
    assert raised.value.problems == (('invalid', 'PatientName'),)


@pytest.mark.parametrize('weight, expected', [
        (70, '70'), (70.5, '70.5'), (100, '100'), (0.4, '0.4'),
        (Decimal('100'), '100'), (Decimal('70.50'), '70.5')])
def test_numbers(weight, expected):
    assert str(entry(PatientWeight=weight).dataset.PatientWeight) == expected


@functools.cache
def plain(kind: str) -> Dataset:
    return entry(kind).dataset


@kinds
@pytest.mark.parametrize('keyword', TYPED)
def test_hostile_text_stays_in_its_field(kind, keyword):
    for text in HOSTILE:
        _check_field(kind, keyword, text)


def _check_field(kind: str, keyword: str, text: str) -> None:
    try:
        dataset = entry(kind, **{keyword: text}).dataset
    except WorklistError as error:
        assert {name for _, name in error.problems} == {keyword}
        return
    changed = set(differences(plain(kind), dataset))
    changed_step = set(differences(step_of(plain(kind)), step_of(dataset)))
    if keyword in STEP_NAMES or changed_step:
        assert changed_step <= {keyword}
        assert keyword in {*STEP_NAMES, 'RequestedProcedureDescription'}
    assert changed <= {keyword, 'ScheduledProcedureStepSequence'}
    assert ('ScheduledProcedureStepSequence' in changed) == bool(changed_step)
    assert not differences(dataset, read(to_file(dataset)))


@settings(max_examples=200)
@given(st.sampled_from(KINDS), st.sampled_from(TYPED), ANY_TEXT)
def test_any_text_stays_in_its_field(kind, keyword, text):
    _check_field(kind, keyword, text)


PIECES = st.sampled_from(
    ['a', 'é', '山', '😀', ' ', ']', '\n', '[', '"', '\\', '^', '=', '{%',
        '${', '}', '#', '\u2028', '\0', '\u202e', '(0010,0020) LO '])


@settings(max_examples=300)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(['ISO_IR 192', 'ISO_IR 100', '\\ISO 2022 IR 87', 'GBK']),
    st.lists(st.lists(PIECES).map(''.join), min_size=2, max_size=5))
def test_names_arrive_whole(kind, charset, parts):
    name = person_name(*parts)
    if not name:
        return
    rendered = entry(
        kind, PatientName=name, SpecificCharacterSet=charset)
    found = read(to_file(rendered.dataset))
    assert str(found.PatientName) == name
    assert found.PatientID == ORDER['PatientID']
    assert len(found) == len(entry(kind).dataset)


@kinds
@pytest.mark.parametrize('charset, name', [
        ('ISO_IR 192', 'Müller^Ζωή=山田^太郎=やまだ^たろう'),
        ('ISO_IR 100', 'Müller^José'),
        ('ISO_IR 101', 'Wałęsa^Lech'),
        ('ISO_IR 126', 'Διονυσίου^Ζωή'),
        ('ISO_IR 127', 'قباني^لنزار'),
        ('ISO_IR 144', 'Иванова^Анна'),
        ('GB18030', 'Wang^XiaoDong=王^小东'),
        ('GBK', 'Wang^XiaoDong=王^小东'),
        ('\\ISO 2022 IR 87', 'Yamada^Tarou=山田^太郎=やまだ^たろう'),
        ('\\ISO 2022 IR 149', 'Hong^Gildong=洪^吉洞=홍^길동'),
        ])
def test_character_sets(kind, charset, name):
    rendered = entry(
        kind, PatientName=name, SpecificCharacterSet=charset,
        PatientWeight=None)
    assert rendered.warnings == ()
    found = read(to_file(rendered.dataset))
    assert str(found.PatientName) == name
    stored = found.SpecificCharacterSet
    assert '\\'.join([stored] if isinstance(stored, str) else stored) == (
        charset)
    assert not differences(rendered.dataset, found)


@pytest.mark.parametrize('charset', [
        'ISO_IR 6', 'ISO_IR 100', 'ISO_IR 144', '\\ISO 2022 IR 149'])
def test_name_that_the_set_cannot_hold(charset):
    rendered = entry(
        PatientName='Müller山', SpecificCharacterSet=charset)
    assert rendered.warnings == ('charset',)
    found = read(to_file(rendered.dataset))
    assert found.SpecificCharacterSet == 'ISO_IR 192'
    assert found.PatientName == 'Müller山'


def test_set_that_the_template_writes():
    rendered = entry(
        template='(0008,0005) CS [ISO_IR 100]', PatientName='Müller')
    assert rendered.dataset.SpecificCharacterSet == 'ISO_IR 100'
    assert b'M\xfcller' in to_file(rendered.dataset)


@pytest.mark.parametrize('template', [
        DEFAULT_TEMPLATE, '(0008,0005) CS [ISO_IR 999]'])
def test_unknown_set(template):
    with pytest.raises(WorklistError) as raised:
        entry(template=template, SpecificCharacterSet='ISO_IR 999')
    assert raised.value.problems == (('charset', 'SpecificCharacterSet'),)


def test_dump_in_a_character_set():
    rendered = entry(
        PatientName='Yamada^Tarou=山田^太郎', InstitutionName='病院=^',
        SpecificCharacterSet='\\ISO 2022 IR 87')
    content = dump_bytes(rendered.text, '\\ISO 2022 IR 87')
    assert (b'(0010,0010) PN [Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:'
        b'\x1b(B]\n') in content
    assert b'(0008,0080) LO [\x1b$BIB1!\x1b(B=^]\n' in content
    with pytest.raises(UnicodeEncodeError):
        dump_bytes(rendered.text, 'ISO_IR 100')


@pytest.mark.parametrize('source, kind, error', [
        ('{% python x %}', 'dump2dcm', ('template_python', 1, 'python')),
        ('\n$Nothing', 'dump2dcm', ('template_name', 2, 'Nothing')),
        ('(0010,0020) LO [$PatientID', 'dump2dcm', ('result_syntax', 1, '')),
        ('{"x": "y"}', 'json', ('result_keyword', None, 'x')),
        ('{"Patient$Modality": "y"}', 'json', ('result_keyword', None, '')),
        ])
def test_check_tells_what_is_wrong(source, kind, error):
    with pytest.raises(TemplateError) as raised:
        check_template(source, kind, None)
    found = raised.value
    assert (found.kind, found.line, found.detail) == error


@pytest.mark.parametrize('source, charset, problem', [
        ('(0010,0020) LO [x]', None, ('differs', 'PatientID')),
        ('(0010,0030) DA [$PatientID]', None,
            ('invalid', 'PatientBirthDate')),
        (DEFAULT_TEMPLATE, 'ISO_IR 999', ('charset', 'SpecificCharacterSet')),
        ])
def test_check_tells_what_is_wrong_with_entries(source, charset, problem):
    with pytest.raises(WorklistError) as raised:
        check_template(source, 'dump2dcm', charset)
    assert raised.value.problems == (problem,)


def test_unknown_kind():
    with pytest.raises(ValueError):
        entry('xml')


def test_check_knows_the_variables_of_other_modules():
    source = '(0010,0030) DA [$Clinic]'
    assert check_template(source, 'dump2dcm', None, ['Clinic'])
    with pytest.raises(TemplateError):
        check_template(source, 'dump2dcm', None)


@pytest.mark.parametrize('expression', [
        'my.patient.party.name', 'my.patient.party.name.upper()',
        'my.date.strftime("%Y%m%d")', 'my.tests[0].name[:4]',
        '"^".join(my.patient.names)', 'my.comment or ""',
        'my.urgent and "HIGH" or "LOW"', 'my.number + 1', '1 + my.number',
        'my.weight > 70', '"%s" % my.comment', 'int(my.number)',
        'len(my.tests)', 'my.a if my.b in my.c else my.d'])
def test_check_lets_templates_read_the_request(expression):
    source = (
        '(0010,0030) DA [${my.born}]\n(0010,0020) LO [${my.patient.puid}]\n'
        '(0010,4000) LT [${%s}]\n'
        '{%% for test in my.tests %%}(0010,1030) DS [${test.weight}]\n'
        '{%% end %%}' % expression)
    completed = check_template(source, 'dump2dcm', None)
    assert 'PatientBirthDate' not in completed
