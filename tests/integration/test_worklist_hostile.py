# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever people type stays in its field, all the way to the modality."""
import datetime as dt
import socket
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset

from devtools.dicom import STEP
from devtools.tryton import MODULE
from tests.unit import worklist_samples

from . import ordering
from .ordering import Order
from .radiology import (
    TIMEOUT, Client, Refused, ServedOrders, answer_values, becomes, read_files,
    serving_orders, step_ids)

HOSTILE = [
    text for text in [
        *worklist_samples.HOSTILE,
        '\u202e\u05d0\u05d1\u05d2 EVIL',
        '\u05d0\u05d1\u05d2 \u0645\u062b\u0644',
        '{{ PatientID }}', "'; DROP TABLE party_party; --",
        ]
    # Nothing that a client can send
    if text.isascii() or text == text.encode('utf-8', 'ignore').decode()]
HARMLESS = 3
REQUEST = 'gnuhealth.imaging.test.request'
STEPS = 'gnuhealth.imaging.procedure.step'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
PARTY = 'party.party'
# What is typed, and where: the record of an order, its model, the field
FIELDS = [
    ('patient', PARTY, 'lastname'), ('patient', PARTY, 'name'),
    ('doctor', PARTY, 'lastname'), ('performer', PARTY, 'name'),
    ('institution', PARTY, 'name'),
    ('test', 'gnuhealth.imaging.test', 'name'),
    ('context', 'gnuhealth.pathology', 'name'),
    ('request', REQUEST, 'comment'),
    ('step', STEPS, 'description'), ('step', STEPS, 'location'),
    ('step', STEPS, 'station_name'), ('step', STEPS, 'station_aetitle'),
    ]
TITLE = f'{STEP}.ScheduledStationAETitle'
# What nobody types, and is not the same for all
OWN = {
    'AccessionNumber', 'StudyInstanceUID', 'RequestedProcedureID',
    f'{STEP}.ScheduledProcedureStepID'}
# pydicom counts the padding of a value
pytestmark = pytest.mark.filterwarnings('ignore:The value length')
TODAY = dt.datetime.now(dt.timezone.utc).replace(
    tzinfo=None, microsecond=0)


# What `./dev test` leaves to `--all`: core's tests have all of them
SHOWN = 6
# Nothing of them can be told: a name without letters, no AE title
UNTOLD = {'^=^=^', ' '}
PERSON = 'lastname', 'name'


@pytest.fixture(scope='module')
def hostile(request) -> list[str]:
    """The texts that are typed."""
    if request.config.getoption('all'):
        return HOSTILE
    return [
        text for number, text in enumerate(HOSTILE)
        if not number % SHOWN or text in UNTOLD]


def make_order(number: int, count: int) -> Order:
    """Return an order; of the first `count` all records are their own."""
    own = min(number, count)
    return Order(
        f'HOST{number}', f"Family{number}", f"Given{number}", TODAY,
        study=f"Study{own}", doctor=(f"Doctor{own}", "Dora"),
        performer=(f"Performer{own}", "Paula"),
        institution=(f"Institution{own}", 'UTC'), allergy=f"Latex{number}",
        step={'location': "Room", 'station_name': "Station"})


@pytest.fixture(scope='module')
def served(
        prepared_tryton, tmp_path_factory, hostile) -> Iterator[ServedOrders]:
    """Orders for each text in all fields, and as PUID; harmless ones."""
    tryton = prepared_tryton('sqlite', MODULE).copy('hostile')
    folder = tmp_path_factory.mktemp('hostile') / 'worklists'
    count = len(hostile)
    orders = [
        make_order(number, count) for number in range(2 * count + HARMLESS)]
    with serving_orders(tryton, orders, folder) as served:
        served.records = served.agent.call(
            ordering.typed_into, [made['id'] for made in served.made])
        yield served
    tryton.drop()


@pytest.fixture(scope='module')
def client(served) -> Client:
    return Client(served.server)


@pytest.fixture(scope='module')
def typed(served, client, hostile) -> list[dict]:
    """Type all texts, as a client does; return orders with their problems.

    What was refused is left as it was.
    """
    refused, count = 0, len(hostile)
    for number, text in enumerate(2 * hostile):
        fields = FIELDS if number < count else [('patient', PARTY, 'ref')]
        for record, model, name in fields:
            id_ = served.records[number][record]
            try:
                client(model, 'write', [id_], {name: text})
            except Refused as told:
                assert str(told)
                refused += 1
    assert refused < count * len(FIELDS) / 2
    # What cannot be told is known when it is rendered
    served.update()
    orders = []
    for made, records in zip(served.made, served.records):
        step, = client(STEPS, 'read', [records['step']], ['problem'])
        orders.append({
                **made, 'step_id': made['step'], **records,
                'problem': step['problem']})
    return orders


@pytest.fixture(scope='module')
def answers(served, typed) -> dict[str, dict[str, Dataset]]:
    """What each way serves, by step ID."""
    expected = [order['step_id'] for order in typed if not order['problem']]
    becomes(served.live, expected, limit=TIMEOUT)
    ended = served.update()
    assert ended.stderr == ''
    found = {way: served.find(way) for way in served.ports}
    found['folder'] = read_files(served.folder)
    for way, datasets in found.items():
        # A backslash separates two stations, of which each has a file
        assert sorted(set(step_ids(datasets))) == sorted(expected), way
    return {
        way: {step_ids([dataset])[0]: dataset for dataset in datasets}
        for way, datasets in found.items()}


def tags(dataset: Dataset) -> list:
    return [element.tag for element in dataset.iterall()]


@pytest.mark.parametrize('way', ['live', 'files', 'wlmscpfs', 'folder'])
def test_no_text_becomes_an_element(answers, typed, way):
    *_, harmless = typed
    expected = tags(answers[way][harmless['step_id']])
    for dataset in answers[way].values():
        assert tags(dataset) == expected


def is_made_of(value: str, text: str) -> bool:
    """Tell whether a value has only characters of a text, in their order.

    Some stand for what DICOM cannot hold.
    """
    rest = iter(text)
    return all(
        character in rest for character in value
        if character not in ' /;\\\ufffd')


def stored(client: Client, order: dict) -> dict[str, str]:
    """Return what GNU Health has where people type, by keyword."""
    def read(record: str, model: str, *names: str) -> str:
        values, = client(model, 'read', [order[record]], list(names))
        return '^'.join(values[name] or '' for name in names)

    test = read('test', 'gnuhealth.imaging.test', 'rec_name')
    context = read('context', 'gnuhealth.pathology', 'rec_name')
    doctor = read('doctor', PARTY, *PERSON)
    return {
        'PatientName': read('patient', PARTY, *PERSON),
        'PatientID': read('patient', PARTY, 'ref'),
        'RequestingPhysician': doctor,
        'ReferringPhysicianName': doctor,
        'InstitutionName': read('institution', PARTY, 'rec_name'),
        'RequestedProcedureDescription': test,
        'ReasonForTheRequestedProcedure': context,
        'MedicalAlerts': context,
        'Allergies': context,
        'RequestedProcedureComments': read('request', REQUEST, 'comment'),
        f'{STEP}.RequestedProcedureDescription': test,
        f'{STEP}.ScheduledPerformingPhysicianName': read(
            'performer', PARTY, *PERSON),
        f'{STEP}.ScheduledProcedureStepDescription': read(
            'step', STEPS, 'description') or test,
        f'{STEP}.ScheduledStationName': read('step', STEPS, 'station_name'),
        f'{STEP}.ScheduledProcedureStepLocation': read(
            'step', STEPS, 'location'),
        TITLE: read(
            'step', STEPS, 'station_aetitle'),
        }


def test_elements_hold_what_was_typed_there(answers, typed, client):
    *_, harmless = typed
    usual = answer_values(answers['folder'][harmless['step_id']])
    for order in typed:
        if order['problem']:
            continue
        texts = stored(client, order)
        values = answer_values(answers['folder'][order['step_id']])
        for keyword, value in values.items():
            if keyword in texts:
                assert is_made_of(value, texts[keyword]), keyword
            elif keyword not in OWN:
                assert value == usual[keyword], keyword
        assert values['AccessionNumber'] == order['accession']
        assert values['StudyInstanceUID'] == order['uid']
        assert values['PatientID'] == texts['PatientID']
        for way in ['live', 'files', 'wlmscpfs']:
            told = answer_values(answers[way][order['step_id']])
            told.pop('PregnancyStatus', None)
            title = told.pop(TITLE, '')
            assert is_made_of(title, texts[TITLE]), way
            assert told.items() <= values.items(), way


def test_an_unusable_puid_is_told(typed, hostile):
    """An identifier is never changed, so it is used as it is or not at all.
    """
    problems = {
        number: order['problem'] for number, order in enumerate(typed)
        if order['problem']}
    count = len(hostile)
    names = [number for number in problems if number < count]
    assert {hostile[number] for number in names} == UNTOLD
    assert len(problems) > len(names) + count // 8
    assert max(problems) < 2 * count
    for number, problem in problems.items():
        text = hostile[number % count].strip()
        assert not text or 'PatientID' in problem or number in names
        # Nothing of the patient's in what may be logged
        assert not text or text not in problem


TEMPLATES = [
    *HOSTILE,
    '${open("/etc/hostname").read()}', '{% python import os %}',
    '{% include "/etc/hostname" %}', "${my.__class__}",
    '${"a" * 10 ** 9}', '{% for i in range(10 ** 9) %}a{% end %}',
    '(0010,4000) OB =/etc/hostname', '(0010,4000) LT [=/etc/hostname]',
    '(0010,0020) LO [EVIL]', '(0010,0010) PN [EVIL^]', '(0010,21b0)',
    '(0040,0100) SQ', '(0009,0010) LO [PRIVATE]', '(0008,0050) SH [EVIL]',
    '(0010,4000) LT [${my.patient.party.name}]',
    ]


def lines(request: dict) -> list[str]:
    return request['worklist_text'].splitlines()


@pytest.mark.parametrize('kind', ['dump2dcm', 'json'])
def test_a_hostile_template_is_refused_or_harmless(
        served, client, typed, kind):
    """What it holds is checked when it is saved."""
    default = client(TEMPLATE, 'default_get', ['template'])['template']
    id_, = client(TEMPLATE, 'create', [{
                'name': kind, 'template_type': kind, 'charset': 'ISO_IR 192',
                'template': default}])
    *_, order = typed
    client('gnuhealth.imaging.test', 'write', [order['test']],
        {'imaging_worklist_template': id_})
    before, = client(REQUEST, 'read', [order['id']], ['worklist_text'])
    hostname, refused = socket.gethostname(), 0
    for text in TEMPLATES:
        try:
            client(
                TEMPLATE, 'write', [id_], {'template': f'{default}\n{text}\n'})
        except Refused as told:
            assert hostname not in str(told)
            refused += 1
            continue
        after, = client(REQUEST, 'read', [order['id']], ['worklist_text'])
        added = set(lines(after)) - set(lines(before))
        assert set(lines(before)) <= set(lines(after)), text
        assert len(added) <= text.count('('), text
        assert hostname not in after['worklist_text']
    assert len(TEMPLATES) / 2 < refused < len(TEMPLATES)
    client('gnuhealth.imaging.test', 'write', [order['test']],
        {'imaging_worklist_template': None})
