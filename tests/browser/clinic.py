# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small GNU Health with its web client and an Orthanc, for a browser."""
import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from proteus import Model, Wizard

from devtools import hospital, samples, sao, viewer
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.testing import cache_folder
from devtools.tryton import MODULE, PASSWORD, Server, Tryton, proteus_as_before

__all__ = [
    'Clinic', 'LABEL', 'MUSTER', 'NOBODY', 'REVIEWER', 'STUDY', 'study_of']

LABEL = "Main"
NOBODY = 'nobody'
# Somebody who links studies and does nothing else
REVIEWER = 'reviewer'
STUDY = 'gnuhealth.imaging_orthanc.study'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
SERVER = 'gnuhealth.orthanc.config'
MUSTER, EJEMPLO, _, GREEK, _, JAPANESE, _, KOFI, ESIMERKKI = hospital.PATIENTS
TIMEOUT = 60
# Of the lists, whatever the clock of this machine says
TODAY = dt.datetime.now(ZoneInfo(hospital.TIMEZONE)).date()


def study_of(
        modality: str, patient: samples.Patient, days: int, hour: int,
        **options: object) -> list[Dataset]:
    """Return a study of so many days ago."""
    return samples.make_study(
        modality, patient, rows=64, frames=2,
        date=dt.datetime.combine(
            TODAY - dt.timedelta(days), dt.time(hour, 15)), **options)


def _studies() -> Iterator[list[Dataset]]:
    """Yield studies of which the names tell what becomes of them."""
    muster = MUSTER.in_dicom()
    yield study_of('CT', muster, 0, 8, series=2, instances=3,
        AccessionNumber='ACC-CT-8', StudyDescription="CT of the head")
    yield study_of('MR', muster, 40, 9, series=1, instances=2)
    yield study_of('CR', EJEMPLO.in_dicom(), 3, 10, series=1, instances=1)
    yield study_of('SR', KOFI.in_dicom(), 2, 11, series=1, instances=1)
    # Neither birth date nor sex: somebody has to look at it
    yield study_of('US', samples.Patient(
            ESIMERKKI.pn, ESIMERKKI.puid, None, None), 1, 12,
        series=1, instances=1)
    yield study_of('CR', samples.Patient(
            "Besuch^Ada Maria", 'HOSP-88213', '19760314', 'F'), 0, 13,
        series=1, instances=1, AccessionNumber='ACC-CR-13')
    yield study_of('CT', samples.Patient(
            "Phantom^Daily QA", 'QA-PHANTOM', None, 'O'), 0, 6,
        series=1, instances=1)


def _lost_study() -> list[Dataset]:
    return study_of('CT', samples.Patient(
            "Verloren^Uwe", 'LOST-1', '19500101', 'M'), 5, 14,
        series=1, instances=1)


class Clinic:
    """Orthanc, trytond and the users of the demo; a context manager.

    Of its eight studies four are linked for certain, one is to be
    reviewed, two are unlinked, and one is missing on the server.

    Attributes
    ----------
    orthanc : Orthanc
    server : Server
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._stack = ExitStack()
        self.orthanc = Orthanc(
            plugins=['dicomweb', 'webviewer'], configuration={'StableAge': 1})
        self.tryton: Tryton | None = None
        self.server: Server | None = None

    def __enter__(self) -> 'Clinic':
        with ExitStack() as stack:
            self._stack = stack
            stack.enter_context(proteus_as_before())
            stack.enter_context(self.orthanc)
            self._start_tryton()
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    def _start_tryton(self) -> None:
        client = sao.with_custom_files(
            sao.assemble(cache_folder()), self._folder / 'sao',
            *sao.custom_files())
        self.tryton = Tryton(
            self._folder / 'tryton', name='clinic', web_root=client,
            sections={MODULE: {
                    'viewer_path': str(viewer.assemble(cache_folder()))}})
        self.tryton.create([MODULE], cache_folder())
        self.server = self._stack.enter_context(self.tryton.server())

    def _fill(self) -> None:
        for study in _studies():
            self.orthanc.upload(study)
        lost = self.orthanc.upload(_lost_study())
        self.server.connect()
        hospital.fill(PASSWORD)
        self.make_user(NOBODY)
        self.make_user(REVIEWER, 'health_orthanc.group_imaging_orthanc')
        self.server.connect()
        self._add_server()
        self.synchronize()
        self.orthanc.delete('studies', lost[0]['ParentStudy'])
        self.synchronize()

    def make_user(self, login: str, *groups: str) -> None:
        """Make a user beside those of the demo; `groups` are XML ids."""
        user = Model.get('res.user')(name=login.title(), login=login)
        user.password = PASSWORD
        for group in map(hospital.record_id, groups):
            user.groups.append(Model.get('res.group')(group))
        user.save()

    def _add_server(self) -> None:
        wizard = Wizard(
            'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect')
        wizard.form.label = LABEL
        wizard.form.domain = self.orthanc.url
        wizard.form.user = self.orthanc.user
        wizard.form.password = self.orthanc.password
        wizard.execute('connect')
        wizard.execute('end')
        server, = Model.get(SERVER).find([])
        # Else all studies are of before; proteus saves no readonly fields
        server._proxy.write(
            [server.id], {'initial_index': 0}, server._config.context)

    def synchronize(self) -> None:
        """Run a full synchronisation and wait for its end."""
        Model.get(SERVER).find([])[0].click('reconcile')
        Run = Model.get('gnuhealth.orthanc.synchronization')
        assert wait_until(
            lambda: not Run.find([('state', '=', 'running')])
            and Run.find([], limit=1)[0].state == 'done', TIMEOUT)

    def add_study(self, patient_name: str):
        """Return the record of a new study of somebody unknown.

        Tests that change something do so with one of their own.
        """
        self.upload(patient_name)
        self.synchronize()
        return self.study(patient_name)

    def upload(self, patient_name: str) -> None:
        """Store a new study that GNU Health does not know yet."""
        self.orthanc.upload(study_of('CR', samples.Patient(
                    patient_name, None, None, None), 1, 15,
            series=1, instances=1))

    def server_added(self, label: str) -> str:
        """Return what the wizard tells of this Orthanc when it is added."""
        system = self.orthanc.get('/system')
        plugins = ', '.join(sorted(self.orthanc.get('/plugins')))
        added = (
            f'The server "{label}" was added.\n\n'
            f"Orthanc {system['Version']} ({system['Name']})\n"
            f"Plugins: {plugins}")
        note = Model.get(SERVER).find([])[0].version_note
        return f'{added}\n\n{note}' if note else added

    def add_order(self, person: hospital.Person, code: str):
        """Return the only step of a new order that was requested."""
        patient, = Model.get('gnuhealth.patient').find(
            [('puid', '=', person.puid)])
        test, = Model.get('gnuhealth.imaging.test').find(
            [('code', '=', code)])
        doctor, = Model.get('gnuhealth.healthprofessional').find([], limit=1)
        id_, = getattr(self.server.rpc().model, REQUEST).create([{
                    'patient': patient.id, 'requested_test': test.id,
                    'date': dt.datetime.now(), 'doctor': doctor.id,
                    }], {})
        order = Model.get(REQUEST)(id_)
        order.click('requested')
        return order.steps[0]

    def add_result(self, patient):
        """Return a new result of a patient."""
        type_ = Model.get('gnuhealth.imaging.test.type')(
            code='XR-TEST', name="X-ray")
        type_.save()
        test = Model.get('gnuhealth.imaging.test')(
            code='CHEST', name="Chest", test_type=type_,
            product=self._make_product())
        test.save()
        doctor, = Model.get('gnuhealth.healthprofessional').find([], limit=1)
        date = dt.datetime.combine(TODAY, dt.time(12))
        Result = Model.get(RESULT)
        id_, = getattr(self.server.rpc().model, RESULT).create([{
                    'patient': patient.id, 'number': 'RESULT-1',
                    'date': date, 'request_date': date,
                    'requested_test': test.id, 'doctor': doctor.id,
                    }], {})
        return Result(id_)

    def _make_product(self):
        unit, = Model.get('product.uom').find([('symbol', '=', 'u')])
        template = Model.get('product.template')(
            name="Chest", type='service', default_uom=unit)
        template.save()
        return template.products[0]

    def execute(self, statement: str, *values: object) -> None:
        """Write what no user may write to the database."""
        with closing(sqlite3.connect(
                self.tryton.sqlite_file, timeout=TIMEOUT)) as connection:
            with connection:
                connection.execute(statement, values)

    def count(self, *domain: object) -> int:
        """Return how many studies there are."""
        return len(Model.get(STUDY).find(list(domain)))

    def study(self, patient_name: str):
        """Return the newest study with a name in its images."""
        study, = Model.get(STUDY).find(
            [('patient_name', '=', patient_name)], limit=1)
        return study
