# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes for plugins on a real socket, without GNU Health."""
import base64
import gzip
import io
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from devtools.process import LOOPBACK

WORKLIST_CLASS = '1.2.840.10008.5.1.4.31'


def entry_file(
        step: Mapping[str, object] | None = None, charset: str = 'ISO_IR 192',
        **tags: object) -> bytes:
    """Return a worklist file with one step, given what shall be different.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset
    _set(dataset, {
            'PatientName': "Doe^Jane", 'PatientID': 'GNU777ORG',
            'PatientBirthDate': '19700102', 'PatientSex': 'F',
            'PatientWeight': '', 'MedicalAlerts': '', 'Allergies': '',
            'AccessionNumber': 'A1', 'ReferringPhysicianName': '',
            'RequestingPhysician': "House^Gregory",
            'StudyInstanceUID': generate_uid(), 'RequestedProcedureID': 'R1',
            'RequestedProcedureDescription': "CT head",
            'RequestedProcedurePriority': 'ROUTINE',
            'InstitutionName': "GNU Solidario Hospital", **tags})
    item = Dataset()
    _set(item, {
            'ScheduledStationAETitle': 'CT1', 'Modality': 'CT',
            'ScheduledProcedureStepStartDate': '20261122',
            'ScheduledProcedureStepStartTime': '103000',
            'ScheduledPerformingPhysicianName': "Roentgen^Wilhelm",
            'ScheduledProcedureStepDescription': "Head, native",
            'ScheduledProcedureStepID': 'S1', 'ScheduledStationName': '',
            'ScheduledProcedureStepLocation': '',
            'ScheduledProcedureStepStatus': 'SCHEDULED',
            'RequestedProcedureDescription':
            dataset.RequestedProcedureDescription, **(step or {})})
    dataset.ScheduledProcedureStepSequence = [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = WORKLIST_CLASS
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _set(dataset: Dataset, values: Mapping[str, object]) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


@dataclass(frozen=True)
class Asked:
    """A request that came, and the status of the answer where it is ours.
    """
    path: str
    since: int
    headers: Mapping[str, str]
    status: int | None


@dataclass(frozen=True)
class Told:
    """A request of notifications that was understood.

    `answered` are the events that it was answered to have received.
    """
    headers: Mapping[str, str]
    size: int
    content: Mapping[str, Any]
    answered: Sequence[str]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.content['events']


class FakePluginRoutes:
    """A scripted GNU Health.

    Attributes
    ----------
    trouble
        Answers instead of the route while it is not None; see the functions
        in `tests.unit.fake_orthanc`.
    notify_trouble
        Answers so, but only to notifications.
    page_size
        How many entries an answer holds at most.
    asked
        The requests for the worklist, in order.
    told
        The notifications, in order, those that were refused too.
    refuses, ignores
        Which events it answers with 400, or does not name in its answer.
    losing
        How many more notifications it takes without an answer.
    """

    def __init__(self, database: str = 'hospital', key: str = 'secret-key'):
        self.database = database
        self.key = key
        self.page_size = 1000
        self.compressed = True
        self.trouble: Callable[[_Handler], None] | None = None
        self.notify_trouble: Callable[[_Handler], None] | None = None
        self.asked: list[Asked] = []
        self.told: list[Told] = []
        self.refuses: Callable[[dict[str, Any]], bool] = lambda event: False
        self.ignores: Callable[[dict[str, Any]], bool] = lambda event: False
        self.losing = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._index = 0
        self._version = 0
        self._entries: dict[str, tuple[int, bytes]] = {}
        self._server: _Server | None = None
        self._port = 0

    def __enter__(self) -> 'FakePluginRoutes':
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self._port}'

    def start(self) -> None:
        """Answer, on the port of the last time."""
        self.stopping.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, args=[0.01],
            daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server:
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def put(self, identifier: int, file: bytes) -> None:
        """Let a step be open with this content."""
        with self.lock:
            self._index += 1
            self._version += 1
            self._entries[str(identifier)] = (self._index, file)

    def close(self, identifier: int) -> None:
        """Let a step be open no more."""
        with self.lock:
            self._index += 1
            self._version += 1
            del self._entries[str(identifier)]

    def restore(self, index: int) -> None:
        """Be a database whose numbering ends at `index`, without steps."""
        with self.lock:
            self._entries.clear()
            self._index = index
            self._version += 1

    def answer(self, since: int, etag: str | None
            ) -> tuple[int, dict[str, object] | None, str | None]:
        """Return status, body and ETag as the route does."""
        with self.lock:
            current = f'"{self._version}"'
            if etag == current:
                return 304, None, current
            if since > self._index:
                since = 0
            entries = sorted(
                (index, identifier, file)
                for identifier, (index, file) in self._entries.items()
                if index > since)
            page = entries[:self.page_size]
            more = len(page) < len(entries)
            body: dict[str, object] = {
                'since': since,
                'index': page[-1][0] if more else self._index,
                'more': more,
                'entries': [{
                        'id': identifier,
                        'index': index,
                        'dicom': base64.b64encode(file).decode(),
                        } for index, identifier, file in page],
                }
            if not more:
                body['open'] = list(self._entries)
            return 200, body, None if more else current

    def receive(self, headers: Mapping[str, str], content: bytes
            ) -> tuple[int, dict[str, object] | None]:
        """Return status and body as the route for notifications does."""
        data = json.loads(content)
        refused = any(map(self.refuses, data['events']))
        received = [] if refused else [
            event['event'] for event in data['events']
            if not self.ignores(event)]
        self.told.append(Told(headers, len(content), data, received))
        return (400, None) if refused else (200, {'received': received})

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was received, in order; what was told twice is there twice.
        """
        return [
            event for told in list(self.told) for event in told.events
            if event['event'] in told.answered]

    def events_of(self, study: str) -> list[dict[str, Any]]:
        """Return the events of a study, each once."""
        events = {
            event['event']: event for event in self.events
            if event['study'] == study}
        return list(events.values())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, peer: FakePluginRoutes, port: int):
        self.peer = peer
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What Orthanc does to its connections is the test's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    @property
    def peer(self) -> FakePluginRoutes:
        return self.server.peer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        since = int(parse_qs(parts.query).get('since', ['0'])[0])
        trouble = self.peer.trouble
        status, body, etag = None, None, None
        if not trouble:
            status, body, etag = self._route(parts.path, since)
        self.peer.asked.append(Asked(
                parts.path, since, dict(self.headers.items()), status))
        if trouble:
            trouble(self)
        else:
            self._send(status, body, etag)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers['Content-Length']))
        trouble = self.peer.trouble or self.peer.notify_trouble
        if trouble:
            trouble(self)
        elif self.path != f'/{self.peer.database}/orthanc/notify':
            self._send(404, None, None)
        elif not self._authorized():
            self._send(401, None, None)
        else:
            status, body = self.peer.receive(
                dict(self.headers.items()), content)
            if self.peer.losing:
                self.peer.losing -= 1
                self.close_connection = True
            else:
                self._send(status, body, None)

    def _authorized(self) -> bool:
        return self.headers['Authorization'] == f'bearer {self.peer.key}'

    def _route(self, path: str, since: int
            ) -> tuple[int, dict[str, object] | None, str | None]:
        if path != f'/{self.peer.database}/orthanc/worklist':
            return 404, None, None
        if not self._authorized():
            return 401, None, None
        return self.peer.answer(since, self.headers['If-None-Match'])

    def _send(
            self, status: int, body: dict[str, object] | None,
            etag: str | None) -> None:
        content = b'' if body is None else json.dumps(body).encode()
        self.send_response(status)
        if etag:
            self.send_header('ETag', etag)
        if content:
            self.send_header('Content-Type', 'application/json')
            if (self.peer.compressed
                    and 'gzip' in self.headers['Accept-Encoding']):
                content = gzip.compress(content, 1)
                self.send_header('Content-Encoding', 'gzip')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The tests look at `FakePluginRoutes.asked`."""
