# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL is killed and comes back: everything of ours goes on."""
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from proteus import Model, Wizard

from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.process import StartError, wait_until
from devtools.samples import Patient, make_study
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton

pytestmark = pytest.mark.release

CONFIG = 'gnuhealth.orthanc.config'
TIMEOUT = 90
# The scheduler looks once a minute what is due
CRON_TIMEOUT = 200
STUDIES = 'SELECT count(*) FROM gnuhealth_imaging_orthanc_study'
PROCESSED = (
    'SELECT count(*) FROM gnuhealth_orthanc_notification'
    ' WHERE processed_at IS NOT NULL')
CHECKED = 'SELECT checked_at FROM gnuhealth_orthanc_operation'


class Site:
    """trytond, scheduler, worker and Orthanc, and a database to be killed."""

    def __init__(self, stack: ExitStack, folder: Path, orthanc: Orthanc):
        self.orthanc = orthanc
        self.postgresql = stack.enter_context(PostgreSQL())
        self.tryton = Tryton(folder, postgresql=self.postgresql)
        self.tryton.create([MODULE], cache_folder())
        self.server = stack.enter_context(self.tryton.server())
        self._add_server()
        self._daemons = {
            name: getattr(self.tryton, name)() for name in ['cron', 'worker']}
        stack.callback(self._stop_daemons)

    def _add_server(self) -> None:
        self.server.connect()
        config = Model.get(CONFIG)(
            label="Orthanc", domain=self.orthanc.url, user=self.orthanc.user,
            password=self.orthanc.password)
        config.save()
        wizard = Wizard('gnuhealth.orthanc.connect_plugin', [config])
        wizard.form.url = self.server.url
        wizard.execute('make')
        section = json.loads(wizard.form.configuration)['HealthOrthanc']
        wizard.execute('end')
        self._id, self._section = config.id, section

    def _stop_daemons(self) -> None:
        for process in self._daemons.values():
            process.stop()

    def restart_ended(self) -> None:
        """Start the daemons that have ended anew, as their services do."""
        for name, process in self._daemons.items():
            if not process.running:
                self._daemons[name] = getattr(self.tryton, name)()

    def store(self, number: int) -> str:
        """Let Orthanc receive a study, and return its id."""
        patient = Patient(f"Restart^{number}", f'RST{number}', '19700101', 'F')
        self.orthanc.upload(make_study('CT', patient, series=1, instances=1))
        return next(
            study['ID'] for study in self.orthanc.get('/studies', expand='')
            if study['PatientMainDicomTags']['PatientID'] == f'RST{number}')

    def synchronize(self) -> None:
        config = self.server.rpc().model.gnuhealth.orthanc.config
        config.synchronize([self._id], {})

    def poll(self) -> int:
        """Return the status of the worklist, as the plugin requests it."""
        return self._request('get', 'worklist').status_code

    def notify(self, study: str) -> list[str]:
        content = {'server': self._section['Server'], 'events': [{
                    'event': f'of {study}', 'kind': 'study', 'study': study,
                    'facts': {}}]}
        return self._request(
            'post', 'notify', data=json.dumps(content)).json()['received']

    def _request(self, method: str, path: str, **options: str
            ) -> requests.Response:
        return requests.request(
            method, f'{self.server.url}/{self.tryton.name}/orthanc/{path}',
            headers={'Authorization': f'Bearer {self._section["Key"]}'},
            timeout=TIMEOUT, **options)

    def query(self, statement: str) -> object:
        with closing(self.postgresql.connect(self.tryton.name)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def awaits(self, statement: str, count: int) -> None:
        """Wait until a statement counts so many; the scheduler may add some.
        """
        assert wait_until(
            lambda: self.query(statement) >= count, TIMEOUT), self.logs()

    def start_database(self) -> None:
        """Start PostgreSQL again, once its sessions have ended."""
        port = self.postgresql.port

        def start() -> bool:
            try:
                self.postgresql.start(port)
            except StartError:
                return False
            return True
        assert wait_until(start, TIMEOUT)
        assert self.postgresql.port == port

    def logs(self) -> str:
        return ''.join(
            log.read_text(errors='replace')
            for log in self.tryton.folder.glob('trytond*.log'))


@pytest.fixture
def site(tmp_path, orthanc) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path / 'tryton', orthanc)


def test_everything_goes_on(site):
    site.store(1)
    site.synchronize()
    site.awaits(STUDIES, 1)
    assert site.poll() == 200

    site.postgresql.kill()
    assert site.poll() >= 500
    notified, _ = site.store(2), site.store(3)
    site.start_database()
    site.restart_ended()

    assert wait_until(lambda: site.poll() == 200, TIMEOUT)
    assert site.notify(notified) == [f'of {notified}']
    site.awaits(PROCESSED, 1)
    site.awaits(STUDIES, 2)
    site.synchronize()
    site.awaits(STUDIES, 3)
    site.query('UPDATE gnuhealth_orthanc_operation SET checked_at = NULL')
    site.query(
        "UPDATE ir_cron SET next_call = '2020-01-01'"
        " WHERE method = 'gnuhealth.orthanc.operation|check'")
    assert wait_until(lambda: site.query(CHECKED) is not None, CRON_TIMEOUT)
    assert 'RST' not in site.logs()
