# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx in front of a trytond, as `deploy/` sets it up, but without TLS."""
import base64
import shutil
import tempfile
from pathlib import Path

from .deployment.files import DEPLOY, substitute
from .orthanc import Orthanc
from .process import LOOPBACK, Process, StartError, free_port

__all__ = ['LOCATION', 'Nginx', 'basic', 'find_nginx', 'main_configuration']

START_TIMEOUT = 60
# Of the Orthanc in the files of `deploy/`
LOCATION = '/_orthanc/main'
_MAIN = """\
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{
    worker_connections 256;
}}
http {{
    include /etc/nginx/mime.types;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {site};
}}
"""
_TLS = [
    '    ssl_certificate /etc/ssl/gnuhealth/certificate.pem;\n',
    '    ssl_certificate_key /etc/ssl/gnuhealth/key.pem;\n',
    '    ssl_protocols TLSv1.2 TLSv1.3;\n',
    '    ssl_session_cache shared:gnuhealth:5m;\n',
    ]


def main_configuration(folder: Path, site: Path) -> str:
    """Return what includes a site, with all that is written in `folder`."""
    return _MAIN.format(folder=folder, site=site)


def find_nginx() -> str:
    """Return the path of the program.

    Raises
    ------
    StartError
    """
    program = shutil.which('nginx', path='/usr/sbin:/usr/bin')
    if not program:
        raise StartError("nginx is not installed")
    return program


def basic(user: str, password: str) -> str:
    """Return the value of ``Authorization`` for Orthanc."""
    credentials = base64.b64encode(f'{user}:{password}'.encode()).decode()
    return f'Basic {credentials}'


class Nginx:
    """A running nginx, stopped as a context manager.

    Parameters
    ----------
    port
        Of trytond.
    orthanc
        Whose images it sends itself, at `LOCATION`.

    Attributes
    ----------
    url : str
    folder : Path
        Configuration and logs.
    """

    def __init__(self, port: int, orthanc: Orthanc):
        self._trytond = port
        self._orthanc = orthanc
        self._port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix='nginx-'))
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self._port}'

    def __enter__(self) -> 'Nginx':
        try:
            self._write()
            self.process = Process(
                [find_nginx(), '-c', self.folder / 'nginx.conf', '-g',
                    'daemon off;'], self.folder / 'out.log')
            self.process.wait_ready(
                lambda: self.process.listens(self._port), START_TIMEOUT,
                f"nginx on port {self._port}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        if self.process:
            self.process.stop()
        shutil.rmtree(self.folder)

    def _write(self) -> None:
        # The user of its workers passes through
        self.folder.chmod(0o711)
        source = DEPLOY / 'etc' / 'nginx'
        for path in source.rglob('*.conf'):
            target = self.folder / path.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            target.write_text(substitute(path.read_text(), self._values()))
        (self.folder / 'nginx.conf').write_text(main_configuration(
                self.folder,
                self.folder / 'sites-available' / 'gnuhealth.conf'))

    def _values(self) -> dict[str, str]:
        orthanc = self._orthanc
        return {
            **dict.fromkeys(_TLS, ''),
            'listen 80;': f'listen {LOOPBACK}:{free_port()};',
            'listen 443 ssl;': f'listen {LOOPBACK}:{self._port};',
            '127.0.0.1:8000': f'{LOOPBACK}:{self._trytond}',
            '127.0.0.1:8042': f'{LOOPBACK}:{orthanc.port}',
            'Basic CREDENTIALS': basic(orthanc.user, orthanc.password),
            '/etc/nginx/gnuhealth': str(self.folder / 'gnuhealth'),
            '/run/gnuhealth-images': str(self.folder / 'images'),
            }
