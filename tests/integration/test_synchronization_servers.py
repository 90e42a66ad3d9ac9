# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are down, far, guarded or several."""
import copy
from threading import Event

import pytest

from devtools.certificates import Authority
from devtools.process import free_port
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient, make_bulk

from . import inside
from .hospital import ALL, ON_BOTH, study
from .listings import asked_for


@pytest.mark.parametrize('requests, kind', [
        (1, 'full'), (4, 'incremental'),
        *(pytest.param(*values, marks=pytest.mark.release) for values in [
                (1, 'incremental'), (4, 'full'), (7, 'full'),
                (7, 'incremental')]),
        ])
def test_orthanc_is_stopped_in_mid_run(hospital, orthanc, kind, requests):
    server = hospital.add_server(orthanc, **ALL)
    server.done()
    orthanc.upload_bulk(make_bulk(8, 1, 2))
    limits = {'CHANGES_LIMIT': 12, 'LISTING_LIMIT': 3, 'BULK_LIMIT': 5}

    def stop(request):
        if len(proxy.requests) == requests:
            orthanc.kill()

    with Proxy(orthanc.url, before=stop) as proxy:
        server.write(domain=proxy.url, validated=True)
        run = server.run(kind, **limits)
        assert run['state'] == 'failed'
        assert run['error_kind'] == 'server_fault' and run['error']
        assert not server.values('synchronizing')['synchronizing']
        orthanc.start()
        server.done(kind, **limits)
    server.assert_equal()


def test_one_of_two_servers_is_down(hospital, orthanc, start_orthanc):
    other = start_orthanc()
    down = hospital.add_server(orthanc, url=f'http://127.0.0.1:{free_port()}')
    up = hospital.add_server(other, **ALL)
    other.upload(study())
    text = hospital.call(inside.synchronize_all)
    up.assert_equal()
    label = down.values('label')['label']
    assert label in text and up.values('label')['label'] not in text
    run, = down.runs('state', 'error_kind', 'error')
    assert run['state'] == 'failed' and run['error_kind'] == 'refused'
    assert run['error']
    assert down.values('last_error')['last_error'] == run['error']
    assert up.values('last_error')['last_error'] is None


def test_wrong_password(hospital, orthanc):
    server = hospital.add_server(orthanc, password='wrong')
    orthanc.upload(study())
    run = server.run()
    assert run['state'] == 'failed' and run['error_kind'] == 'unauthorized'
    assert run['requests'] == 1
    assert not server.studies()
    server.write(password=orthanc.password)
    server.done()
    assert len(server.studies()) == 1


def test_path_prefix(hospital, orthanc):
    orthanc.upload(study())
    with Proxy(orthanc.url, prefix='/imaging/pacs') as proxy:
        server = hospital.add_server(orthanc, proxy.url + '/', **ALL)
        server.done()
        server.assert_equal()
        assert server.values('domain')['domain'] == proxy.url


def test_self_signed_certificate(hospital, orthanc):
    authority = Authority()
    orthanc.upload(study())
    with Proxy(orthanc.url, authority=authority) as proxy:
        server = hospital.add_server(orthanc, proxy.url, **ALL)
        run = server.run()
        assert run['state'] == 'failed'
        assert run['error_kind'] == 'certificate'
        assert not proxy.requests
        server.write(ca_certificates=Authority().certificate)
        assert server.run()['error_kind'] == 'certificate'
        server.write(ca_certificates=authority.certificate)
        server.done()
    server.assert_equal()


def test_answers_that_are_cut_are_told(hospital, orthanc):
    orthanc.upload(study())

    def cut(request):
        if asked_for(request):
            return Answer(200, b'[' + b' ' * 1000, cut=100)

    with Proxy(orthanc.url, before=cut) as proxy:
        server = hospital.add_server(orthanc, proxy.url, **ALL)
        run = server.run()
        assert run['state'] == 'failed'
        assert run['error_kind'] == 'unexpected_answer'
        proxy.before = None
        server.done()
    server.assert_equal()


def test_same_study_on_two_servers(hospital, orthanc, start_orthanc):
    other = start_orthanc()
    datasets = study()
    orthanc.upload(datasets)
    other.upload(datasets)
    other.upload(study(Patient(id='ELSEWHERE')))
    one, two = hospital.add_server(orthanc), hospital.add_server(other)
    for server in [one, two]:
        server.done()
    labels = [server.values('label')['label'] for server in [one, two]]
    assert one.study('also_on')['also_on'] == labels[1]
    assert {
        s['patient_id']: s['also_on']
        for s in two.studies('also_on', 'patient_id')} == {
            'PHANTOM': labels[0], 'ELSEWHERE': None}
    assert not one.study('uid_conflict')['uid_conflict']
    # A decision on one is none on the other
    patient, _ = hospital.add_patient()
    hospital.write(inside.STUDY, [one.study()['id']], patient=patient)
    for server in [one, two]:
        server.done('full')
    assert not any(s['patient'] for s in two.studies('patient'))
    other.clear()
    two.done('full')
    assert one.study('also_on')['also_on'] is None


def test_two_studies_of_one_uid_on_one_of_two_servers(
        hospital, orthanc, start_orthanc):
    other = start_orthanc()
    one = study(Patient(id='ONE'))
    two = copy.deepcopy(one)
    for dataset in two:
        dataset.PatientID = 'TWO'
    orthanc.upload(one)
    other.upload(two)
    servers = [hospital.add_server(o) for o in [orthanc, other]]
    for server in servers:
        server.done()
        assert not server.study('uid_conflict')['uid_conflict']


# The databases have locks of different kinds
@pytest.mark.parametrize('hospital', ['postgresql', 'sqlite'], indirect=True)
def test_second_run_at_once_is_skipped(hospital, orthanc, start_orthanc):
    orthanc.upload(study())
    other = start_orthanc()
    other.upload(study())
    arrived, release = Event(), Event()

    def hold(request):
        arrived.set()
        release.wait(60)

    with Proxy(orthanc.url, before=hold) as proxy:
        server = hospital.add_server(orthanc, proxy.url, **ALL)
        free = hospital.add_server(other, **ALL)
        first = server.start()
        try:
            assert arrived.wait(60)
            assert server.values('synchronizing')['synchronizing']
            second = server.run('full')
            free.done()
        finally:
            release.set()
        assert second['state'] == 'skipped' and second['error']
        assert not second['requests']
        assert first.result()['state'] == 'done'
    server.assert_equal()
    states = [run['state'] for run in server.runs('state')]
    assert states == ['done', 'skipped']
    server.write(domain=orthanc.url, validated=True)
    server.done()


@ON_BOTH
def test_runs_of_one_moment_store_everything_once(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(6, 2, 2))
    calls = [server.start('full', LISTING_LIMIT=2) for _ in range(4)]
    states = [call.result()['state'] for call in calls]
    assert set(states) <= {'done', 'skipped'} and 'done' in states
    server.assert_equal()
