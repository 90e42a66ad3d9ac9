# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers get what the rights of GNU Health allow, from a real Orthanc."""
from collections.abc import Iterator

import pytest
import requests

from devtools.orthanc import Orthanc
from devtools.samples import Patient, make_study
from devtools.tryton import MODULE

from . import inside, viewing_inside
from .agent import Agent
from .hospital import Hospital

TIMEOUT = 60
ROLES = list(viewing_inside.GROUPS)
# Who sees studies that are linked to a patient, and who sees all
LINKED, ALL = {'doctor', 'clerk', 'administrator'}, {'clerk', 'administrator'}


class Site:
    """GNU Health with two Orthancs, and studies of all kinds."""

    def __init__(self, server, agent, archive, other):
        self.server = server
        self.archive = archive
        self.hospital = Hospital(agent)
        self.call = agent.call
        self.users = self.call(viewing_inside.make_users)
        self.keys = {
            login: self.call(viewing_inside.log_in, user=id_)
            for login, id_ in self.users.items()}
        self.main = self.hospital.add_server(archive)
        self.other = self.hospital.add_server(other)
        self.patient, _ = self.hospital.add_patient()
        self.stranger, _ = self.hospital.add_patient("Ejemplo", "Juan", 'm')
        self.files, self.ids = {}, {}
        for name, orthanc, options in [
                ('own', archive, {}), ('earlier', archive, {}),
                ('stranger', archive, {}), ('unlinked', archive, {}),
                ('unconfirmed', archive, {}), ('dismissed', archive, {}),
                ('elsewhere', other, {})]:
            self.files[name] = make_study(
                'CT', Patient(id='SAME'), series=2, instances=2, rows=16,
                StudyDescription=name, **options)
            orthanc.upload(self.files[name])
        for server in [self.main, self.other]:
            server.done()
        found = {
            s['study_instance_UID']: s['id']
            for server in [self.main, self.other]
            for s in server.studies('study_instance_UID')}
        for name in self.files:
            self.ids[name] = found[self.uid(name)]
        for name, patient, status in [
                ('own', self.patient, 'manual'),
                ('earlier', self.patient, 'manual'),
                ('stranger', self.stranger, 'manual'),
                ('unlinked', None, 'unlinked'),
                ('unconfirmed', self.patient, 'auto_unsure'),
                ('dismissed', None, 'dismissed'),
                ('elsewhere', self.patient, 'manual')]:
            self.call(viewing_inside.link, self.ids[name], patient, status)

    def uid(self, name):
        return str(self.files[name][0].StudyInstanceUID)

    @property
    def root(self):
        return (
            f'{self.server.url}/{self.server.tryton.name}/orthanc/'
            f'dicomweb/{self.main.id}/dicom-web')

    def open(self, login, *names):
        "Return the session of a browser in which the role has opened studies"
        browser = requests.Session()
        browser.trust_env = False
        browser.headers['Sec-Fetch-Site'] = 'same-origin'
        ticket = self.call(
            viewing_inside.forge_session, self.keys[login], self.main.id,
            [self.ids[n] for n in names], user=self.users[login])
        answer = browser.post(
            f'{self.server.url}/{self.server.tryton.name}/orthanc/'
            'viewer-session', data=ticket, timeout=TIMEOUT)
        assert answer.status_code == 200
        return browser

    def get(self, browser, path, root=None, **options):
        return browser.get(
            f'{root or self.root}/{path}', timeout=TIMEOUT, **options)


@pytest.fixture(scope='module')
def site(prepared_tryton) -> Iterator[Site]:
    tryton = prepared_tryton('sqlite', MODULE).copy('viewing')
    with Orthanc(plugins=['dicomweb']) as archive, Orthanc(
            plugins=['dicomweb']) as other, tryton.server() as server, (
            Agent(tryton)) as agent:
        yield Site(server, agent, archive, other)
    tryton.drop()


def test_first(site):
    browser = site.open('doctor', 'own')
    uid = site.uid('own')
    a = site.get(browser, f'studies?StudyInstanceUID={uid}&includefield=00081030')
    print(a.status_code, a.headers, a.text)
    a = site.get(browser, f'studies?00100020=SAME')
    print(a.status_code, a.headers, a.text)
    a = site.get(browser, f'studies/{uid}/series')
    print(a.status_code, a.headers, a.text)
    s = a.json()[0]['0020000E']['Value'][0]
    a = site.get(browser, f'studies/{uid}/series/{s}/metadata')
    print(a.status_code, a.headers, a.text[:3000])
    i = a.json()[0]['00080018']['Value'][0]
    for p in ['', '/frames/1', '/rendered', '/thumbnail', '/metadata', '/bulk/7FE00010','/bulk/7fe00010', '/frames/1/rendered']:
        a = site.get(browser, f'studies/{uid}/series/{s}/instances/{i}{p}')
        print(p, a.status_code, a.headers, len(a.content), a.content[:300])
    for p in ['../../system', 'studies/..%2f..%2fsystem', 'studies//', 'studies/']:
        a = site.get(browser, p)
        print(p, a.status_code, a.headers, len(a.content), a.content[:300])
    assert 0
