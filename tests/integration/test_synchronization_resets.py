# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc whose database is not any more what it was."""
import shutil

import pytest
import requests

from devtools.proxy import Proxy
from devtools.samples import Patient, make_bulk

from .hospital import ALL, contents, study, study_id
from .listings import asked_for


def present(server):
    return sorted(
        s['orthanc_UID'] for s in server.studies('missing_since')
        if not s['missing_since'])


def counter(orthanc):
    "Return the highest number that a change was ever given"
    return orthanc.get(f'/changes?since={2**62}&limit=1')['Last']


def keep_copy(orthanc, folder):
    orthanc.stop()
    shutil.copytree(orthanc.storage, folder)
    orthanc.start()


def restore(orthanc, folder):
    orthanc.kill()
    shutil.rmtree(orthanc.storage)
    shutil.copytree(folder, orthanc.storage)
    orthanc.start()


def test_fresh_database_is_noticed(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    orthanc.upload(study(Patient(id='SECOND')))
    server.done()
    orthanc.reset()
    run = server.done()
    assert run['studies_missing'] == 2
    server.assert_equal()
    orthanc.upload(study(Patient(id='THIRD')))
    server.done()
    server.assert_equal()
    assert len(server.studies()) == 3


@pytest.mark.parametrize('newest_is_gone', [
        True, pytest.param(False, marks=pytest.mark.release)])
def test_fresh_database_that_has_grown_is_noticed(
        hospital, orthanc, newest_is_gone):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    server.done()
    index = server.values('last_changed_index')['last_changed_index']
    orthanc.reset()
    first = orthanc.upload(study(Patient(id='FIRST'), instances=1))
    while counter(orthanc) < 3 * index:
        answers = orthanc.upload(study(Patient(id='OTHER')))
        if newest_is_gone:
            # What stands where the log was left is gone again
            orthanc.delete('studies', study_id(answers))
    server.done()
    server.assert_equal()
    assert study_id(first) in present(server)


@pytest.mark.parametrize('deleted', [
        True, pytest.param(False, marks=pytest.mark.release)])
def test_restored_database_that_has_grown_is_noticed(
        hospital, orthanc, tmp_path, deleted):
    server = hospital.add_server(orthanc, **ALL)
    for number in range(4):
        orthanc.upload(study(Patient(id=f'OLD{number}')))
        server.done()
    keep_copy(orthanc, tmp_path / 'copy')
    lost = [
        study_id(orthanc.upload(study(Patient(id=f'LOST{number}'))))
        for number in range(3)]
    server.done()
    server.assert_equal()
    index = server.values('last_changed_index')['last_changed_index']
    restore(orthanc, tmp_path / 'copy')
    last = None
    while counter(orthanc) < index + 20:
        if last and deleted and counter(orthanc) >= index:
            orthanc.delete('studies', last)
            deleted = False
        last = study_id(orthanc.upload(study(Patient(id='NEW'))))
    server.done()
    server.assert_equal()
    assert not set(lost) & set(present(server))


def test_restored_database_that_is_behind_is_noticed(
        hospital, orthanc, tmp_path):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study(Patient(id='OLD')))
    server.done()
    keep_copy(orthanc, tmp_path / 'copy')
    orthanc.upload(study(Patient(id='LOST')))
    server.done()
    restore(orthanc, tmp_path / 'copy')
    assert server.done()['studies_missing'] == 1
    server.assert_equal()


def test_cleared_log_with_unread_entries(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    server.done()
    orthanc.upload(study(Patient(id='UNREAD')))
    requests.delete(
        orthanc.url + '/changes', auth=orthanc.session.auth, timeout=30
        ).raise_for_status()
    server.done()
    server.assert_equal()
    assert server.done()['requests'] == 1
    orthanc.upload(study(Patient(id='LATER')))
    server.done()
    server.assert_equal()


def test_cleared_log_before_the_first_run(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    server.done()
    orthanc.upload(study())
    requests.delete(
        orthanc.url + '/changes', auth=orthanc.session.auth, timeout=30
        ).raise_for_status()
    orthanc.upload(study(Patient(id='LATER')))
    server.done()
    server.assert_equal()


def test_deleted_newest_study_needs_no_full_run(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    for number in range(5):
        newest = orthanc.upload(study(Patient(id=f'ID{number}')))
        server.done()
    orthanc.delete('studies', study_id(newest))
    with Proxy(orthanc.url) as proxy:
        server.write(domain=proxy.url, validated=True)
        server.done()
        assert {r.path.partition('?')[0] for r in proxy.requests} == {
            '/changes'}
        orthanc.upload(study(Patient(id='LATER')))
        server.done()
        assert not [r for r in proxy.requests if r.path.startswith('/studies')]
        server.done('full')
    server.assert_equal()


def test_full_run_is_not_carried_on_in_another_database(hospital, orthanc):
    limits = {'LISTING_LIMIT': 2}
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload_bulk(make_bulk(6, 1, 1))

    def stop_at_third_page(request):
        if asked_for(request) == ('Study', 3):
            orthanc.kill()

    with Proxy(orthanc.url, before=stop_at_third_page) as proxy:
        server.write(domain=proxy.url, validated=True)
        assert server.run('full', **limits)['state'] == 'failed'
    assert server.values('reconciliation_position')['reconciliation_position']
    orthanc.reset()
    orthanc.start()
    orthanc.upload_bulk(make_bulk(9, 1, 1, prefix='N'))
    server.write(domain=orthanc.url, validated=True)
    server.done(**limits)
    server.assert_equal()
    assert len(contents(orthanc)['studies']) == 9
