# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes from one click to a CT on the screen.

Chromium shows the same study in the same OHIF

- *orthanc*: with nginx in front of Orthanc's plugin DICOMweb, and no login;
- *record*: after a click on *View* in the study's form, with the ticket, the
  routes and the rights of GNU Health;

in turns, first with an empty cache of the browser, then once more.  The time
ends when the pixels of a head are on the canvas.  The figures are medians.
"""
import argparse
import base64
import contextlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from trytond.modules.health_orthanc.core.installed_viewer import (
    configuration_script, find_viewer, render_page)

from devtools import viewer
from devtools.browser import chromium, log_in
from devtools.orthanc import Orthanc
from devtools.process import (
    LOOPBACK, Process, free_port, stopping_on_signals, wait_until)
from devtools.samples import Patient, make_study
from devtools.testing import cache_folder
from devtools.tryton import PASSWORD
from tests.browser.client import Client
from tests.browser.clinic import Clinic
from tests.browser.viewer import PATIENCE, is_head, opened

PATIENT = Patient("Schnell^Anna", 'START-1', '19700101', 'F')
SCREEN = {'width': 1366, 'height': 768}
INTERVAL = 0.05
NGINX = """\
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    include /etc/nginx/mime.types;
    types {{ application/wasm wasm; }}
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream orthanc {{ server {orthanc}; keepalive 16; }}
    server {{
        listen {host}:{port};
        location = /ohif/viewer {{
            default_type text/html;
            alias {folder}/page.html;
        }}
        location = /ohif/app-config.js {{ alias {folder}/app-config.js; }}
        location /files/ {{
            alias {files}/;
            gzip_static on;
            expires max;
        }}
        location /dicom-web/ {{
            proxy_pass http://orthanc;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header Authorization "Basic {password}";
        }}
    }}
}}
"""


@contextlib.contextmanager
def straight(orthanc: Orthanc) -> Iterator[str]:
    """Serve OHIF and Orthanc by nginx; yield the address."""
    installed = viewer.assemble(cache_folder())
    found = find_viewer(installed)
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # nginx reads as another user
        folder.chmod(0o755)
        files = folder / 'files'
        shutil.copytree(installed / found.revision, files)
        (folder / 'page.html').write_text(
            render_page(found.page, '/files/', '/ohif/', 'none'))
        (folder / 'app-config.js').write_text(
            configuration_script('/ohif/', '/dicom-web', None, {}))
        configuration = folder / 'nginx.conf'
        configuration.write_text(NGINX.format(
                folder=folder, files=files, host=LOOPBACK, port=port,
                orthanc=orthanc.url.partition('//')[2],
                password=base64.b64encode(
                    f'{orthanc.user}:{orthanc.password}'.encode()).decode()))
        process = Process(
            ['/usr/sbin/nginx', '-c', configuration, '-g', 'daemon off;'],
            folder / 'out.log')
        try:
            yield f'http://{LOOPBACK}:{port}'
        finally:
            process.stop()


class Site:
    """GNU Health, Orthanc and nginx with a CT.

    Parameters
    ----------
    address : str
        Of nginx.
    """

    def __init__(
            self, clinic: Clinic, browser: Browser, address: str,
            instances: int, rows: int):
        self._clinic = clinic
        self._browser = browser
        self._address = address
        images = make_study(
            'CT', PATIENT, series=1, instances=instances, rows=rows)
        self._uid = images[0].StudyInstanceUID
        clinic.orthanc.upload(images)
        clinic.synchronize()
        self._study = clinic.study(PATIENT.name)

    def measure(self, way: str) -> list[float]:
        """Return seconds with an empty cache, and once more."""
        context = self._browser.new_context(viewport=SCREEN)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        try:
            show = getattr(self, f'_{way}')(page)
            return [show(), show()]
        finally:
            context.close()

    def _orthanc(self, page: Page) -> Callable[[], float]:
        def show() -> float:
            tab = page.context.new_page()
            start = time.perf_counter()
            tab.goto(
                f'{self._address}/ohif/viewer?StudyInstanceUIDs={self._uid}',
                wait_until='commit')
            seconds = _wait_for_image(tab, start)
            tab.close()
            return seconds
        return show

    def _record(self, page: Page) -> Callable[[], float]:
        server = self._clinic.server
        database = self._clinic.tryton.name
        log_in(page, server.url, database, 'clerk', PASSWORD)
        client = Client(page, database)
        client.open_record(self._study)
        button = client.within('button[name="view_images"]').first

        def show() -> float:
            button.wait_for()
            client.settle()
            start = time.perf_counter()
            with opened(client, button) as tab:
                return _wait_for_image(tab, start)
        return show


def _wait_for_image(page: Page, start: float) -> float:
    if not wait_until(lambda: is_head(page), PATIENCE / 1000, INTERVAL):
        raise RuntimeError(f"No image: {page.locator('body').inner_text()}")
    return time.perf_counter() - start


def run(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    found: dict[str, list[list[float]]] = {'orthanc': [], 'record': []}
    with tempfile.TemporaryDirectory() as folder, Clinic(
            Path(folder)) as clinic, chromium() as browser, straight(
            clinic.orthanc) as address:
        site = Site(
            clinic, browser, address, options.instances, options.rows)
        for _ in range(options.repeat):
            for way, runs in found.items():
                runs.append(site.measure(way))
    return {
        way: {
            name: statistics.median(run[index] for run in runs)
            for index, name in enumerate(['first', 'again'])}
        for way, runs in found.items()}


def show(result: dict[str, dict[str, float]]) -> None:
    print(f"{'':8} {'first s':>8} {'again s':>8}")
    for way, figures in result.items():
        print(f"{way:8} {figures['first']:8.1f} {figures['again']:8.1f}")
    ratios = [
        result['record'][name] / result['orthanc'][name]
        for name in ['first', 'again']]
    print(f"{'ratio':8} {ratios[0]:8.2f} {ratios[1]:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='./dev bench viewer_start', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--instances', type=int, default=100)
    parser.add_argument(
        '--rows', type=int, default=512, help="and columns of each")
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    with stopping_on_signals():
        result = run(options)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == '__main__':
    main()
