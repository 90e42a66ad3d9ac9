# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in the sets of other places, and times in their zones."""
import base64
import datetime as dt
import io
from collections.abc import Iterator
from contextlib import ExitStack
from zoneinfo import ZoneInfo

import pydicom
import pytest
import requests

from trytond.modules.health_orthanc.core.worklist.dump import parse_dump

from devtools.dicom import STEP, find_worklist
from devtools.tryton import MODULE

from . import inside
from .ordering import Order
from .radiology import (
    Client, ServedOrders, becomes, file_orthanc, live_orthanc, read_files,
    serving_orders)

REQUEST = 'gnuhealth.imaging.test.request'
STEPS = 'gnuhealth.imaging.procedure.step'
CONFIGURATION = 'gnuhealth.imaging.worklist.configuration'
UTC = dt.timezone.utc
NOW = dt.datetime.now(UTC).replace(microsecond=0)

# Character sets: what DICOM and Orthanc call it, a name of its people
SETS = {
    'ISO_IR 100': ('Latin1', ("Núñez", "José")),
    'ISO_IR 126': ('Greek', ("Παράδειγμα", "Ελένη")),
    'ISO_IR 144': ('Cyrillic', ("Примеров", "Иван")),
    }
# On both sides of the next changes of the clocks, and of midnight
ZONES = ['Europe/Madrid', 'America/New_York', 'Asia/Kathmandu']


def changes(name: str) -> Iterator[dt.datetime]:
    """Yield when clocks are changed within a year, in UTC."""
    zone = ZoneInfo(name)
    moment = NOW.replace(minute=0, second=0)
    for _ in range(366 * 24):
        following = moment + dt.timedelta(hours=1)
        if (moment.astimezone(zone).utcoffset()
                != following.astimezone(zone).utcoffset()):
            yield following
        moment = following


def moments(name: str) -> list[dt.datetime]:
    """Return when steps start: always both times of an hour that comes twice.
    """
    found = [NOW.replace(hour=23, minute=59), NOW.replace(hour=4, minute=30)]
    for change in changes(name):
        found += [
            change + dt.timedelta(minutes=minutes)
            for minutes in [-30, -1, 0, 30]]
    return found


def in_database(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


STARTS = [(zone, moment) for zone in ZONES for moment in moments(zone)]


@pytest.fixture(scope='module')
def served(prepared_tryton, tmp_path_factory) -> Iterator[ServedOrders]:
    """An order for each character set, and for each of `STARTS`."""
    tryton = prepared_tryton('sqlite', MODULE).copy('places')
    folder = tmp_path_factory.mktemp('places') / 'worklists'
    orders = [
        Order(f'SET{number}', *name, in_database(NOW), charset=charset,
            institution=("Nowhere", 'UTC'))
        for number, (charset, (_, name)) in enumerate(SETS.items())]
    orders += [
        Order('ZONE', "Muster", "Erika", in_database(start),
            institution=(zone, zone))
        for zone, start in STARTS]
    with serving_orders(tryton, orders, folder) as served:
        # All of the year
        served.agent.call(inside.write, CONFIGURATION, [1], {
                'window_before': dt.timedelta(days=400)})
        becomes(served.live, [made['step'] for made in served.made])
        served.update()
        yield served
    tryton.drop()


# Character sets


def name_in(answers: list[pydicom.Dataset], number: int) -> pydicom.Dataset:
    answer, = (a for a in answers if a.PatientID == f'SET{number}')
    return answer


@pytest.mark.parametrize('charset', SETS)
def test_names_in_a_legacy_set_arrive_whole(served, charset):
    """Through wlmscpfs, and through Orthanc with this set, in both ways."""
    encoding, name = SETS[charset]
    number = list(SETS).index(charset)
    with ExitStack() as stack:
        live = stack.enter_context(live_orthanc(
                served.section, DefaultEncoding=encoding))
        files = stack.enter_context(file_orthanc(
                served.folder, DefaultEncoding=encoding))
        key = {'PatientID': f'SET{number}'}
        becomes(live, [served.made[number]['step']], key)
        found = {
            'live': find_worklist(live.dicom_port, key),
            'files': find_worklist(files.dicom_port, key),
            'wlmscpfs': served.find('wlmscpfs', key),
            'folder': read_files(served.folder)}
    for way, answers in found.items():
        answer = name_in(answers, number)
        assert answer.SpecificCharacterSet == charset, way
        assert str(answer.PatientName) == '^'.join(name), way
        # Really one byte for each letter
        assert len(answer.PatientName.original_string.rstrip()) == len(
            '^'.join(name)), way


@pytest.mark.parametrize('charset', SETS)
def test_an_orthanc_of_unicode_tells_all_of_them(served, charset):
    _, name = SETS[charset]
    number = list(SETS).index(charset)
    for way in ['live', 'files']:
        answer = name_in(
            served.find(way, {'PatientID': f'SET{number}'}), number)
        assert answer.SpecificCharacterSet == 'ISO_IR 192'
        assert str(answer.PatientName) == '^'.join(name)


# Time zones


def told(dataset: pydicom.Dataset) -> tuple[str, str, str]:
    item, = dataset[STEP].value
    return (
        item.ScheduledProcedureStepStartDate,
        item.ScheduledProcedureStepStartTime, dataset.TimezoneOffsetFromUTC)


@pytest.fixture(scope='module')
def expected(served) -> dict[str, tuple[str, str, str]]:
    """When steps start where they take place, by step ID."""
    locals_ = [
        start.astimezone(ZoneInfo(zone)) for zone, start in STARTS]
    return {
        made['step']: (
            f'{local:%Y%m%d}', f'{local:%H%M%S}', f'{local:%z}')
        for made, local in zip(served.made[len(SETS):], locals_)}


def by_step(datasets: list[pydicom.Dataset]) -> dict:
    return {
        dataset[STEP].value[0].ScheduledProcedureStepID: told(dataset)
        for dataset in datasets if dataset.PatientID == 'ZONE'}


def from_route(served: ServedOrders) -> list[pydicom.Dataset]:
    response = requests.get(
        f'{served.server.url}/{served.server.tryton.name}/orthanc/worklist',
        headers={'Authorization': f"bearer {served.section['Key']}"})
    return [
        pydicom.dcmread(io.BytesIO(base64.b64decode(entry['dicom'])))
        for entry in response.json()['entries']]


def from_previews(served: ServedOrders) -> list[pydicom.Dataset]:
    requests_ = Client(served.server)(
        REQUEST, 'read', [made['id'] for made in served.made],
        ['worklist_text'])
    return [parse_dump(request['worklist_text']) for request in requests_]


@pytest.mark.parametrize('tell', [
        from_route, from_previews, lambda served: read_files(served.folder),
        lambda served: served.find(
            'live', ['TimezoneOffsetFromUTC=']),
        ], ids=['route', 'preview', 'files', 'live'])
def test_times_are_those_of_the_place(served, expected, tell):
    assert by_step(tell(served)) == expected


def test_an_hour_that_comes_twice_is_told_apart(expected):
    """What is compared has both sides of changes of the clocks."""
    times = list(expected.values())
    assert len(set(times)) == len(times)
    without_offset = [(date, time) for date, time, _ in times]
    assert len(set(without_offset)) < len(without_offset)
    assert {offset for *_, offset in times} == {
        '+0100', '+0200', '-0500', '-0400', '+0545'}


def test_a_day_on_the_worklist_is_that_of_the_place(served, expected):
    for date in {date for date, *_ in expected.values()}:
        found = served.find('live', {
                STEP: {'ScheduledProcedureStepStartDate': date},
                'PatientID': 'ZONE', 'TimezoneOffsetFromUTC': ''})
        assert by_step(found) == {
            step: times for step, times in expected.items()
            if times[0] == date}
