# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with all that `deploy/` describes, in a folder and on loopback."""
import base64
import errno
import json
import secrets
import shlex
import shutil
import ssl
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from cryptography.fernet import Fernet

from .. import orthanc_releases
from ..certificates import Authority
from ..nginx import basic, find_nginx, main_configuration
from ..postgresql import PostgreSQL
from ..process import LOOPBACK, Process, StartError, free_port
from ..sao import custom_files
from ..testing import cache_folder
from ..tryton import MODULE, PASSWORD, ROOT, Tryton, environment
from ..viewer import fetch_archive
from .files import install, substitute
from .supervisor import Service, Supervisor
from .units import Unit

__all__ = ['DATABASE', 'Site']

DATABASE = 'health'
# Bytes of memory: above those below which the page Health says that the
# disk is short
DISK = 1500 << 20
WORKLIST_USER = 'worklist'
TIMEOUT = 120


class Site:
    """The set-up, as a context manager.

    Attributes
    ----------
    url : str
        Of GNU Health, through nginx and TLS.
    supervisor : Supervisor
    dicom_port : int

    Parameters
    ----------
    small_disk : bool
        Whether images and uploads are on a disk of `DISK` bytes.  For root,
        who has a namespace of mounts of its own.
    """

    def __init__(self, folder: Path, small_disk: bool = False):
        self.folder = folder
        self._small_disk = small_disk
        self._release = orthanc_releases.find()
        self.supervisor = Supervisor()
        self.postgresql = PostgreSQL(folder / 'postgresql')
        self._stack = ExitStack()
        self._ports = {
            name: free_port() for name in [
                'trytond', 'http', 'https', 'orthanc', 'dicom', 'smtp']}
        self._orthanc_password = secrets.token_urlsafe(12)
        self.ca_file = folder / 'ssl' / 'ca.pem'

    def __enter__(self) -> 'Site':
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._ports['https']}"

    @property
    def http_url(self) -> str:
        return f"http://localhost:{self._ports['http']}"

    @property
    def orthanc_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['orthanc']}"

    @property
    def orthanc_user(self) -> tuple[str, str]:
        return 'gnuhealth', self._orthanc_password

    @property
    def dicom_port(self) -> int:
        return self._ports['dicom']

    @property
    def smtp_port(self) -> int:
        """Where GNU Health looks for a mail server."""
        return self._ports['smtp']

    @property
    def worklists(self) -> Path:
        """The folder of worklist files."""
        return self._orthanc / 'worklists'

    @property
    def _orthanc(self) -> Path:
        return self.folder / 'var' / 'orthanc'

    @property
    def images_by_nginx(self) -> bool:
        """Whether nginx has just asked whose images it may send."""
        return any(
            path.is_file() and path.stat().st_size
            for path in (self.folder / 'nginx' / 'images').rglob('*'))

    @property
    def _etc(self) -> Path:
        return self.folder / 'etc'

    # -- to set up

    def _open(self) -> None:
        self._make_folders()
        self._make_certificate()
        self._stack.enter_context(self.postgresql)
        Tryton(
            self.folder / 'made', postgresql=self.postgresql, name=DATABASE
            ).create([MODULE], cache_folder())
        install(self._etc, self._values(), {
                'gnuhealth/orthanc/orthanc.json': {'"StableAge": 60':
                    '"StableAge": 5'}})
        self._install_viewer()
        self._stack.enter_context(self.supervisor)
        self._start()

    def _make_folders(self) -> None:
        # The users of PostgreSQL and nginx pass through
        self.folder.chmod(0o711)
        if self._small_disk:
            self._mount_disk()
        for path in [
                self.folder / 'var' / 'gnuhealth', self.folder / 'log',
                self.folder / 'ssl', self.folder / 'nginx', self._orthanc,
                self.worklists, self.folder / 'sao']:
            path.mkdir(parents=True, exist_ok=True)
        (self.folder / 'nginx').chmod(0o711)
        for path in custom_files():
            shutil.copy(path, self.folder / 'sao')

    def _install_viewer(self) -> None:
        """Install the viewer as an administrator does it."""
        program = Path(sys.executable).with_name('health-orthanc-viewer')
        done = subprocess.run(
            [program, 'install', '--config',
                self._etc / 'gnuhealth' / 'trytond.conf', '--archive',
                fetch_archive(cache_folder())],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT)
        if done.returncode:
            raise StartError(f"The viewer is not installed: {done.stderr}")

    def _mount_disk(self) -> None:
        disk = self.folder / 'var'
        disk.mkdir()
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', f'size={DISK}', 'tmpfs', disk],
            check=True, timeout=TIMEOUT)
        self._stack.callback(
            subprocess.run, ['umount', '--lazy', disk], timeout=TIMEOUT)

    def fill_disk(self) -> Path:
        """Fill the small disk with one file, and return it."""
        filler = self.folder / 'var' / 'filler'
        block = bytes(1 << 20)
        with filler.open('wb', buffering=0) as file:
            try:
                while file.write(block) == len(block):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return filler

    def _make_certificate(self) -> None:
        authority = Authority()
        self.ca_file.write_text(authority.certificate)
        certificate, key = authority.issue()
        (self.folder / 'ssl' / 'certificate.pem').write_text(certificate)
        key_file = self.folder / 'ssl' / 'key.pem'
        key_file.touch(mode=0o600)
        key_file.write_text(key)

    def _values(self) -> dict[str, str]:
        """Return what stands in the files, and what it is here."""
        ports = self._ports
        return {
            '/opt/gnuhealth/venv/bin': str(Path(sys.executable).parent),
            '/opt/gnuhealth/venv/share/health_orthanc': str(ROOT),
            '/opt/gnuhealth/sao': str(self.folder / 'sao'),
            '/etc/gnuhealth': str(self._etc / 'gnuhealth'),
            '/etc/nginx/gnuhealth': str(self._etc / 'nginx' / 'gnuhealth'),
            '/run/gnuhealth-images': str(self.folder / 'nginx' / 'images'),
            '/etc/ssl/gnuhealth': str(self.folder / 'ssl'),
            '/etc/ssl/certs/ca-certificates.crt': str(self.ca_file),
            '/var/lib/gnuhealth': str(self.folder / 'var' / 'gnuhealth'),
            '/var/log/gnuhealth': str(self.folder / 'log'),
            '/var/lib/orthanc': str(self._orthanc),
            '/var/log/orthanc': str(self.folder / 'log'),
            'https://gnuhealth.example': self.url,
            'gnuhealth.example': 'localhost',
            'listen 80;': f"listen {LOOPBACK}:{ports['http']};",
            'listen 443 ssl;': f"listen {LOOPBACK}:{ports['https']} ssl;",
            '127.0.0.1:8000': f"{LOOPBACK}:{ports['trytond']}",
            '127.0.0.1:8042': f"{LOOPBACK}:{ports['orthanc']}",
            'Basic CREDENTIALS': basic(*self.orthanc_user),
            'postgresql://gnuhealth:PASSWORD@127.0.0.1:5432/':
                self.postgresql.uri,
            'fernet_key = KEY':
                f'fernet_key = {Fernet.generate_key().decode()}',
            '"gnuhealth": "PASSWORD"':
                f'"gnuhealth": "{self._orthanc_password}"',
            'smtp://127.0.0.1:25': f"smtp://{LOOPBACK}:{ports['smtp']}",
            '/usr/sbin/Orthanc': shlex.join(map(str, self._release.command)),
            '/usr/share/orthanc/plugins/libOrthancDicomWeb.so':
                self._release.plugin('dicomweb'),
            '/usr/share/orthanc/plugins/libOrthancPython.so':
                self._release.plugin('python'),
            '"HttpPort": 8042': f'"HttpPort": {ports["orthanc"]}',
            '"DicomPort": 4242': f'"DicomPort": {ports["dicom"]}',
            }

    def _start(self) -> None:
        self.supervisor.add('postgresql', self._postgresql_service())
        self.supervisor.add('trytond', self._service(
                'gnuhealth-trytond.service', self._trytond_answers))
        self.supervisor.add('worker', self._service(
                'gnuhealth-worker.service'))
        self.supervisor.add('worker@', self._service(
                'gnuhealth-worker@.service', instance='default'))
        self.supervisor.add('cron', self._service('gnuhealth-cron.service'))
        self.supervisor.add('nginx', self._nginx_service())
        self.supervisor.add('orthanc', self._service(
                'orthanc.service.d/gnuhealth.conf', self._orthanc_answers,
                base=self._release.environment))

    def start_worklist_script(self) -> None:
        """Start the script, whose user GNU Health knows now."""
        password = self._etc / 'gnuhealth' / 'worklist.password'
        password.touch(mode=0o600)
        password.write_text(PASSWORD)
        (self._etc / 'gnuhealth' / 'connection.conf').chmod(0o600)
        self.supervisor.add('worklist', self._service(
                'gnuhealth-worklist.service'))

    def connect_plugin(self, section: dict[str, str]) -> None:
        """Give Orthanc what the button has shown, and restart it."""
        folder = self._etc / 'gnuhealth'
        key = folder / 'orthanc.key'
        key.touch(mode=0o600)
        key.write_text(section['Key'])
        file = folder / 'orthanc' / 'health_orthanc.json'
        file.write_text(substitute(
                file.read_text(), {'IDENTIFIER': section['Server']}))
        self.supervisor.services['orthanc'].restart()

    @contextmanager
    def with_wrong_key(self) -> Iterator[None]:
        """Let the plugin have a key that GNU Health does not know."""
        key = self._etc / 'gnuhealth' / 'orthanc.key'
        right = key.read_text()
        try:
            key.write_text(secrets.token_urlsafe(32))
            self.supervisor.services['orthanc'].restart()
            yield
        finally:
            key.write_text(right)
            self.supervisor.services['orthanc'].restart()

    # -- its services

    def _unit(self, path: str, instance: str = '') -> Unit:
        name, slash, _ = path.partition('.d/')
        return Unit.read(
            name, self._etc / 'systemd' / 'system' / path, instance=instance)

    def _service(
            self, path: str, ready=lambda: True, instance: str = '',
            base: Mapping[str, str] | None = None) -> Service:
        unit = self._unit(path, instance)
        log = self.folder / 'log' / f'{unit.name}.out'
        return Service(unit, lambda: Process(
                unit.command, log, folder=self.folder,
                environment={
                    **(base or environment()), **unit.environment}), ready)

    def _postgresql_service(self) -> Service:
        """Return the one that runs, to be started again where it was."""
        def start() -> Process:
            if not self.postgresql.process.running:
                self.postgresql.restart()
            return self.postgresql.process
        return Service(
            self._unit('postgresql@.service.d/gnuhealth.conf'), start)

    def _nginx_service(self) -> Service:
        folder = self.folder / 'nginx'
        configuration = folder / 'nginx.conf'
        configuration.write_text(main_configuration(
                folder, self._etc / 'nginx' / 'sites-available'
                / 'gnuhealth.conf'))
        command = [
            find_nginx(), '-c', configuration, '-g', 'daemon off;']
        return Service(
            self._unit('nginx.service.d/gnuhealth.conf'),
            lambda: Process(command, folder / 'out.log'),
            self._nginx_answers)

    def _trytond_answers(self) -> bool:
        return self._status('POST',
            f"http://{LOOPBACK}:{self._ports['trytond']}/",
            json={'method': 'common.server.version', 'params': []}) == 200

    def _nginx_answers(self) -> bool:
        return self._status(
            'GET', self.url + '/custom.js', verify=str(self.ca_file)) == 200

    def _orthanc_answers(self) -> bool:
        return self._status(
            'GET', self.orthanc_url + '/system',
            auth=self.orthanc_user) == 200

    def _status(self, method: str, url: str, **options) -> int | None:
        try:
            with self.session() as session:
                return session.request(
                    method, url, timeout=10, **options).status_code
        except requests.RequestException:
            return None

    def verify_units(self) -> str:
        """Return what systemd says of the units: ``ok``, or what is wrong."""
        program = shutil.which('systemd-analyze')
        if not program:
            return 'not checked: there is no systemd-analyze'
        units = sorted((self._etc / 'systemd' / 'system').glob('*.service'))
        found = subprocess.run(
            [program, 'verify', '--man=no', *units],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT)
        # It speaks of other units of the machine, too
        own = [
            line for line in found.stderr.splitlines() if 'gnuhealth' in line]
        return '\n'.join(own) or 'ok'

    # -- its users

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca_file)
        return session

    def connect(self, login: str = 'admin') -> None:
        """Let proteus, in this thread, work as `login`."""
        import proteus.config
        proteus.config.set_xmlrpc(
            f'{self.url}/{DATABASE}/', transport=_Transport(
                self.tls, self.authorization(login)))

    def authorization(self, login: str) -> str:
        """Return the header of a session."""
        server = xmlrpc.client.ServerProxy(
            f'{self.url}/{DATABASE}/', transport=_Transport(self.tls),
            allow_none=True, use_builtin_types=True)
        session = server.common.db.login(login, {'password': PASSWORD})
        token = ':'.join(map(str, [login, *session])).encode()
        return 'Session ' + base64.b64encode(token).decode('ascii')

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def orthanc(self, path: str):
        """Return what Orthanc answers."""
        with self.session() as session:
            answer = session.get(
                self.orthanc_url + path, auth=self.orthanc_user,
                timeout=TIMEOUT)
        answer.raise_for_status()
        return json.loads(answer.text)


class _Transport(xmlrpc.client.SafeTransport):

    def __init__(
            self, context: ssl.SSLContext, authorization: str | None = None):
        headers = []
        if authorization:
            headers.append(('Authorization', authorization))
        super().__init__(
            use_builtin_types=True, headers=headers, context=context)

    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT
        return connection
