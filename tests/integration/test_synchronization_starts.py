# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs are started by code, wizards, the scheduler and workers."""
import datetime as dt

import pytest

from devtools.process import wait_until
from devtools.samples import Patient

from . import inside
from .hospital import ALL, ON_BOTH, study

TIMEOUT = 60


def ended(server, kind):
    return [
        run['state'] for run in server.runs('state', 'kind')
        if run['kind'] == kind and run['state'] != 'running']


@pytest.mark.parametrize('name, kind', [
        ('get_new_studies', 'incremental'), ('full_synchronize', 'full')])
def test_code_of_other_modules(hospital, orthanc, name, kind):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    assert hospital.call(inside.synchronize_all, name) is None
    server.assert_equal()
    assert ended(server, kind) == ['done']


def test_both_wizards(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    label = server.values('label')['label']
    for number, (wizard, button, kind) in enumerate([
                ('get_new_studies', 'update', 'incremental'),
                ('full_synchronize', 'synchronize', 'full')]):
        orthanc.upload(study(Patient(id=f'WIZARD{number}')))
        message = hospital.call(
            inside.run_wizard, f'gnuhealth.imaging_orthanc.{wizard}', button,
            user=1)
        assert label in message
        server.assert_equal()
        assert ended(server, kind) == ['done']


def test_wizard_without_servers(hospital):
    message = hospital.call(
        inside.run_wizard, 'gnuhealth.imaging_orthanc.get_new_studies',
        'update', user=1)
    assert message


@ON_BOTH
def test_scheduler(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    # All that GNU Health schedules is due at once
    hospital.call(inside.make_crons_due)
    start = dt.datetime.now()
    processes = [hospital.agent.tryton.cron()]
    if hospital.agent.tryton.postgresql:
        processes.append(hospital.agent.tryton.worker())
    try:
        for kind in ['incremental', 'full']:
            assert wait_until(lambda: ended(server, kind), TIMEOUT, 0.5), (
                processes[0].log_tail())
    finally:
        for process in processes:
            process.stop()
    server.assert_equal()
    # The other one may have been at work
    assert 'done' in ended(server, 'incremental') + ended(server, 'full')
    for cron in hospital.call(inside.crons):
        # Some are due each minute
        assert cron['next_call'] > start


@pytest.mark.parametrize('hospital', ['postgresql'], indirect=True)
def test_worker_takes_runs_from_the_queue(hospital, orthanc, start_orthanc):
    other = start_orthanc()
    servers = [hospital.add_server(o, **ALL) for o in [orthanc, other]]
    for number, one in enumerate([orthanc, other]):
        one.upload(study(Patient(id=f'QUEUE{number}')))
    for server in servers:
        hospital.call(inside.press, server.id, 'synchronize', user=1)
        assert not server.runs()
    worker = hospital.agent.tryton.worker(2)
    try:
        assert wait_until(
            lambda: all(ended(s, 'incremental') for s in servers), TIMEOUT,
            0.3), worker.log_tail()
    finally:
        worker.stop()
    for server in servers:
        server.assert_equal()


@pytest.mark.parametrize('button, kind', [
        ('synchronize', 'incremental'), ('reconcile', 'full')])
def test_buttons_of_a_server(hospital, orthanc, button, kind):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study())
    hospital.call(inside.press, server.id, button, user=1)
    server.assert_equal()
    assert ended(server, kind) == ['done']


def test_result_is_shown_on_the_server(hospital, orthanc):
    server = hospital.add_server(orthanc, **ALL)
    orthanc.upload(study(instances=2))
    run = server.done()
    values = server.values(
        'last_result', 'last_error', 'last_synchronization', 'last_duration',
        'synchronizing', 'studies_count')
    assert values['last_result'] == run['result']
    assert values['last_error'] is None and not values['synchronizing']
    assert values['last_synchronization'] and values['studies_count'] == 1
    assert values['last_duration'] >= dt.timedelta()
    nothing = server.done()
    assert nothing['result'] != run['result']


def test_old_runs_are_forgotten(hospital, orthanc):
    server = hospital.add_server(orthanc)
    for _ in range(3):
        server.done()
    first, second, last = [run['id'] for run in server.runs()]
    old = dt.datetime.now() - dt.timedelta(days=400)
    hospital.call(
        inside.write, inside.RUN, [first, last], {'started_at': old})
    hospital.call(inside.clean)
    # The last one is shown on the server
    assert [run['id'] for run in server.runs()] == [second, last]
