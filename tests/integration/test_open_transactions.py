# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No transaction of PostgreSQL is open while the network is waited for."""
import time
from contextlib import ExitStack, contextmanager

import pytest
import requests

from proteus import Model, Wizard
from trytond.modules.health_orthanc.core.dicomweb.multipart import join_parts

from devtools.orthanc import to_bytes
from devtools.process import wait_until
from devtools.proxy import Proxy
from devtools.samples import make_dataset
from devtools.tryton import PASSWORD
from tests.unit.upload_samples import pack

from . import inside, viewing_inside
from .client import (
    CLERK, FULL_SYNCHRONIZE, GET_NEW_STUDIES, SERVER, add_server, make_clerk)
from .hospital import ADMIN, study, study_id
from .test_reconciliation import Archive
from .test_wrong_patient import Misfiled

# Seconds after which a session that has done nothing is waiting
PATIENCE = 1
TIMEOUT = 60
UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
ON_POSTGRESQL = pytest.mark.parametrize(
    'hospital', ['postgresql'], indirect=True)


class Watch:
    """A proxy that looks at the database during each request.

    Attributes
    ----------
    open : list of str
        The requests during which a session waited in a transaction.
    """

    def __init__(self, tryton, orthanc=None):
        self._connection = tryton.postgresql.connect(tryton.name)
        self._name = tryton.name
        self._orthanc = orthanc
        self.open = []
        self.seen = []

    @contextmanager
    def proxy(self):
        with Proxy(self._orthanc.url, before=self.look) as proxy:
            yield proxy
        self._connection.close()

    def look(self, request):
        "Let a request wait until each session works or is found to wait"
        end = time.monotonic() + PATIENCE
        waiting = self._sessions()
        # A session that works is idle for moments, too
        while waiting and time.monotonic() < end:
            time.sleep(0.02)
            waiting &= self._sessions()
        self.seen.append(request.path)
        if waiting:
            self.open.append(f'{request.method} {request.path}')

    def _sessions(self):
        "Return the sessions in a transaction, with when they got idle"
        with self._connection.cursor() as cursor:
            cursor.execute(
                """SELECT pid, state_change FROM pg_stat_activity
                WHERE datname = %s AND state LIKE 'idle in transaction%%'""",
                [self._name])
            return set(cursor.fetchall())

    def wait_for_tasks(self):
        def finished():
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM ir_queue WHERE finished_at IS NULL")
                return cursor.fetchone() == (0,)
        assert wait_until(finished, TIMEOUT, 0.1)

    def assert_none(self):
        assert self.seen
        assert not self.open
        self.seen.clear()


@ON_POSTGRESQL
def test_synchronization_and_notifications(hospital, orthanc):
    watch = Watch(hospital.agent.tryton, orthanc)
    first = study_id(orthanc.upload(study()))
    with watch.proxy() as proxy:
        server = hospital.add_server(
            orthanc, proxy.url, instances_mode='always', validated=False)
        # As tasks do
        for method in ['check_connection', 'run_synchronization']:
            hospital.call(inside.press, server.id, method)
            watch.assert_none()
        server.done('full')
        watch.assert_none()
        server.assert_equal()
        second = study_id(orthanc.upload(study()))
        assert hospital.call(inside.notify, server.id, [
                ('study', first), ('study', second)]) == []
        watch.assert_none()
        server.assert_equal()


@ON_POSTGRESQL
def test_images_and_deletion(hospital, orthanc):
    watch = Watch(hospital.agent.tryton, orthanc)
    orthanc.upload(study())
    patient, _ = hospital.add_patient()
    with watch.proxy() as proxy:
        server = hospital.add_server(
            orthanc, proxy.url, instances_mode='always')
        server.done()
        watch.assert_none()
        record = server.study()['id']
        instance = server.instances()[0]['id']
        for name, id_, field in [
                (inside.STUDY, record, 'thumbnail'),
                (inside.INSTANCE, instance, 'image')]:
            found, = hospital.read(name, [('id', '=', id_)], field)
            assert found[field]
            watch.assert_none()
        hospital.call(inside.add_result, patient, record)
        hospital.call(inside.attach, [instance], user=ADMIN)
        watch.assert_none()
        hospital.call(
            inside.delete_images, inside.STUDY, [record], user=ADMIN)
        watch.assert_none()
    assert not orthanc.get('/studies')


@ON_POSTGRESQL
def test_viewers(hospital, start_orthanc):
    orthanc = start_orthanc(plugins=['dicomweb'])
    watch = Watch(hospital.agent.tryton, orthanc)
    images = study()
    orthanc.upload(images)
    user = hospital.call(viewing_inside.make_users)['clerk']
    uid = images[0].StudyInstanceUID
    series = f'studies/{uid}/series/{images[0].SeriesInstanceUID}'
    type_, body = join_parts([to_bytes(make_dataset(
                    'SR', StudyInstanceUID=uid,
                    PatientID=images[0].PatientID))])
    with watch.proxy() as proxy:
        server = hospital.add_server(orthanc, proxy.url)
        server.done()
        watch.seen.clear()
        assert hospital.call(
            viewing_inside.request, user, server.study()['id'], [
                {'path': 'studies'},
                {'path': f'{series}/metadata'},
                {'path': f'{series}/instances/{images[0].SOPInstanceUID}'
                    '/frames/1'},
                {'path': f'studies/{uid}/nothing'},
                {'path': 'studies', 'method': 'POST', 'data': body,
                    'content_type': type_},
                ]) == [200, 200, 200, 404, 200]
        assert len(watch.seen) >= 6
        watch.assert_none()


@ON_POSTGRESQL
@pytest.mark.parametrize('made', [Archive, Misfiled])
def test_changes_in_orthanc(hospital, start_orthanc, made):
    orthanc = start_orthanc(configuration={'StableAge': 1})
    watch = Watch(hospital.agent.tryton, orthanc)
    with watch.proxy() as proxy:
        archive = made(hospital, orthanc, url=proxy.url)
        watch.assert_none()
        if made is Archive:
            assert archive.correct()['state'] == 'done'
        else:
            archive.move()
        watch.assert_none()


@pytest.fixture
def served(make_tryton):
    "A trytond on PostgreSQL with a worker, and a clerk who works with it"
    tryton = make_tryton('postgresql')
    with tryton.server() as server:
        server.connect()
        make_clerk()
        worker = tryton.worker()
        yield server
        worker.stop()


def test_wizards_and_routes(served, start_orthanc):
    orthanc = start_orthanc()
    orthanc.upload(study())
    with ExitStack() as stack:
        watch = Watch(served.tryton, orthanc)
        proxy = stack.enter_context(watch.proxy())
        served.connect()
        wizard = add_server(orthanc, domain=proxy.url)
        watch.assert_none()
        wizard.execute('end')
        server, = Model.get(SERVER).find([])
        for name, button in [
                (GET_NEW_STUDIES, 'update'),
                (FULL_SYNCHRONIZE, 'synchronize')]:
            wizard = Wizard(name)
            wizard.execute(button)
            watch.wait_for_tasks()
            watch.assert_none()
            wizard.execute('end')
        served.connect(CLERK)
        record, = Model.get(inside.STUDY).find([])
        # On demand: opening the series fetches its images
        assert record.series[0].instances
        watch.assert_none()
        _upload_packed(watch)
        _upload_by_route(served, watch, server.id)
        _download(watch, record)


def _upload_packed(watch):
    wizard = Wizard(UPLOAD)
    wizard.form.data_to_upload = pack(map(to_bytes, study()))
    wizard.execute('check')
    wizard.execute('send')
    assert {f.state for f in wizard.form.files} == {'stored'}
    watch.assert_none()


def _upload_by_route(served, watch, server):
    answer = requests.post(
        f'{served.url}/{served.tryton.name}/orthanc/upload',
        params={'server': server}, data=to_bytes(study()[0]),
        auth=(CLERK, PASSWORD), timeout=TIMEOUT)
    assert answer.json()['files'][0]['state'] == 'stored'
    watch.assert_none()


def _download(watch, record):
    wizard = Wizard('gnuhealth.imaging_orthanc.download_images', [record])
    url, ticket = wizard.actions[0].split('#')
    answer = requests.post(url, data={'ticket': ticket}, timeout=TIMEOUT)
    assert answer.content.startswith(b'PK')
    watch.assert_none()
