# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are deleted from a real Orthanc, and the records follow."""
import threading

import pytest

from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient, make_bulk

from . import inside
from .hospital import ADMIN, ALL, ON_BOTH, contents, study, study_id

NOWHERE = 'http://127.0.0.1:9'
MANY = 2000
TIMEOUT = 30


class Archive:
    "Studies of a patient who is known here"

    def __init__(self, hospital, orthanc, url=None, **options):
        self.hospital = hospital
        self.orthanc = orthanc
        patient, puid = hospital.add_patient()
        person = Patient('Muster^Erika', puid, '19640812', 'F')
        self.ids = [
            study_id(orthanc.upload(study(
                        person, **{'series': 2, 'instances': 2, **options})))
            for _ in range(2)]
        self.server = hospital.add_server(orthanc, url, **ALL)
        self.server.done()
        self.first, self.second = sorted(
            s['id'] for s in self.server.studies())
        hospital.write(inside.STUDY, [self.first], patient=patient)

    def start(self, model=inside.STUDY, ids=None):
        return self.hospital.agent.start(
            inside.delete_images, model, ids or [self.first], "Phantom",
            user=ADMIN)

    def delete(self, *args):
        question, outcomes, _ = self.start(*args).result()
        return outcomes

    def deletions(self):
        return self.hospital.read(
            inside.DELETION, [], 'state', 'user', 'error_kind', 'reason')

    def assert_kept(self, before):
        "Both sides are as they were"
        assert contents(self.orthanc) == before
        self.server.assert_equal()
        assert not any(
            s['deleted_at'] for s in self.server.studies('deleted_at'))


@ON_BOTH
def test_a_study(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    question, outcomes, _ = archive.start().result()
    assert 'Muster' in question
    assert '4' in question
    assert outcomes == [('done', None)]
    archive.server.assert_equal()
    assert len(orthanc.get('/studies')) == 1
    deletion, = archive.deletions()
    assert deletion['state'] == 'done'
    assert deletion['user'] == ADMIN
    assert deletion['reason'] == "Phantom"
    record, _ = archive.server.studies('missing_since', 'patient')
    assert record['missing_since']
    assert record['patient']
    archive.server.done()
    archive.server.done('full')
    archive.server.assert_equal()


def test_series_and_instances(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    # Whichever series Orthanc has listed first
    first, second = [
        s for s in archive.server.series('study')
        if s['study'] == archive.first]
    assert archive.delete(inside.SERIES, [first['id']]) == [('done', None)]
    archive.server.assert_equal()
    images = [
        i['id'] for i in archive.server.instances('series')
        if i['series'] == second['id']]
    assert archive.delete(inside.INSTANCE, images[:1]) == [('done', None)]
    archive.server.assert_equal()
    # With the last one goes all that it was in
    assert archive.delete(inside.INSTANCE, images[1:]) == [('done', None)]
    archive.server.assert_equal()
    assert len(orthanc.get('/studies')) == 1
    assert {
        s['id'] for s in archive.server.studies('deleted_at')
        if s['deleted_at']} == {archive.first}
    archive.server.done('full')
    archive.server.assert_equal()


@pytest.mark.parametrize('status, kind', [
        (403, 'forbidden'), (500, 'server_fault')])
def test_an_orthanc_that_refuses(hospital, orthanc, status, kind):
    with Proxy(orthanc.url, before=lambda request: (
                Answer(status) if request.method == 'DELETE' else None)
            ) as proxy:
        archive = Archive(hospital, orthanc, proxy.url)
        before = contents(orthanc)
        (state, message), other = archive.delete(
            inside.STUDY, [archive.first, archive.second])
        assert state == 'failed'
        assert message
        archive.assert_kept(before)
        assert {d['error_kind'] for d in archive.deletions()} == {kind}


def test_an_orthanc_that_is_down(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    before = contents(orthanc)
    archive.server.write(domain=NOWHERE, validated=True)
    outcomes = archive.delete(inside.STUDY, [archive.first, archive.second])
    assert [state for state, _ in outcomes] == ['failed', 'failed']
    assert all(message for _, message in outcomes)
    archive.assert_kept(before)
    # The second one was not tried
    assert len(archive.deletions()) == 1


def test_some_are_deleted_and_some_are_not(hospital, orthanc):
    refused = []

    def refuse_first(request):
        if request.method == 'DELETE' and not refused:
            refused.append(request)
            return Answer(403)

    with Proxy(orthanc.url, before=refuse_first) as proxy:
        archive = Archive(hospital, orthanc, proxy.url)
        outcomes = archive.delete(
            inside.STUDY, [archive.first, archive.second])
        assert sorted(state for state, _ in outcomes) == ['done', 'failed']
        archive.server.assert_equal()
        assert len(orthanc.get('/studies')) == 1


@ON_BOTH
def test_an_orthanc_that_is_slow(hospital, orthanc):
    "What is not known is told, and the next synchronisation finds it out"
    go = threading.Event()

    def slow(request):
        if request.method == 'DELETE':
            go.wait(TIMEOUT)

    with Proxy(orthanc.url, before=slow) as proxy:
        archive = Archive(hospital, orthanc, proxy.url)
        archive.server.write(read_timeout=1, validated=True)
        before = contents(orthanc)
        (state, message), = archive.delete()
        assert state == 'asked'
        assert 'next synchronization' in message
        archive.assert_kept(before)
        go.set()
        proxy.before = None
        assert wait_until(lambda: len(orthanc.get('/studies')) == 1, TIMEOUT)
        archive.server.done()
        assert archive.deletions()[0]['state'] == 'done'
        archive.server.assert_equal()


def test_what_is_killed_is_settled(hospital, orthanc):
    "Orthanc has deleted it, and here nobody was left to follow"
    come, go = threading.Event(), threading.Event()

    def hold(request):
        if request.method == 'POST' and come.is_set():
            go.wait(TIMEOUT)
        if request.method == 'DELETE':
            come.set()

    with Proxy(orthanc.url) as proxy:
        archive = Archive(hospital, orthanc, proxy.url)
        proxy.before = hold
        call = archive.start(inside.SERIES, [archive.server.series()[0]['id']])
        assert come.wait(TIMEOUT)
        assert wait_until(lambda: len(orthanc.get('/series')) == 3, TIMEOUT)
        call.kill()
        proxy.before = None
        go.set()
        assert archive.deletions()[0]['state'] == 'asked'
        archive.server.done()
        assert archive.deletions()[0]['state'] == 'done'
        archive.server.assert_equal()


def test_what_is_gone_already(hospital, orthanc):
    archive = Archive(hospital, orthanc)
    study, = [
        s for s in archive.server.studies() if s['id'] == archive.first]
    orthanc.delete('studies', study['orthanc_UID'])
    assert archive.delete() == [('done', None)]
    archive.server.assert_equal()


def test_a_proxy_that_knows_no_path(hospital, orthanc):
    "404 of everything is no reason to forget anything"
    with Proxy(orthanc.url) as proxy:
        archive = Archive(hospital, orthanc, proxy.url)
        before = contents(orthanc)
        proxy.before = lambda request: Answer(404)
        (state, _), = archive.delete()
        assert state == 'failed'
        proxy.before = None
        archive.assert_kept(before)


@pytest.mark.parametrize('hospital', ['postgresql'], indirect=True)
def test_a_study_with_many_instances(hospital, orthanc):
    statements = []
    for number in [2, MANY]:
        orthanc.reset()
        hospital.call(inside.empty)
        orthanc.upload_bulk(make_bulk(1, 1, number))
        server = hospital.add_server(orthanc, **ALL)
        server.done()
        record = server.study()
        with Proxy(orthanc.url) as proxy:
            server.write(domain=proxy.url, validated=True)
            _, outcomes, count = hospital.call(
                inside.delete_images, inside.STUDY, [record['id']],
                user=ADMIN)
            assert outcomes == [('done', None)]
            assert len(
                [r for r in proxy.requests if r.method == 'DELETE']) == 1
        server.assert_equal()
        statements.append(count)
    assert statements[0] == statements[1]
