# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an order over the worklist and the images to its result."""
import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from proteus import Model

from devtools import hospital
from devtools.dicom import find_worklist, send_images
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.samples import make_series
from devtools.tryton import MODULE, Server
from tests.unit.test_patient_names import with_name

from .radiology import LIMIT, connect_plugin, live_orthanc, open_hospital

REQUEST = 'gnuhealth.imaging.test.request'
STUDY = 'gnuhealth.imaging_orthanc.study'
STEPS = 'gnuhealth.imaging.procedure.step'
CONFIG = 'gnuhealth.orthanc.config'
STABLE_AGE = 1
TIMEOUT = LIMIT + STABLE_AGE + 2


@dataclass
class Department:
    server: Server
    orthanc: Orthanc

    def order(self, person: hospital.Person, steps: int = 1):
        "Return a requested order of CT with as many steps"
        self.server.connect('physician')
        order, = hospital.place_order(
            person, ['CT-HEAD'], dt.datetime.now().replace(microsecond=0))
        for _ in range(steps - 1):
            step = Model.get(STEPS)(request=order)
            step.save()
        order = Model.get(REQUEST)(order.id)
        order.click('requested')
        self.server.connect()
        return Model.get(REQUEST)(order.id)

    def entries(self, order) -> list[Dataset]:
        return find_worklist(
            self.orthanc.dicom_port,
            {'AccessionNumber': order.accession_number})

    def acquire(self, entries: list[Dataset]) -> None:
        "Send one series for each entry, as a modality makes it"
        study = []
        for number, entry in enumerate(entries, 1):
            study += make_series(entry, number)
        send_images(self.orthanc.dicom_port, study)

    @staticmethod
    def study(order):
        found = Model.get(STUDY).find(
            [('study_instance_UID', '=', order.study_instance_uid)])
        return found[0] if found else None

    def becomes(self, check) -> None:
        assert wait_until(check, TIMEOUT, interval=0.3)


@pytest.fixture(scope='module')
def department(prepared_tryton) -> Iterator[Department]:
    tryton = prepared_tryton('sqlite', MODULE).copy('department')
    with ExitStack() as stack:
        stack.callback(tryton.drop)
        server = stack.enter_context(tryton.server())
        open_hospital(server)
        section = connect_plugin(server)
        orthanc = stack.enter_context(
            live_orthanc(section, StableAge=STABLE_AGE))
        config, = Model.get(CONFIG).find([])
        config.domain = orthanc.url
        config.user = orthanc.user
        config.password = orthanc.password
        config.save()
        yield Department(server, orthanc)


def test_images_of_two_steps_complete_the_order(department):
    order = department.order(hospital.PATIENTS[0], steps=2)
    department.becomes(lambda: len(department.entries(order)) == 2)
    department.acquire(department.entries(order))
    department.becomes(
        lambda: Model.get(REQUEST)(order.id).state == 'done')
    order = Model.get(REQUEST)(order.id)
    assert [s.state for s in order.steps] == ['completed', 'completed']
    study = department.study(order)
    assert study.link_status == 'auto_certain'
    assert study.score == 100
    assert study.request == order
    assert study.patient == order.patient
    assert study.imaging_test.orthanc_unreported
    assert study in order.patient.orthanc_studies
    assert not department.entries(order)


def test_a_late_series_completes_the_second_step(department):
    order = department.order(hospital.PATIENTS[1], steps=2)
    department.becomes(lambda: len(department.entries(order)) == 2)
    first, second = department.entries(order)
    department.acquire([first])

    def states():
        return sorted(s.state for s in Model.get(REQUEST)(order.id).steps)
    department.becomes(lambda: states() == ['completed', 'scheduled'])
    assert Model.get(REQUEST)(order.id).state == 'requested'
    department.acquire([second])
    department.becomes(lambda: states() == ['completed', 'completed'])
    assert Model.get(REQUEST)(order.id).state == 'done'
    assert len(department.study(order).decisions) == 1


@pytest.mark.parametrize('charset, value, name, lost', [
        ('UTF-8', 'Núñez^Ana'.encode(), 'Núñez^Ana', False),
        ('ISO-IR 100', 'Núñez^Ana'.encode('latin-1'), 'Núñez^Ana', False),
        ('ISO_IR 149', '김^민'.encode('euc-kr'), '김^민', False),
        ('ISO_IR 192', 'Núñez^Ana'.encode('latin-1'),
            'N\ufffd\ufffdez^Ana', True)])
def test_letters_that_orthanc_drops(department, charset, value, name, lost):
    uid = str(generate_uid())
    department.orthanc.upload(
        [with_name(charset, value, StudyInstanceUID=uid, PatientID=uid[-9:])])

    def read():
        found = Model.get(STUDY).find([('study_instance_UID', '=', uid)])
        return bool(found) and found[0].patient_name == name
    department.becomes(read)
    study, = Model.get(STUDY).find([('study_instance_UID', '=', uid)])
    assert bool(study.letters_lost) is lost
    assert study.listed_name != name
