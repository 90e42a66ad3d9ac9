# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Orthanc answers to the calls that this project relies on.

Ids, times and the like are replaced, and lists sorted: what is left is the
same at each run, and differs between versions of Orthanc only.
"""
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from pydicom.dataset import Dataset

from devtools.dicom import find_worklist
from devtools.orthanc import Orthanc, to_bytes
from devtools.process import wait_until
from devtools.samples import Patient, make_study

from .fake_plugin_routes import FakePluginRoutes
from .radiology import TIMEOUT, answer_values

__all__ = ['IDS', 'STUDY', 'make_archive', 'record']

ERIKA = Patient("Muster^Erika", 'P1', '19640812', 'F')
MAX = Patient("Muster^Max", 'P2', '19700102', 'M')
# Two series, one of them a document without pixels; and one cine loop
STUDY, LOOP_STUDY = '2.25.1', '2.25.2'
CT, DOCUMENT, LOOP = f'{STUDY}.1', f'{STUDY}.2', f'{LOOP_STUDY}.1'
UNKNOWN_JOB = '00000000-0000-0000-0000-000000000000'
ZERO_ID = '-'.join(['00000000'] * 5)
NUMBERS = {
    'DicomPort', 'DiskSize', 'DiskSizeMB', 'EffectiveRuntime', 'FileSize',
    'HttpPort', 'TotalDiskSize', 'TotalDiskSizeMB',
    'TotalUncompressedSize', 'TotalUncompressedSizeMB', 'UncompressedSize',
    'UncompressedSizeMB'}
# What is of the installation or the machine
SETTINGS = {'DatabaseServerIdentifier', 'Performance'}
TIME = re.compile(r'[0-9]{8}T[0-9]{6}(\.[0-9]+)?')
UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
FILE = re.compile(r'[0-9]+[.]dcm$')
RELEASE = re.compile(r'([0-9]+\.[0-9]+)\..*')


def make_archive() -> list[Dataset]:
    """Return instances that are the same each time."""
    datasets = []
    for modality, patient, series, count in [
            ('CT', ERIKA, CT, 2), ('SR', ERIKA, DOCUMENT, 1),
            ('US', MAX, LOOP, 1)]:
        for number, dataset in enumerate(make_study(
                    modality, patient, series=1, instances=count, rows=16,
                    frames=2, StudyInstanceUID=series.rpartition('.')[0],
                    SeriesInstanceUID=series, AccessionNumber='A1',
                    FrameOfReferenceUID=None), 1):
            uid = f'{series}.{number}'
            dataset.SOPInstanceUID = uid
            dataset.file_meta.MediaStorageSOPInstanceUID = uid
            datasets.append(dataset)
    return datasets


def orthanc_id(patient: str, *uids: str) -> str:
    """Return the id that Orthanc gives to a resource."""
    text = '|'.join([patient, *uids])
    digest = hashlib.sha1(text.encode()).hexdigest()
    return '-'.join(digest[start:start + 8] for start in range(0, 40, 8))


def _ids(patient: str) -> dict[str, str]:
    """Return the ids of a patient, and of all that may be the patient's."""
    found = {f'{patient}': orthanc_id(patient)}
    for series in [CT, DOCUMENT, LOOP]:
        study = series.rpartition('.')[0]
        for uids in [
                [study], [study, series],
                *([study, series, f'{series}.{n}'] for n in [1, 2])]:
            found[f'{patient} {uids[-1]}'] = orthanc_id(patient, *uids)
    return found


IDS = _ids(ERIKA.id) | _ids(MAX.id) | _ids('P3')
NAMES = {id_: f'({name})' for name, id_ in IDS.items()}
THE_STUDY, THE_LOOP = IDS[f'P1 {STUDY}'], IDS[f'P2 {LOOP_STUDY}']
THE_SERIES = IDS[f'P1 {CT}']
SLICE, TEXT = IDS[f'P1 {CT}.1'], IDS[f'P1 {DOCUMENT}.1']
CINE = IDS[f'P2 {LOOP}.1']


class Recorder:
    """The answers of an Orthanc, by the name of the call."""

    def __init__(self, orthanc: Orthanc):
        self.orthanc = orthanc
        self.answers: dict[str, Any] = {}

    def call(self, name: str, method: str, path: str, **options: Any
            ) -> requests.Response:
        """Record status and body of an answer, and return it."""
        response = self.orthanc.session.request(
            method, self.orthanc.url + path, timeout=TIMEOUT, **options)
        self.answers[name] = {
            'status': response.status_code, 'body': _body(response)}
        return response

    def note(self, name: str, value: object) -> None:
        """Record something that is no answer to an HTTP request."""
        self.answers[name] = normalize(value)


def _body(response: requests.Response) -> object:
    content = response.content
    if content.startswith(b'\x89PNG'):
        return '(PNG)'
    if content.startswith(b'PK'):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sorted(
                FILE.sub('(number).dcm', name) for name in archive.namelist())
    if content[128:132] == b'DICM':
        return '(DICOM)'
    try:
        return normalize(response.json())
    except ValueError:
        return normalize(content.decode('latin-1').strip('\0'))


def normalize(value: Any, key: str = '') -> Any:
    """Return the value with what is random replaced, and its lists sorted.
    """
    if key in SETTINGS:
        return '(setting)'
    if isinstance(value, Mapping):
        return {
            NAMES.get(name, name): normalize(value[name], name)
            for name in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return sorted(map(normalize, value), key=json.dumps)
    if key in NUMBERS:
        return '(number)'
    if isinstance(value, str):
        return _normalize_text(value, key)
    return value


def _normalize_text(text: str, key: str) -> str:
    if key == 'Version':
        return RELEASE.sub(r'\1', text)
    if text in NAMES:
        return NAMES[text]
    if TIME.fullmatch(text):
        return '(time)'
    for id_, name in NAMES.items():
        text = text.replace(id_, name)
    return UUID.sub('(uuid)', text)


def record(orthanc: Orthanc, peer: FakePluginRoutes) -> dict[str, Any]:
    """Return the answers of an Orthanc that is empty, by name.

    Parameters
    ----------
    orthanc
        With this project's plugin, and a `StableAge` of 1.
    peer
        Whom the plugin tells of studies.
    """
    recorder = Recorder(orthanc)
    _record_server(recorder)
    _record_storing(recorder)
    _record_notification(recorder, peer)
    _record_changes(recorder)
    _record_resources(recorder)
    _record_instances(recorder)
    _record_pixels(recorder)
    _record_files(recorder)
    _record_modification(recorder)
    _record_deletion(recorder)
    _record_worklist(recorder, peer)
    return recorder.answers


def _record_server(recorder: Recorder) -> None:
    recorder.call("system", 'GET', '/system')
    recorder.call("system without credentials", 'GET', '/system', auth=(
            'nobody', 'wrong'))
    recorder.call("plugins", 'GET', '/plugins')
    recorder.call("unknown path", 'GET', '/nothing')
    recorder.call("changes of an empty archive", 'GET', '/changes')
    recorder.call("worklists without their plugin", 'GET', '/worklists')


def _record_storing(recorder: Recorder) -> None:
    files = [to_bytes(dataset) for dataset in make_archive()]
    recorder.call("store", 'POST', '/instances', data=files[0])
    recorder.call("store again", 'POST', '/instances', data=files[0])
    recorder.call("store what is no DICOM", 'POST', '/instances', data=b'no')
    recorder.call("store half", 'POST', '/instances', data=files[1][:700])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        for number, file in enumerate(files):
            archive.writestr(f'{number}.dcm', file)
    recorder.call("store a ZIP", 'POST', '/instances', data=stream.getvalue())
    recorder.call("statistics", 'GET', '/statistics')


def _record_notification(recorder: Recorder, peer: FakePluginRoutes) -> None:
    studies = [THE_STUDY, THE_LOOP]
    assert wait_until(lambda: all(map(peer.events_of, studies)), TIMEOUT)
    recorder.note("plugin: events", [
            {'kind': event['kind'], 'facts': {
                    # Those of whichever image is the first one
                    name: value for name, value in event['facts'].items()
                    if name != 'Texts'}}
            for study in studies for event in peer.events_of(study)])


def _record_changes(recorder: Recorder) -> None:
    orthanc = recorder.orthanc
    # With the patients, all studies and series are stable
    assert wait_until(lambda: [
            change['ChangeType'] for change in
            orthanc.get('/changes')['Changes']].count('StablePatient') == 2,
        TIMEOUT)
    recorder.note("changes", [
            [change['ChangeType'], change['ResourceType'], change['ID'],
                change['Path']]
            for change in orthanc.get('/changes')['Changes']])
    last = orthanc.get('/changes')['Last']
    page = recorder.call(
        "changes: a page", 'GET', '/changes?since=1&limit=1').json()
    assert page['Last'] == 2
    assert orthanc.get('/changes?last')['Last'] == last
    recorder.note(
        "changes: numbers",
        [change['Seq'] for change in orthanc.get('/changes')['Changes']])
    recorder.call(
        "changes: after the end", 'GET', f'/changes?since={last}&limit=9')


def _record_resources(recorder: Recorder) -> None:
    for level in ['patients', 'studies', 'series']:
        recorder.call(
            f"list {level}", 'GET', f'/{level}?expand&since=0&limit=9')
    recorder.call(
        "list after the end", 'GET', '/studies?expand&since=9&limit=9')
    recorder.call("list without limit", 'GET', '/studies?expand&since=0')
    pages = [
        recorder.orthanc.get(f'/series?expand&since={since}&limit=1')
        for since in range(3)]
    recorder.note("list in pages", [page[0]['ID'] for page in pages])
    recorder.call("patient", 'GET', f'/patients/{IDS["P1"]}')
    recorder.call("study", 'GET', f'/studies/{THE_STUDY}')
    recorder.call("unknown study", 'GET', f'/studies/{ZERO_ID}')
    asked = [THE_SERIES, ZERO_ID, IDS['P1'], SLICE, THE_STUDY]
    found = recorder.call(
        "bulk content", 'POST', '/tools/bulk-content',
        json={'Resources': asked, 'Metadata': False}).json()
    recorder.note("bulk content: order", {
            str(number): resource['Type']
            for number, resource in enumerate(found)})
    recorder.call("find", 'POST', '/tools/find', json={
            'Level': 'Study', 'Query': {'StudyInstanceUID': STUDY},
            'Expand': False, 'Since': 0, 'Limit': 9})


def _record_instances(recorder: Recorder) -> None:
    recorder.call(
        "instances of a study", 'GET', f'/studies/{THE_STUDY}/instances')
    recorder.call(
        "instances of a series", 'GET', f'/series/{THE_SERIES}/instances')
    recorder.call("tags", 'GET', f'/instances/{SLICE}/simplified-tags')
    tags = recorder.orthanc.get(f'/series/{THE_SERIES}/instances-tags')
    recorder.note("tags of a series", {
            id_: found['0010,0010'] for id_, found in tags.items()})
    recorder.call(
        "transfer syntax", 'GET',
        f'/instances/{SLICE}/metadata/TransferSyntax')


def _record_pixels(recorder: Recorder) -> None:
    for name, id_ in [("image", SLICE), ("loop", CINE), ("document", TEXT)]:
        recorder.call(f"frames: {name}", 'GET', f'/instances/{id_}/frames')
        recorder.call(
            f"rendered: {name}", 'GET',
            f'/instances/{id_}/frames/0/rendered?width=8',
            headers={'Accept': 'image/png'})
        pixels = recorder.orthanc.session.get(
            f'{recorder.orthanc.url}/instances/{id_}/frames/0/raw',
            timeout=TIMEOUT)
        recorder.note(
            f"raw frame: {name}",
            [pixels.status_code, pixels.ok and len(pixels.content)])
    recorder.call(
        "rendered: no such frame", 'GET',
        f'/instances/{SLICE}/frames/1/rendered',
        headers={'Accept': 'image/png'})


def _record_files(recorder: Recorder) -> None:
    recorder.call("file", 'GET', f'/instances/{SLICE}/file')
    for level, id_ in [
            ('patients', IDS['P1']), ('studies', THE_STUDY),
            ('series', THE_SERIES), ('studies', ZERO_ID)]:
        name = NAMES.get(id_, "unknown")
        recorder.call(f"archive: {name}", 'GET', f'/{level}/{id_}/archive')


def _record_modification(recorder: Recorder) -> None:
    replace = Patient("Muster^Eva", 'P3', '19640812', 'F').tags()
    uids = ['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID']
    recorder.call(
        "modify the patient of a study", 'POST',
        f'/studies/{THE_STUDY}/modify', json={
            'Replace': replace, 'Keep': uids, 'Force': True})
    job = recorder.call("bulk-modify", 'POST', '/tools/bulk-modify', json={
            'Resources': [SLICE, TEXT], 'Level': 'Patient',
            'Replace': replace, 'Remove': ['IssuerOfPatientID'], 'Keep': uids,
            'Force': True, 'KeepSource': True, 'Asynchronous': True}).json()
    assert 'ID' in job, job
    path = f'/jobs/{job["ID"]}'
    assert wait_until(
        lambda: recorder.orthanc.get(path)['State']
        not in {'Pending', 'Running'}, TIMEOUT)
    job = recorder.orthanc.get(path)
    recorder.note("job", {name: job[name] for name in [
                'State', 'Progress', 'Type', 'ErrorCode']})
    recorder.call("unknown job", 'GET', f'/jobs/{UNKNOWN_JOB}')
    recorder.note("studies after bulk-modify", {
            study['ID']: {
                **study['MainDicomTags'], **study['PatientMainDicomTags']}
            for study in recorder.orthanc.get(
                '/studies?expand&since=0&limit=9')})
    recorder.call("instances after bulk-modify", 'GET', '/instances')


def _record_deletion(recorder: Recorder) -> None:
    orthanc = recorder.orthanc
    before = orthanc.get('/changes?last')['Last']
    recorder.call("bulk-delete", 'POST', '/tools/bulk-delete', json={
            'Resources': [SLICE, ZERO_ID]})
    recorder.call("delete a series", 'DELETE', f'/series/{THE_SERIES}')
    recorder.call("delete a study", 'DELETE', f'/studies/{THE_STUDY}')
    recorder.call("delete it again", 'DELETE', f'/studies/{THE_STUDY}')
    orthanc.clear()
    recorder.note(
        "changes: of what is deleted",
        [change['ID'] for change in orthanc.get('/changes')['Changes']])
    page = orthanc.get(f'/changes?since={before}&limit=1')
    recorder.note("changes: end after deletions", {
            'Changes': page['Changes'], 'Done': page['Done'],
            'Moved': page['Last'] < before})


def _record_worklist(recorder: Recorder, peer: FakePluginRoutes) -> None:
    port = recorder.orthanc.dicom_port
    assert wait_until(
        lambda: find_worklist(port, ['AccessionNumber=A1']), TIMEOUT)
    recorder.note("worklist", list(map(answer_values, find_worklist(port))))
    recorder.note("worklist: no match", list(map(
                answer_values, find_worklist(port, ['AccessionNumber=A2']))))
