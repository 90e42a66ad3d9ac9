# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into images, and when nothing is."""

import pytest

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import (
    JobFailed, ServerFault, TimedOut)
from trytond.modules.health_orthanc.core.orthanc.reconciliation import (
    Correction, Holding, Image, Refused, Wanted, adapt_to_charset, orthanc_id,
    plan_correction, plan_restoration)

from .fake_orthanc import FakeOrthanc, reply_json, status

IDENTITY = {
    'PatientID': 'NEW', 'PatientName': 'Łukaszewicz^Żaneta',
    'PatientBirthDate': '19640812', 'PatientSex': 'F'}
SYSTEM, STATISTICS = {}, {'CountPatients': 3, 'TotalDiskSizeMB': 10}
TARGET = orthanc_id('NEW', '1.2')


def image(charset='ISO_IR 100', plain=True):
    return Image(
        'i', ('1.2.3', '1.2.3.4'), 100, {'SpecificCharacterSet': charset},
        '', plain, '')


def entry(value):
    return {'Name': '', 'Type': 'String', 'Value': value}


def tags(sop='1.2.3.4', **values):
    return {
        '0008,0018': entry(sop), '0020,000e': entry('1.2.3'),
        '0010,0020': entry('OLD'), **{
            tag.replace('_', ','): entry(value)
            for tag, value in values.items()}}


class Study(FakeOrthanc):
    "An Orthanc that holds one study, and answers what the tests change"

    def __init__(self):
        super().__init__()
        self.hold('s', 'q', {'i': tags()})
        self.script('/tools/find', reply_json(['s']))
        self.script('/system', reply_json(SYSTEM))
        self.script('/statistics', reply_json(STATISTICS))

    def hold(self, study, series, instances, **values):
        self.script(f'/studies/{study}', reply_json({
                    'ID': study, 'IsStable': True, 'Series': [series],
                    'MainDicomTags': {'StudyInstanceUID': '1.2'}, **values}))
        self.script(f'/studies/{study}/instances', reply_json([
                    {'ID': id_, 'FileSize': 100000, 'ModifiedFrom': 'i'}
                    for id_ in instances]))
        self.script(
            f'/series/{series}/instances-tags', reply_json(instances))

    def posted(self):
        return [r.path for r in self.received if r.method == 'POST']


@pytest.fixture
def peer():
    with Study() as peer:
        yield peer


@pytest.fixture
def client(peer):
    with OrthancClient(peer.url, retries=0) as client:
        yield client


def correction(client, **values):
    return Correction(client, 's', 't', Wanted({'PatientID': 'NEW'}), **{
            'instances': 1, 'patience': 0.1, 'sleep': lambda seconds: None,
            **values})


def test_ids_are_those_of_orthanc():
    # Seen in Orthanc 1.10.1
    assert orthanc_id('ABC', '1.2.826.0.1.3680043.8.498.73014048098390489705'
        '962949019484069422') == (
        '71a223ba-b47eeebc-a2d9698c-a70ea536-2cf031c0')


@pytest.mark.parametrize('charset, name, plain, found', [
        ('ISO_IR 100', 'Muller^Jorg', False, {}),
        ('ISO_IR 100', 'Müller^Jörg', False, {}),
        ('ISO_IR 192', 'Łukaszewicz=山田', False, {}),
        ('GB18030', '山田', False, {}),
        ('ISO_IR 144', 'Люкceмбypг', False, {}),
        ('ISO_IR 100', 'Łukasz', True, {'SpecificCharacterSet': 'ISO_IR 192'}),
        ('', 'Müller', True, {'SpecificCharacterSet': 'ISO_IR 192'}),
        ('\\ISO 2022 IR 87', '山田', True,
            {'SpecificCharacterSet': 'ISO_IR 192'}),
        ('nonsense', 'Müller', True, {'SpecificCharacterSet': 'ISO_IR 192'}),
        ('ISO_IR 100', 'Łukasz', False, {'PatientName': 'Lukasz'}),
        ('', 'Müller', False, {'PatientName': 'Muller'}),
        ])
def test_names_are_written_so_that_images_hold_them(
        charset, name, plain, found):
    identity = {'PatientID': 'X', 'PatientName': name}
    tags = adapt_to_charset(identity, [image(charset, plain)])
    assert tags == {**identity, **found}


@pytest.mark.parametrize('identity', [
        {'PatientID': 'X', 'PatientName': '山田'},
        {'PatientID': 'X', 'PatientName': 'Люкceмбypг'},
        {'PatientID': 'Ł', 'PatientName': 'Lukasz'},
        ])
def test_what_cannot_be_written_is_refused(identity):
    with pytest.raises(Refused, match='charset'):
        adapt_to_charset(
            identity, [image('ISO_IR 192'), image('ISO_IR 100', False)])


def test_all_images_have_to_hold_the_name():
    identity = {'PatientID': 'X', 'PatientName': 'Müller'}
    assert adapt_to_charset(
        identity, [image('ISO_IR 100', False), image('ISO_IR 144', False)]
        )['PatientName'] == 'Muller'


def test_the_plan_names_old_and_new(peer, client):
    peer.hold('s', 'q', {
            'i': tags('1', **{'0010_0010': 'A', '0010_0021': 'ISS'}),
            'j': tags('2', **{'0010_0010': 'A', '0010_0021': 'ISS'}),
            'k': tags('3', **{'0010_0010': 'B'})})
    plan = plan_correction(client, 's', IDENTITY)
    assert plan.target_id == TARGET
    assert plan.current['PatientName'] == 'A'
    assert plan.wanted.tags == {
        **IDENTITY, 'SpecificCharacterSet': 'ISO_IR 192',
        'IssuerOfPatientID': None}
    assert (plan.series, plan.instances) == (1, 3)
    before = Wanted.loads(plan.before.dumps())
    for key, name, issuer in [
            ('1', 'A', 'ISS'), ('3', 'B', None), ('late', 'A', 'ISS')]:
        found = before.result(Image(
                'x', ('1.2.3', key), 1,
                {'SpecificCharacterSet': 'ISO_IR 192', **IDENTITY}, '', True,
                ''))
        assert found.get('PatientName') == name
        assert found.get('IssuerOfPatientID') == issuer
        assert found['PatientID'] == 'OLD'
        assert 'SpecificCharacterSet' not in found
        assert 'PatientBirthDate' not in found


@pytest.mark.parametrize('path, answer, reason', [
        ('/tools/find', ['s', TARGET], 'collision'),
        ('/tools/find', ['s', 'another'], 'ambiguous'),
        ('/system', {'MaximumStorageSize': 10}, 'full'),
        ('/system', {'MaximumPatientCount': 3}, 'full'),
        ('/series/q/instances-tags', {
                'i': tags(**{'0010_0020': 'NEW'})}, 'same_id'),
        ('/series/q/instances-tags', {'i': tags(**{
                        '0008_0005': 'ISO_IR 192', '0010_0020': 'NEW',
                        '0010_0010': IDENTITY['PatientName'],
                        '0010_0030': '19640812', '0010_0040': 'F'})},
            'unchanged'),
        ('/studies/s', {
                'IsStable': False, 'Series': ['q'],
                'MainDicomTags': {'StudyInstanceUID': '1.2'}}, 'unstable'),
        ('/studies/s', {'IsStable': True, 'Series': ['q']}, 'no_uid'),
        ])
def test_what_is_not_safe_is_refused(peer, client, path, answer, reason):
    peer.script(path, reply_json(answer))
    with pytest.raises(Refused, match=reason):
        plan_correction(client, 's', IDENTITY)
    if reason not in {'same_id', 'unchanged'}:
        with pytest.raises(Refused, match=reason):
            plan_restoration(client, 's', TARGET, Wanted({}))


@pytest.mark.parametrize('known, refused', [
        ({'PatientName': 'LUKASZEWICZ^ZANETA', 'PatientSex': 'M'}, False),
        ({'PatientName': 'Other^Name', 'PatientSex': 'F'}, False),
        ({'PatientName': 'Other^Name', 'PatientSex': 'M'}, True),
        ({'PatientName': 'Other^Name', 'PatientBirthDate': '19700101'}, True),
        ({'PatientName': 'Other^Name', 'PatientBirthDate': 'x'}, False),
        ])
def test_another_person_with_the_id_is_not_joined(
        peer, client, known, refused):
    peer.script(f"/patients/{orthanc_id('NEW')}", reply_json({
                'Studies': ['o']}))
    peer.script('/tools/bulk-content', reply_json([
                {'PatientMainDicomTags': known}]))
    if refused:
        with pytest.raises(Refused, match='other_person'):
            plan_correction(client, 's', IDENTITY)
    else:
        assert plan_correction(client, 's', IDENTITY)


def hold_copy(peer, **values):
    peer.hold('t', 'r', {'c': tags(**{'0010_0020': 'NEW', **values})})


def test_what_is_equal_is_deleted(peer, client):
    hold_copy(peer)
    peer.script('/tools/bulk-delete', reply_json({}))
    studies = Holding.read(client, 's').study
    # Gone after it was deleted
    peer.script('/studies/s', reply_json(dict(studies)), status(404))
    assert correction(client).remove_source().ids == ['i']
    assert peer.posted() == ['/tools/bulk-delete']
    assert b'"i"' in peer.received[
        [r.path for r in peer.received].index('/tools/bulk-delete')].body


@pytest.mark.parametrize('values', [
        {'0010_0020': 'OTHER'}, {'0010_0010': 'X'}, {'0008_0005': 'GBK'},
        {'0028_0010': '512'}])
def test_what_differs_is_not_deleted(peer, client, values):
    hold_copy(peer, **values)
    with pytest.raises(Refused, match='differs'):
        correction(client).remove_source()
    assert not peer.posted()


def test_what_has_shrunk_is_not_deleted(peer, client):
    hold_copy(peer)
    peer.script('/studies/t/instances', reply_json([
                {'ID': 'c', 'FileSize': 50000}]))
    with pytest.raises(Refused, match='differs'):
        correction(client).remove_source()
    assert not peer.posted()


def test_a_source_that_lost_images_is_not_deleted(peer, client):
    hold_copy(peer)
    with pytest.raises(Refused, match='vanished'):
        correction(client, instances=2).remove_source()
    assert not peer.posted()


def test_two_names_of_one_study_are_not_deleted(peer, client):
    peer.hold('t', 'r', {'i': tags(**{'0010_0020': 'NEW'})})
    with pytest.raises(Refused, match='same_id'):
        correction(client).remove_source()
    assert not peer.posted()


def test_copies_alone_are_discarded(peer, client):
    peer.hold('t', 'r', {'c': tags('1'), 'd': tags('2')})
    peer.script('/studies/t/instances', reply_json([
                {'ID': 'c', 'ModifiedFrom': 'i'}, {'ID': 'd'}]))
    peer.script('/tools/bulk-delete', reply_json({}))
    correction(client).discard_copy()
    assert peer.received[-1].body == b'{"Resources": ["c"]}'


def test_copies_without_a_source_stay(peer, client):
    hold_copy(peer)
    peer.script('/studies/s', status(404))
    correction(client).discard_copy()
    assert not peer.posted()


@pytest.mark.parametrize('job, error', [
        ({'State': 'Failure'}, JobFailed),
        ({'State': 'Running', 'Progress': 5}, TimedOut)])
def test_a_job_that_does_not_end_is_an_error(peer, client, job, error):
    peer.script('/tools/bulk-modify', reply_json({'ID': 'j'}))
    peer.script('/jobs/j', reply_json(job))
    with pytest.raises(error):
        correction(client).copy()
    assert peer.posted() == ['/tools/bulk-modify']


def test_images_that_are_never_copied_end_it(peer, client):
    peer.script('/tools/bulk-modify', reply_json({'ID': 'j'}))
    peer.script('/jobs/j', reply_json({'State': 'Success'}))
    with pytest.raises(Refused, match='busy'):
        correction(client).copy()
    assert len(peer.posted()) == 5


def test_digests_of_frames(peer, client):
    peer.script('/instances/i/frames/0/raw', reply_json('x'), reply_json('x'),
        reply_json('y'), status(404), status(500), status(502))
    first, second, third, *others = [
        client.frame_digest('i') for _ in range(5)]
    assert first == second != third
    assert others == [None, None]
    with pytest.raises(ServerFault):
        client.frame_digest('i')
