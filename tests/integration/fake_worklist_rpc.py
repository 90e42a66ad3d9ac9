# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health as the script of the worklist files sees it, on a socket."""
import base64
import json
import ssl
from collections.abc import Sequence

from pydicom.dataset import Dataset

from trytond.modules.health_orthanc.core.worklist.dicom_file import to_file
from trytond.modules.health_orthanc.core.worklist.dump import to_dump

from tests.unit.fake_orthanc import Answer, FakeOrthanc, reply_json, status

__all__ = [
    'DATABASE', 'METHOD', 'PASSWORD', 'FakeWorklistRpc', 'encode', 'make_step']

DATABASE = 'health'
PASSWORD = 'pässword:1'
METHOD = 'model.gnuhealth.imaging.procedure.step.get_worklist'


def make_step(
        number: int, name: str = 'Müller^Änne', *,
        charset: str | Sequence[str] = 'ISO_IR 192', **values: str) -> Dataset:
    """Return what a modality has to see of a procedure step.

    Other `values` are those of its item, by keyword.
    """
    item = Dataset()
    item.Modality = 'CT'
    item.ScheduledStationAETitle = 'CT1'
    item.ScheduledProcedureStepStartDate = '20260504'
    item.ScheduledProcedureStepStartTime = '101500'
    item.ScheduledPerformingPhysicianName = ''
    item.ScheduledProcedureStepDescription = 'CT head'
    item.ScheduledProcedureStepID = f'STEP{number}'
    for keyword, value in values.items():
        setattr(item, keyword, value)
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset
    dataset.AccessionNumber = f'A{number}'
    dataset.ReferringPhysicianName = ''
    dataset.PatientName = name
    dataset.PatientID = f'PUID{number}'
    dataset.PatientBirthDate = '19800229'
    dataset.PatientSex = 'F'
    dataset.StudyInstanceUID = f'1.2.826.0.1.3680043.8.498.{number}'
    dataset.RequestedProcedureDescription = 'CT head'
    dataset.ScheduledProcedureStepSequence = [item]
    dataset.RequestedProcedureID = f'R{number}'
    return dataset


class FakeWorklistRpc(FakeOrthanc):
    """It has a worklist, and counts its changes.

    Attributes
    ----------
    entries : dict
        What is open, by id.
    index : int
        Of the last change.
    page_size : int
        Entries of a page.
    logins, logouts : int
        How many there were.
    asked : list of int
        The indexes after which changes were asked for.
    """

    def __init__(self, tls: ssl.SSLContext | None = None):
        super().__init__(tls)
        self.entries: dict[str, dict] = {}
        self.index = 0
        self.page_size = 1000
        self.logins = 0
        self.logouts = 0
        self.asked: list[int] = []
        self._session = None
        self._overruled: dict[str, Answer] = {}
        self.script(f'/{DATABASE}/', self._answer)

    def open(
            self, number: int, dataset: Dataset | None = None,
            kind: str = 'dump2dcm', **changes: object) -> dict:
        """Open a step, or change it; `changes` overwrite its entry."""
        if dataset is None:
            dataset = make_step(number)
        charset = dataset.SpecificCharacterSet
        self.index += 1
        entry = {
            'id': str(number), 'index': self.index,
            'step_id': f'STEP{number}', 'name': f'gnuhealth-{number}',
            'kind': kind, 'text': to_dump(dataset),
            'charset': charset if isinstance(charset, str)
            else '\\'.join(charset),
            'dicom': to_file(dataset), **changes}
        self.entries[str(number)] = entry
        return entry

    def close(self, number: int) -> None:
        self.index += 1
        del self.entries[str(number)]

    def overrule(
            self, answer: Answer | None = None, method: str = METHOD) -> None:
        """Answer calls of `method` so, or again as it should be."""
        self._overruled.pop(method, None)
        if answer:
            self._overruled[method] = answer

    def end_sessions(self) -> None:
        self._session = None

    def page(self, since: int) -> dict:
        """Return what `get_worklist` does."""
        self.asked.append(since)
        if since > self.index:
            since = 0
        changed = sorted(
            (entry for entry in self.entries.values()
                if entry['index'] > since),
            key=lambda entry: entry['index'])
        entries, more = (
            changed[:self.page_size], len(changed) > self.page_size)
        page = {
            'since': since, 'entries': entries, 'more': more,
            'index': entries[-1]['index'] if more else self.index}
        if not more:
            page['open'] = list(self.entries)
        return page

    def _answer(self, handler) -> None:
        received = self.received[-1]
        call = json.loads(received.body)
        method, parameters = call['method'], call['params']
        if method in self._overruled:
            self._overruled[method](handler)
        elif method == 'common.db.login':
            self._login(handler, *parameters)
        elif received.headers.get('Authorization') != self._session:
            status(401)(handler)
        elif method == 'common.db.logout':
            self.logouts += 1
            self._session = None
            self._reply(handler, None)
        else:
            since, context = parameters
            assert (method, context) == (METHOD, {})
            self._reply(handler, self.page(since))

    def _login(self, handler, user: str, parameters: dict) -> None:
        if (user, parameters) != ('admin', {'password': PASSWORD}):
            status(401)(handler)
            return
        self.logins += 1
        token = f'admin:1:key{self.logins}'.encode()
        self._session = 'Session ' + base64.b64encode(token).decode()
        self._reply(handler, [1, f'key{self.logins}'])

    @staticmethod
    def _reply(handler, result: object) -> None:
        reply_json({'id': 1, 'result': encode(result)})(handler)


def encode(value: object) -> object:
    """Write bytes as trytond's JSON-RPC does."""
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, bytes):
        return {
            '__class__': 'bytes',
            'base64': base64.encodebytes(value).decode()}
    return value
