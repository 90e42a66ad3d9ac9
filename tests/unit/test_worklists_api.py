# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Orthanc's worklists plugin is told, and what it answers."""

import json

import pytest
from pydicom.dataset import Dataset

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import (
    Forbidden, NotFound, NoWorklists, ServerFault, TimedOut, Unauthorized,
    UnexpectedAnswer)
from trytond.modules.health_orthanc.core.orthanc.worklists import (
    find_identity, identities, to_tags)
from trytond.modules.health_orthanc.core.worklist.default_template import (
    DEFAULT_TEMPLATE)
from trytond.modules.health_orthanc.core.worklist.dicom_file import to_file
from trytond.modules.health_orthanc.core.worklist.item import render

from tests.unit.fake_orthanc import (
    SYSTEM, FakeOrthanc, cut, hang_up, redirect, reply, reply_json, silence,
    status)
from tests.unit.worklist_samples import ORDER

ENTRY = '5fdc7404-f9dc-4798-b6e1-8f715e2f9e71'
TAGS = {
    'PatientName': 'Šimůnková^Ελένη', 'StudyInstanceUID': '1.2.3',
    'ScheduledProcedureStepSequence': [{
            'Modality': 'CT', 'ScheduledProcedureStepID': 'S1'}]}
NEW = {**SYSTEM, 'Version': '1.12.10'}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(OrthancClient, '_pause', 0)


@pytest.fixture
def peer():
    with FakeOrthanc() as peer:
        yield peer


@pytest.fixture
def client(peer):
    with OrthancClient(peer.url, 'clerk', 'secret') as client:
        yield client


def file_of(step=None, **values):
    item = _dataset({'Modality': 'CT', **(step or {})})
    return to_file(_dataset({
                'SpecificCharacterSet': 'ISO_IR 192',
                'ScheduledProcedureStepSequence': [item], **values}))


def _dataset(values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


# Tags

@pytest.mark.parametrize('charset, name', [
        ('ISO_IR 192', 'Šimůnková^Ελένη'),
        ('ISO_IR 100', 'Müller^Zoé'),
        ('ISO_IR 144', 'Примеров^Иван'),
        ('GB18030', '王^小东'),
        ])
def test_texts_are_unicode_whatever_the_template_says(charset, name):
    tags = to_tags(file_of(
            {'ScheduledPerformingPhysicianName': name},
            SpecificCharacterSet=charset, PatientName=name))
    assert tags['SpecificCharacterSet'] == 'ISO_IR 192'
    assert tags['PatientName'] == name
    step, = tags['ScheduledProcedureStepSequence']
    assert step['ScheduledPerformingPhysicianName'] == name


def test_all_of_an_entry_is_told():
    rendered = render(DEFAULT_TEMPLATE, 'dump2dcm', ORDER)
    tags = to_tags(to_file(rendered.dataset))
    assert tags.keys() == {e.keyword for e in rendered.dataset}
    step, = tags['ScheduledProcedureStepSequence']
    assert step.keys() == {
        e.keyword
        for e in rendered.dataset.ScheduledProcedureStepSequence[0]}
    for keyword in ['StudyInstanceUID', 'AccessionNumber', 'PatientID']:
        assert tags[keyword] == ORDER[keyword]


def test_values_are_texts():
    tags = to_tags(file_of(
            PatientWeight='72.50', PregnancyStatus=4, PatientBirthDate='',
            Allergies=['Nuts', 'Latex']))
    assert tags['PatientWeight'] == '72.50'
    assert tags['PregnancyStatus'] == '4'
    assert tags['Allergies'] == 'Nuts\\Latex'
    # An empty date is asked for by modalities
    assert tags['PatientBirthDate'] == ''


def test_an_empty_number_is_left_out():
    tags = to_tags(file_of(
            {'PregnancyStatus': None}, PregnancyStatus=None))
    assert 'PregnancyStatus' not in tags
    assert tags['ScheduledProcedureStepSequence'] == [{'Modality': 'CT'}]


def test_what_dcmtk_names_otherwise_is_told_by_its_tag():
    assert to_tags(file_of(OtherPatientIDs='X1'))['0010,1000'] == 'X1'


# Identities

def test_identity():
    assert find_identity(TAGS) == ('1.2.3', 'S1')
    padded = {
        'StudyInstanceUID': '1.2.3\0',
        'ScheduledProcedureStepSequence': [
            {'ScheduledProcedureStepID': 'S1 '}]}
    assert find_identity(padded) == ('1.2.3', 'S1')


@pytest.mark.parametrize('tags', [
        None, [], 'x', 5, {},
        {'StudyInstanceUID': '1.2.3'},
        {**TAGS, 'StudyInstanceUID': ''},
        {**TAGS, 'StudyInstanceUID': None},
        {**TAGS, 'StudyInstanceUID': 7},
        {**TAGS, 'ScheduledProcedureStepSequence': []},
        {**TAGS, 'ScheduledProcedureStepSequence': None},
        {**TAGS, 'ScheduledProcedureStepSequence': ['x']},
        {**TAGS, 'ScheduledProcedureStepSequence': [{}, {}]},
        {**TAGS, 'ScheduledProcedureStepSequence': [
            {'ScheduledProcedureStepID': ' '}]},
        ])
def test_no_identity(tags):
    assert find_identity(tags) is None


def test_listing():
    assert identities([
            {'ID': 'a', 'Tags': TAGS, 'CreationDate': 'x'},
            {'ID': 'a file', 'Tags': {}}, {'ID': 'c'}]) == {
        'a': ('1.2.3', 'S1'), 'a file': None, 'c': None}


@pytest.mark.parametrize('answer', [['a'], [{}], [{'ID': 5}], [None]])
def test_no_listing(answer):
    with pytest.raises(ValueError):
        identities(answer)


# The server

@pytest.mark.parametrize('version, plugins, found', [
        ('1.12.10', ['orthanc-worklists'], True),
        ('1.12.10', ['worklists'], True),
        ('1.13.0', ['explorer.js', 'orthanc-worklists'], True),
        ('mainline', ['orthanc-worklists'], True),
        ('1.12.9', ['orthanc-worklists'], False),
        ('1.10.1', ['worklists'], False),
        ('1.12.10', ['dicom-web'], False),
        ])
def test_probe_finds_out(peer, client, version, plugins, found):
    peer.script('/system', reply_json({**SYSTEM, 'Version': version}))
    peer.script('/plugins', reply_json(plugins))
    peer.script('/worklists', reply_json([]))
    assert client.probe().worklists is found
    # Nobody else is bothered
    assert ('/worklists' in [r.path for r in peer.received]) is found


@pytest.mark.parametrize('answer, found', [
        # As it is of Orthanc itself, and of a plugin that is disabled
        (status(404), False),
        (status(403), False),
        # There, but in trouble
        (status(500), True),
        (reply(b'{'), True),
        ])
def test_probe_asks_the_plugin(peer, client, answer, found):
    peer.script('/system', reply_json(NEW))
    peer.script('/plugins', reply_json(['worklists']))
    peer.script('/worklists', answer)
    assert client.probe().worklists is found


def test_list(peer, client):
    peer.script('/worklists', reply_json([{'ID': ENTRY, 'Tags': TAGS}]))
    assert client.worklists() == {ENTRY: ('1.2.3', 'S1')}
    request, = peer.received
    assert (request.method, request.query) == ('GET', 'format=Simplify')


def test_create(peer, client):
    peer.script('/worklists/create', reply_json(
            {'ID': ENTRY, 'Path': '/worklists/' + ENTRY}))
    assert client.create_worklist(TAGS) == ENTRY
    request, = peer.received
    assert request.method == 'POST'
    assert json.loads(request.body.decode('utf-8')) == {'Tags': TAGS}
    assert 'Ελένη'.encode() in request.body


def test_replace_and_delete(peer, client):
    peer.script('/worklists/' + ENTRY, reply_json({'ID': ENTRY}))
    client.replace_worklist(ENTRY, TAGS)
    client.delete_worklist(ENTRY)
    assert peer.methods() == ['PUT', 'DELETE']
    assert json.loads(peer.received[0].body) == {'Tags': TAGS}


CALLS = {
    'list': lambda client: client.worklists(),
    'create': lambda client: client.create_worklist(TAGS),
    'replace': lambda client: client.replace_worklist(ENTRY, TAGS),
    'delete': lambda client: client.delete_worklist(ENTRY),
    }
PATHS = {'list': '', 'create': '/create', 'replace': '/' + ENTRY,
    'delete': '/' + ENTRY}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('answer, error, kind', [
        (status(401), Unauthorized, 'unauthorized'),
        (status(403), Forbidden, 'forbidden'),
        (status(500), ServerFault, 'server_fault'),
        (cut, UnexpectedAnswer, 'unexpected_answer'),
        (redirect('http://elsewhere/'), None, 'redirected'),
        (hang_up, None, 'unreachable'),
        ])
def test_errors(peer, name, answer, error, kind):
    peer.script('/worklists' + PATHS[name], answer)
    with OrthancClient(peer.url, retries=1) as client:
        with pytest.raises(error or Exception) as info:
            CALLS[name](client)
    assert info.value.kind == kind
    # Patients are not named
    assert '^' not in str(info.value) and ENTRY not in str(info.value)


@pytest.mark.parametrize('name', CALLS)
def test_silence(peer, name):
    peer.script('/worklists' + PATHS[name], silence)
    with OrthancClient(peer.url, read_timeout=0.3, retries=0) as client:
        with pytest.raises(TimedOut):
            CALLS[name](client)


@pytest.mark.parametrize('name, error', [
        ('list', NoWorklists), ('create', NoWorklists),
        ('replace', NotFound), ('delete', NotFound)])
def test_not_found(client, name, error):
    with pytest.raises(error):
        CALLS[name](client)


@pytest.mark.parametrize('name', ['list', 'create'])
@pytest.mark.parametrize('body', [
        b'', b'<html>Log in</html>', b'{"ID"', b'"x"', b'[5]', b'{"ID": 7}',
        b'{"ID": "../x"}', b'{}', b'\xff'])
def test_garbage(peer, client, name, body):
    peer.script('/worklists' + PATHS[name], reply(body))
    with pytest.raises(UnexpectedAnswer):
        CALLS[name](client)


@pytest.mark.parametrize('name, attempts', [
        ('list', 3), ('create', 1), ('replace', 3), ('delete', 3)])
def test_what_could_double_is_not_repeated(peer, client, name, attempts):
    peer.script('/worklists' + PATHS[name], status(503))
    with pytest.raises(ServerFault):
        CALLS[name](client)
    assert len(peer.received) == attempts
