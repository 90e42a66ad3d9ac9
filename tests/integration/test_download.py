# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies come out of a real Orthanc as ZIP, as a browser gets them."""
import io
import os
import re
import zipfile
from pathlib import Path

import pydicom
import pytest
import requests

from proteus import Model, Wizard

from devtools.orthanc import Orthanc
from devtools.samples import make_study

from .client import CLERK, GET_NEW_STUDIES, add_server, make_clerk

DOWNLOAD = 'gnuhealth.imaging_orthanc.download_images'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
TIMEOUT = 60
MIB = 2**20


@pytest.fixture(scope='module', autouse=True)
def archive(trytond):
    "An Orthanc that is known here, with a study of two series"
    trytond.connect()
    make_clerk()
    with Orthanc() as archive:
        add_server(archive).execute('end')
        archive.upload(make_study('CT', series=2, instances=2, rows=16))
        import_studies(archive)
        yield archive


def import_studies(archive):
    "Return the studies that are here"
    wizard = Wizard(GET_NEW_STUDIES)
    wizard.execute('update')
    wizard.execute('end')
    return Model.get(STUDY).find([])


def session():
    session = requests.Session()
    session.trust_env = False
    return session


def ticket(record):
    "Return the address and the ticket that a client is given"
    wizard = Wizard(DOWNLOAD, [record])
    url, = wizard.actions
    return url.split('#')


def fetch(url, ticket, **options):
    return session().post(
        url, data={'ticket': ticket}, timeout=TIMEOUT, **options)


def test_a_study_and_a_series(trytond):
    trytond.connect(CLERK)
    study, = Model.get(STUDY).find([])
    for record, name, count in [
            (study, f'study-{study.id}.zip', 4),
            (study.series[0], f'series-{study.series[0].id}.zip', 2)]:
        url, secret = ticket(record)
        page = session().get(url, timeout=TIMEOUT)
        assert page.status_code == 200
        assert 'method="post"' in page.text
        assert "script-src 'nonce-" in page.headers['Content-Security-Policy']
        response = fetch(url, secret)
        assert response.headers['Content-Disposition'] == (
            f'attachment; filename="{name}"')
        with zipfile.ZipFile(io.BytesIO(response.content)) as file:
            assert file.testzip() is None
            found = [
                pydicom.dcmread(io.BytesIO(file.read(n)))
                for n in file.namelist()]
        assert len(found) == count
        assert {d.StudyInstanceUID for d in found} == {
            study.study_instance_UID}
        # Neither the same ticket again nor a look at the page of it
        assert fetch(url, secret).status_code == 403


def test_tickets_that_are_none(trytond):
    trytond.connect(CLERK)
    study, = Model.get(STUDY).find([])
    url, secret = ticket(study)
    for wrong in ['', 'x', secret + 'x', secret.upper()]:
        assert fetch(url, wrong).status_code == 403
    assert fetch(url, secret).status_code == 200
    # Who is dismissed meanwhile
    url, secret = ticket(study)
    trytond.connect()
    clerk, = Model.get('res.user').find([('login', '=', CLERK)])
    clerk.active = False
    clerk.save()
    assert fetch(url, secret).status_code == 403
    clerk.active = True
    clerk.save()


def test_a_ticket_of_somebody_who_may_not_any_more(trytond):
    trytond.connect(CLERK)
    study, = Model.get(STUDY).find([])
    url, secret = ticket(study)
    trytond.connect()
    clerk, = Model.get('res.user').find([('login', '=', CLERK)])
    groups = [g.id for g in clerk.groups]
    while clerk.groups:
        clerk.groups.pop()
    clerk.save()
    assert fetch(url, secret).status_code == 403
    clerk.groups.extend(Model.get('res.group').find([('id', 'in', groups)]))
    clerk.save()
    trytond.connect(CLERK)
    url, secret = ticket(study)
    assert fetch(url, secret).status_code == 200


def test_no_log_tells_a_ticket(trytond):
    trytond.connect(CLERK)
    study, = Model.get(STUDY).find([])
    url, secret = ticket(study)
    fetch(url, secret)
    log = trytond.process.log.read_text(errors='replace')
    assert '/orthanc/download' in log
    assert secret not in log


def test_an_orthanc_that_is_down(trytond, archive):
    trytond.connect(CLERK)
    study, = Model.get(STUDY).find([])
    url, secret = ticket(study)
    archive.kill()
    try:
        response = fetch(url, secret)
    finally:
        archive.start()
    assert response.status_code == 502
    assert re.search('[Oo]rthanc', response.text)


def test_memory_does_not_grow_with_the_study(trytond, archive):
    large, = make_study('CT', series=1, instances=1, rows=16)
    large.Rows, large.Columns = 4096, 4096
    for number in range(3):
        large.SOPInstanceUID = f'{large.SOPInstanceUID[:50]}.{number}'
        large.file_meta.MediaStorageSOPInstanceUID = large.SOPInstanceUID
        large.PixelData = os.urandom(32 * MIB)
        archive.upload([large])
    trytond.connect()
    study = max(import_studies(archive), key=lambda s: s.id)
    url, secret = ticket(study)
    before = peak(trytond)
    received = 0
    with fetch(url, secret, stream=True) as response:
        for chunk in response.iter_content(MIB):
            received += len(chunk)
    assert received > 90 * MIB
    assert peak(trytond) - before < 30 * MIB


def peak(server):
    "Return the most memory that a server has taken, in bytes"
    status = Path(f'/proc/{server.process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s*(\d+) kB', status)[1]) * 1024
