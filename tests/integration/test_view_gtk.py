# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""*View* in GNU Health's GTK client opens the browser with a ticket."""
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from proteus import Model

from devtools import gtk, viewer
from devtools.orthanc import Orthanc
from devtools.process import wait_until
from devtools.samples import make_study
from devtools.testing import cache_folder
from devtools.tryton import MODULE, PASSWORD, Server

from .client import add_server

pytestmark = pytest.mark.release

SCRIPT = Path(__file__).with_name('gtk_view.py')
STUDY = 'gnuhealth.imaging_orthanc.study'
TIMEOUT = 300
# In place at once, for the client's script waits for it
BROWSER = """\
#!/bin/sh
printf '%s' "$1" > {file}.part && mv {file}.part {file}
"""


@pytest.fixture
def trytond(prepared_tryton) -> Iterator[Server]:
    """A trytond with a viewer."""
    tryton = prepared_tryton('sqlite', MODULE).copy('viewed')
    tryton.sections[MODULE] = {
        'viewer_path': str(viewer.assemble(cache_folder()))}
    with tryton.server() as server:
        yield server
    tryton.drop()


def test_the_browser_opens_with_a_ticket(trytond, tmp_path):
    address, program = tmp_path / 'address', tmp_path / 'browser'
    program.write_text(BROWSER.format(file=address))
    program.chmod(0o700)
    with Orthanc(plugins=['dicomweb']) as orthanc:
        orthanc.upload(make_study('CT', series=1, instances=1, rows=16))
        trytond.connect()
        add_server(orthanc).execute('end')
        server, = Model.get('gnuhealth.orthanc.config').find([])
        server.click('reconcile')
        assert wait_until(lambda: Model.get(STUDY).find([]), TIMEOUT)
        study, = Model.get(STUDY).find([])
        gtk.drive(
            gtk.install(cache_folder()), tmp_path, SCRIPT, [
                trytond.url.removeprefix('http://'), trytond.tryton.name,
                'admin', PASSWORD, str(study.id), str(address)], TIMEOUT,
            BROWSER=str(program))
        page, _, ticket = address.read_text().partition('#')
        assert page == f'{trytond.url}/{trytond.tryton.name}/orthanc/view'
        opened, again = [
            requests.post(
                page.replace('/view', '/viewer-session'), data=ticket,
                headers={'Sec-Fetch-Site': 'same-origin'}, timeout=TIMEOUT)
            for _ in range(2)]
    assert opened.status_code == 200
    assert opened.json()['studies'] == [study.study_instance_UID]
    assert opened.cookies.keys() == ['health_orthanc_viewer']
    assert again.status_code == 403
