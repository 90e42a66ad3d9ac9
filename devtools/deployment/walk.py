# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do through the set-up, from the order to the upload."""
import datetime as dt
import http.client
import io
import json
import time
import xmlrpc.client
import zipfile
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import pydicom
import requests
from pydicom.dataset import Dataset

from proteus import Model, Wizard

from .. import hospital
from ..dicom import FindFailed, StoreFailed, find_worklist, send_images
from ..nginx import LOCATION
from ..orthanc import to_bytes
from ..process import StartError, wait_until
from ..samples import Patient, make_series, make_study
from ..tryton import PASSWORD
from .site import DATABASE, WORKLIST_USER, Site
from .viewing import fetch_frame

__all__ = ['KILLED', 'Walk', 'WalkFailed']

ADD_SERVER = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
REVIEW = 'gnuhealth.imaging_orthanc.review'
VIEW = 'gnuhealth.imaging_orthanc.view_images'
DOWNLOAD = 'gnuhealth.imaging_orthanc.download_images'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERVER = 'gnuhealth.orthanc.config'
REQUEST = 'gnuhealth.imaging.test.request'
CLERK = 'clerk'
# In the order in which they are killed
KILLED = ['trytond', 'orthanc', 'worker', 'postgresql', 'nginx']
# Seconds: what a killed worker had taken is due again after five minutes
LIMIT = 420
TIMEOUT = 120
# Studies that are sent have a size at which it matters how they are passed on
FRAME = {'Accept': (
    'multipart/related; type=application/octet-stream; transfer-syntax=*')}
UPLOADED = {'series': 2, 'instances': 40, 'rows': 512}

Value = TypeVar('Value')


class WalkFailed(RuntimeError):
    """Something was not as it has to be; the text says what."""


# What a client gets while something is being started again
_PASSING = (
    OSError, http.client.HTTPException, xmlrpc.client.ProtocolError,
    xmlrpc.client.Fault, requests.RequestException, FindFailed, StoreFailed)


def _persist(action: Callable[[], Value]) -> Value:
    """Try something until it is answered, as a person does."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return action()
        except _PASSING as error:
            if time.monotonic() > deadline:
                raise WalkFailed(
                    f"{type(error).__name__}: {error}") from error
        time.sleep(1)


def _check(condition: object, text: str) -> None:
    if not condition:
        raise WalkFailed(text)


class Walk:
    """One walk, with or without kills.

    Attributes
    ----------
    seconds
        How long each part took.
    killed
        What was killed.
    uploaded
        How much was uploaded in one request, by how much memory a process of
        trytond has grown for it, and how much it had held before.
    viewed
        How many frames were seen, and how long that took.
    """

    def __init__(self, site: Site, kill: bool, say: Callable[[str], None]):
        self._site = site
        self._kill = kill
        self._say = say
        self.seconds: dict[str, float] = {}
        self.killed: list[str] = []
        self.uploaded: dict[str, int] = {}
        self.viewed: dict[str, float] = {}
        self._server: int | None = None
        self._order = None
        self._study_uid = ''
        self._frames: set[bytes] = set()

    def run(self) -> None:
        for part in [
                self.check_addresses, self.introduce, self.order,
                self.acquire, self.review, self.view, self.download,
                self.upload, self.view_uploaded]:
            start = time.monotonic()
            self._say(part.__doc__)
            part()
            self.seconds[part.__name__] = round(time.monotonic() - start, 1)

    def _strike(self, name: str) -> None:
        """Kill a service while it is in use."""
        if self._kill:
            self._say(f"- {name} is killed")
            self._site.supervisor.services[name].kill()
            self.killed.append(name)

    def _wait(self, check: Callable[[], object], what: str) -> None:
        if not wait_until(lambda: bool(_persist(check)), LIMIT, 0.5):
            raise WalkFailed(what)

    # -- the parts

    def check_addresses(self) -> None:
        """Addresses"""
        site = self._site
        with site.session() as session:
            answer = session.get(
                site.http_url + '/', timeout=TIMEOUT, allow_redirects=False)
            _check(
                answer.status_code == 301
                and answer.headers['Location'] == site.url + '/',
                f"http: {answer.status_code} {answer.headers}")
            # requests would change the address
            for path in ['/%00', f'/{DATABASE}/orthanc/upload?server=%00']:
                status = self._raw_status(path)
                _check(status == 400, f"{path}: {status}")
            custom = session.get(site.url + '/custom.js', timeout=TIMEOUT)
            _check('binary_dicom' in custom.text, "custom.js is not served")

    def _raw_status(self, path: str, cookie: str = '') -> int:
        connection = http.client.HTTPSConnection(
            'localhost', urlsplit(self._site.url).port, timeout=TIMEOUT,
            context=self._site.tls)
        try:
            connection.request(
                'GET', path, headers={'Cookie': cookie} if cookie else {})
            return connection.getresponse().status
        finally:
            connection.close()

    def introduce(self) -> None:
        """Users, patients, Orthanc and its plugin"""
        site = self._site
        site.connect()
        hospital.fill(PASSWORD)
        self._make_worklist_user()
        site.connect()
        wizard = Wizard(ADD_SERVER)
        wizard.form.label = "Main"
        wizard.form.domain = site.orthanc_url
        wizard.form.user, wizard.form.password = site.orthanc_user
        wizard.execute('connect')
        _check(
            wizard.form_state == 'success',
            getattr(wizard.form, 'message', "The server is not added"))
        wizard.execute('end')
        server, = Model.get(SERVER).find([])
        self._server = server.id
        wizard = Wizard('gnuhealth.orthanc.connect_plugin', [server])
        _check(
            wizard.form.url == site.url,
            f"GNU Health takes itself for {wizard.form.url}")
        wizard.execute('make')
        section = json.loads(wizard.form.configuration)['HealthOrthanc']
        wizard.execute('end')
        site.connect_plugin(section)
        site.start_worklist_script()

    def _make_worklist_user(self) -> None:
        user = Model.get('res.user')(name="Worklist", login=WORKLIST_USER)
        user.password = PASSWORD
        user.groups.append(Model.get('res.group')(hospital.record_id(
                    'health_orthanc.group_imaging_orthanc')))
        user.save()

    def order(self) -> None:
        """Order, and worklist by C-FIND and as a file"""
        self._site.connect('physician')
        self._order, = hospital.place_order(
            hospital.PATIENTS[0], ['CT-HEAD'], dt.datetime.now(), urgent=True)
        self._order.click('requested')
        self._strike('trytond')
        self._wait(self._listed, "The step is not on the worklist")
        self._wait(
            lambda: list(self._site.worklists.glob('gnuhealth-*.wl')),
            "There is no file of the step")

    def _listed(self) -> list[Dataset]:
        return find_worklist(self._site.dicom_port, {
                'AccessionNumber': self._order.accession_number})

    def acquire(self) -> None:
        """Images of the order"""
        item, = _persist(self._listed)
        images = make_series(item, 1) + make_series(item, 2)
        _persist(lambda: self._send(images))
        self._study_uid = str(item.StudyInstanceUID)
        # Before the study is stable: after the start nobody calls
        self._strike('orthanc')
        self._strike('worker')
        self._wait(
            lambda: self._read_study('link_status') == 'auto_certain',
            "The study is not linked")
        self._wait(
            lambda: self._read_order() == 'done', "The order is not done")
        self._wait(
            lambda: not self._listed(), "The step is still on the worklist")
        self._wait(
            lambda: not list(self._site.worklists.glob('gnuhealth-*.wl')),
            "The file of the step is still there")

    def _send(self, images: list[Dataset]) -> None:
        send_images(self._site.dicom_port, images)

    def _read_study(self, name: str):
        found = Model.get(STUDY).find(
            [('study_instance_UID', '=', self._study_uid)])
        return getattr(found[0], name) if found else None

    def _read_order(self) -> str:
        order, = Model.get(REQUEST).find([('id', '=', self._order.id)])
        return order.state

    def review(self) -> None:
        """Images in doubt, and their review"""
        person = hospital.PATIENTS[1].in_dicom()
        images = make_study(
            'CT', Patient(person.name, None, person.birth_date, person.sex),
            series=1, instances=2, rows=16)
        self._study_uid = str(images[0].StudyInstanceUID)
        self._frames = {bytes(image.PixelData) for image in images}
        _persist(lambda: self._send(images))
        self._strike('postgresql')
        _persist(lambda: self._site.connect(CLERK))
        self._wait(
            lambda: self._read_study('link_status') in {
                'auto_unsure', 'unlinked'},
            "The study does not wait for a review")
        _persist(self._confirm)
        _check(
            self._read_study('link_status') == 'manual',
            "The study is not confirmed")

    def _confirm(self) -> None:
        if self._read_study('link_status') == 'manual':
            return
        study, = Model.get(STUDY).find(
            [('study_instance_UID', '=', self._study_uid)])
        wizard = Wizard(REVIEW, [study])
        form = wizard.form
        form.patient, = Model.get('gnuhealth.patient').find(
            [('puid', '=', hospital.PATIENTS[1].puid)])
        # proteus would send fields, too, that are not in the view
        wizard._proxy.execute(
            wizard.session_id,
            {'show': {'patient': form.patient.id, 'stamp': form.stamp}},
            'confirm', {
                **wizard._context, 'active_model': STUDY,
                'active_id': study.id, 'active_ids': [study.id]})

    def view(self) -> None:
        """View"""
        frame = _persist(self._view)
        _check(
            frame in self._frames,
            f"The viewer gets {len(frame)} bytes that are no image")

    def _view(self) -> bytes:
        study, = Model.get(STUDY).find(
            [('study_instance_UID', '=', self._study_uid)])
        url = Wizard(VIEW, [study]).actions[0]
        return fetch_frame(self._site, url, self._study_uid)

    def download(self) -> None:
        """Download"""
        self._strike('nginx')
        with zipfile.ZipFile(io.BytesIO(_persist(self._download))) as file:
            found = [
                pydicom.dcmread(io.BytesIO(file.read(name)))
                for name in file.namelist()]
        _check(
            [d.StudyInstanceUID for d in found] == [self._study_uid] * 2,
            f"{len(found)} images are downloaded")

    def _download(self) -> bytes:
        study, = Model.get(STUDY).find(
            [('study_instance_UID', '=', self._study_uid)])
        wizard = Wizard(DOWNLOAD, [study])
        url, ticket = wizard.actions[0].split('#')
        expected = f'{self._site.url}/{DATABASE}/orthanc/download'
        _check(url == expected, f"The address of downloads is {url}")
        with self._site.session() as session:
            session.get(url, timeout=TIMEOUT).raise_for_status()
            answer = session.post(
                url, data={'ticket': ticket}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.content

    def upload(self) -> None:
        """Upload"""
        images = make_study(
            'CT', hospital.PATIENTS[2].in_dicom(), **UPLOADED)
        self._study_uid = str(images[0].StudyInstanceUID)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, 'w') as file:
            for number, image in enumerate(images):
                file.writestr(f'IM{number}', to_bytes(image))
        trytond = self._site.supervisor.services['trytond']
        before = trytond.memory
        states = _persist(lambda: self._upload(stream.getvalue()))
        self.uploaded = {
            'MiB': stream.tell() >> 20,
            'memory_MiB': trytond.memory - before >> 10,
            'process_MiB': before >> 10}
        _check(
            states == ['stored'] * len(images), f"The upload says {states}")
        self._wait(
            lambda: self._read_study('patient') is not None,
            "The study that was uploaded is not linked")

    def _upload(self, content: bytes) -> list[str]:
        with self._site.session() as session:
            answer = session.post(
                f'{self._site.url}/{DATABASE}/orthanc/upload',
                params={'server': self._server}, data=content,
                headers={
                    'Authorization': self._site.authorization(CLERK),
                    'Content-Type': 'application/octet-stream'},
                timeout=LIMIT)
        if answer.status_code != 200:
            raise StartError(f"Upload: {answer.status_code} {answer.text}")
        return [file['state'] for file in answer.json()['files']]

    def view_uploaded(self) -> None:
        """View what was uploaded"""
        with self._site.session() as session:
            root = _persist(lambda: self._open_viewer(session))
            frames = list(self._frame_urls(session, root))
            start = time.monotonic()
            for frame in frames:
                answer = session.get(frame, headers=FRAME, timeout=TIMEOUT)
                _check(
                    answer.status_code == 200
                    and len(answer.content) > UPLOADED['rows'] ** 2,
                    f"An image: {answer.status_code} {answer.text[:200]}")
            self.viewed = {
                'frames': len(frames),
                'seconds': round(time.monotonic() - start, 1)}
            _check(len(frames) == UPLOADED['series'] * UPLOADED['instances'],
                f"{len(frames)} images are there to see")
            _check(self._site.images_by_nginx, "nginx has sent no image")
            self._look_for_ways_around(session, root, frames[0])

    def _open_viewer(self, session: requests.Session) -> str:
        """Log in as the viewer, and return the root of DICOMweb."""
        study, = Model.get(STUDY).find(
            [('study_instance_UID', '=', self._study_uid)])
        wizard = Wizard(VIEW, [study])
        url, ticket = wizard.actions[0].split('#')
        answer = session.post(
            url.removesuffix('view') + 'viewer-session', data=ticket,
            headers={'Sec-Fetch-Site': 'same-origin'}, timeout=TIMEOUT)
        answer.raise_for_status()
        return (
            f'{self._site.url}/{DATABASE}/orthanc/dicomweb/'
            f"{answer.json()['server']}/dicom-web")

    def _frame_urls(
            self, session: requests.Session, root: str) -> Iterator[str]:
        study = f'{root}/studies/{self._study_uid}'
        for series in session.get(f'{study}/series', timeout=TIMEOUT).json():
            path = f"{study}/series/{series['0020000E']['Value'][0]}"
            for instance in session.get(
                    f'{path}/metadata', timeout=TIMEOUT).json():
                uid = instance['00080018']['Value'][0]
                yield f'{path}/instances/{uid}/frames/1'

    def _look_for_ways_around(
            self, session: requests.Session, root: str, frame: str) -> None:
        """Check that nothing but these images is there."""
        cookie = '; '.join(f'{c.name}={c.value}' for c in session.cookies)
        path = frame.removeprefix(root)
        for start in [
                LOCATION, '/%5forthanc/main', f'/{LOCATION}',
                f'/x/..{LOCATION}', f'/x/%2e%2e{LOCATION}']:
            for end in [path, '/system', '/']:
                status = self._raw_status(start + end, cookie)
                _check(status == 404, f"{start + end}: {status}")
        start = root.removeprefix(self._site.url)
        for end in [
                '/studies/..%2f..%2fsystem', '/studies/%2e%2e/%2e%2e/system',
                '//system', f'{path}/../../../../../../../../../system',
                path.replace(self._study_uid, f'{self._study_uid}.1')]:
            status = self._raw_status(start + end, cookie)
            _check(
                status in {308, 400, 403, 404, 405}, f"{end}: {status}")
        _check(
            self._raw_status(start + path) == 401,
            "An image is there for everybody")
