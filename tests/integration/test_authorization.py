# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Orthanc that asks GNU Health who may see what.

`authorization_filter.py` asks in place of the authorization plugin.
"""
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from devtools.orthanc import Orthanc
from devtools.samples import Patient, make_study
from devtools.tryton import MODULE

from . import viewing_inside
from .agent import Agent
from .hospital import Hospital, contents
from .inside import SERVER, STUDY

TIMEOUT = 60
FILTER = Path(__file__).with_name('authorization_filter.py')
STUDIES = ['own', 'stranger', 'unlinked']


class Client:
    """What somebody who is logged in to GNU Health can do."""

    def __init__(self, server, user, key):
        self.address = f'{server.url}/{server.tryton.name}/'
        token = base64.b64encode(f'user:{user}:{key}'.encode()).decode()
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers['Authorization'] = f'Session {token}'

    def call(self, method, *args, **context):
        answer = self.session.post(self.address, json={
                'id': 1, 'method': method, 'params': [*args, context]},
            timeout=TIMEOUT).json()
        if answer.get('error'):
            raise PermissionError(answer['error'])
        return answer['result']

    def wizard(self, name, model, id_, *states):
        "Go through states with the values of their forms"
        context = {
            'active_model': model, 'active_id': id_, 'active_ids': [id_]}
        wizard = f'wizard.{name}'
        session, state, _ = self.call(f'{wizard}.create', **context)
        result = self.call(
            f'{wizard}.execute', session, {}, state, **context)
        for values, state in states:
            result = self.call(
                f'{wizard}.execute', session, values, state, **context)
        return result


class Site:
    """GNU Health, and an Orthanc that it decides for."""

    def __init__(self, server, agent, archive):
        self.server = server
        self.archive = archive
        self.call = agent.call
        self.hospital = Hospital(agent)
        self.users = self.call(viewing_inside.make_users)
        self.remote = self.hospital.add_server(archive)
        self.files = {
            name: make_study(
                'CT', Patient(id='SAME'), series=2, instances=2, rows=16,
                StudyDescription=name) for name in STUDIES}
        for files in self.files.values():
            archive.upload(files)
        self.restart(self.connect())
        # The module's login is recognized, or nothing would be found
        self.remote.done()
        found = {
            s['study_instance_UID']: s for s in self.remote.studies(
                'study_instance_UID', 'orthanc_UID')}
        self.studies = {name: found[self.uid(name)] for name in STUDIES}
        patient, _ = self.hospital.add_patient()
        stranger, _ = self.hospital.add_patient("Ejemplo", "Juan", 'm')
        for name, id_, status in [
                ('own', patient, 'manual'), ('stranger', stranger, 'manual'),
                ('unlinked', None, 'unlinked')]:
            self.link(name, id_, status)
        self.patient = patient
        self.call(viewing_inside.have_plugins, self.remote.id)

    def connect(self):
        "Return the section for Orthanc that GNU Health shows"
        administrator = self.client('administrator')
        result = administrator.wizard(
            'gnuhealth.orthanc.connect_authorization', SERVER, self.remote.id,
            ({'start': {'url': self.server.url}}, 'make'))
        return json.loads(
            result['view']['defaults']['configuration'])['Authorization']

    def restart(self, section):
        "Let Orthanc ask GNU Health"
        self.section = section
        self.archive.stop()
        self.archive.plugins.append(self.archive.release.plugin('python'))
        self.archive.configuration.update({
                'PythonScript': str(FILTER), 'Authorization': section,
                # Orthanc itself would refuse tokens
                'AuthenticationEnabled': False})
        self.archive.start()

    def link(self, name, patient, status):
        self.call(
            viewing_inside.link, self.studies[name]['id'], patient, status)

    def uid(self, name):
        return str(self.files[name][0].StudyInstanceUID)

    def client(self, login):
        "Return a client in which somebody has logged in"
        user = self.users[login]
        key = self.call(viewing_inside.log_in, user=user)
        client = Client(self.server, user, key)
        client.key = key
        return client

    def open(self, client, name, viewer="Stone Web Viewer"):
        "Return the address that Open in Viewer opens"
        wizard = 'gnuhealth.imaging_orthanc.open_viewer'
        id_ = self.studies[name]['id']
        result = client.wizard(wizard, STUDY, id_)
        viewers = result['view']['defaults']['viewers']
        found, = client.call(
            'model.gnuhealth.orthanc.viewer.search',
            [('id', 'in', viewers), ('name', '=', viewer)], 0, None, None)
        result = client.wizard(wizard, STUDY, id_, ({
                    'choose': {'viewer': found, 'viewers': viewers}},
                'open_'))
        (action, _), = result['actions']
        return action['url']

    def token(self, client, name):
        query = parse_qs(urlsplit(self.open(client, name)).query)
        assert query['study'] == [self.uid(name)]
        return query['token'][0]

    def send(self, token, path, method='GET', **options):
        "Return the status of what a viewer asks Orthanc with a token"
        with requests.Session() as session:
            session.trust_env = False
            if token:
                session.headers['Authorization'] = f'Bearer {token}'
            return session.request(
                method, f'{self.archive.url}/{path}', timeout=TIMEOUT,
                **options).status_code

    def paths(self, name):
        "Return what viewers ask for, of a study"
        uid, dataset = self.uid(name), self.files[name][0]
        series = f'dicom-web/studies/{uid}/series/{dataset.SeriesInstanceUID}'
        record = f"studies/{self.studies[name]['orthanc_UID']}"
        return [
            f'dicom-web/studies?limit=101&StudyInstanceUID={uid}',
            f'dicom-web/studies?0020000D={uid}',
            f'dicom-web/studies/{uid}/series', f'{series}/metadata',
            f'{series}/instances/{dataset.SOPInstanceUID}/frames/1',
            record, f'{record}/series', f'{record}/archive',
            *(f'series/{id_}/instances' for id_ in self.parts(name)),
            ]

    def parts(self, name):
        return self.archive.get(
            f"/studies/{self.studies[name]['orthanc_UID']}")['Series']


@pytest.fixture(scope='module')
def site(prepared_tryton) -> Iterator[Site]:
    tryton = prepared_tryton('sqlite', MODULE).copy('authorization')
    with Orthanc(plugins=['dicomweb']) as archive, (
            tryton.server()) as server, Agent(tryton) as agent:
        site = Site(server, agent, archive)
        yield site
        log = archive.log.read_text(errors='replace')
        assert site.section['WebServicePassword'] not in log
    tryton.drop()


def test_orthanc_itself_refuses_tokens():
    "Unless its own authentication is off, as the documentation says"
    with Orthanc() as archive:
        answer = requests.get(
            f'{archive.url}/studies', timeout=TIMEOUT,
            headers={'Authorization': 'Bearer x'})
        assert answer.status_code == 401


def test_a_token_opens_its_study(site):
    client = site.client('doctor')
    token = site.token(client, 'own')
    for path in site.paths('own'):
        assert site.send(token, path) == 200, path
    # As Orthanc Explorer 2 and links show it
    record = f"studies/{site.studies['own']['orthanc_UID']}"
    assert site.send(None, record, headers={'token': token}) == 200
    assert site.send(None, f'{record}?token={token}') == 200


def test_it_opens_nothing_else(site):
    client = site.client('clerk')
    token = site.token(client, 'own')
    own, uid = site.studies['own']['orthanc_UID'], site.uid('own')
    patient = site.archive.get(f'/studies/{own}')['ParentPatient']
    others = [
        *site.paths('stranger'), *site.paths('unlinked'),
        f'patients/{patient}', f'patients/{patient}/archive', 'patients',
        'studies', 'series', 'instances', 'changes', 'statistics', 'plugins',
        'dicom-web/studies', 'dicom-web/studies?PatientID=SAME',
        'dicom-web/series', 'dicom-web/instances', 'tools/now',
        f'dicom-web/studies?StudyInstanceUID={uid},{site.uid("stranger")}',
        'dicom-web/studies?StudyInstanceUID=*', 'app/explorer.html']
    for path in others:
        assert site.send(token, path) == 403, path
    for method, path, options in [
            ('DELETE', f'studies/{own}', {}),
            ('POST', f'studies/{own}/anonymize', {'json': {}}),
            ('POST', f'studies/{own}/modify', {'json': {}}),
            ('PUT', f'studies/{own}/labels/x', {}),
            ('POST', 'tools/find', {
                    'json': {'Level': 'Study', 'Query': {}}}),
            ('POST', 'tools/lookup', {'data': 'SAME'}),
            ('POST', 'dicom-web/studies', {'data': 'x'}),
            ('POST', 'instances', {'data': 'x'}),
            ('POST', 'tools/execute-script', {'data': 'x'})]:
        assert site.send(token, path, method, **options) == 403, path
    assert sorted(map(len, contents(site.archive).values())) == [1, 3, 6, 12]


def test_nothing_without_a_token(site):
    for path in site.paths('own') + ['studies', 'tools/now']:
        assert site.send(None, path) == 403
        assert site.send('x' * 43, path) == 403
    # A browser loads the program before it shows its token
    assert site.send(None, 'stone-webviewer/index.html') == 404
    # Whose login Orthanc would have accepted
    for login in [('orthanc', 'x'), ('admin', 'admin')]:
        assert site.send(None, 'studies', auth=login) == 403


def test_who_may_not_see_it_gets_none(site):
    for login, name in [('doctor', 'unlinked'), ('nurse', 'own')]:
        with pytest.raises(PermissionError):
            site.open(site.client(login), name)


def test_it_ends_with_the_right(site):
    client = site.client('doctor')
    token = site.token(client, 'own')
    path = site.paths('own')[0]
    assert site.send(token, path) == 200
    site.link('own', None, 'unlinked')
    try:
        assert site.send(token, path) == 403
    finally:
        site.link('own', site.patient, 'manual')
    assert site.send(token, path) == 200


def test_it_ends_with_the_session(site):
    client, other = site.client('doctor'), site.client('doctor')
    token, further = site.token(client, 'own'), site.token(other, 'own')
    path = site.paths('own')[0]
    site.call(
        viewing_inside.log_out, client.key, user=site.users['doctor'])
    assert site.send(token, path) == 403
    assert site.send(further, path) == 200


def test_what_was_seen_is_recorded(site):
    client = site.client('administrator')
    token = site.token(client, 'stranger')
    site.send(token, site.paths('stranger')[0])
    site.send(token, site.paths('unlinked')[0])
    user = site.users['administrator']
    seen = site.call(viewing_inside.viewed)
    assert (user, 'success', site.uid('stranger')) in seen
    assert (user, 'refused', site.uid('unlinked')) in seen


def test_the_module_goes_on(site):
    "Synchronization, and deletion"
    files = make_study('CT', Patient(id='GONE'), rows=16)
    site.archive.upload(files)
    site.remote.done()
    site.remote.done('full')
    assert site.remote.contents()['studies'] == (
        contents(site.archive)['studies'])
    study, = [
        s for s in site.remote.studies('study_instance_UID', 'orthanc_UID')
        if s['study_instance_UID'] == str(files[0].StudyInstanceUID)]
    site.archive.delete('studies', study['orthanc_UID'])
    site.remote.done('full')
    assert len(contents(site.archive)['studies']) == len(STUDIES)
    assert site.remote.contents()['studies'] == (
        contents(site.archive)['studies'])


def test_orthanc_refuses_while_gnu_health_is_away(site):
    "Last, for it needs a new key"
    # Until now each question was answered
    assert 'Authorization: ' not in site.archive.log.read_text()
    site.connect()
    assert site.send(None, 'system') == 200
    for path in ['studies', 'tools/now']:
        assert site.send(
            None, path,
            auth=(site.archive.user, site.archive.password)) == 403
