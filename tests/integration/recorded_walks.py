# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the walks of doc/architecture.md, each from end to end.

Run as a module, this prints as JSON which functions of the product each walk
has called, in the order of their first call.  It is a process of its own
because trytond works on one database in a process.

The plugin runs in this process too, with a module in place of the one that
Orthanc gives it, and asks GNU Health over HTTP.
"""
import importlib.util
import io
import json
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pydicom
from werkzeug.serving import WSGIRequestHandler, make_server

from devtools import walks
from devtools.hospital import PATIENTS, Person
from devtools.orthanc import Orthanc
from devtools.process import stopping_on_signals, wait_until
from devtools.testing import cache_folder
from devtools.tryton import MODULE, ROOT, Tryton

PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
TIMEOUT = 120
PATIENT = 'gnuhealth.patient'
# Seconds after which Orthanc calls a study stable
STABLE_AGE = 1
STARTED, STOPPED, STABLE = 'started', 'stopped', 'stable'
STUDY_LEVEL = 'study'


class OrthancModule(types.ModuleType):
    """What the plugin imports as ``orthanc``."""

    def __init__(self, server: Orthanc, configuration: dict[str, object]):
        super().__init__('orthanc')
        self._server = server
        self._configuration = configuration
        self.answer_query: Callable[..., None] | None = None
        self.report_change: Callable[..., None] | None = None
        self.DicomToJsonFormat = types.SimpleNamespace(SHORT=0)
        self.DicomToJsonFlags = types.SimpleNamespace(NONE=0)
        self.ResourceType = types.SimpleNamespace(STUDY=STUDY_LEVEL)
        self.ChangeType = types.SimpleNamespace(
            ORTHANC_STARTED=STARTED, ORTHANC_STOPPED=STOPPED,
            STABLE_STUDY=STABLE, DELETED='deleted')

    def GetConfiguration(self) -> str:
        return json.dumps(self._configuration)

    def GetConfigurationPath(self) -> str:
        return str(self._server.folder)

    def RegisterWorklistCallback(self, callback: Callable[..., None]) -> None:
        self.answer_query = callback

    def RegisterOnChangeCallback(self, callback: Callable[..., None]) -> None:
        self.report_change = callback

    def RestApiGet(self, path: str) -> bytes:
        return self._request('GET', path)

    def RestApiPost(self, path: str, body: str) -> bytes:
        return self._request('POST', path, body)

    def _request(self, method: str, path: str, body: str | None = None
            ) -> bytes:
        response = self._server.session.request(
            method, self._server.url + path, data=body)
        response.raise_for_status()
        return response.content

    @staticmethod
    def DicomBufferToJson(buffer: bytes, *_: int) -> str:
        # A query has no preamble
        return json.dumps(_short(
                pydicom.dcmread(io.BytesIO(buffer), force=True)))

    @staticmethod
    def LogInfo(text: str) -> None:
        print(text, file=sys.stderr)

    LogWarning = LogError = LogInfo


def _short(dataset: pydicom.Dataset) -> dict[str, object]:
    """Return a dataset as Orthanc's format SHORT has it."""
    return {
        f'{element.tag.group:04x},{element.tag.element:04x}': (
            [_short(item) for item in element.value]
            if element.VR == 'SQ' else str(element.value or ''))
        for element in dataset}


class Modality:
    """The query of a modality, and the answers to it."""

    def __init__(self, patient_id: str):
        self._patient_id = patient_id
        self.answers: list[bytes] = []

    def WorklistGetDicomQuery(self) -> bytes:
        query = pydicom.Dataset()
        query.PatientID = self._patient_id
        step = pydicom.Dataset()
        step.Modality = 'CT'
        query.ScheduledProcedureStepSequence = [step]
        query.file_meta = pydicom.dataset.FileMetaDataset()
        query.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, query, enforce_file_format=False)
        return buffer.getvalue()

    def WorklistAddAnswer(self, query: 'Modality', answer: bytes) -> None:
        self.answers.append(answer)


class Site:
    """GNU Health, an Orthanc, and the plugin between them."""

    def __init__(self, folder: Path, orthanc: Orthanc, port: int):
        tryton = Tryton(folder)
        tryton.create([MODULE], cache_folder())
        self.orthanc = orthanc
        self.health = walks.Hospital(tryton, orthanc)
        self._configuration = {
            'StableAge': STABLE_AGE,
            'DefaultEncoding': 'Utf8',
            'HealthOrthanc': {
                'Url': f'http://127.0.0.1:{port}',
                'Database': tryton.name,
                'Key': self.health.key,
                'Server': self.health.identifier,
                'RefreshInterval': 1,
                'Timeout': TIMEOUT,
                'CacheFile': '',
                'NotificationFile': str(folder / 'notifications.db'),
                }}

    @contextmanager
    def plugin(self) -> Iterator[OrthancModule]:
        """Load the plugin, and have it started and stopped as Orthanc does.
        """
        module = OrthancModule(self.orthanc, self._configuration)
        sys.modules['orthanc'] = module
        spec = importlib.util.spec_from_file_location(
            'recorded_plugin', PLUGIN)
        plugin = importlib.util.module_from_spec(spec)
        sys.modules['recorded_plugin'] = plugin
        spec.loader.exec_module(plugin)
        module.report_change(STARTED, None, '')
        try:
            yield module
        finally:
            module.report_change(STOPPED, None, '')

    def images(self, person: Person, order: int) -> list[pydicom.Dataset]:
        """Return images with the attributes of the order's worklist item."""
        datasets = self.health.images(person, order)
        with self.health.transaction():
            data = self.health.get(walks.REQUEST)(
                order).get_worklist_template_data()
        for dataset in datasets:
            item, = dataset.RequestAttributesSequence
            item.RequestedProcedureID = data['RequestedProcedureID']
        return datasets

    def synchronize(self) -> None:
        with self.health.transaction():
            run = self.health.get(walks.RUN).run(
                self.health.get(walks.SERVER)(self.health.server))
        assert run.state == 'done', run.state

    def patient_domain(self, order: int) -> list:
        with self.health.transaction():
            patient = self.health.get(walks.REQUEST)(order).patient
            return [('id', '=', patient.id)]

    def puid(self, order: int) -> str:
        with self.health.transaction():
            return self.health.get(walks.REQUEST)(order).patient.puid

    def wait_linked(self, order: int) -> None:
        """Wait until a study has completed an order."""
        def is_linked() -> bool:
            return [s['request.']['state']
                for s in self.health.studies(order)] == ['done']
        assert wait_until(is_linked, TIMEOUT)


# --- The walks ----------------------------------------------------------

def record_study(site: Site, person: Person) -> walks.Walk:
    """A study from `/changes` to the patient's tab."""
    health = site.health
    order = health.order(person)
    # The first synchronization lists the archive
    site.synchronize()
    site.orthanc.upload(site.images(person, order))
    with walks.follow() as walk:
        site.synchronize()
        patient, = health.call(
            f'model.{PATIENT}.search_read', site.patient_domain(order), 0,
            None, None, ['orthanc_studies', 'orthanc_studies_count'])
        assert patient['orthanc_studies_count'] == 1
        health.call(
            f'model.{walks.STUDY}.read', patient['orthanc_studies'],
            ['date', 'instances_count', 'link_status'])
    return walk


def record_order(site: Site, person: Person) -> walks.Walk:
    """An order from *Request* to a C-FIND answer."""
    with walks.follow() as walk:
        order = site.health.order(person)
        with site.plugin() as module:
            # A query before there is a worklist fails
            assert wait_until(
                lambda: f'{MODULE}/common/routes.py:json_response'
                in walk.functions, TIMEOUT)
            modality = Modality(site.puid(order))

            def is_found() -> bool:
                try:
                    module.answer_query(modality, modality, 'CT1', 'ORTHANC')
                except Exception as error:
                    print(error, file=sys.stderr)
                return bool(modality.answers)
            assert wait_until(is_found, TIMEOUT)
    return walk


def record_notification(site: Site, person: Person) -> walks.Walk:
    """A notification to a completed step."""
    order = site.health.order(person)
    datasets = site.images(person, order)
    with walks.follow() as walk, site.plugin() as module:
        study = site.orthanc.upload(datasets)[0]['ParentStudy']
        assert wait_until(
            lambda: site.orthanc.get(f'/studies/{study}')['IsStable'],
            TIMEOUT)
        module.report_change(STABLE, STUDY_LEVEL, study)
        site.wait_linked(order)
    return walk


def record_upload(site: Site, person: Person) -> walks.Walk:
    """A file from the browser to a linked study."""
    return walks.walk_upload(site.health, person)


RECORDERS = {
    'study': record_study,
    'order': record_order,
    'notification': record_notification,
    'upload': record_upload,
    }


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


def record() -> dict[str, list[str]]:
    """Return the functions of each walk in the order of their first call."""
    with ExitStack() as stack:
        orthanc = stack.enter_context(
            Orthanc(configuration={'StableAge': STABLE_AGE}))
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix='recorded-walks-'))
        # The application is known when trytond has its configuration
        server = make_server(
            '127.0.0.1', 0, lambda *args: _application()(*args),
            threaded=True, request_handler=_QuietHandler)
        site = Site(Path(folder), orthanc, server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(server.shutdown)
        return {
            name: list(recorder(site, person).functions)
            for (name, recorder), person in zip(
                RECORDERS.items(), PATIENTS)}


def _application() -> Callable:
    from trytond.wsgi import app
    return app


if __name__ == '__main__':
    with stopping_on_signals():
        json.dump(record(), sys.stdout, indent=1)
