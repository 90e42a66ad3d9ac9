# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders of a real GNU Health become worklist files."""

import datetime as dt
import os

import pydicom
import pytest

from proteus import Model

from devtools import hospital
from devtools.dicom import STEP
from devtools.tryton import PASSWORD

from .worklist_script import runner

CLERK = 'clerk'
# Of the orders that hospital.place_orders requests
ORDERED = [
    ('Muster^Erika', 'CT', 'DEMO-CT'), ('Muster^Erika', 'DX', 'DEMO-XR'),
    ('Ejemplo Núñez^Juan José', 'MR', 'DEMO-MR'),
    ('Παράδειγμα^Ελένη', 'US', 'DEMO-US')]


@pytest.fixture(params=[
        'postgresql', pytest.param('sqlite', marks=pytest.mark.release)])
def server(request, make_tryton):
    with make_tryton(request.param).server() as server:
        server.connect()
        hospital.fill(PASSWORD)
        server.connect('physician')
        hospital.place_orders()
        server.connect()
        yield server


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'worklists'
    folder.mkdir()
    return folder


def caller(server, folder):
    return runner(['-w', folder], {
            'PATH': os.environ['PATH'], 'TRYTON_URL': server.url,
            'TRYTON_DATABASE': server.tryton.name, 'TRYTON_USER': CLERK,
            'TRYTON_PASSWORD': PASSWORD})


@pytest.fixture
def run(server, folder):
    return caller(server, folder)


def served(folder):
    return [
        pydicom.dcmread(path) for path in sorted(folder.glob('*.wl'))]


def identity(dataset):
    item, = dataset[STEP].value
    return (
        str(dataset.PatientName), item.Modality, item.ScheduledStationAETitle)


def steps():
    "Return the open steps of GNU Health by their id in DICOM"
    Step = Model.get('gnuhealth.imaging.procedure.step')
    return {step.step_id: step for step in Step.find([])}


def step_of(dataset):
    return steps()[dataset[STEP].value[0].ScheduledProcedureStepID]


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_orders_become_files(server, folder, run):
    ended = run()
    assert ended.stdout == "4 open: 4 written, 0 removed\n"
    assert ended.stderr == ''
    datasets = served(folder)
    assert sorted(map(identity, datasets)) == sorted(ORDERED)
    assert all(
        dataset.file_meta.ImplementationVersionName.startswith('OFFIS')
        for dataset in datasets)
    before = times(folder)
    assert run().stdout == "4 open: 0 written, 0 removed\n"
    run('--full')
    assert times(folder) == before

    # One is moved, one is canceled
    # GNU Health asks before it moves an urgent one
    moved, canceled = [d for d in datasets if not step_of(d).urgent][:2]
    step = step_of(moved)
    step.scheduled_at += dt.timedelta(days=1)
    step.save()
    step_of(canceled).click('cancel')
    assert run().stdout == "3 open: 1 written, 1 removed\n"
    after = {dataset.AccessionNumber: dataset for dataset in served(folder)}
    assert set(after) == {
        dataset.AccessionNumber for dataset in datasets} - {
        canceled.AccessionNumber}
    item, = after[moved.AccessionNumber][STEP].value
    old, = moved[STEP].value
    assert item.ScheduledProcedureStepStartDate > (
        old.ScheduledProcedureStepStartDate)

    # The server is away for a while
    before = times(folder)
    port = server.port
    server.stop()
    run(expected=3)
    assert times(folder) == before
    server.start(port)
    run(TRYTON_URL=server.url)
    assert len(served(folder)) == 3


def test_others_are_refused(make_tryton, folder):
    with make_tryton().server() as server:
        server.connect()
        Model.get('res.user')(
            name="Nobody", login='nobody', password=PASSWORD).save()
        ended = caller(server, folder)('-u', 'nobody', expected=2)
    assert ended.stderr.startswith("GNU Health refused: ")
    assert list(folder.glob('*.wl')) == []
