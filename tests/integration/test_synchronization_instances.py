# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances are recorded when somebody opens their series, or always."""
import pytest

from devtools.proxy import Proxy

from . import inside
from .hospital import ADMIN, ALL, ON_BOTH, contents, study


@pytest.fixture
def proxy(orthanc):
    with Proxy(orthanc.url) as proxy:
        yield proxy


def open_series(hospital, series):
    "Read a series as clients do; return how many instances are shown"
    found, = hospital.call(
        inside.open_series, [series['id']], user=ADMIN, access=True)
    return len(found['instances'])


def paths(proxy):
    return [r.path.split('/')[1].partition('?')[0] for r in proxy.requests]


def test_instances_are_fetched_when_a_series_is_opened(
        hospital, orthanc, proxy):
    orthanc.upload(study(series=2, instances=3))
    server = hospital.add_server(orthanc, proxy.url)
    server.done()
    server.done('full')
    assert not server.contents()['instances']
    assert not [r for r in proxy.requests if 'instances' in r.path]
    first, second = server.series('instances_count')
    assert first['instances_count'] == second['instances_count'] == 3
    proxy.requests.clear()
    assert open_series(hospital, first) == 3
    assert [r.path for r in proxy.requests if 'instances' in r.path] == [
        f"/studies/{server.study()['orthanc_UID']}/instances"]
    # Those of the study's other series came along
    proxy.requests.clear()
    assert open_series(hospital, first) == 3
    assert open_series(hospital, second) == 3
    assert not proxy.requests
    server.assert_equal()
    assert all(
        i['instance_number'] in {1, 2, 3} and i['sop_instance_UID']
        for i in server.instances('instance_number', 'sop_instance_UID'))


def test_one_request_fetches_the_instances(hospital, orthanc, proxy):
    orthanc.upload(study(instances=3))
    server = hospital.add_server(orthanc, proxy.url)
    server.done()
    series, = server.series()
    proxy.requests.clear()
    open_series(hospital, series)
    assert len(proxy.requests) == 1, [r.path for r in proxy.requests]


def test_other_fields_fetch_nothing(hospital, orthanc, proxy):
    orthanc.upload(study())
    server = hospital.add_server(orthanc, proxy.url)
    server.done()
    series, = server.series()
    proxy.requests.clear()
    hospital.call(
        inside.open_series, [series['id']], ['rec_name', 'instances_count'],
        user=ADMIN, access=True)
    server.series('instances')
    assert not proxy.requests


def test_late_images_are_fetched_too(hospital, orthanc, proxy):
    datasets = study(instances=4)
    orthanc.upload(datasets[:2])
    server = hospital.add_server(orthanc, proxy.url)
    server.done()
    series, = server.series()
    assert open_series(hospital, series) == 2
    orthanc.upload(datasets[2:])
    server.done('full')
    assert server.series('instances_count')[0]['instances_count'] == 4
    assert open_series(hospital, series) == 4
    server.assert_equal()


def test_deleted_images_are_missing(hospital, orthanc, proxy):
    answers = orthanc.upload(study(instances=3))
    server = hospital.add_server(orthanc, proxy.url)
    server.done()
    series, = server.series()
    open_series(hospital, series)
    orthanc.delete('instances', answers[0]['ID'])
    server.done('full')
    server.assert_equal()
    assert server.series('instances_count')[0]['instances_count'] == 2


def test_button_fetches_what_no_run_has_seen_yet(hospital, orthanc):
    datasets = study(instances=4)
    answers = orthanc.upload(datasets[:2])
    server = hospital.add_server(orthanc)
    server.done()
    series, = server.series()
    open_series(hospital, series)
    orthanc.upload(datasets[2:])
    orthanc.delete('instances', answers[0]['ID'])
    hospital.call(
        inside.load_instances, [series['id']], user=ADMIN, access=True)
    server.assert_equal()
    assert server.series('instances_count')[0]['instances_count'] == 3


def test_form_opens_while_orthanc_is_down(hospital, orthanc):
    orthanc.upload(study(instances=2))
    server = hospital.add_server(orthanc)
    server.done()
    series, = server.series()
    orthanc.kill()
    assert open_series(hospital, series) == 0
    orthanc.start()
    assert open_series(hospital, series) == 2


def test_study_that_is_gone_opens(hospital, orthanc):
    orthanc.upload(study(instances=2))
    server = hospital.add_server(orthanc)
    server.done()
    series, = server.series()
    orthanc.clear()
    assert open_series(hospital, series) == 0


def test_gone_and_sent_again_is_shown_again(hospital, orthanc):
    datasets = study(instances=2)
    orthanc.upload(datasets)
    server = hospital.add_server(orthanc)
    server.done()
    series, = server.series()
    assert open_series(hospital, series) == 2
    orthanc.clear()
    server.done('full')
    assert not server.contents()['instances']
    orthanc.upload(datasets)
    server.done()
    assert open_series(hospital, series) == 2
    server.assert_equal()


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_always_records_instances_in_every_run(hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    datasets = study(series=2, instances=4)
    orthanc.upload(datasets[:2])
    server.done()
    server.assert_equal()
    orthanc.upload(datasets[2:])
    run = server.done(kind)
    assert run['instances_created'] == 6
    server.assert_equal()
    counts = {s['instances_count'] for s in server.series('instances_count')}
    assert counts == {4}


def test_setting_is_changed(hospital, orthanc):
    server = hospital.add_server(orthanc)
    orthanc.upload(study(instances=2))
    server.done()
    server.write(instances_mode='always')
    server.done('full')
    server.assert_equal()
    assert len(contents(orthanc)['instances']) == 2


@ON_BOTH
def test_two_people_open_a_series_at_once(hospital, orthanc):
    orthanc.upload(study(instances=3))
    server = hospital.add_server(orthanc)
    server.done()
    series, = server.series()
    calls = [
        hospital.agent.start(
            inside.open_series, [series['id']], user=ADMIN, access=True)
        for _ in range(4)]
    assert [len(call.result()[0]['instances']) for call in calls] == [3] * 4
    server.assert_equal()
