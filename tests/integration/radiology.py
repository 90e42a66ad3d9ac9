# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real GNU Health and all that serves its orders to modalities."""
import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import requests
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from proteus import Model, Wizard

from devtools import hospital
from devtools.dicom import STEP, FindFailed, find_worklist
from devtools.orthanc import Orthanc
from devtools.process import Process, free_port, wait_until
from devtools.tryton import PASSWORD, ROOT, Server, Tryton

from .agent import Agent
from .ordering import Order, make_orders
from .worklist_script import runner

__all__ = [
    'AET', 'Client', 'LIMIT', 'Refused', 'ServedOrders', 'TIMEOUT',
    'answer_values', 'becomes', 'connect_plugin', 'file_orthanc',
    'live_orthanc', 'open_hospital', 'read_files', 'says', 'script',
    'serving_orders', 'step_ids', 'steps_of', 'wlmscpfs']

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
        version: str | None = None, **configuration: object
        ) -> Iterator[Orthanc]:
    """An Orthanc with the plugin, whose log holds no data of patients."""
    with Orthanc(
            folder, plugins=['python'], dicom=True, version=version,
            configuration={
                'PythonScript': str(PLUGIN),
                'LuaScripts': [str(PLUGIN.with_suffix('.lua'))],
                'DicomAlwaysAllowFindWorklist': True,
                'HealthOrthanc': {**section, 'RefreshInterval': 0.5},
                **configuration}) as orthanc:
        yield orthanc
        for log in orthanc.folder.glob('orthanc.log*'):
            text = log.read_text(errors='replace')
            assert not PATIENT_DATA.search(text)
            assert section.get('Key', 'bearer') not in text


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
    return runner(['-w', folder], {
            'PATH': os.environ['PATH'], 'TRYTON_URL': server.url,
            'TRYTON_DATABASE': server.tryton.name, 'TRYTON_USER': CLERK,
            'TRYTON_PASSWORD': PASSWORD, **variables})


class Refused(Exception):
    """A user is told what is wrong, in words."""


class Client:
    """What a web client sends, which can hold characters that XML cannot."""

    def __init__(self, server: Server, login: str = 'admin'):
        self._url = f'{server.url}/{server.tryton.name}/'
        self._session = requests.Session()
        self._session.trust_env = False
        number, key = self._call(
            'common.db.login', login, {'password': PASSWORD})[:2]
        token = base64.b64encode(f'{login}:{number}:{key}'.encode()).decode()
        self._session.headers['Authorization'] = f'Session {token}'

    def __call__(self, model: str, method: str, *args: object):
        """Return what a method answers.

        Raises
        ------
        Refused
        """
        return self._call(f'model.{model}.{method}', *args, {})

    def _call(self, method: str, *args: object):
        response = self._session.post(
            self._url, json={'id': 1, 'method': method, 'params': args},
            timeout=TIMEOUT)
        response.raise_for_status()
        answer = response.json()
        if 'error' in answer:
            kind, details = answer['error'][:2]
            if kind != 'UserError':
                raise RuntimeError(answer['error'])
            raise Refused(details[0])
        return answer['result']


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
            many = isinstance(element.value, MultiValue)
            values[name] = '\\'.join(
                map(str, element.value if many else [element.value]))
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


@dataclass
class ServedOrders:
    """Orders of a GNU Health, served in each way.

    Attributes
    ----------
    made
        The numbers of the orders.
    folder
        That of the files.
    section
        Of the plugin's configuration.
    ports
        Of the DICOM servers: ``live``, ``files`` and ``wlmscpfs``.
    """
    made: list[dict]
    agent: Agent
    server: Server
    folder: Path
    section: dict
    live: Orthanc
    ports: dict[str, int]

    def find(
            self, way: str, keys: object = (), **options: object
            ) -> list[Dataset]:
        return find_worklist(
            self.ports[way], keys, aet=self.aet(way), **options)

    @staticmethod
    def aet(way: str) -> str:
        return AET if way == 'wlmscpfs' else 'ORTHANC'

    def update(self, *arguments: str, **options: object):
        run = script(self.server, self.folder, TRYTON_USER='admin')
        return run(*arguments, **options)


@contextmanager
def serving_orders(
        tryton: Tryton, orders: Sequence[Order], folder: Path
        ) -> Iterator[ServedOrders]:
    """Make orders in an empty GNU Health and serve them in each way."""
    folder.mkdir()
    with ExitStack() as stack:
        agent = stack.enter_context(Agent(tryton))
        made = agent.call(make_orders, orders)
        server = stack.enter_context(tryton.server())
        server.connect()
        section = connect_plugin(server)
        live = stack.enter_context(live_orthanc(section))
        ports = {
            'live': live.dicom_port,
            'files': stack.enter_context(file_orthanc(folder)).dicom_port,
            'wlmscpfs': stack.enter_context(wlmscpfs(folder)),
            }
        served = ServedOrders(
            made, agent, server, folder, section, live, ports)
        served.update()
        yield served
