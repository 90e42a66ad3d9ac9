# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an order in GNU Health to what the modality finds, all parts real."""
import datetime as dt
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proteus import Model, Wizard
from trytond.modules.health_orthanc.core.worklist.dump import parse_dump

from devtools import hospital
from devtools.dicom import STEP, find_worklist
from devtools.orthanc import Orthanc
from devtools.tryton import MODULE, Server

from .radiology import (
    Client, answer_values, becomes, connect_plugin, live_orthanc,
    open_hospital, read_files, script, step_ids, steps_of)

MUSTER, EJEMPLO, _, GREEK, RUSSIAN, JAPANESE, *_ = hospital.PATIENTS
# As `hospital.fill` makes the institution
ZONE = ZoneInfo('Europe/Madrid')
DAY = dt.timedelta(days=1)
# In UTC, as GNU Health keeps them; tomorrow, whatever the time is now
MORNING = dt.datetime.combine(
    dt.datetime.now(dt.timezone.utc).date() + DAY, dt.time(9, 30))
REQUEST = 'gnuhealth.imaging.test.request'
STEPS = 'gnuhealth.imaging.procedure.step'


@dataclass
class Clinic:
    """GNU Health, the Orthanc that asks it, and the folder of the files.

    Attributes
    ----------
    physician
        A thread where proteus works as one.
    """
    server: Server
    live: Orthanc
    folder: Path
    physician: Executor

    def find(self, keys: object = (), **options: object) -> list:
        return find_worklist(self.live.dicom_port, keys, **options)

    def update(self, *arguments: str, **options: object):
        return script(self.server, self.folder)(*arguments, **options)

    def order(
            self, person: hospital.Person, code: str, date: dt.datetime,
            requested: bool = True):
        """Return a new order that a physician has made."""
        def place() -> int:
            order, = hospital.place_order(person, [code], date)
            if requested:
                order.click('requested')
            return order.id
        return Model.get(REQUEST)(self.physician.submit(place).result())


@pytest.fixture(scope='module')
def clinic(prepared_tryton, tmp_path_factory) -> Iterator[Clinic]:
    tryton = prepared_tryton('postgresql', MODULE).copy('clinic')
    folder = tmp_path_factory.mktemp('worklists')
    with ExitStack() as stack:
        stack.callback(tryton.drop)
        server = stack.enter_context(tryton.server())
        open_hospital(server)
        live = stack.enter_context(live_orthanc(connect_plugin(server)))
        physician = stack.enter_context(ThreadPoolExecutor(
                1, initializer=server.connect, initargs=('physician',)))
        yield Clinic(server, live, folder, physician)


@pytest.fixture(scope='module')
def orders(clinic) -> dict:
    """Orders by a letter; D is a draft."""
    performer, = Model.get('gnuhealth.healthprofessional').find([])
    made = {
        'A': clinic.order(MUSTER, 'CT-HEAD', MORNING),
        'B': clinic.order(EJEMPLO, 'MR-KNEE', MORNING + DAY),
        'C': clinic.order(GREEK, 'US-ABDOMEN', MORNING + DAY / 4),
        'D': clinic.order(RUSSIAN, 'CT-HEAD', MORNING, requested=False),
        }
    step, = made['A'].steps
    step.performing_physician = performer
    step.save()
    becomes(clinic.live, steps_of([made[letter] for letter in 'ABC']))
    return made

# Finding


DATE = 'ScheduledProcedureStepStartDate'
TIME = 'ScheduledProcedureStepStartTime'
STATION = 'ScheduledStationAETitle'
PERFORMING = 'ScheduledPerformingPhysicianName'
DESCRIPTION = 'RequestedProcedureDescription'
UNICODE = {'SpecificCharacterSet': 'ISO_IR 192'}
FIRST, SECOND = (
    f'{(MORNING + n * DAY).astimezone(ZONE):%Y%m%d}' for n in range(2))


def local(moment: dt.datetime) -> str:
    moment = moment.replace(tzinfo=dt.timezone.utc).astimezone(ZONE)
    return f'{moment:%H%M%S}'


EARLY, LATE = local(MORNING), local(MORNING + DAY / 4)
QUERIES = [
    ({}, 'ABC'),
    ({STEP: {'Modality': 'CT'}}, 'A'),
    ({STEP: {STATION: 'DEMO-MR'}}, 'B'),
    ({STEP: {DATE: FIRST}}, 'AC'),
    ({STEP: {DATE: f'{FIRST}-{SECOND}'}}, 'ABC'),
    ({STEP: {TIME: EARLY}}, 'AB'),
    ({STEP: {TIME: f'{EARLY}-{LATE}'}}, 'ABC'),
    ({STEP: {DATE: f'{FIRST}-{SECOND}', TIME: f'{LATE}-{EARLY}'}}, 'BC'),
    ({'PatientName': 'MUSTER^E?IKA'}, 'A'),
    ({**UNICODE, 'PatientName': 'ejemplo núÑez*'}, 'B'),
    ({**UNICODE, 'PatientName': 'παρά*'}, 'C'),
    ({'PatientID': MUSTER.puid}, 'A'),
    ({STEP: {PERFORMING: 'musterfrau*'}}, 'A'),
    ({DESCRIPTION: 'MRI of the Knee'}, 'B'),
    ({STEP: {DESCRIPTION: 'MRI of the Knee'}}, 'B'),
    ]


@pytest.mark.parametrize(('query', 'expected'), QUERIES, ids=repr)
def test_an_order_is_found(clinic, orders, query, expected):
    assert step_ids(clinic.find(query)) == steps_of(
        [orders[letter] for letter in expected])


@pytest.mark.parametrize('letter', 'ABC')
def test_an_order_is_found_by_its_numbers(clinic, orders, letter):
    order = orders[letter]
    for query in [
            {'AccessionNumber': order.accession_number},
            {'StudyInstanceUID': order.study_instance_uid},
            {STEP: {'ScheduledProcedureStepID': order.steps[0].step_id}}]:
        answer, = clinic.find(query)
        assert answer.AccessionNumber == order.accession_number
        assert answer.StudyInstanceUID == order.study_instance_uid


@pytest.mark.parametrize('letter', 'ABC')
def test_the_preview_shows_what_the_modality_gets(clinic, orders, letter):
    order = orders[letter]
    shown = answer_values(parse_dump(order.worklist_text))
    answer, = clinic.find({'AccessionNumber': order.accession_number})
    told = answer_values(answer)
    assert told.items() <= shown.items()
    assert len(told) > 15


def test_a_draft_has_a_preview_but_is_not_served(clinic, orders):
    draft = orders['D']
    assert draft.accession_number in draft.worklist_text
    assert draft.state == 'draft'
    for query in [
            {}, {'AccessionNumber': draft.accession_number},
            {'PatientName': 'Примеров*', **UNICODE}]:
        assert draft.accession_number not in [
            answer.AccessionNumber for answer in clinic.find(query)]


def test_a_nul_is_refused_by_postgresql(clinic, orders):
    """SQLite stores it; there it is made safe."""
    step, = orders['A'].steps
    with pytest.raises(RuntimeError, match='NUL'):
        Client(clinic.server)(
            STEPS, 'write', [step.id], {'description': 'a\0b'})
    assert step_ids(clinic.find()) == steps_of(
        [orders[letter] for letter in 'ABC'])


def test_the_files_hold_the_same(clinic, orders):
    clinic.update()
    files = read_files(clinic.folder)
    assert step_ids(files) == steps_of([orders[letter] for letter in 'ABC'])
    for file in files:
        answer, = clinic.find({'AccessionNumber': file.AccessionNumber})
        values = answer_values(file)
        assert answer_values(answer).items() <= values.items()


# Following


def _cancel(order) -> None:
    order.steps[0].click('cancel')


def _cancel_order(order) -> None:
    order.click('cancel_order')


def _complete(order) -> None:
    order.steps[0].click('complete')


def _reject(order) -> None:
    wizard = Wizard(f'{STEPS}.reject', [order.steps[0]])
    wizard.form.reason = "The patient moved"
    wizard.execute('reject')


def _reschedule(days: int):
    def reschedule(order) -> None:
        step, = order.steps
        step.scheduled_at += days * DAY
        step.save()
    return reschedule


@pytest.mark.parametrize('end', [
        _cancel, _cancel_order, _complete, _reject, _reschedule(40),
        _reschedule(-9)],
    ids=['cancel', 'cancel order', 'complete', 'reject', 'later', 'earlier'])
def test_what_is_done_with_is_gone(clinic, end):
    order = clinic.order(RUSSIAN, 'CT-HEAD', MORNING)
    query = {'PatientID': RUSSIAN.puid}
    becomes(clinic.live, steps_of([order]), query)
    clinic.update()
    assert steps_of([order])[0] in step_ids(read_files(clinic.folder))
    end(order)
    becomes(clinic.live, [], query)
    clinic.update()
    assert steps_of([order])[0] not in step_ids(read_files(clinic.folder))


def test_a_rejected_order_is_repeated_under_new_numbers(clinic):
    """By the administrator, who is no health professional."""
    order = clinic.order(RUSSIAN, 'CT-HEAD', MORNING)
    _reject(order)
    order.click('repeat_order')
    order.reload()
    repeated = order.replaced_by
    becomes(clinic.live, steps_of([repeated]), {'PatientID': RUSSIAN.puid})
    answer, = clinic.find({'PatientID': RUSSIAN.puid})
    assert answer.AccessionNumber == repeated.accession_number
    assert answer.StudyInstanceUID == repeated.study_instance_uid
    assert order.accession_number != repeated.accession_number
    _cancel(repeated)


@pytest.fixture
def renamed(clinic):
    """An order, and its patient's person, who gets the old values back."""
    order = clinic.order(JAPANESE, 'XR-CHEST', MORNING)
    becomes(clinic.live, steps_of([order]), {'PatientID': JAPANESE.puid})
    party = order.patient.party
    names = ['name', 'lastname', 'dob', 'gender']
    before = {name: getattr(party, name) for name in names}
    yield order, party
    for name, value in before.items():
        setattr(party, name, value)
    party.save()
    _cancel(order)


@pytest.mark.parametrize(('name', 'value', 'keyword', 'told'), [
        ('lastname', "見本田", 'PatientName', "見本田^花子"),
        ('name', "華子", 'PatientName', "見本^華子"),
        ('dob', dt.date(1990, 8, 1), 'PatientBirthDate', '19900801'),
        ])
def test_corrections_of_a_patient_are_seen(
        clinic, renamed, name, value, keyword, told):
    order, party = renamed
    setattr(party, name, value)
    party.save()
    becomes(
        clinic.live, steps_of([order]),
        {**UNICODE, 'PatientID': JAPANESE.puid, keyword: told})
    clinic.update()
    file, = (
        file for file in read_files(clinic.folder)
        if file.PatientID == JAPANESE.puid)
    assert str(file[keyword].value) == told
