# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health's GTK client uploads several files with its own widget."""
import json
from pathlib import Path

from devtools import gtk
from devtools.orthanc import Orthanc, to_bytes
from devtools.samples import make_study
from devtools.testing import cache_folder
from devtools.tryton import PASSWORD

from .client import add_server

SCRIPT = Path(__file__).with_name('gtk_upload.py')
TIMEOUT = 300


def test_two_files_arrive(trytond, tmp_path):
    files, folder = [], tmp_path / 'images'
    folder.mkdir()
    for number, image in enumerate(
            make_study('CR', series=1, instances=2, rows=16)):
        files.append(folder / f'image{number}.dcm')
        files[-1].write_bytes(to_bytes(image))
    with Orthanc() as orthanc:
        trytond.connect()
        add_server(orthanc).execute('end')
        shown = gtk.drive(
            gtk.install(cache_folder()), tmp_path, SCRIPT, [
                trytond.url.removeprefix('http://'), trytond.tryton.name,
                'admin', PASSWORD, *map(str, files)], TIMEOUT)
        rows = json.loads(shown.splitlines()[-1])
        assert [row for row in rows if "Stored" in row] == rows
        assert len(rows) == 2
        assert orthanc.counts()['instances'] == 2
