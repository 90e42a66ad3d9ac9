# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real GNU Health and all that serves its orders to modalities."""
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from proteus import Model, Wizard

from devtools import hospital
from devtools.dicom import STEP, FindFailed, find_worklist
from devtools.orthanc import Orthanc
from devtools.process import Process, free_port, wait_until
from devtools.tryton import PASSWORD, ROOT, Server

from .worklist_script import SCRIPT, runner

__all__ = [
    'AET', 'CLERK', 'Find', 'LIMIT', 'TIMEOUT', 'answer_values', 'becomes',
    'connect_plugin', 'file_orthanc', 'live_orthanc', 'open_hospital',
    'read_files', 'says', 'script', 'step_ids', 'steps_of', 'wlmscpfs']

PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
CLERK = 'clerk'
AET = 'GNUHEALTH'
TIMEOUT = 60
# Seconds within which modalities see what has changed
LIMIT = 10
# What no log of Orthanc may hold
PATIENT_DATA = re.compile('|'.join(
        part for person in hospital.PATIENTS
        for part in [person.puid, person.family, person.given]))

Find = Callable[..., list[Dataset]]


def open_hospital(server: Server) -> None:
    """Fill an empty GNU Health; proteus is connected as the administrator.
    """
    server.connect()
    hospital.fill(PASSWORD)
    server.connect()


def connect_plugin(server: Server, url: str | None = None) -> dict:
    """Return the plugin's section as GNU Health shows it, with a new key.

    Parameters
    ----------
    url
        Where the plugin finds GNU Health.
    """
    Config = Model.get('gnuhealth.orthanc.config')
    found = Config.find([])
    if not found:
        found = [Config(label="Live", domain='http://127.0.0.1:9')]
        found[0].save()
    wizard = Wizard('gnuhealth.orthanc.connect_plugin', found)
    wizard.form.url = url or server.url
    wizard.execute('make')
    section = json.loads(wizard.form.configuration)['HealthOrthanc']
    wizard.execute('end')
    return section


@contextmanager
def live_orthanc(
        section: Mapping[str, object], folder: Path | None = None,
        **configuration: object) -> Iterator[Orthanc]:
    """An Orthanc with the plugin, whose log holds no data of patients."""
    with Orthanc(folder, plugins=['python'], dicom=True, configuration={
                'PythonScript': str(PLUGIN),
                'LuaScripts': [str(PLUGIN.with_suffix('.lua'))],
                'DicomAlwaysAllowFindWorklist': True,
                'HealthOrthanc': {**section, 'RefreshInterval': 0.5},
                **configuration}) as orthanc:
        yield orthanc
        for log in orthanc.folder.glob('orthanc.log*'):
            text = log.read_text(errors='replace')
            assert not PATIENT_DATA.search(text)
            assert section['Key'] not in text


@contextmanager
def file_orthanc(folder: Path, **configuration: object) -> Iterator[Orthanc]:
    """An Orthanc that serves the files of a folder."""
    with Orthanc(plugins=['worklists'], dicom=True, configuration={
                'DicomAlwaysAllowFindWorklist': True,
                'Worklists': {'Enable': True, 'Database': str(folder)},
                **configuration}) as orthanc:
        yield orthanc


@contextmanager
def wlmscpfs(folder: Path) -> Iterator[int]:
    """The port of dcmtk's server of the files of `folder`, `AET` by name."""
    (folder / 'lockfile').touch()
    root = folder.with_name(folder.name + '-served')
    root.mkdir()
    (root / AET).symlink_to(folder)
    port = free_port()
    process = Process(
        ['wlmscpfs', '-csk', '-dfp', root, str(port)], root / 'log')
    try:
        process.wait_ready(
            lambda: process.listens(port), TIMEOUT, "wlmscpfs")
        yield port
    finally:
        process.stop()


def script(server: Server, folder: Path, **variables: str) -> Callable:
    """Return a function that runs the script of the files."""
    return runner([sys.executable, SCRIPT, '-w', folder], {
            'PATH': os.environ['PATH'], 'TRYTON_URL': server.url,
            'TRYTON_DATABASE': server.tryton.name, 'TRYTON_USER': CLERK,
            'TRYTON_PASSWORD': PASSWORD, **variables})


def read_files(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob('*.wl'))]


def step_ids(datasets: list[Dataset]) -> list[str]:
    return sorted(
        item.ScheduledProcedureStepID
        for dataset in datasets for item in dataset[STEP].value)


def steps_of(requests: list) -> list[str]:
    """Return the step IDs of orders, sorted."""
    return sorted(step.step_id for r in requests for step in r.steps)


def answer_values(dataset: Dataset, path: str = '') -> dict[str, str]:
    """Return the values that are not empty, by the path of keywords."""
    values = {}
    for element in dataset:
        name = path + element.keyword
        if element.VR == 'SQ':
            for item in element.value:
                values.update(answer_values(item, name + '.'))
        elif element.keyword != 'SpecificCharacterSet' and not (
                element.is_empty):
            values[name] = str(element.value)
    return values


def becomes(
        orthanc: Orthanc, expected: list[str], keys: object = (),
        limit: float = LIMIT) -> None:
    """Wait until a modality sees exactly the steps with these IDs."""
    found: list[str] = []

    def seen() -> bool:
        try:
            found[:] = step_ids(find_worklist(orthanc.dicom_port, keys))
        except FindFailed:
            return False
        return found == sorted(expected)
    assert wait_until(seen, limit, 0.2), (
        found, expected, orthanc.process.log_tail(50))


def says(orthanc: Orthanc, words: str) -> None:
    """Wait until the log has a line of the plugin with these words."""
    def said() -> bool:
        return any(
            'HealthOrthanc: ' in line and words in line
            for line in orthanc.log.read_text().splitlines())
    assert wait_until(said, TIMEOUT), orthanc.process.log_tail(50)
