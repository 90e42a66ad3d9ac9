# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health is told by a real Orthanc with the plugin in it."""
import re
import signal
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from devtools.dicom import send_images
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.samples import Patient, make_bulk, make_study
from devtools.tryton import ROOT
from tests.unit import fake_orthanc as wire

from .fake_plugin_routes import FakePluginRoutes

PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
KEY = 'secret-key'
TIMEOUT = 40
JANE = Patient("Müller^Änne", 'GNU777ORG', '19700102', 'F')
# What neither log nor queue may hold.
PATIENT_DATA = re.compile(f'{KEY}|Müller|Änne|Bulk|GNU777|19700102')


@contextmanager
def notifying(
        his: FakePluginRoutes, **section: object) -> Iterator[Orthanc]:
    """An Orthanc with the plugin, whose log holds no data of patients."""
    with Orthanc(plugins=['python'], dicom=True, configuration={
                'PythonScript': str(PLUGIN),
                'StableAge': 1,
                'HealthOrthanc': {
                    'Url': his.url, 'Database': his.database, 'Key': KEY,
                    'Server': 'main', 'RefreshInterval': 0.5, 'Timeout': 2,
                    **section}}) as orthanc:
        yield orthanc
        for log in orthanc.folder.glob('orthanc.log*'):
            assert not PATIENT_DATA.search(log.read_text(errors='replace'))
        for file in orthanc.storage.glob('health_orthanc-notif*'):
            assert not PATIENT_DATA.search(
                file.read_bytes().decode('utf-8', 'replace'))


@pytest.fixture
def his() -> Iterator[FakePluginRoutes]:
    with FakePluginRoutes(key=KEY) as his:
        yield his


@pytest.fixture
def notify(his) -> Iterator[Callable[..., Orthanc]]:
    """A function that starts one more Orthanc, see `notifying`."""
    with ExitStack() as stack:
        yield lambda **section: stack.enter_context(
            notifying(his, **section))


def new_study(**tags: object) -> list[Dataset]:
    """Return a small study of two series, each of its own step."""
    datasets = make_study(
        'CT', JANE, series=2, instances=2, rows=16, AccessionNumber='A1',
        **tags)
    for dataset in datasets:
        item = Dataset()
        item.RequestedProcedureID = 'R1'
        item.ScheduledProcedureStepID = f'S{dataset.SeriesNumber}'
        item.AccessionNumber = 'A1'
        dataset.RequestAttributesSequence = [item]
        dataset.PerformedStationAETitle = 'CT1'
        dataset.PerformedProcedureStepID = f'P{dataset.SeriesNumber}'
        dataset.PerformedProcedureStepStartDate = '20260302'
        dataset.PerformedProcedureStepStartTime = '093100'
        dataset.IssuerOfPatientID = 'GNU'
    return datasets


def send(orthanc: Orthanc, datasets: list[Dataset]) -> str:
    """Send the images as a modality does and return the id of the study."""
    send_images(orthanc.dicom_port, datasets)
    return next(
        study['ID'] for study in orthanc.get('/studies', expand='')
        if study['MainDicomTags']['StudyInstanceUID']
        == datasets[0].StudyInstanceUID)


def told(his: FakePluginRoutes, study: str, count: int = 1) -> list[dict]:
    """Wait until a study was told of `count` times and return the events."""
    assert wait_until(lambda: len(his.events_of(study)) >= count, TIMEOUT), \
        [told.content for told in his.told]
    return his.events_of(study)


def settled(orthanc: Orthanc) -> None:
    """Wait until nothing is left to be told, also after a while."""
    def empty() -> bool:
        return not pending(orthanc)
    assert wait_until(
        lambda: empty() and not time.sleep(0.3) and empty(), TIMEOUT), \
        pending(orthanc)


def pending(orthanc: Orthanc) -> list[tuple]:
    with closing(sqlite3.connect(
                f'file:{queue_file(orthanc)}?mode=ro', uri=True)
            ) as connection:
        return connection.execute(
            "SELECT study, reason FROM pending").fetchall()


def queued(orthanc: Orthanc, *reasons: str) -> None:
    """Wait until this and nothing else is to be told."""
    def found() -> list[str]:
        return sorted(row[1] for row in pending(orthanc))
    assert wait_until(lambda: found() == sorted(reasons), TIMEOUT), found()


def queue_file(orthanc: Orthanc) -> Path:
    return orthanc.storage / orthanc.configuration['HealthOrthanc'].get(
        'NotificationFile', 'health_orthanc-notifications.db')


def ready(orthanc: Orthanc) -> None:
    """Wait until the plugin follows the changes."""
    says(orthanc, 'GNU Health is notified of studies')


def says(orthanc: Orthanc, words: str) -> None:
    """Wait until the log has a line of ours with these words."""
    assert wait_until(lambda: lines(orthanc, words), TIMEOUT), \
        orthanc.process.log_tail(50)


def lines(orthanc: Orthanc, words: str) -> list[str]:
    return [
        line for line in orthanc.log.read_text().splitlines()
        if 'HealthOrthanc: ' in line and words in line]


# --- What is told -------------------------------------------------------

def test_a_study_is_told_once_after_it_is_stable(his, notify):
    orthanc = notify()
    ready(orthanc)
    datasets = new_study()
    study = send(orthanc, datasets)
    event, = told(his, study)
    settled(orthanc)
    assert his.events == [event]
    request, = his.told
    assert request.content['server'] == 'main'
    assert request.content['plugin'] == 1
    assert request.headers['Content-Type'] == 'text/plain; charset=utf-8'
    assert event['kind'] == 'study'
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', event['at'])
    facts = event['facts']
    series = {one['Modality'] + one['SeriesDescription'][-1]: one
        for one in facts.pop('Series')}
    assert set(series) == {'CT1', 'CT2'}
    texts = facts.pop('Texts')
    assert 'A1' in texts and 'GNU777ORG' in texts and len(texts) < 300
    assert facts.pop('LastUpdate')
    assert facts == {
        'StudyInstanceUID': datasets[0].StudyInstanceUID,
        'PatientID': 'GNU777ORG', 'IssuerOfPatientID': 'GNU',
        'PatientName': "Müller^Änne", 'PatientBirthDate': '19700102',
        'PatientSex': 'F', 'AccessionNumber': 'A1', 'StudyID': '03020930',
        'StudyDate': '20260302', 'StudyTime': '093000',
        'StudyDescription': "CT Head",
        'InstitutionName': "Synthetic Hospital", 'IsStable': True}
    assert series['CT2'].pop('ID') in orthanc.get('/series')
    assert series['CT2'] == {
        'SeriesInstanceUID': datasets[2].SeriesInstanceUID,
        'Modality': 'CT', 'SeriesDescription': "Head 2",
        'StationName': 'CT1', 'PerformedStationAETitle': 'CT1',
        'PerformedProcedureStepID': 'P2',
        'PerformedProcedureStepStartDate': '20260302',
        'PerformedProcedureStepStartTime': '093100', 'Instances': 2,
        'RequestAttributes': [{
                'RequestedProcedureID': 'R1', 'AccessionNumber': 'A1',
                'ScheduledProcedureStepID': 'S2'}]}
    assert stat.S_IMODE(queue_file(orthanc).stat().st_mode) == 0o600
    for file in orthanc.storage.glob('health_orthanc-notif*'):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_late_series_is_told_again(his, notify):
    orthanc = notify()
    ready(orthanc)
    datasets = new_study()
    study = send(orthanc, datasets[:2])
    first, = told(his, study)
    assert len(first['facts']['Series']) == 1
    send(orthanc, datasets[2:])
    _, second = told(his, study, 2)
    assert len(second['facts']['Series']) == 2
    assert second['event'] != first['event']
    settled(orthanc)
    assert len(his.events) == 2


def test_what_was_there_before_is_not_told(his, notify):
    """GNU Health synchronizes the past by itself."""
    orthanc = notify(Notify=False)
    study = send(orthanc, new_study())
    # When it would be told
    assert wait_until(
        lambda: orthanc.get(f'/studies/{study}')['IsStable'], TIMEOUT)
    assert not queue_file(orthanc).exists()
    orthanc.kill()
    orthanc.configuration['HealthOrthanc']['Notify'] = True
    orthanc.start()
    ready(orthanc)
    study = send(orthanc, new_study())
    told(his, study)
    settled(orthanc)
    assert len(his.events) == 1


def test_without_a_server_nothing_is_told(his, notify):
    orthanc = notify(Server='')
    assert lines(orthanc, '"Server" is missing')
    assert not lines(orthanc, 'notified of studies')


def test_a_deleted_study_is_told(his, notify):
    orthanc = notify()
    ready(orthanc)
    study = send(orthanc, new_study())
    told(his, study)
    orthanc.delete('studies', study)
    _, gone = told(his, study, 2)
    assert gone['kind'] == 'deleted' and 'facts' not in gone
    # The whole patient, and back again
    datasets = new_study()
    study = send(orthanc, datasets)
    told(his, study)
    orthanc.clear()
    assert told(his, study, 2)[1]['kind'] == 'deleted'
    send(orthanc, datasets)
    assert told(his, study, 3)[2]['kind'] == 'study'


def test_fifty_studies_at_once(his, notify):
    orthanc = notify()
    ready(orthanc)
    # Collected while GNU Health does not take any
    his.notify_trouble = wire.status(503)
    orthanc.upload_bulk(make_bulk(50, 2, 1))
    queued(orthanc, *['stable'] * 50)
    his.notify_trouble = None
    settled(orthanc)
    assert Counter(event['study'] for event in his.events) == Counter(
        orthanc.get('/studies'))
    assert all(len(request.events) <= 20 for request in his.told)
    assert all(request.size < 1_000_000 for request in his.told)


# --- GNU Health in trouble ----------------------------------------------

def test_gnu_health_is_down_while_images_arrive(his, notify):
    orthanc = notify()
    ready(orthanc)
    before = send(orthanc, new_study())
    told(his, before)
    his.stop()
    study = send(orthanc, new_study())
    says(orthanc, 'GNU Health cannot be notified of studies: '
        'Connection refused; 1 pending')
    orthanc.delete('studies', before)
    queued(orthanc, 'deleted', 'stable')
    his.start()
    assert told(his, study)[0]['kind'] == 'study'
    assert told(his, before, 2)[1]['kind'] == 'deleted'
    settled(orthanc)
    assert len(his.events) == 3
    assert len(lines(orthanc, 'is notified of studies;')) == 2


@pytest.fixture(scope='module')
def shared() -> Iterator[tuple[FakePluginRoutes, Orthanc]]:
    """A GNU Health and its Orthanc, for tests that leave no traces."""
    with FakePluginRoutes(key=KEY) as his, notifying(his) as orthanc:
        ready(orthanc)
        orthanc.upload_bulk(make_bulk(10, 1, 1))
        assert wait_until(lambda: len(his.events) == 10, TIMEOUT)
        yield his, orthanc


def delete_one(orthanc: Orthanc) -> str:
    """Let there be something to be told at once; return of which study."""
    study = orthanc.get('/studies')[0]
    orthanc.delete('studies', study)
    return study


@pytest.mark.parametrize(('trouble', 'words'), [
        (wire.status(401), 'GNU Health rejects the key (status 401)'),
        (wire.status(404), 'has no such database or route'),
        (wire.status(500), '(status 500)'),
        (wire.reply(b'{"received": "all"}'), 'has no "received"'),
        (lambda handler: handler.peer.stopping.wait(5),
            'does not answer in time'),
        ])
def test_trouble_is_waited_for(shared, trouble, words):
    his, orthanc = shared
    his.notify_trouble = trouble
    study = delete_one(orthanc)
    says(orthanc, words)
    assert len(pending(orthanc)) == 1
    his.notify_trouble = None
    told(his, study, 2)
    settled(orthanc)
    line, = lines(orthanc, words)
    assert '; 1 pending, the oldest since ' in line
    assert len(his.events_of(study)) == 2


def test_what_is_not_named_is_told_again(shared):
    his, orthanc = shared
    left = 2

    def ignore(event: dict) -> bool:
        nonlocal left
        left -= 1
        return left >= 0
    his.ignores = ignore
    study = delete_one(orthanc)
    told(his, study, 2)
    settled(orthanc)
    same = [event['event'] for request in his.told
        for event in request.events
        if event['study'] == study and event['kind'] == 'deleted']
    assert len(same) == 3 and len(set(same)) == 1


def test_an_answer_that_is_lost(shared):
    """The event comes twice, and is called the same."""
    his, orthanc = shared
    before = len(his.events)
    his.losing = 1
    study = delete_one(orthanc)
    assert wait_until(lambda: len(his.events) == before + 2, TIMEOUT)
    settled(orthanc)
    assert len(his.events_of(study)) == 2


def test_an_event_that_is_refused_does_not_hold_up_others(shared):
    his, orthanc = shared
    his.notify_trouble = wire.status(503)
    bad, good = delete_one(orthanc), delete_one(orthanc)
    queued(orthanc, 'deleted', 'deleted')
    his.refuses = lambda event: event['study'] == bad
    his.notify_trouble = None
    told(his, good, 2)
    says(orthanc, f'of study {bad} is refused: GNU Health rejects the request')
    assert wait_until(
        lambda: [row[0] for row in pending(orthanc)] == [bad], TIMEOUT)
    told(his, delete_one(orthanc), 2)
    assert len(his.events_of(bad)) == 1
    # It is tried again after a restart.
    his.refuses = lambda event: False
    orthanc.kill()
    orthanc.start()
    told(his, bad, 2)
    settled(orthanc)


# --- Orthanc is killed --------------------------------------------------

@pytest.mark.parametrize('stable, first', [
        (False, 'orthanc'), (True, 'gnuhealth'),
        pytest.param(False, 'gnuhealth', marks=pytest.mark.release),
        pytest.param(True, 'orthanc', marks=pytest.mark.release)])
def test_orthanc_is_killed_while_gnu_health_is_down(
        his, notify, stable, first):
    orthanc = notify()
    ready(orthanc)
    his.stop()
    study = send(orthanc, new_study())
    if stable:
        queued(orthanc, 'stable')
    else:
        assert not orthanc.get(f'/studies/{study}')['IsStable']
    orthanc.kill()
    if first == 'orthanc':
        orthanc.start()
        says(orthanc, 'Connection refused')
        his.start()
    else:
        his.start()
        orthanc.start()
    event, = told(his, study)
    assert [one['Instances'] for one in event['facts']['Series']] == [2, 2]
    settled(orthanc)
    assert len(his.events) == 1


@pytest.mark.release
def test_orthanc_is_killed_after_it_has_told(his, notify):
    orthanc = notify()
    ready(orthanc)
    told(his, send(orthanc, new_study()))
    settled(orthanc)
    orthanc.kill()
    orthanc.start()
    ready(orthanc)
    told(his, send(orthanc, new_study()))
    settled(orthanc)
    assert len(his.events) == 2


def test_orthanc_is_killed_before_it_hears_the_answer(
        his, notify):
    orthanc = notify(Timeout=20)
    ready(orthanc)
    receive = his.receive

    def slow(*args):
        answer = receive(*args)
        his.stopping.wait(15)
        return answer
    his.receive = slow
    study = send(orthanc, new_study())
    told(his, study)
    orthanc.kill()
    his.receive = receive
    orthanc.start()
    assert wait_until(lambda: len(his.events) == 2, TIMEOUT)
    settled(orthanc)
    assert len(his.events_of(study)) == 1


def known_falls(orthanc: Orthanc) -> set[int]:
    """Return how a version may end by a fault of its Python plugin.

    See doc/orthanc_plugin.md.  Nothing is lost by it.
    """
    if orthanc.release.version().startswith('1.13.'):
        return {-signal.SIGABRT, -signal.SIGSEGV}
    return set()


def test_orthanc_is_stopped_before_a_study_is_stable(his, notify):
    orthanc = notify()
    ready(orthanc)
    study = send(orthanc, new_study())
    orthanc.stop()
    # It may become stable while Orthanc stops
    assert orthanc.process.returncode in {0, *known_falls(orthanc)}
    orthanc.start()
    told(his, study)
    settled(orthanc)
    assert len(his.events) == 1


def test_the_end_does_not_wait_for_gnu_health(his, notify):
    orthanc = notify(Timeout=3600)
    ready(orthanc)
    his.notify_trouble = lambda handler: handler.peer.stopping.wait(60)
    study = send(orthanc, new_study())
    queued(orthanc, 'stable')
    orthanc.stop()
    assert orthanc.process.returncode == 0
    his.notify_trouble = None
    orthanc.start()
    told(his, study)


# --- Orthanc's log of changes -------------------------------------------

def test_a_study_is_deleted_while_both_are_down(his, notify):
    orthanc = notify()
    ready(orthanc)
    study = send(orthanc, new_study())
    told(his, study)
    his.stop()
    orthanc.delete('studies', study)
    queued(orthanc, 'deleted')
    orthanc.kill()
    orthanc.start()
    his.start()
    assert told(his, study, 2)[1]['kind'] == 'deleted'
    settled(orthanc)


@pytest.mark.release
def test_orthanc_gets_another_database(his, notify, tmp_path):
    """Its numbers begin anew, below where we were."""
    orthanc = notify(NotificationFile=str(tmp_path / 'queue.db'))
    ready(orthanc)
    told(his, send(orthanc, new_study()))
    settled(orthanc)
    orthanc.kill()
    orthanc.reset()
    orthanc.configuration['HealthOrthanc']['Notify'] = False
    orthanc.start()
    # While the plugin does not look
    there = send(orthanc, new_study()[:1])
    orthanc.kill()
    orthanc.configuration['HealthOrthanc']['Notify'] = True
    orthanc.start()
    told(his, there)
    told(his, send(orthanc, new_study()))
    assert wait_until(lambda: len(his.events) == 3, TIMEOUT)


@pytest.mark.release
def test_the_log_of_changes_is_cleared(his, notify):
    orthanc = notify()
    ready(orthanc)
    before = send(orthanc, new_study())
    told(his, before)
    settled(orthanc)
    orthanc.kill()
    # While the plugin does not look
    orthanc.configuration['HealthOrthanc']['Notify'] = False
    orthanc.start()
    unseen = send(orthanc, new_study())
    orthanc.session.delete(orthanc.url + '/changes').raise_for_status()
    orthanc.kill()
    orthanc.configuration['HealthOrthanc']['Notify'] = True
    orthanc.start()
    told(his, unseen)
    assert len(his.events_of(before)) == 1
    assert len(his.events_of(unseen)) == 1


def test_a_damaged_queue(his, notify):
    orthanc = notify()
    ready(orthanc)
    study = send(orthanc, new_study())
    told(his, study)
    orthanc.kill()
    queue_file(orthanc).with_name(
        queue_file(orthanc).name + '-wal').unlink(missing_ok=True)
    queue_file(orthanc).write_bytes(b'garbage' * 1000)
    orthanc.start()
    says(orthanc, 'the notification file is damaged')
    told(his, study, 2)
    told(his, send(orthanc, new_study()))
