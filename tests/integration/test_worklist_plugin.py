# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a modality gets from a real Orthanc with the plugin in it."""
import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pydicom
import pytest

from devtools.dicom import STEP, FindFailed, find_worklist, run_findscu
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.tryton import ROOT
from tests.unit import fake_orthanc as wire

from .fake_plugin_routes import FakePluginRoutes, entry_file

PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
LUA = ROOT / 'orthanc_plugin' / 'health_orthanc.lua'
KEY = 'secret-key'
TIMEOUT = 30
# What no log may hold.
PATIENT_DATA = re.compile(f'{KEY}|Doe|Jane|GNU777|Müller|Иванов|19700102')


@contextmanager
def serving(
        his: FakePluginRoutes, folder: Path | None = None, *,
        section: dict[str, object] | None = None,
        configuration: dict[str, object] | None = None,
        plugins: tuple[str, ...] = ('python',)) -> Iterator[Orthanc]:
    """An Orthanc with the plugin, whose log holds no data of patients.

    Parameters
    ----------
    section
        Changes of the plugin's section; None removes a key.
    configuration
        Further options of Orthanc.
    """
    values = {
        'Url': his.url, 'Database': his.database, 'Key': KEY,
        'RefreshInterval': 0.1, 'Timeout': 2, **(section or {})}
    with Orthanc(folder, plugins=plugins, dicom=True, configuration={
                'PythonScript': str(PLUGIN),
                'DicomAlwaysAllowFindWorklist': True,
                'HealthOrthanc': {
                    key: value for key, value in values.items()
                    if value is not None},
                **(configuration or {})}) as orthanc:
        yield orthanc
        for log in orthanc.folder.glob('orthanc.log*'):
            assert not PATIENT_DATA.search(log.read_text(errors='replace'))


@pytest.fixture
def his() -> Iterator[FakePluginRoutes]:
    with FakePluginRoutes(key=KEY) as his:
        yield his


@pytest.fixture
def serve(his) -> Iterator[Callable[..., Orthanc]]:
    """A function that starts one more Orthanc, see `serving`."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(
            serving(his, *args, **kwargs))


def ids(orthanc: Orthanc, *args: object, **kwargs: object) -> list[str]:
    """Return the step IDs of the answers; each holds one whole step."""
    found = []
    for answer in find_worklist(orthanc.dicom_port, *args, **kwargs):
        item, = answer.ScheduledProcedureStepSequence
        assert item.ScheduledProcedureStepStartDate
        found.append(item.ScheduledProcedureStepID)
    return found


def numbered(number: int, **step: object) -> bytes:
    return entry_file({'ScheduledProcedureStepID': f'S{number}', **step})


def fails(orthanc: Orthanc) -> bool:
    try:
        ids(orthanc)
    except FindFailed as error:
        assert 'UnableToProcess' in str(error)
        return True
    return False


def becomes(orthanc: Orthanc, *expected: str) -> None:
    """Wait until a modality sees exactly these."""
    def seen() -> bool:
        try:
            return ids(orthanc) == list(expected)
        except FindFailed:
            return False
    assert wait_until(seen, TIMEOUT), orthanc.process.log_tail(50)


def says(orthanc: Orthanc, words: str) -> None:
    """Wait until the log has a line of ours with these words."""
    assert wait_until(lambda: lines(orthanc, words), TIMEOUT), \
        orthanc.process.log_tail(50)


def lines(orthanc: Orthanc, words: str) -> list[str]:
    return [
        line for line in orthanc.log.read_text().splitlines()
        if 'HealthOrthanc: ' in line and words in line]


# --- Matching -----------------------------------------------------------

ENTRIES = {
    1: entry_file(
        {'ScheduledProcedureStepID': 'S1'},
        PatientName='Müller^Änne', PatientID='P1', AccessionNumber='A1',
        StudyInstanceUID='1.2.1'),
    2: entry_file({
            'ScheduledProcedureStepID': 'S2', 'Modality': 'MR',
            'ScheduledStationAETitle': 'MR1',
            'ScheduledProcedureStepStartDate': '20261123',
            'ScheduledProcedureStepStartTime': '030000',
            'ScheduledPerformingPhysicianName': "Curie^Marie",
            },
        PatientName='Doe^Jane', PatientID='P2', AccessionNumber='A2',
        RequestedProcedureDescription="MR knee", StudyInstanceUID='1.2.2'),
    3: entry_file({
            'ScheduledProcedureStepID': 'S3',
            'ScheduledStationAETitle': ['CT1', 'CT2'],
            'ScheduledProcedureStepStartDate': '20261124',
            'ScheduledProcedureStepStartTime': '170000',
            },
        PatientName='Doe^John', PatientID='P3', AccessionNumber='A3',
        RequestedProcedureDescription="CT abdomen",
        StudyInstanceUID='1.2.3'),
    }


@pytest.fixture(scope='module', params=[False, True], ids=['plain', 'lua'])
def hospital(request) -> Iterator[Orthanc]:
    """Serves `ENTRIES`, without and with the Lua file."""
    configuration = {'LuaScripts': [str(LUA)]} if request.param else {}
    with FakePluginRoutes(key=KEY) as his:
        for number, file in ENTRIES.items():
            his.put(number, file)
        with serving(his, configuration=configuration) as orthanc:
            becomes(orthanc, 'S1', 'S2', 'S3')
            yield orthanc


with_lua = pytest.mark.parametrize(
    'hospital', [True], ids=['lua'], indirect=True)

DATE = 'ScheduledProcedureStepStartDate'
TIME = 'ScheduledProcedureStepStartTime'
STATION = 'ScheduledStationAETitle'
DESCRIPTION = 'RequestedProcedureDescription'
# One of each kind; tests/unit/test_plugin_matching.py has the others
QUERIES = [
    ({}, '123'),
    ({STEP: {'Modality': 'CT'}}, '13'),
    ({STEP: {'Modality': 'MR\\CT'}}, '123'),
    ({STEP: {STATION: 'M*'}}, '2'),
    ({STEP: {DATE: '20261122'}}, '1'),
    ({STEP: {DATE: '20261122-20261123'}}, '12'),
    ({STEP: {TIME: '080000-180000'}}, '13'),
    ({STEP: {DATE: '20261122', TIME: '080000-120000'}}, '1'),
    ({STEP: {DESCRIPTION: 'CT*'}}, '13'),
    ({'PatientName': 'doe*', STEP: {'Modality': 'CT'}}, '3'),
    ({'PatientName': 'doe*'}, '23'),
    ({'PatientName': 'DOE^J?NE'}, '2'),
    ({'PatientName': 'MÜLLER^*', 'SpecificCharacterSet': 'ISO_IR 192'}, '1'),
    ({'StudyInstanceUID': '1.2.1\\1.2.2\\1.2.9'}, '12'),
    ({'PatientBirthDate': '19700101-19700131'}, '123'),
    ({'PatientSex': 'M'}, ''),
    # Not a key of worklists
    ({'StudyDescription': 'x'}, '123'),
    ]
# Orthanc, too, compares what they ask of the step
STEP_QUERIES = [(query, found) for query, found in QUERIES if STEP in query]


@with_lua
@pytest.mark.parametrize(('query', 'expected'), QUERIES, ids=repr)
def test_queries(hospital, query, expected):
    assert ids(hospital, query) == [f'S{number}' for number in expected]


CONSOLE_QUERY = """\
(0008,0005) CS [ISO_IR 100]
(0010,0010) PN [{name}]
(0010,0020) LO []
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [{modality}]
(0009,0010) LO [VENDOR]
(0009,1001) LO [private]
(0040,0001) AE []
(0040,0002) DA []
(0040,0009) SH []
(fffe,e00d) na
(fffe,e0dd) na
"""


# Without the Lua file Orthanc compares these keys, and cuts the item
@with_lua
@pytest.mark.parametrize(('name', 'modality', 'expected'), [
        ('', '', '123'), ('', 'CT', '13'), ('doe*', 'MR', '2'),
        ('doe*', 'US', '')])
def test_queries_of_consoles_that_send_group_lengths(
        hospital, tmp_path, name, modality, expected):
    """As raw bytes: libraries leave out what these consoles send."""
    text, query, answers = (
        tmp_path / name for name in ['query.txt', 'query.dcm', 'answers'])
    text.write_text(CONSOLE_QUERY.format(name=name, modality=modality))
    subprocess.run(
        ['dump2dcm', '+te', '+g', '+l', '65536', text, query], check=True,
        stdin=subprocess.DEVNULL, timeout=60)
    assert b'\x08\0\0\0UL\x04\0' in query.read_bytes()
    answers.mkdir()
    run_findscu(
        hospital.dicom_port, [], '-X', '-od', str(answers), files=[query])
    found = {
        pydicom.dcmread(path, force=True).ScheduledProcedureStepSequence[0]
        .ScheduledProcedureStepID for path in answers.iterdir()}
    assert found == {f'S{number}' for number in expected}


@pytest.mark.parametrize('hospital', [False], ids=['plain'], indirect=True)
@pytest.mark.parametrize(('query', 'expected'), STEP_QUERIES, ids=repr)
def test_queries_without_the_lua_file(hospital, query, expected):
    assert ids(hospital, query) == [f'S{number}' for number in expected]


# Orthanc cuts or refuses these by itself.
HARD_QUERIES = [
    ({STEP: {DATE: '20261122-20261124', TIME: '100000-170000'}}, '123',
        '13'),
    ({STEP: {TIME: '1000-1700'}}, '13', '1'),
    ({STEP: {DATE: '20261123 - 20261124'}}, '23', ''),
    ({STEP: {STATION: 'CT1'}}, '13', '1'),
    ({STEP: {DATE: '*'}}, '123', None),
    ({'PatientBirthDate': '*'}, '123', None),
    ]


@pytest.mark.parametrize(
    ('query', 'expected', 'plain'), HARD_QUERIES, ids=repr)
def test_queries_that_orthanc_cannot_compare(
        hospital, query, expected, plain):
    """The Lua file answers them; without it the modality is told."""
    expected = [f'S{number}' for number in expected]
    if 'LuaScripts' in hospital.configuration or plain == ''.join(
            number[1] for number in expected):
        assert ids(hospital, query) == expected
        return
    with pytest.raises(FindFailed) as error:
        ids(hospital, query)
    output = str(error.value)
    if plain is None:
        assert 'UnableToProcess' in output
        return
    assert 'MatchingTerminatedDueToCancelRequest' in output
    assert output.count('(Pending)') == len(plain)
    assert lines(hospital, 'load health_orthanc.lua as well')


@with_lua
@pytest.mark.parametrize('keys', [
        ['ReferencedStudySequence=', f'{STEP}=', 'PatientID=P1'],
        [f'{STEP}[0].ScheduledProtocolCodeSequence=',
            f'{STEP}[0].Modality=CT', 'AccessionNumber=A1'],
        [f'{STEP}[0].ScheduledProtocolCodeSequence[0].CodeValue=',
            'PatientID=P1'],
        ['SpecificCharacterSet=\\ISO 2022 IR 87', 'PatientID=P1',
            'RequestedProcedureCodeSequence[0].CodeMeaning='],
        ['0009,0010=PRIVATE', 'PatientID=P1'],
        ], ids=repr)
def test_queries_of_real_consoles(hospital, keys):
    """Empty sequences, sets that switch, private keys."""
    answer, = find_worklist(
        hospital.dicom_port, keys, returned=['PatientName'])
    assert answer.PatientName == 'Müller^Änne'


@with_lua
@pytest.mark.parametrize('charset, encoding', [
        ('ISO_IR 100', 'latin-1'), ('ISO_IR 192', 'utf-8')])
def test_queries_in_another_character_set(hospital, charset, encoding):
    answer, = find_worklist(
        hospital.dicom_port,
        {'SpecificCharacterSet': charset, 'PatientName': 'mül*'},
        encoding=encoding)
    assert answer.PatientName == 'Müller^Änne'
    assert answer.SpecificCharacterSet == 'ISO_IR 192'


@with_lua
def test_a_query_that_is_not_valid_fails(hospital):
    with pytest.raises(FindFailed, match='UnableToProcess'):
        find_worklist(hospital.dicom_port, [f'{STEP}[0].{DATE}=today'])


@with_lua
def test_answers_hold_what_is_asked_for(hospital):
    answer, = find_worklist(
        hospital.dicom_port, ['PatientID=P1', 'Allergies='], returned=[])
    assert {element.keyword for element in answer} == {
        'SpecificCharacterSet', 'PatientID', 'Allergies'}


NAMES = [
    ("Łukasiewicz^Żaneta", None), ("Müller^Änne", 'ISO_IR 100'),
    ("Иванов^Пётр", None), ("Иванов^Пётр", 'ISO_IR 144'),
    ("Παπαδόπουλος^Νίκος", None), ("Παπαδόπουλος^Νίκος", 'ISO_IR 126'),
    ("العلي^أحمد", None), ("قباني^لنزار", 'ISO_IR 127'),
    ("Wang^XiaoDong=王^小東", None), ("王^小东", 'GB18030'),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", None),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", ['', 'ISO 2022 IR 87']),
    ("Hong^Gildong=洪^吉洞=홍^길동", None),
    ]


def test_names_arrive_whole(his, serve):
    for number, (name, charset) in enumerate(NAMES):
        his.put(number, entry_file(
                PatientName=name, PatientID=f'P{number}',
                charset=charset or 'ISO_IR 192'))
    orthanc = serve()
    says(orthanc, f'{len(NAMES)} worklist items are served')
    for number, (name, _) in enumerate(NAMES):
        patterns = [name, name[:2] + '*', name.split('=')[-1]]
        for pattern in patterns if '=' in name else patterns[:1]:
            answers = {
                answer.PatientID: str(answer.PatientName)
                for answer in find_worklist(orthanc.dicom_port, {
                        'SpecificCharacterSet': 'ISO_IR 192',
                        'PatientName': pattern})}
            assert answers[f'P{number}'] == name


def test_modalities_get_their_own_steps(his, serve):
    his.put(1, numbered(1, ScheduledStationAETitle='CT1'))
    his.put(2, numbered(2, ScheduledStationAETitle='CT2'))
    orthanc = serve(section={'FilterCallingAet': True})
    says(orthanc, '2 worklist items are served')
    assert ids(orthanc, calling='CT1') == ['S1']
    assert ids(orthanc, calling='CT2') == ['S2']
    assert ids(orthanc, calling='MR1') == []
    says(orthanc, 'no step is for MR1')
    # From Orthanc 1.12.10 on, and where it has queried from
    version = orthanc.get('/system')['Version']
    knows = tuple(map(int, version.split('.'))) >= (1, 12, 10)
    assert bool(lines(orthanc, 'MR1 (127.0.0.1)')) == knows


def test_modalities_that_orthanc_does_not_know_are_refused(his, serve):
    his.put(1, numbered(1))
    orthanc = serve(configuration={
            'DicomAlwaysAllowFindWorklist': False,
            'DicomModalities': {'ct': ['CT1', '127.0.0.1', 104]}})
    says(orthanc, '1 worklist item is served')
    assert ids(orthanc, calling='CT1') == ['S1']
    with pytest.raises(FindFailed):
        ids(orthanc, calling='STRANGER')


def test_changes_are_followed(his, serve):
    orthanc = serve()
    says(orthanc, '0 worklist items are served')
    assert ids(orthanc) == []
    his.put(1, numbered(1))
    his.put(2, numbered(2))
    becomes(orthanc, 'S1', 'S2')
    his.close(1)
    becomes(orthanc, 'S2')
    his.put(2, numbered(3))
    becomes(orthanc, 'S3')


def test_entries_in_many_pages(his, serve):
    his.page_size = 30
    for number in range(100):
        his.put(number, numbered(number))
    orthanc = serve()
    says(orthanc, '100 worklist items are served')
    assert ids(orthanc) == [f'S{number}' for number in range(100)]


# --- Trouble ------------------------------------------------------------

# tests/unit/test_worklist_plugin.py has the other kinds
TROUBLES = {
    'GNU Health rejects the key (status 401)': wire.status(401),
    'the answer is incomplete': wire.cut,
    'does not answer in time': lambda handler: handler.peer.stopping.wait(10),
    }


@pytest.mark.parametrize('words', TROUBLES)
def test_trouble_leaves_the_list(his, serve, words):
    his.put(1, numbered(1))
    orthanc = serve()
    becomes(orthanc, 'S1')
    his.trouble = TROUBLES[words]
    says(orthanc, words)
    asked = len(his.asked)
    assert wait_until(lambda: len(his.asked) > asked + 2, TIMEOUT)
    assert ids(orthanc) == ['S1']
    his.put(2, numbered(2))
    his.trouble = None
    becomes(orthanc, 'S1', 'S2')
    # Once when it began, once when it ended.
    line, = lines(orthanc, 'the worklist cannot be updated')
    assert words in line and '1 worklist item is served' in line
    assert len(lines(orthanc, 'connected to GNU Health')) == 2


def test_gnu_health_is_stopped_and_started(his, serve):
    his.put(1, numbered(1))
    orthanc = serve()
    becomes(orthanc, 'S1')
    his.stop()
    says(orthanc, 'Connection refused; 1 worklist item is served')
    assert ids(orthanc) == ['S1']
    his.close(1)
    his.put(2, numbered(2))
    his.start()
    becomes(orthanc, 'S2')


def test_queries_do_not_wait_for_gnu_health(his, serve):
    his.put(1, numbered(1))
    orthanc = serve(section={'Timeout': 3600})
    becomes(orthanc, 'S1')
    his.trouble = wire.silence
    asked = len(his.asked)
    assert wait_until(lambda: len(his.asked) > asked, TIMEOUT)
    assert ids(orthanc) == ['S1']
    # Nor does the end of Orthanc.
    orthanc.stop()
    assert orthanc.process.returncode == 0


def test_no_list_is_a_failure(his, serve):
    his.trouble = wire.status(500)
    orthanc = serve()
    says(orthanc, 'queries fail: there is no worklist')
    assert fails(orthanc)
    his.trouble = None
    becomes(orthanc)


def test_a_list_that_is_too_old_is_a_failure(his, serve):
    his.put(1, numbered(1))
    orthanc = serve(section={'MaximumAge': 3})
    becomes(orthanc, 'S1')
    his.stop()
    says(orthanc, 'queries fail: the worklist is older')
    assert fails(orthanc)
    his.start()
    becomes(orthanc, 'S1')


# --- Restarts of Orthanc ------------------------------------------------

def cache_file(orthanc: Orthanc) -> Path:
    return orthanc.storage / 'health_orthanc-worklist.json'


@pytest.mark.parametrize('end', [Orthanc.stop, Orthanc.kill])
def test_a_restart_without_gnu_health(his, serve, tmp_path, end):
    for number in [1, 2]:
        his.put(number, numbered(number))
    orthanc = serve(tmp_path)
    becomes(orthanc, 'S1', 'S2')
    assert wait_until(cache_file(orthanc).exists, TIMEOUT)
    assert stat.S_IMODE(cache_file(orthanc).stat().st_mode) == 0o600
    his.stop()
    end(orthanc)
    orthanc.start()
    assert ids(orthanc) == ['S1', 'S2']
    assert lines(orthanc, '2 worklist items loaded from the cache file')
    his.close(1)
    his.start()
    becomes(orthanc, 'S2')


def test_a_stop_keeps_the_last_changes(his, serve, tmp_path):
    """The file is written at most every few seconds, and at the end."""
    orthanc = serve(tmp_path)
    says(orthanc, '0 worklist items are served')
    his.put(1, numbered(1))
    becomes(orthanc, 'S1')
    his.stop()
    orthanc.stop()
    orthanc.start()
    assert ids(orthanc) == ['S1']


def test_a_restart_with_a_list_that_is_too_old(his, serve, tmp_path):
    his.put(1, numbered(1))
    orthanc = serve(tmp_path)
    becomes(orthanc, 'S1')
    his.stop()
    orthanc.stop()
    file = cache_file(orthanc)
    data = json.loads(file.read_text())
    data['confirmed'] -= 86400
    file.write_text(json.dumps(data))
    orthanc.start()
    assert fails(orthanc)
    his.start()
    becomes(orthanc, 'S1')


def test_another_database_is_not_served_the_old_list(his, serve, tmp_path):
    his.put(1, numbered(1))
    orthanc = serve(tmp_path)
    becomes(orthanc, 'S1')
    orthanc.stop()
    orthanc.configuration['HealthOrthanc']['Database'] = 'other'
    orthanc.start()
    says(orthanc, 'GNU Health has no such database')
    assert fails(orthanc)


# --- Configuration ------------------------------------------------------

@pytest.mark.parametrize(('section', 'words'), [
        ({'Url': None}, '"Url" is missing'),
        ({'Key': None, 'KeyFile': '/nowhere/key'},
            '"KeyFile" cannot be used: No such file'),
        ({'Timeout': '10'}, '"Timeout" must be a number'),
        ])
def test_errors_of_the_configuration_are_named(serve, section, words):
    orthanc = serve(section=section)
    assert lines(orthanc, words)
    assert lines(orthanc, 'no worklist is served')
    assert fails(orthanc)


def test_a_missing_section_is_named(his):
    with Orthanc(plugins=['python'], dicom=True, configuration={
                'PythonScript': str(PLUGIN),
                'DicomAlwaysAllowFindWorklist': True}) as orthanc:
        assert lines(orthanc, 'the section "HealthOrthanc" is missing')
        assert fails(orthanc)


def test_keys_that_are_not_known_are_named(his, serve):
    his.put(1, numbered(1))
    orthanc = serve(section={'Databse': 'x', 'Foo': 1})
    assert lines(orthanc, '"Databse" is unknown; did you mean "Database"?')
    assert lines(orthanc, '"Foo" is unknown')
    becomes(orthanc, 'S1')


@pytest.mark.parametrize(('plugins', 'expected'), [
        (('python', 'worklists'), ['S1']), (('worklists', 'python'), [])])
def test_the_first_plugin_answers(his, serve, tmp_path, plugins, expected):
    """Orthanc's own serves its folder, and tells nobody of ours."""
    his.put(1, numbered(1))
    orthanc = serve(plugins=plugins, configuration={
            'Worklists': {'Enable': True, 'Database': str(tmp_path)}})
    assert lines(orthanc, "Orthanc's own worklists plugin is enabled")
    says(orthanc, '1 worklist item is served')
    assert ids(orthanc) == expected
