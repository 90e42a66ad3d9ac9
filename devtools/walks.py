# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow four tasks through the product, function by function.

Each walk runs once, in a process that has done nothing of the kind before, on
a new SQLite database with the hospital of the demo and an Orthanc of its own:

study
    A study of one series with two images is in Orthanc.  An incremental
    synchronization reads ``/changes`` and links it to its order.
notification
    The route ``orthanc/notify`` receives that a study has become stable; the
    queued task imports it and completes the step.
item
    An order has been requested; its worklist item is rendered.
upload
    A file comes in through the route ``orthanc/upload``; the wizard, called
    as a client does, imports its study and links it to the chosen order.

What is counted
---------------
Only Python functions of the product count: those in files below
``health_orthanc/``, ``orthanc_plugin/`` and ``scripts/``, in all threads.

- *files*: the distinct files that a function was called in.
- *crossings*: the calls of a function by a function in another file.  The
  caller is the nearest function of the product on the stack, whatever
  libraries stand between (a field's getter is called by Tryton on behalf of
  the function that reads the field).  What has no caller in the product (a
  route, a queued task, a thread) is no crossing.

The bodies of modules do not count, because all of them are imported before.
A generator counts once, when it begins.  Comprehensions and lambdas count as
the functions that they are.  Caches of the product are empty, and nothing
that prepares a walk is counted: the hospital, its orders, what is sent to
Orthanc.
"""
import argparse
import base64
import datetime as dt
import dis
import inspect
import json
import multiprocessing
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pydicom.dataset import Dataset

from . import hospital, samples
from .orthanc import Orthanc, to_bytes
from .process import stopping_on_signals
from .testing import cache_folder
from .tryton import MODULE, PASSWORD, ROOT, Tryton

__all__ = ['Walk', 'follow', 'take_walks']

FOLDERS = [MODULE, 'orthanc_plugin', 'scripts']
PACKAGE = f'trytond.modules.{MODULE}'
SERVER = 'gnuhealth.orthanc.config'
STUDY = 'gnuhealth.imaging_orthanc.study'
RUN = 'gnuhealth.orthanc.synchronization'
NOTIFICATION = 'gnuhealth.orthanc.notification'
ENTRY = 'gnuhealth.imaging.worklist.entry'
REQUEST = 'gnuhealth.imaging.test.request'
UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
ADMIN = 1
_GENERATORS = (
    inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)


# --- Counting -----------------------------------------------------------

@dataclass
class Walk:
    """What was called on a walk.

    Attributes
    ----------
    functions
        As ``file:qualified name``, each once, in the order of the first call.
        The file is relative to the root of the repository.
    crossings
        How many calls came from a function in another file.
    """
    functions: dict[str, None] = field(default_factory=dict)
    crossings: int = 0

    @property
    def files(self) -> set[str]:
        """The files that functions were called in."""
        return {name.partition(':')[0] for name in self.functions}


@contextmanager
def follow() -> Iterator[Walk]:
    """Count what functions of the product are called meanwhile.

    Threads that are started meanwhile are followed, too.
    """
    walk = Walk()
    lock = threading.Lock()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != 'call' or frame.f_code.co_name == '<module>':
            return
        file = _file(frame.f_code)
        if not file or _is_resumed(frame):
            return
        caller = frame.f_back
        while caller and not _file(caller.f_code):
            caller = caller.f_back
        with lock:
            walk.functions[f'{file}:{_qualified_name(frame)}'] = None
            if caller and _file(caller.f_code) != file:
                walk.crossings += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


_files: dict[str, str | None] = {}


def _file(code: CodeType) -> str | None:
    """Return the path of a file of the product, relative to the root."""
    name = code.co_filename
    if name not in _files:
        path = Path(name)
        inside = (
            path.is_absolute() and path.is_relative_to(ROOT)
            and path.relative_to(ROOT).parts[0] in FOLDERS)
        _files[name] = (
            path.relative_to(ROOT).as_posix() if inside else None)
    return _files[name]


def _is_resumed(frame: FrameType) -> bool:
    """Return whether a generator goes on that has begun before."""
    code = frame.f_code
    if not code.co_flags & _GENERATORS:
        return False
    if code not in _beginnings:
        _beginnings[code] = next((
                instruction.offset
                for instruction in dis.get_instructions(code)
                if instruction.opname == 'RESUME'), -1)
    return frame.f_lasti > _beginnings[code]


# Where generators begin; before Python 3.11 they do so before all else
_beginnings: dict[CodeType, int] = {}


def _qualified_name(frame: FrameType) -> str:
    code = frame.f_code
    # Python 3.10 has only the bare name
    return getattr(code, 'co_qualname', code.co_name)


# --- The hospital -------------------------------------------------------

class Hospital:
    """GNU Health in this process, with an Orthanc as its only server."""

    def __init__(self, tryton: Tryton, orthanc: Orthanc):
        self.orthanc = orthanc
        self._name = tryton.name
        tryton.connect()
        _import_all()
        hospital.fill(PASSWORD)
        with self.transaction():
            server, = self.get(SERVER).create([{
                        'label': "Main", 'domain': orthanc.url,
                        'user': orthanc.user, 'password': orthanc.password,
                        'validated': True, 'version': '1.10.1',
                        }])
            self.server = server.id
            self.identifier = server.identifier
            self.key = server.new_plugin_key()
            self._session = self.get('ir.session').new()
        # Who may order
        tryton.connect('physician')

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Work as the administrator; do afterwards what was queued."""
        from trytond.transaction import Transaction
        from trytond.worker import run_task
        with Transaction().start(self._name, ADMIN) as transaction:
            yield
            transaction.commit()
        while transaction.tasks:
            run_task(self._name, transaction.tasks.pop())

    @staticmethod
    def get(name: str, type: str = 'model') -> Any:
        from trytond.pool import Pool
        return Pool().get(name, type=type)

    def order(self, person: hospital.Person) -> int:
        """Request a CT of the head and return the id of the order."""
        order, = hospital.place_order(
            person, ['CT-HEAD'], dt.datetime.now().replace(microsecond=0))
        order.click('requested')
        return order.id

    def images(self, person: hospital.Person, order: int) -> list[Dataset]:
        """Return two images with all that the worklist item tells."""
        with self.transaction():
            request = self.get(REQUEST)(order)
            step, = request.steps
            item = Dataset()
            item.RequestedProcedureID = request.request_line
            item.ScheduledProcedureStepID = step.step_id
            datasets = samples.make_study(
                'CT', person.in_dicom(), series=1, instances=2, rows=16,
                date=step.scheduled_at,
                StudyInstanceUID=request.study_instance_uid,
                AccessionNumber=request.accession_number,
                PerformedStationAETitle=step.station_aetitle)
        for dataset in datasets:
            dataset.RequestAttributesSequence = [item]
        return datasets

    def studies(self, order: int) -> list[dict[str, Any]]:
        """Return how the studies of an order are linked."""
        with self.transaction():
            return self.get(STUDY).search_read(
                [('request', '=', order)],
                fields_names=[
                    'link_status', 'doubt', 'request.state'])

    def post(self, path: str, data: bytes, **headers: str) -> Any:
        """Return the JSON that one of the module's routes answers."""
        response = self._client().post(
            f'/{self._name}/orthanc/{path}', data=data, headers={
                name.replace('_', '-'): value
                for name, value in headers.items()})
        assert response.status_code == 200, response.status
        return response.json

    @property
    def authorization(self) -> str:
        """The header of a client that the administrator works with."""
        token = f'admin:{ADMIN}:{self._session}'.encode()
        return f'Session {base64.b64encode(token).decode()}'

    def call(self, method: str, *args: Any) -> Any:
        """Return what a remote call answers."""
        from trytond.protocols.jsonrpc import JSONDecoder, JSONEncoder
        response = self._client().post(
            f'/{self._name}/', content_type='application/json',
            data=json.dumps(
                {'id': 1, 'method': method, 'params': [*args, {}]},
                cls=JSONEncoder),
            headers={'Authorization': self.authorization})
        answer = json.loads(response.data, object_hook=JSONDecoder())
        assert 'error' not in answer, answer
        return answer['result']

    @staticmethod
    def _client() -> Any:
        from werkzeug.test import Client
        from werkzeug.wrappers import Response

        from trytond.wsgi import app
        return Client(app, Response)


def _import_all() -> None:
    package = import_module(PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f'{PACKAGE}.'):
        import_module(module.name)


# --- The walks ----------------------------------------------------------

def walk_study(place: Hospital, person: hospital.Person) -> Walk:
    """From the change log to the order."""
    order = place.order(person)
    place.orthanc.upload(place.images(person, order))
    with follow() as walk, place.transaction():
        Run = place.get(RUN)
        run = Run.run(place.get(SERVER)(place.server))
    assert run.state == 'done', run.state
    _check_linked(place, order)
    return walk


def walk_notification(place: Hospital, person: hospital.Person) -> Walk:
    """From the notification of a stable study to the completed step."""
    order = place.order(person)
    datasets = place.images(person, order)
    answers = place.orthanc.upload(datasets)
    body = json.dumps({
            'version': 1,
            'server': place.identifier,
            'events': [{
                    'event': answers[0]['ParentStudy'] + '-1',
                    'kind': 'study',
                    'study': answers[0]['ParentStudy'],
                    'facts': _facts(datasets, answers),
                    }],
            }).encode()
    with follow() as walk:
        place.post(
            'notify', body, Authorization=f'Bearer {place.key}',
            Content_Type='text/plain; charset=utf-8')
    _check_linked(place, order)
    return walk


def walk_item(place: Hospital, person: hospital.Person) -> Walk:
    """From a requested order to its worklist item."""
    with place.transaction():
        place.get(ENTRY).refresh()
    order = place.order(person)
    with follow() as walk, place.transaction():
        place.get(ENTRY).refresh()
    with place.transaction():
        step, = place.get(REQUEST)(order).steps
        entry, = place.get(ENTRY).search([('step', '=', step.id)])
        assert entry.dicom and not entry.problem, entry.problem
    return walk


def walk_upload(place: Hospital, person: hospital.Person) -> Walk:
    """From a file of the browser to the order."""
    order = place.order(person)
    data = to_bytes(place.images(person, order)[0])
    with place.transaction():
        patient = place.get(REQUEST)(order).patient.id
    client = {'Authorization': place.authorization}
    with follow() as walk:
        key = place.post(
            'upload/transfer', b'-', **client)['transfer']
        files = place.post(
            'upload', data, **client, X_Transfer=key, X_File='0',
            X_File_Name='image.dcm')['files']
        session, start, _ = place.call(f'wizard.{UPLOAD}.create')
        for values, state in [
                ({}, start),
                ({start: {
                    'server_config': str(place.server), 'patient': patient,
                    'request': order,
                    'data_to_upload': f'TRANSFER {key} 0'.encode()}},
                    'check'),
                ({'review': {}}, 'send')]:
            view = place.call(
                f'wizard.{UPLOAD}.execute', session, values, state)['view']
        place.call(f'wizard.{UPLOAD}.delete', session)
    assert [file['state'] for file in files] == ['received'], files
    assert view['state'] == 'result', view
    _check_linked(place, order)
    return walk


def _facts(datasets: list[Dataset], answers: list[dict]) -> dict[str, Any]:
    """Return what the plugin inside Orthanc tells of a study."""
    first = datasets[0]
    item, = first.RequestAttributesSequence

    def named(source: Dataset, *keywords: str) -> dict[str, str]:
        return {
            keyword: str(source[keyword].value) for keyword in keywords
            if source.get(keyword)}
    return {
        **named(
            first, 'AccessionNumber', 'PatientBirthDate', 'PatientID',
            'PatientName', 'PatientSex', 'StudyDate', 'StudyDescription',
            'StudyID', 'StudyInstanceUID', 'StudyTime'),
        'IsStable': True,
        'Series': [{
                'ID': answers[0]['ParentSeries'],
                **named(
                    first, 'Modality', 'PerformedStationAETitle',
                    'SeriesInstanceUID'),
                'Instances': len(datasets),
                'RequestAttributes': [named(
                        item, 'RequestedProcedureID',
                        'ScheduledProcedureStepID')],
                }],
        'Texts': [str(first.PatientID), str(first.AccessionNumber)],
        }


def _check_linked(place: Hospital, order: int) -> None:
    study, = place.studies(order)
    assert study['link_status'] in {'auto_certain', 'manual'}, study
    assert study['request.']['state'] == 'done', study


WALKS: dict[str, Callable[[Hospital, hospital.Person], Walk]] = {
    'study': walk_study,
    'notification': walk_notification,
    'item': walk_item,
    'upload': walk_upload,
    }


# One for each walk, whose names modalities write as GNU Health does
PERSONS = [hospital.PATIENTS[index] for index in [0, 2, 7, 8]]


def take_walks() -> dict[str, Walk]:
    """Return what is called on each walk, by its name.

    A process can do so once: trytond works on one database.
    """
    with ExitStack() as stack:
        orthanc = stack.enter_context(Orthanc())
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix='walks-'))
        tryton = Tryton(Path(folder))
        tryton.create([MODULE], cache_folder())
        place = Hospital(tryton, orthanc)
        return {
            name: _take_apart(walk, place, person)
            for (name, walk), person in zip(WALKS.items(), PERSONS)}


def _take_apart(
        walk: Callable[[Hospital, hospital.Person], Walk],
        place: Hospital, person: hospital.Person) -> Walk:
    """Take a walk in a process of its own, whose caches are empty."""
    # A fork knows the database
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)

    def send() -> None:
        sender.send(walk(place, person))

    process = context.Process(target=send)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"{walk.__name__} failed") from None
    finally:
        process.join()


# --- The command --------------------------------------------------------

def main() -> int:
    parser = argparse.ArgumentParser(
        prog='python -m devtools.walks', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--json', action='store_true',
        help="print the functions too, in the order of their first call")
    options = parser.parse_args()
    walks = take_walks()
    if options.json:
        print(json.dumps({
                    name: {
                        'files': len(walk.files),
                        'crossings': walk.crossings,
                        'functions': list(walk.functions),
                        } for name, walk in walks.items()}, indent=1))
        return 0
    print(f'{"walk":14}{"files":>8}{"crossings":>12}{"functions":>12}')
    for name, walk in walks.items():
        print(
            f'{name:14}{len(walk.files):8}{walk.crossings:12}'
            f'{len(walk.functions):12}')
    return 0


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
