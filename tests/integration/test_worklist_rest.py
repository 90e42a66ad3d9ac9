# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklists that Orthanc keeps, brought in step through its REST API.

No Orthanc that has this API can be installed here: a scripted one stands in.
"""
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from threading import Event

import pytest

from trytond.modules.health_orthanc.core.orthanc.worklists import to_tags

from devtools.process import wait_until
from tests.unit.fake_orthanc import (
    cut, free_port, hang_up, redirect, reply, status)

from . import inside, worklist_inside
from .agent import CallFailed
from .fake_worklists import STEP, FakeWorklists
from .hospital import ON_BOTH, Hospital, RemoteServer
from .test_open_transactions import ON_POSTGRESQL, Watch

TIMEOUT = 60
MODEL = 'gnuhealth.imaging.worklist.placement'


class Worklist:
    """The worklist of a server, as GNU Health and Orthanc have it."""

    def __init__(self, hospital: Hospital, orthanc: FakeWorklists):
        self.hospital = hospital
        self.orthanc = orthanc
        self.server: RemoteServer = hospital.add_server(
            orthanc, read_timeout=2.)
        self.call(worklist_inside.check)
        orthanc.received.clear()

    def call(self, function: Callable, *args):
        return self.hospital.call(function, self.server.id, *args)

    def switch_on(self) -> 'Worklist':
        self.call(worklist_inside.set_mode, 'rest')
        self.orthanc.received.clear()
        return self

    def update(self) -> list[str]:
        """Bring it in step; return the methods of the requests."""
        self.orthanc.received.clear()
        self.call(worklist_inside.update)
        return [r.method for r in self.orthanc.requests()]

    def values(self) -> dict:
        return self.server.values(
            'worklist_api', 'worklist_mode', 'worklist_count',
            'worklist_error_kind', 'worklist_error_status', 'worklist_error',
            'last_worklist_update')

    def placements(self) -> list[dict]:
        return self.hospital.read(
            MODEL, [('server', '=', self.server.id)], 'orthanc_id', 'version')

    def assert_holds(self, orders: list[tuple[int, str]]) -> None:
        """Compare with what is to be there, and what is known of it."""
        assert self.orthanc.steps() == sorted(id_ for _, id_ in orders)
        assert sorted(p['orthanc_id'] for p in self.placements()) == sorted(
            id_ for id_, tags in self.orthanc.entries.items() if STEP in tags)

    def assert_in_step(self, orders: list[tuple[int, str]]) -> None:
        self.assert_holds(orders)
        values = self.values()
        assert values['worklist_error'] is None
        assert values['worklist_count'] == len(orders)
        assert values['last_worklist_update']


@pytest.fixture
def start_worklists() -> Iterator[Callable[..., FakeWorklists]]:
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(FakeWorklists(*args))


@pytest.fixture
def clinic(hospital) -> Hospital:
    hospital.call(worklist_inside.clear_orders)
    return hospital


@pytest.fixture
def worklist(clinic, start_worklists) -> Worklist:
    """One that is kept, and empty."""
    return Worklist(clinic, start_worklists()).switch_on()


def order(hospital: Hospital, count: int = 1, **name: str) -> list:
    return hospital.call(worklist_inside.place_orders, count, *name.values())


def cancel(hospital: Hospital, orders: list[tuple[int, str]]) -> None:
    hospital.call(
        worklist_inside.press, worklist_inside.STEP,
        [id_ for id_, _ in orders], 'cancel')


# Who has it

def test_it_is_offered_where_the_check_finds_it(clinic, start_worklists):
    worklist = Worklist(clinic, start_worklists('1.12.10'))
    assert worklist.values()['worklist_api']
    assert worklist.values()['worklist_mode'] == 'none'
    order(clinic)
    assert not worklist.orthanc.entries
    worklist.switch_on()
    # It need not wait for the scheduler
    assert len(worklist.orthanc.entries) == 1


@pytest.mark.parametrize('arguments', [
        ('1.12.9',), ('1.12.10', ('worklists-of-others',)), ('1.10.1',)])
def test_it_is_refused_where_it_is_not(clinic, start_worklists, arguments):
    worklist = Worklist(clinic, start_worklists(*arguments))
    assert not worklist.values()['worklist_api']
    with pytest.raises(CallFailed, match='Install Orthanc 1.12.10 or later'):
        worklist.switch_on()
    assert worklist.values()['worklist_mode'] == 'none'


def test_it_is_refused_where_the_plugin_is_disabled(clinic, start_worklists):
    orthanc = start_worklists('1.12.10', ('worklists',))
    orthanc.before = (
        lambda request: status(404) if 'worklists' in request.path else None)
    worklist = Worklist(clinic, orthanc)
    with pytest.raises(CallFailed, match='in the section Worklists'):
        worklist.switch_on()


def test_real_orthanc(clinic, start_orthanc):
    """Those of Debian have the older plugin of the same name, 1.13.0 too."""
    orthanc = start_orthanc(
        plugins=['worklists'],
        configuration={'Worklists': {'Enable': True, 'Database': '.'}})
    assert 'worklists' in orthanc.get('/plugins')
    has_it = orthanc.session.get(
        orthanc.url + '/worklists', timeout=TIMEOUT).status_code == 200
    server = clinic.add_server(orthanc)
    clinic.call(worklist_inside.check, server.id)
    assert server.values('validated')['validated']
    assert bool(server.values('worklist_api')['worklist_api']) == has_it
    with nullcontext() if has_it else pytest.raises(
            CallFailed, match='Install Orthanc 1.12.10 or later'):
        clinic.call(worklist_inside.set_mode, server.id, 'rest')
    mode = server.values('worklist_mode')['worklist_mode']
    assert (mode == 'rest') == has_it


def test_server_that_has_it_no_more(clinic, worklist):
    orders = order(clinic)
    worklist.orthanc.before = (
        lambda request: status(404) if 'worklists' in request.path else None)
    worklist.update()
    values = worklist.values()
    assert values['worklist_error_kind'] == 'no_worklists'
    assert '1.12.10' in values['worklist_error']
    worklist.call(worklist_inside.check)
    assert worklist.values()['worklist_mode'] == 'rest'
    worklist.orthanc.before = None
    worklist.update()
    worklist.assert_in_step(orders)


# What is kept

@ON_BOTH
def test_orders_are_kept_in_step(clinic, worklist):
    orders = order(clinic, 3)
    assert worklist.update() == ['GET', 'POST', 'POST', 'POST']
    worklist.assert_in_step(orders)
    assert worklist.update() == ['GET']
    # One is changed, one is canceled, one is new
    clinic.write(
        worklist_inside.STEP, [orders[0][0]], station_aetitle='CT9')
    cancel(clinic, orders[1:2])
    added = order(clinic)
    before = set(worklist.orthanc.entries)
    assert worklist.update() == ['GET', 'DELETE', 'PUT', 'POST']
    worklist.assert_in_step([orders[0], orders[2], *added])
    assert len(before & set(worklist.orthanc.entries)) == 2
    titles = {
        tags[STEP][0]['ScheduledProcedureStepID']:
        tags[STEP][0]['ScheduledStationAETitle']
        for tags in worklist.orthanc.entries.values()}
    assert titles == {
        orders[0][1]: 'CT9', orders[2][1]: 'CT1', added[0][1]: 'CT1'}
    assert worklist.update() == ['GET']


@pytest.mark.parametrize('name', [
        {'family': "Παράδειγμα", 'given': "Ελένη"},
        {'family': "样本", 'given': "小东"},
        {'family': "O'Neill] ${x} {% for %}", 'given': '"\\ = ^ 😀'},
        ])
def test_content_is_that_of_the_renderer(clinic, worklist, name):
    (step, _), = order(clinic, **name)
    worklist.update()
    entry, = clinic.read(
        worklist_inside.ENTRY, [('step', '=', step)], 'dicom')
    tags, = worklist.orthanc.entries.values()
    assert tags == to_tags(entry['dicom'])
    assert tags['SpecificCharacterSet'] == 'ISO_IR 192'
    assert tags['PatientName'].startswith(name['family'][:4])


def test_entries_of_others_are_left_alone(clinic, worklist):
    step = {STEP: [{
                'Modality': 'MR', 'ScheduledProcedureStepID': 'OTHER',
                'ScheduledProcedureStepStartDate': '20260101'}]}
    others = {
        worklist.orthanc.add(), worklist.orthanc.add(StudyInstanceUID='1.2'),
        worklist.orthanc.add(StudyInstanceUID='1.2.3', **step)}
    orders = order(clinic, 2)
    worklist.update()
    cancel(clinic, orders)
    assert worklist.update() == ['GET', 'DELETE', 'DELETE']
    worklist.call(worklist_inside.set_mode, 'none')
    assert set(worklist.orthanc.entries) == others


def test_what_was_deleted_in_orthanc_comes_back(clinic, worklist):
    orders = order(clinic, 3)
    worklist.update()
    first, *_ = worklist.orthanc.entries
    del worklist.orthanc.entries[first]
    assert worklist.update() == ['GET', 'POST']
    worklist.assert_in_step(orders)
    # Orthanc has lost its database
    worklist.orthanc.entries.clear()
    assert worklist.update().count('POST') == 3
    worklist.assert_in_step(orders)


def test_deleted_while_a_run_is_at_it(clinic, worklist):
    orders = order(clinic)
    worklist.update()
    clinic.write(worklist_inside.STEP, [orders[0][0]], location="Room 5")

    def delete(request):
        if request.method == 'PUT':
            worklist.orthanc.entries.clear()
            return status(404)

    worklist.orthanc.before = delete
    assert worklist.update() == ['GET', 'PUT', 'POST']
    worklist.assert_in_step(orders)
    worklist.orthanc.before = lambda request: (
        worklist.orthanc.entries.clear() if request.method == 'DELETE'
        else None)
    cancel(clinic, orders)
    worklist.update()
    worklist.assert_in_step([])


def test_drafts_are_not_sent(clinic, worklist):
    (step, _), = order(clinic)
    request, = clinic.read(
        worklist_inside.REQUEST, [('steps', '=', step)], 'state')
    clinic.write(worklist_inside.REQUEST, [request['id']], state='draft')
    assert worklist.update() == ['GET']


def test_deleted_steps(clinic, worklist):
    kept, gone = order(clinic, 2)
    worklist.update()
    clinic.call(
        worklist_inside.remove, worklist_inside.STEP, [gone[0]], user=1)
    worklist.update()
    worklist.assert_in_step([kept])


# Servers come and go

def test_switched_off(clinic, worklist):
    order(clinic, 2)
    worklist.update()
    worklist.call(worklist_inside.set_mode, 'none')
    worklist.assert_in_step([])
    # Nobody is asked any more
    worklist.orthanc.received.clear()
    clinic.call(worklist_inside.update_all)
    assert not worklist.orthanc.received


def test_switched_off_while_orthanc_is_down(clinic, worklist):
    order(clinic, 2)
    worklist.update()
    worklist.orthanc.before = lambda request: hang_up
    worklist.call(worklist_inside.set_mode, 'none')
    assert len(worklist.orthanc.entries) == 2
    worklist.orthanc.before = None
    clinic.call(worklist_inside.update_all)
    worklist.assert_in_step([])


def test_deactivated(clinic, worklist):
    orders = order(clinic, 2)
    worklist.update()
    with pytest.raises(CallFailed, match='still has items'):
        clinic.call(
            worklist_inside.remove, inside.SERVER, [worklist.server.id])
    clinic.call(
        worklist_inside.press, inside.SERVER, [worklist.server.id],
        'remove_config_server', user=1)
    worklist.assert_in_step([])
    worklist.call(worklist_inside.set_active, True)
    worklist.assert_in_step(orders)


def test_one_server_is_down(clinic, worklist, start_worklists):
    down = Worklist(clinic, start_worklists()).switch_on()
    down.server.write(domain=f'http://127.0.0.1:{free_port()}')
    other = Worklist(clinic, start_worklists()).switch_on()
    orders = order(clinic, 2)
    clinic.call(worklist_inside.update_all)
    worklist.assert_in_step(orders)
    other.assert_in_step(orders)
    assert down.values()['worklist_error_kind'] == 'refused'
    assert 'refused the connection' in down.values()['worklist_error']


# What goes wrong

@pytest.mark.parametrize('fault, kind', [
        (status(401), 'unauthorized'),
        (cut, 'unexpected_answer'),
        # Which error it is, is a matter of the client and its tests
        *(pytest.param(*values, marks=pytest.mark.release) for values in [
                (status(403), 'forbidden'),
                (status(500), 'server_fault'),
                (status(503), 'server_fault'),
                (redirect('http://elsewhere/'), 'redirected'),
                (hang_up, 'unreachable'),
                ]),
        ])
def test_faults_are_told_and_mended(clinic, worklist, fault, kind):
    changed, *gone = order(clinic, 5)
    added = []
    worklist.update()
    for method in ['GET', 'POST', 'PUT', 'DELETE']:
        clinic.write(worklist_inside.STEP, [changed[0]], location=method)
        cancel(clinic, [gone.pop()])
        added += order(clinic)
        worklist.orthanc.before = (
            lambda request: fault if request.method == method else None)
        worklist.update()
        values = worklist.values()
        assert values['worklist_error_kind'] == kind
        assert values['worklist_error']
        worklist.orthanc.before = None
        worklist.update()
        worklist.assert_in_step([changed, *gone, *added])


@pytest.mark.parametrize('method, fault', [
        ('POST', status(500)), ('PUT', cut), ('DELETE', reply(b'<html>')),
        *(pytest.param(method, fault, marks=pytest.mark.release)
            for method in ['POST', 'PUT', 'DELETE']
            for fault in [status(500), cut, reply(b'<html>')]),
        ])
def test_done_but_not_told(clinic, worklist, method, fault):
    changed, gone = order(clinic, 2)
    worklist.update()
    clinic.write(worklist_inside.STEP, [changed[0]], location="Room 5")
    cancel(clinic, [gone])
    orders = [changed, *order(clinic, 3)]
    worklist.orthanc.after = (
        lambda request: fault if request.method == method else None)
    worklist.update()
    worklist.orthanc.after = None
    worklist.update()
    worklist.assert_in_step(orders)
    assert worklist.update() == ['GET']


@pytest.mark.parametrize('body', [
        b'<html>Log in</html>', b'[{"ID": 5}]',
        # More of them are those of the client's tests
        *(pytest.param(body, marks=pytest.mark.release)
            for body in [b'', b'{}', b'["x"]', b'[', b'\xff\xfe'])])
def test_a_listing_that_is_none_changes_nothing(clinic, worklist, body):
    orders = order(clinic, 2)
    worklist.update()
    cancel(clinic, orders[:1])
    worklist.orthanc.before = lambda request: reply(body)
    assert worklist.update() == ['GET']
    assert worklist.values()['worklist_error_kind'] == 'unexpected_answer'
    worklist.orthanc.before = None
    worklist.update()
    worklist.assert_in_step(orders[1:])


def test_what_is_refused_keeps_nothing_else_away(clinic, worklist):
    orders = order(clinic, 15)
    refused = [id_ for _, id_ in orders[:12]]
    attempts = []

    def refuse(request):
        if any(id_.encode() in request.body for id_ in refused):
            attempts.append(request)
            return status(400)

    worklist.orthanc.before = refuse
    worklist.update()
    assert len(attempts) == 10
    # Those that were not tried yet come first
    worklist.update()
    assert len(attempts) == 20
    assert worklist.orthanc.steps() == sorted(id_ for _, id_ in orders[12:])
    values = worklist.values()
    assert values['worklist_error_status'] == 400
    assert '400' in values['worklist_error']
    worklist.orthanc.before = None
    worklist.update()
    worklist.assert_in_step(orders)


def test_doubles_are_removed(clinic, worklist):
    orders = order(clinic)
    worklist.update()
    tags, = worklist.orthanc.entries.values()
    file = 'gnuhealth-17'
    worklist.orthanc.add(**tags)
    worklist.orthanc.entries[file] = {**tags, STEP: []}
    assert worklist.update() == ['GET', 'DELETE']
    # Files of the script are not ours
    del worklist.orthanc.entries[file]
    worklist.assert_in_step(orders)


@ON_BOTH
def test_killed_runs_are_carried_on(clinic, worklist):
    orders = order(clinic, 12)
    worklist.update()
    clinic.write(
        worklist_inside.STEP, [id_ for id_, _ in orders[:4]],
        location="Room 5")
    cancel(clinic, orders[4:8])
    orders = orders[:4] + orders[8:] + order(clinic, 4)
    generator = random.Random('killed')
    killed = 0
    for _ in range(6):
        call = clinic.agent.start(
            worklist_inside.update_until, worklist.server.id,
            generator.randrange(10, 110))
        call.wait()
        killed += call.killed
    assert killed > 1
    worklist.update()
    worklist.assert_in_step(orders)
    assert worklist.update() == ['GET']


@pytest.mark.parametrize('hospital, method, when', [
        ('postgresql', 'POST', 'after'),
        pytest.param(
            'postgresql', 'DELETE', 'after', marks=pytest.mark.release),
        *(pytest.param('sqlite', method, when, marks=pytest.mark.release)
            for method in ['GET', 'POST', 'PUT', 'DELETE']
            for when in ['before', 'after']),
        ], indirect=['hospital'])
def test_killed_in_mid_request(clinic, worklist, method, when):
    changed, gone = order(clinic, 2)
    worklist.update()
    clinic.write(worklist_inside.STEP, [changed[0]], location="Room 5")
    cancel(clinic, [gone])
    orders = [changed, *order(clinic, 3)]
    calls = []

    def kill(request):
        if request.method == method:
            assert wait_until(lambda: calls, TIMEOUT)
            os.kill(calls[0].pid, signal.SIGKILL)
            return hang_up

    setattr(worklist.orthanc, when, kill)
    calls.append(clinic.agent.start(
            worklist_inside.update, worklist.server.id))
    calls[0].wait()
    assert calls[0].killed
    setattr(worklist.orthanc, when, None)
    worklist.update()
    worklist.assert_in_step(orders)
    assert worklist.update() == ['GET']


# Several at once

@contextmanager
def halted(worklist: Worklist, method: str) -> Iterator[None]:
    """Let a run stand still at a request for the time of the context."""
    reached, go_on = Event(), Event()

    def halt(request):
        if request.method == method:
            reached.set()
            assert go_on.wait(TIMEOUT)

    worklist.orthanc.before = halt
    call = worklist.hospital.agent.start(
        worklist_inside.update, worklist.server.id)
    assert reached.wait(TIMEOUT)
    try:
        yield
    finally:
        worklist.orthanc.before = None
        go_on.set()
    call.result()


@ON_BOTH
def test_second_run_leaves_it_to_the_first(clinic, worklist):
    orders = order(clinic, 2)
    with halted(worklist, 'POST'):
        assert [r.method for r in worklist.orthanc.requests()] == [
            'GET', 'POST']
        assert worklist.update() == []
    worklist.assert_in_step(orders)


@ON_BOTH
def test_synchronisation_goes_on_beside(clinic, worklist):
    orders = order(clinic, 2)
    with halted(worklist, 'POST'):
        # The stand-in has no studies to list, but it was asked
        assert worklist.server.run()['error_kind'] == 'not_found'
    worklist.assert_in_step(orders)


@ON_POSTGRESQL
def test_no_transaction_is_open_meanwhile(clinic, worklist):
    watch = Watch(clinic.agent.tryton)
    worklist.orthanc.before = watch.look
    orders = order(clinic, 2)
    worklist.update()
    cancel(clinic, orders[:1])
    worklist.update()
    watch.assert_none()
    worklist.assert_in_step(orders[1:])


def test_what_has_piled_up_runs_once(clinic, worklist):
    orders = order(clinic)
    # All is put in the queue before anything is taken from it
    clinic.call(worklist_inside.pile_up, 5)
    assert len(worklist.orthanc.requests('GET')) == 1
    worklist.assert_in_step(orders)


@ON_POSTGRESQL
def test_workers_take_it_from_the_queue(clinic, worklist, start_worklists):
    other = Worklist(clinic, start_worklists()).switch_on()
    orders = order(clinic, 2)

    def work_off():
        assert wait_until(
            lambda: not clinic.read(
                'ir.queue', [('finished_at', '=', None)]), TIMEOUT, 0.2), (
            worker.log_tail())

    clinic.call(worklist_inside.pile_up, 5)
    assert not worklist.orthanc.requests()
    worker = clinic.agent.tryton.worker(2)
    try:
        work_off()
        for one in [worklist, other]:
            assert len(one.orthanc.requests('GET')) == 1
        # One may have found the other rendering what was new
        clinic.call(worklist_inside.update_all)
        work_off()
    finally:
        worker.stop()
    for one in [worklist, other]:
        one.assert_in_step(orders)


def test_scheduler(clinic, worklist):
    orders = order(clinic, 2)
    clinic.call(inside.make_crons_due)
    process = clinic.agent.tryton.cron()
    try:
        assert wait_until(
            lambda: worklist.orthanc.steps() == sorted(
                id_ for _, id_ in orders), TIMEOUT, 0.2), process.log_tail()
    finally:
        process.stop()


# How much it takes

def test_requests_and_statements_are_bounded(clinic, worklist):
    def statements():
        return worklist.call(worklist_inside.update)

    order(clinic, 5)
    few = statements()
    assert len(worklist.orthanc.requests()) == 6
    idle = statements()
    order(clinic, 100)
    worklist.orthanc.received.clear()
    many = statements()
    assert len(worklist.orthanc.requests()) == 101
    worklist.orthanc.received.clear()
    assert statements() <= idle + 2
    assert len(worklist.orthanc.requests()) == 1
    assert many < few + 100 * 6
