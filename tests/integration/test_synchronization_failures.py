# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bad record is kept as a failure, and the others are stored."""

import pytest

from devtools.proxy import Proxy
from devtools.samples import make_bulk

from . import inside
from .hospital import ALL, ON_BOTH, contents
from .listings import altering

PARENTS = {
    'Study': 'ParentPatient', 'Series': 'ParentStudy',
    'Instance': 'ParentSeries'}


@pytest.mark.parametrize('level, kind', [
        ('Study', 'incremental'), ('Series', 'full'),
        ('Instance', 'incremental'),
        *(pytest.param(*values, marks=pytest.mark.release) for values in [
                ('Study', 'full'), ('Series', 'incremental'),
                ('Instance', 'full')]),
        ])
def test_bad_record_is_passed_over(hospital, orthanc, kind, level):
    "A resource that does not say what it belongs to cannot be stored"
    paths = {'Study': 'studies', 'Series': 'series', 'Instance': 'instances'}
    with Proxy(orthanc.url) as proxy:
        server = hospital.add_server(orthanc, proxy.url, **ALL)
        server.done()
        orthanc.upload_bulk(make_bulk(5, 1, 1))
        bad = orthanc.get('/' + paths[level])[2]

        def hurt(resource):
            if resource['ID'] == bad:
                del resource[PARENTS[level]]
            return resource

        proxy.before = altering(orthanc, hurt)
        for _ in range(2):
            run = server.run(kind, BULK_LIMIT=4)
            assert run['state'] == 'done'
        held, stored = contents(orthanc), server.contents()
        assert set(held[paths[level]]) - set(stored[paths[level]]) == {bad}
        failure, = server.failures(
            'level', 'orthanc_UID', 'reason', 'resolved', 'attempts')
        assert failure['orthanc_UID'] == bad
        assert failure['level'] == level.lower() and failure['reason']
        assert not failure['resolved']
        assert server.values('failures_count')['failures_count'] == 1
        proxy.before = None
        server.done('full')
    server.assert_equal()
    failure, = server.failures('resolved')
    assert failure['resolved']
    assert server.values('failures_count')['failures_count'] == 0


@ON_BOTH
@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_record_that_the_database_refuses(hospital, orthanc, kind):
    server = hospital.add_server(orthanc, **ALL)
    server.done()
    orthanc.upload_bulk(make_bulk(9, 1, 1))
    bad = orthanc.get('/studies')[4]
    run = hospital.call(inside.synchronize_but, server.id, kind, bad)
    assert run['state'] == 'done' and run['failures_count'] == 1
    held = set(contents(orthanc)['studies'])
    assert held - set(server.contents()['studies']) == {bad}
    failure, = server.failures('orthanc_UID', 'level', 'reason')
    assert failure['orthanc_UID'] == bad and failure['level'] == 'study'
    server.done('full')
    server.assert_equal()
    assert server.failures('resolved')[0]['resolved']


def test_failure_of_what_is_deleted_is_resolved(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(3, 1, 1))
    bad = orthanc.get('/studies')[1]
    hospital.call(inside.synchronize_but, server.id, 'full', bad)
    assert not server.failures('resolved')[0]['resolved']
    orthanc.delete('studies', bad)
    server.done('full')
    assert server.failures('resolved')[0]['resolved']
    server.assert_equal()


def test_failures_hide_no_missing_study(hospital, orthanc):
    "As many studies are gone as cannot be stored"
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(4, 1, 1))
    server.done()
    gone = orthanc.get('/studies')[1]
    orthanc.delete('studies', gone)
    orthanc.upload_bulk(make_bulk(1, 1, 1, prefix='N'))
    bad = orthanc.get('/studies')[-1]
    run = hospital.call(inside.synchronize_but, server.id, 'full', bad)
    assert run['studies_missing'] == 1
    missing = {
        s['orthanc_UID'] for s in server.studies('missing_since')
        if s['missing_since']}
    assert missing == {gone}


def test_internal_error_is_told_and_carried_on(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(3, 1, 1))
    run = hospital.call(inside.synchronize_broken, server.id)
    assert run['state'] == 'failed' and run['error_kind'] == 'internal'
    assert run['error']
    server.done()
    server.assert_equal()
