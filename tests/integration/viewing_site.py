# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health, two Orthancs, and studies of all kinds for their viewers."""
import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from trytond.modules.health_orthanc.core.dicomweb.multipart import join_parts

from devtools.orthanc import Orthanc, to_bytes
from devtools.samples import Patient, make_study
from devtools.tryton import MODULE

from . import viewing_inside
from .agent import Agent
from .hospital import Hospital

__all__ = [
    'PATHS', 'STUDIES', 'TIMEOUT', 'Site', 'mixed', 'open_site', 'parts',
    'paths']

TIMEOUT = 60
# Seconds after which a client is let go that sends nothing
SILENCE = 5
STUDIES = [
    'own', 'earlier', 'stranger', 'unlinked', 'unconfirmed', 'dismissed',
    'elsewhere']
PATHS = [
    'studies/{uid}/series', 'studies/{uid}', 'studies/{uid}/metadata',
    'studies/{uid}/instances', '{series}', '{series}/metadata',
    '{series}/instances', '{file}', '{file}/metadata', '{file}/frames/1',
    '{file}/frames/1,1', '{file}/rendered', '{file}/frames/1/rendered',
    '{file}/bulk/7fe00010', 'studies/{uid}/thumbnail', '{series}/thumbnail',
    '{file}/thumbnail', '{file}/frames/1/thumbnail']


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
        self.files = {
            name: make_study(
                'CT', Patient(id='SAME'), series=2, instances=2, rows=16,
                StudyDescription=name) for name in STUDIES}
        for name, files in self.files.items():
            (other if name == 'elsewhere' else archive).upload(files)
        self.ids = {}
        self.import_studies()
        self.link_studies()

    def import_studies(self):
        for server in [self.main, self.other]:
            server.done()
            for study in server.studies('study_instance_UID'):
                for name in self.files:
                    if self.uid(name) == study['study_instance_UID']:
                        self.ids[name] = study['id']

    def link_studies(self):
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

    def file(self, name, number=0):
        "Return the path of an instance"
        dataset = self.files[name][number]
        return (
            f'studies/{dataset.StudyInstanceUID}/series/'
            f'{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}')

    @property
    def own_address(self):
        return f'{self.server.url}/{self.server.tryton.name}/orthanc'

    @property
    def root(self):
        return f'{self.own_address}/dicomweb/{self.main.id}/dicom-web'

    def open(self, login, *names, key=None):
        "Return the browser of somebody who was let in with studies"
        browser = requests.Session()
        browser.trust_env = False
        browser.headers['Sec-Fetch-Site'] = 'same-origin'
        ticket = self.call(
            viewing_inside.forge_ticket, key or self.keys[login],
            [self.ids[n] for n in names or ['own']], user=self.users[login])
        answer = browser.post(
            f'{self.own_address}/viewer-session', data=ticket,
            timeout=TIMEOUT)
        assert answer.status_code == 200
        return browser

    def get(self, browser, path, **options):
        return browser.get(
            f'{self.root}/{path}', timeout=TIMEOUT, **options)

    def store(self, browser, dataset, path='studies'):
        type_, body = join_parts([to_bytes(dataset)])
        return browser.post(
            f'{self.root}/{path}', data=body, timeout=TIMEOUT,
            headers={'Content-Type': type_, 'Accept': '*/*'})


@contextmanager
def open_site(prepared_tryton) -> Iterator[Site]:
    """Make and start all of it."""
    tryton = prepared_tryton('sqlite', MODULE).copy('viewing')
    tryton.sections[MODULE] = {'upload_timeout': f'{SILENCE}'}
    with Orthanc(plugins=['dicomweb']) as archive, Orthanc(
            plugins=['dicomweb']) as other, tryton.server() as server, (
            Agent(tryton)) as agent:
        yield Site(server, agent, archive, other)
    tryton.drop()


def parts(answer):
    "Return the parts of an answer"
    boundary = re.search(
        r'boundary="?([^;"]+)', answer.headers['Content-Type'])[1].encode()
    return [
        part.partition(b'\r\n\r\n')[2].removesuffix(b'\r\n')
        for part in answer.content.split(b'--' + boundary)[1:-1]]


def paths(site, name):
    file = site.file(name)
    return [
        path.format(
            uid=site.uid(name), file=file,
            series=file.rpartition('/instances')[0]) for path in PATHS]


def mixed(own, other):
    "Yield paths of the own study with UIDs of another one below it"
    uid, series, instance = own.split('/')[1::2]
    _, other_series, other_instance = other.split('/')[1::2]
    ends = [
        '', '/metadata', '/frames/1', '/rendered', '/thumbnail',
        '/bulk/7fe00010']
    for low, lower in [
            (other_series, other_instance), (series, other_instance)]:
        for end in ends:
            yield f'studies/{uid}/series/{low}/instances/{lower}{end}'
    for end in ['', '/metadata', '/instances', '/thumbnail']:
        yield f'studies/{uid}/series/{other_series}{end}'
