# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files that pydicom comes with, the odd and the broken ones too."""
import io
import zipfile
from pathlib import Path

import pydicom.data
import pytest
from pydicom.errors import InvalidDicomError

from proteus import Model, Wizard

from devtools.orthanc import Orthanc

from .client import FULL_SYNCHRONIZE, SERVER, add_server

UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
FOLDER = Path(pydicom.data.__file__).parent
FILES = {
    str(path.relative_to(FOLDER)): path
    for name in ['test_files', 'charset_files']
    for path in sorted((FOLDER / name).rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def archive():
    with Orthanc() as archive:
        yield archive


@pytest.fixture(scope='module')
def outcomes(trytond, archive):
    "What the wizard tells of each file"
    trytond.connect()
    add_server(archive).execute('end')
    server, = Model.get(SERVER).find([])
    server.instances_mode = 'always'
    server.save()
    groups = Model.get('res.group').find(
        [('name', '=', "Health Imaging Orthanc")])
    admin, = Model.get('res.user').find([('login', '=', 'admin')])
    admin.groups.extend(g for g in groups if g not in admin.groups)
    admin.save()
    trytond.connect()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as file:
        for name, path in FILES.items():
            file.write(path, name)
    wizard = Wizard(UPLOAD)
    wizard.form.data_to_upload = stream.getvalue()
    wizard.execute('check')
    wizard.execute('send')
    found = {f.name: (f.state, f.reason) for f in wizard.form.files}
    wizard.execute('end')
    return found


def has_pixels(path):
    try:
        return 'PixelData' in pydicom.dcmread(path, stop_before_pixels=False)
    except (InvalidDicomError, OSError, ValueError, AttributeError):
        return False


def test_each_file_is_stored_or_refused_with_a_reason(outcomes, archive):
    assert outcomes.keys() == FILES.keys()
    assert {state for state, _ in outcomes.values()} <= {
        'stored', 'present', 'refused', 'skipped'}
    assert all(
        reason for state, reason in outcomes.values()
        if state in {'refused', 'skipped'})
    stored = [n for n, (state, _) in outcomes.items() if state == 'stored']
    assert len(stored) == archive.counts()['instances'] > 100


def test_lists_and_forms_open(outcomes, archive, trytond):
    rpc = trytond.rpc()
    for model, level in [
            (STUDY, 'studies'), (SERIES, 'series'), (INSTANCE, 'instances')]:
        calls = getattr(rpc.model, model)
        ids = calls.search([], 0, None, None, {})
        assert len(ids) == archive.counts()[level]
        names = list(calls.fields_get(None, {}))
        assert len(calls.read(ids, names, {})) == len(ids)


def test_synchronisation_brings_nothing_more(outcomes, archive, trytond):
    trytond.connect()
    wizard = Wizard(FULL_SYNCHRONIZE)
    wizard.execute('synchronize')
    wizard.execute('end')
    server = next(
        s for s in Model.get(SERVER).find([]) if s.domain == archive.url)
    assert not server.last_error
    assert not server.failures_count


def test_what_has_pixels_is_shown(outcomes, archive, trytond):
    trytond.connect()
    by_uid = {
        i.sop_instance_UID: i for i in Model.get(INSTANCE).find([])}
    shown = 0
    for name, (state, _) in outcomes.items():
        if state != 'stored' or not has_pixels(FILES[name]):
            continue
        dataset = pydicom.dcmread(FILES[name], stop_before_pixels=True)
        instance = by_uid[dataset.SOPInstanceUID]
        # What Orthanc cannot decode is no image here either
        response = archive.session.get(
            f'{archive.url}/instances/{instance.orthanc_UID}/rendered',
            timeout=60)
        assert bool(instance.image) == (response.status_code == 200), name
        shown += bool(instance.image)
    assert shown > 60
