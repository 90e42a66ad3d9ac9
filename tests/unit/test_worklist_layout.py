# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items that are filled in quickly are those of the ordinary rendering."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.worklist import item as worklist
from trytond.modules.health_orthanc.core.worklist.default_template import (
    DEFAULT_TEMPLATE)
from trytond.modules.health_orthanc.core.worklist.layout import find_layout
from trytond.modules.health_orthanc.core.worklist.template import (
    TemplateError, compile_template)

from tests.unit.worklist_samples import HOSTILE, ORDER

ANY_TEXT = st.text(st.characters(codec=None), max_size=80)
CHARSETS = [
    'ISO_IR 192', 'ISO_IR 100', 'ISO_IR 144', 'GB18030', 'ISO_IR 6',
    '\\ISO 2022 IR 58', 'ISO 2022 IR 13\\ISO 2022 IR 87',
    'ISO 2022 IR 100\\ISO 2022 IR 144', 'UTF-8', '', 'nothing', None]
WORDS = ['Jérôme', 'Люкceмбypг', '山田^太郎', '王^小东', 'ﾔﾏﾀﾞ^ﾀﾛｳ', '홍']
STEP = """\
(0040,0100) SQ
  (fffe,e000) na
    (0008,0060) CS [$Modality]
  (fffe,e00d) na
(fffe,e0dd) na
"""
FILLED = {
    'nothing': '',
    'a comment': '# $PatientID\n\n(0010,0020) LO [$PatientID] # of $Modality',
    'no step': '(0010,0020) LO [$PatientID]',
    'a step': STEP,
    'constants': '(0008,0080) LO [Here]\n(0010,4000) LT [a $ b]',
    'no VR': '(0010,0010) [$PatientName]',
    'no bracket': '(0010,21c0) US $PregnancyStatus\n(0010,0020) LO $PatientID',
    'two variables': '(0010,4000) LT [$PatientState; ${SpecialNeeds}, $x]',
    'several values': '(0010,1001) PN [$PatientName\\\\$PatientName]',
    'a character set': '(0008,0005) CS [ISO_IR 100]',
    'no character set': '(0008,0005) CS []',
    'a date of no value': '(0010,0030) DA []',
    'no name': '(0010,0010) PN []',
    'in another order': STEP + '(0010,0020) LO [$PatientID]',
    'for one type':
        "{% if template_type == 'json' %}{ {% end %}"
        "(0010,0020) LO [$PatientID]",
    }
NOT_FILLED = {
    'a condition': '{% if PatientState %}(0038,0500) LO [x]{% end %}',
    'an expression': '(0010,0010) PN [${PatientName.upper()}]',
    'a loop': '{% for n in PatientName %}# $n{% end %}',
    'the order': '(0010,0010) PN [$my]',
    'a condition of no value': '{% if template_type + 1 %}# a{% end %}',
    'an element of a variable': '(0010,$x) PN [a]',
    'a VR of a variable': '(0010,0010) $x',
    'a bracket in a comment': '(0010,0020) LO [$PatientID] # [a]',
    'an element twice': '(0010,0020) LO [a]\n(0010,0020) LO [a]',
    'two items': STEP.replace(
        '  (fffe,e00d) na\n', '  (fffe,e00d) na\n' + STEP.split('\n')[1]
        + '\n  (fffe,e00d) na\n'),
    'another sequence': STEP.replace('(0040,0100)', '(0032,1064)'),
    'two sequences': STEP + STEP,
    'an open sequence': '(0040,0100) SQ\n  (fffe,e000) na',
    'an element between': STEP.replace(
        '  (fffe,e000)', '(0010,0020) LO [a]\n  (fffe,e000)'),
    'an end without a beginning': '(fffe,e0dd) na',
    'a private element': '(0009,0010) LO [a]',
    'no line': 'PatientID',
    }


def ordinary(template: str, kind: str, variables: dict) -> object:
    """Return an item as it is without a layout, or its error."""
    try:
        found = worklist.render(template, kind, variables)
    except (worklist.TemplateError, worklist.WorklistError) as error:
        return vars(error)
    charset = found.dataset.SpecificCharacterSet
    return worklist.Item(
        worklist.to_file(found.dataset), found.text,
        charset if isinstance(charset, str) else '\\'.join(charset),
        worklist.count_stations(found.dataset))


def made(template: str, kind: str, variables: dict) -> object:
    try:
        return worklist.make_item(template, kind, variables)
    except (worklist.TemplateError, worklist.WorklistError) as error:
        return vars(error)


def check(template: str = DEFAULT_TEMPLATE, **variables: object) -> None:
    variables = {**ORDER, **variables}
    for kind in worklist.KINDS:
        expected = ordinary(template, kind, variables)
        assert made(template, kind, variables) == expected
        # What has been remembered is the same
        assert made(template, kind, variables) == expected


def is_filled(template: str, **variables: object) -> bool:
    layout = find_layout(compile_template(template))
    safe = worklist._safe_variables({**ORDER, **variables})
    return layout is not None and layout.fill(safe) is not None


def test_the_default_template_is_filled_in():
    assert is_filled(DEFAULT_TEMPLATE)
    check()


@pytest.mark.parametrize('template', FILLED.values(), ids=FILLED)
def test_a_template_that_can_be_filled_in(template):
    assert is_filled(template, x='Test')
    for value in HOSTILE:
        check(
            template, x=value, PatientName=value, PatientState=value,
            SpecialNeeds=value)
    for charset in CHARSETS:
        check(
            template, SpecificCharacterSet=charset, PatientName='山田', x='é')


@pytest.mark.parametrize('template', NOT_FILLED.values(), ids=NOT_FILLED)
def test_a_template_that_cannot(template):
    try:
        assert find_layout(compile_template(template)) is None
    except TemplateError:
        pytest.fail("The template does not compile")
    check(template, x='Test')


@pytest.mark.parametrize('value', [*HOSTILE, None, 'CT1\\CT2', '12', '+0100'])
def test_any_value(value):
    for name in ORDER:
        check(**{name: value})


@pytest.mark.parametrize('charset', CHARSETS)
def test_a_character_set(charset):
    for name in WORDS:
        check(
            SpecificCharacterSet=charset, PatientName=name,
            RequestedProcedureDescription=name, InstitutionName=name)


def test_several_values():
    check(ScheduledStationAETitle=['CT1', 'CT2', 'CT1'])
    check(Allergies=['a\\b', 'é'], MedicalAlerts=[], PatientName=['A', 'B'])
    check(PatientWeight=70.5)


@pytest.mark.parametrize('template', [
        '(0010,0020) LO [$PatientID]\n(0010,4000) LT [$nowhere]',
        '(0010,0020) LO =/etc/hostname', '(0010,0020) LO [other]',
        '(0010,0030) DA [today]'], ids=repr)
def test_a_mistake_is_found_in_the_ordinary_way(template):
    assert not is_filled(template)
    check(template)


def test_a_long_value_is_made_in_the_ordinary_way():
    long = 'é' * 5_000
    assert not is_filled(DEFAULT_TEMPLATE, RequestedProcedureComments=long)
    check(RequestedProcedureComments=long)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(
        st.sampled_from(sorted(set(ORDER) - {'SpecificCharacterSet'})),
        ANY_TEXT | st.none() | st.lists(ANY_TEXT, max_size=3), max_size=6),
    st.sampled_from(CHARSETS))
def test_values_at_random(variables, charset):
    check(**variables, SpecificCharacterSet=charset)
