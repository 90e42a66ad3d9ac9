# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that consoles ask for, and several stations, in each way to serve."""
import pytest

from trytond.modules.health_orthanc.core.worklist import item as worklist
from trytond.modules.health_orthanc.core.worklist.samples import FULL

from devtools.dicom import STEP, find_worklist
from devtools.orthanc import Orthanc
from devtools.process import wait_until

from .fake_plugin_routes import FakePluginRoutes
from .test_worklist_plugin import KEY, LUA, TIMEOUT, serving

TITLES = ['AA32', 'AA33']
ITEM = worklist.render(
    worklist.DEFAULT_TEMPLATE, 'dump2dcm',
    {**FULL, 'ScheduledStationAETitle': TITLES}).dataset
FILE = worklist.to_file(ITEM)
SEQUENCES = ['ReferencedStudySequence', 'ReferencedPatientSequence']


@pytest.fixture(scope='module', params=['live', 'files'])
def port(request, tmp_path_factory):
    "The DICOM port of an Orthanc that serves the item"
    if request.param == 'live':
        with FakePluginRoutes(key=KEY) as his:
            his.put(1, FILE)
            # Without the Lua script Orthanc itself compares all values as one
            with serving(his, configuration={
                        'LuaScripts': [str(LUA)]}) as orthanc:
                assert wait_until(
                    lambda: ask(orthanc.dicom_port), TIMEOUT)
                yield orthanc.dicom_port
        return
    folder = tmp_path_factory.mktemp('worklists')
    for number, (file, _) in enumerate(
            worklist.split_stations(FILE, 'dump2dcm')):
        (folder / f'{number}.wl').write_bytes(file)
    with Orthanc(plugins=('worklists',), dicom=True, configuration={
                'DicomAlwaysAllowFindWorklist': True,
                'Worklists': {
                    'Enable': True, 'Database': str(folder)}}) as orthanc:
        yield orthanc.dicom_port


def ask(port, **keys):
    try:
        return find_worklist(port, keys)
    except RuntimeError:
        # The plugin has not read the worklist yet
        return []


@pytest.mark.parametrize('keys', [
        dict.fromkeys(SEQUENCES, ''),
        {name: {'ReferencedSOPClassUID': '', 'ReferencedSOPInstanceUID': ''}
            for name in SEQUENCES}])
def test_sequences_of_type_2_are_empty_but_there(port, keys):
    answers = ask(port, **keys)
    assert answers
    for answer in answers:
        for name in SEQUENCES:
            assert len(answer[name].value) == 0


def test_premedication_and_contrast_agent_are_answered(port):
    for answer in ask(
            port, **{STEP: {'PreMedication': '',
                    'RequestedContrastAgent': ''}}):
        item, = answer[STEP].value
        assert item.PreMedication == item.RequestedContrastAgent == 'Sample'


@pytest.mark.parametrize('title', TITLES)
def test_a_step_is_served_to_each_of_its_stations(port, title):
    answer, = ask(port, **{STEP: {'ScheduledStationAETitle': title}})
    assert answer.PatientID == FULL['PatientID']
    assert not ask(port, **{STEP: {'ScheduledStationAETitle': 'AA34'}})
