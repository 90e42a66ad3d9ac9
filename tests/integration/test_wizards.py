# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards are gone through as by a client, up to a real Orthanc."""
from xmlrpc.client import Fault

import pytest

from proteus import Model, Wizard

from devtools.process import free_port
from devtools.samples import make_study

from .client import (
    ADD_SERVER, CLERK, FULL_SYNCHRONIZE, GET_NEW_STUDIES, LABEL, SERVER,
    add_server, connect, make_clerk)
from .hospital import study, study_id

OPEN_VIEWER = 'gnuhealth.imaging_orthanc.open_viewer'
PREVIEW = 'gnuhealth.imaging_orthanc.preview'
STUDY = 'gnuhealth.imaging_orthanc.study'


@pytest.fixture(scope='module', autouse=True)
def clerk(trytond):
    "A user who may look at studies only"
    trytond.connect()
    make_clerk()


@pytest.fixture
def archive(trytond, start_orthanc, retire_servers):
    "An Orthanc with one image of three frames"
    trytond.connect()
    orthanc = start_orthanc(plugins=['webviewer'])
    orthanc.upload(make_study(
            'US', series=1, instances=1, rows=16, frames=3))
    return orthanc


@pytest.fixture
def added(archive):
    "The record of the Orthanc's server, whose study is brought in"
    wizard = add_server(archive)
    wizard.execute('synchronize')
    server, = Model.get(SERVER).find([])
    return server


def recorded(server):
    "Return the Orthanc ids of the studies that are present"
    return {
        s.orthanc_UID for s in Model.get(STUDY).find([
                ('server', '=', server.id), ('missing_since', '=', None)])}


def test_server_is_added(archive):
    wizard = add_server(archive, domain=archive.url + '/')
    assert wizard.form_state == 'success'
    assert wizard.form.server.label == LABEL
    for text in [LABEL, archive.get('/system')['Version'], 'web-viewer']:
        assert text in wizard.form.message
    wizard.execute('end')
    server, = Model.get(SERVER).find([])
    assert server.domain == archive.url and server.validated
    assert archive.password != server.password
    assert not recorded(server)


def test_server_is_synchronized_when_added(archive):
    wizard = add_server(archive)
    wizard.execute('synchronize')
    server, = Model.get(SERVER).find([])
    assert recorded(server) == set(archive.get('/studies'))
    assert server.last_run.state == 'done'


@pytest.mark.parametrize('values, advice', [
        ({'password': 'wrong'}, "Enter them again"),
        ({'domain': f'http://127.0.0.1:{free_port()}'}, "Check the port"),
        ({'domain': 'pacs.example.org'}, "This URL is not valid"),
        ])
def test_server_that_cannot_be_added(archive, values, advice):
    wizard = add_server(archive, **values)
    assert wizard.form_state == 'failure'
    assert advice in wizard.form.message
    assert not Model.get(SERVER).find([])
    wizard.execute('start')
    assert wizard.form.label == LABEL and not wizard.form.password
    connect(wizard, domain=archive.url, password=archive.password)
    assert wizard.form_state == 'success'
    wizard.execute('end')
    assert Model.get(SERVER).find([])


def test_server_is_added_once(archive, added):
    wizard = add_server(archive, label="Again")
    assert wizard.form_state == 'failure'
    assert "A server with this URL already exists" in wizard.form.message
    wizard.execute('end')
    assert Model.get(SERVER).find([]) == [added]


def test_new_studies(archive, added):
    known = recorded(added)
    new = study_id(archive.upload(study()))
    wizard = Wizard(GET_NEW_STUDIES)
    wizard.execute('update')
    assert wizard.form_state == 'started' and LABEL in wizard.form.message
    wizard.execute('end')
    assert recorded(added) == {*known, new}


def test_full_synchronization(archive, added):
    new = study_id(archive.upload(study()))
    archive.delete('studies', *recorded(added))
    wizard = Wizard(FULL_SYNCHRONIZE)
    wizard.execute('synchronize')
    assert LABEL in wizard.form.message
    wizard.execute('end')
    assert recorded(added) == {new}


def test_without_servers(trytond):
    trytond.connect()
    wizard = Wizard(GET_NEW_STUDIES)
    wizard.execute('update')
    assert "Ask an administrator to add one" in wizard.form.message
    wizard.execute('end')


@pytest.fixture
def series(trytond, added):
    "The only series, as a clerk sees it who has opened it"
    trytond.connect(CLERK)
    found, = Model.get(STUDY).find([('server', '=', added.id)])
    series, = found.series
    return series


def test_frames_are_leafed_through(series):
    wizard = Wizard(PREVIEW, list(series.instances))
    seen = [page(wizard)]
    for button in ['next_', 'next_', 'previous']:
        wizard.execute(button)
        seen.append(page(wizard))
    wizard.form.frame = 1
    wizard.execute('reload')
    seen.append(page(wizard))
    wizard.execute('end')
    assert [frame for frame, _ in seen] == [1, 2, 3, 2, 1]
    images = dict(seen)
    assert len(set(images.values())) == 3
    assert all(images[frame] == image for frame, image in seen)


def page(wizard):
    "Return the frame's number and its image"
    assert wizard.form.frames_count == 3
    assert wizard.form.image.startswith(b'\x89PNG')
    return wizard.form.frame, wizard.form.image


def test_image_of_a_stopped_orthanc(archive, series):
    images = list(series.instances)
    archive.kill()
    with pytest.raises(Fault, match="Check the port"):
        Wizard(PREVIEW, images)


def test_viewer_is_chosen(archive, series):
    wizard = Wizard(OPEN_VIEWER, [series])
    assert [v.name for v in wizard.form.viewers] == [
        "Orthanc Web Viewer", "Orthanc Explorer"]
    assert wizard.form.viewer.name == "Orthanc Web Viewer"
    wizard.execute('open_')
    url, = wizard.actions
    assert url == (
        f'{archive.url}/web-viewer/app/viewer.html?series='
        f'{series.orthanc_UID}')
    assert archive.session.get(url).ok


def test_only_viewer_is_opened_at_once(archive, series):
    url, = Wizard(OPEN_VIEWER, [series.study]).actions
    assert url == (
        f'{archive.url}/app/explorer.html#study?uuid='
        f'{series.study.orthanc_UID}')


def test_clerk_adds_no_server(archive, trytond):
    trytond.connect(CLERK)
    with pytest.raises(Fault, match="not allowed"):
        Wizard(ADD_SERVER)
