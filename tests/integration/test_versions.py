# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between versions of Orthanc, and that it makes no difference.

``answers.json`` holds the answers that this project relies on, under the
versions that give them.  ``WRITE_ANSWERS=1 ./dev test --orthanc VERSION
tests/integration/test_versions.py`` records those of a version anew: look at
what has changed before you commit it.
"""
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import (
    InstanceRefused, NoImage, NotFound, NoWorklists)
from trytond.modules.health_orthanc.core.orthanc.listing_digests import (
    listed_digests)
from trytond.modules.health_orthanc.core.orthanc.resources import StudyResource

from devtools.orthanc import Orthanc, to_bytes
from devtools.orthanc_releases import ORTHANC_VARIABLE
from devtools.process import wait_until
from devtools.samples import Patient, make_study
from devtools.testing import EVERYDAY_ORTHANCS

from . import inside
from .fake_plugin_routes import FakePluginRoutes, entry_file
from .hospital import ADMIN, ALL, study, study_id
from .orthanc_answers import IDS, STUDY, make_archive, record
from .radiology import TIMEOUT, live_orthanc

RECORDED = Path(__file__).with_name('answers.json')
WRITE = bool(os.environ.get('WRITE_ANSWERS'))
ASKED = os.environ.get(ORTHANC_VARIABLE)
VERSIONS = [ASKED] if ASKED else EVERYDAY_ORTHANCS


@dataclass
class Tried:
    """An Orthanc of a version, and what it has answered."""
    version: str
    orthanc: Orthanc
    answers: dict[str, Any]


@pytest.fixture(scope='module', params=VERSIONS)
def tried(request) -> Iterator[Tried]:
    with FakePluginRoutes() as peer:
        peer.put(1, entry_file(StudyInstanceUID='2.25.9'))
        section = {
            'Url': peer.url, 'Database': peer.database, 'Key': peer.key,
            'Server': 'main'}
        with live_orthanc(
                section, version=request.param, StableAge=1) as orthanc:
            answers = record(orthanc, peer)
            if WRITE:
                _write(request.param, answers)
            yield Tried(request.param, orthanc, answers)


@pytest.fixture
def orthanc(tried) -> Orthanc:
    """One of the version, which holds nothing."""
    tried.orthanc.clear()
    return tried.orthanc


def _recorded() -> dict[str, dict[str, Any]]:
    """Return the recorded answers by name and version."""
    if not RECORDED.exists():
        return {}
    return {
        name: {
            version: group['answer'] for group in groups
            for version in group['versions']}
        for name, groups in json.loads(RECORDED.read_text()).items()}


def _write(version: str, answers: dict[str, Any]) -> None:
    """Record answers, and put the versions together that answer alike."""
    recorded = _recorded()
    for name, answer in answers.items():
        recorded.setdefault(name, {})[version] = answer
    content = {}
    for name, by_version in recorded.items():
        if name not in answers:
            by_version.pop(version, None)
        groups: dict[str, list[str]] = {}
        for each in sorted(by_version):
            text = json.dumps(by_version[each], sort_keys=True)
            groups.setdefault(text, []).append(each)
        if groups:
            content[name] = [
                {'versions': versions, 'answer': json.loads(text)}
                for text, versions in groups.items()]
    RECORDED.write_text(json.dumps(content, indent=1, ensure_ascii=False)
        + '\n')


@pytest.mark.parametrize('name', sorted(_recorded()))
def test_an_answer_is_the_recorded_one(tried, name):
    assert tried.answers[name] == _recorded()[name][tried.version]


def test_no_answer_is_left_out(tried):
    assert sorted(tried.answers) == sorted(
        name for name, versions in _recorded().items()
        if tried.version in versions)


@pytest.fixture
def client(orthanc) -> Iterator[OrthancClient]:
    with OrthancClient(
            orthanc.url, orthanc.user, orthanc.password) as client:
        yield client


@pytest.mark.parametrize('version', VERSIONS)
def test_an_orthanc_without_passwords_is_noticed(version):
    configuration = {'AuthenticationEnabled': False}
    with Orthanc(version=version, configuration=configuration) as open_to_all:
        with OrthancClient(open_to_all.url, 'anybody', 'any') as client:
            assert client.probe().unprotected


def test_the_client_reads(client, tried):
    tried.orthanc.upload(make_archive())
    info = client.probe()
    assert f'{info.version}.'.startswith(f'{tried.version}.')
    assert 'python' in info.plugins
    assert not info.unprotected
    assert not info.worklists
    assert info.last_change == client.last_change().last > 0
    with pytest.raises(NoWorklists):
        client.worklists()
    page = client.changes(info.last_change - 1, 1)
    assert [change.seq for change in page.changes] == [info.last_change]
    ct, document = IDS[f'P1 {STUDY}.1'], IDS[f'P1 {STUDY}.2']
    slice_, text = IDS[f'P1 {STUDY}.1.1'], IDS[f'P1 {STUDY}.2.1']
    listed = StudyResource.from_json(next(
            s for s in client.list_studies(0, 9)
            if s['ID'] == IDS[f'P1 {STUDY}']))
    assert listed.study_instance_uid == STUDY
    assert listed.accession_number == 'A1'
    assert listed.patient.name == "Muster^Erika"
    assert set(listed.series_ids) == {ct, document}
    assert not listed.malformed
    assert len(client.list_series(0, 2)) == 2
    assert len(client.list_series(2, 2)) == 1
    assert [r['ID'] for r in client.bulk_content([text, 'none', ct])] == [
        text, ct]
    assert client.find_studies(STUDY) == [listed.orthanc_id]
    assert len(client.study_instances(listed.orthanc_id)) == 3
    assert len(client.series_instances(ct)) == 2
    assert client.series_tags(ct).keys() == {
        slice_, IDS[f'P1 {STUDY}.1.2']}
    assert client.simplified_tags(slice_)['Modality'] == 'CT'
    assert client.transfer_syntax(slice_) == '1.2.840.10008.1.2.1'
    assert client.instance_header(slice_).patient_id == 'P1'
    assert client.frames(slice_) == 1
    assert client.rendered(slice_, width=8)
    assert client.frame_digest(slice_)
    assert client.frame_digest(text) is None
    with pytest.raises((NoImage, NotFound)):
        client.rendered(text)
    assert b''.join(client.archive('study', listed.orthanc_id))


def test_the_client_writes(client, tried):
    files = [to_bytes(dataset) for dataset in make_archive()]
    stored = [
        client.store_instance(io.BytesIO(file), len(file))
        for file in files + files[:1]]
    assert [s.is_new for s in stored] == [True] * 4 + [False]
    with pytest.raises(InstanceRefused):
        client.store_instance(io.BytesIO(b'no DICOM'), 8)
    ids = [IDS[f'P1 {STUDY}.1.{number}'] for number in [1, 2]]
    job = client.copy_instances(
        ids, Patient("Muster^Eva", 'P3', '19640812', 'F').tags())
    assert wait_until(
        lambda: client.job(job)['State'] == 'Success', TIMEOUT)
    assert len(client.find_studies(STUDY)) == 2
    assert len(client.study_instances(IDS[f'P3 {STUDY}'])) == 2
    client.delete_instances([*ids, 'none'])
    assert len(client.study_instances(IDS[f'P1 {STUDY}'])) == 1
    client.delete('study', IDS[f'P1 {STUDY}'])
    with pytest.raises(NotFound):
        client.delete('study', IDS[f'P1 {STUDY}'])
    assert client.find_studies(STUDY) == [IDS[f'P3 {STUDY}']]


def _numbers(client):
    statistics = client.statistics()
    return statistics['CountSeries'], statistics['CountInstances']


def _tick(client, orthanc, study):
    """Wait until Orthanc's clock gives another time than that of a study."""
    def is_later():
        orthanc.upload(make_study(modality='CT', series=1, instances=1,
            rows=8, StudyInstanceUID='2.25.77'))
        clock = client.bulk_content([
                *client.find_studies('2.25.77')])[0]['LastUpdate']
        return clock > client.study(study)['LastUpdate']
    assert wait_until(is_later, TIMEOUT)
    for id_ in client.find_studies('2.25.77'):
        client.delete('study', id_)


def test_what_changes_is_seen_in_the_study_or_in_the_numbers(client, tried):
    """What a full synchronization skips studies and series by."""
    orthanc, id_ = tried.orthanc, IDS[f'P1 {STUDY}']
    ct, late = IDS[f'P1 {STUDY}.1'], IDS[f'P1 {STUDY}.1.2']
    files = make_archive()
    wanted, = [d for d in files if d.SOPInstanceUID == f'{STUDY}.1.2']
    orthanc.upload([d for d in files if d is not wanted])

    def listed():
        found = listed_digests(client.list_studies(0, 9), '')
        # Both ways to list have the same form
        assert found == listed_digests(
            client.find_dated_studies('-', 0, 9), '')
        return found

    def is_stable():
        return client.study(id_)['IsStable']

    # Alone that it is stable is seen
    unstable = listed()
    assert wait_until(is_stable, TIMEOUT)
    before, numbers = listed(), _numbers(client)
    assert before[id_] != unstable[id_]
    for again in [False, True]:
        _tick(client, orthanc, id_)
        last = client.last_change().last
        times = client.study(id_)['LastUpdate']
        # A new instance, and one in place of another
        if again:
            client.delete_instances([late])
        orthanc.upload([wanted])
        study, series = client.bulk_content([id_, ct])
        assert study['LastUpdate'] == series['LastUpdate'] > times
        changes = client.changes(last, 99).changes
        assert late in {c.orthanc_id for c in changes if c.level == 'instance'}
        assert all(c.seq > last for c in changes)
        assert wait_until(is_stable, TIMEOUT)
        assert listed()[id_] != before[id_]
        assert _numbers(client) == (numbers[0], numbers[1] + 1)
        before = listed()
    # Deleted: no change is logged, but the numbers tell
    last = client.last_change().last
    client.delete_instances([late])
    assert not client.changes(last, 99).changes
    assert _numbers(client) == numbers
    client.delete('series', ct)
    assert _numbers(client) == (numbers[0] - 1, numbers[1] - 1)
    assert listed()[id_] != before[id_]


def test_records_follow(hospital, orthanc):
    """Synchronization, notification, reconciliation, deletion."""
    patient, puid = hospital.add_patient()
    first = study(Patient('Fehler^Fritz', 'WRONG'), series=2, instances=2)
    source = study_id(orthanc.upload(first))
    server = hospital.add_server(orthanc, correct_identity=True, **ALL)
    server.done()
    server.assert_equal()
    # More images, of which the plugin tells
    late = study(StudyInstanceUID=first[0].StudyInstanceUID, PatientID='WRONG')
    orthanc.upload(late)
    assert not hospital.call(inside.notify, server.id, [('study', source)])
    server.assert_equal()
    assert wait_until(
        lambda: orthanc.get(f'/studies/{source}')['IsStable'], TIMEOUT)
    record = server.study()['id']
    hospital.write(inside.STUDY, [record], patient=patient)
    hospital.agent.start(
        inside.correct, record, 'correct', user=ADMIN).result()
    corrected = server.study('patient_id', 'missing_since')
    assert corrected['id'] == record
    assert corrected['patient_id'] == puid
    assert corrected['orthanc_UID'] != source
    assert corrected['missing_since'] is None
    server.done()
    server.done('full')
    server.assert_equal()
    _, outcomes, _ = hospital.agent.start(
        inside.delete_images, inside.STUDY, [record], "Phantom", user=ADMIN
        ).result()
    assert outcomes == [('done', None)]
    assert not orthanc.get('/studies')
    # An archive that is new, under the address of the old one
    orthanc.upload(study())
    server.done('full')
    server.assert_equal()
