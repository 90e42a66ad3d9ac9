# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of worklist entries through the real dump2dcm."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from trytond.modules.health_orthanc.core.worklist.default_template import (
    DEFAULT_TEMPLATE)
from trytond.modules.health_orthanc.core.worklist.dicom_file import (
    differences, to_file)
from trytond.modules.health_orthanc.core.worklist.element_values import (
    WorklistError, person_name)
from trytond.modules.health_orthanc.core.worklist.item import (
    Rendered, dump_bytes, render)

from tests.unit.worklist_samples import HOSTILE, ORDER

TIMEOUT = 60
TEXTS = [
    'PatientName', 'ReferringPhysicianName', 'RequestingPhysician',
    'ScheduledPerformingPhysicianName', 'InstitutionName', 'MedicalAlerts',
    'Allergies', 'AdmissionID', 'SpecialNeeds', 'CurrentPatientLocation',
    'PatientState', 'RequestingService', 'ReasonForTheRequestedProcedure',
    'RequestedProcedureComments', 'RequestedProcedureDescription',
    'RequestedProcedurePriority', 'PatientTransportArrangements',
    'ConfidentialityConstraintOnPatientDataDescription',
    'ScheduledProcedureStepDescription', 'ScheduledStationName',
    'ScheduledProcedureStepLocation']
# By these the images find back to their orders
IDENTIFIERS = ['PatientID', 'AccessionNumber', 'ScheduledProcedureStepID']

Converter = Callable[[Rendered, str], Dataset]


@pytest.fixture
def convert(tmp_path: Path) -> Converter:
    """Return what dump2dcm makes of an entry."""
    source, target = tmp_path / 'entry.dump', tmp_path / 'entry.wl'

    def convert(rendered: Rendered, charset: str = 'ISO_IR 192') -> Dataset:
        source.write_bytes(dump_bytes(rendered.text, charset))
        target.unlink(missing_ok=True)
        run = subprocess.run(
            ['dump2dcm', '+te', '+l', '65536', source, target],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT)
        assert (run.returncode, run.stderr) == (0, '')
        found = pydicom.dcmread(target)
        found.walk(lambda dataset, element: element.value)
        return found
    return convert


def entry(**variables: object) -> Rendered:
    return render(DEFAULT_TEMPLATE, 'dump2dcm', {**ORDER, **variables})


def test_entry(convert, tmp_path):
    rendered = entry()
    found = convert(rendered)
    assert not differences(rendered.dataset, found)
    (tmp_path / 'own.wl').write_bytes(to_file(rendered.dataset))
    assert not differences(pydicom.dcmread(tmp_path / 'own.wl'), found)


def test_empty_entry(convert):
    kept = [
        'PatientName', 'PatientID', 'StudyInstanceUID', 'Modality',
        'RequestedProcedureID', 'RequestedProcedureDescription',
        'ScheduledStationAETitle', 'ScheduledProcedureStepStartDate',
        'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepID']
    rendered = render(
        DEFAULT_TEMPLATE, 'dump2dcm', {name: ORDER[name] for name in kept})
    found = convert(rendered)
    assert not differences(rendered.dataset, found)
    assert 'PregnancyStatus' in found and 'PatientWeight' in found


# pydicom counts the padding of a value
@pytest.mark.filterwarnings('ignore:The value length')
@pytest.mark.parametrize('text', HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_written_into_its_field(convert, text):
    variables = dict.fromkeys(TEXTS, f'A{text}')
    rendered = entry(**{**variables, 'PatientName': f'A^{text}'})
    found = convert(rendered)
    assert [e.tag for e in found] == [e.tag for e in entry().dataset]
    assert not differences(rendered.dataset, found)
    assert found.PatientID == ORDER['PatientID']


@pytest.mark.parametrize('keyword', IDENTIFIERS)
def test_hostile_identifier_is_written_or_refused(convert, keyword):
    written = 0
    for text in HOSTILE:
        try:
            rendered = entry(**{keyword: text})
        except WorklistError as error:
            assert {name for _, name in error.problems} == {keyword}
            continue
        found = convert(rendered)
        assert not differences(rendered.dataset, found)
        written += 1
    assert written


def test_no_file_of_the_server_is_read(convert, tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('a secret')
    rendered = entry(**dict.fromkeys(TEXTS, f'={secret}'))
    found = convert(rendered)
    assert not differences(rendered.dataset, found)
    assert 'a secret' not in str(found)


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
def test_character_sets(convert, charset, name):
    rendered = entry(PatientName=name, SpecificCharacterSet=charset)
    assert rendered.warnings == ()
    found = convert(rendered, charset)
    assert str(found.PatientName) == name
    assert not differences(rendered.dataset, found)


def test_values_that_begin_like_the_end_of_a_line(convert):
    rendered = entry(Allergies=['peanuts', 'nuts', 'n'])
    found = convert(rendered)
    assert [a.strip() for a in found.Allergies] == ['peanuts', 'nuts', 'n']
    assert not differences(rendered.dataset, found)


PIECES = st.sampled_from(
    ['a', 'n', 'é', '山', '😀', ' ', ']', '\n', '\r', '[', '"', '\\', '^',
        '=', '{%', '${', '}', '#', '\u2028', '\0', '\u202e',
        '(0010,0020) LO ['])


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PIECES).map(''.join), min_size=2, max_size=5))
def test_names_arrive_whole(convert, parts):
    name = person_name(*parts)
    if not name:
        return
    rendered = entry(PatientName=name)
    found = convert(rendered)
    assert str(found.PatientName) == name
    assert [e.tag for e in found] == [e.tag for e in rendered.dataset]
    assert not differences(rendered.dataset, found)
