# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc in a temporary folder, on loopback."""
import io
import itertools
import json
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import requests
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from . import orthanc_releases
from .process import LOOPBACK, Process, StartError, free_port

__all__ = ['Orthanc', 'to_bytes']

START_TIMEOUT = 60
REQUEST_TIMEOUT = 120


def to_bytes(item: 'bytes | Dataset | str | os.PathLike') -> bytes:
    """Return the DICOM file that `item` is, names or holds."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, Dataset):
        stream = io.BytesIO()
        item.save_as(stream, enforce_file_format=True)
        return stream.getvalue()
    return Path(item).read_bytes()


class Orthanc:
    """An Orthanc server of one's own.

    As a context manager it starts, then stops and removes its folder if
    it was a temporary one.  Orthanc 1.10 listens on all interfaces: other
    hosts' requests are refused, credentials are always asked for, and the
    DICOM port is closed unless asked for.  Debian 12's Orthanc crashes on the
    first HTTPS request: for TLS put a `Proxy` in front.

    Parameters
    ----------
    folder
        Where configuration, storage and log are kept; a new temporary
        folder if None.  What is stored in it already is served again.
    user, password
        The only credentials accepted; a random password if None.
    plugins
        Among ``dicomweb``, ``python``, ``webviewer``, ``worklists``.
    dicom
        Open a DICOM port, `dicom_port`.
    configuration
        Further options of Orthanc's configuration file.
    port
        The HTTP port; a free one if None.
    version
        One of `orthanc_releases.SUITES`; if None, the one that `./dev` was
        asked for, or that of the machine.

    Attributes
    ----------
    url : str
        Without trailing slash.
    session : requests.Session
        Authenticated, with connections kept alive.
    """

    def __init__(
            self, folder: Path | None = None, *, user: str = 'orthanc',
            password: str | None = None, plugins: Iterable[str] = (),
            dicom: bool = False, port: int | None = None,
            configuration: Mapping[str, object] | None = None,
            version: str | None = None):
        self.release = orthanc_releases.find(version)
        self._temporary = folder is None
        self.folder = Path(
            folder or tempfile.mkdtemp(prefix='orthanc-'))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user = user
        self.password = password or secrets.token_urlsafe(12)
        self.plugins = [self.release.plugin(name) for name in plugins]
        self.dicom = dicom
        self.configuration = dict(configuration or {})
        self.port = port
        self._fixed_port = port is not None
        self.dicom_port: int | None = None
        self.process: Process | None = None
        self.session = self._new_session()

    def __enter__(self) -> 'Orthanc':
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self.port}'

    @property
    def storage(self) -> Path:
        return self.folder / 'storage'

    @property
    def log(self) -> Path:
        return self.folder / 'orthanc.log'

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self, port: int | None = None) -> None:
        """Start on `port`, that of the last time, or else a free one.

        Raises
        ------
        StartError
            With the end of Orthanc's log.
        """
        if port is not None:
            self.port, self._fixed_port = port, True
        attempts = 1 if self._fixed_port else 5
        for attempt in range(attempts):
            if not self._fixed_port:
                self.port = free_port()
            if self.dicom and (attempt or not self.dicom_port):
                self.dicom_port = free_port()
            try:
                self._start()
            except StartError as error:
                if ('in use' not in str(error)
                        or attempt == attempts - 1):
                    raise
            else:
                self._fixed_port = True
                return

    def _start(self) -> None:
        configuration = self.folder / 'orthanc.json'
        configuration.write_text(json.dumps(self._options(), indent=4))
        configuration.chmod(0o600)
        # Each start has its log, so that an error tells of this one.
        if self.log.exists():
            self.log.replace(self.log.with_suffix('.log.1'))
        self.process = Process(
            [*self.release.command, configuration], self.log,
            environment=self.release.environment, folder=self.folder)
        self.process.wait_ready(
            self._answers, START_TIMEOUT, f"Orthanc on port {self.port}")

    def _options(self) -> dict[str, object]:
        return {
            'Name': "Orthanc",
            'StorageDirectory': str(self.storage),
            'IndexDirectory': str(self.storage),
            'Plugins': self.plugins,
            'HttpPort': self.port,
            'RemoteAccessAllowed': False,
            'AuthenticationEnabled': True,
            'RegisteredUsers': {self.user: self.password},
            'WebDavEnabled': False,
            'DicomServerEnabled': self.dicom,
            'DicomPort': self.dicom_port or 4242,
            'DefaultEncoding': 'Utf8',
            # Nothing here has to survive a power cut.
            'SyncStorageArea': False,
            **self.configuration,
            }

    def _answers(self) -> bool:
        try:
            # Only the process that knows the password is the right one.
            return self.session.get(
                self.url + '/system', timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.auth = (self.user, self.password)
        # Orthanc may close an idle connection just when it is used again;
        # what is asked here may be asked twice
        session.mount('http://', HTTPAdapter(max_retries=Retry(
                    connect=0, read=2, status=0, redirect=0, other=0,
                    allowed_methods=None)))
        return session

    def stop(self) -> None:
        """Stop as a shutdown of the machine would, and keep the folder."""
        self.session.close()
        if self.process:
            self.process.stop()

    def kill(self) -> None:
        """Stop as a power cut would, and keep the folder."""
        self.session.close()
        if self.process:
            self.process.kill()

    def close(self) -> None:
        """Stop, and remove the folder if it was a temporary one."""
        if not self._temporary:
            self.stop()
            return
        # A clean stop takes Orthanc 2.5 s: only for what is kept.
        self.kill()
        shutil.rmtree(self.folder)

    def reset(self) -> None:
        """Remove all that is stored, the changes log and its index included.

        A server that runs is killed and started again on its port.
        """
        running = self.running
        self.kill()
        if self.storage.exists():
            shutil.rmtree(self.storage)
        if running:
            self.start()

    def get(self, path: str, **params):
        """Return the JSON that GET `path` answers."""
        response = self.session.get(
            self.url + path, params=params, timeout=REQUEST_TIMEOUT)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, data: object):
        """Return the JSON that POST `path` answers to the JSON of `data`."""
        response = self.session.post(
            self.url + path, json=data, timeout=REQUEST_TIMEOUT)
        response.raise_for_status()
        return response.json()

    def upload(
            self, items: 'Iterable[bytes | Dataset | str | os.PathLike]'
            ) -> list[dict]:
        """Store DICOM files one by one and return Orthanc's answers."""
        answers = []
        for item in items:
            response = self.session.post(
                self.url + '/instances', data=to_bytes(item),
                headers={'Content-Type': 'application/dicom'},
                timeout=REQUEST_TIMEOUT)
            response.raise_for_status()
            answers.append(response.json())
        return answers

    def upload_bulk(self, items: Iterable[bytes], batch: int = 1000) -> None:
        """Store many small DICOM files, packed, in half the time."""
        items = iter(items)
        while part := list(itertools.islice(items, batch)):
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, 'w') as archive:
                for number, item in enumerate(part):
                    archive.writestr(f'{number}.dcm', item)
            response = self.session.post(
                self.url + '/instances', data=stream.getvalue(),
                timeout=REQUEST_TIMEOUT)
            response.raise_for_status()

    def delete(self, level: str, orthanc_id: str) -> None:
        """Delete one of ``patients``, ``studies``, ``series``, ``instances``.
        """
        response = self.session.delete(
            f'{self.url}/{level}/{orthanc_id}', timeout=REQUEST_TIMEOUT)
        response.raise_for_status()

    def clear(self) -> None:
        """Delete all patients; the numbering of changes goes on."""
        for patient in self.get('/patients'):
            self.delete('patients', patient)

    def counts(self) -> dict[str, int]:
        """Return the numbers of patients, studies, series and instances."""
        statistics = self.get('/statistics')
        return {
            level: statistics['Count' + level.capitalize()]
            for level in ['patients', 'studies', 'series', 'instances']}
