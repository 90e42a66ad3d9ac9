# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modalities see while a real GNU Health is in trouble."""
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proteus import Model

from devtools import hospital
from devtools.dicom import find_worklist
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.tryton import MODULE, Server

from .radiology import (
    TIMEOUT, becomes, connect_plugin, file_orthanc, live_orthanc,
    open_hospital, says, script, step_ids, wlmscpfs)
from .worklist_script import FULL_DISK

STEPS = 'gnuhealth.imaging.procedure.step'
NOT_WRITTEN, REFUSED, NO_ANSWER = 1, 2, 3


@dataclass
class Site:
    """A GNU Health behind a proxy, and what asks it.

    Attributes
    ----------
    key
        The file with the plugin's key.
    files, wlmscpfs
        The DICOM ports of the servers of the files.
    """
    server: Server
    proxy: Proxy
    live: Orthanc
    key: Path
    folder: Path
    files: int
    wlmscpfs: int

    def update(self, *arguments: str, **options: object):
        run = script(self.server, self.folder, TRYTON_URL=self.proxy.url)
        return run(*arguments, **options)

    def open_steps(self) -> list[str]:
        """Return the IDs of the steps that are to be seen."""
        return sorted(step.step_id for step in Model.get(STEPS).find(
                [('state', '=', 'scheduled'),
                    ('request.state', '=', 'requested')]))

    def cancel(self) -> str:
        """Cancel a step, and return its ID."""
        step, *_ = Model.get(STEPS).find(
            [('state', '=', 'scheduled'), ('request.state', '=', 'requested')])
        step.click('cancel')
        return step.step_id

    def seen(self) -> set[tuple[str, ...]]:
        """Return what modalities see at this moment, in each way."""
        return {
            tuple(step_ids(find_worklist(port, aet=aet)))
            for port, aet in [
                (self.live.dicom_port, 'ORTHANC'), (self.files, 'ORTHANC'),
                (self.wlmscpfs, 'GNUHEALTH')]}

    @contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """Answer so in GNU Health's place."""
        self.proxy.before = lambda request: answer
        try:
            yield
        finally:
            self.proxy.before = None


@pytest.fixture(scope='module')
def site(prepared_tryton, tmp_path_factory) -> Iterator[Site]:
    tryton = prepared_tryton('sqlite', MODULE).copy('troubles')
    folder = tmp_path_factory.mktemp('troubles') / 'worklists'
    folder.mkdir()
    key = folder.with_name('key')
    with ExitStack() as stack:
        server = tryton.server()
        stack.callback(server.stop)
        server.start()
        open_hospital(server)
        server.connect('physician')
        hospital.place_orders()
        server.connect()
        proxy = stack.enter_context(Proxy(server.url))
        section = connect_plugin(server, proxy.url)
        write_key(key, section.pop('Key'))
        live = stack.enter_context(live_orthanc(
                {**section, 'KeyFile': str(key), 'Timeout': 2},
                folder.with_name('orthanc')))
        files = stack.enter_context(file_orthanc(folder))
        port = stack.enter_context(wlmscpfs(folder))
        yield Site(
            server, proxy, live, key, folder, files.dicom_port, port)
    tryton.drop()


def write_key(path: Path, key: str) -> None:
    path.touch(0o600)
    path.write_text(key)


@pytest.fixture
def good(site) -> Iterator[tuple[str, ...]]:
    """What modalities see before the trouble, and again after it."""
    for step in Model.get(STEPS).find([('state', '=', 'canceled')]):
        step.click('reopen')
    assert len(site.open_steps()) == 4
    becomes(site.live, site.open_steps(), limit=TIMEOUT)
    site.update()
    seen, = site.seen()
    assert list(seen) == site.open_steps()
    yield seen
    becomes(site.live, site.open_steps(), limit=TIMEOUT)
    site.update()
    seen, = site.seen()
    assert list(seen) == site.open_steps()


def test_gnu_health_is_stopped_and_restarted(site, good):
    port = site.server.port
    site.server.stop()
    says(site.live, '(status 502)')
    assert site.update(expected=NO_ANSWER).stderr
    assert site.seen() == {good}
    site.server.start(port)
    assert site.server.port == port
    site.cancel()


@contextmanager
def paused(server: Server) -> Iterator[None]:
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.release
def test_gnu_health_is_slow(site, good):
    """The plugin waits for two seconds, modalities never."""
    with paused(site.server):
        says(site.live, 'does not answer in time')
        assert site.seen() == {good}
        ended = site.update('--timeout', '1', expected=NO_ANSWER)
        assert "cannot be reached" in ended.stderr
        assert site.seen() == {good}
    site.cancel()


def test_the_key_is_cancelled(site, good):
    """A new key is taken without a restart."""
    new = connect_plugin(site.server)['Key']
    try:
        says(site.live,
            'GNU Health rejects the key or its user (status 403)')
        step = site.cancel()
        assert step in step_ids(find_worklist(site.live.dicom_port))
    finally:
        write_key(site.key, new)


@pytest.mark.parametrize('answer, words', [
        (Answer(401), '(status 401)'),
        (Answer(500), '(status 500)'),
        (Answer(200, b'<html>A page of the proxy</html>'), 'not JSON'),
        ], ids=['401', '500', 'garbage'])
def test_gnu_health_answers_something_else(site, good, answer, words):
    with site.answering(answer):
        says(site.live, words)
        site.cancel()
        code = REFUSED if answer.status == 401 else NO_ANSWER
        assert site.update(expected=code).stderr
        assert site.seen() == {good}


@pytest.mark.parametrize('end', [
        Orthanc.kill, pytest.param(Orthanc.stop, marks=pytest.mark.release)])
def test_orthanc_is_restarted(site, good, end):
    end(site.live)
    canceled = site.cancel()
    site.live.start()
    left = [step for step in good if step != canceled]
    becomes(site.live, left, limit=TIMEOUT)


@pytest.mark.release
def test_orthanc_is_restarted_while_gnu_health_is_down(site, good):
    with site.answering(Answer(503)):
        # The file is written at least every five seconds, and at the end
        site.live.stop()
        site.live.start()
        assert step_ids(find_worklist(site.live.dicom_port)) == list(good)


@pytest.mark.release
def test_the_disk_of_the_files_is_full(site, good):
    """Steps that are closed go, those that are changed stay as they were."""
    canceled = site.cancel()
    step, *_ = Model.get(STEPS).find([('step_id', 'in', site.open_steps())])
    step.description = "Changed"
    step.save()
    ended = site.update(expected=NOT_WRITTEN, prefix=FULL_DISK)
    assert "Cannot write" in ended.stderr
    left = [id_ for id_ in good if id_ != canceled]
    for port, aet in [(site.files, 'ORTHANC'), (site.wlmscpfs, 'GNUHEALTH')]:
        answers = find_worklist(port, aet=aet)
        assert step_ids(answers) == left
        assert "Changed" not in str(answers)
    becomes(site.live, left)
    assert wait_until(
        lambda: "Changed" in str(find_worklist(site.live.dicom_port)),
        TIMEOUT)
